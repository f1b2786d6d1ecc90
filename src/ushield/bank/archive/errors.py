"""What stands in the way of verifying an archive as a whole."""

from __future__ import annotations

from typing import ClassVar

from ushield.errors import InputInvalid, UShieldError

__all__ = ["ArchiveBusy", "ArchiveInvalid", "ArchiveStalled", "ArchiveTooLarge", "ShardInvalid"]


class ArchiveInvalid(InputInvalid):
    """A folder that is no archive, or is none to write an archive or its outcomes to."""

    code = "archive-invalid"
    default_remedy = "Name a folder that `ushield bank archive export` wrote."


class ArchiveBusy(ArchiveInvalid):
    """Another run is writing to this folder."""

    code = "archive-busy"
    default_remedy = "Wait until it is done, or name another folder for the outcomes."


class ArchiveTooLarge(InputInvalid):
    """More was accepted in that time than is given out at once."""

    code = "archive-too-large"
    default_remedy = "Ask for a shorter time, or have it written where the bank's folder is."


class ArchiveStalled(UShieldError):
    """No shard was finished for too long; those that were are kept."""

    code = "archive-stalled"
    default_remedy = "Look at the disks and the workers, then run it again: it goes on from there."


class ShardInvalid(InputInvalid):
    """A file that is no shard; ``column`` names the column that is wrong, if it is one."""

    code = "shard-invalid"
    default_remedy = "Write it again, with the columns that the page on archives tells."
    carries: ClassVar[tuple[str, ...]] = ("column",)

    def __init__(self, message: str, *, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column
