"""The virtual token's memory: a file that survives a power cut between any two of its writes."""

from __future__ import annotations

from ushield.virtual.nvram.faults import CutPower, NvramFaults, PowerCut
from ushield.virtual.nvram.reader import NvramConnection, NvramReader, StorageFailed
from ushield.virtual.nvram.records import (
    CertificateRecord,
    ChannelKey,
    Identity,
    ManagementKey,
    Personalisation,
    PivKey,
    SecretHash,
    StoredKey,
    StoredReference,
)
from ushield.virtual.nvram.snapshot import snapshot
from ushield.virtual.nvram.writer import Nvram

__all__ = [
    "CertificateRecord",
    "ChannelKey",
    "CutPower",
    "Identity",
    "ManagementKey",
    "Nvram",
    "NvramConnection",
    "NvramFaults",
    "NvramReader",
    "Personalisation",
    "PivKey",
    "PowerCut",
    "SecretHash",
    "StorageFailed",
    "StoredKey",
    "StoredReference",
    "snapshot",
]
