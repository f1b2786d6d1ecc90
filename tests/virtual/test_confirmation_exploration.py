"""No path reaches a signature without PIN, last page, a fresh OK after it, and a live request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ushield.shield.events import PanelKey
from ushield.shield.requests import RequestStage
from ushield.virtual.confirmation import (
    Cancel,
    ConfirmationMachine,
    ConfirmationState,
    PinForgotten,
    PowerOff,
    Refusal,
    Request,
    Step,
)

from .exploration import COLLECT_TIME, TIMEOUT, Violation, explore


@pytest.mark.parametrize("per_signature", [True, False])
def test_every_event_in_every_state_keeps_the_rules(per_signature: bool) -> None:
    found = explore(
        ConfirmationMachine(
            timeout=TIMEOUT, collect_time=COLLECT_TIME, pin_per_signature=per_signature
        )
    )
    assert found.nodes > 1000
    assert found.stages == frozenset(RequestStage)
    assert found.refusals == frozenset(Refusal)
    assert found.signatures > 0


class _WithoutPin(ConfirmationMachine):
    def pin_ready(self, state: ConfirmationState) -> bool:
        return True


class _WithoutBusy(ConfirmationMachine):
    def screen_free(self, state: ConfirmationState) -> bool:
        return True


class _WithoutKeysUp(ConfirmationMachine):
    def keys_up(self, state: ConfirmationState) -> bool:
        return True


class _CountsHeldKeys(ConfirmationMachine):
    def fresh_press(self, state: ConfirmationState, key: PanelKey) -> bool:
        return True


class _WithoutLastPage(ConfirmationMachine):
    def last_page_shown(self, request: Request) -> bool:
        return True


class _WithoutDeadline(ConfirmationMachine):
    def in_time(self, request: Request, now: float) -> bool:
        return True


class _TakesAnyId(ConfirmationMachine):
    def same_request(self, request: Request, request_id: bytes) -> bool:
        return True


class _WithoutOk(ConfirmationMachine):
    def confirmed(self, request: Request) -> bool:
        return True


class _SignsTwice(ConfirmationMachine):
    def unspent(self, request: Request) -> bool:
        return True


class _KeepsUsedPin(ConfirmationMachine):
    def after_use(self, state: ConfirmationState) -> bool:
        return True


class _SkipsPages(ConfirmationMachine):
    def next_page(self, request: Request) -> int:
        return request.pages


class _IgnoresCancelKey(ConfirmationMachine):
    def _reject(self, state: ConfirmationState, request: Request) -> Step:
        return Step(state)


class _IgnoresHostCancel(ConfirmationMachine):
    def _cancel(self, state: ConfirmationState, event: Cancel, now: float) -> Step:
        return Step(state)


class _RequestOutlivesLogout(ConfirmationMachine):
    def _pin_forgotten(self, state: ConfirmationState, event: PinForgotten, now: float) -> Step:
        return Step(replace(state, pin_verified=False, pin_unused=False))


class _PinOutlivesLogout(ConfirmationMachine):
    def _pin_forgotten(self, state: ConfirmationState, event: PinForgotten, now: float) -> Step:
        return self._withdraw(state)


class _RequestOutlivesReset(ConfirmationMachine):
    def _power_off(self, state: ConfirmationState, event: PowerOff, now: float) -> Step:
        return Step(replace(state, pin_verified=False, pin_unused=False))


class _PinOutlivesReset(ConfirmationMachine):
    def _power_off(self, state: ConfirmationState, event: PowerOff, now: float) -> Step:
        return Step(replace(state, request=None))


class _ResetForgetsHeldKeys(ConfirmationMachine):
    def _power_off(self, state: ConfirmationState, event: PowerOff, now: float) -> Step:
        return Step(ConfirmationState())


class _OkWithoutEffect(ConfirmationMachine):
    def _confirm(self, state: ConfirmationState, request: Request, now: float) -> Step:
        return Step(state)


@pytest.mark.parametrize(
    "mutant",
    [
        _WithoutPin,
        _WithoutBusy,
        _WithoutKeysUp,
        _CountsHeldKeys,
        _WithoutLastPage,
        _WithoutDeadline,
        _TakesAnyId,
        _WithoutOk,
        _SignsTwice,
        _KeepsUsedPin,
        _SkipsPages,
        _IgnoresCancelKey,
        _IgnoresHostCancel,
        _RequestOutlivesLogout,
        _PinOutlivesLogout,
        _RequestOutlivesReset,
        _PinOutlivesReset,
        _ResetForgetsHeldKeys,
        _OkWithoutEffect,
    ],
)
def test_the_exploration_notices_when_a_guard_is_gone(mutant: type[ConfirmationMachine]) -> None:
    machine = mutant(timeout=TIMEOUT, collect_time=COLLECT_TIME, pin_per_signature=True)
    with pytest.raises(Violation):
        explore(machine)
