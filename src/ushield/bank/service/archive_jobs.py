"""By what a bank's archives are verified, as its folder says at the moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ushield.bank.archive.job import ArchiveJob
    from ushield.bank.configuration import BankConfiguration
    from ushield.bank.revocation.history import Knowledge

__all__ = ["ArchiveJobs"]

_Seen = tuple[tuple[str, int, int], ...]


class ArchiveJobs:
    """Jobs of a bank. Its lists of all years are looked through again only when one was added."""

    def __init__(self, configuration: BankConfiguration) -> None:
        self._configuration = configuration
        self._made: dict[Knowledge, tuple[_Seen, ArchiveJob]] = {}

    def __call__(self, knowledge: Knowledge) -> ArchiveJob:
        """What to verify by; `ConfigurationInvalid`, `InputInvalid`."""
        seen = tuple(self._look())
        made = self._made.get(knowledge)
        if made is None or made[0] != seen:
            made = seen, self._configuration.archive_job(knowledge=knowledge)
            self._made[knowledge] = made
        return made[1]

    def _look(self) -> Iterator[tuple[str, int, int]]:
        settings = self._configuration
        names = (settings.ca, settings.blind_ca, settings.revocation_history)
        for name in filter(None, names):
            path = Path(settings.folder, name)
            for each in sorted((path, *path.rglob("*"))):
                if each.is_file():
                    found = each.stat()
                    yield str(each), found.st_size, found.st_mtime_ns
