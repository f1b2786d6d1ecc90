"""One slot of a virtual reader, with whatever card is in it.

Messages in, frames out, for the bulk pipes (`ushield.virtual.usb.pipes`). Source: CCID Rev 1.1,
section 6.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ushield.ccid.block import Edc
from ushield.ccid.descriptor import ClassDescriptor, ExchangeLevel
from ushield.ccid.errors import FrameInvalid, SlotErrorCode
from ushield.ccid.messages import (
    HEADER_LENGTH,
    CommandStatus,
    Frame,
    IccStatus,
    MessageType,
    answer_type,
    data_block,
    pack_frame,
    parameters_block,
    slot_status,
    time_extension,
)
from ushield.ccid.pin_entry import decode_pin_entry
from ushield.ccid.t0 import check_short_command
from ushield.errors import ApduInvalid
from ushield.virtual.usb.chains import ApduChains, Part
from ushield.virtual.usb.contact import Card, Contact
from ushield.virtual.usb.pin_pad import PadEnded, VirtualPinPad, check_format

__all__ = ["CcidSlot"]

_XFR_BLOCK: Final = int(MessageType.XFR_BLOCK)
_GET_SLOT_STATUS: Final = int(MessageType.GET_SLOT_STATUS)
_ABORT: Final = int(MessageType.ABORT)

_CLOCK_RUNNING, _CLOCK_STOPPED_LOW = 0, 1

# bError of a refused field is its offset.
_BAD_LENGTH: Final = 0x01
_BAD_PROTOCOL: Final = 0x07
_BAD_LEVEL_PARAMETER: Final = 0x08

# The defaults of ISO/IEC 7816-3: F=372, D=1, no guard time; at T=0 WI 10; at T=1 LRC, BWI 4,
# CWI 13, IFSC 254.
_PARAMETERS: Final = (bytes.fromhex("1100000A00"), bytes.fromhex("1110004D00FE00"))


@dataclass(eq=False, slots=True)
class _Job:
    """A command that runs beside the frames; its answer counts while it is the slot's job."""

    kind: int
    seq: int
    operation: Callable[[], bytes]
    finish: Callable[[int, bytes], None]
    over: threading.Event = field(default_factory=threading.Event)


class CcidSlot:
    """Answers PC_to_RDR messages for ``card`` through ``send``, one call for each RDR_to_PC frame.

    A command that the card calls slow runs on a thread of its own, with a time extension at once
    and then every ``extension_interval`` seconds; every other one is answered before `receive`
    returns. Safe from several threads.
    """

    def __init__(
        self,
        card: Card | None,
        send: Callable[[bytes], None],
        *,
        descriptor: ClassDescriptor,
        number: int = 0,
        extension_interval: float = 0.5,
        pad: VirtualPinPad | None = None,
    ) -> None:
        self._send = send
        self._pad = pad
        self._number = number
        self._descriptor = descriptor
        self._level = descriptor.level
        self._max_data = descriptor.max_message_length - HEADER_LENGTH
        self._extension_interval = extension_interval
        # Re-entrant: a card that loses power in the middle of a command resets its own slot.
        self._lock = threading.RLock()
        self._contact: Contact | None = None
        self._icc = IccStatus.ABSENT
        self._protocol = 0 if descriptor.protocols & 1 else 1
        self._parameters = _PARAMETERS[self._protocol]
        self._chains = ApduChains(self._max_data)
        self._job: _Job | None = None
        self._abort_control: int | None = None
        self._abort_bulk: int | None = None
        self._handlers: dict[int, Callable[[int, int, int, int, bytes], None]] = {
            MessageType.ICC_POWER_ON: self._power_on,
            MessageType.ICC_POWER_OFF: self._power_off,
            MessageType.GET_SLOT_STATUS: self._slot_status,
            MessageType.XFR_BLOCK: self._xfr_block,
            MessageType.GET_PARAMETERS: self._get_parameters,
            MessageType.RESET_PARAMETERS: self._reset_parameters,
            MessageType.SET_PARAMETERS: self._set_parameters,
            MessageType.ABORT: self._bulk_abort,
        }
        if pad is not None:
            self._handlers[MessageType.SECURE] = self._secure
        if card is not None:
            self.insert(card)

    @property
    def occupied(self) -> bool:
        """Whether a card is in it."""
        return self._contact is not None

    def insert(self, card: Card, *, power: bool = False) -> None:
        """Put a card in, with ``power`` at once or without.

        One that is there already is taken out before.
        """
        with self._lock:
            self.remove()
            self._contact = Contact(card)
            self._icc = IccStatus.INACTIVE
            if power:
                card.power_on()
                self._icc = IccStatus.ACTIVE

    def remove(self) -> None:
        """Pull the card out, whatever it is doing; harmless with none there."""
        with self._lock:
            contact, self._contact = self._contact, None
            if contact is None:
                return
            self._icc = IccStatus.ABSENT
            job = self._job
            self._forget_command()
            if job is not None:
                self._fail(job.kind, job.seq, SlotErrorCode.ICC_MUTE)
            contact.take_power()

    def receive(self, frame: Frame) -> None:
        """Take one message for this slot."""
        kind, _, seq, first, second, third, data = frame
        with self._lock:
            if self._refused(kind, seq):
                return
            handler = self._handlers.get(kind)
            if handler is None:
                self._fail(kind, seq, SlotErrorCode.CMD_NOT_SUPPORTED)
            else:
                handler(seq, first, second, third, data)

    def abort(self, seq: int) -> None:
        """Take the class request ABORT: the first half of an abort (section 5.3.1)."""
        with self._lock:
            self._forget_command()
            self._abort_control = seq
            self._meet_abort()

    def reset(self) -> None:
        """Begin anew, as after a bus reset: card without power, nothing under way."""
        with self._lock:
            self._forget_command()
            self._abort_control = self._abort_bulk = None
            self._take_power()

    def fail(self, kind: int, seq: int, error: int) -> None:
        """Answer a message that did not arrive whole."""
        with self._lock:
            self._fail(kind, seq, error)

    def _forget_command(self) -> None:
        self._chains.forget()
        self._end_job()

    def _end_job(self) -> None:
        if self._job is not None:
            self._job.over.set()
            if self._pad is not None and self._job.kind == MessageType.SECURE:
                self._pad.fail(SlotErrorCode.CMD_ABORTED)
            self._job = None

    def _fail(self, kind: int, seq: int, error: int) -> None:
        status = CommandStatus.FAILED | self._icc
        self._send(pack_frame(answer_type(kind), self._number, seq, status, error, 0))

    def _refused(self, kind: int, seq: int) -> bool:
        if kind in {_ABORT, _GET_SLOT_STATUS}:
            return False
        if self._abort_control is not None or self._abort_bulk is not None:
            self._fail(kind, seq, SlotErrorCode.CMD_ABORTED)
            return True
        if self._job is not None:
            self._fail(kind, seq, SlotErrorCode.CMD_SLOT_BUSY)
            return True
        return False

    def _power_on(self, seq: int, _first: int, _second: int, _third: int, _data: bytes) -> None:
        contact = self._contact
        if contact is None:
            self._fail(MessageType.ICC_POWER_ON, seq, SlotErrorCode.ICC_MUTE)
        elif contact.lock.acquire(blocking=False):
            try:
                atr = contact.card.power_on()
            finally:
                contact.leave()
            self._powered_on(seq, atr)
        else:
            self._start(
                contact, MessageType.ICC_POWER_ON, seq, contact.card.power_on, self._powered_on
            )

    def _powered_on(self, seq: int, atr: bytes) -> None:
        self._forget_command()
        self._icc = IccStatus.ACTIVE
        self._default_parameters()
        self._send(data_block(self._number, seq, atr))

    def _power_off(self, seq: int, _first: int, _second: int, _third: int, _data: bytes) -> None:
        self._forget_command()
        self._take_power()
        self._send(slot_status(self._number, seq, self._icc, 0, _CLOCK_STOPPED_LOW))

    def _take_power(self) -> None:
        if self._contact is not None:
            self._icc = IccStatus.INACTIVE
            self._contact.take_power()

    def _slot_status(self, seq: int, _first: int, _second: int, _third: int, _data: bytes) -> None:
        clock = _CLOCK_STOPPED_LOW if self._icc else _CLOCK_RUNNING
        self._send(slot_status(self._number, seq, self._icc, 0, clock))

    def _default_parameters(self) -> None:
        self._protocol = 0 if self._descriptor.protocols & 1 else 1
        self._parameters = _PARAMETERS[self._protocol]

    def _get_parameters(
        self, seq: int, _first: int, _second: int, _third: int, _data: bytes
    ) -> None:
        self._send(parameters_block(self._number, seq, self._protocol, self._parameters, self._icc))

    def _reset_parameters(self, seq: int, first: int, second: int, third: int, data: bytes) -> None:
        self._default_parameters()
        self._get_parameters(seq, first, second, third, data)

    def _set_parameters(
        self, seq: int, protocol: int, second: int, third: int, data: bytes
    ) -> None:
        if protocol > 1 or not self._descriptor.protocols >> protocol & 1:
            self._fail(MessageType.SET_PARAMETERS, seq, _BAD_PROTOCOL)
        elif len(data) != len(_PARAMETERS[protocol]):
            self._fail(MessageType.SET_PARAMETERS, seq, _BAD_LENGTH)
        else:
            self._protocol, self._parameters = protocol, data
            self._get_parameters(seq, protocol, second, third, data)

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
        contact = self._contact
        if self._icc or contact is None:
            self._fail(_XFR_BLOCK, seq, SlotErrorCode.ICC_MUTE)
            return
        try:
            command = self._command(low | high << 8, data)
        except FrameInvalid as error:
            self._fail(_XFR_BLOCK, seq, error.offset)
            return
        if isinstance(command, Part):
            self._send(data_block(self._number, seq, command.data, 0, 0, command.chain))
        else:
            self._execute(contact, seq, command)

    def _command(self, level_parameter: int, data: bytes) -> bytes | Part:
        """What an XfrBlock brings the card, or the reader's own answer to it."""
        if self._level is ExchangeLevel.EXTENDED_APDU:
            return self._chains.take(level_parameter, data)
        if level_parameter:
            raise FrameInvalid("no chains here", offset=_BAD_LEVEL_PARAMETER)
        if self._level is ExchangeLevel.SHORT_APDU:
            try:
                check_short_command(data)
            except ApduInvalid as error:
                raise FrameInvalid(str(error), offset=_BAD_LENGTH) from error
        return data

    def _secure(self, seq: int, _wait: int, low: int, high: int, data: bytes) -> None:
        contact, pad, kind = self._contact, self._pad, int(MessageType.SECURE)
        if self._icc or contact is None or pad is None:
            self._fail(kind, seq, SlotErrorCode.ICC_MUTE)
            return
        if low or high:
            self._fail(kind, seq, _BAD_LEVEL_PARAMETER)
            return
        try:
            entry = decode_pin_entry(data)
            check_format(entry)
        except FrameInvalid as error:
            self._fail(kind, seq, error.offset)
            return
        card, in_blocks = contact.card, self._level is ExchangeLevel.TPDU and self._protocol == 1

        def send(apdu: bytes) -> bytes:
            if not in_blocks:
                return card.transmit(apdu)
            edc = Edc.CRC if self._parameters[1] & 1 else Edc.LRC
            body = entry.prologue[:2] + bytes([len(apdu)]) + apdu
            return card.transmit(body + edc.compute(body))

        self._start(contact, kind, seq, lambda: pad.enter(entry, send), self._respond)

    def _execute(self, contact: Contact, seq: int, command: bytes) -> None:
        # A command that was aborted may still be in the card: the next one waits for it behind time
        # extensions, as a slow one does.
        card = contact.card
        if contact.lock.acquire(blocking=False):
            try:
                slow = card.is_slow(command)
                response = b"" if slow else card.transmit(command)
            finally:
                contact.leave()
            if not slow:
                if not self._icc:
                    self._respond(seq, response)
                return
        self._start(contact, _XFR_BLOCK, seq, partial(card.transmit, command), self._respond)

    def _start(
        self,
        contact: Contact,
        kind: int,
        seq: int,
        operation: Callable[[], bytes],
        finish: Callable[[int, bytes], None],
    ) -> None:
        job = self._job = _Job(kind, seq, operation, finish)
        self._send(time_extension(self._number, seq, 1, kind))
        # One that waits for the card already, with a command that was aborted, takes this one: a
        # host that aborts without end must not make threads without end.
        if not contact.worker_waits:
            contact.worker_waits = True
            threading.Thread(target=self._work, args=(contact,), daemon=True).start()
        threading.Thread(target=self._extend, args=(job,), daemon=True).start()

    def _work(self, contact: Contact) -> None:
        contact.lock.acquire()
        with self._lock:
            contact.worker_waits = False
            job = self._job if self._contact is contact else None
        answer, error = b"", None
        try:
            if job is not None:
                answer = job.operation()
        except PadEnded as ended:
            error = ended.error
        finally:
            with self._lock:
                contact.leave()
        with self._lock:
            if job is not None and self._job is job:
                self._end_job()
                if error is None:
                    job.finish(job.seq, answer)
                else:
                    self._fail(job.kind, job.seq, error)

    def _extend(self, job: _Job) -> None:
        while not job.over.wait(self._extension_interval):
            with self._lock:
                if self._job is not job:
                    return
                self._send(time_extension(self._number, job.seq, 1, job.kind))

    def _respond(self, seq: int, response: bytes) -> None:
        if not response:
            self._fail(_XFR_BLOCK, seq, SlotErrorCode.ICC_MUTE)
        elif self._level is ExchangeLevel.EXTENDED_APDU:
            data, chain = self._chains.answer(response)
            self._send(data_block(self._number, seq, data, 0, 0, chain))
        elif len(response) > self._max_data:
            self._fail(_XFR_BLOCK, seq, SlotErrorCode.XFR_OVERRUN)
        else:
            self._send(data_block(self._number, seq, response))
