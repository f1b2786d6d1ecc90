"""QEMU's reader ``usb-ccid`` with libcacard's emulated card: neither was written for us.

The reader is T=0 at TPDU level (dwFeatures 000104FE), the card a Common Access Card whose keys and
certificates are in an NSS database.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.guest import Ended, Guest

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]

SELECT_PKI = "00A4040007A000000079010000"
READ_SIZE = 0xFF


def nss(database: Path, *arguments: str) -> bytes:
    return subprocess.run(
        ["certutil", *arguments, "-d", f"sql:{database}"], capture_output=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def database(guest: Guest) -> Path:
    """Three certificates with their keys, which the card wants to be a CAC."""
    folder = guest.folder / "cac"
    folder.mkdir()
    noise = folder / "noise"
    noise.write_bytes(bytes(64))
    try:
        nss(folder, "-N", "--empty-password")
    except FileNotFoundError:
        pytest.skip("certificates for QEMU's card want: apt-get install libnss3-tools")
    for number in ("1", "2", "3"):
        names = ["-n", f"cert{number}", "-s", f"CN=Card {number}", "-m", number]
        nss(folder, "-S", "-x", *names, "-t", "CT,CT,CT", "-z", str(noise))
    return folder


@pytest.fixture(scope="module")
def reader(guest: Guest) -> Iterator[str]:
    """The SPEC of the reader, empty at first."""
    try:
        guest.monitor.add("usb-ccid", "reader", bus="usb.0")
    except RuntimeError as failure:
        pytest.skip(f"QEMU's reader wants: apt-get install qemu-system-common ({failure})")
    found: list[str] = []

    def seen() -> bool:
        devices = guest.ushield("list").told()["devices"]
        found[:] = [device["spec"] for device in devices if device["product"] == "QEMU USB CCID"]
        return bool(found)

    eventually(seen)
    yield found[0]
    guest.monitor.delete("reader")


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def insert(guest: Guest, database: Path) -> None:
    certificates = {f"cert{number}": f"cert{number}" for number in (1, 2, 3)}
    guest.monitor.add(
        *("ccid-card-emulated", "card"),
        bus="reader.0",
        backend="certificates",
        db=f"sql:{database}",
        **certificates,
    )


def apdus(guest: Guest, reader: str, *commands: str) -> Ended:
    return guest.ushield("--token", reader, "apdu", "--no-driver", *commands)


def exchanges(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended
    told: list[dict[str, Any]] = ended.told()["exchanges"]
    return told


def read_certificate(guest: Guest, reader: str) -> bytes:
    """READ BUFFER of the first key's value: two bytes of length, one of kind, the certificate."""
    (_, told) = exchanges(apdus(guest, reader, SELECT_PKI, "8052000002020200"))
    size = int.from_bytes(bytes.fromhex(told["data"]), "little")
    commands = [
        f"8052{2 + offset:04X}0202{min(READ_SIZE, size - offset):02X}00"
        for offset in range(0, size, READ_SIZE)
    ]
    parts = exchanges(apdus(guest, reader, SELECT_PKI, *commands))[1:]
    assert all(part["sw"] == "9000" for part in parts)
    return bytes.fromhex("".join(part["data"] for part in parts))[1:]


def test_its_card_comes_answers_and_goes(guest: Guest, reader: str, database: Path) -> None:
    empty = apdus(guest, reader, SELECT_PKI)
    assert (empty.code, empty.told()["error"]["code"]) == (10, "slot-empty")

    insert(guest, database)
    eventually(lambda: apdus(guest, reader, SELECT_PKI).code == 0)
    told = apdus(guest, reader, "00A4040000", SELECT_PKI, SELECT_PKI[:-2])
    # T=0 alone, with the historical bytes of libcacard.
    assert told.told()["atr"].startswith("3b7a18")
    nothing, selected, unfetched = exchanges(told)
    assert nothing["sw"] == "6a82"
    assert bytes.fromhex(selected["data"])[:2] == b"\x6f\x0b"
    # Without Le nothing is fetched, and what is there to fetch is said.
    assert (unfetched["data"], unfetched["sw"]) == ("", "610d")

    assert read_certificate(guest, reader) == nss(database, "-L", "-n", "cert1", "-r")

    without = guest.ushield("--token", reader, "info")
    assert (without.code, without.told()["error"]["code"]) == (14, "no-driver")

    guest.monitor.delete("card")
    gone = apdus(guest, reader, SELECT_PKI)
    assert (gone.code, gone.told()["error"]["code"]) == (10, "slot-empty")
    insert(guest, database)
    eventually(lambda: apdus(guest, reader, SELECT_PKI).code == 0)


def test_a_card_pulled_out_and_put_back_between_two_commands_is_removed(
    guest: Guest, reader: str, database: Path, folder: Path
) -> None:
    if apdus(guest, reader, SELECT_PKI).code:
        insert(guest, database)
        eventually(lambda: apdus(guest, reader, SELECT_PKI).code == 0)
    answers = folder / "answers"
    talking = guest.start(
        *(sys.executable, "-m", "tests.kernel.talker", reader, SELECT_PKI, str(answers))
    )
    eventually(lambda: answers.exists() and "\n" in answers.read_text())
    # The reader powers the next card by itself, and tells of the change on its interrupt endpoint,
    # which is asked every 255 ms: faster than anybody changes cards.
    guest.monitor.delete("card")
    time.sleep(1)
    insert(guest, database)
    Path(f"{answers}.go").touch()
    ended = talking.wait()
    assert ended.code == 0, ended
    selected, *later = answers.read_text().split()
    assert selected.endswith("9000")
    assert later == ["token-removed", "token-removed"]
    assert exchanges(apdus(guest, reader, SELECT_PKI))[0]["sw"] == "9000"
    guest.monitor.delete("card")
