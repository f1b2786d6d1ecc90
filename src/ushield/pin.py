"""PINs and keys as secrets: no readable repr, wiped after use; what a new PIN must be like."""

from __future__ import annotations

import hmac
import itertools
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import NoReturn, Self

from ushield.errors import InputInvalid, PinInvalid

__all__ = [
    "KnownManagementKey",
    "ManagementKey",
    "Pin",
    "PinReference",
    "PinRules",
    "PinState",
    "Secret",
]


_HEX = b"0123456789abcdefABCDEF"


class PinReference(Enum):
    """Whose secret: the user's PIN, or the PUK that unblocks it."""

    USER = "user"
    PUK = "puk"


class KnownManagementKey(Enum):
    """A management key that need not be handed in, if it is asked for by name.

    The one that every such card comes with, or one that the card itself keeps behind the PIN.
    """

    DEFAULT = "default"
    BEHIND_PIN = "behind-pin"


class Secret:
    """Something secret on its way to the token.

    Keeps its own copy of the bytes and overwrites it on ``wipe`` (or at the end of a ``with``).
    Python may have made other copies of a ``str`` before it came here: hand in ``bytearray``
    where that matters.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: str | bytes | bytearray) -> None:
        if isinstance(secret, str):
            # Half a surrogate pair, from bytes that were no UTF-8, is for the rules to refuse.
            secret = secret.encode(errors="surrogatepass")
        self._secret = bytearray(secret)

    def reveal(self) -> bytes:
        """The secret, for the one APDU that carries it. ``ValueError`` once wiped."""
        if not self._secret:
            raise ValueError("this secret is empty or was wiped")
        return bytes(self._secret)

    def wipe(self) -> None:
        """Overwrite and forget the secret; harmless to repeat."""
        for i in range(len(self._secret)):
            self._secret[i] = 0
        self._secret.clear()

    def __len__(self) -> int:
        return len(self._secret)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.wipe()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._secret, other._secret)

    __hash__ = None  # type: ignore[assignment]  # how Python is told that it has none

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")


class Pin(Secret):
    """A PIN or PUK, in ASCII."""

    __slots__ = ()


class ManagementKey(Secret):
    """The key by which a card's owner makes key pairs and writes certificates: its raw bytes."""

    __slots__ = ()

    @classmethod
    def from_hex(cls, digits: bytes | bytearray) -> Self:
        """Read one from hexadecimal digits; `InputInvalid` for other text or another length."""
        key = bytearray()
        if len(digits) not in (32, 48, 64) or not all(digit in _HEX for digit in digits):
            raise InputInvalid("a management key is 16, 24 or 32 bytes in hexadecimal digits")
        try:
            key.extend(int(digits[at : at + 2], 16) for at in range(0, len(digits), 2))
            return cls(key)
        finally:
            key[:] = bytes(len(key))


@dataclass(frozen=True, slots=True)
class PinRules:
    """What a token accepts as PIN (profile data): length in digits, tries, and habits it refuses.

    The token enforces them; the host checks the same rules early, as a courtesy.
    """

    min_length: int = 6
    max_length: int = 12
    max_tries: int = 6
    puk_max_tries: int = 10
    must_change_default: bool = True
    pin_per_signature: bool = True
    digits_only: bool = True

    def check_format(self, secret: bytes | bytearray, reference: PinReference) -> None:
        """Raise `PinInvalid` unless ``secret`` could be a PIN at all: digits, length."""
        if not self.min_length <= len(secret) <= self.max_length:
            raise PinInvalid(
                f"takes {self.min_length} to {self.max_length} digits",
                reference=reference.value,
                rule="length",
            )
        if self.digits_only and not all(0x30 <= digit <= 0x39 for digit in secret):
            raise PinInvalid("digits only", reference=reference.value, rule="characters")

    def check_new(self, secret: bytes | bytearray, reference: PinReference) -> None:
        """Raise `PinInvalid` for a new PIN that is malformed, or weak: all-same, or one run."""
        self.check_format(secret, reference)
        steps = {after - before for before, after in itertools.pairwise(secret)}
        if steps in ({0}, {1}, {-1}):
            raise PinInvalid(
                "digits all the same, or in a row, are too easy to guess",
                reference=reference.value,
                rule="weak",
            )


@dataclass(frozen=True, slots=True)
class PinState:
    """One PIN's counter, as the token tells it. Asking spends no try.

    ``max_tries`` is 0 where the token does not tell; ``is_default`` says that it is still the one
    that everybody knows.
    """

    reference: PinReference
    tries_left: int
    max_tries: int
    must_change: bool = False
    verified: bool = False
    is_default: bool = False

    @property
    def locked(self) -> bool:
        """No tries left: even the right PIN is refused (PKCS #11 ``CKF_USER_PIN_LOCKED``)."""
        return self.tries_left == 0

    @property
    def final_try(self) -> bool:
        """One wrong PIN locks it (``CKF_USER_PIN_FINAL_TRY``)."""
        return self.tries_left == 1

    @property
    def count_low(self) -> bool:
        """A wrong PIN was entered since the last right one (``CKF_USER_PIN_COUNT_LOW``)."""
        return self.tries_left < self.max_tries
