"""What went over a connection, for people and for replay: with no secret in it, ever.

Masking happens where an `Exchange` is made, before anything is stored: there is no object, however
short-lived, that holds a secret and is called traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

from ushield.errors import ApduInvalid, UShieldError
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.layer import Channel, ConnectionLayer, secure
from ushield.iso7816.masking import carries_secret
from ushield.iso7816.status import describe
from ushield.transport.connection import CardConnection
from ushield.transport.pin_pad import PinBlock, PinPad, PinSupport, pin_pad_of

__all__ = ["Exchange", "PanelReading", "RecordingConnection", "TrafficLog"]

_GET_RESPONSE = b"\xc0"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command APDU and its answer.

    ``command`` is the whole command, unless it is ``masked``: then its header (CLA INS P1 P2), or
    nothing if it is too malformed to tell header from body. ``length`` is how many bytes were
    sent; ``lc``, of a masked command, how many of them were data, where its length fields are
    sound. ``response`` ends with the status word (of a masked command, it is nothing else), and is
    ``None`` where no answer came. ``milliseconds`` is how long it took.

    ``ValueError`` for a command that is kept whole though it must not be.
    """

    command: bytes
    response: bytes | None
    milliseconds: float
    length: int
    lc: int | None = None
    masked: bool = False

    def __post_init__(self) -> None:
        if not self.masked:
            if _must_mask(self.command):
                raise ValueError("this command must be masked")
            if self.length != len(self.command) or self.lc is not None:
                raise ValueError("a command kept whole tells its lengths itself")
        elif (
            len(self.command) not in (0, 4)
            or len(self.command) > self.length
            or (self.response is not None and len(self.response) not in (0, 2))
        ):
            raise ValueError("of a masked command, header and status word are kept, no more")

    @classmethod
    def of(cls, command: bytes, response: bytes | None, milliseconds: float) -> Exchange:
        """What may be kept of ``command`` and ``response`` as they went over the wire."""
        size = len(command)
        if not _must_mask(command):
            return cls(command, response, milliseconds, size)
        header, lc = b"", None
        if carries_secret(command):
            header = command[:4]
            try:
                lc = len(CommandApdu.decode(command).data)
            except ApduInvalid:
                lc = None
        return cls(header, _status_only(response), milliseconds, size, lc, masked=True)

    def matches(self, command: bytes) -> bool:
        """Whether ``command``, as it would go over the wire, could be this one."""
        other = Exchange.of(command, None, 0.0)
        return (self.command, self.length, self.lc, self.masked) == (
            other.command,
            other.length,
            other.lc,
            other.masked,
        )

    def __str__(self) -> str:
        sent = self.command.hex(" ").upper()
        if self.masked:
            sent = f"{sent} [{self.length - len(self.command)} bytes hidden]".lstrip()
        if self.response is None:
            received = "no answer"
        elif len(self.response) < 2:
            received = f"{self.response.hex()} [no status word]".lstrip()
        else:
            data = self.response[:-2].hex(" ").upper()
            received = f"{data} {describe(int.from_bytes(self.response[-2:], 'big'))}".lstrip()
        return f"{sent} -> {received}, {self.milliseconds:.1f} ms"


@dataclass(frozen=True, slots=True)
class PanelReading:
    """One wait for the panel: the report that came, or ``None`` if none did."""

    report: bytes | None
    milliseconds: float

    def __str__(self) -> str:
        what = "nothing" if self.report is None else self.report.hex(" ").upper()
        return f"panel: {what}, {self.milliseconds:.1f} ms"


def _must_mask(command: bytes) -> bool:
    """Whether a body may hold a secret: by its instruction, or because nobody can tell."""
    if carries_secret(command):
        return True
    try:
        CommandApdu.decode(command)
    except ApduInvalid:
        return True
    return False


def _status_only(response: bytes | None) -> bytes | None:
    # A card that echoes its command must not bring the secret in by the back door.
    if response is None or not response:
        return response
    status = response[-2:]
    return status if len(status) == 2 and status[0] >> 4 in (0x6, 0x9) else b""


class TrafficLog:
    """Where a connection's traffic goes: ``sink`` is called with each record, in order.

    A list's ``append`` is a sink, and so is `TraceWriter.write`.
    """

    __slots__ = ("_after_secret", "_sink")

    def __init__(self, sink: Callable[[Exchange | PanelReading], object]) -> None:
        self._sink = sink
        self._after_secret = False

    def record(self, command: bytes, response: bytes | None, milliseconds: float) -> None:
        """Mask, then hand on. Of GET RESPONSE after a masked command the status word is kept."""
        exchange = Exchange.of(command, response, milliseconds)
        self._after_secret = exchange.masked or (
            self._after_secret and command[1:2] == _GET_RESPONSE
        )
        if self._after_secret and not exchange.masked:
            exchange = replace(exchange, response=_status_only(response))
        self._sink(exchange)

    def record_entry(self, header: bytes, response: bytes | None, milliseconds: float) -> None:
        """Hand on a command whose PIN was entered on the reader: its header is all there is."""
        self._after_secret = True
        self._sink(Exchange(header, _status_only(response), milliseconds, len(header), masked=True))

    def record_panel(self, report: bytes | None, milliseconds: float) -> None:
        """Hand on what a wait for the panel brought; there are no secrets in a report."""
        self._sink(PanelReading(report, milliseconds))


class _RecordingPad:
    """A `PinPad` that records what its entries come to."""

    def __init__(self, pad: PinPad, log: TrafficLog) -> None:
        self._pad = pad
        self._log = log

    @property
    def support(self) -> PinSupport:
        return self._pad.support

    def verify(self, block: PinBlock, *, timeout: int = 30) -> bytes:
        return self._entered(block, lambda: self._pad.verify(block, timeout=timeout))

    def change(self, block: PinBlock, *, timeout: int = 30) -> bytes:
        return self._entered(block, lambda: self._pad.change(block, timeout=timeout))

    def _entered(self, block: PinBlock, enter: Callable[[], bytes]) -> bytes:
        start, response = perf_counter(), None
        try:
            response = enter()
        finally:
            self._log.record_entry(block.header, response, (perf_counter() - start) * 1000)
        return response


class RecordingConnection(ConnectionLayer):
    """A `CardConnection` that records what goes over another one.

    A secure channel goes below it, so that plain commands are recorded (and secrets masked) and a
    replay needs no channel; with ``ciphertext`` above it, and what is on the wire is recorded.
    """

    def __init__(
        self, connection: CardConnection, log: TrafficLog, *, ciphertext: bool = False
    ) -> None:
        super().__init__(connection)
        self._log = log
        self._ciphertext = ciphertext

    def secured(self, channel: Channel) -> CardConnection:
        """The recording of what goes over the channel, or of what it makes of it."""
        if self._ciphertext:
            return channel(self)
        return RecordingConnection(secure(self._connection, channel), self._log)

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        """Send one command, and record it with its answer, or with none if an error is raised."""
        # Or two threads' exchanges would be recorded out of order.
        with self._connection.hold(timeout):
            start = perf_counter()
            try:
                response = self._connection.transmit(command, timeout=timeout)
            except UShieldError:
                self._log.record(command, None, (perf_counter() - start) * 1000)
                raise
            self._log.record(command, response, (perf_counter() - start) * 1000)
        return response

    @property
    def pin_pad(self) -> PinPad | None:
        """The reader's own keys, if any; entries are recorded."""
        pad = pin_pad_of(self._connection)
        return None if pad is None else _RecordingPad(pad, self._log)

    def read_panel(self, timeout: float) -> bytes | None:
        """Wait for the panel's next report, and record what came."""
        start = perf_counter()
        report = self._connection.read_panel(timeout)
        self._log.record_panel(report, (perf_counter() - start) * 1000)
        return report
