"""Connections for tests of what stands above them: to a card OS in process, or to a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from threading import RLock

from tests.virtual.applets import StillApplet
from ushield.errors import UShieldError
from ushield.iso7816.layer import Channel, ConnectionLayer, secure
from ushield.iso7816.status import StatusWord
from ushield.iso7816.traffic import Exchange, TrafficLog
from ushield.transport.connection import ApduLimits, CardConnection, DeviceInfo
from ushield.virtual.card import Card

SHORT = ApduLimits(max_command=261, max_response=258, extended=False)
EXTENDED = ApduLimits(max_command=65544, max_response=65538, extended=True)


class DirectConnection:
    """A `CardConnection` with nothing between host and card: ``transmit`` is a function."""

    def __init__(
        self,
        transmit: Callable[[bytes], bytes],
        limits: ApduLimits = EXTENDED,
        power_on: Callable[[], bytes] = lambda: b"\x3b\x00",
    ) -> None:
        self._transmit = transmit
        self._power_on = power_on
        self._lock = RLock()
        self.limits = limits
        self.atr = power_on()
        self.device = DeviceInfo("test:1")
        self.has_panel = False
        self.commands: list[bytes] = []
        self.timeouts: list[float | None] = []
        self.closed = 0

    def hold(self, timeout: float | None = None) -> AbstractContextManager[object]:
        del timeout
        return self._lock

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        assert len(command) <= self.limits.max_command
        with self._lock:
            self.commands.append(command)
            self.timeouts.append(timeout)
            response = self._transmit(command)
        assert len(response) <= self.limits.max_response
        return response

    def read_panel(self, timeout: float) -> bytes | None:
        return None

    def reset(self) -> bytes:
        return self._power_on()

    def close(self) -> None:
        self.closed += 1


class AlteringConnection(ConnectionLayer):
    """A connection to a card that says something else, inside its secure channel as well."""

    def __init__(self, connection: CardConnection, alter: Callable[[bytes, bytes], bytes]) -> None:
        super().__init__(connection)
        self._alter = alter

    def secured(self, channel: Channel) -> CardConnection:
        return AlteringConnection(secure(self._connection, channel), self._alter)

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        return self._alter(command, self._connection.transmit(command, timeout=timeout))


def to_card(card: Card, limits: ApduLimits = EXTENDED) -> DirectConnection:
    return DirectConnection(card.transmit, limits, card.power_on)


def scripted(
    answers: Iterable[bytes | str | UShieldError], limits: ApduLimits = EXTENDED
) -> DirectConnection:
    """A card that gives these answers, in hex or bytes, whatever it is asked."""
    queue = iter(answers)

    def transmit(command: bytes) -> bytes:
        answer = next(queue)
        if isinstance(answer, UShieldError):
            raise answer
        return bytes.fromhex(answer) if isinstance(answer, str) else answer

    return DirectConnection(transmit, limits)


class EchoApplet(StillApplet):
    """An application on a real card OS: INS 10 echoes its data, INS 12 answers P1 P2 bytes."""

    aids = (b"echo!",)

    def process(
        self, cla: int, ins: int, p1: int, p2: int, data: bytes, *, secured: bool = False
    ) -> tuple[bytes, int]:
        if ins == 0x10:
            return data, StatusWord.SUCCESS
        if ins == 0x12:
            return bytes(at % 251 for at in range(p1 << 8 | p2)), StatusWord.SUCCESS
        return b"", StatusWord.INS_NOT_SUPPORTED


def echo_connection(limits: ApduLimits = EXTENDED) -> DirectConnection:
    """A card OS with the echo application selected."""
    connection = to_card(Card([EchoApplet()]), limits)
    (aid,) = EchoApplet.aids
    select = bytes((0, 0xA4, 4, 0, len(aid))) + aid
    assert connection.transmit(select) == b"\x90\x00"
    connection.commands.clear()
    connection.timeouts.clear()
    return connection


def commands_log(exchanges: list[Exchange]) -> TrafficLog:
    """A log that keeps the commands, and fails if there is anything else."""

    def keep(item: object) -> None:
        assert isinstance(item, Exchange)
        exchanges.append(item)

    return TrafficLog(keep)
