"""`bank init` that is killed at any step is done again, and a bank that is there is left alone."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.pki import authority, pem
from ushield.bank.configuration import BankConfiguration
from ushield.cli.application import application

MOST_STEPS = 300
STEPS = frozenset(("open", "os.mkdir", "os.link", "os.rename", "os.remove", "os.rmdir"))


def init(folder: Path, *options: str) -> dict[str, Any]:
    done = CliRunner().invoke(application, ["--json", "bank", "init", str(folder), *options])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def killed_at(step: int, folder: Path, *options: str) -> bool:
    """Whether the command came so far, where it is killed: steps are those on the bank's files."""
    child = os.fork()
    if child == 0:
        passed = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal passed
            if event not in STEPS or str(folder) not in str(arguments[0]):
                return
            # The database is another test's matter.
            if "bank.db" in str(arguments[0]):
                return
            passed += 1
            if passed > step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            init(folder, *options)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


@pytest.mark.parametrize("own_ca", [False, True])
def test_a_killed_init_is_begun_anew_and_a_finished_one_stays(tmp_path: Path, own_ca: bool) -> None:
    (tmp_path / "ca.pem").write_bytes(pem(authority()))
    options = ("--own-ca", "A Bank") if own_ca else ("--ca", str(tmp_path / "ca.pem"))
    was_new = []
    for step in range(MOST_STEPS):
        folder = tmp_path / f"bank-{step}"
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")
        was_killed = killed_at(step, folder, *options)
        is_new = not (folder / "bank.toml").exists()
        was_new.append(is_new)
        kept = None if is_new else (folder / "audit-key.pem").read_bytes()
        assert init(folder, *(options if is_new else ()))["new"] is is_new
        if kept is not None:
            assert (folder / "audit-key.pem").read_bytes() == kept
        assert not list(folder.glob(".*"))
        assert (folder / "mine.txt").read_text() == "mine"
        configuration = BankConfiguration.load(folder)
        with configuration.open() as bank:
            bank.sequencer(configuration.audit_signer()).seal_all()
        configuration.unblock_signer()
        assert (folder / "unblock-public.pem").exists()
        if not was_killed:
            break
    assert not was_killed
    # Killed before it was a bank, and after.
    first = was_new.index(False)
    assert first > 10
    assert not any(was_new[first:])
    assert len(was_new) > first + 1


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(pem(authority()))
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "audit-key.pem").write_text("another key")
    arguments = ["bank", "init", str(folder), "--ca", str(tmp_path / "ca.pem")]
    refused = CliRunner().invoke(application, arguments)
    assert refused.exit_code != 0
    assert "audit-key.pem" in refused.stderr
    assert [each.name for each in folder.iterdir()] == ["audit-key.pem"]
    assert (folder / "audit-key.pem").read_text() == "another key"


def test_the_keys_of_a_bank_that_was_finished_are_never_taken_back(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(pem(authority()))
    folder = tmp_path / "bank"
    init(folder, "--ca", str(tmp_path / "ca.pem"))
    # As after a kill when all was in its place; then somebody loses bank.toml.
    (folder / ".making.part").mkdir()
    os.link(folder / "audit-key.pem", folder / ".making.part" / "audit-key.pem")
    kept = (folder / "audit-key.pem").read_bytes()
    (folder / "bank.toml").unlink()
    arguments = ["bank", "init", str(folder), "--ca", str(tmp_path / "ca.pem")]
    refused = CliRunner().invoke(application, arguments)
    assert refused.exit_code != 0
    assert (folder / "audit-key.pem").read_bytes() == kept
