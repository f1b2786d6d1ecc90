"""Virtual readers for cards that are put in and pulled out: each kind of reader is a model."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from ushield.ccid.descriptor import (
    ClassDescriptor,
    ExchangeLevel,
    Feature,
    PinSupport,
    VoltageClass,
)
from ushield.ccid.messages import HEADER_LENGTH, MAX_EXTENDED_COMMAND
from ushield.virtual.usb.contact import Card
from ushield.virtual.usb.device import CcidUsbDevice
from ushield.virtual.usb.faults import UsbFaults
from ushield.virtual.usb.pin_pad import VirtualPinPad

__all__ = ["ReaderModel", "VirtualReader"]

_T0, _T1 = 0x01, 0x02
_USUAL_MESSAGE: Final = 271
_ONE_LINE: Final = 0x0110
_NO_PAD: Final = PinSupport(0)

_FEATURES: Final = {
    ExchangeLevel.EXTENDED_APDU: Feature.EXTENDED_APDU | Feature.AUTO_NEGOTIATION,
    ExchangeLevel.SHORT_APDU: Feature.SHORT_APDU | Feature.AUTO_NEGOTIATION,
    # PPS, parameters and IFSD are left to the host.
    ExchangeLevel.TPDU: Feature.TPDU,
    ExchangeLevel.CHARACTER: Feature(0),
}


@dataclass(frozen=True, slots=True)
class ReaderModel:
    """A kind of reader: its class descriptor, and what else USB tells of it."""

    descriptor: ClassDescriptor
    interrupt: bool = True
    vendor_id: int = 0x1209
    product_id: int = 0x0002
    manufacturer: str = "ushield"
    product: str = "Virtual Reader"
    serial: str = ""

    @classmethod
    def of(
        cls,
        level: ExchangeLevel,
        *,
        slots: int = 1,
        interrupt: bool = True,
        pad: PinSupport = _NO_PAD,
        extra: int = 0,
    ) -> ReaderModel:
        """A usual reader of this level of exchange; ``extra`` features may be added to it.

        At TPDU level, cards are put in behind `ushield.virtual.contacts`.
        """
        extended = level is ExchangeLevel.EXTENDED_APDU
        descriptor = ClassDescriptor(
            max_slot_index=slots - 1,
            voltage_support=VoltageClass.V5 | VoltageClass.V3 | VoltageClass.V1_8,
            protocols=_T0 | _T1,
            features=_FEATURES[level] | Feature.AUTO_VOLTAGE | extra,
            max_message_length=(
                MAX_EXTENDED_COMMAND + HEADER_LENGTH if extended else _USUAL_MESSAGE
            ),
            lcd_layout=_ONE_LINE if pad else 0,
            pin_support=pad,
        )
        return cls(descriptor, interrupt)


class VirtualReader(CcidUsbDevice):
    """A reader of this ``model``, plugged in and empty; a context manager that unplugs it.

    ``pad`` is where its keys are pressed, if it has any.
    """

    def __init__(
        self,
        model: ReaderModel,
        *,
        extension_interval: float = 0.5,
        faults: UsbFaults | None = None,
    ) -> None:
        self.pad = VirtualPinPad()
        super().__init__(
            model.descriptor,
            [None] * model.descriptor.slot_count,
            vendor_id=model.vendor_id,
            product_id=model.product_id,
            manufacturer=model.manufacturer,
            product=model.product,
            serial=model.serial,
            interrupt=model.interrupt,
            pad=self.pad if model.descriptor.pin_support else None,
            extension_interval=extension_interval,
            faults=faults,
        )
        self.model = model

    def insert(self, card: Card, slot: int = 0) -> None:
        """Put a card in; one that is there already is pulled out before, and the host told so."""
        if self._slots[slot].occupied:
            self.remove(slot)
        self._slots[slot].insert(card, power=self.model.descriptor.has(Feature.AUTO_ACTIVATION))
        self._ccid.tell(slot)

    def remove(self, slot: int = 0) -> None:
        """Pull the card out, whatever it is doing; harmless with none there."""
        self._slots[slot].remove()
        self._ccid.tell(slot)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.detach()
