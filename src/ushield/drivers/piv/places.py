"""The slots of a PIV card, and what people call them."""

from __future__ import annotations

from ushield.errors import InputInvalid
from ushield.piv.commands import KEY_SLOTS, RETIRED, Slot

__all__ = ["SLOTS", "place_name", "slot_at"]

SLOTS = (
    int(Slot.AUTHENTICATION),
    int(Slot.SIGNATURE),
    int(Slot.KEY_MANAGEMENT),
    int(Slot.CARD_AUTHENTICATION),
    *RETIRED,
)
"""Key references in the order in which they are told."""


def place_name(slot: int) -> str:
    """A slot as people write it: ``9c``."""
    return f"{slot:02x}"


def slot_at(place: str) -> int:
    """The key reference of a slot; `InputInvalid` for what is none."""
    try:
        slot = int(place, 16) if len(place) == 2 else -1
    except ValueError:
        slot = -1
    if slot not in KEY_SLOTS:
        raise InputInvalid(
            f"{place!r} is no slot of a PIV card", remedy="They are 9a, 9c, 9d, 9e, and 82 to 95."
        )
    return slot
