"""The CCID side of the virtual token: one slot with its card soldered in.

Frames in, frames out: `CcidSlot` knows nothing of USB but the packet size, which is how a device
tells a transfer that goes on from one that was cut short. Source: CCID Rev 1.1, section 6.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from ushield.ccid.errors import FrameInvalid, SlotErrorCode
from ushield.ccid.messages import (
    HEADER_LENGTH,
    MAX_EXTENDED_COMMAND,
    ChainParameter,
    CommandStatus,
    IccStatus,
    MessageType,
    answer_type,
    data_block,
    pack_frame,
    parameters_block,
    slot_status,
    time_extension,
    unpack_frame,
)

__all__ = ["Card", "CcidSlot"]

_XFR_BLOCK: Final = int(MessageType.XFR_BLOCK)
_GET_SLOT_STATUS: Final = int(MessageType.GET_SLOT_STATUS)
_ABORT: Final = int(MessageType.ABORT)

_CLOCK_RUNNING, _CLOCK_STOPPED_LOW = 0, 1

# bError of a refused field is its offset.
_BAD_LENGTH: Final = 0x01
_BAD_SLOT: Final = 0x05
_BAD_PROTOCOL: Final = 0x07
_BAD_LEVEL_PARAMETER: Final = 0x08

# T=1 with the defaults of ISO/IEC 7816-3: F=372, D=1, LRC, no guard time, BWI 4, CWI 13, IFSC 254.
_T1: Final = 1
_PARAMETERS: Final = bytes.fromhex("1110004D00FE00")


class Card(Protocol):
    """What stands behind the slot. `transmit` never raises: a refusal is a status word."""

    def power_on(self) -> bytes:
        """Reset the card; its ATR."""

    def power_off(self) -> None:
        """Take its power; it forgets what it had under way."""

    def transmit(self, command: bytes) -> bytes:
        """Answer one command APDU."""

    def is_slow(self, command: bytes) -> bool:
        """Whether `transmit` would keep the host waiting longer than its patience."""


@dataclass(eq=False, slots=True)
class _Job:
    """A command that runs beside the frames; its answer counts while it is the slot's job."""

    kind: int
    seq: int
    operation: Callable[[], bytes]
    finish: Callable[[int, bytes], None]
    over: threading.Event = field(default_factory=threading.Event)


class CcidSlot:
    """Answers PC_to_RDR frames for ``card`` through ``send``, one call for each RDR_to_PC frame.

    A command that the card calls slow runs on a thread of its own, with a time extension at once
    and then every ``extension_interval`` seconds; every other one is answered before `receive`
    returns. Safe from several threads.
    """

    def __init__(
        self,
        card: Card,
        send: Callable[[bytes], None],
        *,
        max_message_length: int,
        packet_size: int,
        extension_interval: float = 0.5,
    ) -> None:
        self._card = card
        self._send = send
        self._max_data = max_message_length - HEADER_LENGTH
        self._packet_size = packet_size
        self._extension_interval = extension_interval
        # Re-entrant: a card that loses power in the middle of a command resets its own slot.
        self._lock = threading.RLock()
        self._card_lock = threading.Lock()
        self._icc = IccStatus.INACTIVE
        self._power_lost = False
        self._partial = b""
        self._command = bytearray()
        self._chaining = False
        self._response = b""
        self._job: _Job | None = None
        self._worker_waits = False
        self._abort_control: int | None = None
        self._abort_bulk: int | None = None
        self._handlers: dict[int, Callable[[int, int, int, int, bytes], None]] = {
            MessageType.ICC_POWER_ON: self._power_on,
            MessageType.ICC_POWER_OFF: self._power_off,
            MessageType.GET_SLOT_STATUS: self._slot_status,
            MessageType.XFR_BLOCK: self._xfr_block,
            MessageType.GET_PARAMETERS: self._parameters,
            MessageType.RESET_PARAMETERS: self._parameters,
            MessageType.SET_PARAMETERS: self._set_parameters,
            MessageType.ABORT: self._bulk_abort,
        }

    def receive(self, transfer: bytes) -> None:
        """Take one bulk OUT transfer: a message, or a part of one that ends on a full packet."""
        with self._lock:
            if self._partial:
                transfer, self._partial = self._partial + transfer, b""
            try:
                kind, slot, seq, first, second, third, data = unpack_frame(transfer)
            except FrameInvalid:
                self._incomplete(transfer)
                return
            if slot:
                self._fail(kind, slot, seq, _BAD_SLOT, icc=IccStatus.ABSENT)
                return
            if self._refused(kind, seq):
                return
            handler = self._handlers.get(kind)
            if handler is None:
                self._fail(kind, 0, seq, SlotErrorCode.CMD_NOT_SUPPORTED)
            else:
                handler(seq, first, second, third, data)

    def abort(self, slot: int, seq: int) -> None:
        """Take the class request ABORT: the first half of an abort (section 5.3.1)."""
        with self._lock:
            if slot:
                return
            self._forget_command()
            self._abort_control = seq
            self._meet_abort()

    def reset(self) -> None:
        """Begin anew, as after a bus reset: card without power, nothing under way."""
        with self._lock:
            self._forget_command()
            self._abort_control = self._abort_bulk = None
            self._icc = IccStatus.INACTIVE
            self._take_power()

    def _forget_command(self) -> None:
        self._partial = b""
        self._command.clear()
        self._chaining = False
        self._response = b""
        self._end_job()

    def _end_job(self) -> None:
        if self._job is not None:
            self._job.over.set()
            self._job = None

    def _incomplete(self, transfer: bytes) -> None:
        length = int.from_bytes(transfer[1:5], "little") + HEADER_LENGTH
        full_packets = transfer and len(transfer) % self._packet_size == 0
        if full_packets and len(transfer) < length <= MAX_EXTENDED_COMMAND + HEADER_LENGTH:
            self._partial = transfer
        elif len(transfer) >= 7:
            self._fail(transfer[0], transfer[5], transfer[6], _BAD_LENGTH)

    def _fail(self, kind: int, slot: int, seq: int, error: int, *, icc: int | None = None) -> None:
        status = CommandStatus.FAILED | (self._icc if icc is None else icc)
        self._send(pack_frame(answer_type(kind), slot, seq, status, error, 0))

    def _refused(self, kind: int, seq: int) -> bool:
        if kind in {_ABORT, _GET_SLOT_STATUS}:
            return False
        if self._abort_control is not None or self._abort_bulk is not None:
            self._fail(kind, 0, seq, SlotErrorCode.CMD_ABORTED)
            return True
        if self._job is not None:
            self._fail(kind, 0, seq, SlotErrorCode.CMD_SLOT_BUSY)
            return True
        return False

    def _power_on(self, seq: int, _first: int, _second: int, _third: int, _data: bytes) -> None:
        if self._card_lock.acquire(blocking=False):
            try:
                atr = self._card.power_on()
            finally:
                self._leave_card()
            self._powered_on(seq, atr)
        else:
            self._start(MessageType.ICC_POWER_ON, seq, self._card.power_on, self._powered_on)

    def _powered_on(self, seq: int, atr: bytes) -> None:
        self._forget_command()
        self._icc = IccStatus.ACTIVE
        self._send(data_block(0, seq, atr))

    def _power_off(self, seq: int, _first: int, _second: int, _third: int, _data: bytes) -> None:
        self._forget_command()
        self._icc = IccStatus.INACTIVE
        self._take_power()
        self._send(slot_status(0, seq, IccStatus.INACTIVE, 0, _CLOCK_STOPPED_LOW))

    def _take_power(self) -> None:
        # A running command cannot be stopped; whoever runs it takes the power after it.
        if self._card_lock.acquire(blocking=False):
            self._power_lost = True
            self._leave_card()
        else:
            self._power_lost = True

    def _leave_card(self) -> None:
        # With the slot's lock held, so that no loss of power slips in between.
        if self._power_lost:
            self._power_lost = False
            self._card.power_off()
        self._card_lock.release()

    def _slot_status(self, seq: int, _first: int, _second: int, _third: int, _data: bytes) -> None:
        clock = _CLOCK_STOPPED_LOW if self._icc else _CLOCK_RUNNING
        self._send(slot_status(0, seq, self._icc, 0, clock))

    def _parameters(self, seq: int, _first: int, _second: int, _third: int, _data: bytes) -> None:
        self._send(parameters_block(0, seq, _T1, _PARAMETERS, self._icc))

    def _set_parameters(
        self, seq: int, protocol: int, _second: int, _third: int, data: bytes
    ) -> None:
        if protocol != _T1:
            self._fail(MessageType.SET_PARAMETERS, 0, seq, _BAD_PROTOCOL)
        elif len(data) != len(_PARAMETERS):
            self._fail(MessageType.SET_PARAMETERS, 0, seq, _BAD_LENGTH)
        else:
            self._send(parameters_block(0, seq, _T1, data, self._icc))

    def _bulk_abort(self, seq: int, _first: int, _second: int, _third: int, _data: bytes) -> None:
        self._forget_command()
        self._abort_bulk = seq
        self._meet_abort()

    def _meet_abort(self) -> None:
        # Answered only once both halves, control and bulk, came with one bSeq (section 5.3.1).
        if self._abort_bulk is not None and self._abort_control == self._abort_bulk:
            seq = self._abort_bulk
            self._abort_control = self._abort_bulk = None
            self._slot_status(seq, 0, 0, 0, b"")

    def _xfr_block(self, seq: int, _wait: int, low: int, high: int, data: bytes) -> None:
        if self._icc:
            self._fail(_XFR_BLOCK, 0, seq, SlotErrorCode.ICC_MUTE)
        elif high:
            self._fail(_XFR_BLOCK, 0, seq, _BAD_LEVEL_PARAMETER)
        elif not low and not self._chaining:
            self._execute(seq, data)
        else:
            self._chained(seq, low, data)

    def _chained(self, seq: int, level_parameter: int, data: bytes) -> None:
        if level_parameter == ChainParameter.CONTINUE and self._response and not data:
            self._respond(seq, self._response, begun=True)
            return
        begins = level_parameter == ChainParameter.FIRST
        goes_on = level_parameter in {ChainParameter.MIDDLE, ChainParameter.LAST}
        if not (begins or (goes_on and self._chaining)):
            self._forget_command()
            self._fail(_XFR_BLOCK, 0, seq, _BAD_LEVEL_PARAMETER)
            return
        if begins:
            self._forget_command()
        if len(self._command) + len(data) > MAX_EXTENDED_COMMAND:
            self._forget_command()
            self._fail(_XFR_BLOCK, 0, seq, _BAD_LENGTH)
            return
        self._command += data
        self._chaining = level_parameter != ChainParameter.LAST
        if self._chaining:
            self._send(data_block(0, seq, b"", 0, 0, ChainParameter.CONTINUE))
        else:
            command = bytes(self._command)
            self._command.clear()
            self._execute(seq, command)

    def _execute(self, seq: int, command: bytes) -> None:
        # A command that was aborted may still be in the card: the next one waits for it behind time
        # extensions, as a slow one does.
        if self._card_lock.acquire(blocking=False):
            try:
                slow = self._card.is_slow(command)
                response = b"" if slow else self._card.transmit(command)
            finally:
                self._leave_card()
            if not slow:
                if not self._icc:
                    self._respond(seq, response)
                return
        transmit = partial(self._card.transmit, command)
        self._start(_XFR_BLOCK, seq, transmit, self._respond)

    def _start(
        self,
        kind: int,
        seq: int,
        operation: Callable[[], bytes],
        finish: Callable[[int, bytes], None],
    ) -> None:
        job = self._job = _Job(kind, seq, operation, finish)
        self._send(time_extension(0, seq, 1, kind))
        # One that waits for the card already, with a command that was aborted, takes this one: a
        # host that aborts without end must not make threads without end.
        if not self._worker_waits:
            self._worker_waits = True
            threading.Thread(target=self._work, daemon=True).start()
        threading.Thread(target=self._extend, args=(job,), daemon=True).start()

    def _work(self) -> None:
        self._card_lock.acquire()
        with self._lock:
            self._worker_waits = False
            job = self._job
        answer = b""
        try:
            if job is not None:
                answer = job.operation()
        finally:
            with self._lock:
                self._leave_card()
        with self._lock:
            if job is not None and self._job is job:
                self._end_job()
                job.finish(job.seq, answer)

    def _extend(self, job: _Job) -> None:
        while not job.over.wait(self._extension_interval):
            with self._lock:
                if self._job is not job:
                    return
                self._send(time_extension(0, job.seq, 1, job.kind))

    def _respond(self, seq: int, response: bytes, *, begun: bool = False) -> None:
        limit = self._max_data
        if len(response) <= limit:
            self._response = b""
            self._send(data_block(0, seq, response, 0, 0, ChainParameter.LAST if begun else 0))
        else:
            self._response = response[limit:]
            chain = ChainParameter.MIDDLE if begun else ChainParameter.FIRST
            self._send(data_block(0, seq, response[:limit], 0, 0, chain))
