"""Virtual tokens and readers as USB devices, whoever their host is: this process or a kernel."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from typing import Final

from usbip.core import OUT, Urb
from usbip.device import Endpoint, USBDevice

from ushield.ccid.descriptor import ClassDescriptor, Feature, VoltageClass
from ushield.ccid.messages import HEADER_LENGTH, MAX_EXTENDED_COMMAND
from ushield.virtual.usb.contact import Card
from ushield.virtual.usb.faults import Direction, Fault, FaultKind, UsbFaults
from ushield.virtual.usb.interfaces import PACKET_SIZE, CcidInterface, PanelInterface
from ushield.virtual.usb.pin_pad import VirtualPinPad
from ushield.virtual.usb.pipes import CcidPipes
from ushield.virtual.usb.slot import CcidSlot

__all__ = ["CcidUsbDevice", "VirtualUsbDevice"]

_GONE: Final = -errno.ENODEV
_STALLED: Final = -errno.EPIPE


_T1: Final = 0x02

_FEATURES: Final = (
    Feature.AUTO_CONFIGURATION
    | Feature.AUTO_ACTIVATION
    | Feature.AUTO_VOLTAGE
    | Feature.AUTO_CLOCK
    | Feature.AUTO_BAUD_RATE
    | Feature.AUTO_NEGOTIATION
    | Feature.AUTO_IFSD
    | Feature.EXTENDED_APDU
)


class CcidUsbDevice(USBDevice):  # type: ignore[misc]
    """A reader as ``descriptor`` says, with ``cards`` in its slots; ``None`` for an empty one.

    A host gives it URBs by `handle_urb` and takes them back by `cancel_urb`, as `usbip` defines
    both. It is plugged in when made; `detach` and `attach` are the cable.
    """

    def __init__(
        self,
        descriptor: ClassDescriptor,
        cards: Sequence[Card | None],
        *,
        vendor_id: int,
        product_id: int,
        manufacturer: str,
        product: str,
        serial: str,
        interrupt: bool = True,
        pad: VirtualPinPad | None = None,
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
        self._slots = tuple(
            CcidSlot(
                card,
                self._answer,
                descriptor=descriptor,
                number=number,
                extension_interval=extension_interval,
                pad=pad,
            )
            for number, card in enumerate(cards)
        )
        self._pipes = CcidPipes(self._slots, self._answer, packet_size=PACKET_SIZE)
        self._ccid = CcidInterface(self._pipes, descriptor, interrupt=interrupt)
        self.add(self._ccid)
        self._bulk_out: Endpoint = self._ccid.bulk_out
        self._bulk_in: Endpoint = self._ccid.bulk_in

    @property
    def attached(self) -> bool:
        """Whether the cable is in."""
        return self._attached

    def detach(self) -> None:
        """Pull it out: every transfer under way ends with "no such device"."""
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
            self._pipes.receive(message)
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
            self._pipes.receive(message)
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


class VirtualUsbDevice(CcidUsbDevice):
    """A token: a reader with ``card`` soldered in, and a panel's events beside it."""

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
            ClassDescriptor(
                max_slot_index=0,
                voltage_support=VoltageClass.V5 | VoltageClass.V3 | VoltageClass.V1_8,
                protocols=_T1,
                features=_FEATURES,
                max_message_length=max_message_length,
            ),
            [card],
            vendor_id=vendor_id,
            product_id=product_id,
            manufacturer=manufacturer,
            product=product,
            serial=serial,
            extension_interval=extension_interval,
            faults=faults,
        )
        self._panel = PanelInterface()
        self.add(self._panel)

    def report(self, event: bytes) -> None:
        """Send one panel event; lost if the cable is out."""
        if self._attached:
            self._panel.report(event)
