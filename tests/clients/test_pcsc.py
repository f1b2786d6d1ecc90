"""ushield itself on a card that belongs to pcscd."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import PAYMENT, Enrolled, run, told
from tests.clients.conftest import (
    READER,
    Card,
    debian_version,
    in_reader,
    nothing_pending,
    python_version,
    wait,
)
from ushield import open_token
from ushield.drivers.base import Capability
from ushield.errors import (
    SeveralTokens,
    SlotEmpty,
    TokenBusy,
    TokenNotFound,
    TokenRemoved,
    TransferFailed,
    TransferTimeout,
)
from ushield.shield.events import PanelKey
from ushield.signing.progress import PageShown
from ushield.transaction import from_json
from ushield.transport.pcsc import PcscConnection, find_readers, open_pcsc
from ushield.transport.pcsc.errors import PcscUnavailable
from ushield.transport.pcsc.scheme import SCHEME
from ushield.transport.registry import open_spec
from ushield.virtual.card import ATR

pytestmark = pytest.mark.clients
Tell = Callable[[str, str], None]
SPEC = f"pcsc:{READER}"
SELECT = bytes.fromhex("00A4040008F055534849454C4400")
TRIES = bytes.fromhex("00200081")
RANDOM = bytes.fromhex("0084000008")
PIV_SELECT = bytes.fromhex("00A4040005A00000030800")


@pytest.fixture(autouse=True)
def versions(version: Tell) -> None:
    version("pcscd", debian_version("pcscd"))
    version("vsmartcard-vpcd", debian_version("vsmartcard-vpcd"))
    version("pyscard", python_version("pyscard"))


@pytest.fixture
def connection(card: Card) -> Iterator[PcscConnection]:
    opened = open_pcsc(READER)
    yield opened
    opened.close()


class Other:
    """Another program on the card: pyscard in a process of its own, told what to do by lines."""

    CODE = """
import sys
from smartcard import scard
_, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
handle = None
for line in sys.stdin:
    what, *words = line.split()
    answer = []
    if what == "connect":
        share = getattr(scard, "SCARD_SHARE_" + words[0])
        code, handle, _ = scard.SCardConnect(context, sys.argv[1], share, 3)
    elif what == "begin":
        code = scard.SCardBeginTransaction(handle)
    elif what == "reset":
        code, _ = scard.SCardReconnect(handle, scard.SCARD_SHARE_SHARED, 3, scard.SCARD_RESET_CARD)
    elif what == "end":
        code = scard.SCardEndTransaction(handle, scard.SCARD_LEAVE_CARD)
    elif what == "transmit":
        apdu = list(bytes.fromhex(words[0]))
        code, answer = scard.SCardTransmit(handle, scard.SCARD_PCI_T1, apdu)
    print(hex(code & 0xFFFFFFFF), bytes(answer[-2:]).hex() if code == 0 else "", flush=True)
if handle is not None:
    scard.SCardDisconnect(handle, scard.SCARD_LEAVE_CARD)
scard.SCardReleaseContext(context)
"""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE, READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def begin(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")

    def answer(self) -> str:
        """The return code, and the status word if there is one."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def waits(self, seconds: float) -> bool:
        """Whether it has no answer for so long."""
        assert self.process.stdout is not None
        return not select.select([self.process.stdout], [], [], seconds)[0]

    def do(self, order: str) -> str:
        self.begin(order)
        return self.answer()


@pytest.fixture
def other() -> Iterator[Other]:
    program = Other()
    yield program
    program.process.communicate(timeout=20)


def test_the_token_is_the_same_by_this_way(card: Card) -> None:
    with open_token(SPEC) as token:
        assert token.info.serial == card.token.serial
        assert token.pin.tries_left == 6
        assert Capability.PANEL_EVENTS not in token.info.capabilities


def test_what_fits_into_an_apdu_is_told_by_reader_and_card(connection: PcscConnection) -> None:
    assert connection.atr == ATR
    assert connection.limits.extended
    assert connection.transmit(SELECT)[-2:] == b"\x90\x00"
    long = b"\x80\x50\x01\x00" + (3000).to_bytes(3, "big") + bytes(3000) + b"\x00\x00"
    assert len(connection.transmit(long)) == 2


def test_the_reader_is_named_in_full_or_by_its_beginning(card: Card) -> None:
    assert [reader.name for reader in find_readers() if reader.has_card] == [READER]
    open_spec(SPEC).close()
    with pytest.raises(SeveralTokens) as caught:
        open_spec("pcsc:Virtual")
    assert set(caught.value.candidates) == {f"pcsc:{one.name}" for one in find_readers()}
    with pytest.raises(TokenNotFound, match="Real"):
        open_spec("pcsc:Real PCD")


def test_an_empty_reader_is_told_from_an_absent_one(pcscd: int) -> None:
    with pytest.raises(SlotEmpty):
        open_pcsc(READER)
    with pytest.raises(TokenNotFound):
        open_pcsc("No such reader 00 00")
    assert all(device.empty for device in SCHEME.find())


def test_the_only_card_need_not_be_named_though_readers_stand_empty(card: Card) -> None:
    listed = told(run("--json", "list"))["devices"]
    assert {one["spec"]: one["empty"] for one in listed if one["spec"].startswith("pcsc:")} == {
        SPEC: False,
        SPEC.removesuffix("0") + "1": True,
    }
    assert told(run("--json", "info"))["serial"] == card.token.serial


def test_a_card_that_is_pulled_out_is_removed_and_comes_back(
    card: Card, connection: PcscConnection
) -> None:
    card.pull()
    began = time.monotonic()
    with pytest.raises(TokenRemoved):
        connection.transmit(RANDOM)
    with pytest.raises(TokenRemoved):
        connection.reset()
    assert time.monotonic() - began < 8
    connection.close()
    card.put()
    open_pcsc(READER).close()


def test_a_reset_forgets_what_was_selected(connection: PcscConnection) -> None:
    connection.transmit(SELECT)
    assert connection.transmit(bytes.fromhex("00CB3FFF045C02DF2000"))[-2:] != b"\x6d\x00"
    assert connection.reset() == ATR
    assert connection.transmit(SELECT)[-2:] == b"\x90\x00"


def test_another_program_that_has_the_card_exclusively_makes_it_busy(
    card: Card, other: Other
) -> None:
    assert other.do("connect EXCLUSIVE") == "0x0"
    with pytest.raises(TokenBusy, match="another program"):
        open_pcsc(READER, timeout=2)
    result = run("--json", "--token", SPEC, "info")
    assert result.exit_code == 12


def test_another_program_s_transaction_is_waited_for_in_time(card: Card, other: Other) -> None:
    assert other.do("connect SHARED") == "0x0"
    assert other.do("begin") == "0x0"
    with ThreadPoolExecutor() as pool:
        opening = pool.submit(open_pcsc, READER, timeout=10)
        time.sleep(0.3)
        assert other.do("end") == "0x0"
        opening.result().close()


def test_a_reset_at_the_end_of_another_program_s_turn_is_no_obstacle(
    card: Card, other: Other
) -> None:
    assert other.do("connect SHARED") == "0x0"
    assert other.do("begin") == "0x0"
    with ThreadPoolExecutor() as pool:
        opening = pool.submit(open_pcsc, READER, timeout=10)
        time.sleep(0.3)
        assert other.do("reset") == "0x0"
        assert other.do("end") == "0x0"
        opening.result().close()


def test_what_was_given_up_while_opening_keeps_nothing(card: Card, other: Other) -> None:
    assert other.do("connect SHARED") == "0x0"
    assert other.do("begin") == "0x0"
    began = time.monotonic()
    with pytest.raises(TokenBusy, match=r"0\.3 seconds"):
        open_pcsc(READER, timeout=0.3)
    assert time.monotonic() - began < 1.5
    assert other.do("end") == "0x0"
    # The late opening is undone about now.
    eventually_opens()


def test_programs_that_share_the_card_wait_until_it_is_free(card: Card, other: Other) -> None:
    assert other.do("connect SHARED") == "0x0"
    connection = open_pcsc(READER)
    connection.transmit(SELECT)
    other.begin(f"transmit {PIV_SELECT.hex()}")
    assert other.waits(0.7)
    assert connection.transmit(TRIES) == b"\x63\xc6"
    connection.close()
    # It is told that there was a reset.
    assert other.answer() == "0x80100068"


def test_what_was_selected_and_verified_is_left_to_nobody(card: Card, other: Other) -> None:
    connection = open_pcsc(READER)
    connection.transmit(SELECT)
    assert connection.transmit(TRIES) == b"\x63\xc6"
    connection.close()
    assert other.do("connect SHARED") == "0x0"
    assert other.do(f"transmit {TRIES.hex()}") != "0x0 63c6"


def test_a_second_opening_is_busy(card: Card, connection: PcscConnection) -> None:
    with pytest.raises(TokenBusy):
        open_pcsc(READER, timeout=1)


def test_a_command_that_takes_too_long_is_given_up_and_its_late_answer_dropped(
    card: Card, connection: PcscConnection
) -> None:
    with card.stalled() as release:
        with pytest.raises(TransferTimeout):
            connection.transmit(SELECT, timeout=0.2)
        # The next one waits for the card, in its own time.
        with pytest.raises(TransferTimeout):
            connection.transmit(RANDOM, timeout=0.2)
        release()
    assert connection.transmit(TRIES, timeout=5) == b"\x63\xc6"


def test_a_stuck_card_lets_close_return_and_is_let_go_once_it_answers(
    card: Card, other: Other
) -> None:
    connection = open_pcsc(READER)
    with card.stalled() as release:
        failures: list[BaseException] = []

        def transmit() -> None:
            try:
                connection.transmit(SELECT, timeout=30)
            except TransferFailed as error:
                failures.append(error)

        waiting = threading.Thread(target=transmit)
        waiting.start()
        time.sleep(0.2)
        began = time.monotonic()
        connection.close()
        connection.close()
        assert time.monotonic() - began < 4
        waiting.join(2)
        assert failures
        release()
    with pytest.raises(TransferFailed, match="closed"):
        connection.transmit(SELECT)
    with pytest.raises(TransferFailed, match="closed"):
        connection.read_panel(5)
    # The thread that it was left to does it about now.
    eventually_opens()


@contextmanager
def halted(program: str) -> Iterator[None]:
    """The one process of this name does nothing meanwhile."""
    (pid,) = (
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/comm")
        if status.read_text() == f"{program}\n"
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_service_that_hangs_is_not_taken_for_another_program_with_the_card(card: Card) -> None:
    with halted("pcscd"):
        for spec in (SPEC, f"pcsc:{READER[:12]}"):
            with pytest.raises(PcscUnavailable, match="has not answered") as hanging:
                SCHEME.open(spec.partition(":")[2], timeout=0.5)
            assert "restart" in hanging.value.remedy
        with pytest.raises(PcscUnavailable, match="has not answered"):
            open_pcsc(READER, timeout=0.5)
        with pytest.raises(PcscUnavailable, match="has not answered"):
            SCHEME.find()
    eventually_opens()
    # What was given up ends with the next use after it came free.
    wait("service that answers", lambda: bool(SCHEME.find()) and nothing_pending())


def eventually_opens() -> None:
    end = time.monotonic() + 10
    while True:
        try:
            open_pcsc(READER).close()
        except TokenBusy:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Enrolled:
    """What the demo leaves: a token with a key, its certificate, and the bank's."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    made = run("--json", "demo", "--key", "p256", "--virtual-press", "ok", "--out", str(folder))
    facts = told(made)
    return Enrolled(folder, facts["pin"], facts["puk"])


@pytest.fixture
def enrolled(demo: Enrolled, pcscd: int) -> Iterator[tuple[Card, Enrolled]]:
    """It, in the reader."""
    with in_reader(demo.path, pcscd) as card:
        yield card, demo


def finger(card: Card, last: PanelKey, *, reading: float = 0) -> threading.Thread:
    """Pages to the end of what is shown, ``reading`` seconds in all, and presses the last key."""

    def press() -> None:
        end = time.monotonic() + 30
        while not card.token.panel.pages and time.monotonic() < end:
            time.sleep(0.01)
        for _ in card.token.panel.pages[1:]:
            time.sleep(reading / len(card.token.panel.pages))
            card.token.panel.press(PanelKey.DOWN)
        card.token.panel.press(last)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


def test_a_payment_is_confirmed_by_asking_for_its_state(enrolled: tuple[Card, Enrolled]) -> None:
    card, holder = enrolled
    payment = from_json(PAYMENT)
    with open_token(SPEC) as token, token.session(holder.pin) as session:
        pending = session.sign(payment)
        pressing = finger(card, PanelKey.OK, reading=1.5)
        shown = [event.page for event in pending.events(timeout=30) if isinstance(event, PageShown)]
        assert len(shown) > 1
        assert shown == sorted(shown)
        assert pending.result(timeout=30).transaction == payment
        pressing.join()


@pytest.mark.parametrize(("last", "code"), [(PanelKey.OK, 0), (PanelKey.CANCEL, 30)])
def test_the_command_signs_what_is_confirmed_on_the_token(
    enrolled: tuple[Card, Enrolled], last: PanelKey, code: int
) -> None:
    card, holder = enrolled
    signature = holder.folder / f"{last.name}.p7s"
    arguments = ["sign", holder.payment(), "-o", str(signature)]
    pressing = finger(card, last)
    result = run("--token", SPEC, *arguments, "--pin-file", holder.secret(holder.pin))
    pressing.join()
    assert result.exit_code == code, result.output
    assert signature.exists() == (code == 0)
    verify = ("verify", str(signature), "--ca", str(holder.ca), "--accept-virtual")
    if code == 0:
        assert run(*verify).exit_code == 0
