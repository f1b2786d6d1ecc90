"""The driver's secure channel: what is on the wire, and what a man on it can do."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bank.odd import ODD_CERTIFICATES
from tests.drivers.bench import Bench
from tests.iso7816.connections import to_card
from tests.pki import authority, der
from tests.signing.conftest import payment
from ushield.drivers.base import Capability
from ushield.drivers.shield.device import channel_key
from ushield.errors import (
    ApduInvalid,
    ChannelBroken,
    LoginRequired,
    TokenUntrusted,
    TransferTimeout,
    TransportError,
    UShieldError,
)
from ushield.iso7816.layer import ConnectionLayer
from ushield.iso7816.trace import read_trace
from ushield.iso7816.traffic import Exchange
from ushield.pin import PinReference
from ushield.shield.events import PanelKey
from ushield.signing import SigningToken
from ushield.signing.opening import token_behind
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transport.connection import ApduLimits, CardConnection
from ushield.transport.registry import open_spec
from ushield.virtual.create import create_token
from ushield.virtual.nvram import Nvram

NEW_PIN = "271828"


class Wire(ConnectionLayer):
    """What stands between the channel and the card: every message passes ``pass_on``.

    That gets the number of the message, counted from 0, and the way on; it may change, drop or
    repeat it. ``seen`` is every byte in both directions.
    """

    def __init__(self, connection: CardConnection) -> None:
        super().__init__(connection)
        self.seen: list[bytes] = []
        self.meddle: Callable[[int, bytes, Callable[[bytes], bytes]], bytes] = (
            lambda number, command, pass_on: pass_on(command)
        )
        self.count = 0

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        def pass_on(sent: bytes) -> bytes:
            self.seen.append(sent)
            answer = self._connection.transmit(sent, timeout=timeout)
            self.seen.append(answer)
            return answer

        number, self.count = self.count, self.count + 1
        return self.meddle(number, command, pass_on)


@pytest.fixture
def token(virtual_token: VirtualTokenUnderTest) -> VirtualTokenUnderTest:
    return virtual_token


def wire_to(token: VirtualTokenUnderTest) -> Wire:
    return Wire(to_card(token.virtual.card))


def sign(token: VirtualTokenUnderTest, opened: SigningToken) -> bytes:
    with opened.session(token.pin) as session:
        pending = session.sign(payment())
        for _ in range(pending.pages - 1):
            token.panel.page_down()
        token.panel.press(PanelKey.OK)
        return pending.result(timeout=10).der


def tries(token: VirtualTokenUnderTest) -> int:
    return token.virtual._nvram.reference(PinReference.USER).tries_left


def record_usb(token: VirtualTokenUnderTest) -> list[bytes]:
    """Every byte that pyusb's backend moves from now on, both ways, in order."""
    backend: Any = token.virtual.backend
    moved: list[bytes] = []
    write, read = backend.bulk_write, backend.bulk_read

    def bulk_write(handle: Any, ep: int, intf: int, data: Any, timeout: int) -> Any:
        moved.append(bytes(data))
        return write(handle, ep, intf, data, timeout)

    def bulk_read(handle: Any, ep: int, intf: int, buff: Any, timeout: int) -> Any:
        size = read(handle, ep, intf, buff, timeout)
        moved.append(bytes(buff[:size]))
        return size

    backend.bulk_write, backend.bulk_read = bulk_write, bulk_read
    return moved


class TestWire:
    def test_no_pin_crosses_usb_at_login_change_unblock_or_signature(
        self, token: VirtualTokenUnderTest
    ) -> None:
        moved = record_usb(token)
        with token.open() as opened:
            assert Capability.SECURE_CHANNEL in opened.info.capabilities
            assert sign(token, opened)
            opened.pin.change(token.pin, NEW_PIN)
            opened.pin.unblock(token.puk, token.pin)
            with pytest.raises(UShieldError):
                opened.session("908172")
        on_the_wire = b"".join(moved)
        assert len(moved) > 40
        for secret in (token.pin, NEW_PIN, token.puk, "908172"):
            assert secret.encode() not in on_the_wire
            assert secret.encode("utf-16-le") not in on_the_wire
            assert secret.encode("utf-16-be") not in on_the_wire

    def test_the_recorder_sees_a_pin_that_is_there(self, token: VirtualTokenUnderTest) -> None:
        moved = record_usb(token)
        connection = open_spec(token.spec)
        with connection.hold():
            connection.transmit(b"\0\xa4\4\0\x08\xf0USHIELD")
            connection.transmit(b"\0\x20\0\x81\6" + token.pin.encode())
        connection.close()
        assert token.pin.encode() in b"".join(moved)

    def test_neither_pin_nor_payment_is_between_channel_and_card(
        self, token: VirtualTokenUnderTest
    ) -> None:
        wire = wire_to(token)
        with token_behind(wire) as opened:
            sign(token, opened)
        everything = b"".join(wire.seen)
        for text in (token.pin, "张三", "6222021001098765432", "1234.56"):
            assert text.encode() not in everything

    def test_a_replay_of_all_of_it_changes_nothing_and_spends_no_try(
        self, token: VirtualTokenUnderTest
    ) -> None:
        wire = wire_to(token)
        with token_behind(wire) as opened:
            with pytest.raises(UShieldError):
                opened.session("908172")
            sign(token, opened)
        nvram = token.virtual._nvram
        before = (tries(token), nvram.counters().signatures, nvram.vouchers())
        card = token.virtual.card
        for _ in range(2):
            for message in wire.seen[::2]:
                card.transmit(message)
        assert (tries(token), nvram.counters().signatures, nvram.vouchers()) == before
        assert not token.virtual.panel.state.pin_verified

    @pytest.mark.parametrize("size", [261, 60, 32])
    def test_a_reader_of_short_apdus_will_do(self, token: VirtualTokenUnderTest, size: int) -> None:
        limits = ApduLimits(size, size, extended=False)
        wire = Wire(to_card(token.virtual.card, limits))
        with token_behind(wire) as opened:
            assert sign(token, opened)
        assert max(map(len, wire.seen)) <= size


@pytest.fixture(scope="module")
def module_token(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[VirtualTokenUnderTest]:
    from ushield.algorithms import KeyAlgorithm

    path = tmp_path_factory.mktemp("channel") / "token"
    with VirtualTokenUnderTest.create(path) as token:
        token.enrol(KeyAlgorithm.P256)
        yield token


class TestManOnTheWire:
    """Whatever he does, there is a typed error or the very signature, and no try is spent."""

    def attempt(
        self,
        token: VirtualTokenUnderTest,
        meddle: Callable[[int, bytes, Callable[[bytes], bytes]], bytes],
    ) -> int:
        """Sign once with him there; how many messages he saw."""
        token.virtual.card.power_on()
        wire = wire_to(token)
        wire.meddle = meddle
        before = tries(token)
        with suppress(UShieldError), token_behind(wire) as opened:
            assert sign(token, opened)
        token.virtual.card.power_on()
        assert tries(token) == before
        return wire.count

    @settings(max_examples=120, suppress_health_check=list(HealthCheck), deadline=None)
    @given(data=st.data())
    def test_a_changed_byte(self, module_token: VirtualTokenUnderTest, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, 22))
        answer = data.draw(st.booleans())
        where, change = data.draw(st.integers(0, 400)), data.draw(st.integers(1, 255))

        def flip(message: bytes) -> bytes:
            place = where % len(message)
            return message[:place] + bytes((message[place] ^ change,)) + message[place + 1 :]

        def meddle(number: int, command: bytes, pass_on: Callable[[bytes], bytes]) -> bytes:
            if number != at:
                return pass_on(command)
            return flip(pass_on(command)) if answer else pass_on(flip(command))

        self.attempt(module_token, meddle)

    @pytest.mark.parametrize("at", range(23))
    @pytest.mark.parametrize(
        "deed",
        [
            "lose it",
            "lose its answer",
            "say it twice",
            "hold it back",
            "ask first",
            "say an earlier one",
            "cut its answer",
        ],
    )
    def test_a_lost_repeated_or_inserted_message(
        self, module_token: VirtualTokenUnderTest, at: int, deed: str
    ) -> None:
        earlier: list[bytes] = []

        def meddle(number: int, command: bytes, pass_on: Callable[[bytes], bytes]) -> bytes:
            earlier.append(command)
            if number != at:
                return pass_on(command)
            match deed:
                case "lose it":
                    raise TransferTimeout("lost")
                case "lose its answer":
                    pass_on(command)
                    raise TransferTimeout("lost")
                case "say it twice":
                    pass_on(command)
                    return pass_on(command)
                case "hold it back":
                    return b"\x90\x00"
                case "ask first":
                    pass_on(b"\0\x20\0\x81")
                    return pass_on(command)
                case "say an earlier one":
                    return pass_on(earlier[number // 2])
                case _:
                    return pass_on(command)[-2:]

        self.attempt(module_token, meddle)

    def test_left_alone_it_works(self, module_token: VirtualTokenUnderTest) -> None:
        count = self.attempt(module_token, lambda _, command, pass_on: pass_on(command))
        assert count >= 15

    @pytest.mark.parametrize("sw", ["9000", "9502", "6983", "63C0", "6982", "6A88"])
    def test_he_cannot_answer_for_the_token(
        self, module_token: VirtualTokenUnderTest, sw: str
    ) -> None:
        wire = wire_to(module_token)
        with token_behind(wire) as opened:
            wire.meddle = lambda *_: bytes.fromhex(sw)
            with pytest.raises(ChannelBroken):
                opened.session(module_token.pin)


class TestRecovery:
    def test_a_command_that_breaks_the_channel_fails_and_the_next_opens_another(
        self, token: VirtualTokenUnderTest
    ) -> None:
        wire = wire_to(token)
        with token_behind(wire) as opened, opened.session(token.pin) as session:
            wire.meddle = lambda _, command, pass_on: pass_on(command)[:-3] + b"\0\x90\0"
            with pytest.raises(ChannelBroken):
                _ = opened.counters
            wire.meddle = lambda _, command, pass_on: pass_on(command)
            assert opened.counters.power_ups
            with pytest.raises(LoginRequired):
                session.sign(payment())
            session.login(token.pin)
            assert sign(token, opened)

    def test_an_answer_lost_while_the_person_reads_takes_the_request_off_the_screen(
        self, token: VirtualTokenUnderTest
    ) -> None:
        wire = wire_to(token)
        lost: list[bytes] = []

        def lose_some(_: int, command: bytes, pass_on: Callable[[bytes], bytes]) -> bytes:
            answer = pass_on(command)
            if command[1] == 0x52 and not lost:
                lost.append(command)
                raise TransferTimeout("lost")
            return answer

        with token_behind(wire) as opened, opened.session(token.pin) as session:
            pending = session.sign(payment())
            wire.meddle = lose_some
            with pytest.raises(TransferTimeout):
                pending.result(timeout=10)
            assert len(lost) == 1
            assert token.virtual.panel.state.live_request is None
            assert sign(token, opened)

    def test_after_a_reset_another_channel_is_opened(self, token: VirtualTokenUnderTest) -> None:
        with token.open() as opened:
            opened.session(token.pin)
            opened.reset()
            assert not opened.pin.state.verified
            assert sign(token, opened)

    def test_a_command_that_is_too_long_is_not_sent_and_nothing_ends(
        self, token: VirtualTokenUnderTest
    ) -> None:
        wire = wire_to(token)
        with token_behind(wire) as opened, opened.session(token.pin):
            seen = len(wire.seen)
            with opened._driver.connection.hold(), pytest.raises(ApduInvalid):
                opened._driver.connection.transmit(b"\0\xdb\x3f\xff\0\xff\xff" + bytes(65535))
            assert len(wire.seen) == seen
            assert opened.pin.state.verified

    def test_a_card_that_opens_none_any_more_is_an_error_not_a_plain_conversation(
        self, token: VirtualTokenUnderTest
    ) -> None:
        wire = wire_to(token)
        with token_behind(wire) as opened:
            wire.meddle = lambda _, command, pass_on: (
                b"\x6d\x00" if command[:2] == b"\x80\x88" else pass_on(command)
            )
            with pytest.raises(TransportError):
                opened.reset()
            seen = len(wire.seen)
            with pytest.raises(ChannelBroken, match="opens no secure channel"):
                opened.session(token.pin)
            assert token.pin.encode() not in b"".join(wire.seen[seen:])


class TestProof:
    def test_an_application_information_changed_on_the_way_is_noticed(
        self, token: VirtualTokenUnderTest
    ) -> None:
        wire = wire_to(token)
        wire.meddle = lambda number, command, pass_on: (
            pass_on(command).replace(b"Shield", b"Shield"[::-1])
            if number == 0
            else pass_on(command)
        )
        with pytest.raises(TokenUntrusted, match="changed"):
            token_behind(wire)

    def certificates(self, token: VirtualTokenUnderTest) -> tuple[bytes, bytes]:
        nvram = token.virtual._nvram
        stored = nvram.channel_key()
        assert stored is not None
        return nvram.identity.device_certificate, stored.certificate

    def test_the_certificates_of_a_token_name_its_key(self, token: VirtualTokenUnderTest) -> None:
        key = channel_key(*self.certificates(token), token.virtual.serial)
        assert key.curve.name == "secp256r1"

    def test_those_of_another_token_do_not(
        self, token: VirtualTokenUnderTest, tmp_path: Path
    ) -> None:
        device, channel = self.certificates(token)
        serial = token.virtual.serial
        with VirtualTokenUnderTest.create(tmp_path / "other") as other:
            other_device, other_channel = self.certificates(other)
        with pytest.raises(TokenUntrusted, match="another token"):
            channel_key(other_device, other_channel, serial)
        for pair in ((device, other_channel), (other_device, channel)):
            with pytest.raises(TokenUntrusted):
                channel_key(*pair, serial)

    def test_a_key_that_the_device_has_not_signed_for_is_not_its(
        self, token: VirtualTokenUnderTest, tmp_path: Path
    ) -> None:
        serial = token.virtual.serial
        device, _ = self.certificates(token)
        create_token(tmp_path / "namesake", serial=serial)
        with Nvram.open(tmp_path / "namesake") as nvram:
            stored = nvram.channel_key()
        assert stored is not None
        with pytest.raises(TokenUntrusted, match="has not signed"):
            channel_key(device, stored.certificate, serial)

    def test_certificates_for_other_uses_do_not(
        self, token: VirtualTokenUnderTest, bench: Bench
    ) -> None:
        device, channel = self.certificates(token)
        serial = token.virtual.serial
        with token.open() as opened, opened.session(token.pin) as session:
            attested = opened.attest(session.private_keys().one())
        with pytest.raises(TokenUntrusted):
            channel_key(device, attested, serial)
        with pytest.raises(TokenUntrusted):
            channel_key(channel, channel, serial)

    @pytest.mark.parametrize("odd", ODD_CERTIFICATES)
    def test_certificates_that_nobody_can_read_do_not(self, odd: str) -> None:
        maker, made = der(authority("Test Bank CA")), ODD_CERTIFICATES[odd]
        for pair in ((maker, made), (made, maker), (made, made)):
            with pytest.raises(TokenUntrusted):
                channel_key(*pair, "V-1")

    @given(cut=st.integers(0, 300))
    @settings(suppress_health_check=list(HealthCheck), max_examples=20)
    def test_certificates_cut_short_do_not(
        self, module_token: VirtualTokenUnderTest, cut: int
    ) -> None:
        device, channel = self.certificates(module_token)
        for pair in ((device[:cut], channel), (device, channel[:cut])):
            with pytest.raises(TokenUntrusted):
                channel_key(*pair, module_token.virtual.serial)


class TestTrace:
    def test_a_trace_is_of_plain_commands_masked_and_replays_without_a_channel(
        self, token: VirtualTokenUnderTest, tmp_path: Path
    ) -> None:
        from ushield.testing.token import replay

        path = tmp_path / "trace"
        with path.open("w", encoding="utf-8") as stream, token.record(stream) as opened:
            opened.session(token.pin).close()
            counters = opened.counters
        text = path.read_text("utf-8")
        records = [
            one for one in read_trace(io.StringIO(text)).records if isinstance(one, Exchange)
        ]
        assert [one.command[:2].hex() for one in records[:3]] == ["00a4", "00a4", "00cb"]
        assert not any(one.command[0] & 0x04 for one in records)
        assert token.pin not in text
        assert token.pin.encode().hex() not in text
        with replay(path) as again:
            again.session(token.pin).close()
            assert again.counters == counters
