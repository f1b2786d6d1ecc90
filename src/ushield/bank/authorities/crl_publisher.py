"""The embedded CA's CRL (RFC 5280, 5): made from the database, written to a file whole."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
from ushield.bank.store.store import Store
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

        That is another process's if that one was quicker with a newer one. `CrlUnpublished`.
        """
        crl = self.make()
        try:
            with _alone_in(path.parent):
                there = _read(path)
                if there is not None and _is_newer(there, crl):
                    return there
                _replace(path, crl.public_bytes(Encoding.PEM if pem else Encoding.DER))
        except OSError as error:
            raise CrlUnpublished(f"{path}: {error.strerror or error}") from error
        return crl


def _entry(revocation: Revocation) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(revocation.serial_number)
    builder = builder.revocation_date(revocation.at)
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
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> x509.CertificateRevocationList | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        if data.startswith(b"-----BEGIN"):
            return x509.load_pem_x509_crl(data)
        return x509.load_der_x509_crl(data)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _is_newer(there: x509.CertificateRevocationList, crl: x509.CertificateRevocationList) -> bool:
    return there.issuer == crl.issuer and _number(there) > _number(crl)


def _number(crl: x509.CertificateRevocationList) -> int:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound):
        return 0


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # Everybody may read a CRL: whoever serves it is another user.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
