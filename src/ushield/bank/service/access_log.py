"""What the service writes down of each request: who asked for what, and what came of it.

A line of JSON each. Paths stand there as the OpenAPI document has them, so that no customer's,
token's or challenge's id does; bodies, headers and the words of errors do not.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

__all__ = ["LOGGER", "JsonLines", "RequestRecord", "log_failure", "log_request"]

LOGGER = logging.getLogger("ushield.bank.service")


@dataclass(slots=True)
class RequestRecord:
    """One request, as far as it is known yet."""

    method: str
    request_id: str = field(default_factory=lambda: str(uuid4()))
    route: str | None = None
    client: str | None = None
    status: int = 0
    code: str | None = None
    reason: str | None = None
    begun: float = field(default_factory=time.monotonic)


def log_request(record: RequestRecord) -> None:
    """Write a request down that was answered."""
    facts = {
        "request": record.request_id,
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "code": record.code,
        "reason": record.reason,
        "client": record.client,
        "milliseconds": round((time.monotonic() - record.begun) * 1000, 1),
    }
    LOGGER.info("request", extra={"facts": facts})


def log_failure(record: RequestRecord, error: BaseException, *, words: str | None = None) -> None:
    """Write down where in the code something went wrong.

    ``words`` are the error's, where they are known to hold nobody's data; left out, its kind and
    place must do.
    """
    places = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    cause = error.__cause__
    facts = {
        "request": record.request_id,
        "error": type(error).__name__,
        "cause": None if cause is None else type(cause).__name__,
        "words": words,
        "places": places[-8:],
    }
    LOGGER.error("failure", extra={"facts": facts})


class JsonLines(logging.Formatter):
    """Formats a record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts = {"at": at, "level": record.levelname.lower(), "event": record.getMessage()}
        facts |= getattr(record, "facts", {})
        return json.dumps(facts, ensure_ascii=True)
