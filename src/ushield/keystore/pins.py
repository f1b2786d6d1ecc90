"""The token's PIN and PUK as seen from the host: counters, the last-try guard, change, unblock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from ushield.drivers.base import TokenDriver
from ushield.drivers.pad import PadDriver
from ushield.errors import (
    CapabilityMissing,
    LastTryRefused,
    PinInvalid,
    PinLocked,
    ProtocolViolation,
)
from ushield.keystore.secrets import borrowed
from ushield.pin import Pin, PinReference, PinState
from ushield.transport.pin_pad import PinSupport

__all__ = ["TokenPin", "verify_guarded"]


def _state(driver: TokenDriver, reference: PinReference) -> PinState | None:
    return driver.pin_states().get(reference)


@contextmanager
def _last_try_guarded(
    driver: TokenDriver, reference: PinReference, *, allow_last_try: bool
) -> Iterator[None]:
    # Held, so that no other thread spends a try between the look at the counter and the attempt.
    with driver.connection.hold():
        state = _state(driver, reference)
        if state is None:
            # The token does not tell, and nothing can be guarded.
            yield
            return
        if state.locked:
            raise PinLocked(reference=reference.value)
        if state.final_try and not allow_last_try:
            name = "PUK" if reference is PinReference.PUK else "PIN"
            raise LastTryRefused(
                f"the {name} has one try left; a wrong one would lock it",
                reference=reference.value,
            )
        yield


def _with_keys(driver: TokenDriver, support: PinSupport) -> PadDriver:
    """The driver, if its token's reader has keys for this; `CapabilityMissing`."""
    if isinstance(driver, PadDriver) and driver.pad_support & support:
        return driver
    raise CapabilityMissing(
        "no PIN is given, and the reader has no keys to enter it on", capability="pin-pad"
    )


def verify_guarded(driver: TokenDriver, pin: str | Pin | None, *, allow_last_try: bool) -> None:
    """Verify the user's PIN, unless that could spend the last try and the caller did not allow it.

    ``None`` has it entered on the reader. `PinIncorrect`, `PinLocked`, `PinInvalid`,
    `LastTryRefused`, of which the last two spend no try; what `PadDriver` raises.
    """
    if pin is None:
        by_pad = _with_keys(driver, PinSupport.VERIFICATION)
        with _last_try_guarded(driver, PinReference.USER, allow_last_try=allow_last_try):
            by_pad.verify_pin_by_pad()
        return
    with (
        borrowed(pin) as secret,
        _last_try_guarded(driver, PinReference.USER, allow_last_try=allow_last_try),
    ):
        driver.verify_pin(secret)


class TokenPin:
    """``token.pin``. Every reading asks the token, and asking spends no try.

    The guard of the last try is a courtesy of the host; the counter is the token's.
    """

    __slots__ = ("_reach",)

    def __init__(self, reach: Callable[[], AbstractContextManager[TokenDriver]]) -> None:
        self._reach = reach

    @property
    def state(self) -> PinState:
        """The user PIN's counter and flags now."""
        with self._reach() as driver:
            state = _state(driver, PinReference.USER)
        if state is None:
            raise ProtocolViolation("the token told no state of its PIN")
        return state

    @property
    def puk(self) -> PinState | None:
        """The PUK's counter and flags now; ``None`` where the token does not tell them."""
        with self._reach() as driver:
            return _state(driver, PinReference.PUK)

    @property
    def tries_left(self) -> int:
        """Wrong PINs until it locks."""
        return self.state.tries_left

    @property
    def max_tries(self) -> int:
        """Tries after a right PIN."""
        return self.state.max_tries

    @property
    def count_low(self) -> bool:
        """A wrong PIN was entered since the last right one."""
        return self.state.count_low

    @property
    def final_try(self) -> bool:
        """One wrong PIN locks it."""
        return self.state.final_try

    @property
    def locked(self) -> bool:
        """Even the right PIN is refused."""
        return self.state.locked

    @property
    def must_change(self) -> bool:
        """It is still the PIN the token came with."""
        return self.state.must_change

    def change(
        self,
        old: str | Pin | None = None,
        new: str | Pin | None = None,
        *,
        allow_last_try: bool = False,
    ) -> None:
        """Replace the user's PIN. `PinInvalid` for a bad ``new`` one spends no try.

        Without either, both are entered on the reader's keys: `CapabilityMissing` if it has none,
        `PinEntryCancelled`, `PinEntryTimedOut`.
        """
        self._change(PinReference.USER, old, new, allow_last_try=allow_last_try)

    def change_puk(
        self,
        old: str | Pin | None = None,
        new: str | Pin | None = None,
        *,
        allow_last_try: bool = False,
    ) -> None:
        """Replace the PUK, by the old one; without either as `change`."""
        self._change(PinReference.PUK, old, new, allow_last_try=allow_last_try)

    def _change(
        self,
        reference: PinReference,
        old: str | Pin | None,
        new: str | Pin | None,
        *,
        allow_last_try: bool,
    ) -> None:
        if old is None or new is None:
            if old is not new:
                raise PinInvalid(
                    "both the old and the new one, or neither, to enter them on the reader",
                    reference=reference.value,
                    rule="missing",
                )
            with self._reach() as driver:
                by_pad = _with_keys(driver, PinSupport.MODIFICATION)
                with _last_try_guarded(driver, reference, allow_last_try=allow_last_try):
                    by_pad.change_pin_by_pad(reference)
            return
        with (
            self._reach() as driver,
            borrowed(old, reference) as proof,
            borrowed(new, reference) as wanted,
            _last_try_guarded(driver, reference, allow_last_try=allow_last_try),
        ):
            driver.change_pin(reference, proof, wanted)

    def unblock(self, puk: str | Pin, new_pin: str | Pin, *, allow_last_try: bool = False) -> None:
        """Set a new user PIN and restore its tries. A wrong ``puk`` spends one of the PUK's."""
        with (
            self._reach() as driver,
            borrowed(puk, PinReference.PUK) as proof,
            borrowed(new_pin) as wanted,
            _last_try_guarded(driver, PinReference.PUK, allow_last_try=allow_last_try),
        ):
            driver.unblock_pin(proof, wanted)

    def unblock_challenge(self) -> bytes:
        """The bytes for the bank to sign; they name this token and are good once."""
        with self._reach() as driver:
            return driver.unblock_challenge()

    def unblock_by_bank(self, signature: bytes, new_pin: str | Pin) -> None:
        """Set a new user PIN and restore its tries, by the bank's signature on the challenge."""
        with self._reach() as driver, borrowed(new_pin) as wanted:
            driver.unblock_by_bank(signature, wanted)
