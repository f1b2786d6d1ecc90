"""Login and change of a PIN on the reader's keys, by the drivers: the PIN never is in the host."""

from __future__ import annotations

import dataclasses
import io
import threading
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run, told
from tests.readers.bench import KINDS, Kind, TokenAsCard
from tests.readers.test_pin_pad import BOTH, with_pad
from tests.signing.conftest import payment
from ushield.bank import TrustStore, verify_transaction
from ushield.ccid.descriptor import PinSupport
from ushield.drivers.pad import PadDriver
from ushield.drivers.piv import PivDriver
from ushield.errors import (
    CapabilityMissing,
    LastTryRefused,
    PinEntryCancelled,
    PinEntryTimedOut,
    PinIncorrect,
    PinInvalid,
    PinLocked,
)
from ushield.iso7816.trace import TraceHeader, TraceWriter
from ushield.iso7816.traffic import RecordingConnection, TrafficLog
from ushield.keystore.flags import TokenFlag
from ushield.pin import PinReference
from ushield.signing.opening import token_behind
from ushield.transport.pin_pad import PinBlock
from ushield.transport.usb.pin_pad import UsbPinPad
from ushield.virtual.usb import VirtualBackend, VirtualReader

PIN, NEW_PIN, WRONG = "135790", "86420975", "135791"
OF_A_LEVEL = [
    kind for kind in KINDS if kind.name in {"extended APDU", "short APDU", "TPDU T=0", "TPDU T=1"}
]


class Tap(VirtualBackend):
    """A bus that remembers every byte that the host wrote or read."""

    def __init__(self, reader: VirtualReader) -> None:
        super().__init__([reader])
        self.heard = b""

    def bulk_write(
        self, dev_handle: Any, ep: int, intf: int, data: array[int], timeout: int
    ) -> int:
        self.heard += data.tobytes()
        return super().bulk_write(dev_handle, ep, intf, data, timeout)

    def bulk_read(self, dev_handle: Any, ep: int, intf: int, buff: array[int], timeout: int) -> int:
        count = super().bulk_read(dev_handle, ep, intf, buff, timeout)
        self.heard += buff.tobytes()[:count]
        return count


@dataclasses.dataclass
class Counter:
    """A pinpad reader on a counter, with somebody at its keys who was told what to enter."""

    kind: Kind
    card: TokenAsCard
    reader: VirtualReader

    def enter(self, *entries: str) -> threading.Thread:
        """Enter these, each when it is asked for; ``cancel`` is the key."""

        def press() -> None:
            names = ["PIN"] if len(entries) == 1 else ["old PIN", "new PIN", "new PIN again"]
            for name, digits in zip(names, entries, strict=True):
                self.reader.pad.wait_for(name)
                if digits == "cancel":
                    self.reader.pad.press_cancel()
                    return
                self.reader.pad.type(digits)
                self.reader.pad.press_ok()

        person = threading.Thread(target=press)
        person.start()
        return person


@pytest.fixture(params=OF_A_LEVEL, ids=str)
def counter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counter]:
    kind = with_pad(request.param)
    with TokenAsCard.create(tmp_path / "card.token", pin=PIN) as card, kind.plug() as reader:
        assert isinstance(card, TokenAsCard)
        card.put(kind, reader)
        yield Counter(kind, card, reader)


@pytest.fixture
def simple(tmp_path: Path) -> Iterator[Counter]:
    kind = with_pad(OF_A_LEVEL[1])
    with TokenAsCard.create(tmp_path / "card.token", pin=PIN) as card, kind.plug() as reader:
        assert isinstance(card, TokenAsCard)
        card.put(kind, reader)
        yield Counter(kind, card, reader)


def test_a_payment_is_signed_without_a_pin_in_the_host(counter: Counter) -> None:
    card = counter.card
    card.enrol()
    tap, lines = Tap(counter.reader), io.StringIO()
    bus = dataclasses.replace(card.bus, bus=tap)
    connection = bus.open("0-1")
    writer = TraceWriter(lines)
    writer.begin(TraceHeader(connection.atr, connection.limits, connection.has_panel))
    recorded = RecordingConnection(connection, TrafficLog(writer.write))
    with token_behind(recorded) as token, token.session() as session:
        assert token.flags & TokenFlag.PROTECTED_AUTHENTICATION_PATH
        person = counter.enter(PIN)
        session.login()
        person.join()
        assert session.logged_in
        pending = session.sign(payment())
        card.panel.expect(payee="张三").press_ok()
        signature = pending.result(timeout=10)
        person = counter.enter(PIN, NEW_PIN, NEW_PIN)
        token.pin.change()
        person.join()
    trust = TrustStore.load(card.authority.ca_pem)
    assert verify_transaction(signature.der, trust, accept_virtual=True)
    for pin in (PIN, NEW_PIN):
        assert pin.encode() not in tap.heard
        assert pin.encode().hex() not in lines.getvalue()
    # It was recorded that there was an entry, and which.
    assert "00200081" in lines.getvalue()
    with card.open() as token, token.session(NEW_PIN):
        pass


def test_a_wrong_pin_entered_there_spends_a_try_and_the_last_one_is_guarded(
    counter: Counter,
) -> None:
    with counter.card.open() as token, token.session() as session:
        most = token.pin.tries_left
        for left in range(most - 1, 0, -1):
            person = counter.enter(WRONG)
            with pytest.raises(PinIncorrect) as wrong:
                session.login()
            person.join()
            assert wrong.value.tries_left == left
        with pytest.raises(LastTryRefused):
            session.login()
        assert counter.reader.pad.asking is None
        person = counter.enter(PIN)
        session.login(allow_last_try=True)
        person.join()
        assert token.pin.tries_left == most


def test_cancelled_and_unfinished_entries_spend_no_try(
    simple: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simple.card.open() as token, token.session() as session:
        before = token.pin.tries_left
        person = simple.enter("cancel")
        with pytest.raises(PinEntryCancelled):
            session.login()
        person.join()
        person = simple.enter(PIN, "cancel", "")
        with pytest.raises(PinEntryCancelled):
            token.pin.change()
        person.join()
        verify = UsbPinPad.verify

        def hurried(pad: UsbPinPad, block: PinBlock, *, timeout: int = 30) -> bytes:
            return verify(pad, block, timeout=1)

        monkeypatch.setattr(UsbPinPad, "verify", hurried)
        with pytest.raises(PinEntryTimedOut):
            session.login()
        assert not session.logged_in
        assert token.pin.tries_left == before


def test_a_weak_new_pin_is_refused_by_the_token_and_the_puk_is_changed_too(
    simple: Counter,
) -> None:
    with simple.card.open() as token:
        person = simple.enter(PIN, "111111", "111111")
        with pytest.raises(PinInvalid) as weak:
            token.pin.change()
        person.join()
        assert weak.value.rule == "weak"
        assert not token.pin.state.count_low
        person = simple.enter(simple.card.puk, "97531864", "97531864")
        token.pin.change_puk()
        person.join()
        token.pin.change_puk("97531864", simple.card.puk)
        with pytest.raises(PinInvalid):
            token.pin.change(PIN)


@pytest.mark.parametrize(("status", "error"), [("6402", "repeat"), ("6403", "length")])
def test_readers_that_tell_more_are_understood(
    simple: Counter, monkeypatch: pytest.MonkeyPatch, status: str, error: str
) -> None:
    def answer(*_: object, **__: object) -> bytes:
        return bytes.fromhex(status)

    monkeypatch.setattr(UsbPinPad, "change", answer)
    with simple.card.open() as token:
        with pytest.raises(PinInvalid) as refused:
            token.pin.change()
        assert refused.value.rule == error


def test_a_piv_card_is_entered_in_its_padded_form(simple: Counter) -> None:
    driver = PivDriver.probe(simple.card.bus.open("0-1"))
    assert isinstance(driver, PadDriver)
    assert driver.pad_support == BOTH
    person = simple.enter(PIN)
    driver.verify_pin_by_pad()
    person.join()
    person = simple.enter(PIN, "864209", "864209")
    driver.change_pin_by_pad(PinReference.USER)
    person.join()
    for wrong in (PIN, PIN):
        person = simple.enter(wrong)
        with pytest.raises((PinIncorrect, PinLocked)):
            driver.verify_pin_by_pad()
        person.join()
    person = simple.enter("864209")
    driver.verify_pin_by_pad()
    person.join()
    driver.close()


def test_without_keys_a_pin_must_be_given(tmp_path: Path) -> None:
    kind = OF_A_LEVEL[0]
    with TokenAsCard.create(tmp_path / "card.token") as card, kind.plug() as reader:
        assert isinstance(card, TokenAsCard)
        card.put(kind, reader)
        with card.open() as token, token.session() as session:
            assert token.pin_pad == PinSupport(0)
            assert not token.flags & TokenFlag.PROTECTED_AUTHENTICATION_PATH
            for use in (session.login, token.pin.change, token.pin.change_puk):
                with pytest.raises(CapabilityMissing):
                    use()


def by_command(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr("ushield.transport.usb.scheme.usb_backend", lambda: counter.card.bus.bus)
    return lambda *arguments: run("--json", "--token", "usb:0-1", *arguments)


def test_the_command_line_asks_at_the_reader_unless_told_where_the_pin_is(
    simple: Counter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = by_command(simple, monkeypatch)
    person = simple.enter(PIN)
    done = command("pin", "verify")
    person.join()
    assert (done.exit_code, told(done)) == (0, {"verified": True})
    assert "Enter the PIN on the reader" in done.stderr
    person = simple.enter(PIN, NEW_PIN, NEW_PIN)
    done = command("pin", "change")
    person.join()
    assert (done.exit_code, told(done)) == (0, {"changed": True})
    assert "twice the new one" in done.stderr
    person = simple.enter(simple.card.puk, "97531864", "97531864")
    done = command("pin", "change-puk")
    person.join()
    assert done.exit_code == 0
    (tmp_path / "pin").write_text(NEW_PIN)
    done = command("pin", "verify", "--pin-file", str(tmp_path / "pin"))
    assert done.exit_code == 0
    assert "reader" not in done.stderr
    person = simple.enter("cancel")
    done = command("pin", "verify")
    person.join()
    assert (done.exit_code, told(done)["error"]["code"]) == (33, "pin-entry-cancelled")
