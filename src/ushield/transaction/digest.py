"""One digest for lists of texts: no two different lists give the same bytes to hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

__all__ = ["digest_texts", "encode_texts"]


def digest_texts(domain: str, groups: Sequence[Sequence[str]]) -> bytes:
    """SHA-256 (32 bytes) over ``groups`` of texts, for the purpose named by ``domain``.

    What is hashed: the domain in ASCII and a zero byte; the number of groups; for each group its
    number of texts; for each text its length in bytes and its UTF-8. Numbers are four bytes,
    big-endian.
    """
    parts = [domain.encode("ascii"), b"\0", _number(len(groups))]
    for group in groups:
        parts += _parts(group)
    return hashlib.sha256(b"".join(parts)).digest()


def encode_texts(texts: Sequence[str]) -> bytes:
    """The number of texts; for each its length in bytes and its UTF-8."""
    return b"".join(_parts(texts))


def _parts(texts: Sequence[str]) -> list[bytes]:
    parts = [_number(len(texts))]
    for text in texts:
        encoded = text.encode()
        parts.append(_number(len(encoded)))
        parts.append(encoded)
    return parts


# Almost all are the lengths of short texts.
_number = lru_cache(maxsize=256)(Struct(">I").pack)
