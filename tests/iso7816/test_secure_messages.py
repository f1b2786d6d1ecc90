"""SCP11b and SCP03, both sides: what is said is understood, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import assume, given
from hypothesis import strategies as st

from ushield.errors import ApduInvalid, ChannelBroken, TlvInvalid
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.secure_messaging.scp03 import (
    MAC_SIZE,
    SECURE,
    CardMessages,
    HostMessages,
    SessionKeys,
)
from ushield.iso7816.secure_messaging.scp11 import HostAgreement, agree

KEYS = SessionKeys(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))
CHAIN = bytes(range(48, 64))
CARD_KEY = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
OTHER_KEY = ec.derive_private_key(0xBADBEEF, ec.SECP256R1())

octets = st.integers(0, 255)
commands = st.builds(
    CommandApdu,
    octets.map(lambda cla: cla & 0x80),
    octets,
    octets,
    octets,
    st.binary(max_size=600),
)
status_words = st.sampled_from([0x9000, 0x63C2, 0x6983, 0x6A80, 0x9501, 0x6D00])


def sides() -> tuple[HostMessages, CardMessages]:
    return HostMessages(KEYS, CHAIN), CardMessages(KEYS, CHAIN)


def header(command: CommandApdu) -> tuple[int, int, int, int]:
    return command.cla, command.ins, command.p1, command.p2


def heard(card: CardMessages, sent: CommandApdu, *, extended: bool = False) -> bytes:
    return card.unwrap(header(sent), sent.data, extended=extended)


@given(st.lists(st.tuples(commands, st.booleans(), st.binary(max_size=300), status_words)))
def test_what_one_side_says_the_other_understands_in_turn(
    turns: list[tuple[CommandApdu, bool, bytes, int]],
) -> None:
    host, card = sides()
    for command, extended, answer, sw in turns:
        sent = host.wrap(command, extended=extended)
        assert header(sent) == (command.cla | SECURE, command.ins, command.p1, command.p2)
        assert heard(card, sent, extended=extended) == command.data
        assert host.unwrap(card.wrap(answer, sw), sw) == answer


@given(st.binary(min_size=8, max_size=64), st.binary(min_size=8, max_size=64))
def test_neither_data_nor_repetition_shows(data: bytes, answer: bytes) -> None:
    host, card = sides()
    seen = set()
    for _ in range(3):
        sent = host.wrap(CommandApdu(0, 0x20, 0, 0, data))
        heard(card, sent)
        answered = card.wrap(answer, 0x9000)
        host.unwrap(answered, 0x9000)
        assert data not in sent.data
        assert answer not in answered
        seen |= {sent.data, answered}
    assert len(seen) == 6


@given(commands, st.data())
def test_a_command_with_any_byte_changed_is_refused(
    command: CommandApdu, data: st.DataObject
) -> None:
    host, card = sides()
    sent = host.wrap(command)
    whole = bytearray(bytes(header(sent)) + sent.data)
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    cla, ins, p1, p2 = whole[:4]
    with pytest.raises(ChannelBroken):
        card.unwrap((cla, ins, p1, p2), bytes(whole[4:]))


@given(st.binary(max_size=100), status_words, st.data())
def test_an_answer_with_any_byte_changed_is_refused(
    answer: bytes, sw: int, data: st.DataObject
) -> None:
    host, card = sides()
    heard(card, host.wrap(CommandApdu(0, 0x20)))
    whole = bytearray(card.wrap(answer, sw) + sw.to_bytes(2, "big"))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ChannelBroken):
        host.unwrap(bytes(whole[:-2]), int.from_bytes(whole[-2:], "big"))


@given(st.binary(max_size=100), status_words, st.data())
def test_an_answer_cut_short_is_refused_and_one_without_a_mac_above_all(
    answer: bytes, sw: int, data: st.DataObject
) -> None:
    host, card = sides()
    heard(card, host.wrap(CommandApdu(0, 0x20)))
    whole = card.wrap(answer, sw)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ChannelBroken, match="MAC"):
        host.unwrap(whole[:cut], sw)


@given(commands, st.binary(max_size=40), st.data())
def test_a_command_cut_short_or_prolonged_is_refused(
    command: CommandApdu, more: bytes, data: st.DataObject
) -> None:
    host, card = sides()
    sent = host.wrap(command)
    cut = data.draw(st.integers(0, len(sent.data)))
    changed = sent.data[:cut] + more
    assume(changed != sent.data)
    with pytest.raises(ChannelBroken):
        card.unwrap(header(sent), changed)


@given(st.lists(commands, min_size=2, max_size=5), st.data())
def test_a_command_out_of_its_turn_is_refused(
    spoken: list[CommandApdu], data: st.DataObject
) -> None:
    host, card = sides()
    sent = [host.wrap(command) for command in spoken]
    turn = data.draw(st.integers(0, len(sent) - 1))
    other = data.draw(st.integers(0, len(sent) - 1).filter(lambda index: index != turn))
    for command in sent[:turn]:
        heard(card, command)
    with pytest.raises(ChannelBroken):
        heard(card, sent[other])


@given(st.lists(st.binary(max_size=40), min_size=2, max_size=5), st.data())
def test_an_answer_to_another_command_is_refused(answers: list[bytes], data: st.DataObject) -> None:
    host, card = sides()
    given_before = []
    for answer in answers:
        heard(card, host.wrap(CommandApdu(0, 0x20)))
        given_before.append(card.wrap(answer, 0x9000))
        host.unwrap(given_before[-1], 0x9000)
    host.wrap(CommandApdu(0, 0x20))
    with pytest.raises(ChannelBroken):
        host.unwrap(data.draw(st.sampled_from(given_before)), 0x9000)


def test_the_form_of_the_length_is_under_the_mac() -> None:
    host, card = sides()
    sent = host.wrap(CommandApdu(0, 0x20, 0, 0, b"123456"), extended=True)
    with pytest.raises(ChannelBroken):
        heard(card, sent, extended=False)


def test_a_long_command_has_the_long_form_however_it_was_sent() -> None:
    host, card = sides()
    sent = host.wrap(CommandApdu(0, 0x20, 0, 0, bytes(256)), extended=False)
    assert heard(card, sent, extended=True) == bytes(256)


def test_a_command_too_long_to_be_secured_is_refused_and_the_session_goes_on() -> None:
    host, card = sides()
    for size in (65520, 65535):
        with pytest.raises(ApduInvalid):
            host.wrap(CommandApdu(0, 0x20, 0, 0, bytes(size)))
    sent = host.wrap(CommandApdu(0, 0x20, 0, 0, bytes(65519)))
    assert heard(card, sent) == bytes(65519)


def test_a_command_without_data_is_a_mac_alone() -> None:
    host, _ = sides()
    assert len(host.wrap(CommandApdu(0, 0x20)).data) == MAC_SIZE


def test_keys_do_not_show() -> None:
    assert KEYS.enc.hex() not in repr(KEYS)
    assert repr(KEYS) == "SessionKeys()"


class TestYubico:
    """Their implementation on the other side: yubikit's, and a vector of the .NET SDK's tests."""

    def test_the_vectors_of_their_channel_encryption_hold(self) -> None:
        """Yubico.NET.SDK, ChannelEncryptionTests: the data of command 94, and of an answer to 1."""
        keys = SessionKeys(bytes(range(0x40, 0x50)), KEYS.mac, KEYS.rmac)
        host = HostMessages(keys, CHAIN)
        for _ in range(93):
            host.wrap(CommandApdu(0, 0xFD))
        sent = host.wrap(CommandApdu(0, 0xFD, data=bytes(range(16)) + bytes((1, 2, 3))))
        assert sent.data[:-MAC_SIZE] == bytes.fromhex(
            "CB85E66F9DD7CD73F98810F393DB27825434DCE62EB12625D74018388DF2C6D0"
        )
        keys = SessionKeys(bytes.fromhex("7A3F4BB6F7081D7E25437674CCA306CB"), KEYS.mac, KEYS.rmac)
        card = CardMessages(keys, CHAIN)
        heard(card, HostMessages(keys, CHAIN).wrap(CommandApdu(0, 0xFD)))
        answered = card.wrap(bytes((5, 3, 1)), 0x9000)
        assert answered[:-MAC_SIZE] == bytes.fromhex("5F67E9E059DF3C52809DC9F6DDFBEF3E")

    @pytest.fixture
    def theirs(self) -> Any:
        scp = pytest.importorskip(
            "yubikit.core.smartcard.scp", reason="run with: pip install 'ushield[clients]'"
        )
        keys = scp.SessionKeys(KEYS.enc, KEYS.mac, KEYS.rmac)
        return scp.ScpState(keys, CHAIN)

    def test_their_host_and_this_card_understand_each_other(self, theirs: Any) -> None:
        card = CardMessages(KEYS, CHAIN)
        for size in (0, 1, 15, 16, 17, 200, 239, 240, 700):
            data = bytes(range(256))[: size % 256] * (size // 256 + 1)
            body = theirs.encrypt(data)
            length = len(body) + MAC_SIZE
            lc = bytes((length,)) if length < 256 else b"\0" + length.to_bytes(2, "big")
            mac = theirs.mac(bytes((0x84, 0x50, 1, 2)) + lc + body)
            assert card.unwrap((0x84, 0x50, 1, 2), body + mac) == data
            answered = card.wrap(data, 0x9000)
            encrypted = theirs.unmac(answered, 0x9000)
            assert (theirs.decrypt(encrypted) if encrypted else b"") == data

    def test_what_this_host_sends_is_what_theirs_would(self, theirs: Any) -> None:
        host = HostMessages(KEYS, CHAIN)
        for size in (1, 15, 16, 17, 200, 700):
            body = theirs.encrypt(bytes(size))
            length = len(body) + MAC_SIZE
            lc = bytes((length,)) if length < 256 else b"\0" + length.to_bytes(2, "big")
            mac = theirs.mac(bytes((0x04, 0xDB, 0x3F, 0xFF)) + lc + body)
            assert host.wrap(CommandApdu(0, 0xDB, 0x3F, 0xFF, bytes(size))).data == body + mac


class TestAgreement:
    def test_both_sides_agree_on_keys_that_no_other_session_has(self) -> None:
        seen = set()
        for _ in range(3):
            agreement = HostAgreement(CARD_KEY.public_key())
            answer, card = agree(CARD_KEY, agreement.request)
            sent = agreement.finish(answer).wrap(CommandApdu(0, 0x20, 0, 0x81, b"123456"))
            assert heard(card, sent) == b"123456"
            seen |= {agreement.request, answer, sent.data}
        assert len(seen) == 9

    def test_a_card_with_another_key_has_no_receipt(self) -> None:
        agreement = HostAgreement(CARD_KEY.public_key())
        answer, _ = agree(OTHER_KEY, agreement.request)
        with pytest.raises(ChannelBroken, match="has not the key"):
            agreement.finish(answer)

    def test_an_answer_to_another_session_s_request_is_refused(self) -> None:
        first, second = (HostAgreement(CARD_KEY.public_key()) for _ in range(2))
        answer, _ = agree(CARD_KEY, first.request)
        with pytest.raises(ChannelBroken):
            second.finish(answer)

    @given(st.data())
    def test_an_answer_with_any_byte_changed_is_refused(self, data: st.DataObject) -> None:
        agreement = HostAgreement(CARD_KEY.public_key())
        answer = bytearray(agree(CARD_KEY, agreement.request)[0])
        answer[data.draw(st.integers(0, len(answer) - 1))] ^= data.draw(st.integers(1, 255))
        with pytest.raises(ChannelBroken):
            agreement.finish(bytes(answer))

    @given(st.data())
    def test_a_request_with_any_byte_changed_opens_no_session_with_the_host(
        self, data: st.DataObject
    ) -> None:
        agreement = HostAgreement(CARD_KEY.public_key())
        request = bytearray(agreement.request)
        request[data.draw(st.integers(0, len(request) - 1))] ^= data.draw(st.integers(1, 255))
        try:
            answer, _ = agree(CARD_KEY, bytes(request))
        except TlvInvalid:
            return
        with pytest.raises(ChannelBroken):
            agreement.finish(answer)

    @given(st.binary(max_size=120))
    def test_garbage_is_refused_on_both_sides(self, garbage: bytes) -> None:
        with pytest.raises(TlvInvalid):
            agree(CARD_KEY, garbage)
        with pytest.raises(ChannelBroken):
            HostAgreement(CARD_KEY.public_key()).finish(garbage)

    @pytest.mark.parametrize(
        ("tag", "value"),
        [("9002", "1101"), ("9002", "1103"), ("9501", "34"), ("8001", "80"), ("8101", "20")],
    )
    def test_a_weaker_or_another_channel_is_refused(self, tag: str, value: str) -> None:
        """SCP11a and c, MACs alone, triple DES, longer keys."""
        request = bytearray(HostAgreement(CARD_KEY.public_key()).request)
        at = request.index(bytes.fromhex(tag)) + 2
        request[at : at + len(value) // 2] = bytes.fromhex(value)
        with pytest.raises(TlvInvalid):
            agree(CARD_KEY, bytes(request))

    def test_a_point_that_is_not_on_the_curve_is_refused(self) -> None:
        request = HostAgreement(CARD_KEY.public_key()).request
        with pytest.raises(TlvInvalid):
            agree(CARD_KEY, request[:-32] + bytes(32))
