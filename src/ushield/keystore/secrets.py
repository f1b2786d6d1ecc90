"""PINs as callers hand them in: text that the key store wraps and wipes, or a `Pin` of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ushield.errors import PinInvalid
from ushield.pin import Pin, PinReference

__all__ = ["borrowed"]


@contextmanager
def borrowed(secret: str | Pin, reference: PinReference = PinReference.USER) -> Iterator[Pin]:
    """``secret`` as a `Pin` for one operation; wiped afterwards only if it was made here.

    `PinInvalid` for one that is empty, was wiped already, or is no text that could be sent.
    """
    if isinstance(secret, Pin):
        if not secret:
            raise PinInvalid("empty, or wiped already", reference=reference.value, rule="length")
        yield secret
        return
    if not secret.isascii():
        raise PinInvalid("digits only", reference=reference.value, rule="characters")
    with Pin(secret) as pin:
        if not pin:
            raise PinInvalid("empty", reference=reference.value, rule="length")
        yield pin
