"""Every fault that can be ordered, in each direction: a typed error in time, and life goes on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Final, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transport.cards import OK, EchoCard, connect, device, echo
from ushield.ccid.errors import CommandAborted, CommandUnsupported, EndpointHalted, ParameterRefused
from ushield.errors import (
    InputInvalid,
    ProtocolViolation,
    SlotEmpty,
    TokenRemoved,
    TransferTimeout,
    TransportError,
)
from ushield.transport.usb.connection import UsbConnection
from ushield.virtual.usb import Direction, Fault, FaultKind, UsbFaults, VirtualUsbDevice

OUT, IN = Direction.OUT, Direction.IN
PATIENCE: Final = 0.15


@pytest.fixture
def plugged() -> VirtualUsbDevice:
    return device()


@pytest.fixture
def connection(plugged: VirtualUsbDevice) -> Iterator[UsbConnection]:
    opened = connect(plugged)
    yield opened
    opened.close()


def works(connection: UsbConnection) -> None:
    for data in (b"after", b"and after that"):
        assert connection.transmit(echo(data), timeout=10) == data + OK


Case: TypeAlias = tuple[FaultKind, Direction, dict[str, float], type[TransportError]]

ERRORS: Final[list[Case]] = [
    (FaultKind.DROP, OUT, {}, TransferTimeout),
    (FaultKind.DROP, IN, {}, TransferTimeout),
    (FaultKind.TRUNCATE, OUT, {"offset": 0}, TransferTimeout),
    (FaultKind.TRUNCATE, OUT, {"offset": 4}, TransferTimeout),
    (FaultKind.TRUNCATE, OUT, {"offset": 9}, ParameterRefused),
    (FaultKind.TRUNCATE, OUT, {"offset": -1}, ParameterRefused),
    (FaultKind.TRUNCATE, IN, {"offset": 0}, ProtocolViolation),
    (FaultKind.TRUNCATE, IN, {"offset": 9}, ProtocolViolation),
    (FaultKind.TRUNCATE, IN, {"offset": -1}, ProtocolViolation),
    (FaultKind.GARBLE, OUT, {"offset": 0}, CommandUnsupported),
    (FaultKind.GARBLE, OUT, {"offset": 1}, ParameterRefused),
    (FaultKind.GARBLE, OUT, {"offset": 4}, ParameterRefused),
    (FaultKind.GARBLE, OUT, {"offset": 5}, TransferTimeout),
    (FaultKind.GARBLE, OUT, {"offset": 6}, TransferTimeout),
    (FaultKind.GARBLE, OUT, {"offset": 8}, ParameterRefused),
    (FaultKind.GARBLE, IN, {"offset": 0}, ProtocolViolation),
    (FaultKind.GARBLE, IN, {"offset": 1}, ProtocolViolation),
    (FaultKind.GARBLE, IN, {"offset": 4}, ProtocolViolation),
    (FaultKind.GARBLE, IN, {"offset": 5}, TransferTimeout),
    (FaultKind.GARBLE, IN, {"offset": 6}, TransferTimeout),
    (FaultKind.GARBLE, IN, {"offset": 7}, ProtocolViolation),
    (FaultKind.GARBLE, IN, {"offset": 9}, ProtocolViolation),
    (FaultKind.DELAY, OUT, {"seconds": 2 * PATIENCE}, TransferTimeout),
    (FaultKind.DELAY, IN, {"seconds": 2 * PATIENCE}, TransferTimeout),
    (FaultKind.STALL, OUT, {}, EndpointHalted),
    (FaultKind.STALL, IN, {}, EndpointHalted),
]


@pytest.mark.parametrize(
    "case",
    ERRORS,
    ids=[f"{kind.value}-{way.value}-{where}" for kind, way, where, _ in ERRORS],
)
def test_a_fault_is_a_typed_error_and_the_next_command_works(
    plugged: VirtualUsbDevice, connection: UsbConnection, case: Case
) -> None:
    kind, direction, where, error = case
    plugged.faults.order(kind, direction, **where)  # type: ignore[arg-type]
    with pytest.raises(error):
        connection.transmit(echo(b"faulty"), timeout=PATIENCE)
    assert [(fault.kind, fault.direction) for fault in plugged.faults.happened] == [
        (kind, direction)
    ]
    works(connection)


HARMLESS: Final[list[tuple[FaultKind, Direction, dict[str, float]]]] = [
    (FaultKind.DUPLICATE, OUT, {}),
    (FaultKind.DUPLICATE, IN, {}),
    (FaultKind.STALE, OUT, {}),
    (FaultKind.STALE, IN, {}),
    (FaultKind.DELAY, OUT, {"seconds": 0.05}),
    (FaultKind.DELAY, IN, {"seconds": 0.05}),
]


@pytest.mark.parametrize(
    ("kind", "direction", "where"),
    HARMLESS,
    ids=[f"{kind.value}-{way.value}" for kind, way, _ in HARMLESS],
)
def test_a_frame_too_many_or_a_little_late_changes_no_answer(
    plugged: VirtualUsbDevice,
    connection: UsbConnection,
    kind: FaultKind,
    direction: Direction,
    where: dict[str, float],
) -> None:
    assert connection.transmit(echo(b"before"), timeout=10) == b"before" + OK
    plugged.faults.order(kind, direction, **where)  # type: ignore[arg-type]
    assert connection.transmit(echo(b"meanwhile"), timeout=10) == b"meanwhile" + OK
    assert len(plugged.faults.happened) == 1
    works(connection)


@pytest.mark.parametrize("direction", list(Direction))
def test_a_token_that_goes_away_in_the_middle_is_removed_and_stays_so(
    plugged: VirtualUsbDevice, connection: UsbConnection, direction: Direction
) -> None:
    plugged.faults.order(FaultKind.UNPLUG, direction)
    for _ in range(2):
        with pytest.raises(TokenRemoved):
            connection.transmit(echo(b"x"), timeout=10)
    connection.close()
    plugged.attach()
    again = connect(plugged)
    works(again)
    again.close()


@pytest.mark.parametrize("direction", list(Direction))
def test_a_late_answer_is_never_taken_for_the_next_commands(
    plugged: VirtualUsbDevice, connection: UsbConnection, direction: Direction
) -> None:
    for number in range(3):
        plugged.faults.order(FaultKind.DELAY, direction, seconds=0.1)
        with pytest.raises(TransferTimeout):
            connection.transmit(echo(b"late %d" % number), timeout=0.05)
        for pause in (0, 0.1):
            time.sleep(pause)
            data = b"in time %d %.1f" % (number, pause)
            assert connection.transmit(echo(data), timeout=10) == data + OK


def test_a_fault_may_hit_the_way_back_into_step_too(
    plugged: VirtualUsbDevice, connection: UsbConnection
) -> None:
    plugged.faults.order(FaultKind.DROP, IN)
    plugged.faults.order(FaultKind.GARBLE, IN, at=2, offset=6)
    plugged.faults.order(FaultKind.STALL, OUT, at=3)
    with pytest.raises(TransferTimeout):
        connection.transmit(echo(b"lost"), timeout=PATIENCE)
    works(connection)
    assert len(plugged.faults.happened) == 3


@pytest.mark.parametrize(
    ("kind", "offset"), [(FaultKind.TRUNCATE, 7), (FaultKind.GARBLE, 0), (FaultKind.GARBLE, 6)]
)
def test_an_abort_that_arrives_damaged_is_repeated(
    plugged: VirtualUsbDevice, connection: UsbConnection, kind: FaultKind, offset: int
) -> None:
    plugged.faults.order(FaultKind.DROP, OUT)
    plugged.faults.order(kind, OUT, at=2, offset=offset)
    with pytest.raises(TransferTimeout):
        connection.transmit(echo(b"lost"), timeout=PATIENCE)
    works(connection)
    assert len(plugged.faults.happened) == 2


def test_half_an_abort_is_told_once_and_then_made_whole(
    plugged: VirtualUsbDevice, connection: UsbConnection
) -> None:
    plugged.faults.order(FaultKind.DROP, OUT)
    plugged.faults.order(FaultKind.DUPLICATE, OUT, at=2)
    with pytest.raises(TransferTimeout):
        connection.transmit(echo(b"lost"), timeout=PATIENCE)
    with pytest.raises(CommandAborted):
        connection.transmit(echo(b"refused"), timeout=10)
    works(connection)


def test_a_device_that_never_comes_back_into_step_ends_each_command_in_its_time(
    plugged: VirtualUsbDevice, connection: UsbConnection
) -> None:
    for at in range(1, 31):
        plugged.faults.order(FaultKind.DROP, IN, at=at)
    for _ in range(3):
        with pytest.raises(TransferTimeout):
            connection.transmit(echo(b"lost"), timeout=PATIENCE)
    plugged.faults.clear()
    works(connection)


def test_faults_meet_the_message_they_were_ordered_for() -> None:
    faults = UsbFaults()
    faults.order(FaultKind.DROP, OUT, at=2)
    faults.order(FaultKind.STALL, OUT, at=2)
    faults.order(FaultKind.STALE, IN, at=1)
    met = [faults.next(OUT), faults.next(IN), faults.next(OUT), faults.next(OUT), faults.next(OUT)]
    assert met == [
        None,
        Fault(FaultKind.STALE, IN),
        Fault(FaultKind.DROP, OUT),
        Fault(FaultKind.STALL, OUT),
        None,
    ]
    assert len(faults.happened) == 3


def test_faults_cannot_be_ordered_for_the_past() -> None:
    with pytest.raises(InputInvalid):
        UsbFaults().order(FaultKind.DROP, OUT, at=0)
    with pytest.raises(InputInvalid):
        UsbFaults().order(FaultKind.DELAY, OUT, seconds=-1)


@given(st.binary(min_size=1, max_size=20), st.integers(-30, 30))
def test_garbling_changes_exactly_one_byte(message: bytes, offset: int) -> None:
    spoilt = Fault(FaultKind.GARBLE, IN, offset=offset).spoil(message)
    assert len(spoilt) == len(message)
    assert sum(a != b for a, b in zip(message, spoilt, strict=True)) == 1


_fault = st.builds(
    Fault,
    st.sampled_from([kind for kind in FaultKind if kind is not FaultKind.UNPLUG]),
    st.sampled_from(Direction),
    st.sampled_from([0.0, 0.01, 0.06]),
    st.integers(0, 9),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), _fault), min_size=1, max_size=4))
def test_under_any_faults_an_answer_is_the_commands_own_or_an_error(
    ordered: list[tuple[int, Fault]],
) -> None:
    card = EchoCard()
    plugged = device(card)
    connection = connect(plugged)
    for at, fault in ordered:
        plugged.faults.order(
            fault.kind, fault.direction, at=at, seconds=fault.seconds, offset=fault.offset
        )
    payloads = (b"command %d" % number for number in itertools.count())
    for payload in itertools.islice(payloads, 4):
        try:
            assert connection.transmit(echo(payload), timeout=0.05) == payload + OK
        except TransportError:
            continue
    plugged.faults.clear()
    payload = next(payloads)
    try:
        connection.transmit(echo(payload), timeout=10)
    except CommandAborted:
        pass  # A reader left with half an abort says so once.
    except (SlotEmpty, TokenRemoved):
        # The slot's number, garbled on both ways, makes a true "no card" of another slot's: whoever
        # believes that powers the card anew.
        connection.reset()
    assert connection.transmit(echo(payload), timeout=10) == payload + OK
    connection.close()


def test_a_card_that_seems_gone_by_two_faults_is_there_after_a_reset(
    plugged: VirtualUsbDevice, connection: UsbConnection
) -> None:
    for direction in Direction:
        plugged.faults.order(FaultKind.GARBLE, direction, offset=5)
    with pytest.raises(TokenRemoved):
        connection.transmit(echo(b"lost"), timeout=PATIENCE)
    with pytest.raises(TokenRemoved):
        connection.transmit(echo(b"lost"), timeout=PATIENCE)
    connection.reset()
    works(connection)
