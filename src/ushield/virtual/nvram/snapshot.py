"""A token's memory looked at without touching it, while another process may be using it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ushield.virtual.nvram.copying import copy_of
from ushield.virtual.nvram.reader import NvramReader, connect_sqlite, reported

__all__ = ["snapshot"]


@contextmanager
def snapshot(path: str | os.PathLike[str]) -> Iterator[NvramReader]:
    """The records of a token file as they are now, read from a copy of it.

    The file is neither locked nor written. `TokenNotFound`, `TokenFileInvalid`, or `TokenBusy`
    if it keeps changing.
    """
    with copy_of(path) as copy:
        with reported(os.fspath(path)):
            connection = connect_sqlite(copy)
        try:
            reader = NvramReader(connection, os.fspath(path))
            reader.check()
            yield reader
        finally:
            connection.close()
