"""The structures of the reference token's protocol: read as written, and in no other form.

Tags and layouts are those of docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shield.codecs import CODECS
from tests.shield.strategies import (
    certificate_entries,
    octet,
    panel_events,
    stored_certificates,
)
from ushield.algorithms import HashAlgorithm
from ushield.errors import ProtocolViolation, TlvInvalid
from ushield.iso7816.tlv import encode, parse_one, read_template
from ushield.pin import PinReference, PinRules, PinState
from ushield.shield.application import (
    ApplicationInfo,
    Counters,
    ScreenInfo,
    decode_pin_states,
    encode_pin_state,
    is_application,
)
from ushield.shield.commands import AID, DataObject, Feature
from ushield.shield.events import EVENT_SIZE, PanelEvent, PanelEventKind, PanelKey
from ushield.shield.objects import (
    CertificateEntry,
    ChallengeToSign,
    DigestToSign,
    GenerateKey,
    KeyEntry,
    StoredCertificate,
    decode_certificates,
    encode_key_reference,
    read_tag_list,
    tag_list,
)
from ushield.shield.pins import decode_change, encode_change
from ushield.shield.requests import (
    Begin,
    Begun,
    DisplayRefusal,
    RefusalReason,
    RequestStage,
    RequestState,
    Signed,
    UnblockChallenge,
    UnblockResponse,
    decode_request_id,
    encode_request_id,
)

IDS = [getattr(codec[2], "__qualname__", "").removesuffix(".decode") for codec in CODECS]


@pytest.mark.parametrize("codec", CODECS, ids=IDS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_structure_is_read_as_it_was_written(codec: Any, data: st.DataObject) -> None:
    values, write, read = codec
    value = data.draw(values)
    assert read(write(value)) == value


@pytest.mark.parametrize("codec", CODECS, ids=IDS)
@settings(max_examples=40)
@given(data=st.data())
def test_damage_is_refused_or_means_something_else(codec: Any, data: st.DataObject) -> None:
    values, write, read = codec
    value = data.draw(values)
    written = bytearray(write(value))
    if not written:
        return
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] ^= data.draw(st.integers(1, 255))
    try:
        again = read(bytes(written))
    except TlvInvalid:
        return
    assert again != value


@pytest.mark.parametrize("codec", CODECS, ids=IDS)
@settings(max_examples=40)
@given(junk=st.binary(max_size=40))
def test_any_bytes_are_read_or_refused_with_one_error(codec: Any, junk: bytes) -> None:
    with suppress(TlvInvalid):
        codec[2](junk)


@pytest.mark.parametrize("codec", CODECS, ids=IDS)
@settings(max_examples=40)
@given(data=st.data())
def test_nothing_may_be_cut_off_or_added(codec: Any, data: st.DataObject) -> None:
    values, write, read = codec
    value = data.draw(values)
    written = write(value)
    with pytest.raises(TlvInvalid):
        read(written + b"\x5a\x01\x00")
    for cut in {1, len(written) // 2, len(written) - 1} & set(range(1, len(written))):
        try:
            again = read(written[:cut])
        except TlvInvalid:
            continue
        assert again != value  # a shorter directory, cut between two entries


@given(certificate_entries)
def test_a_certificate_entry_is_read_from_the_value_of_its_object(entry: CertificateEntry) -> None:
    outer = parse_one(entry.encode())
    assert outer.tag == 0xE3
    assert CertificateEntry.decode_value(outer.value) == entry


@given(stored_certificates)
def test_a_certificate_to_store_is_read_as_it_was_written(stored: StoredCertificate) -> None:
    outer = parse_one(stored.encode())
    assert outer.tag == 0x53
    assert StoredCertificate.decode_value(stored.slot, outer.value) == stored


def test_deleting_is_storing_nothing() -> None:
    assert StoredCertificate(3, b"").encode() == bytes.fromhex("5300")
    assert StoredCertificate.decode_value(3, b"") == StoredCertificate(3, b"")


@given(st.sampled_from(DataObject), st.none() | octet)
def test_a_tag_list_is_read_as_it_was_written(tag: DataObject, slot: int | None) -> None:
    assert read_tag_list(read_template(tag_list(tag, slot))) == (tag, slot)


def test_a_slot_is_one_byte() -> None:
    with pytest.raises(TlvInvalid, match="one byte"):
        read_tag_list(read_template(bytes.fromhex("5c02df20") + encode(0x80, b"\x00\x01")))


VECTORS: list[tuple[bytes, str]] = [
    (tag_list(DataObject.CERTIFICATE, 3), "5c02df20 800103"),
    (encode_change(b"802563", b"917402"), "8006383032353633 8106393137343032"),
    (encode_pin_state(PinState(PinReference.USER, 5, 6, must_change=True)), "8104 81050601"),
    (encode_pin_state(PinState(PinReference.PUK, 10, 10, verified=True)), "8104 830a0a02"),
    (Counters(1, 2, 3).encode(), "00000001 00000002 00000003"),
    (
        DigestToSign(1, HashAlgorithm.SHA256, bytes(32)).encode(),
        "840101 800101 9020" + "00" * 32,
    ),
    (Begin(2, b"<T>").encode(), "840102 53033c543e"),
    (Begun(bytes(8), 3, 60).encode(), "80080000000000000000 810103 82013c"),
    (
        RequestState(RequestStage.CONFIRMED, 2, 3, 59_000).encode(),
        "800101 810102 820103 83040000e678",
    ),
    (DisplayRefusal(RefusalReason.GLYPH, 0x20BB7).encode(), "800102 810400020bb7"),
    (encode_request_id(b"\x01" * 8), "80080101010101010101"),
    (encode_key_reference(7), "840107"),
    (
        PanelEvent(PanelEventKind.KEY_DOWN, b"\xaa" * 8, PanelKey.OK, 3, 0x01020304).encode(),
        "02 aaaaaaaaaaaaaaaa 03 03 01020304 00",
    ),
]


@pytest.mark.parametrize(("encoded", "as_documented"), VECTORS)
def test_structures_have_the_layout_of_the_protocol_page(
    encoded: bytes, as_documented: str
) -> None:
    assert encoded == bytes.fromhex(as_documented)


@pytest.fixture
def info() -> ApplicationInfo:
    return ApplicationInfo(
        protocol=(1, 0),
        firmware=(1, 2, 3),
        manufacturer="m",
        model="S1",
        serial="S-1",
        label="",
        features=Feature.DISPLAY | Feature.VIRTUAL,
        screen=ScreenInfo(4, 16, "gbk", "虚拟"),
        pin_rules=PinRules(),
        max_message=4096,
        max_keys=16,
        max_certificate=8192,
        timeout=60,
    )


def test_application_information_has_the_tags_of_the_protocol_page(info: ApplicationInfo) -> None:
    fci = read_template(parse_one(info.encode()).value)
    assert fci.take(0x84) == AID
    inner = read_template(fci.take(0xA5))
    assert inner.take(0x80) == b"\x01\x00"
    assert inner.take(0x81) == b"S-1"
    assert inner.take(0x82) == b"S1"
    assert inner.take(0x83) == b"\x80\x01"
    assert inner.take(0x84) == b"\x04\x10gbk"
    assert inner.take(0x85) == "虚拟".encode()
    assert inner.take(0x86) == bytes((6, 12, 6, 10, 3))
    assert inner.take(0x87) == b"\x01\x02\x03"
    assert inner.take(0x88) == b""
    assert inner.take(0x89) == b"m"
    assert inner.take(0x8A) == bytes.fromhex("1000 2000 10 3c")
    inner.finish()


def test_features_of_a_later_version_do_not_matter(info: ApplicationInfo) -> None:
    later = replace(info, features=Feature(0x4001))
    assert ApplicationInfo.decode(later.encode()).features & Feature.DISPLAY


@pytest.mark.parametrize(
    "rules",
    [
        PinRules(min_length=0),
        PinRules(min_length=7, max_length=6),
        PinRules(max_tries=0),
        PinRules(puk_max_tries=0),
    ],
)
def test_pin_rules_that_no_pin_could_keep_are_refused(
    info: ApplicationInfo, rules: PinRules
) -> None:
    with pytest.raises(TlvInvalid, match="PIN rules"):
        ApplicationInfo.decode(replace(info, pin_rules=rules).encode())


@pytest.mark.parametrize(
    ("there", "instead", "why"),
    [
        (b"\x86\x05\x06\x0c\x06\x0a\x03", b"\x86\x05\x06\x0c\x06\x0a\x07", "PIN rules"),
        (b"\x84\x05\x04\x10gbk", b"\x84\x05\x04\x10gb\xff", "screen"),
        (b"\x84\x05\x04\x10gbk", b"\x84\x05\x01\x10gbk", "screen"),
        (b"\x84\x05\x04\x10gbk", b"\x84\x05\x04\x01gbk", "screen"),
        (b"\x87\x03\x01\x02\x03", b"\x8b\x03\x01\x02\x03", "no object 87"),
        (b"\x87\x03\x01\x02\x03\x88\x00", b"\x87\x02\x01\x02\x88\x01\x03", "2 bytes where 3"),
        (AID, AID[::-1], "another application"),
        (b"\x6f", b"\x6e", "6F expected"),
        ("虚拟".encode(), "虚拟".encode()[:-1] + b"\xff", "UTF-8"),
    ],
)
def test_application_information_in_another_form_is_refused(
    info: ApplicationInfo, there: bytes, instead: bytes, why: str
) -> None:
    encoded = info.encode()
    assert there in encoded
    with pytest.raises(TlvInvalid, match=why):
        ApplicationInfo.decode(encoded.replace(there, instead, 1))


def test_the_applet_is_known_by_its_name(info: ApplicationInfo) -> None:
    assert is_application(info.encode())
    assert is_application(encode(0x84, AID) + b"rubbish")
    assert not is_application(b"")
    assert not is_application(info.encode().replace(AID, AID[::-1]))


@pytest.mark.parametrize(
    ("read", "data", "why"),
    [
        (decode_pin_states, "8104 80050600", "malformed"),
        (decode_pin_states, "8103 810506", "malformed"),
        (decode_pin_states, "8104 81070600", "more tries left"),
        (decode_pin_states, "8104 81050604", "unknown flags"),
        (decode_pin_states, "8104 81050600 8200", "unexpected"),
        (Counters.decode, "00" * 11, "11 bytes"),
        (KeyEntry.decode, "e300", "E2 expected"),
        (GenerateKey.decode, "ad00", "AC expected"),
        (GenerateKey.decode, "ac08 800199 810101 8200", "unknown key algorithm 99"),
        (GenerateKey.decode, "ac08 800101 810109 8200", "unknown key usage 09"),
        (GenerateKey.decode, "ac08 800101 810100 8200", "unknown key usage 00"),
        (DigestToSign.decode, "840101 800109 9000", "unknown hash 09"),
        (DigestToSign.decode, "840101 800101 9014" + "00" * 20, "no sha256 digest"),
        (ChallengeToSign.decode, "840101 810f" + "00" * 15, "16 to 255"),
        (ChallengeToSign.decode, "840101 81820100" + "00" * 256, "16 to 255"),
        (decode_request_id, "800700000000000000", "7 bytes"),
        (Begun.decode, "80080000000000000000 810100 82013c", "on no page"),
        (RequestState.decode, "800106 810101 820101 830400000000", "unknown request stage"),
        (RequestState.decode, "800100 810102 820101 830400000000", "page 2 of 1"),
        (RequestState.decode, "800100 810100 820101 830400000000", "page 0 of 1"),
        (DisplayRefusal.decode, "800109 810400000000", "unknown refusal"),
        (DisplayRefusal.decode, "800102 810400110000", "no such character"),
        (DisplayRefusal.decode, "800102 81040000d800", "no such character"),
        (Signed.decode, "8000 810100", "empty"),
        (Signed.decode, "800100 8100", "empty"),
        (UnblockChallenge.decode, "800131 810f" + "00" * 15 + "820400000000", "15 bytes"),
        (decode_certificates, "e30e 800101 8300 8400 86020001 870100", "no SHA-256"),
        (lambda value: StoredCertificate.decode_value(1, value), "8400 850100 880102", "neither"),
        (lambda value: StoredCertificate.decode_value(1, value), "8400 8500 880100", "no cert"),
    ],
)
def test_senseless_values_are_refused_by_name(
    read: Callable[[bytes], object], data: str, why: str
) -> None:
    with pytest.raises(TlvInvalid, match=why):
        read(bytes.fromhex(data))


@pytest.mark.parametrize(
    "data",
    ["", "8006383032353633", "8106393137343032 8006383032353633", "80ff38", "8001388101380000"],
)
def test_secrets_in_another_form_are_refused_unquoted(data: str) -> None:
    with pytest.raises(TlvInvalid) as caught:
        decode_change(bytes.fromhex(data))
    assert str(caught.value) == "two objects 80 and 81 are due, or two blocks"
    assert caught.value.__cause__ is None


@given(st.binary(max_size=15), st.binary(max_size=15))
def test_secrets_come_in_two_padded_blocks_from_a_pin_pad(proof: bytes, new: bytes) -> None:
    data = proof.ljust(15, b"\xff") + new.ljust(15, b"\xff")
    if data[0] != 0x80:
        assert decode_change(data) == (proof.rstrip(b"\xff"), new.rstrip(b"\xff"))


def test_the_repr_of_a_remote_unblock_hides_the_new_pin() -> None:
    assert repr(UnblockResponse(b"signature", b"802563")) == "UnblockResponse(hidden)"


class TestPanelEvents:
    @given(panel_events)
    def test_an_event_is_read_as_it_was_written(self, event: PanelEvent) -> None:
        report = event.encode()
        assert len(report) == EVENT_SIZE == 16
        assert PanelEvent.decode(report) == event

    @given(st.binary(max_size=40))
    def test_any_report_is_an_event_or_a_violation(self, report: bytes) -> None:
        try:
            event = PanelEvent.decode(report)
        except ProtocolViolation:
            return
        assert event.encode() == report

    @given(st.binary(min_size=16, max_size=16))
    def test_a_report_is_read_in_one_way_or_none(self, report: bytes) -> None:
        report = bytes((report[0] % 8,)) + report[1:-1] + b"\0"
        try:
            event = PanelEvent.decode(report)
        except ProtocolViolation:
            return
        assert event.encode() == report

    @pytest.mark.parametrize(
        "report",
        [
            "00" * 16,  # no such kind
            "07" + "00" * 15,
            "02" + "00" * 8 + "05 01 00000000 00",  # no such key
            "01" + "00" * 8 + "02 01 00000000 00",  # page 2 of 1
            "01" + "00" * 8 + "00 01 00000000 00",
            "03" + "00" * 14 + "01",  # reserved byte
            "03" + "00" * 14,
            "03" + "00" * 16,
        ],
    )
    def test_a_senseless_report_is_a_violation(self, report: str) -> None:
        with pytest.raises(ProtocolViolation):
            PanelEvent.decode(bytes.fromhex(report))

    def test_the_counter_goes_round(self) -> None:
        event = PanelEvent(PanelEventKind.CONFIRMED, bytes(8), 0, 1, 0x1_0000_0001)
        assert PanelEvent.decode(event.encode()).counter == 1
