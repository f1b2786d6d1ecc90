"""A card that speaks T=1, written from ISO/IEC 7816-3, clause 11, and not from the code under test.

It has its own block codec. It answers one block for each block, as a reader at TPDU level sees it.
"""

from __future__ import annotations

from collections.abc import Callable


def epilogue(body: bytes, *, crc: bool) -> bytes:
    if not crc:
        code = 0
        for byte in body:
            code ^= byte
        return bytes([code])
    register = 0xFFFF
    for byte in body:
        for bit in range(8):
            feedback = (register ^ byte >> bit) & 1
            register = register >> 1 ^ (0x8408 if feedback else 0)
    return register.to_bytes(2, "big")


def frame(pcb: int, information: bytes = b"", *, crc: bool = False, nad: int = 0) -> bytes:
    body = bytes([nad, pcb, len(information)]) + information
    return body + epilogue(body, crc=crc)


class CardT1:
    """``apdu`` answers commands; ``executed`` lists those it was given.

    ``requests`` are S-requests (PCB low bits, information byte) to make before the next answers.
    ``ifs`` is how long a block the card sends, before the host offers more.
    """

    def __init__(
        self, apdu: Callable[[bytes], bytes], *, crc: bool = False, ifsc: int = 32
    ) -> None:
        self.apdu = apdu
        self.crc = crc
        self.ifsc = ifsc
        self.ifs = 32
        self.executed: list[bytes] = []
        self.requests: list[tuple[int, bytes]] = []
        self.takes_ifs = True
        self.seen: list[bytes] = []
        self._reset()

    def _reset(self) -> None:
        self._sends = 0
        self._expects = 0
        self._command = b""
        self._response = b""
        self._unacknowledged: bytes | None = None
        self._request: tuple[int, bytes] | None = None
        self._held = b""

    def __call__(self, block: bytes) -> bytes:
        self.seen.append(block)
        size = 2 if self.crc else 1
        body, code = block[:-size], block[-size:]
        if len(body) < 3 or epilogue(body, crc=self.crc) != code:
            return self._ask() if self._request else self._ready(1)
        assert body[0] == 0
        assert body[2] == len(body) - 3
        assert body[2] <= self.ifsc
        return self._take(body[1], body[3:])

    def _frame(self, pcb: int, information: bytes = b"") -> bytes:
        return frame(pcb, information, crc=self.crc)

    def _ready(self, error: int = 0) -> bytes:
        return self._frame(0x80 | self._expects << 4 | error)

    def _take(self, pcb: int, information: bytes) -> bytes:
        if pcb == 0xC0:
            self._reset()
            return self._frame(0xE0)
        if self._request:
            kind, data = self._request
            if pcb != 0xE0 | kind or information != data:
                return self._ask()
            self._request = None
            if kind == 2:
                self._command = self._response = b""
                self._held = self._ready()
            return self._answer(self._held)
        if pcb == 0xC1 and self.takes_ifs:
            self.ifs = information[0]
            return self._frame(0xE1, information)
        if pcb & 0xC0 == 0x80:
            return self._on_ready(pcb >> 4 & 1)
        if pcb < 0x80 and pcb >> 6 == self._expects:
            return self._on_information(information, more=bool(pcb & 0x20))
        return self._ready(2)

    def _on_information(self, information: bytes, *, more: bool) -> bytes:
        self._expects ^= 1
        if self._unacknowledged is not None:
            self._sends ^= 1
            self._unacknowledged = None
        self._command += information
        if more:
            return self._answer(self._ready())
        self.executed.append(self._command)
        self._response, self._command = self.apdu(self._command), b""
        return self._answer(self._part())

    def _on_ready(self, wanted: int) -> bytes:
        if self._unacknowledged is None:
            return self._ready()
        if wanted == self._sends:
            return self._unacknowledged
        if not self._response:
            return self._ready(2)
        self._sends ^= 1
        return self._answer(self._part())

    def _part(self) -> bytes:
        part, self._response = self._response[: self.ifs], self._response[self.ifs :]
        pcb = self._sends << 6 | (0x20 if self._response else 0)
        self._unacknowledged = self._frame(pcb, part)
        return self._unacknowledged

    def _answer(self, block: bytes) -> bytes:
        if not self.requests:
            return block
        self._held = block
        self._request = self.requests.pop(0)
        return self._ask()

    def _ask(self) -> bytes:
        assert self._request
        kind, data = self._request
        if kind == 1:
            self.ifsc = data[0]
        return self._frame(0xC0 | kind, data)
