"""One APDU of 16 bytes there and back, beside a bare USB/IP socket loopback."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import usbip
from usbip.core import DeviceDescriptor
from usbip.host import Connection, Handle

from tests.bench.measure import in_turn, line
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.channel import ApduChannel
from ushield.shield.commands import CLA_VENDOR, Instruction
from ushield.shield.requests import encode_request_id
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transport.registry import open_spec

# An answer to be had without looking anything up: there is no request of this id.
COMMAND = CommandApdu(CLA_VENDOR, Instruction.REQUEST_STATE, 0, 0, encode_request_id(bytes(8)), 256)
FRAME = bytes(10) + COMMAND.encode()
ANSWER = bytes(12)


class Echo(usbip.Interface):  # type: ignore[misc]
    """The least device: each bulk OUT transfer is answered by the same twelve bytes."""

    bulk_out = usbip.Out(0x01)
    bulk_in = usbip.In(0x81)

    def on_out(self, endpoint: object, data: bytes) -> None:
        self.bulk_in.write(ANSWER)


def run() -> None:
    """Measure and print."""
    assert len(COMMAND.encode()) == 16
    device = usbip.USBDevice(0x1209, 0x0001)
    device.add(Echo())
    loopback = usbip.Loopback()
    loopback.serve(device)
    connection = Connection(loopback.connect())
    connection.import_device()
    handle = Handle(connection, DeviceDescriptor())

    def reference() -> None:
        handle.bulk_out(0x01, FRAME)
        handle.bulk_in(0x81, 64)

    with (
        TemporaryDirectory() as folder,
        VirtualTokenUnderTest.create(Path(folder) / "token") as token,
    ):
        card = open_spec(token.spec)
        raw = COMMAND.encode()
        channel = ApduChannel(card)
        seconds = in_turn(
            {
                "reference": reference,
                "connection": lambda: card.transmit(raw),
                "channel": lambda: channel.send(COMMAND),
                "card": lambda: token.virtual.card.transmit(raw),
            }
        )
        card.close()
    handle.close()
    base = seconds["reference"]
    line("usbip socket loopback, fixed answer (reference)", base)
    line("pyusb + CCID + virtual token, in process", seconds["connection"], _ratio(seconds, base))
    line("  of it the card itself", seconds["card"])
    line("the same through ApduChannel", seconds["channel"])


def _ratio(seconds: dict[str, float], base: float) -> str:
    return f"{seconds['connection'] / base:.2f} of the reference (at most 1.5)"
