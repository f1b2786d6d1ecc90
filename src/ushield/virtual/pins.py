"""PIN and PUK behind their counters: a table that says what follows what, and what carries it out.

A try is spent, durably, before a secret is compared, and given back only once it was right. The
power may fail between any two steps: what is left is then one try less, never one more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol

from ushield.errors import PinIncorrect, PinInvalid, PinLocked
from ushield.pin import PinReference, PinRules, PinState
from ushield.virtual.nvram.records import SecretHash, StoredReference

__all__ = ["TRANSITIONS", "Action", "PinMemory", "PinStore", "Signal", "Stage"]


class Stage(Enum):
    """How far an operation on a secret has come. None of it outlives the power."""

    READY = "ready"
    SPENDING = "spending"
    COMPARING = "comparing"
    SETTLING = "settling"
    ENDED = "ended"


class Signal(Enum):
    """What the stage's work came to."""

    TRY_LEFT = "a try is left"
    LOCKED = "no try is left"
    WRITTEN = "the change is on the disk"
    RIGHT = "the secret is right"
    WRONG = "the secret is wrong"


class Action(Enum):
    """What to do next. ``SETTLE`` is the one write that a right secret buys: tries restored, with
    a new PIN if the operation sets one.
    """

    SPEND = "spend"
    COMPARE = "compare"
    SETTLE = "settle"
    REPORT_RIGHT = "report right"
    REPORT_WRONG = "report wrong"
    REPORT_LOCKED = "report locked"


TRANSITIONS: Mapping[tuple[Stage, Signal], tuple[Stage, Action]] = {
    (Stage.READY, Signal.LOCKED): (Stage.ENDED, Action.REPORT_LOCKED),
    (Stage.READY, Signal.TRY_LEFT): (Stage.SPENDING, Action.SPEND),
    (Stage.SPENDING, Signal.WRITTEN): (Stage.COMPARING, Action.COMPARE),
    (Stage.COMPARING, Signal.WRONG): (Stage.ENDED, Action.REPORT_WRONG),
    (Stage.COMPARING, Signal.RIGHT): (Stage.SETTLING, Action.SETTLE),
    (Stage.SETTLING, Signal.WRITTEN): (Stage.ENDED, Action.REPORT_RIGHT),
}


class PinMemory(Protocol):
    """What a `PinStore` needs of the `Nvram`; each write is durable when it returns."""

    def reference(self, reference: PinReference) -> StoredReference:
        """See `NvramReader.reference`."""

    def spend_try(self, reference: PinReference) -> None:
        """See `Nvram.spend_try`."""

    def restore_tries(self, reference: PinReference) -> None:
        """See `Nvram.restore_tries`."""

    def replace_secret(self, reference: PinReference, secret: SecretHash) -> None:
        """See `Nvram.replace_secret`."""

    def unblock(self, user: SecretHash) -> None:
        """See `Nvram.unblock`."""

    def unblock_by_bank(self, user: SecretHash) -> None:
        """See `Nvram.unblock_by_bank`."""


class PinStore:
    """The PIN operations of a token, by the rules of its profile.

    All raise `PinInvalid` for a secret that cannot be one or must not be set (nothing is spent on
    it), `PinIncorrect` with the tries left, and `PinLocked`; an error of the memory passes
    through, and then no secret counts as proven.
    """

    def __init__(
        self,
        memory: PinMemory,
        rules: PinRules,
        *,
        transitions: Mapping[tuple[Stage, Signal], tuple[Stage, Action]] = TRANSITIONS,
    ) -> None:
        self._memory = memory
        self._rules = rules
        self._transitions = transitions

    def state(self, reference: PinReference) -> PinState:
        """The counter now."""
        return self._memory.reference(reference).state(reference)

    def verify(self, reference: PinReference, secret: bytes) -> None:
        """Return if ``secret`` (ASCII digits) is right; all its tries are back then."""
        self._rules.check_format(secret, reference)
        self._prove(reference, secret, lambda: self._memory.restore_tries(reference))

    def miss(self, reference: PinReference) -> None:
        """Spend a try on what cannot be a secret; it always raises."""
        self._prove(reference, b"", lambda: self._memory.restore_tries(reference))

    def change(self, reference: PinReference, old: bytes, new: bytes) -> None:
        """Replace a secret by a new one, by proof of the old one."""
        self._rules.check_new(new, reference)
        self._rules.check_format(old, reference)
        _check_changed(old, new, reference)
        self._prove(
            reference,
            old,
            lambda: self._memory.replace_secret(reference, SecretHash.of(new)),
        )

    def unblock(self, puk: bytes, new_pin: bytes) -> None:
        """Set a new PIN by proof of the PUK."""
        self._rules.check_new(new_pin, PinReference.USER)
        self._rules.check_format(puk, PinReference.PUK)
        self._prove(PinReference.PUK, puk, lambda: self._memory.unblock(SecretHash.of(new_pin)))

    def unblock_by_bank(self, new_pin: bytes) -> None:
        """Set a new PIN; the caller has verified the bank's signature for it."""
        self._rules.check_new(new_pin, PinReference.USER)
        self._memory.unblock_by_bank(SecretHash.of(new_pin))

    def _prove(self, reference: PinReference, secret: bytes, settle: Callable[[], None]) -> None:
        stored = self._memory.reference(reference)
        stage = Stage.READY
        signal = Signal.TRY_LEFT if stored.tries_left else Signal.LOCKED
        while True:
            stage, action = self._transitions[stage, signal]
            match action:
                case Action.SPEND:
                    self._memory.spend_try(reference)
                    signal = Signal.WRITTEN
                case Action.COMPARE:
                    signal = Signal.RIGHT if stored.secret.matches(secret) else Signal.WRONG
                case Action.SETTLE:
                    settle()
                    signal = Signal.WRITTEN
                case Action.REPORT_RIGHT:
                    return
                case Action.REPORT_WRONG:
                    raise PinIncorrect(reference=reference.value, tries_left=stored.tries_left - 1)
                case Action.REPORT_LOCKED:
                    raise PinLocked(reference=reference.value)


def _check_changed(old: bytes, new: bytes, reference: PinReference) -> None:
    if old == new:
        raise PinInvalid("this is the old one", reference=reference.value, rule="unchanged")
