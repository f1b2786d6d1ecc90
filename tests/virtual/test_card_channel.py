"""A card's secure channels: who opens one, what goes through it, and everything that ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.drivers.bench import issue, message
from tests.virtual.memory import PIN, PUK, WRONG_PIN, contents
from tests.virtual.piv_host import P256, PivHost
from ushield.algorithms import KeyAlgorithm
from ushield.iso7816.apdu import CommandApdu, ResponseApdu
from ushield.iso7816.secure_messaging.commands import SECURITY_DOMAIN_AID
from ushield.iso7816.secure_messaging.scp03 import HostMessages
from ushield.iso7816.secure_messaging.scp11 import HostAgreement
from ushield.iso7816.status import StatusWord
from ushield.iso7816.tlv import encode
from ushield.piv.commands import AID as PIV_AID
from ushield.shield.commands import AID as SHIELD_AID
from ushield.shield.commands import DataObject, KeyUsageCode
from ushield.shield.events import PanelKey
from ushield.shield.objects import GenerateKey, KeyEntry, StoredCertificate, tag_list
from ushield.shield.pins import encode_change
from ushield.shield.requests import Begin
from ushield.virtual.card import MAX_CHAIN, Card
from ushield.virtual.create import create_token
from ushield.virtual.token import VirtualToken

OK = StatusWord.SUCCESS
VERIFY = CommandApdu(0, 0x20, 0, 0x81, PIN)
ASK = CommandApdu(0, 0x20, 0, 0x81)
PIV_VERIFY = CommandApdu(0, 0x20, 0, 0x80, PIN.ljust(8, b"\xff"))
PIV_ASK = CommandApdu(0, 0x20, 0, 0x80)
SET_LABEL = CommandApdu(0, 0xDB, 0x3F, 0xFF, bytes.fromhex("5C02DF06530161"), 256)
COUNTERS = CommandApdu(0, 0xCB, 0x3F, 0xFF, bytes.fromhex("5C02DF04"), 65536)
NO_SESSION = StatusWord.CONDITIONS_NOT_SATISFIED


@dataclass
class Host:
    """Speaks to the card with nothing between, in the clear or through a channel."""

    token: VirtualToken
    session: HostMessages | None = None

    @property
    def card(self) -> Card:
        return self.token.card

    def plain(self, command: CommandApdu) -> ResponseApdu:
        return ResponseApdu.decode(self.card.transmit(command.encode()))

    def select(self, aid: bytes = SHIELD_AID) -> ResponseApdu:
        return self.plain(CommandApdu(0, 0xA4, 4, 0, aid, 256))

    def open(self, *, kvn: int = 1, kid: int = 0x13) -> ResponseApdu:
        stored = self.token._nvram.channel_key()
        assert stored is not None
        key = x509.load_der_x509_certificate(stored.certificate).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        agreement = HostAgreement(key)
        answer = self.plain(CommandApdu(0x80, 0x88, kvn, kid, agreement.request, 256))
        if answer.ok:
            self.session = agreement.finish(answer.data)
        return answer

    def wrapped(self, command: CommandApdu) -> CommandApdu:
        assert self.session is not None
        return self.session.wrap(
            CommandApdu(command.cla, command.ins, command.p1, command.p2, command.data, 65536),
            extended=True,
        )

    def send(self, command: CommandApdu) -> ResponseApdu:
        answer = self.plain(self.wrapped(command))
        assert self.session is not None
        return ResponseApdu(self.session.unwrap(answer.data, answer.sw), answer.sw)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("channel") / "token"
    create_token(path, serial="V-1", pin=PIN.decode(), puk=PUK.decode())
    return path


@pytest.fixture(scope="module")
def plugged(path: Path) -> Iterator[VirtualToken]:
    with VirtualToken.open(path) as token:
        yield token


@pytest.fixture
def host(plugged: VirtualToken) -> Host:
    plugged.card.power_on()
    host = Host(plugged)
    assert host.select().ok
    return host


@pytest.fixture
def channel(host: Host) -> Host:
    assert host.open().ok
    return host


@pytest.fixture
def enrolled(host: Host) -> CommandApdu:
    """BEGIN, with a key that the token has."""
    assert host.plain(VERIFY).ok
    generate = GenerateKey(KeyAlgorithm.P256, KeyUsageCode.DISPLAY, "k").encode()
    made = host.plain(CommandApdu(0, 0x47, 0, 0, generate, 65536))
    assert made.ok
    key = KeyEntry.decode(made.data)
    stored = StoredCertificate(0, issue(key.public_key), "k").encode()
    put = CommandApdu(0, 0xDB, 0x3F, 0xFF, tag_list(DataObject.CERTIFICATE, 0) + stored, 65536)
    assert host.plain(put).ok
    host.card.power_on()
    host.select()
    assert host.open().ok
    return CommandApdu(0x80, 0x50, 0, 0, Begin(key.reference, message()).encode(), 65536)


def test_a_pin_goes_through_the_channel_and_what_it_allows_too(channel: Host) -> None:
    assert channel.send(ASK).sw == StatusWord.TRIES_LEFT | 6
    assert channel.send(VERIFY).ok
    assert channel.send(ASK).ok
    assert channel.send(SET_LABEL).ok
    assert len(channel.send(COUNTERS).data) == 12


def test_every_answer_in_a_session_has_its_mac_refusals_too(channel: Host) -> None:
    for command, sw in (
        (CommandApdu(0, 0x20, 0, 0x81, WRONG_PIN), StatusWord.TRIES_LEFT | 5),
        (SET_LABEL, StatusWord.SECURITY_STATUS_NOT_SATISFIED),
        (CommandApdu(0, 0x70), StatusWord.INS_NOT_SUPPORTED),
        (CommandApdu(0, 0xA4, 4, 0, b"nobody"), StatusWord.FILE_NOT_FOUND),
        (VERIFY, OK),
    ):
        assert channel.send(command).sw == sw


@pytest.mark.parametrize("aid", [PIV_AID, SECURITY_DOMAIN_AID])
def test_any_application_can_be_spoken_to(host: Host, aid: bytes) -> None:
    host.select(aid)
    assert host.open().ok
    # GET DATA, of something that is not there.
    assert host.send(CommandApdu(0, 0xCB if aid == PIV_AID else 0xCA, 0x3F, 0xFF)).sw >> 8 == 0x6A


def test_a_channel_wants_an_application_and_the_right_key(host: Host) -> None:
    assert host.open(kid=0x11).sw == StatusWord.REFERENCED_DATA_NOT_FOUND
    assert host.open(kvn=2).sw == StatusWord.REFERENCED_DATA_NOT_FOUND
    assert host.plain(CommandApdu(0x80, 0x88, 1, 0x13, b"\xa6\0")).sw == StatusWord.WRONG_DATA
    host.card.power_on()
    assert host.open().sw == StatusWord.COMMAND_NOT_ALLOWED


def test_without_a_session_nothing_secured_is_taken(host: Host) -> None:
    assert host.plain(CommandApdu(0x04, 0x20, 0, 0x81, bytes(24))).sw == NO_SESSION
    assert host.plain(CommandApdu(0x14, 0x20, 0, 0x81, bytes(24))).sw == NO_SESSION
    for cla in (0x08, 0x0C):
        command = CommandApdu(cla, 0x20, 0, 0x81, bytes(24))
        assert host.plain(command).sw == StatusWord.SECURE_MESSAGING_UNSUPPORTED


def test_a_command_too_short_for_a_mac_has_none(channel: Host) -> None:
    missing = channel.plain(CommandApdu(0x04, 0x20, 0, 0x81, bytes(7)))
    assert missing.sw == StatusWord.SECURE_MESSAGING_MISSING
    assert channel.plain(channel.wrapped(ASK)).sw == NO_SESSION


def _wrong(host: Host) -> None:
    sent = host.wrapped(ASK)
    changed = sent.data[:-1] + bytes((sent.data[-1] ^ 1,))
    command = CommandApdu(sent.cla, sent.ins, sent.p1, sent.p2, changed, sent.ne)
    assert host.plain(command).sw == StatusWord.SECURE_MESSAGING_INCORRECT


def _again(host: Host) -> None:
    sent = host.wrapped(COUNTERS)
    assert host.plain(sent).ok
    assert host.plain(sent).sw == StatusWord.SECURE_MESSAGING_INCORRECT


def _one_lost(host: Host) -> None:
    host.wrapped(COUNTERS)
    assert host.plain(host.wrapped(COUNTERS)).sw == StatusWord.SECURE_MESSAGING_INCORRECT


def _too_long(host: Host) -> None:
    link = CommandApdu(0x14, 0xDB, 0x3F, 0xFF, bytes(0x4000))
    answers = [host.plain(link).sw for _ in range(MAX_CHAIN // 0x4000 + 1)]
    assert answers[-1] == StatusWord.WRONG_LENGTH


def _malformed(host: Host) -> None:
    assert host.card.transmit(b"\x04\x20\0") == StatusWord.WRONG_LENGTH.to_bytes(2, "big")


ENDINGS: dict[str, Callable[[Host], object]] = {
    "a plain command": lambda host: host.plain(COUNTERS),
    "a link of a plain chain": lambda host: host.plain(CommandApdu(0x10, 0xDB, 0x3F, 0xFF, b"1")),
    "selecting it again in the clear": Host.select,
    "selecting another application": lambda host: host.select(PIV_AID),
    "a class that there is not": lambda host: host.plain(CommandApdu(0x0C, 0x20, 0, 0x81)),
    "a malformed command": _malformed,
    "a wrong MAC": _wrong,
    "a command sent twice": _again,
    "a command that was lost": _one_lost,
    "a chain without end": _too_long,
    "another session": lambda host: Host(host.token).open(),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_with_the_session_ends_what_the_pin_allowed_through_it(
    channel: Host, ending: Callable[[Host], object]
) -> None:
    assert channel.send(VERIFY).ok
    ending(channel)
    # At once, since whatever is said in the clear would end a session that is still there.
    after = channel.plain(channel.wrapped(COUNTERS)).sw
    assert after in (NO_SESSION, StatusWord.SECURE_MESSAGING_INCORRECT)
    assert after == NO_SESSION or ending is ENDINGS["another session"]
    channel.select()
    assert channel.plain(ASK).sw == StatusWord.TRIES_LEFT | 6
    assert channel.plain(SET_LABEL).sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED
    assert channel.plain(channel.wrapped(COUNTERS)).sw == NO_SESSION
    assert channel.open().ok
    assert channel.send(ASK).sw == StatusWord.TRIES_LEFT | 6


def test_with_the_session_ends_what_was_proven_to_piv_through_it(host: Host) -> None:
    host.select(PIV_AID)
    host.open()
    assert host.send(PIV_VERIFY).ok
    assert host.send(PIV_ASK).ok
    assert host.plain(PIV_ASK).sw == StatusWord.TRIES_LEFT | 6


def test_a_cached_touch_through_a_channel_serves_nobody_after_it(host: Host) -> None:
    piv = PivHost(host.token)
    piv.key(0x9A, P256, encode(0xAA, b"\x01") + encode(0xAB, b"\x03"))
    use = encode(0x7C, encode(0x82, b"") + encode(0x81, bytes(32)))
    sign = CommandApdu(0, 0x87, 0x11, 0x9A, use, 256)
    host.open()
    with piv.finger(PanelKey.OK):
        assert host.send(sign).ok
    assert host.send(sign).ok
    with piv.finger(PanelKey.CANCEL) as seen:
        assert host.plain(sign).sw == StatusWord.CONDITIONS_NOT_SATISFIED
    assert seen
    with piv.finger(PanelKey.OK):
        assert host.plain(sign).ok
    host.open()
    assert host.plain(sign).ok, "in the clear it was for anybody"


def test_power_off_ends_it(channel: Host) -> None:
    assert channel.send(VERIFY).ok
    sent = channel.wrapped(ASK)
    channel.card.power_on()
    channel.select()
    assert channel.plain(sent).sw == NO_SESSION


def test_a_pin_proven_in_the_clear_outlives_channels(host: Host) -> None:
    """A reader with a keypad of its own proves it so."""
    assert host.plain(VERIFY).ok
    host.open()
    assert host.send(ASK).ok
    assert host.plain(ASK).ok


def test_a_pin_proven_both_ways_ends_with_the_channel(host: Host) -> None:
    assert host.plain(VERIFY).ok
    host.open()
    assert host.send(VERIFY).ok
    assert not host.plain(ASK).ok


@pytest.mark.parametrize("pin_secured", [True, False])
def test_a_request_begun_through_a_channel_ends_with_it(
    channel: Host, enrolled: CommandApdu, pin_secured: bool
) -> None:
    panel = channel.token.panel
    if not pin_secured:
        assert channel.plain(VERIFY).ok
        channel.open()
    else:
        assert channel.send(VERIFY).ok
    assert channel.send(enrolled).ok
    assert panel.state.live_request is not None
    channel.plain(COUNTERS)
    assert panel.state.live_request is None


def test_a_request_begun_in_the_clear_outlives_channels(host: Host, enrolled: CommandApdu) -> None:
    assert host.plain(VERIFY).ok
    assert host.plain(enrolled).ok
    host.open()
    host.plain(COUNTERS)
    assert host.token.panel.state.live_request is not None


def test_selecting_the_same_application_in_the_session_keeps_it(channel: Host) -> None:
    assert channel.send(VERIFY).ok
    assert channel.send(CommandApdu(0, 0xA4, 4, 0, SHIELD_AID)).ok
    assert channel.send(ASK).ok


def test_selecting_another_one_in_the_session_is_its_last_command(channel: Host) -> None:
    assert channel.send(VERIFY).ok
    assert channel.send(CommandApdu(0, 0xA4, 4, 0, PIV_AID)).ok
    assert channel.plain(channel.wrapped(PIV_ASK)).sw == NO_SESSION
    channel.select()
    assert not channel.plain(ASK).ok


def test_a_session_s_replay_changes_nothing_and_spends_no_try(host: Host) -> None:
    """Every recorded frame again, in order and alone, a wrong PIN's too."""
    recorded: list[bytes] = []
    card = host.card

    def recording(command: CommandApdu) -> ResponseApdu:
        recorded.append(command.encode())
        return ResponseApdu.decode(card.transmit(recorded[-1]))

    host.plain = recording  # type: ignore[method-assign]
    host.select()
    host.open()
    wrong = CommandApdu(0, 0x20, 0, 0x81, WRONG_PIN)
    change = CommandApdu(0, 0x24, 0, 0x81, encode_change(PIN, b"271828"))
    assert host.send(wrong).sw == StatusWord.TRIES_LEFT | 5
    assert host.send(VERIFY).ok
    assert host.send(change).ok
    assert host.send(CommandApdu(0, 0x24, 0, 0x81, encode_change(b"271828", PIN))).ok
    nvram = host.token._nvram
    before = contents(nvram)
    frames = list(recorded)
    for frame in frames:
        card.transmit(frame)
    for frame in frames:
        card.power_on()
        card.transmit(frames[0])
        card.transmit(frame)
    after = contents(nvram)
    assert after[:4] == before[:4]
    assert after[5:] == before[5:]  # but for the counter of power-ups
    host.select()
    assert host.plain(ASK).sw == StatusWord.TRIES_LEFT | 6


def test_a_long_command_is_put_together_first_and_a_long_answer_cut_last(channel: Host) -> None:
    assert channel.send(VERIFY).ok
    label = bytes.fromhex("5C02DF065320") + b"x" * 32
    session = channel.session
    assert session is not None
    secured = session.wrap(CommandApdu(0, 0xDB, 0x3F, 0xFF, label, 256))
    for start in range(0, len(secured.data), 20):
        piece = secured.data[start : start + 20]
        chained = 0x10 if start + 20 < len(secured.data) else 0
        command = CommandApdu(secured.cla | chained, 0xDB, 0x3F, 0xFF, piece, 0)
        answer = channel.plain(command)
    assert answer.sw == StatusWord.MORE_DATA | 8 or answer.ok
    certificate = session.wrap(CommandApdu(0, 0xCB, 0x3F, 0xFF, bytes.fromhex("5C02DF05"), 256))
    channel.plain(CommandApdu(0, 0xC0, ne=256))
    answer = channel.plain(certificate)
    pieces = answer.data
    while answer.sw >> 8 == 0x61:
        answer = channel.plain(CommandApdu(0, 0xC0, ne=answer.sw & 0xFF or 256))
        pieces += answer.data
    assert session.unwrap(pieces, answer.sw) == channel.token._nvram.identity.device_certificate


def test_slow_commands_are_slow_in_a_session_too(channel: Host) -> None:
    generate = CommandApdu(0, 0x47, 0, 0, bytes.fromhex("AC00"))
    assert channel.card.is_slow(generate.encode())
    assert channel.card.is_slow(channel.wrapped(generate).encode())
    assert not channel.card.is_slow(channel.wrapped(ASK).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                lambda head, body: bytes(head) + bytes((len(body),)) + body,
                st.tuples(
                    st.sampled_from([0x00, 0x04, 0x14, 0x80, 0x84, 0x94, 0x10]),
                    st.sampled_from([0x20, 0x88, 0xA4, 0xC0, 0xCB, 0xDB, 0x47]),
                    st.sampled_from([0, 1, 0x3F]),
                    st.sampled_from([0x81, 0x13, 0xFF, 0]),
                ),
                st.binary(min_size=1, max_size=60),
            ),
        ),
        max_size=6,
    )
)
def test_whatever_comes_is_answered_and_never_through_a_session(
    host: Host, frames: list[bytes]
) -> None:
    host.select()
    host.open()
    assert host.send(VERIFY).ok
    for frame in frames:
        answer = host.card.transmit(frame)
        assert len(answer) >= 2
    host.select()
    assert not host.plain(ASK).ok or any(PIN in frame for frame in frames)
