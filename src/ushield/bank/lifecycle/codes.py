"""Registration codes: what a customer is told once, and shows once to have a token enrolled.

A code has 20 digits of Crockford's base 32, which people do not confuse: 8 by which the bank finds
the registration (40 bits) and 12 that are secret (60 bits). The bank keeps the secret as a salted
slow hash (scrypt, RFC 7914), so that whoever reads the database cannot enrol a token with it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets

from ushield.bank.lifecycle.refusals import CodeReason, RegistrationCodeRefused

__all__ = ["RegistrationCode"]

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FORM = re.compile(f"[{_DIGITS}]{{20}}")
_ALIKE = str.maketrans("OIL", "011", "- ")
_LOCATOR = 8
_GROUP = 5
_SALT = 16
_LONGEST = 64
# 4 MiB and some 20 ms; 60 random bits need no more.
_COST, _BLOCK, _PARALLEL = 1 << 12, 8, 1


class RegistrationCode:
    """A code as it was made or read. `text` is for the customer, and nobody else."""

    __slots__ = ("_secret", "locator")

    def __init__(self, locator: str, secret: str) -> None:
        self.locator = locator
        self._secret = secret

    @classmethod
    def generate(cls) -> RegistrationCode:
        """A new one, at random."""
        return cls._of("".join(secrets.choice(_DIGITS) for _ in range(20)))

    @classmethod
    def parse(cls, text: str) -> RegistrationCode:
        """Read what a person typed: any case, O for 0, I and L for 1, with or without hyphens.

        `RegistrationCodeRefused` for anything else, without repeating it.
        """
        digits = text.strip().upper().translate(_ALIKE) if len(text) <= _LONGEST else ""
        if _FORM.fullmatch(digits) is None:
            raise RegistrationCodeRefused(
                "that is no registration code", reason=CodeReason.WRONG
            ) from None
        return cls._of(digits)

    @classmethod
    def _of(cls, digits: str) -> RegistrationCode:
        return cls(digits[:_LOCATOR], digits[_LOCATOR:])

    @property
    def text(self) -> str:
        """The code in groups of five digits."""
        digits = self.locator + self._secret
        return "-".join(digits[i : i + _GROUP] for i in range(0, len(digits), _GROUP))

    def digest(self, salt: bytes) -> bytes:
        """What the bank keeps of the secret: 32 bytes. It takes its time, by intention."""
        return hashlib.scrypt(
            self._secret.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, dklen=32
        )

    @staticmethod
    def new_salt() -> bytes:
        """16 random bytes."""
        return os.urandom(_SALT)

    def __repr__(self) -> str:
        return "RegistrationCode(hidden)"
