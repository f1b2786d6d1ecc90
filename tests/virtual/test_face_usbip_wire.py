"""USB/IP's bytes, against the `usbip` package's client and by property."""

from __future__ import annotations

import contextlib
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usbip.core import IN, OUT, Urb

from ushield.errors import ProtocolViolation
from ushield.virtual.faces.usbip_wire import (
    MAX_TRANSFER,
    Import,
    ListDevices,
    Request,
    RequestDecoder,
    Unlink,
    submit_reply,
    unlink_reply,
)

LIST = bytes.fromhex("0111800500000000")
IMPORT = bytes.fromhex("0111800300000000") + b"1-1".ljust(32, b"\0")

words = st.integers(0, 2**32 - 1)


def command(kind: int, seqnum: int, direction: int, endpoint: int, length: int) -> bytes:
    head = struct.pack(">IIIII", kind, seqnum, 0x00010002, direction, endpoint)
    return head + struct.pack(">Iiiii", 0x200, length, 0, -1, 0) + bytes(8)


def decode(stream: bytes, *cuts: int) -> list[Request]:
    decoder = RequestDecoder()
    requests = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        decoder.feed(stream[start:end])
        while (request := decoder.next()) is not None:
            requests.append(request)
    return requests


def test_a_client_may_ask_what_there_is() -> None:
    assert decode(LIST) == [ListDevices()]


@given(st.lists(st.integers(0, 500)), words, words, st.binary(max_size=100))
def test_requests_are_the_same_however_the_stream_is_cut(
    cuts: list[int], seqnum: int, target: int, data: bytes
) -> None:
    out = command(1, seqnum, OUT, 1, len(data)) + data
    into = command(1, seqnum, IN, 2, 65_600)
    unlink = struct.pack(">IIIIII", 2, seqnum, 0x00010002, 0, 0, target) + bytes(24)
    imported, sent, wanted, unlinked = decode(IMPORT + out + into + unlink, *cuts)
    assert imported == Import("1-1")
    assert isinstance(sent, Urb)
    assert (sent.seqnum, sent.direction, sent.ep, sent.buffer) == (seqnum, OUT, 1, data)
    assert isinstance(wanted, Urb)
    assert (wanted.seqnum, wanted.direction, wanted.ep) == (seqnum, IN, 2)
    assert (wanted.length, wanted.buffer) == (65_600, b"")
    assert unlinked == Unlink(seqnum, target)


@pytest.mark.parametrize("length", [-1, MAX_TRANSFER + 1])
@pytest.mark.parametrize("direction", [OUT, IN])
def test_a_transfer_without_bounds_is_refused_before_its_data(direction: int, length: int) -> None:
    with pytest.raises(ProtocolViolation):
        decode(IMPORT + command(1, 1, direction, 1, length))


@given(st.binary(max_size=400))
def test_garbage_is_refused_or_waited_for(stream: bytes) -> None:
    for prefix in (b"", IMPORT):
        with contextlib.suppress(ProtocolViolation):
            decode(prefix + stream)


def test_data_goes_out_only_with_a_transfer_that_brought_some() -> None:
    answered = Urb(seqnum=7, direction=IN, ep=1, length=9, buffer=b"abc", actual=3)
    assert (
        submit_reply(answered) == struct.pack(">IIIIIii", 3, 7, 0, 0, 0, 0, 3) + bytes(20) + b"abc"
    )
    taken = Urb(seqnum=8, direction=OUT, ep=1, length=3, buffer=b"abc", actual=3)
    assert submit_reply(taken) == struct.pack(">IIIIIii", 3, 8, 0, 0, 0, 0, 3) + bytes(20)
    stalled = Urb(seqnum=9, direction=IN, ep=1, length=9, status=-32)
    assert submit_reply(stalled) == struct.pack(">IIIIIii", 3, 9, 0, 0, 0, -32, 0) + bytes(20)


@pytest.mark.parametrize(("taken_back", "status"), [(True, -104), (False, 0)])
def test_a_transfer_taken_back_ends_as_linux_wants_it(taken_back: bool, status: int) -> None:
    reply = unlink_reply(Unlink(9, 7), taken_back=taken_back)
    assert reply == struct.pack(">IIIIIi", 4, 9, 0, 0, 0, status) + bytes(24)
