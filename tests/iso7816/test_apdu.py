"""Command and response APDUs (ISO/IEC 7816-4, clause 5.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ushield.errors import ApduInvalid
from ushield.iso7816.apdu import (
    MAX_EXTENDED_DATA,
    MAX_EXTENDED_NE,
    MAX_SHORT_DATA,
    MAX_SHORT_NE,
    CommandApdu,
    ResponseApdu,
)

octet = st.integers(0, 255)
short_commands = st.builds(
    CommandApdu,
    octet,
    octet,
    octet,
    octet,
    st.binary(max_size=MAX_SHORT_DATA),
    st.integers(0, MAX_SHORT_NE),
)
commands = st.builds(
    CommandApdu,
    octet,
    octet,
    octet,
    octet,
    st.one_of(
        st.binary(max_size=600),
        st.sampled_from([255, 256, 65534, 65535]).map(bytes),
    ),
    st.one_of(st.integers(0, 300), st.sampled_from([255, 256, 257, 65535, 65536])),
)


@pytest.mark.parametrize(
    ("command", "case", "encoded"),
    [
        # Cases 1, 2S, 3S, 4S, 2E, 3E and 4E of clause 5.1, figure 3 and table 1.
        (CommandApdu(0x00, 0xB0, 0, 1), 1, "00b00001"),
        (CommandApdu(0x00, 0xB0, 0, 0, ne=16), 2, "00b0000010"),
        (CommandApdu(0x00, 0xB0, 0, 0, ne=256), 2, "00b0000000"),
        (CommandApdu(0x00, 0xD6, 0, 0, b"\x01\x02"), 3, "00d60000020102"),
        (CommandApdu(0x00, 0xA4, 4, 0, b"\xa0\x00", 256), 4, "00a4040002a00000"),
        (CommandApdu(0x00, 0xB0, 0, 0, ne=257), 2, "00b00000000101"),
        (CommandApdu(0x00, 0xB0, 0, 0, ne=65536), 2, "00b00000000000"),
        (CommandApdu(0x00, 0xD6, 0, 0, b"\0" * 256), 3, "00d60000000100" + "00" * 256),
        (CommandApdu(0x00, 0xDA, 0, 0, b"\x01", 65536), 4, "00da0000000001010000"),
    ],
)
def test_each_case_has_its_form(command: CommandApdu, case: int, encoded: str) -> None:
    assert command.case == case
    assert command.encode().hex() == encoded
    assert CommandApdu.decode(bytes.fromhex(encoded)) == command


@given(commands)
def test_a_command_is_read_as_it_was_written(command: CommandApdu) -> None:
    assert CommandApdu.decode(command.encode()) == command


@given(short_commands)
def test_a_short_command_can_be_written_extended_too(command: CommandApdu) -> None:
    assert not command.needs_extended
    extended = command.encode(extended=True)
    assert CommandApdu.decode(extended) == command
    if command.case > 1:
        assert extended[4] == 0
        assert len(extended) > len(command.encode())


@given(st.binary(max_size=300))
def test_bytes_are_a_command_in_one_way_or_none(raw: bytes) -> None:
    try:
        command = CommandApdu.decode(raw)
    except ApduInvalid:
        return
    extended = len(raw) > 5 and raw[4] == 0
    assert command.encode(extended=extended) == raw


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "00b000",
        "00d6000003aabb",  # Lc says more than follows
        "00d6000001aabbcc",  # and less
        "00b000000000",  # an extended Le of one byte
        "00d60000000003aabb",
        "00d60000000001aabb",  # an extended Le of one byte after data
        "00d600000000000100",  # extended Lc of zero
    ],
)
def test_lengths_that_do_not_add_up_are_refused(raw: str) -> None:
    with pytest.raises(ApduInvalid):
        CommandApdu.decode(bytes.fromhex(raw))


def test_the_refusal_of_a_malformed_command_quotes_none_of_it() -> None:
    with pytest.raises(ApduInvalid) as caught:
        CommandApdu.decode(
            b"\x00\x20\x00\x81" + b"802563"
        )  # Lc forgotten: the PIN's 8 in its place
    assert not set("8256").intersection(str(caught.value).replace("5 bytes", ""))


@pytest.mark.parametrize(
    "command",
    [
        CommandApdu(0, 0, 0, 0, b"\0" * 256),
        CommandApdu(0, 0, 0, 0, ne=257),
    ],
)
def test_the_short_form_is_refused_where_it_is_too_short(command: CommandApdu) -> None:
    assert command.needs_extended
    with pytest.raises(ApduInvalid):
        command.encode(extended=False)


@pytest.mark.parametrize(
    "command",
    [
        CommandApdu(0, 0, 0, 0, b"\0" * (MAX_EXTENDED_DATA + 1)),
        CommandApdu(0, 0, 0, 0, ne=MAX_EXTENDED_NE + 1),
        CommandApdu(0, 0, 0, 0, ne=-1),
        CommandApdu(256, 0),
        CommandApdu(0, 0, -1),
    ],
)
def test_what_no_apdu_can_carry_is_refused(command: CommandApdu) -> None:
    with pytest.raises(ApduInvalid):
        command.encode()


@given(st.binary(max_size=70), st.integers(0, 0xFFFF))
def test_a_response_is_read_as_it_was_written(data: bytes, sw: int) -> None:
    response = ResponseApdu(data, sw)
    assert ResponseApdu.decode(response.encode()) == response
    assert response.ok == (sw == 0x9000)


@pytest.mark.parametrize("raw", [b"", b"\x90"])
def test_a_response_has_room_for_a_status_word(raw: bytes) -> None:
    with pytest.raises(ApduInvalid):
        ResponseApdu.decode(raw)


@pytest.mark.parametrize("ins", [0x20, 0x21, 0x24, 0x25, 0x2C, 0x2D, 0x5C, 0xC2, 0xC3])
@pytest.mark.parametrize("cla", [0x00, 0x10, 0x80, 0x90, 0x0C])
def test_the_repr_of_a_command_with_a_secret_hides_it(cla: int, ins: int) -> None:
    shown = repr(CommandApdu(cla, ins, 0, 0x81, b"802563"))
    assert "802563" not in shown
    assert b"802563".hex() not in shown
    assert "6 bytes hidden" in shown


def test_the_repr_of_another_command_shows_it() -> None:
    assert repr(CommandApdu(0, 0xA4, 4, 0, b"\xa0\x01", 256)) == (
        "CommandApdu(00 A4 04 00, data='a001', ne=256)"
    )
