"""Cards in readers that belong to the system: PC/SC, by pyscard (the extra ``pcsc``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.transport.pcsc.connection import PcscConnection, open_pcsc
    from ushield.transport.pcsc.errors import PcscUnavailable
    from ushield.transport.pcsc.service import PcscReader, find_readers
else:
    # Schemes are looked through for every SPEC: pyscard is loaded when it is needed.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "connection": ("PcscConnection", "open_pcsc"),
            "errors": ("PcscUnavailable",),
            "service": ("PcscReader", "find_readers"),
        },
    )

__all__ = [
    "PcscConnection",
    "PcscReader",
    "PcscUnavailable",
    "find_readers",
    "open_pcsc",
]
