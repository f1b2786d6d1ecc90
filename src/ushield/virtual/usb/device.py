"""The virtual token as a composite USB device, whoever its host is: this process or a kernel."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Final

from usbip.core import OUT, Urb
from usbip.device import Endpoint, USBDevice

from ushield.ccid.messages import HEADER_LENGTH, MAX_EXTENDED_COMMAND
from ushield.virtual.usb.faults import Direction, Fault, FaultKind, UsbFaults
from ushield.virtual.usb.interfaces import PACKET_SIZE, CcidInterface, PanelInterface
from ushield.virtual.usb.slot import Card, CcidSlot

__all__ = ["VirtualUsbDevice"]

_GONE: Final = -errno.ENODEV
_STALLED: Final = -errno.EPIPE


class VirtualUsbDevice(USBDevice):  # type: ignore[misc]
    """CCID reader with ``card`` in it, and a panel's events beside it.

    A host gives it URBs by `handle_urb` and takes them back by `cancel_urb`, as `usbip` defines
    both. It is plugged in when made; `detach` and `attach` are the cable.
    """

    def __init__(
        self,
        card: Card,
        *,
        vendor_id: int,
        product_id: int,
        manufacturer: str,
        product: str,
        serial: str,
        max_message_length: int = MAX_EXTENDED_COMMAND + HEADER_LENGTH,
        extension_interval: float = 0.5,
        faults: UsbFaults | None = None,
    ) -> None:
        super().__init__(
            vendor_id, product_id, manufacturer=manufacturer, product=product, serial=serial
        )
        self.faults = faults if faults is not None else UsbFaults()
        self._attached = True
        self._on_detach: list[Callable[[], None]] = []
        self._last_out = self._last_in = b""
        self._timers: dict[object, threading.Timer] = {}
        self._slot = CcidSlot(
            card,
            self._answer,
            max_message_length=max_message_length,
            packet_size=PACKET_SIZE,
            extension_interval=extension_interval,
        )
        self._ccid = CcidInterface(self._slot, max_message_length=max_message_length)
        self._panel = PanelInterface()
        self.add(self._ccid)
        self.add(self._panel)
        self._bulk_out: Endpoint = self._ccid.bulk_out
        self._bulk_in: Endpoint = self._ccid.bulk_in

    @property
    def attached(self) -> bool:
        """Whether the cable is in."""
        return self._attached

    def detach(self) -> None:
        """Pull the token out: every transfer under way ends with "no such device"."""
        if self._attached:
            self._attached = False
            for timer in tuple(self._timers.values()):
                timer.cancel()
            self._timers.clear()
            self.reset_io()
            self.config = 0
            for callback in tuple(self._on_detach):
                callback()

    def attach(self) -> None:
        """Put it in again; it starts without power and without configuration."""
        self._attached = True

    def on_detach(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called after each `detach`, by the thread that pulled."""
        self._on_detach.append(callback)

    def report(self, event: bytes) -> None:
        """Send one panel event; lost if the cable is out."""
        if self._attached:
            self._panel.report(event)

    def handle_urb(self, urb: Urb, respond: Callable[[Urb], None] | None = None) -> Urb | None:
        """Do one transfer: ``urb`` completed, or ``None`` for now and ``respond(urb)`` later."""
        if not self._attached:
            urb.status = _GONE
            return urb
        if urb.ep == self._bulk_out.number and urb.direction == OUT and not self._bulk_out.halted:
            fault = self.faults.next(Direction.OUT)
            if fault is not None:
                return self._faulty_out(urb, respond, fault)
            # Every command comes this way; `usbip` would do the same in more calls.
            message = self._last_out = urb.buffer
            self._slot.receive(message)
            urb.actual = len(message)
            return urb
        answer: Urb | None = super().handle_urb(urb, respond)
        return answer

    def cancel_urb(self, seqnum: int) -> bool:
        """Take a transfer back; ``False`` if it is completed or just being so."""
        timer = self._timers.pop(seqnum, None)
        if timer is not None:
            timer.cancel()
            return True
        return any(endpoint.cancel(seqnum) for endpoint in self._ep_map.values())

    def _faulty_out(
        self, urb: Urb, respond: Callable[[Urb], None] | None, fault: Fault
    ) -> Urb | None:
        message, last, self._last_out = urb.buffer, self._last_out, urb.buffer
        if fault.kind is FaultKind.UNPLUG:
            self.detach()
            urb.status = _GONE
            return urb
        if fault.kind is FaultKind.STALL:
            self._bulk_out.stall()
            urb.status = _STALLED
            return urb
        if fault.kind is FaultKind.DELAY and respond is not None:
            self._later(urb.seqnum, fault.seconds, lambda: respond(self._take(urb, message)))
            return None
        if fault.kind is FaultKind.DROP:
            urb.actual, urb.status = len(message), 0
            return urb
        if fault.kind is FaultKind.STALE:
            return self._take(urb, last, message)
        if fault.kind is FaultKind.DUPLICATE:
            return self._take(urb, message, message)
        return self._take(urb, fault.spoil(message))

    def _take(self, urb: Urb, *messages: bytes) -> Urb:
        for message in messages:
            self._slot.receive(message)
        urb.actual, urb.status = len(urb.buffer), 0
        return urb

    def _answer(self, frame: bytes) -> None:
        if not self._attached:
            return
        last, self._last_in = self._last_in, frame
        fault = self.faults.next(Direction.IN)
        if fault is None:
            self._bulk_in.write(frame)
        elif fault.kind is FaultKind.UNPLUG:
            self.detach()
        elif fault.kind is FaultKind.STALL:
            self._bulk_in.stall()
        elif fault.kind is FaultKind.DELAY:
            self._later(object(), fault.seconds, lambda: self._bulk_in.write(frame))
        elif fault.kind is FaultKind.STALE:
            self._bulk_in.write(last)
            self._bulk_in.write(frame)
        elif fault.kind is FaultKind.DUPLICATE:
            self._bulk_in.write(frame)
            self._bulk_in.write(frame)
        elif fault.kind is not FaultKind.DROP:
            self._bulk_in.write(fault.spoil(frame))

    def _later(self, key: object, seconds: float, action: Callable[[], None]) -> None:
        def act() -> None:
            # Whoever takes the timer out of the table decides: this, or a cancellation.
            if self._timers.pop(key, None) is not None:
                action()

        timer = threading.Timer(seconds, act)
        timer.daemon = True
        self._timers[key] = timer
        timer.start()
