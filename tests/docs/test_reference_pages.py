"""The reference pages say what the code does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.transport import cards
from ushield.ccid.descriptor import ClassDescriptor
from ushield.shield.commands import (
    AID,
    ALGORITHM_CODE,
    HASH_CODE,
    DataObject,
    Feature,
    Instruction,
    KeyUsageCode,
    ShieldStatus,
)
from ushield.shield.events import EVENT_SIZE, PanelEventKind, PanelKey
from ushield.shield.requests import RefusalReason, RequestStage
from ushield.transaction.forms import FORMS, HIDDEN_LABELS
from ushield.transaction.json_form import from_json
from ushield.transaction.message import MAX_MESSAGE, compose_message
from ushield.transaction.model import Login
from ushield.transaction.pages import Screen, lay_out, pages_digest
from ushield.virtual.usb import descriptors

DOCS = Path(__file__).parent.parent.parent / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
MESSAGE = (DOCS / "message.md").read_text()


def section(page: str, title: str) -> str:
    return page.split(f"# {title}\n", 1)[1].split("\n#", 1)[0]


@pytest.mark.parametrize("instruction", Instruction)
def test_the_protocol_page_has_every_instruction(instruction: Instruction) -> None:
    assert re.search(rf"`[08]0 {instruction:02X}\b", section(PROTOCOL, "Commands"))


@pytest.mark.parametrize("tag", DataObject)
def test_the_protocol_page_has_every_data_object(tag: DataObject) -> None:
    assert f"| `{tag:04X}` |" in section(PROTOCOL, "Data objects")


@pytest.mark.parametrize("status", ShieldStatus)
def test_the_protocol_page_has_every_status_word_of_ours(status: ShieldStatus) -> None:
    assert f"| `{status:04X}` |" in section(PROTOCOL, "Status words")


@pytest.mark.parametrize(
    ("row", "codes"),
    [
        ("key algorithm", [f"{code:02X}" for code in ALGORITHM_CODE.values()]),
        ("hash", [f"{code:02X}" for code in HASH_CODE.values()]),
        ("key usage", [f"{code:02X}" for code in KeyUsageCode]),
        ("features", [f"{code:04X}" for code in Feature]),
        ("request stage", [f"{code:02X}" for code in RequestStage]),
        ("refusal", [f"{code:02X}" for code in RefusalReason]),
        ("panel key", [f"{code:02X}" for code in PanelKey]),
    ],
)
def test_the_protocol_page_has_every_code(row: str, codes: list[str]) -> None:
    (line,) = (
        line for line in section(PROTOCOL, "Codes").splitlines() if line.startswith(f"| {row} |")
    )
    assert re.findall("`([0-9A-F]+)`", line) == codes


def test_the_protocol_page_has_the_aid_and_every_panel_event() -> None:
    assert AID.hex(" ").upper() in PROTOCOL
    events = section(PROTOCOL, "Panel events")
    assert f"interrupt IN, {EVENT_SIZE} bytes" in events
    (kinds,) = (line for line in events.splitlines() if line.startswith("| 0 |"))
    assert re.findall("`([0-9A-F]+)`", kinds) == [f"{kind:02X}" for kind in PanelEventKind]


def test_the_protocol_page_has_the_reader_s_features() -> None:
    reader, _ = descriptors.configuration(cards.device().config_bytes()).interfaces
    features = ClassDescriptor.decode(reader[0].interface.extra_descriptors).features
    assert f"dwFeatures `{features:08X}`" in section(PROTOCOL, "USB")


def test_the_message_page_has_every_field_in_its_place() -> None:
    rows = {
        cells[0].strip("`"): cells[1:]
        for cells in (
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in section(MESSAGE, "Fields").splitlines()
            if line.startswith("| `")
        )
    }
    assert rows == {
        kind: [
            form.title,
            ", ".join(entry.label for entry in form.entries if entry.shown),
            ", ".join(entry.label for entry in form.entries if not entry.shown),
        ]
        for kind, form in FORMS.items()
    }
    assert all(label in MESSAGE for label in HIDDEN_LABELS)
    assert f"at most {MAX_MESSAGE} bytes" in MESSAGE


def test_the_json_example_of_the_message_page_is_a_transaction() -> None:
    (example,) = re.findall("```json\n(.*?)```", MESSAGE, re.DOTALL)
    from_json(example)


def test_the_digest_of_pages_is_what_another_program_finds() -> None:
    console = MESSAGE.split("```console\n$ ", 1)[1].split("```", 1)[0]
    command, printed = console.split("\n", 1)
    found = subprocess.run(["bash", "-c", command], capture_output=True, check=True, text=True)
    login = compose_message(Login(site="bank.example", customer="张三", challenge="c1"))
    digest = pages_digest(lay_out(login.shown, Screen())).hex()
    assert found.stdout == printed == f"{digest}  -\n"
