"""The token as a whole: its cable, its power, its file, and its USB frames."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.virtual.host import MESSAGE, OK, OTHER_PIN, PIN, PUK, Host
from ushield.algorithms import KeyAlgorithm
from ushield.errors import SpecInvalid, TokenBusy, TokenNotFound, TokenRemoved
from ushield.iso7816.apdu import CommandApdu
from ushield.iso7816.status import StatusWord
from ushield.shield.commands import AID, DataObject, Instruction, KeyUsageCode
from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.shield.objects import GenerateKey, KeyEntry, decode_keys
from ushield.shield.requests import Begin, Begun, Signed, encode_request_id
from ushield.transport.connection import CardConnection
from ushield.virtual.card import ATR
from ushield.virtual.clock import ManualClock, SystemClock
from ushield.virtual.create import create_token
from ushield.virtual.nvram import CutPower, PowerCut
from ushield.virtual.nvram.reader import connect_sqlite
from ushield.virtual.scheme import SCHEME
from ushield.virtual.token import VirtualToken, live_token

SELECT = CommandApdu(0, Instruction.SELECT, 4, 0, AID, 256).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    create_token(path, pin=PIN, puk=PUK)
    return path


@pytest.fixture
def token(path: Path) -> Iterator[VirtualToken]:
    with VirtualToken.open(path) as token:
        yield token


def test_an_open_token_is_found_by_its_path_in_this_process(path: Path) -> None:
    assert live_token(path) is None
    with VirtualToken.open(path) as token:
        assert live_token(path) is token
        assert live_token(os.path.relpath(path)) is token
        assert isinstance(token.clock, SystemClock)
        assert token.plugged
    assert live_token(path) is None
    assert not any(token.panel.screen)
    token.close()


def test_a_token_is_open_once_in_a_process(token: VirtualToken) -> None:
    with pytest.raises(TokenBusy):
        VirtualToken.open(token.path)
    assert live_token(token.path) is token
    assert token.card.power_on() == ATR


def test_a_token_that_cannot_be_opened_is_not_live(tmp_path: Path) -> None:
    with pytest.raises(TokenNotFound):
        VirtualToken.open(tmp_path / "none")
    assert live_token(tmp_path / "none") is None


_HOLDER = """
import sys
from ushield.virtual.token import VirtualToken
with VirtualToken.open(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_which_one_has_the_token(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(TokenBusy) as busy:
            SCHEME.open(str(path))
        assert busy.value.pid == holder.pid
    finally:
        holder.communicate(timeout=30)
    SCHEME.open(str(path)).close()


def test_pulling_the_token_blanks_it_and_putting_it_back_wakes_it(token: VirtualToken) -> None:
    token.unplug()
    token.unplug()
    assert not any(token.panel.screen)
    token.plug()
    token.plug()
    assert token.plugged
    assert token.panel.screen[0] == "虚拟U盾"


def test_moving_the_clock_ends_a_request_on_the_screen(tmp_path: Path) -> None:
    with Host.create(tmp_path) as host:
        host.begun(host.signing_key())
        host.clock.advance(60)
        assert host.panel.screen[0] == "虚拟U盾"
    host.clock.advance(1)


# Power cuts.


def _verify_right(host: Host) -> None:
    host.verify()


def _verify_wrong(host: Host) -> None:
    host.verify(OTHER_PIN)


def _generate(host: Host) -> None:
    host.generate()


def _sign(host: Host) -> None:
    host.signed(host.signing_key())


def _label(host: Host) -> None:
    host.verify()
    host.put_label(b"mine")


@pytest.mark.parametrize("use", [_verify_right, _verify_wrong, _generate, _sign, _label])
@pytest.mark.parametrize("number", [1, 2, 3, 5, 8])
def test_a_cut_anywhere_leaves_a_token_that_works_when_it_is_plugged_in_again(
    tmp_path: Path, use: Callable[[Host], None], number: int
) -> None:
    path = tmp_path / "token"
    create_token(path, pin=PIN, puk=PUK)
    with VirtualToken.open(path, clock=ManualClock(), faults=CutPower(number)) as token:
        try:
            use(Host(token))
        except PowerCut:
            token.unplug()
    with VirtualToken.open(path, clock=ManualClock()) as token:
        host = Host(token)
        assert 5 <= host.tries_left()[0] <= 6
        assert host.verify() == OK
        key = host.signing_key()
        assert host.signed(key).signature


def test_no_signature_leaves_when_the_power_fails_at_its_voucher(path: Path) -> None:
    with VirtualToken.open(path, clock=ManualClock()) as token:
        key = Host(token).signing_key()
    steps = 0
    signed = None
    while signed is None:
        steps += 1
        with VirtualToken.open(path, clock=ManualClock(), faults=CutPower(steps)) as token:
            try:
                host = Host(token)
                before = host.counters().signatures
                begun = host.begun(key)
                host.confirm()
                signed = Signed.decode(host.sign(begun.request_id).data)
            except PowerCut:
                continue
            assert host.counters().signatures == before + 1
    assert steps > 8, "power-up, two for the PIN, one for the signature: all were cut"


def test_over_usb_a_power_cut_is_a_token_that_went_away_and_comes_back(path: Path) -> None:
    with VirtualToken.open(path, faults=CutPower(5)) as token:
        with closing(SCHEME.open(str(path))) as connection:
            connection.transmit(SELECT)
            verify = CommandApdu(0, Instruction.VERIFY, 0, 0x81, PIN.encode()).encode()
            with pytest.raises(TokenRemoved):
                connection.transmit(verify)
            assert not token.plugged
        token.plug()
        with closing(SCHEME.open(str(path))) as connection:
            connection.transmit(SELECT)
            assert connection.transmit(verify) == b"\x90\x00"


# A full disk.


class Disk:
    """SQLite on a disk that can be full."""

    def __init__(self, path: str) -> None:
        self.connection = connect_sqlite(path)
        self.full = False

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterable[Any]:
        if self.full and sql.startswith(("UPDATE", "INSERT", "DELETE")):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return self.connection.execute(sql, parameters)

    def close(self) -> None:
        self.connection.close()


def test_a_full_disk_gives_no_signature_and_costs_only_the_request(path: Path) -> None:
    disks: list[Disk] = []

    def connect(file: str) -> Disk:
        disks.append(Disk(file))
        return disks[-1]

    with VirtualToken.open(path, clock=ManualClock(), connect=connect) as token:
        host = Host(token)
        key = host.signing_key()
        begun = host.begun(key)
        host.confirm()
        disks[0].full = True
        assert host.sign(begun.request_id).encode() == b"\x65\x81"
        host.start()
        assert host.tries_left() == (6, 10), "a full disk does not keep it from telling"
        assert host.verify() == StatusWord.MEMORY_FAILURE
        disks[0].full = False
        assert host.counters().signatures == 0
        assert host.signed(key).signature
        assert host.counters().signatures == 1


# Over its USB frames.


def _send(connection: CardConnection, cla: int, ins: int, p1p2: int, data: bytes) -> bytes:
    command = CommandApdu(cla, ins, p1p2 >> 8, p1p2 & 0xFF, data, 65536)
    answer = connection.transmit(command.encode(extended=True))
    assert answer[-2:] == b"\x90\x00"
    return answer[:-2]


def test_a_payment_is_shown_confirmed_and_signed_over_usb(path: Path) -> None:
    with VirtualToken.open(path) as token:
        host = Host(token)
        key = host.generate()
        host.enrol(key)
        with closing(SCHEME.open(str(path))) as connection:
            assert connection.atr == ATR
            assert connection.has_panel
            assert connection.device.serial == token.serial
            connection.transmit(SELECT)
            _send(connection, 0, Instruction.VERIFY, 0x81, PIN.encode())
            data = Begin(key.reference, MESSAGE).encode()
            begun = Begun.decode(_send(connection, 0x80, Instruction.BEGIN, 0, data))
            host.confirm()
            reports = [connection.read_panel(1.0) for _ in range(2 * begun.pages + 1)]
            events = [PanelEvent.decode(report) for report in reports if report is not None]
            assert events[0].kind is PanelEventKind.PAGE_SHOWN
            assert events[-1].kind is PanelEventKind.CONFIRMED
            assert {event.request_id for event in events} == {begun.request_id}
            data = encode_request_id(begun.request_id)
            signed = Signed.decode(_send(connection, 0x80, Instruction.SIGN, 0, data))
            assert signed.signature
        assert live_token(path) is token, "the connection did not close what it did not open"


def test_a_connection_closes_the_token_that_it_opened(path: Path) -> None:
    connection = SCHEME.open(str(path))
    token = live_token(path)
    assert token is not None
    assert connection.device.spec == f"virtual:{path}"
    assert connection.limits.extended
    with connection.hold():
        assert connection.transmit(SELECT)[-2:] == b"\x90\x00"
    token.panel.press(PanelKey.UP)
    report = connection.read_panel(1.0)
    assert report is not None
    assert PanelEvent.decode(report).kind is PanelEventKind.KEY_DOWN
    assert connection.reset() == ATR
    connection.close()
    connection.close()
    assert live_token(path) is None


def test_a_virtual_token_is_only_there_when_it_is_named(token: VirtualToken) -> None:
    assert token.plugged
    assert SCHEME.name == "virtual"
    assert SCHEME.find() == ()
    with pytest.raises(SpecInvalid):
        SCHEME.open("")


def test_a_token_that_is_pulled_is_not_found_by_name(token: VirtualToken) -> None:
    token.unplug()
    with pytest.raises(TokenNotFound):
        SCHEME.open(token.path)
    assert live_token(token.path) is token


def test_a_second_connection_finds_the_reader_claimed(token: VirtualToken) -> None:
    with closing(SCHEME.open(token.path)):
        with pytest.raises(TokenBusy) as busy:
            SCHEME.open(token.path)
        assert busy.value.pid == os.getpid()
    SCHEME.open(token.path).close()


def test_making_a_key_takes_as_long_as_it_takes_over_usb(path: Path) -> None:
    with VirtualToken.open(path) as token, closing(SCHEME.open(str(path))) as connection:
        connection.transmit(SELECT)
        _send(connection, 0, Instruction.VERIFY, 0x81, PIN.encode())
        data = GenerateKey(KeyAlgorithm.RSA_3072, KeyUsageCode.DISPLAY, "signing").encode()
        key = KeyEntry.decode(_send(connection, 0, Instruction.GENERATE_KEY_PAIR, 0, data))
        assert decode_keys(Host(token).get(DataObject.KEYS).data) == (key,)
