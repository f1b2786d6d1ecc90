"""Devices that answer nonsense: a typed error each time, and no harm afterwards."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from usbip.core import IN, Urb

from tests.transport.cards import OK, EchoCard, connect, echo
from ushield.ccid.messages import data_block
from ushield.errors import ProtocolViolation, TransferTimeout, TransportError
from ushield.virtual.usb import VirtualUsbDevice

BULK_IN: Final = 1


class LyingDevice(VirtualUsbDevice):
    """The echo token, with lies told in place of its next answers."""

    def __init__(self) -> None:
        super().__init__(
            EchoCard(),
            vendor_id=1,
            product_id=2,
            manufacturer="",
            product="",
            serial="",
            max_message_length=271,
        )
        self.lies: deque[bytes] = deque()

    def handle_urb(self, urb: Urb, respond: Callable[[Urb], None] | None = None) -> Urb | None:
        answered = super().handle_urb(urb, respond)
        if answered is not None and (urb.ep, urb.direction) == (BULK_IN, IN) and self.lies:
            answered.buffer = self.lies.popleft()
            answered.actual = len(answered.buffer)
        return answered


@pytest.mark.parametrize(
    "lie",
    [
        b"",
        b"\x80",
        bytes(9),
        b"\xff" * 10,
        b"\xff" * 65536,
        data_block(0, 2, b"x" + OK)[:-1],
        data_block(0, 2, b"x" + OK) + b"\x00",
        b"\x80\xff\xff\xff\xff" + data_block(0, 2, OK)[5:],
        data_block(0, 2, bytes(262)),
        data_block(0, 2, b""),
        data_block(0, 2, b"\x90"),
        data_block(0, 2, OK, status=0xC0),
        data_block(0, 2, OK, status=0x03),
        data_block(0, 2, OK, chain=0x03),
        data_block(0, 2, OK, chain=0x77),
    ],
    ids=[
        "nothing",
        "one byte",
        "no whole header",
        "ones",
        "64 KiB of ones",
        "cut short",
        "too long",
        "announces 4 GiB",
        "longer than the reader's longest",
        "no status word",
        "half a status word",
        "reserved command status",
        "reserved card status",
        "starts in the middle",
        "unknown chain parameter",
    ],
)
def test_garbage_oversize_and_truncated_frames_are_violations(lie: bytes) -> None:
    device = LyingDevice()
    connection = connect(device)
    # Three commands were sent to open it: its next number is the fourth.
    device.lies.append(_numbered(lie, 3))
    with pytest.raises(ProtocolViolation):
        connection.transmit(echo(b"x"), timeout=0.3)
    assert connection.transmit(echo(b"after"), timeout=10) == b"after" + OK
    connection.close()


def _numbered(frame: bytes, seq: int) -> bytes:
    return frame[:6] + bytes([seq]) + frame[7:] if len(frame) >= 10 else frame


@settings(max_examples=60, deadline=None)
@example([b"\x81\x00\x00\x00\x00\x00\x05\x00\x00\x00"])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.builds(
                data_block,
                st.integers(0, 1),
                st.integers(0, 8),
                st.binary(max_size=20),
                st.integers(0, 255),
                st.integers(0, 255),
                st.integers(0, 255),
            ),
        ),
        max_size=6,
    )
)
def test_any_frames_end_in_a_typed_error_or_an_answer_and_the_token_works_afterwards(
    lies: list[bytes],
) -> None:
    device = LyingDevice()
    connection = connect(device)
    device.lies.extend(lies)
    for _ in range(2):
        with contextlib.suppress(TransportError):
            connection.transmit(echo(b"x"), timeout=0.05)
    device.lies.clear()
    with contextlib.suppress(TransportError):
        connection.transmit(echo(b"whatever state that was"), timeout=10)
    connection.reset()
    assert connection.transmit(echo(b"after"), timeout=10) == b"after" + OK
    connection.close()


def test_a_device_that_only_asks_for_more_time_is_given_up() -> None:
    device = LyingDevice()
    connection = connect(device)
    device.lies.extend([data_block(0, 3, b"", status=0x80, error=1)] * 3)
    with pytest.raises(TransferTimeout):
        connection.transmit(echo(b"x"), timeout=0.2)
    device.lies.clear()
    assert connection.transmit(echo(b"after"), timeout=10) == b"after" + OK
    connection.close()
