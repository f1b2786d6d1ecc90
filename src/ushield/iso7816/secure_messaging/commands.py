"""Where the key for secure channels is found: by the card's OS, and in its issuer's domain.

Source: GlobalPlatform Card Specification v2.3, 11.3.3.1 (key information), Amendment F, 5.2 (key
identifiers) and 7.3 (certificate store).
"""

from __future__ import annotations

__all__ = [
    "CLA_GLOBAL_PLATFORM",
    "INTERNAL_AUTHENTICATE",
    "KEY_IDENTIFIER",
    "KEY_VERSION",
    "SECURITY_DOMAIN_AID",
]

SECURITY_DOMAIN_AID = bytes.fromhex("A000000151000000")
CLA_GLOBAL_PLATFORM = 0x80
INTERNAL_AUTHENTICATE = 0x88
KEY_IDENTIFIER = 0x13
"""P2 of INTERNAL AUTHENTICATE: the key for SCP11b."""
KEY_VERSION = 0x01
"""P1 of INTERNAL AUTHENTICATE. The key is made once, so there is one version of it."""
