"""Whether a certificate leads to a CA the bank trusts, for signing transactions, at a time.

A path is checked by RFC 5280, 6.1, in its strict parts: names, signatures, validity, basic
constraints, key usage, path length. Policies and name constraints are not processed; a
certificate that needs them is refused. Revocation is `ushield.bank.revocation`'s part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ushield.bank.certificate_checks import (
    UNREADABLE,
    broken,
    check_issuers,
    check_signer,
    name_of,
)
from ushield.bank.rejection import RejectionReason, TransactionRejected
from ushield.errors import CertificateInvalid, InputInvalid

__all__ = ["TrustStore"]

_MAX_DEPTH = 6
_MAX_PATHS = 64
# As many signatures of certificates are verified in a search: no path worth having needs more.
_MAX_STEPS = 128


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The CA certificates a caller trusts.

    The self-signed ones (by a hash that is not weak) are ``anchors``, where a path ends. The
    others are ``intermediates``: they may stand in a path, and end none. A certificate that came
    with a signature is never an issuer.
    """

    anchors: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()

    @classmethod
    def load(cls, data: bytes) -> TrustStore:
        """Read a bundle of PEM certificates, or one in DER.

        One whose names or key cannot be read leads nowhere and is left out. `CertificateInvalid`
        if the bundle cannot be read or has no self-signed certificate in it.
        """
        try:
            if b"-----BEGIN" in data:
                certificates = x509.load_pem_x509_certificates(data)
            else:
                certificates = [x509.load_der_x509_certificate(data)]
        except (ValueError, x509.InvalidVersion) as error:
            raise CertificateInvalid(
                "the CA file holds no readable certificate",
                remedy="Give certificates in PEM, one after the other, or one in DER.",
            ) from error
        certificates = [each for each in certificates if _can_lead(each)]
        anchors = tuple(each for each in certificates if _issued(each, each))
        if not anchors:
            raise CertificateInvalid(
                "the CA file has no self-signed certificate, where a path could end",
                remedy="Add the root CA's certificate to the file.",
            )
        return cls(anchors, tuple(each for each in certificates if each not in anchors))

    def shares_issuer(self, other: TrustStore) -> bool:
        """Whether a key of both could issue certificates, by whatever certificates of its own."""
        return not self._issuers().isdisjoint(other._issuers())

    def _issuers(self) -> set[bytes]:
        keys = set()
        for each in (*self.anchors, *self.intermediates):
            # One whose key cannot be read issues nothing.
            with suppress(*UNREADABLE):
                keys.add(
                    each.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                )
        return keys

    def check(self, certificate: x509.Certificate, at: datetime) -> tuple[x509.Certificate, ...]:
        """The path from ``certificate`` to an anchor, both included, if it may sign at ``at``.

        ``at`` is an aware datetime, `InputInvalid` for another. `TransactionRejected` says why
        there is no such path; with several issuers of one name, why the last one did not do.
        """
        if not isinstance(at, datetime) or at.utcoffset() is None:
            raise InputInvalid("the time at which a signature must hold has no time zone")
        check_signer(certificate, at)
        problem: TransactionRejected | None = None
        steps = iter(range(_MAX_STEPS))
        for path in islice(self._paths((certificate,), steps), _MAX_PATHS):
            try:
                check_issuers(path, at)
            except TransactionRejected as error:
                problem = error
            else:
                return path
        if next(steps, None) is None:
            raise broken(certificate, "leads into too many CAs")
        raise problem or TransactionRejected(
            f"no trusted CA issued the certificate of {name_of(certificate)}",
            reason=RejectionReason.ISSUER_UNKNOWN,
        )

    def _paths(
        self, path: tuple[x509.Certificate, ...], steps: Iterator[int]
    ) -> Iterator[tuple[x509.Certificate, ...]]:
        name = path[-1].issuer
        for anchor in self.anchors:
            if _subject(anchor) == name and _takes(steps) and _issued(path[-1], anchor):
                yield (*path, anchor)
        if len(path) == _MAX_DEPTH:
            return
        for issuer in self.intermediates:
            if (
                _subject(issuer) == name
                and not any(_same_key(issuer, each) for each in path)
                and _takes(steps)
                and _issued(path[-1], issuer)
            ):
                yield from self._paths((*path, issuer), steps)


def _can_lead(certificate: x509.Certificate) -> bool:
    try:
        _ = certificate.subject, certificate.issuer, certificate.public_key()
    except UNREADABLE:
        return False
    return True


# A bank trusts few CAs, and making a name anew for every certificate takes longer than comparing.
@lru_cache(maxsize=256)
def _subject(issuer: x509.Certificate) -> x509.Name:
    return issuer.subject


def _takes(steps: Iterator[int]) -> bool:
    return next(steps, None) is not None


def _same_key(one: x509.Certificate, other: x509.Certificate) -> bool:
    # A path never needs one key twice (RFC 4158, 2.4.2). CAs that have certified each other, and
    # renewed that, would otherwise have paths to be searched without number.
    return one.public_key() == other.public_key()


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
