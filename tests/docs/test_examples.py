"""The examples of the documents run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.iso7816.connections import scripted
from tests.openssl import needs_openssl
from tests.virtual.piv_host import PIN, PUK, PivHost
from ushield.drivers.registry import driver_for, drivers
from ushield.errors import NoDriver
from ushield.shield.events import PanelKey
from ushield.testing.token import VirtualTokenUnderTest
from ushield.transaction import Transaction, from_json, to_json
from ushield.transport.connection import DeviceInfo
from ushield.virtual.create import create_token
from ushield.virtual.token import VirtualToken

REPOSITORY = Path(__file__).parent.parent.parent
README = REPOSITORY / "README.md"
TUTORIAL = REPOSITORY / "docs" / "tutorial.md"
TESTING = REPOSITORY / "docs" / "testing.md"
READERS = REPOSITORY / "docs" / "readers.md"
DRIVER = REPOSITORY / "docs" / "write-a-driver.md"
YUBIKEY = REPOSITORY / "docs" / "how-to-yubikey.md"


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no {language} example"
    return found


@needs_openssl
def test_the_tutorial_leads_from_an_empty_token_to_a_verified_payment(tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {"PATH": path, "PYTHONUTF8": "1"}
    for command in (
        ["bash", "-euo", "pipefail", "-c", "".join(blocks(TUTORIAL, "sh"))],
        [sys.executable, "-c", "".join(blocks(TUTORIAL, "python"))],
    ):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "张三" in (tmp_path / "message.xml").read_text()


@needs_openssl
def test_the_how_to_leads_from_a_new_piv_card_to_a_blind_signature(tmp_path: Path) -> None:
    card = tmp_path / "card"
    create_token(card, pin=PIN, puk=PUK)
    with PivHost(VirtualToken.open(card)) as new:
        # So that it has PIN and PUK as a new card has.
        new.block()
        assert new.send(0xFB).ok
    (tmp_path / "payment.json").write_text(blocks(YUBIKEY, "json")[0], encoding="utf-8")
    commands = "".join(blocks(YUBIKEY, "sh"))
    # Someone touches the card, which is not of hardware.
    touching = re.sub(
        r"^(ushield (?:sign|cert request) .*)$", r"\1 --virtual-press ok", commands, flags=re.M
    )
    touching = re.sub(r"^(ushield verify .*)$", r"\1 --accept-virtual", touching, flags=re.M)
    (program,) = blocks(YUBIKEY, "python")
    finger = (
        "import threading, time\nfrom ushield.shield.events import PanelKey\n"
        "from ushield.virtual.token import VirtualToken\n"
        f"virtual = VirtualToken.open({str(card)!r})\n"
        "def press():\n"
        "    while not virtual.panel.pages:\n        time.sleep(0.01)\n"
        "    virtual.panel.press(PanelKey.OK)\n"
        "threading.Thread(target=press, daemon=True).start()\n"
    )
    program = program.replace("open_token()", f'open_token("virtual:{card}", driver="piv")')
    program = program.replace("accept_blind=blind_ca", "accept_blind=blind_ca, accept_virtual=True")
    environment = os.environ | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONUTF8": "1",
        "USHIELD_TOKEN": f"virtual:{card}",
        "USHIELD_DRIVER": "piv",
    }
    outputs = []
    for command in (
        ["bash", "-euo", "pipefail", "-c", touching],
        [sys.executable, "-c", finger + program],
    ):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(done.stdout)
    assert "EVERYBODY KNOWS" in outputs[0]
    assert "NO SCREEN SHOWED IT" in outputs[0]
    assert "Touch the token." in outputs[1]


def test_the_fixtures_do_what_the_testing_page_shows(pytester: pytest.Pytester) -> None:
    (example,) = blocks(TESTING, "python")
    pytester.makepyfile(example)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)


def test_a_card_is_pulled_out_of_a_reader_as_the_readers_page_shows(
    pytester: pytest.Pytester,
) -> None:
    (example,) = blocks(READERS, "python")
    pytester.makepyfile(example)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


@pytest.fixture
def transfer() -> Transaction:
    source = blocks(README, "python")[0]
    (text,) = re.findall('from_json\\("""(.*?)"""\\)', source, re.DOTALL)
    return from_json(text)


def test_the_driver_of_the_guide_takes_its_family_s_cards_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile, entry_points = blocks(DRIVER, "toml")
    (factory,) = blocks(DRIVER, "python")
    package, metadata = tmp_path / "acme_ushield", tmp_path / "acme_ushield-1.dist-info"
    for folder in (package, package / "profiles", metadata):
        folder.mkdir()
    (package / "__init__.py").touch()
    (package / "driver.py").write_text(factory)
    (package / "profiles" / "acme.toml").write_text(profile)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-ushield\nVersion: 1\n")
    ((group, entries),) = tomllib.loads(entry_points)["project"]["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)

    card = scripted(["9000"])
    assert driver_for(card).name == "acme"  # type: ignore[attr-defined]
    (select,) = card.commands
    assert select == bytes.fromhex("00A4040005F041434D4500")
    listed, other = DeviceInfo("usb:1-1", 0x1234, 0x5678), DeviceInfo("usb:1-2", 0x1234, 0x5679)
    acme = next(driver for driver in drivers() if driver.name == "acme")
    assert (acme.knows(listed), acme.knows(other)) == (True, False)
    with pytest.raises(NoDriver):
        driver_for(scripted(["6A82"] * 2 * len(drivers())))


class Finger(threading.Thread):
    """Someone at the token who reads to the end and presses OK."""

    def __init__(self, token: VirtualTokenUnderTest) -> None:
        super().__init__(daemon=True)
        self._panel = token.panel
        self.leave = threading.Event()

    def run(self) -> None:
        while not self.leave.wait(0.02):
            if pages := self._panel.pages:
                for _ in pages[1:]:
                    self._panel.page_down()
                self._panel.press(PanelKey.OK)


def test_the_readme_signs_beside_the_token_and_verifies_at_the_bank(
    virtual_token_factory: Callable[..., VirtualTokenUnderTest],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = virtual_token_factory(pin="135790")
    monkeypatch.chdir(token.path.parent)
    token.path.with_name("alice.token").symlink_to(token.path)
    sign, verify, _ = blocks(README, "python")
    names: dict[str, Any] = {}
    finger = Finger(token)
    finger.start()
    try:
        exec(compile(sign, str(README), "exec"), names)
    finally:
        finger.leave.set()
        finger.join()
    Path("payment.p7s").write_bytes(names["signature"].der)
    Path("bank-ca.pem").write_bytes(token.authority.ca_pem)
    exec(compile(verify, str(README), "exec"), {})
    assert "张三" in capsys.readouterr().out


def test_the_readme_tests_without_hardware(
    pytester: pytest.Pytester, transfer: Transaction
) -> None:
    *_, example = blocks(README, "python")
    pytester.makepyfile(
        "import pytest\nfrom ushield.transaction import from_json\n\n"
        f"@pytest.fixture\ndef transfer():\n    return from_json({to_json(transfer)!r})\n\n"
        + example
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
