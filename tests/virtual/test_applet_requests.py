"""BEGIN to SIGN on the applet: what a signature takes, what ends a request, what is signed."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import tsp
from cryptography import x509

from tests.virtual.host import (
    MESSAGE,
    OK,
    OTHER_PIN,
    PIN,
    Host,
    certificate_for,
    check_signature,
    subject,
)
from ushield.algorithms import KeyAlgorithm
from ushield.cms import oids
from ushield.cms.receipt import Receipt
from ushield.iso7816.apdu import ResponseApdu
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode
from ushield.shield.commands import (
    AID,
    BeginKind,
    DataObject,
    Instruction,
    KeyUsageCode,
    ShieldStatus,
)
from ushield.shield.events import PanelKey
from ushield.shield.requests import (
    Begun,
    DisplayRefusal,
    RefusalReason,
    RequestStage,
    Signed,
    Voucher,
)
from ushield.transaction import (
    Currency,
    Money,
    Party,
    Transfer,
    lay_out,
    pages_digest,
    parse_message,
    write_message,
)
from ushield.transaction.pages import Screen
from ushield.transaction.repertoire import Repertoire
from ushield.virtual.clock import ManualClock
from ushield.virtual.token import VirtualToken

assert tsp  # names the signing-certificate-v2 attribute for asn1crypto


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host.create(tmp_path) as host:
        yield host


def _message(payee: str = "张三", memo: str | None = None) -> bytes:
    return write_message(
        Transfer(
            payer=Party("李四", "6222020200112233445"),
            payee=Party(payee, "6222020200998877665", "中国工商银行"),
            amount=Money(Decimal("1234.56"), Currency.CNY),
            challenge="0123456789abcdef",
            memo=memo,
        )
    )


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P256, KeyAlgorithm.P384, KeyAlgorithm.RSA_2048])
def test_a_confirmed_request_gives_attributes_over_the_message_signed_by_the_key(
    host: Host, algorithm: KeyAlgorithm
) -> None:
    key = host.signing_key(algorithm)
    signed = host.signed(key)
    check_signature(key, signed.signature, signed.signed)
    attributes = {
        attribute["type"].dotted: attribute["values"]
        for attribute in asn1_cms.CMSAttributes.load(signed.signed)
    }
    assert set(attributes) == {
        oids.CONTENT_TYPE,
        oids.MESSAGE_DIGEST,
        oids.SIGNING_CERTIFICATE_V2,
        oids.RECEIPT,
    }
    digest = hashlib.new(algorithm.hash, MESSAGE).digest()
    assert attributes[oids.MESSAGE_DIGEST][0].native == digest
    named = attributes[oids.SIGNING_CERTIFICATE_V2][0]["certs"][0]["cert_hash"].native
    assert named == hashlib.sha256(host.get(DataObject.CERTIFICATE, 1).data).digest()


def _receipt(signed: Signed) -> Receipt:
    for attribute in asn1_cms.CMSAttributes.load(signed.signed):
        if attribute["type"].dotted == oids.RECEIPT:
            return Receipt.decode(attribute["values"][0].dump())
    raise AssertionError("no receipt")


def test_the_receipt_tells_of_the_press_and_of_the_pages_as_drawn(host: Host) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    pages = host.panel.pages
    host.clock.advance(3.25)
    host.confirm()
    host.clock.advance(1.0)
    receipt = _receipt(Signed.decode(host.sign(begun.request_id).data))
    screen = Screen(4, 16, Repertoire.GBK, "虚拟")
    assert receipt.request_id == begun.request_id
    assert receipt.serial == host.token.serial
    assert receipt.milliseconds == 3250
    assert receipt.counter == 1
    assert receipt.virtual
    assert pages == lay_out(parse_message(MESSAGE).shown, screen)
    assert receipt.pages_digest == pages_digest(pages)
    assert (receipt.lines, receipt.columns) == (screen.lines, screen.columns)
    assert (receipt.repertoire, receipt.banner) == (screen.repertoire.value, screen.banner)


def test_a_request_is_answered_at_once_and_shows_its_first_page(host: Host) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    assert begun.timeout == 60
    assert begun.pages == len(host.panel.pages) > 1
    assert host.panel.screen == host.panel.pages[0]
    state = host.state(begun.request_id)
    assert (state.stage, state.page, state.pages) == (RequestStage.SHOWING, 1, begun.pages)
    assert state.time_left == 60_000


def test_request_ids_do_not_come_twice(host: Host) -> None:
    key = host.signing_key()
    ids = set()
    for _ in range(20):
        begun = host.begun(key)
        ids.add(begun.request_id)
        assert host.cancel(begun.request_id) == OK
    assert len(ids) == 20


def test_nothing_is_signed_without_a_press(host: Host) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    host.page_to_end()
    assert host.sign(begun.request_id) == ResponseApdu(b"", ShieldStatus.PENDING)
    assert host.counters().signatures == 0


def test_ok_before_the_last_page_signs_nothing(host: Host) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    host.panel.press(PanelKey.OK)
    assert host.sign(begun.request_id).sw == ShieldStatus.PENDING


def test_ok_held_down_before_the_last_page_signs_nothing(host: Host) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    host.panel.key_down(PanelKey.OK)
    host.page_to_end()
    host.panel.key_down(PanelKey.OK)
    assert host.sign(begun.request_id).sw == ShieldStatus.PENDING


def test_a_signature_is_given_once(host: Host) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    host.confirm()
    assert host.sign(begun.request_id).ok
    assert host.sign(begun.request_id).sw == StatusWord.REFERENCED_DATA_NOT_FOUND
    assert host.state(begun.request_id).stage is RequestStage.SIGNED
    assert host.counters().signatures == 1


def test_a_press_for_one_request_serves_no_other(host: Host) -> None:
    key = host.signing_key()
    first = host.begun(key)
    host.confirm()
    assert host.cancel(first.request_id) == OK
    second = host.begun(key, _message("王五"))
    assert host.sign(first.request_id).sw == StatusWord.REFERENCED_DATA_NOT_FOUND
    assert host.sign(second.request_id).sw == ShieldStatus.PENDING


def _press_cancel(host: Host, begun: Begun) -> None:
    host.panel.press(PanelKey.CANCEL)


def _wait(host: Host, begun: Begun) -> None:
    host.clock.advance(60)


def _host_cancel(host: Host, begun: Begun) -> None:
    assert host.cancel(begun.request_id) == OK


def _logout(host: Host, begun: Begun) -> None:
    assert host.logout() == OK


def _wrong_pin(host: Host, begun: Begun) -> None:
    assert host.verify(OTHER_PIN) == 0x63C5


def _reset(host: Host, begun: Begun) -> None:
    host.start()


def _replug(host: Host, begun: Begun) -> None:
    host.token.unplug()
    host.token.plug()
    host.start()


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize(
    ("end", "sw"),
    [
        (_press_cancel, ShieldStatus.REJECTED),
        (_wait, ShieldStatus.TIMED_OUT),
        (_host_cancel, ShieldStatus.CANCELLED),
        (_logout, ShieldStatus.CANCELLED),
        (_wrong_pin, ShieldStatus.CANCELLED),
        (_reset, StatusWord.REFERENCED_DATA_NOT_FOUND),
        (_replug, StatusWord.REFERENCED_DATA_NOT_FOUND),
    ],
)
def test_what_ends_a_request_before_or_after_ok_leaves_no_signature(
    host: Host, end: Callable[[Host, Begun], None], sw: int, confirmed: bool
) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    if confirmed:
        host.confirm()
    end(host, begun)
    assert host.sign(begun.request_id) == ResponseApdu(b"", sw)
    assert host.counters().signatures == 0
    assert host.panel.pages == ()
    assert host.signed(key).signature, "the token is usable at once"


def test_begin_wants_a_pin_and_uses_its_verification_up(host: Host) -> None:
    key = host.signing_key()
    host.logout()
    assert host.begin(key).sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED
    begun = host.begun(key)
    assert host.cancel(begun.request_id) == OK
    assert host.begin(key).sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED


def test_one_pin_serves_many_signatures_where_the_profile_says_so(tmp_path: Path) -> None:
    with Host.create(tmp_path, profile="lenient") as host:
        key = host.signing_key()
        host.logout()
        assert host.begin(key).sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED
        assert host.verify() == OK
        for _ in range(2):
            begun = Begun.decode(host.begin(key).data)
            host.confirm()
            assert host.sign(begun.request_id).ok


def test_the_factory_pin_signs_nothing_until_it_is_changed(tmp_path: Path) -> None:
    with Host.create(tmp_path, pin="123456", default_pin=True) as host:
        assert host.verify("123456") == OK
        data = bytes.fromhex("AC0B 800111 810101 82") + b"\x03key"
        assert host.send(0, Instruction.GENERATE_KEY_PAIR, data=data).sw == (
            ShieldStatus.PIN_MUST_CHANGE
        )
        assert host.change("123456", PIN) == OK
        key = host.generate()
        assert host.begin(key, subject(), BeginKind.CERTIFICATION_REQUEST).ok


def test_begin_with_the_factory_pin_is_refused_even_where_there_is_a_key(tmp_path: Path) -> None:
    with Host.create(tmp_path) as host:
        key = host.signing_key()
        authentication = host.generate(KeyUsageCode.AUTHENTICATION)
        host.token.close()
        with _issued_pin(tmp_path) as again:
            assert again.verify() == OK
            assert again.begin(key).sw == ShieldStatus.PIN_MUST_CHANGE
            for kind in BeginKind:
                assert again.begin(key, subject(), kind).sw == ShieldStatus.PIN_MUST_CHANGE
            challenge = encode(0x84, bytes((authentication.reference,))) + encode(0x81, bytes(16))
            answer = again.send(0, Instruction.INTERNAL_AUTHENTICATE, data=challenge)
            assert answer.sw == ShieldStatus.PIN_MUST_CHANGE


def _issued_pin(folder: Path) -> Host:
    """The same token with its PIN marked as the one it was issued with, as a bank could do that
    makes the keys before it hands the token out.
    """
    with closing(sqlite3.connect(folder / "token", isolation_level=None)) as database:
        database.execute("UPDATE secret SET must_change = 1 WHERE reference = 'user'")
    return Host(VirtualToken.open(folder / "token", clock=ManualClock()))


def test_begin_is_refused_while_another_request_is_live(host: Host) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    assert host.verify() == OK
    assert host.begin(key).sw == ShieldStatus.BUSY
    assert host.state(begun.request_id).stage is RequestStage.SHOWING


@pytest.mark.parametrize("key_held", list(PanelKey))
def test_begin_is_refused_while_a_key_is_held_and_costs_nothing(
    host: Host, key_held: PanelKey
) -> None:
    key = host.signing_key()
    host.panel.key_down(key_held)
    assert host.verify() == OK
    assert host.begin(key).sw == ShieldStatus.KEY_HELD
    host.panel.key_up(key_held)
    assert host.begin(key).ok


def test_begin_wants_a_certificate_for_the_key(host: Host) -> None:
    key = host.generate()
    assert host.begin(key).sw == StatusWord.REFERENCED_DATA_NOT_FOUND
    host.enrol(key)
    assert host.begin(key).ok


def test_an_authentication_key_signs_no_transaction(host: Host) -> None:
    key = host.generate(KeyUsageCode.AUTHENTICATION)
    host.enrol(key)
    assert host.begin(key).sw == StatusWord.CONDITIONS_NOT_SATISFIED


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"<T/>",
        MESSAGE[:-1],
        MESSAGE + b" ",
        MESSAGE.replace(b"<T>", b"<!DOCTYPE T><T>"),
        MESSAGE.replace("张三".encode(), b"\xff\xfe"),
        MESSAGE.replace("张三".encode(), "张\u202e三".encode()),
        MESSAGE.replace("张三".encode(), "张\u200b三".encode()),
        MESSAGE.replace("张三".encode(), b"&#24352;"),
        MESSAGE.replace(b"1,000.00", b"1,000.000").replace(b"1000.00", b"1000.000"),
        bytes(range(256)),
    ],
)
def test_a_message_that_is_not_in_its_one_form_is_refused_and_costs_nothing(
    host: Host, message: bytes
) -> None:
    key = host.signing_key()
    assert host.verify() == OK
    assert host.begin(key, message).sw == ShieldStatus.CANNOT_DISPLAY
    assert host.last_refusal() == DisplayRefusal(RefusalReason.MALFORMED)
    assert host.panel.pages == ()
    assert host.begin(key).ok, "the PIN was not used up"
    assert host.get(DataObject.LAST_REFUSAL).sw == StatusWord.REFERENCED_DATA_NOT_FOUND


def test_a_character_without_a_glyph_is_refused_by_its_code_point(host: Host) -> None:
    key = host.signing_key()
    assert host.verify() == OK
    assert host.begin(key, _message("𠮷田")).sw == ShieldStatus.CANNOT_DISPLAY
    assert host.last_refusal() == DisplayRefusal(RefusalReason.GLYPH, 0x20BB7)
    assert host.begin(key).ok


def test_a_message_longer_than_the_profile_takes_is_refused(tmp_path: Path) -> None:
    with Host.create(tmp_path, profile="lenient") as host:
        key = host.signing_key()
        assert host.begin(key, bytes(2049)).sw == ShieldStatus.CANNOT_DISPLAY
        assert host.last_refusal() == DisplayRefusal(RefusalReason.TOO_LONG)
        assert host.begin(key).ok


def test_a_screen_without_hanzi_refuses_a_transfer(tmp_path: Path) -> None:
    with Host.create(tmp_path, profile="ascii") as host:
        key = host.signing_key()
        assert host.begin(key).sw == ShieldStatus.CANNOT_DISPLAY
        assert host.last_refusal().reason is RefusalReason.GLYPH


def test_the_counter_and_the_voucher_are_there_with_the_signature(host: Host) -> None:
    key = host.signing_key()
    messages = [_message(payee) for payee in ("甲", "乙", "丙")]
    for message in messages:
        host.signed(key, message)
    assert host.counters().signatures == 3
    for index, message in enumerate(reversed(messages)):
        voucher = Voucher.decode(host.send(0x80, Instruction.READ_VOUCHER, index).data)
        assert voucher.message == message
        assert voucher.counter == 3 - index
        assert voucher.key_reference == key.reference
        assert voucher.time == round(host.clock.time() * 1000)
    past_the_last = host.send(0x80, Instruction.READ_VOUCHER, 3).sw
    assert past_the_last == StatusWord.REFERENCED_DATA_NOT_FOUND


def test_vouchers_want_the_pin(host: Host) -> None:
    host.signed(host.signing_key())
    host.logout()
    answer = host.send(0x80, Instruction.READ_VOUCHER, 0)
    assert answer == ResponseApdu(b"", StatusWord.SECURITY_STATUS_NOT_SATISFIED)


def test_the_signature_names_the_certificate_that_was_there_at_begin(host: Host) -> None:
    key = host.signing_key()
    before = host.get(DataObject.CERTIFICATE, 1).data
    begun = host.begun(key)
    assert host.verify() == OK
    assert host.put_certificate(certificate_for(key), 1).ok
    host.confirm()
    signed = Signed.decode(host.sign(begun.request_id).data)
    assert hashlib.sha256(before).digest() in signed.signed


@pytest.mark.parametrize("usage", list(KeyUsageCode))
def test_a_certification_request_is_shown_confirmed_and_signed(
    host: Host, usage: KeyUsageCode
) -> None:
    key = host.generate(usage)
    host.logout()
    kind = BeginKind.CERTIFICATION_REQUEST
    assert host.begin(key, subject(), kind).sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED
    assert host.verify() == OK
    begun = Begun.decode(host.begin(key, subject(), kind).data)
    drawn = "".join(line for page in host.panel.pages for line in page[:-1])
    assert "证书申请" in drawn
    assert all(value in drawn for value in ("张三", "Example", "CN"))
    assert hashlib.sha256(key.public_key).hexdigest().upper() in drawn
    assert host.sign(begun.request_id).sw == ShieldStatus.PENDING
    host.confirm()
    signed = Signed.decode(host.sign(begun.request_id).data)
    check_signature(key, signed.signature, signed.signed)
    request = _certification_request(signed)
    assert request.is_signature_valid
    assert request.subject.public_bytes() == subject()


def _certification_request(signed: Signed) -> x509.CertificateSigningRequest:
    ecdsa_with_sha256 = bytes.fromhex("300A06082A8648CE3D040302")
    bits = encode(0x03, b"\0" + signed.signature)
    return x509.load_der_x509_csr(encode(0x30, signed.signed + ecdsa_with_sha256 + bits))


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("kind", list(BeginKind))
def test_a_key_cannot_be_deleted_while_a_request_with_it_may_be_signed(
    host: Host, kind: BeginKind, confirmed: bool
) -> None:
    key, other = host.signing_key(), host.generate()
    shown = MESSAGE if kind is BeginKind.TRANSACTION else subject()
    begun = Begun.decode(host.begin(key, shown, kind).data)
    if confirmed:
        host.confirm()
    assert host.delete_key(key) == StatusWord.CONDITIONS_NOT_SATISFIED
    assert host.delete_key(other) == OK
    assert host.panel.pages
    if not confirmed:
        host.confirm()
    assert host.sign(begun.request_id).ok
    assert host.delete_key(key) == OK
    assert host.get(DataObject.KEYS).data == b""


@pytest.mark.parametrize("key_pressed", [PanelKey.CANCEL, None])
def test_a_key_can_be_deleted_when_its_request_has_ended(
    host: Host, key_pressed: PanelKey | None
) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    if key_pressed is None:
        host.clock.advance(begun.timeout)
    else:
        host.panel.press(key_pressed)
    assert host.delete_key(key) == OK
    assert not host.sign(begun.request_id).ok


def test_a_certification_request_on_a_screen_of_ascii_speaks_english(tmp_path: Path) -> None:
    with Host.create(tmp_path, profile="ascii") as host:
        key = host.generate()
        kind = BeginKind.CERTIFICATION_REQUEST
        assert host.begin(key, subject("CN=Alice,1.2.840.1=x"), kind).ok
        drawn = "".join(line for page in host.panel.pages for line in page)
        assert all(text in drawn for text in ("#CN", "Alice", "#1.2.840.1", "certificate"))
        assert host.panel.screen[-1].startswith("VIRTUAL")


_COMMON_NAME = bytes.fromhex("0603550403")


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b"\x30\x00",
        b"\x31\x00",
        subject()[:-1],
        subject() + b"\0",
        bytes.fromhex("3081023100"),
        bytes.fromhex("30800000"),
        bytes.fromhex("30023100"),
        bytes.fromhex("300431023000"),
        encode(0x30, encode(0x31, encode(0x30, _COMMON_NAME + b"\x0c\x00"))),
        encode(0x30, encode(0x31, encode(0x30, _COMMON_NAME + b"\x0c\x01\xff"))),
        encode(0x30, encode(0x31, encode(0x30, _COMMON_NAME + b"\x1e\x02\x00A"))),
        encode(0x30, encode(0x31, encode(0x30, b"\x06\x00\x0c\x01A"))),
        encode(0x30, encode(0x31, encode(0x30, b"\x06\x02\x80\x01\x0c\x01A"))),
        encode(0x30, encode(0x31, encode(0x30, b"\x06\x02\x55\x84\x0c\x01A"))),
        encode(0x30, encode(0x31, encode(0x30, b"\x0c\x01A" + _COMMON_NAME))),
        *(
            encode(0x30, encode(0x31, encode(0x30, _COMMON_NAME + encode(0x0C, text.encode()))))
            for text in ("张三" + " " * 40 + "李四", " 张三", "张三\u3000")
        ),
        # An arc with more digits than Python turns into text (`sys.set_int_max_str_digits`).
        encode(
            0x30,
            encode(
                0x31, encode(0x30, encode(6, b"\x55" + b"\xff" * 2100 + b"\x7f") + b"\x0c\x01A")
            ),
        ),
        encode(
            0x30,
            encode(
                0x31,
                encode(0x30, _COMMON_NAME + b"\x0c\x01B")
                + encode(0x30, _COMMON_NAME + b"\x0c\x01A"),
            ),
        ),
    ],
)
def test_a_subject_that_is_no_name_of_plain_texts_is_refused(host: Host, name: bytes) -> None:
    key = host.generate()
    assert host.begin(key, name, BeginKind.CERTIFICATION_REQUEST).sw == ShieldStatus.CANNOT_DISPLAY
    assert host.last_refusal() == DisplayRefusal(RefusalReason.MALFORMED)
    assert host.begin(key, subject(), BeginKind.CERTIFICATION_REQUEST).ok


@pytest.mark.parametrize("text", ["张\n三", "𠮷", "a\u202eb"])
def test_a_subject_that_cannot_be_drawn_is_refused(host: Host, text: str) -> None:
    key = host.generate()
    name = encode(0x30, encode(0x31, encode(0x30, _COMMON_NAME + encode(0x0C, text.encode()))))
    assert host.begin(key, name, BeginKind.CERTIFICATION_REQUEST).sw == ShieldStatus.CANNOT_DISPLAY
    assert host.last_refusal().reason is RefusalReason.GLYPH


def test_a_certification_request_leaves_no_voucher(host: Host) -> None:
    key = host.generate()
    begun = Begun.decode(host.begin(key, subject(), BeginKind.CERTIFICATION_REQUEST).data)
    host.confirm()
    assert host.sign(begun.request_id).ok
    assert host.counters().signatures == 0


@pytest.mark.parametrize(
    ("ins", "p1p2"),
    [
        (Instruction.BEGIN, 0x0200),
        (Instruction.BEGIN, 0x0001),
        (Instruction.REQUEST_STATE, 1),
        (Instruction.SIGN, 0x0100),
        (Instruction.CANCEL, 1),
    ],
)
def test_other_parameters_than_the_protocol_names_are_refused(
    host: Host, ins: int, p1p2: int
) -> None:
    assert host.send(0x80, ins, p1p2, b"\x80\x08" + bytes(8)).sw == StatusWord.WRONG_PARAMETERS


@pytest.mark.parametrize("ins", [Instruction.REQUEST_STATE, Instruction.SIGN, Instruction.CANCEL])
@pytest.mark.parametrize("data", [b"", b"\x80\x07" + bytes(7), b"\x80\x08" + bytes(9)])
def test_a_malformed_request_id_is_wrong_data(host: Host, ins: int, data: bytes) -> None:
    assert host.send(0x80, ins, 0, data).sw == StatusWord.WRONG_DATA


@pytest.mark.parametrize("ins", [Instruction.REQUEST_STATE, Instruction.SIGN, Instruction.CANCEL])
def test_an_unknown_request_is_not_found(host: Host, ins: int) -> None:
    data = b"\x80\x08" + bytes(8)
    assert host.send(0x80, ins, 0, data).sw == StatusWord.REFERENCED_DATA_NOT_FOUND


def test_selecting_the_applet_again_disturbs_no_request(host: Host) -> None:
    key = host.signing_key()
    begun = host.begun(key)
    assert host.send(0, Instruction.SELECT, 0x0400, AID).ok
    host.confirm()
    assert host.sign(begun.request_id).ok
