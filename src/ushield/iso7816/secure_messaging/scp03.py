"""The messages of an open channel: SCP03 with S8 MACs, encryption and MAC both ways.

Source: GlobalPlatform Card Specification v2.3, Amendment D, 6.2. A command's data are encrypted
(AES-128, CBC, the IV made of a counter of commands), then MACed with all that went before; so are
the answer's. One thing is stricter than there: an answer has its MAC whatever its status word, so
that nobody on the wire can say for the token "rejected" or "the PIN is locked".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.constant_time import bytes_eq

from ushield.errors import ApduInvalid, ChannelBroken
from ushield.iso7816.apdu import MAX_EXTENDED_DATA, MAX_SHORT_DATA, CommandApdu
from ushield.iso7816.status import describe

__all__ = ["MAC_SIZE", "SECURE", "CardMessages", "HostMessages", "SessionKeys"]

MAC_SIZE = 8
SECURE = 0x04
"""The bit of CLA that says a command is secured (GlobalPlatform Card Specification, 11.1.4)."""

_BLOCK = 16
_FIRST_PAD = b"\x80"
_ANSWER = 1 << 127
_MAX_PLAIN = (MAX_EXTENDED_DATA - MAC_SIZE) // _BLOCK * _BLOCK - 1


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys of one session, 16 bytes each: for data, for commands' MACs, for answers' MACs."""

    enc: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    rmac: bytes = field(repr=False)


class _Messages:
    """What both sides keep: the keys made ready, the MAC of the last command, the counter."""

    __slots__ = (
        "_chain",
        "_command_mac",
        "_counter",
        "_counters",
        "_decryptor",
        "_encryptor",
        "_last_received",
        "_last_sent",
        "_response_mac",
    )

    def __init__(self, keys: SessionKeys, chain: bytes) -> None:
        aes = AES(keys.enc)
        # ECB keeps nothing between its blocks, so one encryptor makes all the IVs.
        self._counters = Cipher(aes, ECB()).encryptor()  # noqa: S305 - see above
        # A context made anew for each message would cost twenty times what the message does. One
        # that goes on chains the next block to the last one: that is taken out, the IV put in.
        chained = Cipher(aes, CBC(bytes(_BLOCK)))
        self._encryptor, self._decryptor = chained.encryptor(), chained.decryptor()
        self._last_sent = self._last_received = 0
        self._command_mac = CMAC(AES(keys.mac))
        self._response_mac = CMAC(AES(keys.rmac))
        self._chain = chain
        self._counter = 0

    def _next_chain(self, header: bytes, body: bytes) -> bytes:
        mac = self._command_mac.copy()
        mac.update(self._chain + header + body)
        return mac.finalize()

    def _answer_mac(self, body: bytes, sw: int) -> bytes:
        mac = self._response_mac.copy()
        mac.update(self._chain + body + sw.to_bytes(2, "big"))
        return mac.finalize()[:MAC_SIZE]

    def _iv(self, direction: int) -> int:
        block = self._counters.update((direction | self._counter).to_bytes(_BLOCK, "big"))
        return _number(block)

    def _encrypt(self, data: bytes, direction: int) -> bytes:
        padded = data + _FIRST_PAD.ljust(_BLOCK - len(data) % _BLOCK, b"\0")
        first = _number(padded[:_BLOCK]) ^ self._iv(direction) ^ self._last_sent
        encrypted = self._encryptor.update(first.to_bytes(_BLOCK, "big") + padded[_BLOCK:])
        self._last_sent = _number(encrypted[-_BLOCK:])
        return encrypted

    def _decrypt(self, data: bytes, direction: int) -> bytes:
        if len(data) % _BLOCK:
            raise ChannelBroken("encrypted data that are not whole blocks")
        padded = self._decryptor.update(data)
        first = _number(padded[:_BLOCK]) ^ self._iv(direction) ^ self._last_received
        self._last_received = _number(data[-_BLOCK:])
        padded = first.to_bytes(_BLOCK, "big") + padded[_BLOCK:]
        plain = padded.rstrip(b"\0")
        if plain[-1:] != _FIRST_PAD or len(padded) - len(plain) >= _BLOCK:
            raise ChannelBroken("encrypted data without their padding")
        return plain[:-1]


class HostMessages(_Messages):
    """The host's side of a session: `wrap` a command, then `unwrap` its answer, in turn."""

    __slots__ = ()

    def wrap(self, command: CommandApdu, *, extended: bool = False) -> CommandApdu:
        """The command as it goes over the wire, with the ``ne`` that it had.

        ``extended``: it will go as an extended APDU; one of more than 255 bytes is taken for one
        in any case. Its MAC covers the length field, which has another form there. `ApduInvalid`,
        and the session goes on, for one that leaves no room for padding and MAC.
        """
        if len(command.data) > _MAX_PLAIN:
            raise ApduInvalid(f"{len(command.data)} bytes are too many for a secured command")
        self._counter += 1
        body = self._encrypt(command.data, 0) if command.data else b""
        cla, ins, p1, p2 = command.cla | SECURE, command.ins, command.p1, command.p2
        header = bytes((cla, ins, p1, p2)) + _length(len(body), extended=extended)
        self._chain = self._next_chain(header, body)
        return CommandApdu(cla, ins, p1, p2, body + self._chain[:MAC_SIZE], command.ne)

    def unwrap(self, data: bytes, sw: int) -> bytes:
        """The plain data of the answer to the last command.

        `ChannelBroken` for an answer without its MAC, or with a wrong one; no data of it are
        given out then, and the session must not be used any more.
        """
        if len(data) < MAC_SIZE:
            raise ChannelBroken(f"an answer without its MAC: {describe(sw)}")
        body = data[:-MAC_SIZE]
        if not bytes_eq(data[-MAC_SIZE:], self._answer_mac(body, sw)):
            raise ChannelBroken("an answer with a wrong MAC")
        return self._decrypt(body, _ANSWER) if body else b""


class CardMessages(_Messages):
    """The card's side of a session: `unwrap` a command, then `wrap` its answer, in turn."""

    __slots__ = ()

    def unwrap(
        self, header: tuple[int, int, int, int], data: bytes, *, extended: bool = False
    ) -> bytes:
        """The plain data of a command that came with this CLA, INS, P1 and P2.

        ``extended``: it came as an extended APDU. `ChannelBroken` for one that is not the next
        one that the host has sent; the session must not be used any more then.
        """
        self._counter += 1
        body = data[:-MAC_SIZE]
        chain = self._next_chain(bytes(header) + _length(len(body), extended=extended), body)
        if not bytes_eq(data[-MAC_SIZE:], chain[:MAC_SIZE]):
            raise ChannelBroken("a command with a wrong MAC")
        self._chain = chain
        return self._decrypt(body, 0) if body else b""

    def wrap(self, data: bytes, sw: int) -> bytes:
        """What answers the last command: ``data`` encrypted, and the MAC over them and ``sw``."""
        body = self._encrypt(data, _ANSWER) if data else b""
        return body + self._answer_mac(body, sw)


def _number(block: bytes) -> int:
    return int.from_bytes(block, "big")


def _length(size: int, *, extended: bool) -> bytes:
    """Lc of a command whose data are ``size`` bytes and their MAC."""
    size += MAC_SIZE
    if extended or size > MAX_SHORT_DATA:
        return b"\0" + size.to_bytes(2, "big")
    return bytes((size,))
