"""A recorded conversation with a card, as JSON lines: written while it goes on, read strictly.

The first line says what was recorded (``trace``, ``version``, ``atr``, the connection's limits,
whether there is a ``panel``), each further one is an `Exchange` or, with ``panel`` and
``milliseconds`` alone, a `PanelReading`. Bytes are lower-case hex. A masked command is its
header, ``length`` and ``lc``; what it hid is not in the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, TextIO

from ushield.errors import InputInvalid
from ushield.iso7816.traffic import Exchange, PanelReading
from ushield.transport.connection import ApduLimits

__all__ = [
    "TRACE_VERSION",
    "Trace",
    "TraceHeader",
    "TraceInvalid",
    "TraceWriter",
    "read_trace",
    "to_json",
]

TRACE_VERSION = 1
_FORMAT = "ushield"
_MAX_LINE = 1 << 19  # an extended command and its answer in hex take half of it
_MAX_MILLISECONDS = 1e15
_HEADER_KEYS = {"trace", "version", "atr", "max_command", "max_response", "extended", "panel"}
_PANEL_KEYS = {"panel", "milliseconds"}
_PLAIN_KEYS = {"command", "response", "masked", "milliseconds"}
_MASKED_KEYS = _PLAIN_KEYS | {"lc", "length"}


class TraceInvalid(InputInvalid):
    """A trace that was not written by `TraceWriter`; ``line`` counts from 1."""

    code = "trace-invalid"
    default_remedy = "Record the trace again."
    carries: ClassVar[tuple[str, ...]] = ("line",)

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(f"trace, line {line}: {message}")
        self.line = line


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """Which card was recorded, what fitted into one APDU there, and whether it has a panel."""

    atr: bytes
    limits: ApduLimits
    has_panel: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded conversation."""

    header: TraceHeader
    records: tuple[Exchange | PanelReading, ...]


class TraceWriter:
    """Writes a trace to a text stream, each line as soon as it is known: a crash loses nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, header: TraceHeader) -> None:
        """Write the first line."""
        limits = header.limits
        self._line(
            {
                "trace": _FORMAT,
                "version": TRACE_VERSION,
                "atr": header.atr.hex(),
                "max_command": limits.max_command,
                "max_response": limits.max_response,
                "extended": limits.extended,
                "panel": header.has_panel,
            }
        )

    def write(self, item: Exchange | PanelReading) -> None:
        """Write one record; a `TrafficLog` takes this as its sink."""
        self._line(to_json(item))

    def _line(self, record: dict[str, Any]) -> None:
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()


def to_json(item: Exchange | PanelReading) -> dict[str, Any]:
    """One record as its line of the trace holds it."""
    if isinstance(item, PanelReading):
        return {
            "panel": None if item.report is None else item.report.hex(),
            "milliseconds": round(item.milliseconds, 3),
        }
    record: dict[str, Any] = {
        "command": item.command.hex(),
        "response": None if item.response is None else item.response.hex(),
        "masked": item.masked,
        "milliseconds": round(item.milliseconds, 3),
    }
    if item.masked:
        record |= {"lc": item.lc, "length": item.length}
    return record


def read_trace(lines: Iterable[str]) -> Trace:
    """Read what `TraceWriter` wrote: an open file will do. `TraceInvalid` for anything else."""
    header: TraceHeader | None = None
    records: list[Exchange | PanelReading] = []
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            record = _load(line)
            if header is None:
                header = _header(record)
            elif "panel" in record:
                records.append(_panel_reading(record))
            else:
                records.append(_exchange(record))
        except (ValueError, RecursionError) as error:
            raise TraceInvalid(str(error), line=number) from error
    if header is None:
        raise TraceInvalid("empty", line=number + 1)
    return Trace(header, tuple(records))


def _load(line: str) -> dict[str, Any]:
    if len(line) > _MAX_LINE:
        raise ValueError(f"longer than {_MAX_LINE} characters")
    if not line.endswith("\n"):
        raise ValueError("cut short")
    record = json.loads(line, object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    if not isinstance(record, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for the caller
    return record


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key stands twice")
    return record


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _header(record: dict[str, Any]) -> TraceHeader:
    if record.get("trace") != _FORMAT:
        raise ValueError("not a trace")
    version = record.get("version")
    if type(version) is not int or version != TRACE_VERSION:
        raise ValueError(f"version {TRACE_VERSION} is what can be read here")
    _only(record, _HEADER_KEYS)
    return TraceHeader(
        _octets(record, "atr"),
        ApduLimits(
            _number(record, "max_command"),
            _number(record, "max_response"),
            _flag(record, "extended"),
        ),
        _flag(record, "panel"),
    )


def _panel_reading(record: dict[str, Any]) -> PanelReading:
    _only(record, _PANEL_KEYS)
    report = None if record["panel"] is None else _octets(record, "panel")
    return PanelReading(report, _duration(record))


def _exchange(record: dict[str, Any]) -> Exchange:
    masked = _flag(record, "masked")
    _only(record, _MASKED_KEYS if masked else _PLAIN_KEYS)
    command = _octets(record, "command")
    response = None if record["response"] is None else _octets(record, "response")
    milliseconds = _duration(record)
    if not masked:
        return Exchange(command, response, milliseconds, len(command))
    lc = None if record["lc"] is None else _number(record, "lc")
    return Exchange(command, response, milliseconds, _number(record, "length"), lc, masked=True)


def _duration(record: dict[str, Any]) -> float:
    milliseconds = record["milliseconds"]
    # Compared as it is: an integer of JSON may be too large for a float.
    if type(milliseconds) not in (int, float) or not 0 <= milliseconds <= _MAX_MILLISECONDS:
        raise ValueError("milliseconds is no duration")
    return float(milliseconds)


def _only(record: dict[str, Any], keys: set[str]) -> None:
    if record.keys() != keys:
        raise ValueError(f"the keys are not {', '.join(sorted(keys))}")


def _octets(record: dict[str, Any], key: str) -> bytes:
    value = record[key]
    octets = bytes.fromhex(value) if isinstance(value, str) else b""
    if octets.hex() != value:
        raise ValueError(f"{key} is not lower-case hex")
    return octets


def _number(record: dict[str, Any], key: str) -> int:
    value = record[key]
    if type(value) is not int or value < 0:
        raise ValueError(f"{key} is no count")
    return value


def _flag(record: dict[str, Any], key: str) -> bool:
    value = record.get(key)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is neither true nor false")  # noqa: TRY004 - as above
    return value
