"""A powered card on USB: one lock a token, one command at a time, events beside it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn, TypeVar
from weakref import WeakSet

import usb.core

from ushield.ccid.descriptor import PinSupport
from ushield.ccid.errors import CommandAborted
from ushield.ccid.pin_entry import PinEntry
from ushield.ccid.steps import Program, Step
from ushield.errors import TokenRemoved, TransferFailed, TransferTimeout, TransportError
from ushield.transport.connection import ApduLimits, DeviceInfo
from ushield.transport.holder import Holder
from ushield.transport.pin_pad import PinPad
from ushield.transport.turns import TURN_TIMEOUT, take_turn
from ushield.transport.usb.discovery import describe, find_device_holder
from ushield.transport.usb.link import UsbLink
from ushield.transport.usb.pin_pad import UsbPinPad
from ushield.transport.usb.sharing import ClaimedReader, claim

__all__ = ["UsbConnection", "open_usb"]

_Result = TypeVar("_Result")

_connections: Final[WeakSet[UsbConnection]] = WeakSet()

_PIN_SUPPORT: Final = PinSupport.VERIFICATION | PinSupport.MODIFICATION
_TRANSMIT_TIMEOUT: Final = 60.0
_CLOSE_TIMEOUT: Final = 2.0
_ABORT_TIMEOUT: Final = 2.0
# No transfer may be under way when a libusb handle is closed: this is how long that takes to see.
_PANEL_SLICE: Final = 0.25
_ABANDON_SLICE: Final = 0.05


class UsbConnection:
    """The card in one slot of a claimed reader, as a `CardConnection`. `open_usb` makes one.

    After a timeout, garbage or an interrupted command the next one first brings reader and host
    into step again, within its own time; a late answer is dropped there.
    """

    def __init__(
        self,
        claimed: ClaimedReader,
        link: UsbLink,
        slot: int,
        info: DeviceInfo,
        *,
        timeout: float,
    ) -> None:
        self._claimed = claimed
        self._link = link
        self._reader = claimed.reader
        self._slot = slot
        self._info = info
        self._reset_timeout = timeout
        self._atr = b""
        self._lock = claimed.lock
        self._panel_lock = threading.Lock()
        self._closing = threading.Event()
        self._close_lock = threading.Lock()
        self._abandon = False
        self._closed = False
        self._closed_message = "the connection is closed"
        _connections.add(self)

    @property
    def device(self) -> DeviceInfo:
        """Where this card is."""
        return self._info

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._atr

    @property
    def limits(self) -> ApduLimits:
        """What fits into one APDU, by the reader's level of exchange and the card's protocol."""
        limits = self._reader.limits(self._slot)
        return ApduLimits(limits.command, limits.response, limits.extended)

    @property
    def has_panel(self) -> bool:
        """Whether the device has a panel interface."""
        return self._link.panel is not None

    @property
    def pin_pad(self) -> PinPad | None:
        """The reader's own keys for a PIN, if its class descriptor tells of any."""
        support = PinSupport(self._reader.descriptor.pin_support & _PIN_SUPPORT)
        return UsbPinPad(support, self._enter) if support else None

    @contextmanager
    def hold(self, timeout: float | None = None) -> Iterator[None]:
        """Keep other threads out; `TokenBusy` if another thread does so for ``timeout`` seconds,
        two minutes if not given.
        """
        take_turn(self._lock, TURN_TIMEOUT if timeout is None else timeout)
        try:
            yield
        finally:
            self._lock.release()

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        """Send one command APDU; its response APDU. ``timeout`` seconds bound it, a minute if not
        given, waiting for other threads included.

        Also raises what `CcidReader.transmit` does.
        """
        patience = _TRANSMIT_TIMEOUT if timeout is None else timeout
        if not self._lock.acquire(blocking=False):
            patience -= take_turn(self._lock, patience)
        try:
            if self._claimed.was_pulled(self._slot):
                self._lose_card()
            program = self._reader.transmit(self._slot, command, patience)
            if self._reader.in_step:
                return self._run(program)
            return self._run(program, time.monotonic() + patience)
        except CommandAborted:
            # Nobody here aborted it: the reader holds one half of an abort whose other half went
            # astray, and fails every command until it gets a whole one.
            with suppress(TransportError):
                deadline = time.monotonic() + _ABORT_TIMEOUT
                self._run(self._reader.abort(self._slot), deadline)
            raise
        finally:
            self._lock.release()

    def read_panel(self, timeout: float) -> bytes | None:
        """The next report of the panel's interrupt endpoint, or ``None`` after ``timeout`` seconds.

        `TokenRemoved` as soon as the device goes, `TransferFailed` as soon as this is closed.
        """
        deadline = time.monotonic() + timeout
        if not self.has_panel:
            self._closing.wait(timeout)
            self._check_usable()
            return None
        while True:
            remaining = deadline - time.monotonic()
            if not self._panel_lock.acquire(timeout=max(remaining, 0)):
                return None
            try:
                self._check_usable()
                return self._link.read_report(min(max(remaining, 0), _PANEL_SLICE))
            except TransferTimeout:
                if remaining <= _PANEL_SLICE:
                    return None
            finally:
                self._panel_lock.release()

    def reset(self) -> bytes:
        """Power the card off and on; its new ATR."""
        with self.hold():
            if self._claimed.was_pulled(self._slot):
                self._lose_card()
            deadline = time.monotonic() + self._reset_timeout
            self._run(self._reader.power_off(self._slot), deadline)
            return self._power_on(deadline)

    def close(self) -> None:
        """Power the card off, release the device and give it back to the kernel's driver.

        A command that another thread has under way is ended; its caller gets `TransferFailed`.
        Where another slot of the reader is being used, that is waited for shortly; if it goes on,
        this card is powered off when the next of the reader's connections closes.
        """
        self._closing.set()
        with self._close_lock:
            if self._closed:
                return
            # Not before: it would end the power-off of a thread that is closing already.
            self._abandon = self._link.abandoned = True
            holding = self._end_transfers()
            try:
                self._link.abandoned = False
                self._claimed.left_powered.add(self._slot)
                if holding or not self._claimed.shared:
                    self._power_off()
                self._closed = True
                with self._panel_lock:
                    self._claimed.give_back(self._slot)
            finally:
                if holding:
                    self._lock.release()

    def start(self) -> None:
        """Find the reader ready and power the card; `open_usb` does it."""
        with self.hold():
            deadline = time.monotonic() + self._reset_timeout
            if not self._claimed.opened:
                self._run(self._reader.open(), deadline)
                self._claimed.opened = True
            self._claimed.forget_pulled(self._slot)
            try:
                self._power_on(deadline)
            except CommandAborted:
                # A program that died between the halves of its abort left the reader so.
                self._run(self._reader.abort(self._slot), deadline)
                self._power_on(deadline)

    def disown(self) -> None:
        """Be closed, in a forked process, without touching what the other one has open.

        The locks are made anew: threads that are not in this process may hold them.
        """
        self._lock = threading.RLock()
        self._panel_lock, self._close_lock = threading.Lock(), threading.Lock()
        self._closing = threading.Event()
        self._closing.set()
        self._closed_message = "the connection is the process's that opened it"
        self._closed = self._abandon = True

    def _enter(self, entry: PinEntry) -> bytes:
        with self.hold():
            if self._claimed.was_pulled(self._slot):
                self._lose_card()
            return self._run(self._reader.secure(self._slot, entry))

    def _lose_card(self) -> NoReturn:
        raise TokenRemoved(f"the card was pulled out of slot {self._slot}")

    def _end_transfers(self) -> bool:
        """Wait until no thread has a transfer under way; whether the lock could be taken, too.

        Whoever has the lock and transfers nothing may keep it as long as it likes, and will
        transfer nothing more; unless it works with another slot, for whose turn we wait a little.
        """
        end = time.monotonic() + _CLOSE_TIMEOUT
        while not self._lock.acquire(timeout=_ABANDON_SLICE):
            if self._claimed.running_slot == self._slot:
                # It has been abandoned.
                continue
            if not self._claimed.shared or time.monotonic() > end:
                return False
        return True

    def _power_off(self) -> None:
        """Take the power from this card, and from others that were closed and could not be."""
        deadline = time.monotonic() + _CLOSE_TIMEOUT
        for slot in tuple(self._claimed.left_powered):
            with suppress(TransportError):
                self._drive(self._reader.power_off(slot), deadline)
            self._claimed.left_powered.discard(slot)

    def _power_on(self, deadline: float) -> bytes:
        self._atr = self._run(self._reader.power_on(self._slot), deadline).raw
        return self._atr

    def _check_usable(self) -> None:
        if self._closed or self._closing.is_set():
            raise TransferFailed(self._closed_message, remedy="Open the token again.")
        if self._link.removed:
            raise TokenRemoved("the device was unplugged")

    def _run(self, program: Program[_Result], deadline: float | None = None) -> _Result:
        """Drive a CCID program to its end; ``deadline`` bounds one that keeps no time itself."""
        # Set before `_abandon` is looked at, and `close` sets that before it looks here: one of the
        # two sees the other.
        self._claimed.running_slot = self._slot
        try:
            if self._abandon or self._closed or self._link.removed:
                self._check_usable()
            return self._drive(program, deadline)
        finally:
            self._claimed.running_slot = None

    def _drive(self, program: Program[_Result], deadline: float | None) -> _Result:
        perform = self._link.perform
        try:
            step = next(program)
            while True:
                try:
                    outcome = perform(step if deadline is None else _within(step, deadline))
                except TransportError as error:
                    step = program.throw(error)
                else:
                    step = program.send(outcome)
        except StopIteration as finished:
            result: _Result = finished.value
            return result


def _within(step: Step, deadline: float) -> Step:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TransferTimeout("the device took too long")
    return step._replace(timeout=remaining) if step.timeout > remaining else step


def open_usb(
    device: usb.core.Device,
    *,
    info: DeviceInfo | None = None,
    slot: int = 0,
    timeout: float = 5.0,
    holder: Callable[[usb.core.Device], Holder | None] = find_device_holder,
) -> UsbConnection:
    """Claim the reader in ``device``, of any pyusb backend, and power the card in ``slot``.

    ``timeout`` seconds bound each of claiming and powering. ``info`` is what the connection calls
    its device; ``holder`` tells who has a busy one. `AccessDenied`, `TokenBusy`, `SlotEmpty`,
    `TokenRemoved` or another `TransportError`; the device is then as it was.
    """
    claimed, link = claim(device, slot, holder)
    connection = UsbConnection(
        claimed,
        link,
        slot,
        info if info is not None else describe(device),
        timeout=timeout,
    )
    try:
        connection.start()
    except BaseException:
        # A reader that does not answer is not asked to switch its card off either.
        if claimed.reader.in_step:
            connection.close()
        else:
            claimed.give_back(slot)
        raise
    return connection


def _disown_all() -> None:
    for connection in tuple(_connections):
        connection.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
