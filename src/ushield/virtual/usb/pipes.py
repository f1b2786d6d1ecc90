"""The bulk pipes of a virtual reader: messages put together, and brought to their slots."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from ushield.ccid.errors import FrameInvalid
from ushield.ccid.messages import (
    HEADER_LENGTH,
    MAX_EXTENDED_COMMAND,
    CommandStatus,
    IccStatus,
    answer_type,
    pack_frame,
    unpack_frame,
)
from ushield.virtual.usb.slot import CcidSlot

__all__ = ["CcidPipes"]

# bError of a refused field is its offset.
_BAD_LENGTH: Final = 0x01
_BAD_SLOT: Final = 0x05


class CcidPipes:
    """What the host writes, for ``slots``; they answer through ``send`` as this does.

    ``packet_size`` is how a device tells a transfer that goes on from one that was cut short. Safe
    from several threads.
    """

    def __init__(
        self, slots: Sequence[CcidSlot], send: Callable[[bytes], None], *, packet_size: int
    ) -> None:
        self.slots = tuple(slots)
        self._send = send
        self._packet_size = packet_size
        self._lock = threading.Lock()
        self._partial = b""

    def receive(self, transfer: bytes) -> None:
        """Take one bulk OUT transfer: a message, or a part of one that ends on a full packet."""
        with self._lock:
            if self._partial:
                transfer, self._partial = self._partial + transfer, b""
            try:
                frame = unpack_frame(transfer)
            except FrameInvalid:
                self._incomplete(transfer)
                return
        number = frame[1]
        if number < len(self.slots):
            self.slots[number].receive(frame)
        else:
            self._no_slot(frame[0], number, frame[2])

    def abort(self, slot: int, seq: int) -> None:
        """Take the class request ABORT; nothing happens for a slot that is not there."""
        with self._lock:
            self._partial = b""
        if slot < len(self.slots):
            self.slots[slot].abort(seq)

    def reset(self) -> None:
        """Begin anew, as after a bus reset."""
        with self._lock:
            self._partial = b""
        for slot in self.slots:
            slot.reset()

    def _incomplete(self, transfer: bytes) -> None:
        length = int.from_bytes(transfer[1:5], "little") + HEADER_LENGTH
        full_packets = transfer and len(transfer) % self._packet_size == 0
        if full_packets and len(transfer) < length <= MAX_EXTENDED_COMMAND + HEADER_LENGTH:
            self._partial = transfer
        elif len(transfer) >= 7:
            kind, number, seq = transfer[0], transfer[5], transfer[6]
            if number < len(self.slots):
                self.slots[number].fail(kind, seq, _BAD_LENGTH)
            else:
                self._send(_failed(kind, number, seq, _BAD_LENGTH))

    def _no_slot(self, kind: int, number: int, seq: int) -> None:
        self._send(_failed(kind, number, seq, _BAD_SLOT))


def _failed(kind: int, number: int, seq: int, error: int) -> bytes:
    status = CommandStatus.FAILED | IccStatus.ABSENT
    return pack_frame(answer_type(kind), number, seq, status, error, 0)
