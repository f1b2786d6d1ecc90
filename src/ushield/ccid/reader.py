"""A CCID reader, or a token with one built in, as programs that a transport drives.

See `ushield.ccid.steps` for what driving means. One program at a time may run on one reader.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from ushield.ccid.activation import Activation, activate, list_rates, required, run_blocks
from ushield.ccid.atr import Atr
from ushield.ccid.chaining import collect_response, send_command
from ushield.ccid.channel import Answer, Channel, Patience, Quirks
from ushield.ccid.descriptor import ClassDescriptor, ExchangeLevel
from ushield.ccid.errors import EndpointHalted, SlotErrorCode, slot_error
from ushield.ccid.messages import (
    HEADER,
    HEADER_LENGTH,
    MAX_EXTENDED_COMMAND,
    MAX_EXTENDED_RESPONSE,
    IccStatus,
    MessageType,
)
from ushield.ccid.notify import Notification, parse_notification
from ushield.ccid.parameters import ProtocolParameters, decode_parameters
from ushield.ccid.pin_entry import PinEntry
from ushield.ccid.steps import ClassRequest, ClearHalt, Program, Receive, Send
from ushield.ccid.t0 import check_short_command, exchange
from ushield.errors import (
    ApduInvalid,
    CapabilityMissing,
    ProtocolViolation,
    SlotEmpty,
    TokenRemoved,
    TransferTimeout,
)

__all__ = ["CcidReader", "ExchangeLimits"]

_OPEN_ATTEMPTS: Final = 3
_ENTRY_ENDED: Final[dict[int | None, bytes]] = {
    SlotErrorCode.PIN_CANCELLED: b"\x64\x01",
    SlotErrorCode.PIN_TIMEOUT: b"\x64\x00",
}
_SHORT_COMMAND: Final = 4 + 1 + 255 + 1
_SHORT_RESPONSE: Final = 256 + 2


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """How long APDUs may be in a slot, in bytes with header, length fields and status word."""

    command: int
    response: int
    extended: bool


class CcidReader:
    """The state of one reader: its slots, the cards in them, its place in the sequence.

    ``clock`` gives monotonic seconds and is only read to keep deadlines. Every program that waits
    ends within the time it was given, whatever extensions the reader asks for. Programs raise

    - `SlotEmpty` with no card in the slot, `TokenRemoved` if the card was pulled out or lost its
      power since `power_on`, or was never powered,
    - a `SlotError` if the reader cannot do the command,
    - `ProtocolViolation` if it answers nonsense, `TransferTimeout` if it does not answer in time:
      after these two, or a program closed half-way, the next one first resynchronises,
    - `InputInvalid` for what this reader cannot take, before anything is sent,

    and pass on whatever the transport throws in.
    """

    def __init__(
        self,
        descriptor: ClassDescriptor,
        *,
        quirks: Quirks | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.descriptor = descriptor
        self._channel = Channel(descriptor, quirks or Quirks(), clock)
        self._clock = clock
        self._cards: dict[int, Activation] = {}
        self._direct: dict[int, Receive] = {}
        self._write_timeout = self._channel.quirks.write_timeout
        self._room = descriptor.max_message_length - HEADER_LENGTH

    @property
    def in_step(self) -> bool:
        """Whether the last command got its answer; if not, the next one resynchronises first."""
        return self._channel.in_flight is None

    def open(self) -> Program[tuple[IccStatus, ...]]:
        """Find the reader ready, whatever it was left in; the state of each slot."""
        timeout, attempts = self._channel.quirks.recovery_timeout, _OPEN_ATTEMPTS
        while True:
            # What lies in the pipes is another program's; an abort is for commands of our own.
            self._channel.in_flight = None
            attempts -= 1
            try:
                yield from self._status(0, timeout)
                break
            except (ProtocolViolation, TransferTimeout):
                if not attempts:
                    raise
            except EndpointHalted:
                if not attempts:
                    raise
                yield ClearHalt(timeout)
        states: list[IccStatus] = []
        for slot in range(self.descriptor.slot_count):
            states += [(yield from self.slot_status(slot))]
        return tuple(states)

    def slot_status(self, slot: int) -> Program[IccStatus]:
        """Whether a card is in the slot, and whether it is powered."""
        return (yield from self._status(slot, self._channel.quirks.read_timeout))

    def power_on(self, slot: int) -> Program[Atr]:
        """Power the card, or reset a powered one, up to the point where it takes APDUs.

        Voltage, parameters, PPS and IFSD are settled as far as the reader leaves them to the host.
        Also `AtrInvalid`, and `CapabilityMissing` for a card or reader of another protocol.
        """
        level = self.descriptor.level
        if level is ExchangeLevel.CHARACTER:
            raise CapabilityMissing(
                "this reader exchanges single characters only", capability="exchange-level"
            )
        self._forget(slot)
        deadline = self._clock() + self._channel.quirks.command_timeout
        card = yield from activate(self._channel, slot, deadline)
        self._cards[slot] = card
        if level is ExchangeLevel.EXTENDED_APDU:
            self._direct[slot] = Receive(card.wait, self._channel.buffer)
        return card.atr

    def power_off(self, slot: int) -> Program[None]:
        """Take the power from the card; harmless if it has none."""
        self._forget(slot)
        answer = yield from self._command(MessageType.ICC_POWER_OFF, slot)
        if answer.error is not None and answer.icc == IccStatus.ACTIVE:
            raise slot_error(slot, answer.error)

    def transmit(self, slot: int, command: bytes, timeout: float) -> Program[bytes]:
        """Carry a command APDU to the card; the response APDU as the card gave it.

        ``timeout`` in seconds bounds the whole exchange. `ApduInvalid` for a command that is none
        or is too long for reader and card (`limits`). A command is never sent to the card twice,
        unless the card itself asked for it.
        """
        # One message each way, with nothing to settle, is what nearly every APDU is: no calls here.
        channel = self._channel
        receive = self._direct.get(slot)
        length = len(command)
        if (
            receive is None
            or not 4 <= length <= self._room
            or channel.in_flight is not None
            or timeout <= 0
        ):
            return (yield from self._transmit_otherwise(slot, command, timeout))
        deadline = self._clock() + timeout
        seq = channel.sequence
        channel.sequence = (seq + 1) & 0xFF
        channel.in_flight = slot
        sent = HEADER.pack(0x6F, length, slot, seq, 0, 0, 0) + command
        within = timeout if timeout < self._write_timeout else self._write_timeout
        # As Send(sent, within), at half its cost.
        yield tuple.__new__(Send, (sent, within))
        if timeout < receive.timeout + within:
            receive = Receive(channel.within(receive.timeout, deadline), receive.size)
        frame = yield receive
        length = len(frame) - 10
        if 2 <= length <= self._room:
            kind, announced, its_slot, its_seq, status, _, chain = HEADER.unpack_from(frame)
            if (
                kind == 0x80
                and announced == length
                and its_seq == seq
                and its_slot == slot
                and not status
                and not chain
            ):
                channel.in_flight = None
                response: bytes = frame[10:]
                return response
        with self._watching(slot):
            rest = Patience(self._cards[slot].wait, deadline)
            answer = yield from channel.answer(slot, seq, 0x80, rest, frame)
            required(answer, slot)
            return _response_apdu((yield from collect_response(channel, slot, answer, rest)))

    def abort(self, slot: int) -> Program[None]:
        """End the command under way in the slot, after its program was closed (section 5.3.1)."""
        yield from self._recover(slot)

    def resynchronise(self, slot: int) -> Program[None]:
        """Bring reader and host into step again, if they are not; programs do so by themselves."""
        if self._channel.in_flight is not None:
            yield from self._recover(slot)

    def escape(self, slot: int, data: bytes, timeout: float) -> Program[bytes]:
        """Send the reader, not the card, bytes of its maker's own meaning."""
        answer = yield from self._command(MessageType.ESCAPE, slot, data=data, timeout=timeout)
        if answer.error is not None:
            raise slot_error(slot, answer.error)
        return answer.data

    def secure(self, slot: int, entry: PinEntry) -> Program[bytes]:
        """Have the person enter a PIN on the reader's keys; the card's response APDU.

        Or, as PC/SC part 10 has it, 6401 for an entry cancelled there and 6400 for one that nobody
        finished. Waits as long as ``entry`` says, time extensions included.
        """
        card, t1 = self._cards.get(slot), None
        if card is None:
            raise TokenRemoved(f"there is no powered card in slot {slot}")
        with self._watching(slot):
            if card.t1 is not None:
                t1, deadline = card.t1, self._clock() + entry.patience
                patience = Patience(card.wait, deadline)
                yield from run_blocks(self._channel, slot, t1.settle(), patience)
                entry = replace(entry, prologue=t1.prologue())
            answer = yield from self._command(
                MessageType.SECURE,
                slot,
                data=entry.encode(),
                timeout=entry.patience,
                wait=entry.patience,
            )
            if answer.error in _ENTRY_ENDED and answer.icc == IccStatus.ACTIVE:
                if t1 is not None:
                    t1.keep_step()
                return _ENTRY_ENDED[answer.error]
            response = required(answer, slot).data
        return _response_apdu(response if t1 is None else t1.take_secured(response))

    def get_parameters(self, slot: int) -> Program[ProtocolParameters]:
        """The protocol and parameters in force."""
        return (yield from self._parameters(MessageType.GET_PARAMETERS, slot))

    def reset_parameters(self, slot: int) -> Program[ProtocolParameters]:
        """Go back to the reader's defaults; what they are."""
        return (yield from self._parameters(MessageType.RESET_PARAMETERS, slot))

    def set_parameters(
        self, slot: int, parameters: ProtocolParameters
    ) -> Program[ProtocolParameters]:
        """Change protocol or parameters; what is in force then."""
        return (
            yield from self._parameters(
                MessageType.SET_PARAMETERS, slot, parameters.protocol, parameters.encode()
            )
        )

    def data_rates(self) -> Program[tuple[int, ...]]:
        """The reader's list of data rates in bit/s; empty if it has none or keeps silent."""
        return (
            yield from list_rates(
                self._channel, ClassRequest.GET_DATA_RATES, self.descriptor.data_rate_count
            )
        )

    def clock_frequencies(self) -> Program[tuple[int, ...]]:
        """The reader's list of clock frequencies in kHz; empty if it has none or keeps silent."""
        return (
            yield from list_rates(
                self._channel, ClassRequest.GET_CLOCK_FREQUENCIES, self.descriptor.clock_count
            )
        )

    def limits(self, slot: int) -> ExchangeLimits:
        """What fits into one APDU; at TPDU level that depends on the card, once it is powered."""
        card = self._cards.get(slot)
        by_blocks = card is not None and card.t1 is not None
        if self.descriptor.level is ExchangeLevel.EXTENDED_APDU or by_blocks:
            return ExchangeLimits(MAX_EXTENDED_COMMAND, MAX_EXTENDED_RESPONSE, extended=True)
        return ExchangeLimits(min(_SHORT_COMMAND, self._room), _SHORT_RESPONSE, extended=False)

    def parse_notification(self, data: bytes) -> Notification:
        """Read one transfer of this reader's interrupt endpoint; `FrameInvalid`."""
        return parse_notification(data, self.descriptor.slot_count)

    def _transmit_otherwise(self, slot: int, command: bytes, timeout: float) -> Program[bytes]:
        deadline = self._clock() + timeout
        card = self._cards.get(slot)
        if card is None:
            raise TokenRemoved(f"there is no powered card in slot {slot}")
        if not 4 <= len(command) <= self.limits(slot).command:
            raise ApduInvalid(f"a command APDU of {len(command)} bytes for this reader and card")
        patience = Patience(card.wait, deadline)
        with self._watching(slot):
            if card.t1 is not None:
                blocks = card.t1.transmit(command)
                response = yield from run_blocks(self._channel, slot, blocks, patience)
            elif self.descriptor.level is ExchangeLevel.TPDU:
                response = yield from self._transmit_t0(slot, command, patience)
            else:
                if self.descriptor.level is ExchangeLevel.SHORT_APDU:
                    check_short_command(command)
                answer = yield from send_command(self._channel, slot, command, patience)
                response = yield from collect_response(self._channel, slot, answer, patience)
        return _response_apdu(response)

    def _transmit_t0(self, slot: int, command: bytes, patience: Patience) -> Program[bytes]:
        program = exchange(command)
        try:
            tpdu = next(program)
            while True:
                answer = yield from self._channel.command(
                    MessageType.XFR_BLOCK, slot, patience, data=tpdu
                )
                tpdu = program.send(required(answer, slot).data)
        except StopIteration as finished:
            response: bytes = finished.value
            return response

    def _recover(self, slot: int) -> Program[None]:
        deadline = self._clock() + self._channel.quirks.command_timeout
        yield from self._channel.recover(slot, deadline)

    def _status(self, slot: int, timeout: float) -> Program[IccStatus]:
        answer = yield from self._command(MessageType.GET_SLOT_STATUS, slot, timeout=timeout)
        if answer.icc != IccStatus.ACTIVE:
            self._forget(slot)
        elif answer.error is not None:
            raise slot_error(slot, answer.error)
        return IccStatus(answer.icc)

    def _parameters(
        self, kind: int, slot: int, protocol: int = 0, data: bytes = b""
    ) -> Program[ProtocolParameters]:
        answer = yield from self._command(kind, slot, (protocol, 0, 0), data)
        with self._watching(slot):
            required(answer, slot)
        return decode_parameters(answer.third, answer.data)

    def _command(
        self,
        kind: int,
        slot: int,
        specific: tuple[int, int, int] = (0, 0, 0),
        data: bytes = b"",
        *,
        timeout: float | None = None,
        wait: float | None = None,
    ) -> Program[Answer]:
        """A command with ``timeout`` for everything; without one the reader has its usual time.

        Time extensions make room for themselves only where a caller gave the time for them.
        """
        quirks = self._channel.quirks
        total = quirks.command_timeout if timeout is None else timeout
        single = quirks.read_timeout if wait is None else wait
        return (
            yield from self._channel.command(
                kind, slot, Patience(single, self._clock() + total), specific, data
            )
        )

    def _forget(self, slot: int) -> None:
        self._cards.pop(slot, None)
        self._direct.pop(slot, None)

    @contextmanager
    def _watching(self, slot: int) -> Generator[None, None, None]:
        """Forget a card that turns out to be gone: what comes next is another one."""
        try:
            yield
        except SlotEmpty as error:
            self._forget(slot)
            raise TokenRemoved(f"the card was pulled out of slot {slot}") from error
        except TokenRemoved:
            self._forget(slot)
            raise


def _response_apdu(response: bytes) -> bytes:
    if len(response) < 2:
        raise ProtocolViolation(f"a response APDU of {len(response)} bytes has no status word")
    return response
