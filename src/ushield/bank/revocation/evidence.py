"""What a CRL and an OCSP response have in common: who says it, and for which time."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ushield.errors import InputInvalid

__all__ = [
    "SKEW",
    "RevocationInvalid",
    "Revoked",
    "check_hash",
    "check_period",
    "issuer_id",
    "usage_of",
]

SKEW = timedelta(minutes=5)
"""How far an issuer's clock may be ahead of ours."""

_HASHES = frozenset(("sha256", "sha384", "sha512"))


class RevocationInvalid(InputInvalid):
    """A CRL or an OCSP response that cannot be believed; what was known before stays in force."""

    code = "revocation-invalid"
    default_remedy = "Fetch it again from its issuer; look into who gave it out if that repeats."


class Revoked(NamedTuple):
    """From when on a certificate does not count, and whether that may be taken back (a hold)."""

    since: datetime
    is_hold: bool


@lru_cache(maxsize=1024)
def issuer_id(issuer: x509.Certificate) -> bytes:
    """What an issuer is known by: its name and its key (SHA-256 of both)."""
    digest = hashlib.sha256(issuer.subject.public_bytes())
    key = issuer.public_key()
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.digest()


def check_period(this_update: datetime, next_update: datetime | None, now: datetime) -> datetime:
    """The end of the time that evidence is for; `RevocationInvalid` if it has none."""
    if next_update is None:
        raise RevocationInvalid("it does not say when the next one comes")
    if next_update <= this_update:
        raise RevocationInvalid("it ended before it began")
    if this_update > now + SKEW:
        raise RevocationInvalid(f"it is from the future, {this_update:%Y-%m-%d %H:%M:%S} UTC")
    return next_update


def check_hash(algorithm: HashAlgorithm | None) -> None:
    """`RevocationInvalid` for a signature over a hash that is weak or unknown."""
    if algorithm is None or algorithm.name not in _HASHES:
        raise RevocationInvalid("it is signed with a weak or unknown hash")


def usage_of(certificate: x509.Certificate) -> x509.KeyUsage | None:
    """The key usage of a certificate, if it has any."""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
