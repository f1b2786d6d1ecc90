"""The panel: what stands on the screen, what the keys report, and fingers beside the firmware."""

from __future__ import annotations

import threading

import pytest

from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.shield.requests import RequestStage
from ushield.transaction.message import Field
from ushield.transaction.pages import Page, Screen, lay_out
from ushield.transaction.repertoire import Repertoire
from ushield.virtual.clock import ManualClock
from ushield.virtual.confirmation import (
    ConfirmationMachine,
    PinVerified,
    Refusal,
    Request,
)
from ushield.virtual.panel import Panel

REQUEST = b"request."
SCREEN = Screen(4, 16, Repertoire.GBK, "虚拟")
PAGES = lay_out([Field("收款行", "中国工商银行"), Field("金额", "123,456,789.00 CNY")], SCREEN)


assert len(PAGES) == 2


class Bench:
    """A panel on a clock of ours, and the events it reported."""

    def __init__(self, screen: Screen = SCREEN, *, per_signature: bool = False) -> None:
        self.clock = ManualClock()
        machine = ConfirmationMachine(timeout=60, pin_per_signature=per_signature)
        self.panel = Panel(screen, machine, self.clock, serial="V00000000001")
        self.clock.on_advance(self.panel.tick)
        self.events: list[PanelEvent] = []
        self.panel.connect(lambda report: self.events.append(PanelEvent.decode(report)))

    def begin(self, pages: tuple[Page, ...] = PAGES) -> None:
        self.panel.apply(PinVerified())
        assert self.panel.begin(REQUEST, pages) is None

    def kinds(self) -> list[PanelEventKind]:
        return [event.kind for event in self.events]


def test_the_idle_screen_says_that_the_token_is_virtual_and_which_one() -> None:
    assert Bench().panel.screen == ("虚拟U盾", "V00000000001", "", "")
    ascii_screen = Screen(4, 20, Repertoire.ASCII, "VIRTUAL")
    assert Bench(ascii_screen).panel.screen[0] == "Virtual token"


def test_the_idle_screen_fits_on_small_screens() -> None:
    panel = Bench(Screen(2, 12, Repertoire.ASCII)).panel
    assert panel.screen == ("Virtual toke", "V00000000001")


def test_without_a_request_there_are_no_pages() -> None:
    panel = Bench().panel
    assert panel.pages == ()
    assert panel.page == 0


def test_a_request_is_on_the_screen_page_by_page() -> None:
    bench = Bench()
    bench.begin()
    panel = bench.panel
    assert panel.pages == PAGES
    assert (panel.page, panel.screen) == (1, PAGES[0])
    panel.press(PanelKey.DOWN)
    assert (panel.page, panel.screen) == (2, PAGES[1])
    panel.press(PanelKey.UP)
    assert (panel.page, panel.screen) == (1, PAGES[0])


def test_after_ok_the_screen_says_so_until_the_signature_is_taken() -> None:
    bench = Bench()
    bench.begin()
    bench.panel.press(PanelKey.DOWN)
    bench.panel.press(PanelKey.OK)
    assert bench.panel.screen[0] == "已确认"
    taken = bench.panel.take(REQUEST)
    assert isinstance(taken, Request)
    assert taken.stage is RequestStage.SIGNED
    assert bench.panel.screen[0] == "虚拟U盾"


def test_a_refused_begin_leaves_the_screen_alone() -> None:
    bench = Bench()
    bench.begin()
    assert bench.panel.refuse_begin() is Refusal.BUSY
    assert bench.panel.begin(b"another.", (("x", "", "", ""),)) is Refusal.BUSY
    assert bench.panel.screen == PAGES[0]


def test_a_request_that_was_not_confirmed_cannot_be_taken() -> None:
    bench = Bench()
    assert bench.panel.take(REQUEST) is Refusal.UNKNOWN
    bench.begin()
    assert bench.panel.take(REQUEST) is Refusal.PENDING


@pytest.mark.parametrize("seconds", [60, 3600])
def test_a_clock_that_moves_on_clears_the_screen_and_reports_it(seconds: int) -> None:
    bench = Bench()
    bench.begin()
    bench.clock.advance(59)
    assert bench.panel.page == 1
    bench.clock.advance(seconds - 59)
    assert bench.kinds() == [PanelEventKind.PAGE_SHOWN, PanelEventKind.TIMED_OUT]
    assert bench.panel.screen[0] == "虚拟U盾"


def test_events_name_their_request_page_and_key_and_are_counted() -> None:
    bench = Bench()
    bench.panel.press(PanelKey.UP)
    bench.begin()
    bench.panel.press(PanelKey.DOWN)
    bench.panel.press(PanelKey.CANCEL)
    nothing = bytes(8)
    assert bench.events == [
        PanelEvent(PanelEventKind.KEY_DOWN, nothing, PanelKey.UP, 0, 1),
        PanelEvent(PanelEventKind.PAGE_SHOWN, REQUEST, 1, 2, 2),
        PanelEvent(PanelEventKind.KEY_DOWN, REQUEST, PanelKey.DOWN, 2, 3),
        PanelEvent(PanelEventKind.PAGE_SHOWN, REQUEST, 2, 2, 4),
        PanelEvent(PanelEventKind.KEY_DOWN, REQUEST, PanelKey.CANCEL, 2, 5),
        PanelEvent(PanelEventKind.REJECTED, REQUEST, 0, 2, 6),
    ]


def test_a_panel_that_nobody_listens_to_works_all_the_same() -> None:
    bench = Bench()
    bench.panel.connect(None)
    bench.begin()
    bench.panel.press(PanelKey.DOWN)
    bench.panel.press(PanelKey.OK)
    assert isinstance(bench.panel.take(REQUEST), Request)
    assert bench.events == []


def test_without_power_the_screen_is_blank_and_keys_report_nothing() -> None:
    bench = Bench()
    bench.begin()
    bench.panel.switch(on=False)
    assert not any(bench.panel.screen)
    bench.events.clear()
    bench.panel.press(PanelKey.OK)
    assert bench.events == []
    bench.panel.switch(on=True)
    assert bench.panel.screen[0] == "虚拟U盾"
    assert bench.panel.take(REQUEST) is Refusal.UNKNOWN


def test_a_listener_may_look_at_the_panel_and_press_keys() -> None:
    bench = Bench()
    seen: list[tuple[PanelEventKind, Page]] = []

    def listen(report: bytes) -> None:
        event = PanelEvent.decode(report)
        seen.append((event.kind, bench.panel.screen))
        if event.kind is PanelEventKind.PAGE_SHOWN:
            bench.panel.press(PanelKey.DOWN if event.value < event.pages else PanelKey.OK)

    bench.panel.connect(listen)
    bench.begin()
    kinds = [kind for kind, _ in seen]
    assert kinds[0] is PanelEventKind.PAGE_SHOWN
    assert kinds[-1] is PanelEventKind.CONFIRMED
    assert isinstance(bench.panel.take(REQUEST), Request)


def test_a_listener_that_waits_for_another_thread_holds_nothing_up() -> None:
    bench = Bench()
    entered, release = threading.Event(), threading.Event()

    def listen(_: bytes) -> None:
        entered.set()
        assert release.wait(10)

    bench.panel.connect(listen)
    finger = threading.Thread(target=bench.panel.press, args=(PanelKey.UP,))
    finger.start()
    assert entered.wait(10)
    assert bench.panel.screen[0] == "虚拟U盾"
    bench.panel.press(PanelKey.DOWN)
    release.set()
    finger.join(10)
    assert not finger.is_alive()


def test_fingers_in_several_threads_lose_no_event_and_keep_their_order() -> None:
    bench = Bench()
    presses = 200

    def drum(key: PanelKey) -> None:
        for _ in range(presses):
            bench.panel.press(key)

    fingers = [threading.Thread(target=drum, args=(key,)) for key in PanelKey]
    for finger in fingers:
        finger.start()
    for finger in fingers:
        finger.join(30)
    assert [event.counter for event in bench.events] == list(range(1, 4 * presses + 1))
