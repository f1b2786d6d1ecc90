"""Arrivals and removals as events, by looking at the bus again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ushield.transport.usb.discovery import UsbReader

__all__ = ["Arrived", "HotplugEvent", "Removed", "watch"]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A reader or token that is there now and was not before."""

    reader: UsbReader


@dataclass(frozen=True, slots=True)
class Removed:
    """One that was there and is no more."""

    reader: UsbReader


HotplugEvent: TypeAlias = Arrived | Removed


def watch(
    find: Callable[[], Iterable[UsbReader]],
    stop: threading.Event,
    *,
    interval: float = 0.5,
) -> Iterator[HotplugEvent]:
    """Look every ``interval`` seconds until ``stop`` is set; what is there already arrives first.

    A token pulled and put back between two looks is removed and arrives: its address is new.
    Nothing is opened.
    """
    present: dict[UsbReader, None] = {}
    while not stop.is_set():
        seen = dict.fromkeys(find())
        for reader in [reader for reader in present if reader not in seen]:
            del present[reader]
            yield Removed(reader)
        for reader in seen:
            if reader not in present:
                present[reader] = None
                yield Arrived(reader)
        stop.wait(interval)
