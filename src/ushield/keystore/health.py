"""What may be wrong with a certificate: found early, told as findings, each with its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from ushield.drivers.base import KeyInfo
from ushield.errors import CertificateInvalid
from ushield.keystore.bundle import (
    authority_problem,
    is_issued_by,
    public_key_der,
    read_extensions,
)
from ushield.keystore.objects import Certificate

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["EXPIRING_SOON", "Finding", "FindingKind", "Severity", "check_health"]

EXPIRING_SOON = timedelta(days=30)
"""How long before its end a certificate is called expiring."""


class Severity(StrEnum):
    """Whether signatures made now would be refused, or something is coming."""

    ERROR = "error"
    WARNING = "warning"


class FindingKind(StrEnum):
    """What was found."""

    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRING_SOON = "expiring-soon"
    KEY_USAGE = "key-usage"
    IS_AUTHORITY = "is-authority"
    KEY_MISSING = "key-missing"
    KEY_MISMATCH = "key-mismatch"
    CHAIN_MISSING = "chain-missing"
    CHAIN_BROKEN = "chain-broken"

    @property
    def severity(self) -> Severity:
        """A token without its chain still signs: the bank has the chain too."""
        return Severity.WARNING if self in _WARNINGS else Severity.ERROR

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _REMEDY[self]


_WARNINGS = (FindingKind.EXPIRING_SOON, FindingKind.CHAIN_MISSING)
_RENEW = "Renew it: `ushield cert request`, then import what the bank issues."
_REMEDY = {
    FindingKind.UNREADABLE: "Delete it, and import it again as the bank issued it.",
    FindingKind.EXPIRED: _RENEW,
    FindingKind.NOT_YET_VALID: "Check this machine's clock; otherwise wait.",
    FindingKind.EXPIRING_SOON: _RENEW,
    FindingKind.KEY_USAGE: "Ask the bank for a certificate for digital signatures.",
    FindingKind.IS_AUTHORITY: "Ask the bank for a certificate for a customer, not an authority.",
    FindingKind.KEY_MISSING: "Plug in the token that made the certificate request.",
    FindingKind.KEY_MISMATCH: "Delete it, and import the certificate that belongs to the key.",
    FindingKind.CHAIN_MISSING: "Import the bank's CA certificates as well.",
    FindingKind.CHAIN_BROKEN: "Delete these CA certificates, and import the bank's current ones.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or will be."""

    kind: FindingKind
    message: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.kind.severity

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.kind.remedy


def check_health(
    certificate: Certificate,
    keys: Sequence[KeyInfo],
    others: Sequence[Certificate],
    *,
    at: datetime,
) -> tuple[Finding, ...]:
    """What is wrong with ``certificate`` at the time ``at`` (aware); empty if nothing is.

    ``others`` are the certificates on the token, among which its chain is sought. Trust is not
    decided here: that is the bank's part.
    """
    try:
        parsed = certificate.parsed()
        public_key = public_key_der(parsed)
    except CertificateInvalid as error:
        return (Finding(FindingKind.UNREADABLE, str(error)),)
    findings = _validity(parsed, at)
    if certificate.key_id:
        findings += _usage(parsed) + _key(certificate, public_key, keys)
    elif problem := authority_problem(parsed):
        findings.append(Finding(FindingKind.KEY_USAGE, f"cannot issue certificates: {problem}"))
    return (*findings, *_chain(parsed, others, at))


def _validity(parsed: x509.Certificate, at: datetime) -> list[Finding]:
    begin, end = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    if at < begin:
        return [Finding(FindingKind.NOT_YET_VALID, f"valid from {begin:%Y-%m-%d %H:%M} UTC")]
    if at > end:
        return [Finding(FindingKind.EXPIRED, f"expired on {end:%Y-%m-%d %H:%M} UTC")]
    if end - at < EXPIRING_SOON:
        return [
            Finding(
                FindingKind.EXPIRING_SOON, f"expires on {end:%Y-%m-%d}, in {(end - at).days} days"
            )
        ]
    return []


def _usage(parsed: x509.Certificate) -> list[Finding]:
    from cryptography import x509

    if authority_problem(parsed) is None:
        return [Finding(FindingKind.IS_AUTHORITY, "it is an authority's certificate")]
    try:
        usage = read_extensions(parsed).get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return [Finding(FindingKind.KEY_USAGE, "it has no key usage")]
    except CertificateInvalid as error:
        return [Finding(FindingKind.UNREADABLE, str(error))]
    if not (usage.digital_signature or usage.content_commitment):
        return [Finding(FindingKind.KEY_USAGE, "its key usage does not allow signatures")]
    return []


def _key(certificate: Certificate, public_key: bytes, keys: Sequence[KeyInfo]) -> list[Finding]:
    key = next((key for key in keys if key.key_id == certificate.key_id), None)
    if key is None:
        return [Finding(FindingKind.KEY_MISSING, "its key is not on this token")]
    if key.public_key != public_key:
        return [Finding(FindingKind.KEY_MISMATCH, "it belongs to another key than its id says")]
    return []


def _chain(parsed: x509.Certificate, others: Sequence[Certificate], at: datetime) -> list[Finding]:
    authorities: list[x509.Certificate] = []
    for other in others:
        try:
            authorities.append(other.parsed())
        except CertificateInvalid:
            continue  # it has a finding of its own
    below = parsed
    seen = {parsed}
    while below.issuer != below.subject:
        named = [one for one in authorities if one.subject == below.issuer and one not in seen]
        issuer = below.issuer.rfc4514_string()
        if not named:
            return [Finding(FindingKind.CHAIN_MISSING, f"{issuer} is not on the token")]
        above = next((one for one in named if is_issued_by(below, one)), None)
        if above is None:
            return [
                Finding(FindingKind.CHAIN_BROKEN, f"the signature is not by {issuer} on the token")
            ]
        problem = authority_problem(above)
        if problem is None and not above.not_valid_before_utc <= at <= above.not_valid_after_utc:
            problem = "it is not valid now"
        if problem:
            return [Finding(FindingKind.CHAIN_BROKEN, f"{issuer}: {problem}")]
        seen.add(above)
        below = above
    if not is_issued_by(below, below):
        return [Finding(FindingKind.CHAIN_BROKEN, "the root's own signature does not hold")]
    return []
