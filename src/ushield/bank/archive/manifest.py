"""Which shards an archive has: all of them, even one that somebody took away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ushield.bank.archive.errors import ArchiveInvalid

__all__ = ["MANIFEST", "Shard", "find_shards", "manifest_bytes"]

MANIFEST = "archive.json"
"""The file that lists an exported archive's shards; written last."""

_LONGEST = 1 << 26


@dataclass(frozen=True, slots=True)
class Shard:
    """A Parquet file, and the SHA-256 (in hexadecimal) that it must have, if that is known."""

    path: Path
    sha256: str | None = None


def find_shards(folder: Path) -> list[Shard]:
    """The shards in ``folder``: those of its manifest, or all its Parquet files without one.

    With a manifest, a shard that is missing is among them and will be reported. `ArchiveInvalid`
    if there are none, or if the manifest cannot be read.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as stream:
            shards = _read(folder, stream.read(_LONGEST))
    except FileNotFoundError:
        shards = [Shard(each) for each in sorted(folder.glob("*.parquet"))]
    except OSError as error:
        raise ArchiveInvalid(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveInvalid(f"{path}: not the manifest of an archive") from error
    if not shards:
        raise ArchiveInvalid(f"{folder}: no Parquet files in it")
    return shards


def _read(folder: Path, data: bytes) -> list[Shard]:
    found: dict[str, Any] = json.loads(data)
    shards = []
    for each in found["shards"]:
        name, digest = each["name"], each["sha256"]
        if Path(name).name != name or len(bytes.fromhex(digest)) != 32:
            raise ValueError(name)
        shards.append(Shard(folder / name, digest))
    return shards


def manifest_bytes(shards: Sequence[tuple[str, int, str]], **facts: object) -> bytes:
    """A manifest of shards by name, rows and SHA-256, with what else there is to tell."""
    listed = [{"name": name, "rows": rows, "sha256": digest} for name, rows, digest in shards]
    return (json.dumps({**facts, "shards": listed}, indent=1) + "\n").encode()
