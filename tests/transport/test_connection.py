"""A card on USB: its exchange, its lock, its ends. The device is the virtual one throughout."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.transport.cards import ATR, OK, SLOW, EchoCard, connect, device, echo, long_answer
from ushield.ccid.messages import CommandStatus, MessageType, data_block
from ushield.errors import (
    ApduInvalid,
    TokenBusy,
    TokenRemoved,
    TransferFailed,
    TransferTimeout,
    TransportError,
)
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.channel import ApduChannel
from ushield.transport.connection import CardConnection, DeviceInfo
from ushield.transport.usb.connection import UsbConnection, open_usb
from ushield.transport.usb.discovery import find_readers
from ushield.virtual.usb import Direction, FaultKind, VirtualBackend, VirtualUsbDevice

REPORT: Final = b"sixteen bytes ok"


@pytest.fixture
def card() -> EchoCard:
    return EchoCard()


@pytest.fixture
def plugged(card: EchoCard) -> VirtualUsbDevice:
    return device(card)


@pytest.fixture
def connection(card: EchoCard, plugged: VirtualUsbDevice) -> Iterator[UsbConnection]:
    opened = connect(plugged)
    yield opened
    card.release.set()
    opened.close()


class Caller:
    """A call in a thread of its own, and what came of it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.result: object = None
        self.error: TransportError | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except TransportError as error:
            self.error = error

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> Caller:
        self._thread.join(20)
        assert not self.waits, "a thread is stuck"
        return self


def test_an_open_connection_tells_card_device_and_limits(connection: UsbConnection) -> None:
    as_protocol: CardConnection = connection
    assert as_protocol.atr == ATR
    assert as_protocol.device == DeviceInfo("usb:0-1", vendor_id=0x1209, product_id=0x5348)
    assert as_protocol.limits.extended
    assert as_protocol.limits.max_command >= 4096
    assert as_protocol.has_panel


@pytest.mark.parametrize("length", [1, 15, 53, 54, 55, 117, 255, 256, 4096, 65535])
def test_commands_of_any_length_go_there_and_back(connection: UsbConnection, length: int) -> None:
    data = bytes(index & 0xFF for index in range(length))
    assert connection.transmit(echo(data)) == data + OK


@pytest.mark.parametrize("length", [100, 261, 262, 3000])
def test_a_reader_with_small_messages_gets_and_gives_parts(card: EchoCard, length: int) -> None:
    connection = connect(device(card, max_message_length=271))
    data = bytes(index & 0xFF for index in range(length))
    assert connection.transmit(echo(data)) == data + OK
    assert connection.transmit(long_answer(length)) == data + OK
    assert len(card.seen) == 2
    connection.close()


def test_what_is_no_command_is_refused_before_anything_is_sent(
    connection: UsbConnection, card: EchoCard
) -> None:
    with pytest.raises(ApduInvalid):
        connection.transmit(b"\x00\x88\x00")
    assert card.seen == []


def test_each_thread_gets_the_answers_to_its_own_commands(connection: UsbConnection) -> None:
    def talk(name: int) -> list[int]:
        wrong = []
        for number in range(100):
            data = bytes([name, number]) * 8
            if connection.transmit(echo(data)) != data + OK:
                wrong.append(number)
        return wrong

    callers = [Caller(lambda name=name: talk(name)) for name in range(4)]  # type: ignore[misc]
    assert [caller.join().result for caller in callers] == [[], [], [], []]


def test_commands_held_together_are_not_interrupted(
    connection: UsbConnection, card: EchoCard
) -> None:
    with connection.hold(), connection.hold():
        connection.transmit(echo(b"first"))
        other = Caller(lambda: connection.transmit(echo(b"other")))
        connection.transmit(echo(b"second"))
        assert other.waits
    assert other.join().result == b"other" + OK
    assert card.seen == [echo(b"first"), echo(b"second"), echo(b"other")]


def test_waiting_for_another_thread_ends_with_the_commands_time(
    connection: UsbConnection, card: EchoCard
) -> None:
    with connection.hold():
        other = Caller(lambda: connection.transmit(echo(b"other"), timeout=0.05)).join()
    assert isinstance(other.error, TokenBusy)
    assert other.error.pid == os.getpid()
    assert card.seen == []


def test_a_whole_exchange_waits_for_another_thread_no_longer_than_its_own_time(
    connection: UsbConnection,
) -> None:
    channel = ApduChannel(connection)
    with connection.hold():
        other = Caller(lambda: channel.send(CommandApdu(0, 0x88), timeout=0.05)).join()
    assert isinstance(other.error, TokenBusy)


def test_a_slow_command_is_waited_for(connection: UsbConnection, card: EchoCard) -> None:
    caller = Caller(lambda: connection.transmit(echo(b"key", ins=SLOW), timeout=20))
    assert card.entered.wait(5)
    card.release.set()
    assert caller.join().result == b"key" + OK


def test_time_extensions_do_not_stretch_the_callers_time(
    connection: UsbConnection, card: EchoCard
) -> None:
    with pytest.raises(TransferTimeout):
        connection.transmit(echo(b"key", ins=SLOW), timeout=0.1)
    following = Caller(lambda: connection.transmit(echo(b"next"), timeout=20))
    card.release.set()
    assert following.join().result == b"next" + OK


def test_a_reset_powers_the_card_anew(connection: UsbConnection, card: EchoCard) -> None:
    assert connection.reset() == ATR
    assert card.power_ups == 2
    assert connection.transmit(echo(b"x")) == b"x" + OK


def test_panel_events_are_read_while_commands_go_on(
    connection: UsbConnection, plugged: VirtualUsbDevice
) -> None:
    reader = Caller(lambda: connection.read_panel(20))
    for number in range(30):
        data = bytes([number])
        assert connection.transmit(echo(data)) == data + OK
    assert reader.waits
    plugged.report(REPORT)
    assert reader.join().result == REPORT


def test_panel_events_are_read_while_a_slow_command_runs(
    connection: UsbConnection, plugged: VirtualUsbDevice, card: EchoCard
) -> None:
    caller = Caller(lambda: connection.transmit(echo(b"key", ins=SLOW), timeout=20))
    assert card.entered.wait(5)
    plugged.report(REPORT)
    assert connection.read_panel(5) == REPORT
    card.release.set()
    assert caller.join().result == b"key" + OK


@pytest.mark.parametrize("timeout", [0, 0.02, 0.3])
def test_no_panel_event_is_no_error(connection: UsbConnection, timeout: float) -> None:
    assert connection.read_panel(timeout) is None


def test_several_threads_may_wait_for_the_panel(
    connection: UsbConnection, plugged: VirtualUsbDevice
) -> None:
    readers = [Caller(lambda: connection.read_panel(1)) for _ in range(3)]
    plugged.report(REPORT)
    assert sorted(str(reader.join().result) for reader in readers) == sorted(
        ["None", "None", str(REPORT)]
    )


def test_a_halted_panel_is_an_error_once(
    connection: UsbConnection, plugged: VirtualUsbDevice
) -> None:
    panel = plugged.interfaces[1]
    panel.reports.stall()
    with pytest.raises(TransferFailed):
        connection.read_panel(1)
    plugged.report(REPORT)
    assert connection.read_panel(5) == REPORT


class NoPanel(VirtualUsbDevice):
    """The same token with its second interface left out of the descriptors."""

    def config_bytes(self) -> bytes:
        whole = bytearray(super().config_bytes()[: -(9 + 7)])
        whole[2:4] = len(whole).to_bytes(2, "little")
        whole[4] = 1
        return bytes(whole)


def test_a_reader_without_a_panel_has_no_events(card: EchoCard) -> None:
    plugged = NoPanel(card, vendor_id=1, product_id=2, manufacturer="", product="", serial="")
    connection = connect(plugged)
    assert not connection.has_panel
    assert connection.transmit(echo(b"x")) == b"x" + OK
    assert connection.read_panel(0.01) is None
    reader = Caller(lambda: connection.read_panel(20))
    connection.close()
    assert isinstance(reader.join().error, TransferFailed)


def test_pulling_the_token_ends_whatever_waits_for_it(
    connection: UsbConnection, plugged: VirtualUsbDevice, card: EchoCard
) -> None:
    command = Caller(lambda: connection.transmit(echo(b"key", ins=SLOW), timeout=30))
    panel = Caller(lambda: connection.read_panel(30))
    assert card.entered.wait(5)
    plugged.detach()
    assert isinstance(command.join().error, TokenRemoved)
    assert isinstance(panel.join().error, TokenRemoved)
    uses: tuple[Callable[[], object], ...] = (
        lambda: connection.transmit(echo(b"x")),
        lambda: connection.read_panel(1),
        connection.reset,
    )
    for use in uses:
        with pytest.raises(TokenRemoved):
            use()
    connection.close()
    connection.close()


def test_a_token_put_in_again_is_opened_again(
    connection: UsbConnection, plugged: VirtualUsbDevice
) -> None:
    plugged.detach()
    plugged.attach()
    with pytest.raises(TokenRemoved):
        connection.transmit(echo(b"x"))
    again = connect(plugged)
    assert again.transmit(echo(b"x")) == b"x" + OK
    again.close()


def test_closing_powers_the_card_off_and_frees_the_device(
    plugged: VirtualUsbDevice, card: EchoCard
) -> None:
    for _ in range(3):
        connection = connect(plugged)
        assert card.powered
        connection.close()
        connection.close()
        assert not card.powered


def test_a_closed_connection_says_so(connection: UsbConnection) -> None:
    connection.close()
    uses: tuple[Callable[[], object], ...] = (
        lambda: connection.transmit(echo(b"x")),
        lambda: connection.read_panel(1),
        connection.reset,
    )
    for use in uses:
        with pytest.raises(TransferFailed, match="closed"):
            use()


def test_closing_ends_what_other_threads_wait_for(
    connection: UsbConnection, card: EchoCard
) -> None:
    command = Caller(lambda: connection.transmit(echo(b"key", ins=SLOW), timeout=30))
    panel = Caller(lambda: connection.read_panel(30))
    assert card.entered.wait(5)
    closer = Caller(connection.close).join()
    assert closer.error is None
    assert isinstance(command.join().error, TransferFailed)
    assert isinstance(panel.join().error, TransferFailed)
    card.release.set()


def test_closing_does_not_wait_for_a_thread_that_keeps_others_out(
    plugged: VirtualUsbDevice, card: EchoCard
) -> None:
    connection = connect(plugged)
    with connection.hold():
        assert Caller(connection.close).join().error is None
        assert not card.powered
        with pytest.raises(TransferFailed, match="closed"):
            connection.transmit(echo(b"x"))
    connect(plugged).close()


class LongWait(VirtualUsbDevice):
    """An echo token that asks for 255 times the usual wait, and is silent then."""

    def _answer(self, frame: bytes) -> None:
        if frame[0] == MessageType.DATA_BLOCK and self.asking:
            frame = data_block(0, frame[6], b"", CommandStatus.TIME_EXTENSION, 255)
        super()._answer(frame)
        self.asked.set()

    asking = False

    def __init__(self) -> None:
        self.asked = threading.Event()
        super().__init__(
            EchoCard(), vendor_id=1, product_id=2, manufacturer="", product="", serial=""
        )


def test_closing_does_not_wait_as_long_as_the_device_asks_for() -> None:
    plugged = LongWait()
    connection = connect(plugged)
    plugged.asking = True
    plugged.asked.clear()
    command = Caller(lambda: connection.transmit(echo(b"x"), timeout=600))
    assert plugged.asked.wait(5)
    assert Caller(connection.close).join().error is None
    assert isinstance(command.join().error, TransferFailed)


def test_a_wait_ends_with_its_time_and_not_before(plugged: VirtualUsbDevice) -> None:
    connection = connect(plugged)
    plugged.faults.order(FaultKind.DELAY, Direction.IN, seconds=0.6)
    assert connection.transmit(echo(b"late"), timeout=20) == b"late" + OK
    connection.close()


def test_what_an_earlier_program_left_unread_answers_nothing_of_ours(
    plugged: VirtualUsbDevice,
) -> None:
    # One bus for both: it does not configure the device again, which would empty its pipes.
    bus = VirtualBackend([plugged])
    (reader,) = find_readers(bus)
    link = open_usb(reader.device)._link
    # Its process dies here: nothing is closed properly, and answers lie in the device.
    for number in range(5):
        link._device.write(1, b"\x65\x00\x00\x00\x00\x00" + bytes([number]) + bytes(3), 1000)
    link.close()
    (reader,) = find_readers(bus)
    second = open_usb(reader.device)
    assert second.transmit(echo(b"mine")) == b"mine" + OK
    second.close()


class SlowToStop(EchoCard):
    """Takes its time to lose its power."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = threading.Event()

    def power_off(self) -> None:
        if self.powered:
            self.stopping.set()
            assert self.release.wait(30)
        super().power_off()


def test_while_it_closes_a_connection_is_closed_already() -> None:
    card = SlowToStop()
    connection = connect(device(card))
    with connection.hold():
        closing = Caller(connection.close)
        assert card.stopping.wait(5)
        with pytest.raises(TransferFailed, match="closed"):
            connection.transmit(echo(b"x"))
        with pytest.raises(TransferFailed, match="closed"):
            connection.read_panel(5)
        card.release.set()
        assert closing.join().error is None
    assert card.seen == []
