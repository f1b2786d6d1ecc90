"""Reading descriptors that a device sent, which may be anything (USB 2.0, section 9.6)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transport import cards
from ushield.ccid.descriptor import ClassDescriptor
from ushield.virtual.usb import descriptors

CONFIGURATION = cards.device().config_bytes()


def test_the_tokens_configuration_has_a_reader_and_a_panel() -> None:
    tree = descriptors.configuration(CONFIGURATION)
    (reader,), (panel,) = tree.interfaces
    assert reader.interface.bInterfaceClass == 0x0B
    assert [endpoint.bEndpointAddress for endpoint in reader.endpoints] == [0x01, 0x81, 0x82]
    assert ClassDescriptor.decode(reader.interface.extra_descriptors).max_message_length == 65554
    assert panel.interface.bInterfaceClass == 0xFF
    assert [endpoint.wMaxPacketSize for endpoint in panel.endpoints] == [16]


def test_a_class_descriptor_behind_an_endpoint_stays_with_that_endpoint() -> None:
    extra = bytes.fromhex("04210102")
    data = bytearray(CONFIGURATION) + extra
    data[2:4] = len(data).to_bytes(2, "little")
    tree = descriptors.configuration(bytes(data))
    assert tree.interfaces[1][0].endpoints[0].extra_descriptors == extra


def test_counts_are_those_of_what_is_there_not_those_announced() -> None:
    data = bytearray(CONFIGURATION)
    data[4] = 200
    data[9 + 4] = 99
    tree = descriptors.configuration(bytes(data))
    assert tree.configuration.bNumInterfaces == 2
    assert tree.interfaces[0][0].interface.bNumEndpoints == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        CONFIGURATION[:8],
        CONFIGURATION[:-1],
        CONFIGURATION + b"\x00",
        b"\x12\x01" + CONFIGURATION[2:],
        CONFIGURATION[:9] + b"\x00" + CONFIGURATION[10:],
        CONFIGURATION[:9] + b"\x05" + CONFIGURATION[10:],
        CONFIGURATION[:-7] + b"\xff" + CONFIGURATION[-6:],
    ],
    ids=["empty", "head", "short", "long", "type", "length 0", "short interface", "past the end"],
)
def test_a_configuration_that_contradicts_itself_is_refused(data: bytes) -> None:
    with pytest.raises(descriptors.DescriptorMalformed):
        descriptors.configuration(data)


@pytest.mark.parametrize(
    "data", [b"", b"\x12\x01", b"\x12\x02" + bytes(16), b"\x11\x01" + bytes(16)]
)
def test_a_device_descriptor_is_read_whole_or_not_at_all(data: bytes) -> None:
    with pytest.raises(descriptors.DescriptorMalformed):
        descriptors.device(data)


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused_and_nothing_else(body: bytes) -> None:
    data = bytes([9, 2]) + (9 + len(body)).to_bytes(2, "little") + bytes([1, 1, 0, 0x80, 50]) + body
    with suppress(descriptors.DescriptorMalformed):
        tree = descriptors.configuration(data)
        assert sum(len(settings) for settings in tree.interfaces) <= len(body) // 9


@given(st.data())
def test_one_changed_byte_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    changed = bytearray(CONFIGURATION)
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with suppress(descriptors.DescriptorMalformed):
        descriptors.configuration(bytes(changed))
