"""A driver for programs, and readers and cards to drive them against, all in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from ushield.ccid import ClassDescriptor, ClearHalt, Control, Feature, Program, Receive, Send
from ushield.ccid.messages import (
    ChainParameter,
    MessageType,
    answer_type,
    data_block,
    escape_data,
    pack_frame,
    parameters_block,
    slot_status,
    time_extension,
    unpack_frame,
)
from ushield.errors import TransferTimeout, UShieldError

Result = TypeVar("Result")

AUTOMATIC = Feature.AUTO_VOLTAGE | Feature.AUTO_NEGOTIATION | Feature.AUTO_IFSD
ATR_T0 = bytes.fromhex("3B00")
ATR_T1 = bytes.fromhex("3B800181")


def descriptor(
    level: Feature = Feature.EXTENDED_APDU,
    *,
    features: int = AUTOMATIC,
    max_message_length: int = 271,
    slots: int = 1,
    voltage_support: int = 7,
    protocols: int = 3,
    data_rate_count: int = 0,
) -> ClassDescriptor:
    return ClassDescriptor(
        max_slot_index=slots - 1,
        voltage_support=voltage_support,
        protocols=protocols,
        features=level | features,
        max_message_length=max_message_length,
        data_rate_count=data_rate_count,
    )


class Clock:
    """Time that only passes where somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pipes:
    """What a transport offers, with nothing behind it: subclasses answer."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.incoming: deque[bytes | UShieldError] = deque()
        self.controls: list[Control] = []
        self.cleared = 0
        self.waits: list[float] = []

    def write(self, frame: bytes) -> None:
        self.sent.append(frame)

    def control(self, step: Control) -> bytes | None:
        self.controls.append(step)
        return None

    def run(self, program: Program[Result]) -> Result:
        """Drive ``program`` to its end; a wait for nothing takes all of its time."""
        answer: bytes | None = None
        failure: UShieldError | None = None
        try:
            while True:
                if failure is not None:
                    step, failure = program.throw(failure), None
                else:
                    step = program.send(answer)
                answer = None
                assert step.timeout > 0
                try:
                    answer = self._do(step)
                except UShieldError as error:
                    failure = error
        except StopIteration as finished:
            result: Result = finished.value
            return result

    def _do(self, step: Send | Receive | Control | ClearHalt) -> bytes | None:
        if isinstance(step, Send):
            self.write(step.data)
            return None
        if isinstance(step, Control):
            return self.control(step)
        if isinstance(step, ClearHalt):
            self.cleared += 1
            return None
        self.waits.append(step.timeout)
        if not self.incoming:
            self.clock.now += step.timeout
            raise TransferTimeout("nothing came")
        frame = self.incoming.popleft()
        if isinstance(frame, UShieldError):
            raise frame
        assert len(frame) <= step.size
        return frame


class SimulatedReader(Pipes):
    """A reader that does all CCID says, with a card that answers what XfrBlock brings.

    ``disturb`` takes every answer before it leaves, and gives what leaves instead.
    """

    def __init__(
        self,
        card: Callable[[bytes], bytes | None],
        *,
        atr: bytes = ATR_T0,
        max_message_length: int = 271,
    ) -> None:
        super().__init__()
        self.card = card
        self.atr = atr
        self.room = max_message_length - 10
        self.icc = 1
        self.powers: list[int] = []
        self.good_powers = {0, 1, 2, 3}
        self.parameters: tuple[int, bytes] = (0, bytes.fromhex("1100000A00"))
        self.parameters_error: int | None = None
        self.rates: tuple[int, ...] = ()
        self.extensions: list[int] = []
        self.disturb: Callable[[bytes], list[bytes]] = lambda frame: [frame]
        self._command = b""
        self._response = b""

    def write(self, frame: bytes) -> None:
        super().write(frame)
        kind, slot, seq, first, second, third, data = unpack_frame(frame)
        for multiplier in self.extensions:
            self.incoming.append(time_extension(slot, seq, multiplier, kind))
        self.extensions = []
        self.incoming.extend(
            self.disturb(self.reply(kind, slot, seq, (first, second, third), data))
        )

    def control(self, step: Control) -> bytes | None:
        super().control(step)
        if step.length:
            return b"".join(rate.to_bytes(4, "little") for rate in self.rates)
        return None

    def fail(self, kind: int, slot: int, seq: int, error: int) -> bytes:
        return pack_frame(answer_type(kind), slot, seq, 0x40 | self.icc, error, 0)

    def reply(
        self, kind: int, slot: int, seq: int, specific: tuple[int, int, int], data: bytes
    ) -> bytes:
        if kind == MessageType.ICC_POWER_ON:
            self.powers.append(specific[0])
            if self.icc == 2 or specific[0] not in self.good_powers:
                return self.fail(kind, slot, seq, 0xFE)
            self.icc = 0
            return data_block(slot, seq, self.atr)
        if kind == MessageType.ICC_POWER_OFF:
            self.icc = max(self.icc, 1)
        if answer_type(kind) == MessageType.SLOT_STATUS:
            return slot_status(slot, seq, self.icc)
        if kind == MessageType.ESCAPE:
            return escape_data(slot, seq, data[::-1], self.icc)
        if self.icc:
            return self.fail(kind, slot, seq, 0xFE)
        if answer_type(kind) == MessageType.PARAMETERS:
            if kind == MessageType.SET_PARAMETERS:
                if self.parameters_error is not None:
                    return self.fail(kind, slot, seq, self.parameters_error)
                self.parameters = (specific[0], data)
            return parameters_block(slot, seq, *self.parameters)
        return self._transfer(kind, slot, seq, specific[1], data)

    def _transfer(self, kind: int, slot: int, seq: int, level: int, data: bytes) -> bytes:
        if level == ChainParameter.CONTINUE:
            return self._part(slot, seq, begun=True)
        self._command += data
        if level in {ChainParameter.FIRST, ChainParameter.MIDDLE}:
            return data_block(slot, seq, b"", 0, 0, ChainParameter.CONTINUE)
        command, self._command = self._command, b""
        response = self.card(command)
        if response is None:
            return self.fail(kind, slot, seq, 0xFE)
        self._response = response
        return self._part(slot, seq, begun=False)

    def _part(self, slot: int, seq: int, *, begun: bool) -> bytes:
        part, self._response = self._response[: self.room], self._response[self.room :]
        if self._response:
            chain = ChainParameter.MIDDLE if begun else ChainParameter.FIRST
        else:
            chain = ChainParameter.LAST if begun else ChainParameter.WHOLE
        return data_block(slot, seq, part, 0, 0, chain)
