"""A request that is given up, or whose token goes away: nothing stays on the screen, nothing of it
reaches the next request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from tests.signing.conftest import MakeToken, payment
from ushield.drivers.profiles import load_profile
from ushield.drivers.shield import ShieldDriver
from ushield.drivers.shield.link import ShieldLink
from ushield.errors import (
    ConfirmationError,
    HostCancelled,
    Rejected,
    TimedOut,
    TokenRemoved,
    TransferTimeout,
    TransportError,
    UShieldError,
)
from ushield.shield.events import PanelEvent, PanelEventKind, PanelKey
from ushield.signing import (
    PageShown,
    Pending,
    PendingSignature,
    SigningSession,
    SigningToken,
    Waiting,
)
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transaction import Transaction, write_message
from ushield.transport.registry import open_spec
from ushield.virtual.usb import Direction, FaultKind

Prepare = Callable[[VirtualTokenUnderTest], None]
IMPATIENCE = 0.25
"""How long these tests let a command take, in seconds."""


def confirm(rig: VirtualTokenUnderTest) -> None:
    page_to_the_end(rig)
    rig.panel.press(PanelKey.OK)


def page_to_the_end(rig: VirtualTokenUnderTest) -> None:
    for _ in rig.panel.pages[1:]:
        rig.panel.page_down()


def nothing(rig: VirtualTokenUnderTest) -> None:
    pass


STATES: dict[str, Prepare] = {
    "first page": nothing,
    "second page": lambda rig: rig.panel.page_down(),
    "last page": page_to_the_end,
    "confirmed": confirm,
    "key held": lambda rig: rig.panel.hold(PanelKey.DOWN),
}
at_every_state = pytest.mark.parametrize("prepare", STATES.values(), ids=STATES.keys())


def let_go(rig: VirtualTokenUnderTest) -> None:
    for key in PanelKey:
        rig.panel.release(key)


def signs_another(rig: VirtualTokenUnderTest, session: SigningSession) -> bool:
    """Whether the next payment gets its own confirmation and its own signature."""
    let_go(rig)
    other = payment("another", "9.99")
    pending = session.sign(other, pin=rig.pin)
    assert rig.panel.pages
    with pytest.raises(TimedOut):
        # An OK that was meant for the request before confirms nothing here.
        pending.result(timeout=0.05)
    pending = session.sign(other, pin=rig.pin)
    confirm(rig)
    return pending.result(timeout=10).transaction == other


@at_every_state
def test_cancelling_takes_it_off_the_screen(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction, prepare: Prepare
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        prepare(virtual_token)
        pending.cancel()
        pending.cancel()
        assert virtual_token.panel.pages == ()
        with pytest.raises(HostCancelled):
            pending.result()
        assert signs_another(virtual_token, session)


@at_every_state
def test_leaving_the_with_block_takes_it_off_the_screen(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction, prepare: Prepare
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        with session.sign(transfer) as pending:
            prepare(virtual_token)
        assert virtual_token.panel.pages == ()
        with pytest.raises(HostCancelled):
            pending.result()
        assert signs_another(virtual_token, session)


@pytest.mark.parametrize(
    "wait",
    [
        lambda pending: pending.result(timeout=0.05),
        lambda pending: list(pending.events(timeout=0.05)),
        lambda pending: pending.result(timeout=0),
    ],
    ids=["result", "events", "at once"],
)
def test_the_callers_timeout_takes_it_off_the_screen(
    virtual_token: VirtualTokenUnderTest,
    transfer: Transaction,
    wait: Callable[[PendingSignature], object],
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        page_to_the_end(virtual_token)
        with suppress(TimedOut):
            wait(pending)
        assert virtual_token.panel.pages == ()
        virtual_token.panel.press(PanelKey.OK)
        with pytest.raises(TimedOut):
            pending.result()
        assert signs_another(virtual_token, session)


def test_closing_the_session_takes_it_off_the_screen(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token:
        with token.session() as other, token.session(virtual_token.pin) as session:
            pending = session.sign(transfer)
            session.close()
            assert virtual_token.panel.pages == ()
            assert not other.closed
        with pytest.raises(HostCancelled):
            pending.result()


def test_closing_the_token_takes_it_off_the_screen(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    token = virtual_token.open()
    pending = token.session(virtual_token.pin).sign(transfer)
    token.close()
    assert virtual_token.panel.pages == ()
    with pytest.raises(HostCancelled):
        pending.result()


def test_an_interrupted_wait_takes_it_off_the_screen(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        with token.reach() as driver, monkeypatch.context() as patch:

            def interrupted(timeout: float) -> None:
                raise KeyboardInterrupt

            patch.setattr(driver, "panel_event", interrupted)
            with pytest.raises(KeyboardInterrupt):
                pending.result()
        assert virtual_token.panel.pages == ()
        with pytest.raises(HostCancelled):
            pending.result()


@pytest.mark.parametrize("after", [False, True], ids=["before it is sent", "once it is sent"])
@pytest.mark.parametrize("wait", [True, False], ids=["by a timeout", "by the caller"])
def test_an_interrupted_cancel_is_sent_again_and_nobody_waits_for_it_for_ever(
    virtual_token: VirtualTokenUnderTest,
    transfer: Transaction,
    monkeypatch: pytest.MonkeyPatch,
    *,
    wait: bool,
    after: bool,
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        with token.reach() as driver, monkeypatch.context() as patch:
            cancel = driver.cancel
            interrupts = [KeyboardInterrupt()]

            def interrupted(request_id: bytes) -> None:
                if after or not interrupts:
                    cancel(request_id)
                if interrupts:
                    raise interrupts.pop()

            patch.setattr(driver, "cancel", interrupted)
            give_up = (lambda: pending.result(timeout=0)) if wait else pending.cancel
            with pytest.raises(KeyboardInterrupt):
                give_up()
            with pytest.raises(ConfirmationError):
                pending.result(timeout=10)
        assert virtual_token.panel.pages == ()
        with session.sign(transfer, pin=virtual_token.pin):
            assert virtual_token.panel.pages != ()


def test_an_interrupted_begin_leaves_nothing_on_the_screen(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        with token.reach() as driver, monkeypatch.context() as patch:
            begin = driver.begin

            def interrupted(key_reference: int, message: bytes) -> None:
                begin(key_reference, message)
                assert virtual_token.panel.pages != ()
                raise KeyboardInterrupt

            patch.setattr(driver, "begin", interrupted)
            with pytest.raises(KeyboardInterrupt):
                session.sign(transfer)
        assert virtual_token.panel.pages == ()
        with session.sign(transfer, pin=virtual_token.pin):
            assert virtual_token.panel.pages != ()


def test_leaving_the_loop_over_events_leaves_it_on_the_screen_for_result(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        for event in pending.events():
            assert event == PageShown(1, pending.pages)
            break
        confirm(virtual_token)
        assert pending.result(timeout=10).transaction == transfer


def test_another_thread_cancels_while_this_one_waits(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        outcomes: list[type[BaseException]] = []
        waiting = threading.Event()

        def wait() -> None:
            try:
                for _ in pending.events():
                    waiting.set()
                pending.result(timeout=20)
            except ConfirmationError as outcome:
                outcomes.append(type(outcome))

        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert waiting.wait(10)
        cancellers = [threading.Thread(target=pending.cancel) for _ in range(3)]
        for thread in cancellers:
            thread.start()
        for thread in [*cancellers, *threads]:
            thread.join(10)
            assert not thread.is_alive()
        assert outcomes == [HostCancelled, HostCancelled]
        assert virtual_token.panel.pages == ()


def test_a_press_and_a_cancel_at_the_same_time_end_in_one_of_the_two(
    virtual_token_factory: MakeToken, transfer: Transaction
) -> None:
    rig = virtual_token_factory()
    with rig.open() as token, token.session() as session:
        for _ in range(20):
            pending = session.sign(transfer, pin=rig.pin)
            page_to_the_end(rig)
            canceller = threading.Thread(target=pending.cancel)
            presser = threading.Thread(target=rig.panel.press, args=(PanelKey.OK,))
            canceller.start()
            presser.start()
            with suppress(HostCancelled):
                assert pending.result(timeout=10).transaction == transfer
            canceller.join(10)
            presser.join(10)
            assert pending.over
            assert rig.panel.pages == ()


@at_every_state
def test_pulling_the_token_out_ends_it(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction, prepare: Prepare
) -> None:
    with virtual_token.open() as token:
        session = token.session(virtual_token.pin)
        pending = session.sign(transfer)
        prepare(virtual_token)
        virtual_token.unplug()
        with pytest.raises(TokenRemoved):
            pending.result(timeout=10)
        assert session.closed
        virtual_token.plug()
        with pytest.raises(TokenRemoved):
            pending.result(timeout=10)
    with virtual_token.open() as token, token.session() as session:
        assert signs_another(virtual_token, session)


def test_pulling_the_token_out_wakes_who_waits(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token:
        pending = token.session(virtual_token.pin).sign(transfer)
        outcomes: list[BaseException] = []

        def wait() -> None:
            try:
                pending.result(timeout=20)
            except UShieldError as outcome:
                outcomes.append(outcome)

        thread = threading.Thread(target=wait)
        thread.start()
        virtual_token.unplug()
        thread.join(10)
        assert [type(outcome) for outcome in outcomes] == [TokenRemoved]


@at_every_state
def test_a_reset_ends_it(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction, prepare: Prepare
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        prepare(virtual_token)
        token.reset()
        with pytest.raises(ConfirmationError):
            pending.result(timeout=10)
        assert signs_another(virtual_token, session)


@at_every_state
def test_logging_out_ends_it(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction, prepare: Prepare
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        prepare(virtual_token)
        session.logout()
        with pytest.raises(HostCancelled):
            pending.result(timeout=10)
        assert signs_another(virtual_token, session)


def test_cancelling_what_was_given_up_already_does_not_wait_for_whoever_gave_it_up(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    now = 0.0
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        key = session.private_keys().one()
        with token.reach() as driver:
            begun = driver.begin(key.info.reference, write_message(transfer))
        pending = Pending(token.reach, begun, str, has_panel=True, clock=lambda: now)
        now = 1000.0
        # The token's time is over by far when its first event comes; the loop is left just there.
        assert next(pending.events()) == PageShown(1, pending.pages)
        assert virtual_token.panel.pages
        pending.cancel()
        assert virtual_token.panel.pages == ()
        with pytest.raises(TimedOut):
            pending.result()


def test_garbage_from_the_panel_is_no_event(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        virtual_token.virtual.device.report(b"\xff" * 16)
        confirm(virtual_token)
        assert pending.result(timeout=10).transaction == transfer


def test_a_forged_event_confirms_nothing(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        for kind in (PanelEventKind.CONFIRMED, PanelEventKind.REJECTED, PanelEventKind.TIMED_OUT):
            forged = PanelEvent(kind, pending.request_id, 0, pending.pages, 99)
            virtual_token.virtual.device.report(forged.encode())
        for event in pending.events():
            if isinstance(event, Waiting):
                break
        assert not pending.over
        confirm(virtual_token)
        assert pending.result(timeout=10).transaction == transfer


def test_cancelling_on_a_token_that_is_gone_is_removal(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with virtual_token.open() as token:
        pending = token.session(virtual_token.pin).sign(transfer)
        virtual_token.unplug()
        pending.cancel()
        with pytest.raises(TokenRemoved):
            pending.result()


def test_a_request_that_could_not_be_taken_off_the_screen_is_told_as_that(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    faults = virtual_token.usb_faults
    with impatient(virtual_token) as token:
        with token.session(virtual_token.pin) as session:
            pending = session.sign(transfer)
            for _ in range(50):
                faults.order(FaultKind.DROP, Direction.OUT)
            pending.cancel()
            with pytest.raises(TransferTimeout):
                pending.result()
            faults.clear()
            assert virtual_token.panel.pages != ()
            # The channel broke as well, and what was begun through it ends when another is opened.
            with session.sign(transfer, pin=virtual_token.pin) as another:
                assert another.request_id != pending.request_id
        assert virtual_token.panel.pages == ()


class TestWithoutPanelEvents:
    """Over a transport without the event endpoint the state is asked for."""

    @pytest.fixture
    def session(self, virtual_token: VirtualTokenUnderTest) -> Iterator[SigningSession]:
        with deaf(virtual_token) as token, token.session(virtual_token.pin) as session:
            yield session

    def test_a_press_is_noticed(
        self, virtual_token: VirtualTokenUnderTest, session: SigningSession, transfer: Transaction
    ) -> None:
        pending = session.sign(transfer)
        confirm(virtual_token)
        assert pending.result(timeout=10).transaction == transfer

    def test_a_later_press_is_noticed(
        self, virtual_token: VirtualTokenUnderTest, session: SigningSession, transfer: Transaction
    ) -> None:
        pending = session.sign(transfer)
        events = pending.events()
        assert next(events) == PageShown(1, pending.pages)
        virtual_token.panel.press_cancel()
        list(events)
        with pytest.raises(Rejected):
            pending.result()

    def test_cancelling_wakes_who_waits(
        self, virtual_token: VirtualTokenUnderTest, session: SigningSession, transfer: Transaction
    ) -> None:
        pending = session.sign(transfer)
        canceller = threading.Timer(0.1, pending.cancel)
        canceller.start()
        with pytest.raises(HostCancelled):
            pending.result(timeout=10)
        canceller.join()
        assert virtual_token.panel.pages == ()


@contextmanager
def deaf(rig: VirtualTokenUnderTest) -> Iterator[SigningToken]:
    """The token as a transport sees it that has no panel interface."""
    connection = open_spec(rig.spec)
    link = ShieldLink.open(connection, load_profile("shield"))
    assert link is not None
    link.info = replace(
        link.info,
        capabilities=link.info.capabilities - {"panel-events"},
    )
    with SigningToken(ShieldDriver(link)) as token:
        yield token


@contextmanager
def impatient(rig: VirtualTokenUnderTest) -> Iterator[SigningToken]:
    """The token behind a driver that gives each command little time."""
    profile = load_profile("shield")
    quick = replace(profile, timeouts=replace(profile.timeouts, command=IMPATIENCE))
    link = ShieldLink.open(open_spec(rig.spec), quick)
    assert link is not None
    with SigningToken(ShieldDriver(link)) as token:
        yield token


Act = Callable[[VirtualTokenUnderTest, SigningSession, Callable[[], None]], object]


def during_begin(
    rig: VirtualTokenUnderTest, session: SigningSession, spoil: Callable[[], None]
) -> object:
    key = session.private_keys().one()
    session.certificates()
    with session.token.reach() as driver:
        begin = driver.begin

        def spoilt(key_reference: int, message: bytes) -> object:
            spoil()
            return begin(key_reference, message)

        driver.begin = spoilt  # type: ignore[method-assign, assignment]
        try:
            pending = session.sign(payment(), key=key)
        finally:
            driver.begin = begin  # type: ignore[method-assign]
    confirm(rig)
    return pending.result(timeout=10)


def during_state(
    rig: VirtualTokenUnderTest, session: SigningSession, spoil: Callable[[], None]
) -> object:
    pending = session.sign(payment())
    rig.panel.press_cancel()
    spoil()
    return pending.result(timeout=10)


def during_sign(
    rig: VirtualTokenUnderTest, session: SigningSession, spoil: Callable[[], None]
) -> object:
    pending = session.sign(payment())
    confirm(rig)
    spoil()
    return pending.result(timeout=10)


def during_cancel(
    rig: VirtualTokenUnderTest, session: SigningSession, spoil: Callable[[], None]
) -> object:
    pending = session.sign(payment())
    spoil()
    pending.cancel()
    return pending.result(timeout=10)


@pytest.mark.parametrize("act", [during_begin, during_state, during_sign, during_cancel])
@pytest.mark.parametrize(
    ("kind", "direction"),
    [
        *((kind, Direction.IN) for kind in FaultKind if kind is not FaultKind.UNPLUG),
        (FaultKind.DROP, Direction.OUT),
        (FaultKind.GARBLE, Direction.OUT),
    ],
)
def test_a_fault_on_the_wire_costs_at_most_the_request_it_hits(
    virtual_token: VirtualTokenUnderTest, act: Act, kind: FaultKind, direction: Direction
) -> None:
    faults = virtual_token.usb_faults

    def spoil() -> None:
        faults.order(kind, direction, seconds=2 * IMPATIENCE, offset=3)

    with impatient(virtual_token) as token, token.session(virtual_token.pin) as session:
        try:
            act(virtual_token, session, spoil)
        except (TransportError, ConfirmationError) as outcome:
            assert not isinstance(outcome, TokenRemoved)  # noqa: PT017
        assert [fault.kind for fault in faults.happened] == [kind]
        assert virtual_token.panel.pages == ()
        assert signs_another(virtual_token, session)


@pytest.mark.parametrize("act", [during_begin, during_state, during_sign, during_cancel])
def test_pulling_the_token_out_in_the_middle_of_a_command_is_removal(
    virtual_token: VirtualTokenUnderTest, act: Act
) -> None:
    def spoil() -> None:
        virtual_token.usb_faults.order(FaultKind.UNPLUG, Direction.IN)

    with virtual_token.open() as token:
        session = token.session(virtual_token.pin)
        with pytest.raises(TokenRemoved):
            act(virtual_token, session, spoil)
        assert session.closed
        assert token.removed


def test_a_late_signature_is_dropped_and_serves_no_other_request(
    virtual_token: VirtualTokenUnderTest, transfer: Transaction
) -> None:
    with impatient(virtual_token) as token, token.session(virtual_token.pin) as session:
        pending = session.sign(transfer)
        confirm(virtual_token)
        virtual_token.usb_faults.order(FaultKind.DELAY, Direction.IN, seconds=2 * IMPATIENCE)
        with pytest.raises(TransferTimeout):
            pending.result(timeout=10)
        with pytest.raises(TransferTimeout):
            pending.result(timeout=10)
        other = session.sign(payment("another"), pin=virtual_token.pin)
        assert other.request_id != pending.request_id
        with pytest.raises(TimedOut):
            other.result(timeout=0.1)
        assert signs_another(virtual_token, session)
