"""Cards that leave their slot, heard of on a reader's interrupt endpoint.

A reader that powers each card as it is put in reports the next card as powered, too: by its bulk
pipes nobody could tell that it is another one. Only the notices tell.
"""

from __future__ import annotations

import threading
from typing import Final

from ushield.ccid.errors import EndpointHalted, FrameInvalid
from ushield.ccid.notify import SlotChange, parse_notification
from ushield.errors import TransferTimeout, TransportError
from ushield.transport.usb.link import UsbLink

__all__ = ["NoticeWatch"]

# How long a device stays claimed at most after it was given back.
_SLICE: Final = 0.1
_MAX_HALTS: Final = 3


class NoticeWatch:
    """Reads the notices that come over ``link``, from `start` to `stop`, in a thread of its own.

    ``pulled`` are the slots whose card was out since somebody took them from it.
    """

    def __init__(self, link: UsbLink) -> None:
        self.pulled: set[int] = set()
        self._link = link
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; no transfer is under way then."""
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        slots, halts = self._link.reader.descriptor.slot_count, 0
        while not self._stopping.is_set():
            try:
                notice = parse_notification(self._link.read_notice(_SLICE), slots)
            except (TransferTimeout, FrameInvalid):
                continue
            except EndpointHalted:
                halts += 1
                if halts > _MAX_HALTS:
                    return
            except TransportError:
                # The commands on the bulk pipes meet the same, and say so.
                return
            else:
                if isinstance(notice, SlotChange):
                    self.pulled.update(
                        number for number, slot in enumerate(notice.slots) if not slot.present
                    )
