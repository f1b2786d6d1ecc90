"""How far a run is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ArchiveProgress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveProgress:
    """After a shard: how many are done (failed ones, too) of how many, with how many rows.

    ``resumed`` of them were done by an earlier run; their ``resumed_rows`` are among ``rows``.
    ``seconds`` is the time since this one began.
    """

    shards: int
    of_shards: int
    resumed: int
    rows: int
    resumed_rows: int
    seconds: float

    @property
    def rate(self) -> float:
        """Rows a second, of those that this run verified."""
        return (self.rows - self.resumed_rows) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take if it goes on as it did; ``None`` if nothing tells."""
        worked = self.shards - self.resumed
        if worked == 0:
            return None
        return self.seconds / worked * (self.of_shards - self.shards)
