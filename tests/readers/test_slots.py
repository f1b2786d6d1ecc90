"""Slots and the cards in them: named, shared, pulled and put back."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable

import pytest
from usbip.core import OUT, Urb

from tests.cli.conftest import run, told
from tests.readers.bench import FAST, KINDS, Kind, change_card, echo_in, scheme
from tests.transport.cards import OK, SLOW, EchoCard, echo, long_answer
from ushield.ccid import ExchangeLevel
from ushield.ccid.messages import MessageType
from ushield.ccid.steps import Step
from ushield.errors import (
    CapabilityMissing,
    SeveralTokens,
    SlotEmpty,
    SpecInvalid,
    TokenBusy,
    TokenNotFound,
    TokenRemoved,
    TransferFailed,
    TransferTimeout,
)
from ushield.transport import registry
from ushield.transport.connection import CardConnection
from ushield.transport.usb.connection import open_usb
from ushield.transport.usb.link import UsbLink
from ushield.virtual.contacts import T0Contacts
from ushield.virtual.usb import Direction, FaultKind, ReaderModel, VirtualReader

EXTENDED = ExchangeLevel.EXTENDED_APDU


def two_slots(*cards: EchoCard | None) -> VirtualReader:
    reader = VirtualReader(ReaderModel.of(EXTENDED, slots=len(cards)), extension_interval=0.02)
    for slot, card in enumerate(cards):
        if card is not None:
            reader.insert(card, slot)
    return reader


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_commands_of_every_case_go_there_and_back(kind: Kind) -> None:
    card, _, connection = echo_in(kind)
    for length in (0, 1, 31, 32, 33, 100, 250):
        data = bytes(range(length))
        command = echo(data)[:4] if not length else echo(data) + b"\x00"
        assert connection.transmit(command) == data + OK
    assert connection.transmit(long_answer(256) + b"\x00")[-2:] == OK
    connection.close()
    assert not card.powered


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[7], KINDS[9]], ids=str)
def test_extended_commands_pass_where_reader_and_card_take_them(kind: Kind) -> None:
    _, _, connection = echo_in(kind)
    assert connection.limits.extended
    data = bytes(index % 251 for index in range(2000))
    assert connection.transmit(echo(data) + b"\x00\x00") == data + OK
    connection.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_slow_command_is_waited_for_behind_time_extensions(kind: Kind) -> None:
    card, _, connection = echo_in(kind)
    threading.Timer(0.2, card.release.set).start()
    assert connection.transmit(echo(b"touch", ins=SLOW) + b"\x00", timeout=10) == b"touch" + OK
    connection.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_card_pulled_out_is_removed_and_stays_so_when_it_is_put_back(kind: Kind) -> None:
    card, reader, connection = echo_in(kind)
    reader.remove()
    assert not card.powered
    with pytest.raises(TokenRemoved):
        connection.transmit(echo(b"x"))
    time.sleep(0.1)
    reader.insert(kind.contacts(card))
    with pytest.raises(TokenRemoved):
        connection.transmit(echo(b"x"))
    connection.close()
    again = scheme(reader).open("0-1")
    assert again.transmit(echo(b"x") + b"\x00") == b"x" + OK
    again.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_another_card_put_in_meanwhile_never_answers_for_the_first(kind: Kind) -> None:
    _, reader, connection = echo_in(kind)
    other = EchoCard()
    change_card(reader, kind.contacts(other))
    for _ in range(2):
        with pytest.raises(TokenRemoved):
            connection.transmit(echo(b"x"))
    assert other.seen == []
    connection.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_card_pulled_out_in_the_middle_of_a_command_ends_it(kind: Kind) -> None:
    card, reader, connection = echo_in(kind)

    def pull() -> None:
        assert card.entered.wait(5)
        reader.remove()

    thread = threading.Thread(target=pull)
    thread.start()
    with pytest.raises(TokenRemoved):
        connection.transmit(echo(b"x", ins=SLOW) + b"\x00", timeout=10)
    thread.join()
    card.release.set()
    connection.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_empty_slot_is_told_and_the_card_put_in_is_opened(kind: Kind) -> None:
    reader = kind.plug()
    bus = scheme(reader)
    with pytest.raises(SlotEmpty):
        bus.open("0-1")
    reader.insert(kind.contacts(EchoCard()))
    connection = bus.open("0-1")
    assert connection.transmit(echo(b"x") + b"\x00") == b"x" + OK
    connection.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_reset_settles_speed_and_protocol_anew(kind: Kind) -> None:
    card, _, connection = echo_in(kind)
    connection.transmit(echo(b"x") + b"\x00")
    before = card.power_ups
    assert connection.reset() == connection.atr
    assert connection.transmit(echo(b"y") + b"\x00") == b"y" + OK
    assert card.power_ups == before + 1
    connection.close()


def test_a_reader_of_single_characters_is_refused() -> None:
    reader = VirtualReader(ReaderModel.of(ExchangeLevel.CHARACTER))
    reader.insert(EchoCard())
    with pytest.raises(CapabilityMissing):
        scheme(reader).open("0-1")


def test_every_slot_has_a_spec_where_there_are_several() -> None:
    one, two = two_slots(EchoCard()), two_slots(EchoCard(), EchoCard(), None)
    bus = scheme(one, two)
    specs = [info.spec for info in bus.find()]
    assert specs == ["usb:0-1", "usb:0-2/0", "usb:0-2/1", "usb:0-2/2"]
    with pytest.raises(SeveralTokens) as several:
        bus.open("0-2")
    assert several.value.facts["candidates"] == tuple(specs[1:])
    with pytest.raises(SlotEmpty):
        bus.open("0-2/2")
    with pytest.raises(TokenNotFound, match="no slot 3"):
        bus.open("0-2/3")
    with pytest.raises(TokenNotFound, match="no slot 1"):
        bus.open("0-1/1")
    for address in ("0-2/", "0-2/x", "0-2/1000", "0-2/1/1", "/1"):
        with pytest.raises(SpecInvalid):
            bus.open(address)
    connection = bus.open("0-1/0")
    assert connection.device.spec == "usb:0-1"
    connection.close()


def test_a_slot_is_opened_by_its_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = EchoCard(), EchoCard()
    bus = scheme(two_slots(*cards))
    monkeypatch.setattr("ushield.transport.usb.scheme.usb_backend", lambda: bus.bus)
    connection = registry.open_spec("usb:0-1/1")
    assert connection.device.spec == "usb:0-1/1"
    connection.transmit(echo(b"second"))
    assert (cards[0].seen, len(cards[1].seen)) == ([], 1)
    connection.close()
    with pytest.raises(SeveralTokens):
        registry.open_spec()


def test_the_list_has_a_line_for_each_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = scheme(two_slots(EchoCard(), None), two_slots(EchoCard()))
    monkeypatch.setattr("ushield.transport.usb.scheme.usb_backend", lambda: bus.bus)
    listed = told(run("--json", "list"))["devices"]
    found = [device["spec"] for device in listed if device["spec"].startswith("usb:")]
    assert found == ["usb:0-1/0", "usb:0-1/1", "usb:0-2"]


def test_slots_of_one_reader_are_open_at_once_and_do_not_mix() -> None:
    cards = [EchoCard() for _ in range(3)]
    bus = scheme(two_slots(*cards))
    connections = [bus.open(f"0-1/{slot}") for slot in range(3)]
    failures: list[BaseException] = []

    def talk(slot: int) -> None:
        try:
            for number in range(50):
                data = bytes([slot, number]) * 40
                assert connections[slot].transmit(echo(data)) == data + OK
        except BaseException as error:  # noqa: BLE001 (for the thread that joins)
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(slot,)) for slot in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [{command[5] for command in card.seen} for card in cards] == [{0}, {1}, {2}]
    for connection in connections:
        connection.close()
    assert not any(card.powered for card in cards)


def test_opening_another_slot_sends_nothing_but_its_power_up() -> None:
    class Counted(VirtualReader):
        def handle_urb(self, urb: Urb, respond: Callable[[Urb], None] | None = None) -> Urb | None:
            if (urb.ep, urb.direction) == (1, OUT):
                sent.append(urb.buffer[0])
            answered: Urb | None = super().handle_urb(urb, respond)
            return answered

    sent: list[int] = []
    reader = Counted(ReaderModel.of(EXTENDED, slots=2))
    reader.insert(EchoCard(), 0)
    reader.insert(EchoCard(), 1)
    bus = scheme(reader)
    first = bus.open("0-1/0")
    sent.clear()
    second = bus.open("0-1/1")
    assert sent == [MessageType.ICC_POWER_ON]
    first.close()
    second.close()


def test_closing_one_slot_leaves_the_others_alone_and_the_last_frees_the_reader() -> None:
    cards = EchoCard(), EchoCard()
    bus = scheme(two_slots(*cards))
    for first, second in itertools.permutations(range(2)):
        connections = [bus.open("0-1/0"), bus.open("0-1/1")]
        connections[first].close()
        assert not cards[first].powered
        with pytest.raises(TransferFailed):
            connections[first].transmit(echo(b"x"))
        assert connections[second].transmit(echo(b"x")) == b"x" + OK
        again = bus.open(f"0-1/{first}")
        assert again.transmit(echo(b"y")) == b"y" + OK
        again.close()
        connections[second].close()
    # A claim that was left would be busy for another program; this one would only join in.
    connection = bus.open("0-1/0")
    with pytest.raises(TokenBusy):
        bus.open("0-1/0")
    connection.close()
    connection.close()


def test_closing_a_slot_waits_for_another_ones_command_and_ends_its_own() -> None:
    cards = EchoCard(), EchoCard()
    bus = scheme(two_slots(*cards))
    busy, idle = bus.open("0-1/0"), bus.open("0-1/1")
    answers: list[bytes] = []
    thread = threading.Thread(
        target=lambda: answers.append(busy.transmit(echo(b"x", ins=SLOW), timeout=20))
    )
    thread.start()
    assert cards[0].entered.wait(5)
    threading.Timer(0.2, cards[0].release.set).start()
    idle.close()
    thread.join()
    assert answers == [b"x" + OK]
    assert not cards[1].powered
    cards[0].release.clear()
    cards[0].entered.clear()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            busy.transmit(echo(b"x", ins=SLOW), timeout=20)
        except TransferFailed as error:
            ended.append(error)

    other = bus.open("0-1/1")
    thread = threading.Thread(target=wait)
    thread.start()
    assert cards[0].entered.wait(5)
    busy.close()
    thread.join(5)
    assert len(ended) == 1
    assert other.transmit(echo(b"y")) == b"y" + OK
    cards[0].release.set()
    other.close()


def test_closing_a_slot_waits_shortly_for_a_thread_that_keeps_another() -> None:
    cards = EchoCard(), EchoCard()
    bus = scheme(two_slots(*cards))
    kept, closed = bus.open("0-1/0"), bus.open("0-1/1")
    held, free = threading.Event(), threading.Event()

    def keep() -> None:
        with kept.hold():
            held.set()
            free.wait(30)
            assert kept.transmit(echo(b"x")) == b"x" + OK

    keeper = threading.Thread(target=keep)
    keeper.start()
    assert held.wait(5)
    began = time.monotonic()
    closed.close()
    assert time.monotonic() - began < 5
    assert cards[1].powered
    free.set()
    keeper.join()
    kept.close()
    # It could not be asked to do so while the other thread might have had a command under way.
    assert not cards[0].powered
    assert not cards[1].powered


def test_a_slot_opened_again_keeps_its_power_though_it_was_left_on() -> None:
    cards = EchoCard(), EchoCard()
    bus = scheme(two_slots(*cards))
    kept, closed = bus.open("0-1/0"), bus.open("0-1/1")
    held, free = threading.Event(), threading.Event()

    def keep() -> None:
        with kept.hold():
            held.set()
            free.wait(30)

    keeper = threading.Thread(target=keep)
    keeper.start()
    assert held.wait(5)
    closed.close()
    free.set()
    keeper.join()
    again = bus.open("0-1/1")
    kept.close()
    assert again.transmit(echo(b"y")) == b"y" + OK
    again.close()
    assert not cards[1].powered


def test_a_second_thread_that_closes_does_not_leave_the_card_powered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = EchoCard()
    connection = scheme(two_slots(card)).open("0-1")
    second = threading.Thread(target=connection.close)
    perform = UsbLink.perform

    def perform_late(link: UsbLink, step: Step) -> bytes | None:
        if second.ident is None:
            second.start()
            time.sleep(0.1)
        return perform(link, step)

    monkeypatch.setattr(UsbLink, "perform", perform_late)
    connection.close()
    second.join(5)
    assert not second.is_alive()
    assert not card.powered


def test_a_device_that_was_opened_is_not_opened_again_through_the_same_object() -> None:
    card = EchoCard()
    (found,) = scheme(two_slots(card)).readers()
    connection = open_usb(found.device)
    with pytest.raises(TokenBusy, match="already"):
        open_usb(found.device)
    assert connection.transmit(echo(b"x")) == b"x" + OK
    connection.close()
    again = open_usb(found.device)
    assert again.transmit(echo(b"y")) == b"y" + OK
    again.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking is POSIX'")
def test_a_forked_process_leaves_what_the_first_has_open_alone() -> None:
    card = EchoCard()
    connection = scheme(two_slots(card)).open("0-1")
    held, free = threading.Event(), threading.Event()

    def keep() -> None:
        with connection.hold():
            held.set()
            free.wait(30)

    keeper = threading.Thread(target=keep)
    keeper.start()
    assert held.wait(5)
    child = os.fork()
    if not child:
        try:
            began = time.monotonic()
            uses = (lambda: connection.transmit(echo(b"x")), lambda: connection.read_panel(10))
            told = [failure_of(use) for use in uses]
            connection.close()
            fine = all("opened it" in one for one in told) and card.powered
            os._exit(0 if fine and time.monotonic() - began < 5 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    free.set()
    keeper.join()
    assert connection.transmit(echo(b"x")) == b"x" + OK
    connection.close()
    assert not card.powered


def failure_of(use: Callable[[], object]) -> str:
    try:
        use()
    except TransferFailed as error:
        return str(error)
    return ""


def test_a_silent_command_in_one_slot_is_no_answer_in_another() -> None:
    cards = EchoCard(), EchoCard()
    reader = two_slots(*cards)
    bus = scheme(reader)
    one, two = bus.open("0-1/0"), bus.open("0-1/1")
    reader.faults.order(FaultKind.DELAY, Direction.IN, seconds=0.3)
    with pytest.raises(TransferTimeout):
        one.transmit(echo(b"late"), timeout=0.1)
    assert two.transmit(echo(b"mine")) == b"mine" + OK
    assert one.transmit(echo(b"next")) == b"next" + OK
    one.close()
    two.close()


def test_pulling_one_card_leaves_the_other_at_work() -> None:
    cards = EchoCard(), EchoCard()
    reader = two_slots(*cards)
    bus = scheme(reader)
    one, two = bus.open("0-1/0"), bus.open("0-1/1")
    reader.remove(0)
    assert two.transmit(echo(b"x")) == b"x" + OK
    with pytest.raises(TokenRemoved):
        one.transmit(echo(b"x"))
    one.close()
    two.close()


def test_a_failed_opening_leaves_the_other_slot_at_work() -> None:
    card = EchoCard()
    reader = two_slots(card, None)
    bus = scheme(reader)
    connection = bus.open("0-1/0")
    with pytest.raises(SlotEmpty):
        bus.open("0-1/1")
    assert connection.transmit(echo(b"x")) == b"x" + OK
    reader.detach()
    with pytest.raises(TokenRemoved):
        connection.transmit(echo(b"x"))
    with pytest.raises(TokenNotFound):
        bus.open("0-1/1")
    connection.close()


@pytest.mark.parametrize("use", [lambda one: one.reset(), lambda one: one.transmit(echo(b"x"))])
def test_a_reader_pulled_and_put_back_is_opened_anew(
    use: Callable[[CardConnection], object],
) -> None:
    reader = two_slots(EchoCard(), EchoCard())
    bus = scheme(reader)
    stale = bus.open("0-1/0")
    reader.detach()
    reader.attach()
    with pytest.raises(TokenRemoved):
        use(stale)
    fresh = bus.open("0-1/0")
    assert fresh.transmit(echo(b"x")) == b"x" + OK
    stale.close()
    assert fresh.transmit(echo(b"x")) == b"x" + OK
    fresh.close()


def test_a_fast_card_gets_its_speed_by_pps_and_the_reader_is_told() -> None:
    class Heard(T0Contacts):
        def transmit(self, command: bytes) -> bytes:
            heard.append(command)
            return super().transmit(command)

    heard: list[bytes] = []
    reader = KINDS[5].plug()
    reader.insert(Heard(EchoCard(), fi_di=FAST))
    connection = scheme(reader).open("0-1")
    # PPSS, PPS0 for T=0 with PPS1, which is TA1, and PCK.
    assert heard == [bytes.fromhex("FF10957A")]
    assert connection.transmit(echo(b"x") + b"\x00") == b"x" + OK
    connection.close()


@pytest.mark.parametrize("use", [lambda one: one.reset(), lambda one: one.transmit(echo(b"x"))])
def test_a_card_that_the_reader_powers_by_itself_is_known_by_the_notice(
    use: Callable[[CardConnection], object],
) -> None:
    kind = next(kind for kind in KINDS if "by itself" in kind.name)
    _, reader, connection = echo_in(kind)
    other = EchoCard()
    change_card(reader, other)
    assert other.powered
    for _ in range(2):
        with pytest.raises(TokenRemoved):
            use(connection)
    assert (other.seen, other.power_ups) == ([], 1)
    connection.close()
    again = scheme(reader).open("0-1")
    assert again.transmit(echo(b"x")) == b"x" + OK
    again.close()
