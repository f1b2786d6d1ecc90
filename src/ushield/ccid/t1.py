"""T=1, the interface device's side, without any I/O (ISO/IEC 7816-3, clause 11.6).

Programs yield blocks to send and take what came back: the bytes of one block, or ``None`` if the
card stayed mute or the reader could not read it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias, TypeVar

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
    s_request,
    s_response,
)
from ushield.ccid.errors import ChainAborted
from ushield.ccid.messages import MAX_EXTENDED_RESPONSE
from ushield.errors import ApduInvalid, ProtocolViolation, TransferFailed

__all__ = [
    "BlockProgram",
    "CommandInterrupted",
    "OutOfStep",
    "OutgoingBlock",
    "T1Host",
]

_Result = TypeVar("_Result")

_RETRIES: Final = 3
_RESYNCHES: Final = 3
_DEFAULT_IFS: Final = 32


class OutgoingBlock(NamedTuple):
    """A block to send, and for this once how many block waiting times to wait; 0 is the usual one.

    It is what PC_to_RDR_XfrBlock takes as abData and bBWI.
    """

    data: bytes
    waiting_multiplier: int


BlockProgram: TypeAlias = Generator[OutgoingBlock, bytes | None, _Result]


class OutOfStep(TransferFailed):
    """The card does not come back into step; only a reset helps."""

    code = "t1-out-of-step"
    default_remedy = "Pull the card or token out, put it back, and try again."


class CommandInterrupted(TransferFailed):
    """Card and host are in step again, but whether the card did the command is unknown.

    The command was not sent a second time: it might cost another PIN try, or sign twice.
    """

    code = "command-interrupted"
    default_remedy = "Look at the card's state before you repeat the command."


class _Retry(Exception):
    """The block that came is no use; ask again with this R-block error code."""

    def __init__(self, error: int) -> None:
        self.error = error


class T1Host:
    """One card's T=1 state: sequence numbers and information field sizes.

    ``ifsc`` is the card's size as in its ATR, ``ifsd`` ours. Programs of one object run one at a
    time; one that is closed half-way leaves the card out of step, and the next resynchronises.
    """

    def __init__(self, edc: Edc = Edc.LRC, ifsc: int = _DEFAULT_IFS) -> None:
        self.edc = edc
        self.ifsc = ifsc
        self.ifsd = _DEFAULT_IFS
        self._initial_ifsc = ifsc
        self._send_sequence = 0
        self._receive_sequence = 0
        self._in_step = True

    def negotiate_ifsd(self, size: int) -> BlockProgram[None]:
        """Offer the card blocks of up to ``size`` bytes; a card that does not agree keeps 32."""
        request = s_request(Supervision.IFS, bytes([min(size, MAX_INFORMATION)]))
        self._in_step = False
        for _ in range(_RETRIES):
            answer = yield self._outgoing(request)
            try:
                received = self._decode(answer)
            except _Retry:
                continue
            if received == s_response(Supervision.IFS, request.information):
                self.ifsd = request.information[0]
                self._in_step = True
                return
            # A card that only ever asks for an I-block does not know S(IFS); it is in step.
            self._in_step = received == r_block(0)

    def transmit(self, command: bytes) -> BlockProgram[bytes]:
        """Send a command APDU of any length in a chain of blocks and collect the response APDU.

        `OutOfStep`, `CommandInterrupted`, `ChainAborted`; `ProtocolViolation` for a response
        longer than any APDU, `ApduInvalid` for an empty command.
        """
        if not command:
            raise ApduInvalid("an empty command APDU")
        if not self._in_step:
            yield from self._resynchronise()
        for _ in range(_RESYNCHES):
            exchange = _Exchange(self, command)
            self._in_step = False
            response = yield from exchange.run()
            if response is not None:
                self._in_step = True
                return response
            yield from self._resynchronise()
            if exchange.wholly_sent:
                raise CommandInterrupted("T=1 was resynchronised in the middle of a command")
        raise OutOfStep("the card does not take the command, T=1 resynchronised or not")

    def settle(self) -> BlockProgram[None]:
        """Come into step with the card, if it is not: a reader is about to make a block itself."""
        if not self._in_step:
            yield from self._resynchronise()

    def prologue(self) -> bytes:
        """NAD, PCB and a LEN to be filled in, for the one block that a reader makes by itself.

        Either `take_secured` or `keep_step` follows; else the card counts as out of step.
        """
        self._in_step = False
        return bytes([0, i_block(self._send_sequence, b"").pcb, 0])

    def keep_step(self) -> None:
        """The reader has sent no block after all."""
        self._in_step = True

    def take_secured(self, answer: bytes) -> bytes:
        """The response APDU in the block that answered the reader's own.

        `CommandInterrupted` for anything but one I-block: the command may have been done.
        """
        with suppress(_Retry):
            block = self._decode(answer)
            if block.is_i and not block.more and block.sequence == self._receive_sequence:
                self._send_sequence ^= 1
                self._receive_sequence ^= 1
                self._in_step = True
                return block.information
        raise CommandInterrupted("the card did not answer in one block")

    def _resynchronise(self) -> BlockProgram[None]:
        """S(RESYNCH), rule 6; the card then starts as after its ATR."""
        for _ in range(_RESYNCHES):
            answer = yield self._outgoing(s_request(Supervision.RESYNCH))
            try:
                agreed = self._decode(answer) == s_response(Supervision.RESYNCH)
            except _Retry:
                continue
            if agreed:
                self._send_sequence = self._receive_sequence = 0
                # We go on taking blocks of our own size, should the card remember it.
                self.ifsc = self._initial_ifsc
                self._in_step = True
                return
        raise OutOfStep("the card does not answer the resynchronisation of T=1")

    def _outgoing(self, block: Block, waiting_multiplier: int = 0) -> OutgoingBlock:
        return OutgoingBlock(encode_block(block, self.edc), waiting_multiplier)

    def _decode(self, answer: bytes | None) -> Block:
        if answer is None:
            raise _Retry(2)
        try:
            block = decode_block(answer, self.edc)
        except BlockInvalid as error:
            raise _Retry(1 if error.corrupted else 2) from error
        if len(block.information) > self.ifsd:
            raise _Retry(2)
        return block


class _Exchange:
    """One command and its response. Rules are those of clause 11.6.3.2."""

    def __init__(self, host: T1Host, command: bytes) -> None:
        self._host = host
        self._command = command
        self._offset = 0
        self._size = 0
        self._response = bytearray()
        self._receiving = False
        # Blocks we could not use, and blocks the card wants again: one fault can cause both.
        self._retries = 0
        self._repeats = 0
        self.wholly_sent = False

    def run(self) -> BlockProgram[bytes | None]:
        """The response, or ``None`` when only a resynchronisation can help."""
        host = self._host
        block, multiplier = self._next_command_block(), 0
        while max(self._retries, self._repeats) <= _RETRIES:
            answer = yield host._outgoing(block, multiplier)
            multiplier = 0
            try:
                received = host._decode(answer)
                if received.is_i:
                    if not self._take_information(received):
                        return bytes(self._response)
                    block = r_block(host._receive_sequence)
                elif received.is_r:
                    block = self._take_ready(received)
                else:
                    block, multiplier = yield from self._take_request(received)
            except _Retry as retry:
                self._retries += 1
                # Rule 7.2: an R-block is repeated as it was.
                if not block.is_r:
                    block = r_block(host._receive_sequence, retry.error)
        return None

    def _next_command_block(self) -> Block:
        rest = len(self._command) - self._offset
        self._size = min(rest, self._host.ifsc)
        more = self._size < rest
        self.wholly_sent = self.wholly_sent or not more
        data = self._command[self._offset : self._offset + self._size]
        return i_block(self._host._send_sequence, data, more=more)

    @property
    def _has_more(self) -> bool:
        return self._offset + self._size < len(self._command)

    def _repeat_command_block(self) -> Block:
        # Not cut anew: the card may have taken the block, and a new IFSC is for the next one.
        data = self._command[self._offset : self._offset + self._size]
        return i_block(self._host._send_sequence, data, more=self._has_more)

    def _take_information(self, received: Block) -> bool:
        """Rule 2.1 and 5; whether more is to come."""
        host = self._host
        out_of_turn = received.sequence != host._receive_sequence or (
            not self._receiving and self._has_more
        )
        # A chained block without a byte would let a card chain for ever.
        if out_of_turn or (received.more and not received.information):
            raise _Retry(2)
        self._response += received.information
        if len(self._response) > MAX_EXTENDED_RESPONSE:
            raise ProtocolViolation("the card chains a response longer than any APDU")
        host._receive_sequence ^= 1
        if not self._receiving:
            host._send_sequence ^= 1
            self._receiving = True
        self._retries = self._repeats = 0
        return received.more

    def _take_ready(self, received: Block) -> Block:
        host = self._host
        if self._receiving:
            # The card could not read our R-block: it names the block it waits for from us.
            if received.sequence != host._send_sequence:
                raise _Retry(2)
            self._repeats += 1
            return r_block(host._receive_sequence)
        if received.sequence == host._send_sequence:
            self._repeats += 1
            return self._repeat_command_block()
        if not self._has_more:
            raise _Retry(2)
        self._offset += self._size
        host._send_sequence ^= 1
        self._retries = self._repeats = 0
        return self._next_command_block()

    def _take_request(
        self, received: Block
    ) -> Generator[OutgoingBlock, bytes | None, tuple[Block, int]]:
        host = self._host
        kind = received.pcb & 0x1F if received.is_s_request else None
        answer = Block(received.pcb | 0x20, received.information)
        if kind == Supervision.IFS and 0 < received.information[0] <= MAX_INFORMATION:
            host.ifsc = received.information[0]
            return answer, 0
        if kind == Supervision.WTX and received.information[0]:
            return answer, received.information[0]
        if kind != Supervision.ABORT:
            raise _Retry(2)
        # Rule 9: the card gives the right to send back with an R-block.
        raw = yield host._outgoing(answer)
        with suppress(_Retry):
            after = host._decode(raw)
            if after.is_r:
                host._send_sequence = after.sequence
                host._in_step = True
        raise ChainAborted("the card aborted the chain of blocks")
