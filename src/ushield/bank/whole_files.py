"""Files that are read whole or not at all, and written so that they are whole on the disk."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ushield.errors import InputInvalid

__all__ = ["PART_PATTERN", "part_of", "read_whole", "sync_folder", "write_durably"]

PART_PATTERN = ".*.part"
"""What files are called that were never finished; whoever holds the folder may remove them."""


def read_whole(
    path: str | Path, *, at_most: int, refusal: Callable[[str], InputInvalid] = InputInvalid
) -> bytes:
    """All of a file of up to so many bytes; ``refusal`` makes the error for any other."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(at_most + 1)
    except OSError as error:
        raise refusal(f"{path}: {error.strerror or error}") from error
    if len(data) > at_most:
        raise refusal(f"{path}: longer than {at_most} bytes")
    return data


@contextmanager
def write_durably(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` when the block ends, and is dropped if it fails.

    `OSError` if the disk takes it not.
    """
    part = part_of(path)
    try:
        with part.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def part_of(path: Path) -> Path:
    """A new name beside ``path`` for what is not finished yet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")


def sync_folder(folder: Path) -> None:
    """Have a file's new name on the disk, too; `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems do not know it.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
