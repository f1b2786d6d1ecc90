"""What tells one order to a CA from another."""

from __future__ import annotations

import hashlib

from ushield.bank.authorities.protocol import CertificateProfile

__all__ = ["order_digest"]


def order_digest(
    request: bytes, profile: CertificateProfile, certificate: bytes | None = None
) -> bytes:
    """A digest (SHA-256) of all that is asked for; ``certificate`` is one that is renewed."""
    digest = hashlib.sha256()
    validity = f"{profile.validity.total_seconds()}".encode()
    for part in (request, profile.subject.public_bytes(), validity, certificate or b""):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
