"""Messages of the interrupt endpoint (CCID Rev 1.1, section 6.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.ccid import HardwareError, SlotChange, SlotState
from ushield.ccid.errors import FrameInvalid
from ushield.ccid.notify import parse_notification
from ushield.errors import InputInvalid

states = st.lists(st.builds(SlotState, st.booleans(), st.booleans()), min_size=1, max_size=16)


@given(states)
def test_a_change_of_any_slots_is_read_as_it_was_written(slots: list[SlotState]) -> None:
    change = SlotChange(tuple(slots))
    assert parse_notification(change.encode(), len(slots)) == change


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_a_hardware_error_is_read_as_it_was_written(slot: int, seq: int, code: int) -> None:
    error = HardwareError(slot, seq, code)
    assert parse_notification(error.encode(), 1) == error


def test_a_card_put_into_the_only_slot() -> None:
    assert parse_notification(b"\x50\x03", 1) == SlotChange((SlotState(True, True),))


def test_a_card_pulled_from_the_fifth_slot() -> None:
    change = parse_notification(b"\x50\x00\x02", 5)
    assert isinstance(change, SlotChange)
    assert change.slots[4] == SlotState(present=False, changed=True)
    assert change.slots[:4] == (SlotState(False, False),) * 4


@pytest.mark.parametrize(
    ("message", "slots"),
    [(b"", 1), (b"\x50", 1), (b"\x50\x00\x00", 1), (b"\x50\x00", 5), (b"\x51\x00\x00", 1)],
)
def test_a_message_of_a_wrong_length_is_refused(message: bytes, slots: int) -> None:
    with pytest.raises(FrameInvalid):
        parse_notification(message, slots)


def test_an_unknown_message_is_refused() -> None:
    with pytest.raises(FrameInvalid, match="0x52"):
        parse_notification(b"\x52\x00", 1)


def test_a_field_that_is_no_byte_is_refused() -> None:
    with pytest.raises(InputInvalid):
        HardwareError(0, 256, 0).encode()
