"""A token's file and log copied as they were at one moment, while they may be in use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ushield.virtual.nvram.file import busy, check, check_access, open_file, real_path
from ushield.virtual.nvram.log import MODE, log_path, open_log

__all__ = ["copy_of"]

_ATTEMPTS = 100


@contextmanager
def copy_of(path: str | os.PathLike[str]) -> Iterator[str]:
    """A copy of the file and its log as they were at one moment, by path; gone afterwards.

    The original is neither locked nor written, so it may be in use. `TokenBusy` if it keeps
    changing under the copy.
    """
    real = real_path(path)
    descriptor = open_file(real, os.O_RDONLY)
    try:
        check(descriptor, real)
    finally:
        os.close(descriptor)
    # The copy has the private keys: where there is such a place, they stay off the disk.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    for _ in range(_ATTEMPTS):
        before = _read_both(real)
        if _read_both(real) == before:
            break
    else:
        raise busy(real)
    with tempfile.TemporaryDirectory(prefix="ushield-", dir=memory) as directory:
        copy = os.path.join(directory, "token")
        for name, data in zip((copy, log_path(copy)), before, strict=True):
            with open(name, "wb", opener=_private) as file:
                file.write(data)
        yield copy


def _read_both(path: str) -> tuple[bytes, bytes]:
    with open(open_file(path, os.O_RDONLY), "rb") as file:
        owner = check_access(file.fileno(), path).st_uid
        database = file.read()
    descriptor = open_log(path, owner, os.O_RDONLY)
    if descriptor is None:
        return database, b""
    with open(descriptor, "rb") as file:
        return database, file.read()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, MODE)
