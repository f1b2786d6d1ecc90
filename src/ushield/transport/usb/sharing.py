"""One reader, several slots: the connections of this process to them share what it claimed.

An interface has one owner on USB, and a reader one sequence of commands. Whoever opens the second
slot of a reader that this process has open joins in; other processes find it busy.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

import usb.core

from ushield.ccid.descriptor import Feature
from ushield.ccid.reader import CcidReader
from ushield.errors import TokenBusy
from ushield.transport.holder import Holder
from ushield.transport.usb.link import UsbLink
from ushield.transport.usb.notices import NoticeWatch

__all__ = ["ClaimedReader", "claim"]


class _Place:
    """Where a device is: one thread at a time claims it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.claimed: ClaimedReader | None = None


_places: Final[WeakValueDictionary[tuple[object, int, int], _Place]] = WeakValueDictionary()
_places_lock = threading.Lock()


class ClaimedReader:
    """A reader that this process has claimed, until the last of its slots is given back.

    ``lock`` is for whoever sends commands; ``running_slot`` says, to those who wait for it, whose
    transfers are under way; ``opened`` that the reader was found ready. ``left_powered`` are the
    slots that nobody has any more and whose card is still to be powered off.
    """

    def __init__(
        self, device: usb.core.Device, link: UsbLink, place: _Place, watch: NoticeWatch | None
    ) -> None:
        self.reader = CcidReader(link.reader.descriptor)
        self.lock = threading.RLock()
        self.running_slot: int | None = None
        self.opened = False
        self.left_powered: set[int] = set()
        self._device = device
        self._link = link
        self._place = place
        self._slots: set[int] = set()
        self._watch = watch

    @property
    def shared(self) -> bool:
        """Whether several slots are in use."""
        return len(self._slots) > 1

    def was_pulled(self, slot: int) -> bool:
        """Whether the card in ``slot`` was out since `take` or `forget_pulled`, as far as told."""
        return self._watch is not None and slot in self._watch.pulled

    def forget_pulled(self, slot: int) -> None:
        """The card that is in ``slot`` now is the one that is meant."""
        if self._watch is not None:
            self._watch.pulled.discard(slot)

    def has(self, slot: int) -> bool:
        """Whether a connection has this slot."""
        return slot in self._slots

    def is_of(self, device: usb.core.Device) -> bool:
        """Whether it is claimed through this object, which would claim it again without a word."""
        return self._device is device

    def take(self, slot: int) -> UsbLink:
        """A link for the connection to ``slot``, to be abandoned by itself."""
        self._slots.add(slot)
        self.left_powered.discard(slot)
        return self._link.sibling()

    def give_back(self, slot: int) -> None:
        """The connection to ``slot`` has ended; with the last one the device is given back."""
        with self._place.lock:
            self._slots.discard(slot)
            if not self._slots:
                if self._place.claimed is self:
                    self._place.claimed = None
                if self._watch is not None:
                    self._watch.stop()
                self._link.close()


def _watch(link: UsbLink) -> NoticeWatch | None:
    """Only where cards can change unseen; the one behind a panel is soldered in."""
    reader = link.reader
    if reader.interrupt is None or link.panel or not reader.descriptor.has(Feature.AUTO_ACTIVATION):
        return None
    watch = NoticeWatch(link.sibling())
    watch.start()
    return watch


def claim(
    device: usb.core.Device,
    slot: int,
    find_device_holder: Callable[[usb.core.Device], Holder | None],
) -> tuple[ClaimedReader, UsbLink]:
    """Claim the reader, or join in where this process has it already and the slot is free.

    Raises what `UsbLink.open` does; `TokenBusy` also where this process has the slot.
    """
    key = (device.backend, int(device.bus), int(device.address))
    with _places_lock:
        place = _places.get(key)
        if place is None:
            place = _places[key] = _Place()
    with place.lock:
        claimed = place.claimed
        if claimed is None or claimed.has(slot):
            if claimed is not None and claimed.is_of(device):
                raise TokenBusy(
                    "this program has opened the token already",
                    pid=os.getpid(),
                    program="this program",
                )
            link = UsbLink.open(device, find_device_holder)
            claimed = ClaimedReader(device, link, place, _watch(link))
            place.claimed = claimed
        return claimed, claimed.take(slot)


def _forget_places() -> None:
    """In a forked process: what the other one has claimed is not to be joined."""
    global _places_lock  # noqa: PLW0603 - another thread may have held it
    _places_lock = threading.Lock()
    _places.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_places)
