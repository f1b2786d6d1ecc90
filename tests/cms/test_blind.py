"""The word that nothing was shown has one encoding, and no other bytes are it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cms.changes import in_ber
from ushield.cms import BlindStatement, BlindStatementInvalid
from ushield.cms import der as writer

TEXT = st.characters(exclude_categories=["Cs"])
statements = st.builds(
    BlindStatement,
    serial=st.text(TEXT, min_size=1, max_size=64),
    model=st.text(TEXT, max_size=64),
    driver=st.text(TEXT, min_size=1, max_size=32),
    virtual=st.booleans(),
)
STATEMENT = BlindStatement("1234", "YubiKey", "piv", virtual=True)
ENCODED = bytes.fromhex(
    "3020 020101 0c046e6f6e65 0c0431323334 0c07597562694b6579 0c03706976 0101ff"
)


def test_the_encoding_by_hand() -> None:
    assert STATEMENT.encode() == ENCODED


@given(statements)
def test_every_statement_reads_back(statement: BlindStatement) -> None:
    assert BlindStatement.decode(statement.encode()) == statement


@given(st.integers(0, len(ENCODED) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_another_statement(at: int, mask: int) -> None:
    changed = ENCODED[:at] + bytes((ENCODED[at] ^ mask,)) + ENCODED[at + 1 :]
    with contextlib.suppress(BlindStatementInvalid):
        assert BlindStatement.decode(changed) != STATEMENT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        ENCODED[:-1],
        ENCODED + b"\0",
        in_ber(ENCODED),
        writer.sequence(writer.integer(1), writer.utf8_string("screen")),
        ENCODED.replace(b"none", b"full"),
        ENCODED.replace(b"\xff", b"\x01"),
        ENCODED.replace(b"\x02\x01\x01", b"\x02\x01\x02"),
    ],
)
def test_other_bytes_are_no_statement(data: bytes) -> None:
    with pytest.raises(BlindStatementInvalid):
        BlindStatement.decode(data)


@pytest.mark.parametrize(
    ("serial", "model", "driver"),
    [("", "m", "d"), ("s" * 65, "m", "d"), ("s", "m" * 65, "d"), ("s", "m", "")],
)
def test_values_out_of_range_make_no_statement(serial: str, model: str, driver: str) -> None:
    with pytest.raises(BlindStatementInvalid):
        BlindStatement(serial, model, driver)
