"""PIV cards that are old, plain, odd or hostile: each gets a typed error, and nothing is lost."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drivers.bench import issue
from tests.iso7816.connections import SHORT, DirectConnection
from tests.pki import NOW
from ushield.algorithms import HashAlgorithm, KeyAlgorithm
from ushield.drivers.base import Capability, Demand, KeyOptions, KeyUsage
from ushield.drivers.piv import PivDriver
from ushield.drivers.piv.quirks import PivQuirks
from ushield.drivers.piv.touch import touch_refusal
from ushield.drivers.profiles import ProfileInvalid, load_profile, read_profile
from ushield.errors import (
    CapabilityMissing,
    CertificateKeyMissing,
    ConfirmationError,
    InputInvalid,
    KeyUsageRefused,
    LoginRequired,
    ManagementKeyIncorrect,
    ObjectNotFound,
    PinIncorrect,
    PinLocked,
    ProtocolViolation,
    Rejected,
    StatusWordError,
    TimedOut,
    UShieldError,
)
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.tlv import encode
from ushield.pin import KnownManagementKey, ManagementKey, Pin, PinReference
from ushield.piv.ciphers import decrypt_block, encrypt_block
from ushield.piv.commands import AID, DEFAULT_MANAGEMENT_KEY, RID, ManagementAlgorithm
from ushield.piv.objects import encode_dynamic

NOT_FOUND, UNKNOWN, OK = b"\x6a\x82", b"\x6d\x00", b"\x90\x00"
APPLICATION = encode(0x61, encode(0x4F, AID[len(RID) :]))
POINT = ec.generate_private_key(ec.SECP256R1()).public_key()
SPKI = POINT.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
POINT_TLV = encode(0x86, POINT.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
DIGEST = bytes(range(32))
TDES = ManagementAlgorithm.TRIPLE_DES

Answer = bytes | Callable[[CommandApdu], bytes]


@dataclass
class PlainCard:
    """A card of SP 800-73 and nothing more, unless ``answers`` say so: by INS, then by P2 or tag.

    ``objects`` are what GET DATA gives, ``seen`` the commands, chains put together.
    """

    answers: dict[tuple[int, int | None], Answer] = field(default_factory=dict)
    objects: dict[int, bytes] = field(default_factory=dict)
    names: tuple[bytes, ...] = (AID[:9],)
    seen: list[CommandApdu] = field(default_factory=list)
    powered: int = 0
    chain: bytes = b""
    rest: bytes = b""

    def power_on(self) -> bytes:
        self.powered += 1
        return b"\x3b\x00"

    def transmit(self, raw: bytes) -> bytes:
        command = CommandApdu.decode(raw)
        whole = self.rest + OK if command.ins == 0xC0 else self.answer(command)
        data, sw = whole[:-2], whole[-2:]
        self.rest = data[256:]
        more = bytes((0x61, min(len(self.rest), 255)))
        return data[:256] + (more if self.rest else sw)

    def answer(self, command: CommandApdu) -> bytes:
        if command.cla & 0x10:
            self.chain += command.data
            return OK
        data, self.chain = self.chain + command.data, b""
        command = CommandApdu(0, command.ins, command.p1, command.p2, data, command.ne)
        self.seen.append(command)
        for key in ((command.ins, command.p2), (command.ins, None)):
            if key in self.answers:
                answer = self.answers[key]
                return answer if isinstance(answer, bytes) else answer(command)
        if command.ins == 0xA4:
            return APPLICATION + OK if command.data in self.names else NOT_FOUND
        if command.ins == 0xCB:
            found = self.objects.get(int.from_bytes(command.data[2:], "big"))
            return NOT_FOUND if found is None else found + OK
        if command.ins == 0x20:
            return b"\x63\xc3"
        return UNKNOWN

    def open(self) -> PivDriver:
        connection = DirectConnection(self.transmit, SHORT, self.power_on)
        driver = PivDriver.probe(connection)
        assert driver is not None
        return driver

    def sent(self, ins: int) -> list[CommandApdu]:
        return [command for command in self.seen if command.ins == ins]


def certificate_object(der: bytes, form: int = 0) -> bytes:
    content = encode(0x70, der) + encode(0x71, bytes((form,))) + encode(0xFE, b"")
    return encode(0x53, content)


def metadata(algorithm: int = 0x11, pin: int = 2, touch: int = 1) -> bytes:
    policies = bytes((pin, touch))
    return (
        encode(0x01, bytes((algorithm,)))
        + encode(0x02, policies)
        + encode(0x03, b"\x01")
        + encode(0x04, POINT_TLV)
        + OK
    )


def with_key(*, pin: int = 2, touch: int = 1) -> PlainCard:
    """A card with metadata, and a P-256 key in slot 9a."""
    management = encode(0x01, b"\x03") + encode(0x02, b"\x00\x01") + encode(0x05, b"\x00") + OK
    return PlainCard(
        {
            (0xF7, 0x9A): metadata(pin=pin, touch=touch),
            (0xF7, 0x9B): management,
            (0xF7, None): b"\x6a\x88",
        }
    )


# Being found.


@pytest.mark.parametrize("names", [(AID[:9],), (RID,), (AID[:9], RID)])
def test_a_card_is_found_by_either_of_its_names(names: tuple[bytes, ...]) -> None:
    assert PlainCard(names=names).open().info.model == "PIV card"


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        encode(0x61, encode(0x4F, bytes.fromhex("D27600012401"))) + OK,
        encode(0x61, b"") + OK,
        b"\x61\x7f" + OK,
        b"\xff" * 40 + OK,
    ],
)
def test_a_card_that_answers_something_else_is_none(answer: bytes) -> None:
    card = PlainCard({(0xA4, None): answer})
    assert PivDriver.probe(DirectConnection(card.transmit, SHORT, card.power_on)) is None


def test_the_serial_number_comes_from_the_extension_or_the_chuid_or_nowhere() -> None:
    guid = bytes(range(1, 17))
    chuid = encode(0x53, encode(0x30, bytes(25)) + encode(0x34, guid) + encode(0xFE, b""))
    assert PlainCard({(0xF8, None): b"\x00\x00\x30\x39" + OK}).open().info.serial == "12345"
    assert PlainCard(objects={0x5FC102: chuid}).open().info.serial == guid.hex().upper()
    empty = chuid.replace(guid, bytes(16))
    for value in (empty, b"\x53\x00", b"\x53\x05garbl"):
        assert PlainCard(objects={0x5FC102: value}).open().info.serial == "unknown"


def device_certificate(unit: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW)
    return made.sign(key, SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("certificate", "virtual"),
    [
        (device_certificate("virtual"), True),
        (device_certificate("not virtual"), False),
        (b"0\x07virtual", False),
    ],
)
def test_a_card_is_virtual_if_its_device_certificate_says_so(
    certificate: bytes, virtual: bool
) -> None:
    card = PlainCard(objects={0x5FFF01: certificate_object(certificate)})
    info = card.open().info
    assert info.virtual is virtual
    assert Capability.ATTESTATION in info.capabilities
    assert not PlainCard().open().info.virtual


def test_only_short_apdus_are_sent() -> None:
    card = PlainCard({(0xDB, None): OK})
    connection = DirectConnection(card.transmit, power_on=card.power_on)
    driver = PivDriver.probe(connection)
    assert driver is not None
    driver.introduce_key("9a", SPKI)
    with pytest.raises(ProtocolViolation):
        driver.write_certificate(issue(SPKI), "")
    assert max(map(len, connection.commands)) <= 261


# PINs of cards without metadata.


def test_without_metadata_the_pin_s_tries_are_asked_for_and_the_puk_s_may_be_unknown() -> None:
    driver = PlainCard({(0x20, 0x81): b"\x6a\x88"}).open()
    states = driver.pin_states()
    assert set(states) == {PinReference.USER}
    assert (states[PinReference.USER].tries_left, states[PinReference.USER].max_tries) == (3, 0)
    assert not states[PinReference.USER].count_low


def test_a_verified_pin_has_all_its_tries() -> None:
    card = PlainCard({(0x20, 0x80): b"\x63\xc8"})
    driver = card.open()
    assert driver.pin_states()[PinReference.USER].tries_left == 8
    card.answers[0x20, 0x80] = OK
    state = driver.pin_states()[PinReference.USER]
    assert (state.tries_left, state.verified) == (8, True)


@pytest.mark.parametrize(
    ("wrong", "asked", "tries"),
    [
        (b"\x63\xc2", b"", 2),
        (b"\x63\x02", b"", 2),
        (b"\x63\x00", b"\x63\xc2", 2),
        (b"\x63\x00", b"\x69\x83", 0),
        (b"\x63\xc0", b"", 0),
        (b"\x69\x83", b"", 0),
    ],
)
def test_a_wrong_pin_is_told_in_all_the_ways_that_cards_have(
    wrong: bytes, asked: bytes, tries: int
) -> None:
    card = PlainCard({(0x20, 0x80): lambda command: wrong if command.data else asked})
    driver = card.open()
    with pytest.raises((PinIncorrect, PinLocked)) as caught:
        driver.verify_pin(Pin("123456"))
    assert getattr(caught.value, "tries_left", 0) == tries
    assert card.sent(0x20)[0].data == b"123456\xff\xff"


def test_a_card_that_forgets_no_pin_loses_its_power() -> None:
    card = PlainCard({(0x20, 0x80): OK})
    driver = card.open()
    before = card.powered
    driver.logout()
    assert card.powered == before + 1
    assert card.seen[-1].ins == 0xA4


# The management key.


def manager(secret: bytes, *, impostor: bool = False) -> PlainCard:
    witness = os.urandom(8)

    def authenticate(command: CommandApdu) -> bytes:
        if len(command.data) < 10:
            return encode_dynamic((0x80, encrypt_block(TDES, secret, witness))) + OK
        proof, challenge = command.data[4:12], command.data[14:22]
        if proof != witness and not impostor:
            return b"\x69\x82"
        answer = bytes(8) if impostor else encrypt_block(TDES, secret, challenge)
        return encode_dynamic((0x82, answer)) + OK

    return PlainCard({(0x87, 0x9B): authenticate})


def test_a_card_that_has_not_the_management_key_itself_is_noticed() -> None:
    manager(DEFAULT_MANAGEMENT_KEY).open().prove_management_key(KnownManagementKey.DEFAULT)
    with pytest.raises(ManagementKeyIncorrect):
        manager(bytes(range(24))).open().prove_management_key(KnownManagementKey.DEFAULT)
    with pytest.raises(ManagementKeyIncorrect, match="does not know"):
        manager(DEFAULT_MANAGEMENT_KEY, impostor=True).open().prove_management_key(
            KnownManagementKey.DEFAULT
        )


def test_a_witness_of_another_length_is_not_decrypted() -> None:
    card = PlainCard({(0x87, 0x9B): encode_dynamic((0x80, bytes(16))) + OK})
    with pytest.raises(ProtocolViolation, match="witness"):
        card.open().prove_management_key(KnownManagementKey.DEFAULT)
    assert len(card.sent(0x87)) == 1


def test_the_ciphers_undo_each_other() -> None:
    for algorithm in ManagementAlgorithm:
        key, block = os.urandom(algorithm.key_size), os.urandom(algorithm.block_size)
        assert decrypt_block(algorithm, key, encrypt_block(algorithm, key, block)) == block


@pytest.mark.parametrize("text", ["", "00" * 15, "00" * 25, "0x" + "0" * 46, " 0" * 24, "zz" * 24])
def test_what_is_no_management_key_is_refused(text: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        ManagementKey.from_hex(text.encode())
    assert not text or text not in str(caught.value)


# Keys.


def generated(command: CommandApdu) -> bytes:
    return encode(0x7F49, POINT_TLV) + OK


def test_a_key_that_wants_less_than_was_asked_for_is_not_taken_for_it() -> None:
    card = with_key(pin=2, touch=1)
    card.answers[0x47, None] = generated
    for options, error in (
        (KeyOptions("9a", touch=Demand.ALWAYS, replace=True), "touch: never, not always"),
        (KeyOptions("9a", pin=Demand.ALWAYS, replace=True), "PIN: once, not always"),
    ):
        with pytest.raises(ProtocolViolation, match=error):
            card.open().generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "", options)
    options = KeyOptions("9a", pin=Demand.ONCE, touch=Demand.NEVER, replace=True)
    made = card.open().generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "", options)
    assert (made.pin, made.touch) == (Demand.ONCE, Demand.NEVER)


def test_rsa_keys_that_can_be_factored_are_not_made() -> None:
    for version, safe in (((4, 2, 5), False), ((4, 3, 4), False), ((4, 3, 5), True)):
        card = PlainCard({(0xFD, None): bytes(version) + OK, (0x47, None): generated})
        driver = card.open()
        with pytest.raises(UShieldError) as caught:
            driver.generate_key(KeyAlgorithm.RSA_2048, KeyUsage.AUTHENTICATION, "")
        assert isinstance(caught.value, CapabilityMissing) is not safe
        assert bool(card.sent(0x47)) is safe
        card.objects.clear()
        driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "")


def test_a_plain_card_s_key_is_known_while_it_is_open_and_by_its_certificate() -> None:
    card = PlainCard({(0x47, None): generated})
    driver = card.open()
    made = driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "", KeyOptions("9a"))
    assert (made.public_key, made.touch) == (SPKI, Demand.UNKNOWN)
    assert driver.keys() == (made,)
    assert card.open().keys() == ()
    card.objects[0x5FC105] = certificate_object(issue(SPKI))
    (known,) = card.open().keys()
    assert (known.key_id, known.generated) == (made.key_id, None)


def test_a_key_can_be_introduced_where_the_card_does_not_tell() -> None:
    driver = PlainCard().open()
    with pytest.raises(CertificateKeyMissing):
        driver.write_certificate(issue(SPKI), "")
    introduced = driver.introduce_key("9d", SPKI)
    assert driver.keys() == (introduced,)
    with pytest.raises(InputInvalid):
        driver.introduce_key("9d", issue(SPKI))
    with pytest.raises(ObjectNotFound):
        with_key().open().introduce_key("9c", SPKI)


@pytest.mark.parametrize(
    ("pin", "touch", "sw", "verified", "error"),
    [
        (2, 2, b"\x69\x82", OK, Rejected),
        (2, 2, b"\x69\x82", b"\x63\xc3", LoginRequired),
        (1, 2, b"\x69\x82", OK, Rejected),
        (2, 3, b"\x69\x85", OK, Rejected),
        (3, 2, b"\x69\x82", OK, LoginRequired),
        (2, 1, b"\x69\x82", OK, LoginRequired),
        (2, 1, b"\x69\x85", OK, KeyUsageRefused),
        (2, 1, b"\x6a\x80", OK, StatusWordError),
    ],
)
def test_a_touch_that_did_not_come_is_told_from_a_pin_that_is_wanted(
    pin: int, touch: int, sw: bytes, verified: bytes, error: type[UShieldError]
) -> None:
    card = with_key(pin=pin, touch=touch)
    card.answers |= {(0x87, None): sw, (0x20, 0x80): verified}
    with pytest.raises(error):
        card.open().sign_digest(0x9A, HashAlgorithm.SHA256, DIGEST)


def test_a_touch_that_took_its_time_has_timed_out() -> None:
    outcome: list[ConfirmationError] = [touch_refusal(seconds, 20) for seconds in (0.2, 14.9)]
    assert [type(one) for one in outcome] == [Rejected, TimedOut]


def test_a_key_that_wants_a_touch_gets_the_time_for_it() -> None:
    waits = []
    for touch in (1, 2):
        card = with_key(touch=touch)
        card.answers[0x87, None] = encode_dynamic((0x82, b"signature")) + OK
        connection = DirectConnection(card.transmit, SHORT, card.power_on)
        driver = PivDriver.probe(connection)
        assert driver is not None
        assert driver.sign_digest(0x9A, HashAlgorithm.SHA256, DIGEST) == b"signature"
        waits.append(connection.timeouts[-1] or 0)
    assert waits[0] < 11
    assert waits[1] > 25


# Certificates.


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (certificate_object(gzip.compress(bytes(5_000_000)), 1), "more than"),
        (certificate_object(gzip.compress(issue(SPKI))[:-12], 1), "cut short"),
        (certificate_object(b"no gzip", 1), "unknown way"),
        (certificate_object(b"\x1f\x8b no gzip", 1), ""),
        (certificate_object(bytes(17000)), "more than"),
        (encode(0x53, b"\x70\x82\xff\xff\x30"), "should have"),
        (encode(0x53, encode(0x71, b"\x00")), "no object 70"),
        (b"\x53\x02\x70", ""),
        (b"\x54\x00", ""),
    ],
)
def test_a_certificate_object_that_makes_no_sense_is_a_violation(
    value: bytes, problem: str
) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        PlainCard(objects={0x5FC105: value}).open().certificates()
    assert problem in str(caught.value)


def test_lengths_that_are_longer_than_they_need_be_are_read() -> None:
    der = issue(SPKI)
    inner = b"\x70\x83" + len(der).to_bytes(3, "big") + der + b"\x71\x81\x01\x00\xfe\x00"
    value = b"\x53\x83" + len(inner).to_bytes(3, "big") + inner
    assert PlainCard(objects={0x5FC105: value}).open().read_certificate(0x9A) == der


def test_a_certificate_that_is_none_is_told_without_a_key() -> None:
    driver = PlainCard(objects={0x5FC105: certificate_object(b"junk")}).open()
    (entry,) = driver.certificates()
    assert entry.size == 4
    assert entry.key_id
    assert driver.keys() == ()


def test_where_another_certificate_arrives_the_old_one_is_written_again() -> None:
    old, new = issue(SPKI, "old"), issue(SPKI, "new")
    card = PlainCard(objects={0x5FC105: certificate_object(old)})
    spoiling = iter([True, False])

    def put(command: CommandApdu) -> bytes:
        value = command.data[5:]
        card.objects[0x5FC105] = value.replace(b"new", b"nev") if next(spoiling) else value
        return OK

    card.answers[0xDB, None] = put
    with pytest.raises(ProtocolViolation, match="another certificate"):
        card.open().write_certificate(new, "")
    assert card.objects[0x5FC105] == certificate_object(old)


# Whatever a card may answer.


# Several threads.


def test_a_certificate_that_is_being_deleted_is_not_remembered_by_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = PlainCard(objects={0x5FC105: certificate_object(issue(SPKI))})

    def delete(command: CommandApdu) -> bytes:
        card.objects.clear()
        return OK

    card.answers[0xDB, None] = delete
    driver = card.open()
    put = driver._link.put

    def read() -> None:
        with suppress(ObjectNotFound):
            driver.read_certificate(0x9A)

    reader = threading.Thread(target=read)

    def crowded(*arguments: Any) -> None:
        reader.start()
        reader.join(0.2)
        put(*arguments)

    monkeypatch.setattr(driver._link, "put", crowded)
    driver.delete_certificate(0x9A)
    reader.join()
    assert driver.certificates() == ()


def test_keys_are_told_while_another_thread_changes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = with_key().open()
    hold = driver.connection.hold

    @contextmanager
    def changed_after(timeout: float | None = None) -> Iterator[None]:
        with hold(timeout):
            yield
        # What another thread does, that waited for its turn to make a key.
        driver._keys = None

    monkeypatch.setattr(driver.connection, "hold", changed_after)
    (key,) = driver.keys()
    assert key.label == "9a"


def _everything(driver: PivDriver) -> tuple[Callable[[], object], ...]:
    return (
        driver.pin_states,
        driver.keys,
        driver.certificates,
        lambda: driver.verify_pin(Pin("123456")),
        lambda: driver.unblock_pin(Pin("12345678"), Pin("802563")),
        lambda: driver.prove_management_key(KnownManagementKey.DEFAULT),
        lambda: driver.prove_management_key(KnownManagementKey.BEHIND_PIN),
        lambda: driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, ""),
        lambda: driver.generate_key(KeyAlgorithm.RSA_2048, KeyUsage.AUTHENTICATION, ""),
        lambda: driver.introduce_key("9a", SPKI),
        lambda: driver.write_certificate(issue(SPKI), ""),
        lambda: driver.sign_digest(0x9A, HashAlgorithm.SHA256, DIGEST),
        lambda: driver.attest(0x9A),
        driver.device_certificate,
        lambda: driver.delete_certificate(0x9A),
        lambda: driver.delete_key(0x9A),
        driver.logout,
        driver.close,
    )


SHAPED = st.sampled_from(
    [
        encode(0x53, b""),
        certificate_object(issue(SPKI)),
        metadata()[:-2],
        encode(0x7F49, POINT_TLV),
        encode_dynamic((0x80, bytes(8))),
        encode_dynamic((0x82, bytes(8))),
        encode(0x53, encode(0x88, encode(0x89, bytes(24)))),
        bytes(3),
        b"",
    ]
)
MANGLED = st.builds(
    lambda data, at, byte: data[:at] + bytes((byte,)) + data[at + 1 :],
    SHAPED.filter(bool),
    st.integers(0, 80),
    st.integers(0, 255),
)
STATUS = st.sampled_from(
    [0x9000] * 6
    + [0x63C3, 0x6300, 0x6982, 0x6983, 0x6985, 0x6A80, 0x6A82, 0x6A88, 0x6D00, 0x6F00, 0x6700]
)
ANSWERS = st.lists(
    st.builds(
        lambda data, sw: data[:250] + sw.to_bytes(2, "big"),
        st.one_of(SHAPED, MANGLED, st.binary(max_size=40)),
        STATUS,
    ),
    min_size=1,
    max_size=12,
)


@given(ANSWERS)
@settings(max_examples=60, deadline=None)
def test_whatever_a_card_answers_the_error_is_typed(answers: list[bytes]) -> None:
    asked = 0

    def answer(command: CommandApdu) -> bytes:
        nonlocal asked
        asked += 1
        return answers[asked % len(answers)]

    card = PlainCard({(ins, None): answer for ins in range(256) if ins != 0xA4})
    try:
        driver = card.open()
    except UShieldError:
        return
    for call in _everything(driver):
        try:
            call()
        except UShieldError:
            continue


# The profile.


def test_the_profile_s_own_table_is_checked() -> None:
    profile = load_profile("piv")
    assert PivQuirks.read(profile).usual_tries == 3
    text = 'driver = "piv"\ndevices = []\n[timeouts]\ncommand = 1\nkey_generation = 1\nclose = 1\n'
    for own in ("", "[piv]\nusual_tries = 3\n", "[piv]\nusual_tries = 3\nx = 1\n[piv.pin]\n"):
        with pytest.raises(ProfileInvalid):
            PivQuirks.read(read_profile(text + own))
