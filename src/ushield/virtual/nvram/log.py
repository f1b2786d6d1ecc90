"""The write-ahead log beside a token's file.

SQLite takes what is in it for the token's own pages, and writes keys into it. So a log that is
not the token's own is never opened by SQLite.
"""

from __future__ import annotations

import errno
import os
import stat

from ushield.errors import StorageFull, TokenFileInvalid

__all__ = ["FULL", "MODE", "check_no_journal", "log_path", "make_log", "open_log"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room."""

MODE = 0o600
"""Who may use a token's files: their owner."""


def log_path(path: str) -> str:
    """Where SQLite keeps the write-ahead log of the database at ``path``."""
    return f"{path}-wal"


def open_log(path: str, owner: int, flags: int) -> int | None:
    """A descriptor of the log of the token file at ``path``, if there is one.

    `TokenFileInvalid` unless it is a file like the token's, of the same ``owner`` (user id).
    """
    log = log_path(path)
    try:
        descriptor = os.open(log, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _foreign(log, path) from error
    status = os.fstat(descriptor)
    if (
        not stat.S_ISREG(status.st_mode)
        or stat.S_IMODE(status.st_mode) != MODE
        or status.st_uid != owner
        or status.st_nlink > 1
    ):
        os.close(descriptor)
        raise _foreign(log, path)
    return descriptor


def make_log(path: str, owner: int) -> int | None:
    """`open_log` for writing, of an empty log where there was none.

    ``None`` if there was one just now. `TokenFileInvalid`, `StorageFull`.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(log_path(path), flags, MODE)
    except FileExistsError:
        return open_log(path, owner, os.O_RDWR)
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull(f"no room on the disk of {path}") from error
        raise TokenFileInvalid(
            f"{path} cannot be written to: {error.strerror}",
            path=path,
            remedy="Keep the file in a directory that you may write to.",
        ) from error
    os.fchmod(descriptor, MODE)
    os.fchown(descriptor, owner, -1)
    return descriptor


def check_no_journal(path: str) -> None:
    """Refuse a rollback journal: a token never has one, and SQLite would play it back."""
    journal = f"{path}-journal"
    if os.path.lexists(journal):
        raise _foreign(journal, path)


def _foreign(companion: str, path: str) -> TokenFileInvalid:
    return TokenFileInvalid(
        f"{companion} is not of this token's making",
        path=path,
        remedy=f"Find out who put it there; keep {path} in a directory of your own.",
    )
