"""A card for tests of what lies below cards, and the plugs it comes with."""

from __future__ import annotations

import threading
from typing import Final

from ushield.transport.usb.connection import UsbConnection, open_usb
from ushield.transport.usb.discovery import find_readers
from ushield.virtual.usb import VirtualBackend, VirtualUsbDevice

ATR: Final = bytes.fromhex("3B80800101")
OK: Final = b"\x90\x00"

SLOW: Final = 0x46
LONG: Final = 0xB0
WRONG_LENGTH: Final = b"\x67\x00"


class EchoCard:
    """Answers the body of a command.

    INS 46 does so only once `release` is set, and says beforehand that it is slow; INS B0 answers
    as many bytes as P1 P2 say. Every command is kept in ``seen``.
    """

    def __init__(self) -> None:
        self.powered = False
        self.power_ups = 0
        self.seen: list[bytes] = []
        self.release = threading.Event()
        self.entered = threading.Event()

    def power_on(self) -> bytes:
        self.powered = True
        self.power_ups += 1
        return ATR

    def power_off(self) -> None:
        self.powered = False

    def transmit(self, command: bytes) -> bytes:
        self.seen.append(command)
        if len(command) < 4:
            return WRONG_LENGTH
        if command[1] == SLOW:
            self.entered.set()
            assert self.release.wait(30)
        if command[1] == LONG:
            return bytes(index & 0xFF for index in range(int.from_bytes(command[2:4], "big"))) + OK
        return body(command) + OK

    def is_slow(self, command: bytes) -> bool:
        return command[1:2] == bytes([SLOW])


def echo(data: bytes, *, ins: int = 0x88) -> bytes:
    """A command whose answer is ``data``."""
    if len(data) < 256:
        return bytes([0x00, ins, 0x00, 0x00, len(data)]) + data
    return bytes([0x00, ins, 0x00, 0x00, 0x00]) + len(data).to_bytes(2, "big") + data


def body(command: bytes) -> bytes:
    """The data field of a command with one, short or extended."""
    if len(command) <= 5:
        return b""
    if command[4]:
        return command[5 : 5 + command[4]]
    return command[7 : 7 + int.from_bytes(command[5:7], "big")]


def long_answer(length: int) -> bytes:
    """A command whose answer has so many bytes."""
    return bytes([0x00, LONG]) + length.to_bytes(2, "big")


def device(card: EchoCard | None = None, **options: object) -> VirtualUsbDevice:
    """An echo card's device; time extensions come fast."""
    return VirtualUsbDevice(
        card if card is not None else EchoCard(),
        vendor_id=0x1209,
        product_id=0x5348,
        manufacturer="ushield tests",
        product="Echo",
        serial="E0001",
        extension_interval=0.02,
        **options,  # type: ignore[arg-type]
    )


def connect(plugged: VirtualUsbDevice, *, timeout: float = 5.0) -> UsbConnection:
    """Find it on a bus of its own and open it."""
    (reader,) = find_readers(VirtualBackend([plugged]))
    return open_usb(reader.device, info=reader.info, timeout=timeout)
