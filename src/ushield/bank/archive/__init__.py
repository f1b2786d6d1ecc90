"""Re-verifying what was accepted long ago: each signature at its time, by the data of that time.

An archive is a folder of Parquet shards, which `export_archive` or anybody else writes.
`verify_archive` verifies it on any `concurrent.futures.Executor`, `verify_batch` a piece of it in
memory. pyarrow (extra ``archive``) is imported when one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.lazy import lazy_names

if TYPE_CHECKING:
    from ushield.bank.archive.batch import HOLDS, RowFault, verify_batch
    from ushield.bank.archive.errors import (
        ArchiveBusy,
        ArchiveInvalid,
        ArchiveStalled,
        ArchiveTooLarge,
        ShardInvalid,
    )
    from ushield.bank.archive.export import export_archive
    from ushield.bank.archive.job import ArchiveJob
    from ushield.bank.archive.manifest import Shard, find_shards
    from ushield.bank.archive.progress import ArchiveProgress
    from ushield.bank.archive.report import ArchiveReport
    from ushield.bank.archive.run import verify_archive
    from ushield.bank.archive.task import ShardFailure, ShardResult
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "batch": ("HOLDS", "RowFault", "verify_batch"),
            "errors": (
                "ArchiveBusy",
                "ArchiveInvalid",
                "ArchiveStalled",
                "ArchiveTooLarge",
                "ShardInvalid",
            ),
            "export": ("export_archive",),
            "job": ("ArchiveJob",),
            "manifest": ("Shard", "find_shards"),
            "progress": ("ArchiveProgress",),
            "report": ("ArchiveReport",),
            "run": ("verify_archive",),
            "task": ("ShardFailure", "ShardResult"),
        },
    )

__all__ = [
    "HOLDS",
    "ArchiveBusy",
    "ArchiveInvalid",
    "ArchiveJob",
    "ArchiveProgress",
    "ArchiveReport",
    "ArchiveStalled",
    "ArchiveTooLarge",
    "RowFault",
    "Shard",
    "ShardFailure",
    "ShardInvalid",
    "ShardResult",
    "export_archive",
    "find_shards",
    "verify_archive",
    "verify_batch",
]
