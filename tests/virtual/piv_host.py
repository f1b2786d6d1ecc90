"""A host for the PIV application: its commands by tag and length, as SP 800-73pt2-5 has them."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.virtual.fingers import finger_at
from ushield.iso7816.apdu import CommandApdu, ResponseApdu
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode, parse_one, read_template
from ushield.piv.commands import (
    AID,
    DEFAULT_MANAGEMENT_KEY,
    Instruction,
    ManagementAlgorithm,
)
from ushield.shield.events import PanelKey
from ushield.virtual.clock import ManualClock
from ushield.virtual.create import create_token
from ushield.virtual.token import VirtualToken

OK = int(StatusWord.SUCCESS)
PIN, PUK = "135790", "86420864"
OTHER_PIN = "97531042"
P256, P384, RSA_2048 = 0x11, 0x14, 0x07
NOT_SATISFIED = StatusWord.SECURITY_STATUS_NOT_SATISFIED
CONDITIONS = StatusWord.CONDITIONS_NOT_SATISFIED


def padded(secret: str) -> bytes:
    return secret.encode().ljust(8, b"\xff")


def cipher(algorithm: ManagementAlgorithm, key: bytes) -> Cipher[modes.ECB]:
    if algorithm is ManagementAlgorithm.TRIPLE_DES:
        return Cipher(TripleDES(key), modes.ECB())
    return Cipher(algorithms.AES(key), modes.ECB())


class PivHost:
    """A powered token with the PIV application selected."""

    def __init__(self, token: VirtualToken) -> None:
        self.token = token
        self.panel = token.panel
        token.card.power_on()
        assert self.select().ok

    @classmethod
    def create(
        cls, folder: Path, *, profile: str = "default", pin: str = PIN, default_pin: bool = False
    ) -> PivHost:
        create_token(folder / "token", profile=profile, pin=pin, puk=PUK, default_pin=default_pin)
        return cls(VirtualToken.open(folder / "token", clock=ManualClock()))

    def __enter__(self) -> PivHost:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.token.close()

    @property
    def clock(self) -> ManualClock:
        clock = self.token.clock
        assert isinstance(clock, ManualClock)
        return clock

    def send(
        self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"", ne: int = 65536
    ) -> ResponseApdu:
        command = CommandApdu(0, ins, p1, p2, data, ne)
        return ResponseApdu.decode(self.token.card.transmit(command.encode()))

    def select(self, aid: bytes = AID) -> ResponseApdu:
        return self.send(0xA4, 4, 0, aid)

    # PINs.

    def verify(self, pin: str = PIN) -> int:
        return self.send(Instruction.VERIFY, 0, 0x80, padded(pin)).sw

    def ask(self) -> int:
        return self.send(Instruction.VERIFY, 0, 0x80).sw

    def change(self, old: str, new: str, reference: int = 0x80) -> int:
        data = padded(old) + padded(new)
        return self.send(Instruction.CHANGE_REFERENCE_DATA, 0, reference, data).sw

    def unblock(self, puk: str, new: str) -> int:
        data = padded(puk) + padded(new)
        return self.send(Instruction.RESET_RETRY_COUNTER, 0, 0x80, data).sw

    def tries_left(self) -> tuple[int, int]:
        """Of the PIN and of the PUK."""
        pin, puk = (self.metadata(reference)[6] for reference in (0x80, 0x81))
        return pin[1], puk[1]

    def block(self) -> None:
        """Use up all tries, as tools do before a reset."""
        while self.verify("") != StatusWord.AUTHENTICATION_BLOCKED:
            pass
        while self.unblock("", "") != StatusWord.AUTHENTICATION_BLOCKED:
            pass

    # The management key.

    def authenticate(
        self,
        key: bytes = DEFAULT_MANAGEMENT_KEY,
        algorithm: ManagementAlgorithm = ManagementAlgorithm.TRIPLE_DES,
    ) -> int:
        """Mutual authentication; the card's half of it is checked."""
        answer = self.dynamic(algorithm, 0x9B, (0x80, b""))
        if not answer.ok:
            return answer.sw
        with_key = cipher(algorithm, key)
        witness = with_key.decryptor().update(self.taken(answer, 0x80))
        challenge = os.urandom(algorithm.block_size)
        answer = self.dynamic(algorithm, 0x9B, (0x80, witness), (0x81, challenge))
        if answer.ok:
            assert self.taken(answer, 0x82) == with_key.encryptor().update(challenge)
        return answer.sw

    def dynamic(self, p1: int, p2: int, *objects: tuple[int, bytes]) -> ResponseApdu:
        data = encode(0x7C, b"".join(encode(tag, value) for tag, value in objects))
        return self.send(Instruction.GENERAL_AUTHENTICATE, p1, p2, data)

    @staticmethod
    def taken(answer: ResponseApdu, tag: int) -> bytes:
        """One object of a dynamic authentication template."""
        assert answer.ok
        return read_template(parse_one(answer.data).value).take(tag)

    # Keys and objects.

    def generate(self, slot: int = 0x9A, algorithm: int = P256, policies: bytes = b"") -> int:
        data = encode(0xAC, encode(0x80, bytes((algorithm,))) + policies)
        return self.send(Instruction.GENERATE, 0, slot, data).sw

    def key(self, slot: int = 0x9A, algorithm: int = P256, policies: bytes = b"") -> None:
        """A new key pair, by the management key."""
        assert self.authenticate() == OK
        assert self.generate(slot, algorithm, policies) == OK

    def sign(
        self, slot: int = 0x9A, block: bytes = bytes(32), algorithm: int = P256
    ) -> ResponseApdu:
        return self.dynamic(algorithm, slot, (0x82, b""), (0x81, block))

    def metadata(self, reference: int) -> dict[int, bytes]:
        answer = self.send(Instruction.GET_METADATA, 0, reference)
        assert answer.ok
        template = read_template(answer.data)
        values = {tag: template.take_optional(tag) for tag in range(1, 7)}
        return {tag: value for tag, value in values.items() if value is not None}

    def public_key(self, slot: int = 0x9A) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
        metadata = self.metadata(slot)
        template = read_template(metadata[4])
        point = template.take_optional(0x86)
        if point is None:
            modulus, exponent = (int.from_bytes(template.take(tag), "big") for tag in (0x81, 0x82))
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
        curve = ec.SECP256R1() if metadata[1][0] == P256 else ec.SECP384R1()
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)

    def get(self, tag: int) -> ResponseApdu:
        data = encode(0x5C, tag.to_bytes((tag.bit_length() + 7) // 8, "big"))
        return self.send(Instruction.GET_DATA, 0x3F, 0xFF, data)

    def put(self, tag: int, value: bytes) -> int:
        data = encode(0x5C, tag.to_bytes((tag.bit_length() + 7) // 8, "big")) + encode(0x53, value)
        return self.send(Instruction.PUT_DATA, 0x3F, 0xFF, data).sw

    def finger(self, *keys: PanelKey) -> AbstractContextManager[list[tuple[str, ...]]]:
        """See `finger_at`."""
        return finger_at(self.panel, *keys)
