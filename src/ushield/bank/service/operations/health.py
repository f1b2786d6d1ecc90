"""Whether the service runs, and whether it can work."""

from __future__ import annotations

from ushield.bank.service.json_schema import reference
from ushield.bank.service.operation import Answer, Call, Operation

__all__ = ["OPERATIONS"]


def _live(call: Call) -> Answer:
    return Answer(body={"status": "live"})


def _ready(call: Call) -> Answer:
    call.bank.store.read(lambda connection: None)
    return Answer(body={"status": "ready"})


OPERATIONS = (
    Operation(
        name="live",
        method="GET",
        path="/health/live",
        tag="health",
        summary="Whether the service runs.",
        handler=_live,
        answers={200: reference("Status")},
    ),
    Operation(
        name="ready",
        method="GET",
        path="/health/ready",
        tag="health",
        summary="Whether the service reaches the bank's database; 503 if it does not.",
        handler=_ready,
        answers={200: reference("Status")},
    ),
)
