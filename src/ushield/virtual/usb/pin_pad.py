"""The keys of a virtual reader, pressed by a test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from ushield.ccid.errors import FrameInvalid, SlotErrorCode
from ushield.ccid.messages import HEADER_LENGTH
from ushield.ccid.pin_entry import PinEntry, PinModification

__all__ = ["PadEnded", "VirtualPinPad", "check_format"]

# Offsets in the message of the fields that this pad refuses: it knows one format only.
_FORMAT_OFFSET: Final = HEADER_LENGTH + 2
_LENGTH_OFFSET: Final = HEADER_LENGTH + 4
_ASCII: Final = 0x82
_LC: Final = 4
_OWN_TIMEOUT: Final = 30


class PadEnded(Exception):
    """The entry has ended without a PIN, with this slot error."""

    def __init__(self, error: SlotErrorCode) -> None:
        self.error = error


@dataclass(slots=True)
class _Prompt:
    """What the person sees, and has typed until now."""

    name: str
    typed: str = ""


class VirtualPinPad:
    """Digits, OK, Cancel and Clear, and a line that says what to enter.

    Keys pressed while nothing is asked for are lost, as on a real one. Safe from several threads.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._prompt: _Prompt | None = None
        self._outcome: str | SlotErrorCode | None = None
        self._entry: PinEntry | None = None

    @property
    def asking(self) -> str | None:
        """What is asked for: ``PIN``, ``old PIN``, ``new PIN``, ``new PIN again``, or nothing."""
        with self._changed:
            return self._prompt.name if self._prompt else None

    @property
    def shown(self) -> str:
        """What stands on the line: a star for each digit."""
        with self._changed:
            return "*" * len(self._prompt.typed) if self._prompt else ""

    def wait_for(self, name: str, timeout: float = 10.0) -> None:
        """Return once ``name`` is asked for; `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._prompt is not None and self._prompt.name == name, timeout
            ):
                raise TimeoutError(f"the pad does not ask for the {name}")

    def type(self, digits: str) -> None:
        """Press digits; those beyond the longest PIN are lost."""
        with self._changed:
            if self._prompt and self._entry:
                most = self._entry.max_digits
                self._prompt.typed = (self._prompt.typed + digits)[:most]

    def press_ok(self) -> None:
        """Press OK; nothing happens with too few digits."""
        with self._changed:
            if (
                self._prompt
                and self._entry
                and len(self._prompt.typed) >= max(self._entry.min_digits, 1)
            ):
                self._end(self._prompt.typed)

    def press_clear(self) -> None:
        """Take the digits back."""
        with self._changed:
            if self._prompt:
                self._prompt.typed = ""

    def press_cancel(self) -> None:
        """End the entry."""
        self.fail(SlotErrorCode.PIN_CANCELLED)

    def fail(self, error: SlotErrorCode) -> None:
        """End an entry that is under way."""
        with self._changed:
            if self._prompt:
                self._end(error)

    def enter(self, entry: PinEntry, send: Callable[[bytes], bytes]) -> bytes:
        """Ask for what ``entry`` wants and ``send`` the command; its answer.

        A new PIN that was not entered twice alike is asked for again. `PadEnded`.
        """
        apdu = bytearray(entry.apdu)
        if isinstance(entry, PinModification):
            if entry.confirm & 2:
                _place(apdu, entry, entry.old_offset, self._ask(entry, "old PIN"))
            new = again = self._ask(entry, "new PIN")
            if entry.confirm & 1:
                again = self._ask(entry, "new PIN again")
            while new != again:
                new, again = self._ask(entry, "new PIN"), self._ask(entry, "new PIN again")
            _place(apdu, entry, entry.new_offset, new)
        else:
            _place(apdu, entry, 0, self._ask(entry, "PIN"))
        return send(bytes(apdu))

    def _end(self, outcome: str | SlotErrorCode) -> None:
        self._outcome, self._prompt = outcome, None
        self._changed.notify_all()

    def _ask(self, entry: PinEntry, name: str) -> str:
        deadline = monotonic() + (entry.timeout or _OWN_TIMEOUT)
        with self._changed:
            self._entry, self._prompt = entry, _Prompt(name)
            self._outcome = None
            self._changed.notify_all()
            outcome = self._changed.wait_for(lambda: self._outcome, deadline - monotonic())
            self._prompt = None
        if isinstance(outcome, str):
            return outcome
        raise PadEnded(outcome or SlotErrorCode.PIN_TIMEOUT)


def check_format(entry: PinEntry) -> None:
    """`FrameInvalid` for a format that this pad does not know."""
    if entry.format_string != _ASCII:
        raise FrameInvalid("ASCII from the first byte only", offset=_FORMAT_OFFSET)
    if entry.block_string > 0x0F or entry.length_format:
        raise FrameInvalid("no length field is written", offset=_LENGTH_OFFSET)


def _place(apdu: bytearray, entry: PinEntry, offset: int, digits: str) -> None:
    start, pin = _LC + 1 + offset, digits.encode("ascii")
    if entry.block_string:
        apdu[start : start + len(pin)] = pin
    else:
        apdu[_LC:] = bytes([len(pin)]) + pin
