"""A card that speaks T=1: each block from the reader is answered by one (ISO/IEC 7816-3, 11.6)."""

from __future__ import annotations

from typing import Final

from ushield.ccid.atr import DEFAULT_FI_DI, Atr
from ushield.ccid.block import (
    MAX_INFORMATION,
    Block,
    BlockInvalid,
    Edc,
    Supervision,
    decode_block,
    encode_block,
    i_block,
    r_block,
    s_response,
)
from ushield.ccid.messages import MAX_EXTENDED_COMMAND
from ushield.virtual.contacts.reset import answer_pps, atr_t1
from ushield.virtual.usb.contact import Card

__all__ = ["T1Contacts"]

_DEFAULT_IFS: Final = 32


class T1Contacts:
    """``card`` behind contacts; itself a `Card` whose commands are blocks.

    ``ifsc`` is the longest information field it takes, ``fi_di`` its speed, coded as TA1.
    """

    def __init__(
        self,
        card: Card,
        *,
        ifsc: int = MAX_INFORMATION,
        crc: bool = False,
        fi_di: int = DEFAULT_FI_DI,
    ) -> None:
        self._card = card
        self._ifsc = ifsc
        self._edc = Edc.CRC if crc else Edc.LRC
        self._fi_di = fi_di
        self._fresh = False
        self._reset()

    def _reset(self) -> None:
        self._ifsd = _DEFAULT_IFS
        self._sends = self._expects = 0
        self._command = b""
        self._response = b""
        # The last I-block, until the host shows that it has it.
        self._unacknowledged: Block | None = None

    def power_on(self) -> bytes:
        """Reset the card; an ATR with its historical bytes."""
        self._reset()
        self._fresh = True
        historical = Atr.parse(self._card.power_on()).historical
        return atr_t1(historical, self._fi_di, self._ifsc, crc=self._edc is Edc.CRC)

    def power_off(self) -> None:
        """Take its power."""
        self._reset()
        self._card.power_off()

    def is_slow(self, command: bytes) -> bool:
        """Whether this block is the last of a command that the card calls slow."""
        try:
            block = decode_block(command, self._edc)
        except BlockInvalid:
            return False
        ends = block.is_i and block.sequence == self._expects and not block.more
        return ends and self._card.is_slow(self._command + block.information)

    def transmit(self, command: bytes) -> bytes:
        """Answer one block; no bytes, which is a mute card, for a PPS it does not agree to."""
        if self._fresh and (pps := answer_pps(command, 1, self._fi_di)) is not None:
            return pps
        self._fresh = False
        try:
            block = decode_block(command, self._edc)
        except BlockInvalid as error:
            return self._encode(r_block(self._expects, 1 if error.corrupted else 2))
        return self._encode(self._answer(block))

    def _encode(self, block: Block) -> bytes:
        return encode_block(block, self._edc)

    def _answer(self, block: Block) -> Block:
        if block.is_i and block.sequence == self._expects:
            return self._take_information(block)
        if block.is_r:
            return self._take_ready(block)
        if block.is_s_request:
            kind = Supervision(block.pcb & 0x1F)
            if kind is Supervision.RESYNCH:
                self._reset()
                return s_response(kind)
            if kind is Supervision.IFS and 0 < block.information[0] <= MAX_INFORMATION:
                self._ifsd = block.information[0]
                return s_response(kind, block.information)
            if kind is Supervision.ABORT:
                self._command = self._response = b""
                return s_response(kind)
        return r_block(self._expects, 2)

    def _take_information(self, block: Block) -> Block:
        too_long = len(self._command) + len(block.information) > MAX_EXTENDED_COMMAND
        if len(block.information) > self._ifsc or too_long:
            return r_block(self._expects, 2)
        self._expects ^= 1
        self._acknowledged()
        self._command += block.information
        if block.more:
            return r_block(self._expects)
        command, self._command = self._command, b""
        self._response = self._card.transmit(command)
        return self._next_part()

    def _take_ready(self, block: Block) -> Block:
        if self._unacknowledged is None:
            return r_block(self._expects)
        if block.sequence == self._sends:
            return self._unacknowledged
        if not self._response:
            return r_block(self._expects, 2)
        self._acknowledged()
        return self._next_part()

    def _acknowledged(self) -> None:
        if self._unacknowledged is not None:
            self._unacknowledged = None
            self._sends ^= 1

    def _next_part(self) -> Block:
        part, self._response = self._response[: self._ifsd], self._response[self._ifsd :]
        self._unacknowledged = i_block(self._sends, part, more=bool(self._response))
        return self._unacknowledged
