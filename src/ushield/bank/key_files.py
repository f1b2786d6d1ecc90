"""Files with private keys: new ones that their owner alone can read, and refusing others."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ushield.errors import InputInvalid

__all__ = ["read_private", "write_private"]

_LONGEST = 1 << 14


def write_private(path: str | Path, data: bytes) -> None:
    """Write a new file with mode 0600, durable when this returns.

    `InputInvalid` if it cannot be, or if there is something of that name.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InputInvalid(f"{path}: {error.strerror}") from error


def read_private(path: str | Path) -> bytes:
    """The file's first 16 KiB; `InputInvalid` if there is none, or if others may read it."""
    try:
        with Path(path).open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            data = stream.read(_LONGEST)
    except OSError as error:
        raise InputInvalid(f"{path}: {error.strerror}") from error
    if mode & 0o077:
        raise InputInvalid(f"{path}: other users may read this key", remedy=f"chmod 600 {path}")
    return data
