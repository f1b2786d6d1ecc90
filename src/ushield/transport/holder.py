"""Which program holds a file or a device open, from procfs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["PROCFS", "Holder", "find_holder"]

PROCFS: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process and the name it goes by."""

    pid: int
    program: str


def find_holder(path: str | os.PathLike[str], *, proc: Path = PROCFS) -> Holder | None:
    """A process that has ``path`` open: another one if there is one, else this one.

    ``None`` if nobody has, or if only processes have it that this user may not look into.
    """
    target = os.path.realpath(path)
    own = None
    for pid in _processes(proc):
        if _has_open(proc / str(pid) / "fd", target):
            holder = Holder(pid, _program(proc / str(pid)))
            if pid != os.getpid():
                return holder
            own = holder
    return own


def _processes(proc: Path) -> Iterator[int]:
    try:
        names = os.listdir(proc)
    except OSError:
        return
    for name in names:
        if name.isascii() and name.isdigit():
            yield int(name)


def _has_open(folder: Path, target: str) -> bool:
    try:
        descriptors = os.listdir(folder)
    except OSError:
        # Another user's process, or one that ended meanwhile.
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(folder / descriptor) == target:
                return True
        except OSError:
            continue
    return False


def _program(folder: Path) -> str:
    try:
        name = (folder / "comm").read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return "".join(character for character in name if character.isprintable())
