"""The file below the NVRAM: who may open it, one at a time, and how it comes into being."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from pathlib import Path

from ushield.errors import StorageFull, TokenBusy, TokenFileInvalid, TokenNotFound
from ushield.virtual.nvram.log import FULL, MODE, check_no_journal, log_path, make_log
from ushield.virtual.nvram.schema import APPLICATION_ID, PAGE_SIZE

__all__ = ["LockedFile", "busy", "check", "check_access", "open_file", "place", "real_path"]

_MAGIC = b"SQLite format 3\x00"
# "The SQLite Database File Format", 1.3
_PAGE_COUNT = slice(28, 32)
_APPLICATION_ID = slice(68, 72)


def real_path(path: str | os.PathLike[str]) -> str:
    """``path`` without symbolic links; `TokenFileInvalid` for what can name no file."""
    try:
        return os.path.realpath(path)
    except ValueError:  # a zero byte, or half of a surrogate pair
        raise TokenFileInvalid(f"{path!r} names no file", path=os.fspath(path)) from None


def busy(path: str) -> TokenBusy:
    """What to raise when another process, or another part of this one, has the token open."""
    from ushield.transport.holder import find_holder

    holder = find_holder(path)
    if holder is None:
        return TokenBusy(f"{path} is in use")
    return TokenBusy(
        f"{path} is in use by {holder.program} (process {holder.pid})",
        pid=holder.pid,
        program=holder.program,
    )


def open_file(path: str, flags: int) -> int:
    """Open a token file, never waiting for it; `TokenNotFound`, `TokenFileInvalid`."""
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


def check_access(descriptor: int, path: str) -> os.stat_result:
    """Refuse what others may have read, or may know by another name."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise TokenFileInvalid(f"{path} is not a regular file", path=path)
    mode = stat.S_IMODE(status.st_mode)
    if mode != MODE:
        raise TokenFileInvalid(
            f"{path} has mode {mode:04o}: its keys are safe only with 0600",
            path=path,
            remedy=f"If nobody else could have read it, run: chmod 600 {path}",
        )
    # The log belongs to one name of the file. Opened by another one, the token would forget what
    # only the log has: a PIN, or tries that were spent.
    if status.st_nlink > 1:
        raise TokenFileInvalid(
            f"{path} has {status.st_nlink} names (hard links)",
            path=path,
            remedy=f"Remove the others; this shows them: find DIRECTORY -samefile {path}",
        )
    return status


def check(descriptor: int, path: str) -> None:
    """Refuse what is no token file by its mode, its first bytes or its size."""
    status = check_access(descriptor, path)
    header = os.pread(descriptor, 100, 0)
    if header[: len(_MAGIC)] != _MAGIC:
        raise TokenFileInvalid(f"{path} is not a token file", path=path)
    # Here already: opening another program's database could change it.
    if int.from_bytes(header[_APPLICATION_ID], "big") != APPLICATION_ID:
        raise TokenFileInvalid(f"{path} is another program's database", path=path)
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
    except OSError:
        return False


class LockedFile:
    """A token file that this object alone may write to, until `close` or the process's end."""

    __slots__ = ("_descriptor", "_log", "_owner", "_process", "path")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._owner = os.fstat(descriptor).st_uid
        self._process = os.getpid()
        self._log = -1

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> LockedFile:
        """Check the file and lock it and its log, which is made if there is none.

        `TokenNotFound`, `TokenBusy`, or `TokenFileInvalid` for a file that is none, that others
        may read, or beside which somebody else's log or journal lies; `StorageFull`.
        """
        real = real_path(path)
        file = cls(real, open_file(real, os.O_RDWR))
        try:
            _lock(file._descriptor, real)
            check(file._descriptor, real)
            check_no_journal(real)
            # Before SQLite looks for it: nobody can come between.
            file._take_log()
        except BaseException:
            file.close()
            raise
        return file

    def _take_log(self) -> None:
        log = make_log(self.path, self._owner)
        if log is None:
            raise busy(self.path)
        self._log = log
        # Another process may still write to it, which has a file open that was at this path.
        _lock(log, self.path)

    @property
    def log(self) -> int:
        """The log's descriptor, which stays this object's; -1 once it is closed."""
        return self._log

    @property
    def process(self) -> int:
        """The id of the process that opened the file; no child that it forks may write to it."""
        return self._process

    @property
    def log_removed(self) -> bool:
        """Whether the log has lost its name, so that the next opening will not find it."""
        return self._log >= 0 and not os.fstat(self._log).st_nlink

    def close(self) -> None:
        """Let others open it; harmless to repeat."""
        # A forked child has the locks as well: closing alone would not end them, and nothing here
        # is the child's to end.
        is_owner = os.getpid() == self._process
        if is_owner and self._log >= 0:
            status = os.fstat(self._log)
            if status.st_nlink and not status.st_size:
                os.unlink(log_path(self.path))
        for descriptor in (self._log, self._descriptor):
            if descriptor >= 0:
                if is_owner:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)
        self._log = self._descriptor = -1


def _lock(descriptor: int, path: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise busy(path) from None


def place(path: str | os.PathLike[str], image: bytes) -> None:
    """Make the file ``path`` with these bytes: complete or not at all, never over another file.

    `TokenFileInvalid` if something is there already, or the directory takes no files;
    `StorageFull`.
    """
    target = Path(real_path(path))
    # SQLite would replay a log that an earlier token left behind into the new one.
    for taken in (target, Path(log_path(str(target)))):
        if os.path.lexists(taken):
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
        if error.errno in FULL:
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
