"""A result is there whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from ushield.cli.files import FileFailed, NewFile, read_file, write_file


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "payment.p7s"
    with NewFile(str(path), replace=False) as file:
        assert not path.exists()
        file.commit(b"signed")
        assert path.read_bytes() == b"signed"
    assert os.listdir(tmp_path) == ["payment.p7s"]


def test_nothing_is_left_behind_by_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), NewFile(str(tmp_path / "out"), replace=False):
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"mine")
    with (
        pytest.raises(click.UsageError, match="--force"),
        NewFile(str(path), replace=False),
    ):
        pytest.fail("went on")
    assert path.read_bytes() == b"mine"


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with NewFile(str(path), replace=False) as file:
        path.write_bytes(b"mine")
        with pytest.raises(FileFailed, match="exists"):
            file.commit(b"ours")
    assert path.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["out"]


def test_replacing_keeps_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), NewFile(str(path), replace=True):
        raise RuntimeError
    assert path.read_bytes() == b"old"
    write_file(str(path), b"new", replace=True)
    assert path.read_bytes() == b"new"


def test_a_directory_that_is_not_there_is_told_before_any_work(tmp_path: Path) -> None:
    with (
        pytest.raises(FileFailed, match="No such file"),
        NewFile(str(tmp_path / "nowhere" / "out"), replace=False),
    ):
        pytest.fail("went on")


def test_the_users_umask_decides_who_may_read_the_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(str(tmp_path / "out"), b"x", replace=False)
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


def test_a_file_longer_than_it_may_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"12345")
    assert read_file(str(path), at_most=5) == b"12345"
    with pytest.raises(FileFailed, match="longer than 4"):
        read_file(str(path), at_most=4)
