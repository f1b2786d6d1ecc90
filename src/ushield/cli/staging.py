"""Files that come into a folder together, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ushield.cli.files import FileFailed
from ushield.cli.output import reason_of

__all__ = ["staged", "sweep"]

_STAGE = ".making.part"


@contextmanager
def staged(folder: Path, last: str) -> Iterator[Path]:
    """A folder whose files are in ``folder``, too, when the block ends, and gone if it fails.

    They are linked there one by one, and the one called ``last`` is moved there in the end. Whoever
    is killed before that leaves a stage that still has it, and links to files of that stage, by
    which the next one knows them and takes them away. `FileFailed` if one of these names is taken,
    or another program is at it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise FileFailed(f"{folder}: {reason_of(error)}") from error
    try:
        _hold(held, folder)
        stage = folder / _STAGE
        _take_back(stage, last)
        stage.mkdir(mode=0o700)
        try:
            yield stage
            _link(stage, last)
            os.fsync(held)
        except BaseException:
            _take_back(stage, last)
            raise
        shutil.rmtree(stage)
    finally:
        os.close(held)


def sweep(folder: Path) -> None:
    """Remove the stage of what was made, but for that; what was made stays."""
    shutil.rmtree(folder / _STAGE, ignore_errors=True)


def _hold(held: int, folder: Path) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise FileFailed(f"{folder}: another program makes something there") from error


def _link(stage: Path, last: str) -> None:
    names = [each.name for each in stage.iterdir() if each.name != last]
    for name in (*names, last):
        target = stage.parent / name
        try:
            if name != last:
                os.link(stage / name, target)
            elif os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            else:
                os.rename(stage / name, target)
        except OSError as error:
            raise FileFailed(f"{target}: {reason_of(error)}") from error


def _take_back(stage: Path, last: str) -> None:
    """Undo what was not finished: what is in the stage, and links to it."""
    if not stage.is_dir():
        return
    # Without it, nothing was linked yet, or everything is where it belongs.
    if (stage / last).exists():
        for each in stage.iterdir():
            target = stage.parent / each.name
            if target.exists() and target.samefile(each):
                target.unlink()
    shutil.rmtree(stage)
