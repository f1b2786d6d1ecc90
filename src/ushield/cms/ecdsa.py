"""One of the two forms of an ECDSA signature.

Where (r, s) holds, so does (r, n - s), which anyone can compute. Of the two, a signature of ours
has the one with the smaller s.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ushield.algorithms import HashAlgorithm
from ushield.cms import der

__all__ = ["lower_s"]

# The orders n of P-256 and P-384 (SP 800-186, 3.2.1), by the hash that goes with their keys.
_ORDER = {
    HashAlgorithm.SHA256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    HashAlgorithm.SHA384: int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
        16,
    ),
}


def lower_s(signature: bytes, hash_algorithm: HashAlgorithm) -> bytes:
    """``signature`` (Ecdsa-Sig-Value in DER, RFC 3279, 2.2.3) with the smaller s.

    What is no such value comes back as it is: its verification will fail.
    """
    order = _ORDER.get(hash_algorithm)
    if order is None:
        return signature
    try:
        r, s = _decoder()(signature)
    except ValueError:
        return signature
    if not order // 2 < s < order:
        return signature
    return der.sequence(der.integer(r), der.integer(order - s))


# An import within a function costs as much as the decoding itself, one above it costs every start.
@cache
def _decoder() -> Callable[[bytes], tuple[int, int]]:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    return decode_dss_signature
