"""The embedded CA's CRL (RFC 5280, 5): made from the database, written to a file whole."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from ushield.bank.authorities import records
from ushield.bank.authorities.certificates import issuer_key_identifier
from ushield.bank.authorities.key import AuthorityKey
from ushield.bank.authorities.protocol import RevocationReason
from ushield.bank.authorities.records import Revocation
from ushield.bank.moments import Clock, system_clock
from ushield.bank.revocation.crl import load_crl
from ushield.bank.store.store import Store
from ushield.bank.whole_files import write_durably
from ushield.errors import AuthorityError, InputInvalid

__all__ = ["CrlPublisher", "CrlUnpublished"]

_SHORTEST, _LONGEST = timedelta(minutes=10), timedelta(days=90)
_PATIENCE = 10.0
_STEP = 0.05


class CrlUnpublished(AuthorityError):
    """The CRL could not be written to its file; the one that was there is as it was."""

    code = "crl-unpublished"
    default_remedy = "Make the file's folder writable, then publish again."


class CrlPublisher:
    """Makes CRLs of an embedded CA. Any number of processes may; numbers only grow.

    ``lifetime`` is the time from a CRL's thisUpdate to its nextUpdate, after which a bank that has
    no newer one refuses all payments: publish at least twice as often.
    """

    def __init__(
        self,
        store: Store,
        key: AuthorityKey,
        *,
        lifetime: timedelta = timedelta(days=1),
        clock: Clock = system_clock,
    ) -> None:
        if not _SHORTEST <= lifetime <= _LONGEST:
            raise InputInvalid("a CRL lives for ten minutes to 90 days")
        self._store = store
        self._key = key
        self._lifetime = lifetime
        self._clock = clock

    def make(self) -> x509.CertificateRevocationList:
        """A new CRL, of a number of its own.

        All that was revoked before it was begun is on it, until a CRL that was made after the
        certificate expired (RFC 5280, 3.3).
        """

        def work(connection: Connection) -> tuple[datetime, int, list[Revocation]]:
            now = self._clock().replace(microsecond=0)
            number, before = records.next_crl(connection, self._key.identity, now)
            since = min(before, now)
            return now, number, records.revoked_since(connection, self._key.identity, since)

        now, number, revoked = self._store.write(work)
        issuer = self._key.certificate
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(now)
            .next_update(now + self._lifetime)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(issuer_key_identifier(issuer), critical=False)
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(_entry(each))
        return builder.sign(self._key.private_key, SHA256())

    def publish(self, path: Path, *, pem: bool = False) -> x509.CertificateRevocationList:
        """Make a CRL and put it in ``path`` at once, as DER or PEM; what is in the file then.

        That is another process's if that one was quicker with a newer one. A file with a number
        that the database has not given out says that the database was set back, to a backup: then
        numbers go on above the file's. What this CA has not signed is replaced. `CrlUnpublished`.
        """
        crl = self.make()
        try:
            with _alone_in(path.parent):
                there = self._read(path)
                if there > _number(crl):
                    if there <= self._store.read(self._last):
                        return load_crl(path.read_bytes())
                    self._skip(there)
                    crl = self.make()
                _replace(path, crl.public_bytes(Encoding.PEM if pem else Encoding.DER))
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or error
            raise CrlUnpublished(f"{path}: {told}") from error
        return crl

    def _read(self, path: Path) -> int:
        """The number of the CRL of this CA in a file; 0 for anything else."""
        try:
            found = load_crl(path.read_bytes())
            key = self._key.certificate.public_key()
            # A CA's key is of a kind that signs.
            if not found.is_signature_valid(key):  # type: ignore[arg-type]
                return 0
        except (FileNotFoundError, ValueError, TypeError, UnsupportedAlgorithm):
            return 0
        return _number(found)

    def _last(self, connection: Connection) -> int:
        return records.last_crl(connection, self._key.identity)

    def _skip(self, number: int) -> None:
        identity = self._key.identity
        self._store.write(lambda connection: records.skip_crls(connection, identity, number))


def _entry(revocation: Revocation) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(revocation.serial_number)
    builder = builder.revocation_date(revocation.date)
    # RFC 5280, 5.3.1: no reason rather than "unspecified".
    if revocation.reason is not RevocationReason.UNSPECIFIED:
        reason = x509.ReasonFlags(revocation.reason.value)
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep others from publishing to ``folder``; `OSError` if they do not come to an end."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_STEP)
        yield
    finally:
        os.close(descriptor)


def _number(crl: x509.CertificateRevocationList) -> int:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound):
        return 0


def _replace(path: Path, data: bytes) -> None:
    with write_durably(path) as stream:
        # Everybody may read a CRL: whoever serves it is another user.
        os.fchmod(stream.fileno(), 0o644)
        stream.write(data)
