"""Object identifiers of signatures: the standards', and ours under a UUID (X.667)."""

from __future__ import annotations

__all__ = [
    "ATTESTATION",
    "BLIND_STATEMENT",
    "CONTENT_TYPE",
    "DATA",
    "ECDSA_WITH_HASH",
    "HASH",
    "MESSAGE_DIGEST",
    "RECEIPT",
    "RSA_ENCRYPTION",
    "SIGNED_DATA",
    "SIGNING_CERTIFICATE_V2",
]

# The UUID 5a06c725-55c2-42c6-9c2c-963aab5aab20 as one arc: no registration needed, no clash.
_OURS = "2.25.119665712559287850021024974507532266272"

RECEIPT = f"{_OURS}.1"
"""Signed attribute: the token's receipt."""
ATTESTATION = f"{_OURS}.2"
"""Certificate extension: what a token attests of a key."""
BLIND_STATEMENT = f"{_OURS}.3"
"""Signed attribute, in place of the receipt: the host's word that nothing was shown."""

# RFC 5652
DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
# RFC 5035
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"

# RFC 3370, RFC 5754, by names of `HashAlgorithm`
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
HASH = {
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
ECDSA_WITH_HASH = {
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
