"""PIN entry structures (CCID Rev 1.1, section 6.1.11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.ccid.errors import FrameInvalid
from ushield.ccid.pin_entry import PinModification, PinVerification, decode_pin_entry
from ushield.errors import InputInvalid

BYTE = st.integers(0, 255)
DIGITS = st.tuples(BYTE, BYTE).map(lambda two: (min(two), max(two)))


def test_a_verification_is_laid_out_as_the_table_says() -> None:
    entry = PinVerification(
        timeout=0x1E,
        format_string=0x82,
        block_string=0x08,
        length_format=0x00,
        min_digits=4,
        max_digits=8,
        apdu=bytes.fromhex("0020008008FFFFFFFFFFFFFFFF"),
        prologue=bytes.fromhex("004000"),
    )
    # bPINOperation, bTimeOut, the three formats, wPINMaxExtraDigit (low byte the most),
    # bEntryValidationCondition, bNumberMessage, wLangId, bMsgIndex, bTeoPrologue, abPINApdu.
    assert entry.encode() == bytes.fromhex(
        "00 1E 82 08 00 0804 02 01 0904 00 004000 0020008008FFFFFFFFFFFFFFFF"
    )


@pytest.mark.parametrize(
    ("messages", "indices", "wire"),
    [(0, (5,), "05"), (1, (5, 6), "0506"), (2, (5, 6), "0506"), (3, (5, 6, 7), "050607")],
)
def test_a_modification_has_as_many_message_indices_as_it_has_messages(
    messages: int, indices: tuple[int, ...], wire: str
) -> None:
    entry = PinModification(
        *(0x1E, 0x82, 0x0C, 0x00, 0, 12, 6, 12),
        bytes.fromhex("00240081"),
        messages=messages,
        message_indices=indices,
    )
    assert entry.encode() == bytes.fromhex(
        f"01 1E 82 0C 00 00 0C 0C06 03 02 {messages:02X} 0904 {wire} 000000 00240081"
    )
    assert decode_pin_entry(entry.encode()) == entry


@given(
    st.tuples(BYTE, BYTE, BYTE, BYTE),
    DIGITS,
    st.binary(min_size=4, max_size=40),
    st.tuples(BYTE, BYTE, st.integers(0, 0xFFFF), BYTE),
    st.binary(min_size=3, max_size=3),
)
def test_a_verification_is_read_as_it_was_written(
    head: tuple[int, int, int, int],
    digits: tuple[int, int],
    apdu: bytes,
    rest: tuple[int, int, int, int],
    prologue: bytes,
) -> None:
    entry = PinVerification(*head, *digits, apdu, *rest, prologue)
    assert decode_pin_entry(entry.encode()) == entry


@given(st.tuples(BYTE, BYTE, BYTE, BYTE, BYTE, BYTE), DIGITS, st.binary(min_size=4), BYTE)
def test_a_modification_is_read_as_it_was_written(
    head: tuple[int, int, int, int, int, int], digits: tuple[int, int], apdu: bytes, confirm: int
) -> None:
    entry = PinModification(*head, *digits, apdu, confirm)
    assert decode_pin_entry(entry.encode()) == entry


@given(st.binary(max_size=40))
def test_whatever_is_decoded_encodes_to_itself_or_is_invalid(data: bytes) -> None:
    try:
        entry = decode_pin_entry(data)
    except FrameInvalid:
        return
    if entry.min_digits <= entry.max_digits:
        assert entry.encode() == data
    else:
        with pytest.raises(InputInvalid):
            entry.encode()


@pytest.mark.parametrize(
    "entry",
    [
        PinVerification(256, 0, 0, 0, 4, 8, b""),
        PinVerification(1, 0, 0, 0, 9, 8, b""),
        PinVerification(1, 0, 0, 0, 4, 256, b""),
        PinModification(1, 0, 0, 0, 0, 256, 4, 8, b""),
        PinModification(1, 0, 0, 0, 0, 8, 4, 8, b"", message_indices=(0, 1)),
        PinModification(1, 0, 0, 0, 0, 8, 4, 8, b"", message_indices=(0, 1, 256)),
    ],
)
def test_a_field_out_of_range_is_refused(entry: PinVerification | PinModification) -> None:
    with pytest.raises(InputInvalid):
        entry.encode()


@pytest.mark.parametrize(
    ("entry", "patience"),
    [
        (PinVerification(0, 0, 0, 0, 4, 8, b""), 90),
        (PinVerification(81, 0, 0, 0, 4, 8, b""), 91),
        (PinModification(20, 0, 0, 0, 0, 8, 4, 8, b""), 90),
        (PinModification(60, 0, 0, 0, 0, 8, 4, 8, b""), 190),
    ],
)
def test_the_host_waits_longer_than_the_person_may_take(
    entry: PinVerification | PinModification, patience: float
) -> None:
    assert entry.patience == patience
