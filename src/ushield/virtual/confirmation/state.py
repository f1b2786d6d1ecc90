"""What the panel knows between two events, and what it reports of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ushield.shield.events import PanelEventKind, PanelKey
from ushield.shield.requests import RequestStage
from ushield.virtual.confirmation.events import Refusal

__all__ = ["ConfirmationState", "Notice", "Request", "Step"]

_NO_KEYS: frozenset[PanelKey] = frozenset()


class Notice(NamedTuple):
    """What the panel reports: a `PanelEvent` without its counter."""

    kind: PanelEventKind
    request_id: bytes
    value: int
    pages: int


@dataclass(frozen=True, slots=True)
class Request:
    """The request on the screen, or the last one that was. ``page`` counts from 1.

    ``pressed`` is when OK confirmed it; times in seconds, as the events gave them.
    """

    request_id: bytes
    pages: int
    begun: float
    deadline: float
    page: int = 1
    last_page_shown: bool = False
    stage: RequestStage = RequestStage.SHOWING
    pressed: float = 0.0

    @property
    def live(self) -> bool:
        """Whether a signature may still come of it."""
        return self.stage is RequestStage.SHOWING or self.stage is RequestStage.CONFIRMED


@dataclass(frozen=True, slots=True)
class ConfirmationState:
    """All there is to know between two events.

    ``pin_verified`` lasts until it is forgotten and serves the upkeep of keys and certificates;
    ``pin_unused`` serves signatures, and where the profile wants the PIN for each of them it ends
    with the first one begun.
    """

    pin_verified: bool = False
    pin_unused: bool = False
    keys_down: frozenset[PanelKey] = _NO_KEYS
    request: Request | None = None

    @property
    def live_request(self) -> Request | None:
        """The request on the screen now."""
        request = self.request
        return request if request is not None and request.live else None


class Step(NamedTuple):
    """What an event did: the state after it, the panel's reports, why the host was refused."""

    state: ConfirmationState
    notices: tuple[Notice, ...] = ()
    refusal: Refusal | None = None
