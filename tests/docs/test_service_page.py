"""The page on the service: its examples run, and it tells all statuses, roles and limits."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from tests.docs.test_examples import REPOSITORY, blocks
from ushield.bank.service import Limits, Role, ServiceConfiguration
from ushield.bank.service.openapi import document
from ushield.bank.service.operations import OPERATIONS

PAGE = REPOSITORY / "docs" / "service.md"
TEXT = PAGE.read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
def test_the_story_leads_from_a_folder_to_a_sealed_log_by_curl(tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    story = TEXT.split("## When an answer is lost")[0]
    script = "".join(re.findall(r"^```sh\n(.*?)^```$", story, re.DOTALL | re.MULTILINE)[1:])
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(timeout=100)
    finally:
        if process.poll() != 0:
            # The service that the story began.
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, told
    again = json.loads((tmp_path / "again.json").read_text())
    assert (again["reason"], again["repeated"]) == ("challenge-replayed", True)
    assert again["acceptance"] == json.loads((tmp_path / "accepted.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "service.log").read_text().splitlines()]
    assert {line["client"] for line in lines} == {"payments", "registrar", "auditor"}
    for secret in (*tmp_path.glob("*.token"), tmp_path / "pin.txt"):
        assert secret.read_text().strip() not in (tmp_path / "service.log").read_text()


def test_every_status_is_told_that_an_answer_can_have() -> None:
    told = {
        int(status)
        for cell in re.findall(r"^\| ([0-9, ]+) \|", TEXT, re.MULTILINE)
        for status in cell.split(", ")
    }
    answered = {
        int(status)
        for path in document()["paths"].values()
        for operation in path.values()
        for status in operation["responses"]
    }
    assert told == {status for status in answered if status >= 400} | {405}


def test_every_role_is_told_and_may_do_something() -> None:
    told = re.findall(r"^\| `([a-z]+)` \| [a-z]", TEXT, re.MULTILINE)
    assert set(told) == set(Role)
    assert set().union(*(operation.roles for operation in OPERATIONS)) == set(Role)


def test_the_service_toml_of_the_page_is_one_with_the_limits_there_are() -> None:
    (text,) = blocks(PAGE, "toml")
    configuration = ServiceConfiguration.parse(text)
    assert configuration.limits == Limits()
    assert set(configuration.clients.by_name) == {"payments", "wang"}
    for limit in fields(Limits):
        assert re.search(rf"^{limit.name} = ", text, re.MULTILINE)
