"""The file below the NVRAM: who may open it, one at a time, and how it comes into being."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ushield.errors import StorageFull, TokenBusy, TokenFileInvalid, TokenNotFound
from ushield.virtual.nvram.schema import PAGE_SIZE

__all__ = ["LockedFile", "busy", "copy_of", "log_path", "place"]

_MODE = 0o600
_MAGIC = b"SQLite format 3\x00"
_PAGE_COUNT = slice(28, 32)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def log_path(path: str) -> str:
    """Where SQLite keeps the write-ahead log of the database at ``path``."""
    return f"{path}-wal"


def busy(path: str) -> TokenBusy:
    """What to raise when another process, or another part of this one, has the token open."""
    from ushield.transport.usb.holder import find_holder

    holder = find_holder(path)
    if holder is None:
        return TokenBusy(f"{path} is in use")
    return TokenBusy(
        f"{path} is in use by {holder.program} (process {holder.pid})",
        pid=holder.pid,
        program=holder.program,
    )


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise TokenNotFound(
            f"there is no token file {path}",
            remedy="Name the file that `ushield virtual create` made.",
        ) from None
    except OSError as error:
        raise TokenFileInvalid(
            f"{path} cannot be opened: {error.strerror}",
            path=path,
            remedy=f"Own the file and its directory, then run: chmod 600 {path}",
        ) from error


def _check(descriptor: int, path: str) -> None:
    """Refuse what is no token file by its mode, its first bytes or its size."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise TokenFileInvalid(f"{path} is not a regular file", path=path)
    mode = stat.S_IMODE(status.st_mode)
    if mode != _MODE:
        raise TokenFileInvalid(
            f"{path} has mode {mode:04o}: its keys are safe only with 0600",
            path=path,
            remedy=f"If nobody else could have read it, run: chmod 600 {path}",
        )
    header = os.pread(descriptor, 100, 0)
    if header[: len(_MAGIC)] != _MAGIC:
        raise TokenFileInvalid(f"{path} is not a token file", path=path)
    # A write-ahead log may hold pages that its database does not have yet, so only a database
    # without one has exactly the size that its header says.
    pages = int.from_bytes(header[_PAGE_COUNT], "big")
    if status.st_size != pages * PAGE_SIZE and not _has_log(path):
        raise TokenFileInvalid(
            f"{path} was cut short or added to: {status.st_size} bytes,"
            f" where it should have {pages * PAGE_SIZE}",
            path=path,
            remedy="Restore the file from a copy, or create a new token.",
        )


def _has_log(path: str) -> bool:
    try:
        return os.stat(log_path(path)).st_size > 0
    except FileNotFoundError:
        return False


class LockedFile:
    """A token file that this object alone may write to, until `close` or the process's end."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> LockedFile:
        """Check the file and lock it.

        `TokenNotFound`, `TokenBusy`, or `TokenFileInvalid` for a file that is none or that others
        may read.
        """
        real = os.path.realpath(path)
        descriptor = _open(real, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _check(descriptor, real)
        except BlockingIOError:
            os.close(descriptor)
            raise busy(real) from None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(real, descriptor)

    def close(self) -> None:
        """Let others open it; harmless to repeat."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def place(path: str | os.PathLike[str], image: bytes) -> None:
    """Make the file ``path`` with these bytes: complete or not at all, never over another file.

    `TokenFileInvalid` if something is there already, or the directory takes no files;
    `StorageFull`.
    """
    target = Path(os.path.realpath(path))
    # SQLite would replay a log that an earlier token left behind into the new one.
    for taken in (target, Path(log_path(str(target)))):
        if taken.exists():
            raise _taken(taken)
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(image)
                file.flush()
                os.fsync(descriptor)
            # Unlike a rename, a link fails if another process was faster.
            os.link(draft, target)
        finally:
            os.unlink(draft)
        _sync_directory(target.parent)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(f"no room for {target}") from error
        raise TokenFileInvalid(
            f"{target} cannot be created: {error.strerror}",
            path=str(target),
            remedy="Name a file in a directory of your own.",
        ) from error


def _taken(path: Path) -> TokenFileInvalid:
    return TokenFileInvalid(
        f"{path} is there already", path=str(path), remedy="Choose another name, or remove it."
    )


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def copy_of(path: str | os.PathLike[str]) -> Iterator[str]:
    """A copy of the file and its log as they were at one moment, by path; gone afterwards.

    The original is neither locked nor written, so it may be in use. `TokenBusy` if it keeps
    changing under the copy.
    """
    real = os.path.realpath(path)
    descriptor = _open(real, os.O_RDONLY)
    try:
        _check(descriptor, real)
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


_ATTEMPTS = 100


def _read_both(path: str) -> tuple[bytes, bytes]:
    log = b""
    with open(path, "rb") as file:
        database = file.read()
    with suppress(FileNotFoundError), open(log_path(path), "rb") as file:
        log = file.read()
    return database, log


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _MODE)
