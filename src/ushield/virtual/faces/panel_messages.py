"""What is said at a served token's panel: keys to press, and the screen after them; no I/O.

One JSON object a line, one line each way.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from ushield.errors import ProtocolViolation
from ushield.shield.events import PanelKey

__all__ = ["MAX_KEYS", "MAX_LINE", "PanelRequest", "PanelView"]

MAX_LINE: Final = 16_384
"""Bytes of a line at most, its end included."""

MAX_KEYS: Final = 64
"""Keys of one request at most."""


@dataclass(frozen=True, slots=True)
class PanelRequest:
    """Press ``keys`` one after the other, and tell what is on the screen then."""

    keys: tuple[PanelKey, ...] = ()

    def encode(self) -> bytes:
        """The line as sent."""
        return _line({"press": [key.name.lower() for key in self.keys]})

    @classmethod
    def decode(cls, line: bytes) -> PanelRequest:
        """Read a line; `ProtocolViolation`."""
        names = _fields(line, press=list)["press"]
        try:
            keys = tuple(PanelKey[name.upper()] for name in names)
        except (KeyError, AttributeError) as error:
            raise ProtocolViolation(f"no such key on the panel: {error}") from error
        if len(keys) > MAX_KEYS:
            raise ProtocolViolation(f"{len(keys)} keys at once")
        return cls(keys)


@dataclass(frozen=True, slots=True)
class PanelView:
    """The panel of the token ``serial``: its lines, and which page of how many they are.

    ``page`` and ``pages`` are 0 while no request waits for a key.
    """

    serial: str
    screen: tuple[str, ...]
    page: int
    pages: int

    def encode(self) -> bytes:
        """The line as sent."""
        return _line(asdict(self))

    @classmethod
    def decode(cls, line: bytes) -> PanelView:
        """Read a line; `ProtocolViolation`."""
        fields = _fields(line, serial=str, screen=list, page=int, pages=int)
        if not all(isinstance(row, str) for row in fields["screen"]):
            raise ProtocolViolation("a screen consists of lines")
        return cls(**fields | {"screen": tuple(fields["screen"])})


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode("ascii") + b"\n"


def _fields(line: bytes, **kinds: type) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation("no JSON on the panel's socket") from error
    if (
        not isinstance(fields, dict)
        or fields.keys() != kinds.keys()
        or any(type(fields[name]) is not kind for name, kind in kinds.items())
    ):
        raise ProtocolViolation("unknown words on the panel's socket")
    return fields
