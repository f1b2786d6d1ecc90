"""How entries become heads: leaves, a Merkle tree for each batch, and what a head signs.

The tree is that of RFC 9162, section 2.1.1 (Certificate Transparency), over SHA-256: a leaf is
hashed after a zero byte, a node after a one, so that neither passes for the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ushield.transaction.digest import digest_texts

__all__ = ["NO_HEAD", "head_digest", "leaf_hash", "tree_hash"]

NO_HEAD = bytes(32)
"""What the first head has for the digest of the one before."""


def leaf_hash(
    sequence: int,
    at: int,
    event: str,
    *,
    reason: str | None,
    challenge_id: str | None,
    digest: bytes,
) -> bytes:
    """The leaf (32 bytes) of an entry at its place in the log."""
    texts = (str(sequence), str(at), event, reason or "", challenge_id or "", digest.hex())
    return hashlib.sha256(b"\0" + digest_texts("ushield audit entry 1", [texts])).digest()


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """The root (32 bytes) over ``leaves``, of which there must be one."""
    if not leaves:
        raise ValueError("no leaves")
    # Halving upwards gives the split of RFC 9162, at the largest power of two below the count.
    level = list(leaves)
    while len(level) > 1:
        paired = [
            hashlib.sha256(b"\1" + level[position] + level[position + 1]).digest()
            for position in range(0, len(level) - 1, 2)
        ]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def head_digest(
    *,
    instance: str,
    number: int,
    first: int,
    count: int,
    root: bytes,
    previous: bytes,
    at: int,
) -> bytes:
    """What a head signs, and what the next one names it by (32 bytes)."""
    texts = (
        instance,
        str(number),
        str(first),
        str(count),
        root.hex(),
        previous.hex(),
        str(at),
    )
    return digest_texts("ushield audit head 1", [texts])
