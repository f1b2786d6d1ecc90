"""Slots: the places where a token is, or could be, found without opening anything."""

from __future__ import annotations

from dataclasses import dataclass

from ushield.keystore.flags import SlotFlag
from ushield.transport.connection import DeviceInfo

__all__ = ["Slot", "slots"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One device. ``flags`` has ``TOKEN_PRESENT`` once a token in it is open, not before:
    a reader does not tell from outside whether its card is there.
    """

    device: DeviceInfo
    flags: SlotFlag = SlotFlag.REMOVABLE_DEVICE | SlotFlag.HW_SLOT

    @property
    def spec(self) -> str:
        """What names this slot to `ushield.open_token`."""
        return self.device.spec

    @property
    def description(self) -> str:
        """Maker and product as the device tells them, or its SPEC."""
        named = f"{self.device.manufacturer} {self.device.product}".strip()
        return named or self.device.spec


def slots() -> tuple[Slot, ...]:
    """All slots of this machine. Virtual tokens are not among them: they are used when named."""
    from ushield.transport.registry import find_devices

    return tuple(Slot(device) for device in find_devices())
