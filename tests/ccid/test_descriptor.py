"""The class descriptor (CCID Rev 1.1, section 5.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.ccid import ClassDescriptor, ExchangeLevel, Feature, VoltageClass
from ushield.ccid.errors import DescriptorInvalid
from ushield.errors import InputInvalid

byte = st.integers(0, 0xFF)
word = st.integers(0, 0xFFFF)
dword = st.integers(0, 0xFFFFFFFF)

descriptors = st.builds(
    ClassDescriptor,
    max_slot_index=byte,
    voltage_support=byte,
    protocols=dword,
    features=dword,
    max_message_length=st.integers(14, 0xFFFFFFFF),
    version=word,
    default_clock=dword,
    maximum_clock=dword,
    clock_count=byte,
    data_rate=dword,
    max_data_rate=dword,
    data_rate_count=byte,
    max_ifsd=dword,
    synchronous_protocols=dword,
    mechanical=dword,
    class_get_response=byte,
    class_envelope=byte,
    lcd_layout=word,
    pin_support=byte,
    max_busy_slots=byte,
)

# Field values of QEMU's usb-ccid (hw/usb/dev-smartcard-reader.c): T=0 at TPDU level.
QEMU = ClassDescriptor(
    max_slot_index=0,
    voltage_support=VoltageClass.V5 | VoltageClass.V3 | VoltageClass.V1_8,
    protocols=1,
    features=0x000104FE,
    max_message_length=271,
)


@given(descriptors)
def test_every_descriptor_decodes_to_itself(descriptor: ClassDescriptor) -> None:
    assert ClassDescriptor.decode(descriptor.encode()) == descriptor


@given(st.binary(min_size=52, max_size=52))
def test_what_decodes_encodes_to_the_same_bytes(body: bytes) -> None:
    data = b"\x36\x21" + body
    try:
        descriptor = ClassDescriptor.decode(data)
    except DescriptorInvalid:
        return
    assert descriptor.encode() == data


@given(descriptors)
def test_fields_lie_at_the_offsets_of_table_5_1_1(descriptor: ClassDescriptor) -> None:
    data = descriptor.encode()
    assert len(data) == 54
    assert data[4] == descriptor.max_slot_index
    assert data[5] == descriptor.voltage_support
    assert int.from_bytes(data[6:10], "little") == descriptor.protocols
    assert int.from_bytes(data[10:14], "little") == descriptor.default_clock
    assert int.from_bytes(data[23:27], "little") == descriptor.max_data_rate
    assert data[27] == descriptor.data_rate_count
    assert int.from_bytes(data[28:32], "little") == descriptor.max_ifsd
    assert int.from_bytes(data[40:44], "little") == descriptor.features
    assert int.from_bytes(data[44:48], "little") == descriptor.max_message_length
    assert int.from_bytes(data[50:52], "little") == descriptor.lcd_layout
    assert data[52] == descriptor.pin_support
    assert data[53] == descriptor.max_busy_slots


def test_qemu_is_a_tpdu_reader_that_negotiates_by_itself() -> None:
    assert QEMU.level is ExchangeLevel.TPDU
    assert QEMU.has(Feature.AUTO_NEGOTIATION)
    assert QEMU.has(Feature.AUTO_IFSD)
    assert not QEMU.has(Feature.CLOCK_STOP)
    assert QEMU.slot_count == 1


@pytest.mark.parametrize(
    ("bits", "level"),
    [
        (0x00000, ExchangeLevel.CHARACTER),
        (0x10000, ExchangeLevel.TPDU),
        (0x20000, ExchangeLevel.SHORT_APDU),
        (0x40000, ExchangeLevel.EXTENDED_APDU),
    ],
)
def test_the_level_of_exchange(bits: int, level: ExchangeLevel) -> None:
    descriptor = ClassDescriptor(0, 7, 3, bits, 271)
    assert descriptor.level is level


HID = bytes.fromhex("092111010001223F00")
ENDPOINT = bytes.fromhex("07058102400000")


@pytest.mark.parametrize(
    "extras",
    [
        (QEMU.encode(),),
        (HID + QEMU.encode(),),
        (b"", ENDPOINT + QEMU.encode()),
        (HID, b"", QEMU.encode()),
    ],
)
def test_it_is_found_behind_the_interface_or_behind_an_endpoint(extras: tuple[bytes, ...]) -> None:
    assert ClassDescriptor.find(*extras) == QEMU


@pytest.mark.parametrize("extra", [b"", b"\x00" * 60, b"\x01\x21", HID, QEMU.encode()[:53]])
def test_an_interface_without_one_is_refused(extra: bytes) -> None:
    with pytest.raises(DescriptorInvalid):
        ClassDescriptor.find(extra)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        QEMU.encode() + b"\x00",
        b"\x35" + QEMU.encode()[1:],
        b"\x36\x22" + QEMU.encode()[2:],
        ClassDescriptor(0, 7, 3, 0x40000, 13).encode(),
    ],
)
def test_what_is_no_descriptor_of_a_usable_reader_is_refused(data: bytes) -> None:
    with pytest.raises(DescriptorInvalid):
        ClassDescriptor.decode(data)


def test_a_field_too_big_is_refused() -> None:
    with pytest.raises(InputInvalid):
        ClassDescriptor(256, 7, 3, 0x40000, 271).encode()


@given(st.binary(max_size=200))
def test_garbage_gives_a_typed_error(extra: bytes) -> None:
    try:
        ClassDescriptor.find(extra)
    except DescriptorInvalid:
        return
