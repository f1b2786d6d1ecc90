"""Who has a file or device open, from procfs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import usb.core

from tests.transport.cards import device
from ushield.transport.holder import Holder, find_holder
from ushield.transport.usb.discovery import device_node, find_device_holder
from ushield.virtual.usb import VirtualBackend


def process(proc: Path, pid: int, program: bytes, *opened: Path) -> Path:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_bytes(program + b"\n")
    for number, path in enumerate(opened):
        (folder / "fd" / str(number)).symlink_to(path)
    return folder


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    root = tmp_path / "proc"
    root.mkdir()
    (root / "meminfo").write_text("not a process")
    (root / "self").symlink_to("1")
    return root


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "002"
    path.touch()
    return path


def test_nobody_holds_what_nobody_has_open(proc: Path, node: Path, tmp_path: Path) -> None:
    process(proc, 10, b"other", tmp_path / "elsewhere")
    assert find_holder(node, proc=proc) is None


def test_the_holder_is_named_with_its_program(proc: Path, node: Path, tmp_path: Path) -> None:
    process(proc, 10, b"other", tmp_path / "elsewhere")
    process(proc, 11, b"pcscd", tmp_path / "elsewhere", node)
    assert find_holder(node, proc=proc) == Holder(11, "pcscd")


def test_a_path_is_followed_to_the_file_it_names(proc: Path, node: Path, tmp_path: Path) -> None:
    process(proc, 11, b"pcscd", node)
    link = tmp_path / "link"
    link.symlink_to(node)
    assert find_holder(link, proc=proc) == Holder(11, "pcscd")


def test_another_process_is_named_before_this_one(proc: Path, node: Path) -> None:
    process(proc, os.getpid(), b"pytest", node)
    assert find_holder(node, proc=proc) == Holder(os.getpid(), "pytest")
    process(proc, os.getpid() + 1, b"pcscd", node)
    assert find_holder(node, proc=proc) == Holder(os.getpid() + 1, "pcscd")


def test_processes_that_cannot_be_looked_into_are_passed_over(proc: Path, node: Path) -> None:
    (proc / "9").mkdir()
    (proc / "12" / "fd").mkdir(parents=True)
    (proc / "12" / "fd" / "0").write_text("no link")
    (process(proc, 11, b"", node) / "comm").unlink()
    assert find_holder(node, proc=proc) == Holder(11, "")


def test_a_program_cannot_write_to_the_terminal_by_its_name(proc: Path, node: Path) -> None:
    process(proc, 11, b"pc\x1b[2Jscd", node)
    assert find_holder(node, proc=proc) == Holder(11, "pc[2Jscd")


def test_a_system_without_procfs_names_nobody(tmp_path: Path, node: Path) -> None:
    assert find_holder(node, proc=tmp_path / "none") is None


@pytest.mark.skipif(sys.platform != "linux", reason="procfs is Linux's")
def test_a_real_process_is_found(node: Path) -> None:
    code = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(node)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        holder = find_holder(node)
        other.communicate()
    assert holder is not None
    assert holder.pid == other.pid
    assert holder.program
    assert find_holder(node) is None


def test_a_device_is_held_through_its_node() -> None:
    found = usb.core.find(backend=VirtualBackend([device()]))
    assert device_node(found) == "/dev/bus/usb/000/001"
    assert find_device_holder(found) is None
