"""A card that says again what a trace recorded."""

from __future__ import annotations

from contextlib import AbstractContextManager
from threading import RLock

from ushield.ccid.messages import MAX_EXTENDED_COMMAND, MAX_EXTENDED_RESPONSE
from ushield.errors import InputInvalid, TokenRemoved, TransferTimeout
from ushield.iso7816.layer import Channel
from ushield.iso7816.trace import Trace
from ushield.iso7816.traffic import Exchange, PanelReading
from ushield.transport.connection import ApduLimits, CardConnection, DeviceInfo

__all__ = ["ReplayConnection", "ReplayDiverged"]


class ReplayDiverged(InputInvalid):
    """The commands now are not those of the trace."""

    code = "replay-diverged"
    default_remedy = "Replay the trace with the command it was recorded of, or record it again."


class ReplayConnection:
    """A `CardConnection` over a `Trace`: the recorded commands and waits for the panel, in their
    order, get the recorded answers; any other is `ReplayDiverged`.

    A masked command matches by its header and lengths: a replay does not know PINs. Where the
    trace has no answer, none comes (`TransferTimeout`).
    """

    def __init__(self, trace: Trace, spec: str = "replay:") -> None:
        self._trace = trace
        self._limits = _limits(trace)
        self._next = 0
        self._lock = RLock()
        self._closed = False
        self._device = DeviceInfo(spec)

    @property
    def device(self) -> DeviceInfo:
        """No device, but the name given for one."""
        return self._device

    @property
    def atr(self) -> bytes:
        """The recorded card's answer to reset."""
        return self._trace.header.atr

    @property
    def limits(self) -> ApduLimits:
        """What fitted into one APDU when the trace was recorded.

        Above a secure channel more does than the reader's own limits say.
        """
        return self._limits

    def secured(self, channel: Channel) -> CardConnection:
        """This replay as it is: what it replays was recorded above the channel."""
        del channel
        return self

    @property
    def has_panel(self) -> bool:
        """Whether the recorded card had a panel."""
        return self._trace.header.has_panel

    @property
    def left(self) -> tuple[Exchange | PanelReading, ...]:
        """What of the trace was not replayed yet."""
        return self._trace.records[self._next :]

    def hold(self, timeout: float | None = None) -> AbstractContextManager[object]:
        """Keep other threads' commands out; nothing that they do here takes time."""
        del timeout
        return self._lock

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        """The recorded answer to ``command``, if that is what comes next in the trace."""
        with self._lock:
            exchange = self._take()
            if isinstance(exchange, PanelReading) or not exchange.matches(command):
                raise self._diverged(exchange, Exchange.of(command, None, 0.0).command.hex())
            self._next += 1
            if exchange.response is None:
                raise TransferTimeout("the trace has no answer here")
            return exchange.response

    def read_panel(self, timeout: float) -> bytes | None:
        """The report recorded here, or ``None`` where none came; at once in either case."""
        with self._lock:
            reading = self._take()
            if isinstance(reading, Exchange):
                raise self._diverged(reading, "a wait for the panel")
            self._next += 1
            return reading.report

    def reset(self) -> bytes:
        """The recorded answer to reset."""
        return self.atr

    def close(self) -> None:
        """End the replay."""
        self._closed = True

    def _take(self) -> Exchange | PanelReading:
        if self._closed:
            raise TokenRemoved("the replay is closed")
        if self._next == len(self._trace.records):
            raise ReplayDiverged("the trace has ended, and more is asked of the card")
        return self._trace.records[self._next]

    def _diverged(self, recorded: Exchange | PanelReading, now: str) -> ReplayDiverged:
        then = (
            "a wait for the panel"
            if isinstance(recorded, PanelReading)
            else (recorded.command.hex())
        )
        return ReplayDiverged(f"record {self._next + 1} of the trace is {then}, now comes {now}")


def _limits(trace: Trace) -> ApduLimits:
    limits = trace.header.limits
    commands = [item.command for item in trace.records if isinstance(item, Exchange)]
    if limits.extended or not any(len(one) > 5 and not one[4] for one in commands):
        return limits
    return ApduLimits(MAX_EXTENDED_COMMAND, MAX_EXTENDED_RESPONSE, extended=True)
