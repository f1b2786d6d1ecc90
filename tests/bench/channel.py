"""The secure channel's cost: per session and per APDU, beside yubikit's SCP11b client on the card.

Both speak to the same virtual token's card with nothing between, about a command of 16 bytes of
data that is answered by its status word: what is measured is the card's work and the host's.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.bench.measure import in_turn, line
from ushield.drivers.shield import ShieldDriver
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.channel import ApduChannel
from ushield.iso7816.secure_messaging.connection import SecureConnection
from ushield.shield.commands import AID, CLA_VENDOR, Instruction
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transport.registry import open_spec

DATA = b"\x80\x0e" + bytes(14)
COMMAND = CommandApdu(CLA_VENDOR, Instruction.REQUEST_STATE, 0, 0, DATA, 256)


def run() -> None:
    """Measure and print."""
    from yubikit.core import TRANSPORT
    from yubikit.core.smartcard import ApduError, SmartCardConnection, SmartCardProtocol
    from yubikit.core.smartcard.scp import KeyRef, Scp11KeyParams

    from tests.iso7816.connections import to_card

    with (
        TemporaryDirectory() as folder,
        VirtualTokenUnderTest.create(Path(folder) / "token") as token,
    ):
        card = token.virtual.card

        class Direct(SmartCardConnection):
            transport = TRANSPORT.USB

            def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
                answer = card.transmit(apdu)
                return answer[:-2], int.from_bytes(answer[-2:], "big")

            def close(self) -> None:
                pass

        connection = to_card(card)
        plain = ApduChannel(connection)
        stored = token.virtual._nvram.channel_key()
        assert stored is not None
        key = x509.load_der_x509_certificate(stored.certificate).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        secure = SecureConnection(connection, key, AID)
        channel = ApduChannel(secure)
        theirs = SmartCardProtocol(Direct())
        parameters = Scp11KeyParams(KeyRef(0x13, 1), key)

        def use_theirs() -> None:
            with suppress(ApduError):
                theirs.send_apdu(CLA_VENDOR, Instruction.REQUEST_STATE, 0, 0, DATA)

        def open_ours() -> None:
            SecureConnection(connection, key, AID).transmit(COMMAND.encode())

        def open_theirs() -> None:
            theirs.init_scp(parameters)
            use_theirs()

        theirs.select(AID)
        seconds: dict[str, Any] = in_turn({"plain": lambda: plain.send(COMMAND)})
        # One at a time: a session ends when another one opens.
        channel.send(COMMAND)
        seconds |= in_turn({"ours": lambda: channel.send(COMMAND)})
        theirs.init_scp(parameters)
        seconds |= in_turn({"theirs": use_theirs})
        seconds |= in_turn({"open ours": open_ours, "open theirs": open_theirs}, runs=40)

        def probe() -> None:
            usb = open_spec(token.spec)
            assert ShieldDriver.probe(usb) is not None
            usb.close()

        seconds |= in_turn({"probe": probe}, runs=20)
    line("an APDU of 16 bytes to the card, in the clear", seconds["plain"])
    line("through the channel, yubikit's client (reference)", seconds["theirs"])
    line(
        "through the channel",
        seconds["ours"],
        f"{seconds['ours'] / seconds['theirs']:.2f} of the reference",
    )
    line("a session and its first APDU, yubikit's (reference)", seconds["open theirs"])
    line(
        "a session and its first APDU",
        seconds["open ours"],
        f"{seconds['open ours'] / seconds['open theirs']:.2f} of the reference",
    )
    line("a token opened over pyusb, certificates checked", seconds["probe"])
