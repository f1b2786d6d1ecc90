"""The command line on real virtual tokens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ushield.cli.application import application

USHIELD = [sys.executable, "-m", "ushield.cli"]

PAYMENT: dict[str, Any] = {
    "kind": "transfer",
    "payer": {"name": "李四", "account": "6222020200112233445"},
    "payee": {"name": "张三", "account": "6222021001098765432", "bank": "中国工商银行北京分行"},
    "amount": "1234.56",
    "currency": "CNY",
    "order": "A1",
    "memo": "房租",
    "challenge": "9f3c5b8e21d74a06",
}


def run(*arguments: str, stdin: str | None = None) -> Result:
    """The command in this process, without a terminal."""
    return CliRunner().invoke(application, arguments, input=stdin)


def told(result: Result) -> dict[str, Any]:
    """The one JSON object on stdout."""
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


@dataclass(frozen=True)
class Enrolled:
    """A token with a P-256 key, its certificate and one signature, as the demo leaves it."""

    folder: Path
    pin: str
    puk: str

    @property
    def path(self) -> Path:
        return self.folder / "token"

    @property
    def spec(self) -> str:
        return f"virtual:{self.path}"

    @property
    def signature(self) -> Path:
        return self.folder / "payment.p7s"

    @property
    def ca(self) -> Path:
        return self.folder / "bank-ca.pem"

    def secret(self, digits: str) -> str:
        """A new file that holds ``digits`` on its first line."""
        path = self.folder / f"secret-{len(os.listdir(self.folder))}"
        path.write_text(digits + "\n")
        return str(path)

    def payment(self, **changes: Any) -> str:
        """A new file that holds a payment as JSON."""
        path = self.folder / f"payment-{len(os.listdir(self.folder))}.json"
        path.write_text(json.dumps(PAYMENT | changes), encoding="utf-8")
        return str(path)

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """A command on this token, in this process, without a terminal."""
        return run("--token", self.spec, *arguments, stdin=stdin)

    def tries_left(self) -> int:
        """The PIN's counter, read from outside."""
        left: int = told(run("--json", "virtual", "show", str(self.path)))["pin"]["user"][
            "tries_left"
        ]
        return left

    def process(self, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        """A command on this token, in a process of its own."""
        settings = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        } | settings
        return subprocess.Popen([*USHIELD, "--token", self.spec, *arguments], **settings)


@pytest.fixture(autouse=True)
def no_token_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USHIELD_TOKEN", raising=False)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("demo") / "out"
    result = run("--json", "demo", "--key", "p256", "--virtual-press", "ok", "--out", str(folder))
    assert result.exit_code == 0, result.stderr
    return folder, told(result)


@pytest.fixture
def enrolled(tmp_path: Path, demo_folder: tuple[Path, dict[str, Any]]) -> Enrolled:
    folder, facts = demo_folder
    copy = tmp_path / "enrolled"
    shutil.copytree(folder, copy)
    return Enrolled(copy, facts["pin"], facts["puk"])
