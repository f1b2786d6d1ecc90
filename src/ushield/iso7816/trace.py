"""A recorded conversation with a card, as JSON lines: written while it goes on, read strictly.

The first line says what was recorded (``trace``, ``version``, ``atr``, and the connection's
limits), each further one is an `Exchange`. Bytes are lower-case hex. A masked command is its
header, ``length`` and ``lc``; what it hid is not in the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, NoReturn, TextIO

from ushield.errors import InputInvalid
from ushield.iso7816.traffic import Exchange
from ushield.transport.connection import ApduLimits

__all__ = ["TRACE_VERSION", "Trace", "TraceHeader", "TraceInvalid", "TraceWriter", "read_trace"]

TRACE_VERSION = 1
_FORMAT = "ushield"
_MAX_LINE = 1 << 19  # an extended command and its answer in hex take half of it
_HEADER_KEYS = {"trace", "version", "atr", "max_command", "max_response", "extended"}
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
    """Which card was recorded, and what fitted into one APDU there."""

    atr: bytes
    limits: ApduLimits


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded conversation."""

    header: TraceHeader
    exchanges: tuple[Exchange, ...]


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
            }
        )

    def write(self, exchange: Exchange) -> None:
        """Write one exchange; a `TrafficLog` takes this as its sink."""
        record: dict[str, Any] = {
            "command": exchange.command.hex(),
            "response": None if exchange.response is None else exchange.response.hex(),
            "masked": exchange.masked,
            "milliseconds": round(exchange.milliseconds, 3),
        }
        if exchange.masked:
            record |= {"lc": exchange.lc, "length": exchange.length}
        self._line(record)

    def _line(self, record: dict[str, Any]) -> None:
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()


def read_trace(lines: Iterable[str]) -> Trace:
    """Read what `TraceWriter` wrote: an open file will do. `TraceInvalid` for anything else."""
    header: TraceHeader | None = None
    exchanges = []
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            record = _load(line)
            if header is None:
                header = _header(record)
            else:
                exchanges.append(_exchange(record))
        except (ValueError, RecursionError) as error:
            raise TraceInvalid(str(error), line=number) from error
    if header is None:
        raise TraceInvalid("empty", line=number + 1)
    return Trace(header, tuple(exchanges))


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
    if record.get("version") != TRACE_VERSION:
        raise ValueError(f"version {TRACE_VERSION} is what can be read here")
    _only(record, _HEADER_KEYS)
    return TraceHeader(
        _octets(record, "atr"),
        ApduLimits(
            _number(record, "max_command"),
            _number(record, "max_response"),
            _flag(record, "extended"),
        ),
    )


def _exchange(record: dict[str, Any]) -> Exchange:
    masked = _flag(record, "masked")
    _only(record, _MASKED_KEYS if masked else _PLAIN_KEYS)
    command = _octets(record, "command")
    response = None if record["response"] is None else _octets(record, "response")
    milliseconds = record["milliseconds"]
    if type(milliseconds) not in (int, float) or not isfinite(milliseconds) or milliseconds < 0:
        raise ValueError("milliseconds is no duration")
    if not masked:
        return Exchange(command, response, float(milliseconds), len(command))
    lc = None if record["lc"] is None else _number(record, "lc")
    return Exchange(
        command, response, float(milliseconds), _number(record, "length"), lc, masked=True
    )


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
