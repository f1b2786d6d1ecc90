"""Commands to a reader and the answers that belong to them (CCID Rev 1.1, sections 5.3.1 and 6).

One counter numbers all commands of a device. An answer counts only with the slot and the number of
its command; older ones are dropped. A command that got no answer leaves the connection out of step:
it is brought back before the next command, by an abort.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from ushield.ccid.descriptor import ClassDescriptor
from ushield.ccid.errors import EndpointHalted, FrameInvalid, SlotErrorCode
from ushield.ccid.messages import (
    HEADER,
    HEADER_LENGTH,
    MAX_EXTENDED_COMMAND,
    CommandStatus,
    IccStatus,
    MessageType,
    answer_type,
    pack_frame,
)
from ushield.ccid.steps import ClassRequest, ClearHalt, Control, Program, Receive, Send
from ushield.errors import InputInvalid, ProtocolViolation, TransferTimeout

__all__ = ["Answer", "Channel", "Patience", "Quirks"]

_BUFFER: Final = 65536
# No message carries more than the longest APDU, whatever the descriptor says: a device must not
# choose how much memory the host takes for it.
_LONGEST: Final = HEADER_LENGTH + MAX_EXTENDED_COMMAND
_MAX_STALE: Final = 256
_ATTEMPTS: Final = 3
_USB_PACKET: Final = 64


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where one model of reader needs other treatment; waits in seconds.

    ``read_timeout`` is how long a reader may stay silent, no time extension coming, before it is
    given up; ``command_timeout`` how long a command may take in all where the caller does not say,
    powering a card among them. ``aborts`` and ``lists_rates`` are off for devices that hang on
    these requests.
    """

    read_timeout: float = 5.0
    write_timeout: float = 5.0
    command_timeout: float = 60.0
    recovery_timeout: float = 1.0
    aborts: bool = True
    lists_rates: bool = True


class Patience(NamedTuple):
    """How long to wait: ``wait`` seconds of silence, and until the clock shows ``deadline`` in all.

    A time extension grants some times ``wait``, and never more than there is to the deadline.
    """

    wait: float
    deadline: float


class Answer(NamedTuple):
    """What a reader answered: the card's state, bError of a failed command, byte 9, abData."""

    icc: int
    error: int | None
    third: int
    data: bytes


class Channel:
    """The bulk pipes of one reader, one command at a time.

    ``clock`` gives seconds that never go back; it is read for deadlines only. ``in_flight`` is the
    slot of a command whose answer is still to come: ``None`` means in step.
    """

    __slots__ = ("buffer", "clock", "descriptor", "in_flight", "longest", "quirks", "sequence")

    def __init__(
        self, descriptor: ClassDescriptor, quirks: Quirks, clock: Callable[[], float]
    ) -> None:
        self.descriptor = descriptor
        self.quirks = quirks
        self.clock = clock
        self.sequence = 0
        self.in_flight: int | None = None
        self.longest = min(descriptor.max_message_length, _LONGEST)
        self.buffer = max(_BUFFER, -(-self.longest // _USB_PACKET) * _USB_PACKET)

    def command(
        self,
        kind: int,
        slot: int,
        patience: Patience,
        specific: tuple[int, int, int] = (0, 0, 0),
        data: bytes = b"",
    ) -> Program[Answer]:
        """Send one command, with its three ``specific`` header bytes; its answer, failed or not.

        `InputInvalid` for what the reader cannot take, before anything is sent; `TransferTimeout`;
        `ProtocolViolation`.
        """
        self._check_slot(slot)
        if HEADER_LENGTH + len(data) > self.descriptor.max_message_length:
            raise InputInvalid(
                f"a message of {HEADER_LENGTH + len(data)} bytes; this reader takes "
                f"{self.descriptor.max_message_length}"
            )
        if self.in_flight is not None:
            yield from self.recover(slot, patience.deadline)
        seq = self.next_sequence()
        frame = pack_frame(kind, slot, seq, *specific, data)
        self.in_flight = slot
        yield Send(frame, self.within(self.quirks.write_timeout, patience.deadline))
        return (yield from self.answer(slot, seq, answer_type(kind), patience))

    def next_sequence(self) -> int:
        """The next bSeq."""
        seq = self.sequence
        self.sequence = (seq + 1) & 0xFF
        return seq

    def answer(
        self,
        slot: int,
        seq: int,
        expected: int,
        patience: Patience,
        frame: bytes | None = None,
    ) -> Program[Answer]:
        """Receive until the answer to command ``seq`` is there; ``frame`` is one received already.

        A time extension is for the one wait that follows it.
        """
        wait, deadline = patience
        granted, stale = wait, 0
        while True:
            if frame is None:
                frame = yield Receive(self.within(granted, deadline), self.buffer)
            frame = yield from self._whole(frame, deadline)
            kind, _, its_slot, its_seq, status, error, third = HEADER.unpack_from(frame)
            if its_seq != seq or its_slot != slot:
                stale += 1
                if stale > _MAX_STALE:
                    raise ProtocolViolation("the reader sends nothing but answers to old commands")
                frame = None
                continue
            icc, command = status & 0x03, status & 0xC0
            if icc > IccStatus.ABSENT or command == 0xC0:
                raise FrameInvalid(f"bStatus {status:#04x} uses reserved values", offset=7)
            failed = command == CommandStatus.FAILED
            extended = command == CommandStatus.TIME_EXTENSION
            # Readers report failures and extensions by other types than the command's own.
            if kind != expected and not (
                (failed and kind == MessageType.SLOT_STATUS)
                or (extended and kind in {MessageType.SLOT_STATUS, MessageType.DATA_BLOCK})
            ):
                raise FrameInvalid(f"a message {kind:#04x} where {expected:#04x} is due", offset=0)
            if extended:
                granted, frame = wait * max(error, 1), None
                continue
            self.in_flight = None
            return Answer(icc, error if failed else None, third, frame[HEADER_LENGTH:])

    def recover(self, slot: int, deadline: float) -> Program[None]:
        """Bring the reader back into step: abort what is under way and drop what it answered.

        The abort request on the control pipe and the bulk message share one number; the reader is
        in step when its slot status with that number has come, and not before. Where a reader has
        no abort, a status request does the same once the old command has ended. `TransferTimeout`
        after three attempts or at ``deadline``: the connection stays out of step.
        """
        self._check_slot(slot)
        if self.in_flight is None:
            self.in_flight = slot
        slot = self.in_flight
        for _ in range(_ATTEMPTS):
            if (yield from self._recover_once(slot, deadline)):
                self.in_flight = None
                return
        raise TransferTimeout("the reader does not come back into step")

    def _recover_once(self, slot: int, deadline: float) -> Program[bool]:
        seq, wait = self.next_sequence(), self.quirks.recovery_timeout
        kind = int(MessageType.GET_SLOT_STATUS)
        if self.quirks.aborts:
            try:
                yield Control(ClassRequest.ABORT, seq << 8 | slot, 0, self.within(wait, deadline))
                kind = MessageType.ABORT
            except (EndpointHalted, TransferTimeout):
                pass
        try:
            yield Send(pack_frame(kind, slot, seq, 0, 0, 0), self.within(wait, deadline))
            for _ in range(_MAX_STALE):
                frame = yield Receive(self.within(wait, deadline), self.buffer)
                # Only this one message counts here; what else comes is the wreckage to clear.
                if len(frame) == HEADER_LENGTH:
                    its_kind, _, its_slot, its_seq, status, error, _ = HEADER.unpack(frame)
                    ended = status & 0xC0 != CommandStatus.TIME_EXTENSION
                    if (its_kind, its_slot, its_seq) == (0x81, slot, seq) and ended:
                        # A reader that refuses a field, or fails even this as aborted, got a
                        # damaged message: its abort still waits for the bulk half, and would fail
                        # every command until then. One that knows no abort is in step.
                        damaged = 0 < error < 0x80 or error == SlotErrorCode.CMD_ABORTED
                        return not (status & CommandStatus.FAILED and damaged)
        except TransferTimeout:
            pass
        except EndpointHalted:
            yield ClearHalt(wait)
        return False

    def _check_slot(self, slot: int) -> None:
        if not 0 <= slot <= self.descriptor.max_slot_index:
            raise InputInvalid(f"this reader has no slot {slot}")

    def within(self, wait: float, deadline: float) -> float:
        """``wait``, or what is left to ``deadline``; `TransferTimeout` if that is nothing."""
        remaining = deadline - self.clock()
        if remaining <= 0:
            raise TransferTimeout("the reader asks for more time than there is")
        return min(wait, remaining)

    def _whole(self, frame: bytes, deadline: float) -> Program[bytes]:
        """One message with exactly the length that it announces.

        Some readers split a message at the size of a USB packet: the rest is received then.
        """
        if len(frame) < HEADER_LENGTH:
            raise FrameInvalid(
                f"a CCID message has at least {HEADER_LENGTH} bytes, this one {len(frame)}",
                offset=0,
            )
        length = HEADER_LENGTH + int.from_bytes(frame[1:5], "little")
        if max(length, len(frame)) > self.longest:
            raise FrameInvalid(
                f"a message of {max(length, len(frame))} bytes from a reader whose longest has "
                f"{self.longest}",
                offset=1,
            )
        while len(frame) < length and len(frame) % _USB_PACKET == 0:
            wait = self.within(self.quirks.recovery_timeout, deadline)
            rest = yield Receive(wait, self.buffer)
            if not rest:
                break
            frame += rest
        if len(frame) != length:
            raise FrameInvalid(
                f"a message announces {length} bytes and brings {len(frame)}", offset=1
            )
        return frame
