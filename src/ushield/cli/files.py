"""Reading what a command is given, and writing its result whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import click

from ushield.cli.output import reason_of
from ushield.errors import InputInvalid

__all__ = [
    "FileFailed",
    "NewFile",
    "new_file_options",
    "read_file",
    "read_hexadecimal",
    "write_file",
]

C = TypeVar("C", bound=Callable[..., Any])


class FileFailed(InputInvalid):
    """A file named on the command line could not be read or written."""

    code = "file-failed"
    default_remedy = "Name another file, or change who may use this one."


def read_file(path: str, *, at_most: int) -> bytes:
    """The whole file; `FileFailed` if it cannot be read or is longer than ``at_most`` bytes."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(at_most + 1)
    except OSError as error:
        raise FileFailed(f"{path}: {reason_of(error)}") from error
    if len(data) > at_most:
        raise FileFailed(f"{path}: longer than {at_most} bytes", remedy="Is it the right file?")
    return data


def read_hexadecimal(path: str, *, at_most: int) -> bytes:
    """The bytes that a file has as hexadecimal text; `FileFailed` for anything else."""
    text = read_file(path, at_most=at_most)
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise FileFailed(f"{path}: not hexadecimal", remedy="Is it the right file?") from error


class NewFile:
    """A file that appears under its name complete, or not at all.

    Opened before the work begins, so that a signature is not lost to a directory nobody may write
    to. `click.UsageError` if something has that name already, unless ``replace``.
    """

    __slots__ = ("_path", "_replace", "_temporary")

    def __init__(self, path: str, *, replace: bool) -> None:
        self._path = Path(path)
        self._replace = replace
        self._temporary: Path | None = None

    def __enter__(self) -> Self:
        if not self._replace and os.path.lexists(self._path):
            raise click.UsageError(f"{self._path} exists; --force replaces it")
        try:
            descriptor, name = tempfile.mkstemp(
                prefix=f".{self._path.name}.", suffix=".part", dir=self._path.parent
            )
        except OSError as error:
            raise FileFailed(f"{self._path}: {reason_of(error)}") from error
        os.close(descriptor)
        self._temporary = Path(name)
        return self

    def commit(self, data: bytes) -> None:
        """Write ``data`` and give the file its name; durable when this returns."""
        temporary = self._temporary
        if temporary is None:
            raise ValueError("not open")
        try:
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~_umask())
            if self._replace or not _linked(temporary, self._path):
                temporary.replace(self._path)
        except OSError as error:
            raise FileFailed(f"{self._path}: {reason_of(error)}") from error

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._temporary is not None:
            with suppress(FileNotFoundError):
                self._temporary.unlink()
            self._temporary = None


def new_file_options(told: str) -> Callable[[C], C]:
    """``-o FILE``, which must be given, and ``--force``; they arrive as ``out`` and ``force``.

    ``told`` says what goes there.
    """

    def decorate(function: C) -> C:
        force = click.option("--force", is_flag=True, help="Replace the file of --output.")
        output = click.option(
            "-o", "--output", "out", metavar="FILE", required=True, help=f"Where {told}."
        )
        return output(force(function))

    return decorate


def write_file(path: str, data: bytes, *, replace: bool) -> None:
    """Write ``data`` at once; refusals as `NewFile`."""
    with NewFile(path, replace=replace) as file:
        file.commit(data)


def _linked(temporary: Path, path: Path) -> bool:
    """Link, which unlike a rename does not replace what came there meanwhile, where links exist."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            return False
        raise
    return True


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
