"""Certificate revocation lists (RFC 5280, 5): checked and indexed once, however long they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from ushield.bank.revocation.evidence import (
    RevocationInvalid,
    Revoked,
    check_hash,
    check_period,
    issuer_id,
    usage_of,
)

__all__ = ["MAX_CRL", "CrlHeading", "RevocationList", "load_crl"]

MAX_CRL = 1 << 26
"""Longest CRL that is looked at, in bytes: about two million entries."""

_PROCESSED = frozenset(
    (
        x509.CRLNumber.oid,
        x509.AuthorityKeyIdentifier.oid,
        x509.IssuingDistributionPoint.oid,
    )
)
_ENTRY_PROCESSED = frozenset((x509.CRLReason.oid, x509.InvalidityDate.oid))
_UNREADABLE = (ValueError, TypeError, KeyError, UnsupportedAlgorithm, x509.DuplicateExtension)


class CrlHeading(NamedTuple):
    """Of what and when a CRL tells, which is quickly read: its entries are not looked at."""

    issuer: bytes
    this_update: datetime
    next_update: datetime
    of_customers: bool
    of_authorities: bool

    @classmethod
    def read(cls, data: bytes, issuers: Sequence[x509.Certificate], now: datetime) -> CrlHeading:
        """Check a CRL as `RevocationList.read` does, but for its entries."""
        return _checked(data, issuers, now)[0]


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A CRL that its issuer signed, by serial number: nothing is parsed when one is looked up.

    It is for the certificates of one ``issuer`` (`issuer_id`): those of customers, of CAs, or both,
    from ``this_update`` until before ``next_update``.
    """

    issuer: bytes
    this_update: datetime
    next_update: datetime
    revoked: Mapping[int, Revoked]
    of_customers: bool
    of_authorities: bool

    @classmethod
    def read(
        cls, data: bytes, issuers: Sequence[x509.Certificate], now: datetime
    ) -> RevocationList:
        """Check a CRL (DER or PEM) by one of ``issuers``; `RevocationInvalid` says what is wrong.

        Delta CRLs, indirect ones and those for some reasons only are refused: a certificate that
        is not on them may be revoked all the same.
        """
        heading, crl = _checked(data, issuers, now)
        try:
            revoked = {entry.serial_number: _revoked(entry) for entry in crl}
        except _UNREADABLE as error:
            raise RevocationInvalid("not a CRL that can be read") from error
        return cls(
            heading.issuer,
            heading.this_update,
            heading.next_update,
            revoked,
            heading.of_customers,
            heading.of_authorities,
        )

    @property
    def edition(self) -> tuple[datetime, bool, bool]:
        """What tells it from other lists of its issuer."""
        return self.this_update, self.of_customers, self.of_authorities

    def covers(self, certificate: x509.Certificate, *, is_authority: bool, at: datetime) -> bool:
        """Whether it tells how ``certificate`` stood at that time.

        Its own time counts, and any time before in which the certificate would still be listed: a
        CA may leave it out once it has expired (RFC 5280, 3.3).
        """
        if not (self.of_authorities if is_authority else self.of_customers):
            return False
        if at < self.this_update:
            return self.this_update <= certificate.not_valid_after_utc
        return at < self.next_update


def load_crl(data: bytes) -> x509.CertificateRevocationList:
    """A CRL in DER or PEM, which nobody has checked yet; `ValueError` if it cannot be read."""
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)


def _checked(
    data: bytes, issuers: Sequence[x509.Certificate], now: datetime
) -> tuple[CrlHeading, x509.CertificateRevocationList]:
    if len(data) > MAX_CRL:
        raise RevocationInvalid(f"{len(data)} bytes, at most {MAX_CRL} are looked at")
    try:
        crl = load_crl(data)
        issuer = _issuer(crl, issuers)
        scope = _scope(crl)
        next_update = check_period(crl.last_update_utc, crl.next_update_utc, now)
        return CrlHeading(issuer_id(issuer), crl.last_update_utc, next_update, *scope), crl
    except _UNREADABLE as error:
        raise RevocationInvalid("not a CRL that can be read") from error


def _issuer(
    crl: x509.CertificateRevocationList, issuers: Sequence[x509.Certificate]
) -> x509.Certificate:
    named = [each for each in issuers if each.subject == crl.issuer]
    if not named:
        raise RevocationInvalid(f"no trusted CA is called {crl.issuer.rfc4514_string()}")
    check_hash(crl.signature_hash_algorithm)
    for each in named:
        usage = usage_of(each)
        if usage is not None and usage.crl_sign and _signed_by(crl, each):
            return each
    raise RevocationInvalid("it is not signed by the CA it names, or that CA may not sign CRLs")


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        # A key of another kind verifies nothing.
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, UnsupportedAlgorithm):
        return False


def _scope(crl: x509.CertificateRevocationList) -> tuple[bool, bool]:
    """Whether it is for customers' certificates, and for CAs'."""
    scope = True, True
    for extension in crl.extensions:
        if extension.oid == x509.DeltaCRLIndicator.oid:
            raise RevocationInvalid("it is a delta CRL; give the complete one")
        if extension.critical and extension.oid not in _PROCESSED:
            raise RevocationInvalid(
                f"it has the unknown critical extension {extension.oid.dotted_string}"
            )
        point = extension.value
        if isinstance(point, x509.IssuingDistributionPoint):
            if point.indirect_crl:
                raise RevocationInvalid("it is an indirect CRL, for several issuers")
            if point.only_some_reasons or point.only_contains_attribute_certs:
                raise RevocationInvalid("it is for some revocations only")
            scope = not point.only_contains_ca_certs, not point.only_contains_user_certs
    return scope


def _revoked(entry: x509.RevokedCertificate) -> Revoked:
    since, is_hold = entry.revocation_date_utc, False
    for extension in entry.extensions:
        value = extension.value
        if isinstance(value, x509.CRLReason):
            is_hold = value.reason is x509.ReasonFlags.certificate_hold
        elif isinstance(value, x509.InvalidityDate):
            # When the key was stolen, which may be before anybody noticed (RFC 5280, 5.3.2).
            since = min(since, value.invalidity_date_utc)
        elif extension.critical and extension.oid not in _ENTRY_PROCESSED:
            raise RevocationInvalid(
                f"an entry has the unknown critical extension {extension.oid.dotted_string}"
            )
    return Revoked(since, is_hold)
