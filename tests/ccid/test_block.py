"""T=1 blocks (ISO/IEC 7816-3, clause 11.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ccid.card_t1 import frame
from ushield.ccid.block import (
    Block,
    BlockInvalid,
    Edc,
    Supervision,
    crc16,
    decode_block,
    encode_block,
    i_block,
    r_block,
    s_request,
    s_response,
)

blocks = st.one_of(
    st.builds(
        lambda n, data, more: i_block(n, data, more=more),
        st.integers(0, 1),
        st.binary(max_size=254),
        st.booleans(),
    ),
    st.builds(r_block, st.integers(0, 1), st.integers(0, 2)),
    st.builds(
        lambda make, kind: make(kind),
        st.sampled_from([s_request, s_response]),
        st.sampled_from([Supervision.RESYNCH, Supervision.ABORT]),
    ),
    st.builds(
        lambda make, kind, data: make(kind, data),
        st.sampled_from([s_request, s_response]),
        st.sampled_from([Supervision.IFS, Supervision.WTX]),
        st.binary(min_size=1, max_size=1),
    ),
)
edcs = st.sampled_from(Edc)


@pytest.mark.parametrize(
    ("block", "encoded"),
    [
        (r_block(0), "00800080"),
        (r_block(1, 1), "00910091"),
        (s_request(Supervision.RESYNCH), "00C000C0"),
        (s_response(Supervision.RESYNCH), "00E000E0"),
        (s_request(Supervision.IFS, b"\xfe"), "00C101FE3E"),
        (s_response(Supervision.WTX, b"\x02"), "00E30102E0"),
        (i_block(1, bytes.fromhex("00A40400"), more=True), "00600400A40400C4"),
    ],
)
def test_blocks_are_coded_as_clause_11_3_says(block: Block, encoded: str) -> None:
    assert encode_block(block, Edc.LRC).hex().upper() == encoded


def test_the_crc_is_the_one_catalogued_as_mcrf4xx() -> None:
    # "Catalogue of parametrised CRC algorithms", CRC-16/MCRF4XX: check value 0x6F91.
    assert crc16(b"123456789") == 0x6F91


@given(blocks, edcs)
def test_every_block_decodes_to_itself(block: Block, edc: Edc) -> None:
    encoded = encode_block(block, edc)
    assert encoded == frame(block.pcb, block.information, crc=edc is Edc.CRC)
    assert decode_block(encoded, edc) == block


@given(st.binary(max_size=300), edcs)
def test_what_decodes_encodes_to_the_same_bytes(data: bytes, edc: Edc) -> None:
    data += edc.compute(data)
    try:
        block = decode_block(data, edc)
    except BlockInvalid:
        return
    assert encode_block(block, edc) == data


@given(blocks, edcs, st.data())
def test_a_flipped_bit_is_noticed(block: Block, edc: Edc, data: st.DataObject) -> None:
    encoded = bytearray(encode_block(block, edc))
    bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BlockInvalid) as refused:
        decode_block(bytes(encoded), edc)
    assert refused.value.corrupted


@pytest.mark.parametrize(
    ("pcb", "information", "why"),
    [
        (0x01, b"", "a reserved bit of an I-block"),
        (0xA0, b"", "a reserved bit of an R-block"),
        (0x83, b"", "an unknown error in an R-block"),
        (0x80, b"x", "an R-block with data"),
        (0xC4, b"", "an unknown S-block"),
        (0xC1, b"", "IFS without its byte"),
        (0xC0, b"x", "RESYNCH with a byte"),
        (0xD3, b"x", "a reserved bit of an S-block"),
    ],
)
def test_pcbs_that_no_clause_knows_are_refused(pcb: int, information: bytes, why: str) -> None:
    with pytest.raises(BlockInvalid) as refused:
        decode_block(frame(pcb, information), Edc.LRC)
    assert not refused.value.corrupted, why


def test_an_address_is_refused() -> None:
    with pytest.raises(BlockInvalid, match="NAD"):
        decode_block(frame(0x00, b"x", nad=0x12), Edc.LRC)


def test_len_255_is_refused() -> None:
    body = bytes([0, 0, 0xFF]) + bytes(255)
    with pytest.raises(BlockInvalid, match="LEN"):
        decode_block(body + Edc.LRC.compute(body), Edc.LRC)


@pytest.mark.parametrize("length", range(4))
def test_a_block_cut_short_is_refused(length: int) -> None:
    with pytest.raises(BlockInvalid):
        decode_block(bytes(length), Edc.CRC)


def test_len_must_be_what_follows() -> None:
    body = bytes([0, 0, 3, 1, 2])
    with pytest.raises(BlockInvalid, match="LEN is 3"):
        decode_block(body + Edc.LRC.compute(body), Edc.LRC)
