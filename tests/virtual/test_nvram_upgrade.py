"""A token file of an earlier format: opened, brought up to date, and never in between."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.virtual.memory import PIN, RULES, contents, make_memory
from tests.virtual.operations import furnish
from ushield.errors import TokenFileInvalid
from ushield.pin import PinReference
from ushield.virtual.create import create_token, describe_token
from ushield.virtual.nvram import CutPower, Nvram, PowerCut
from ushield.virtual.nvram.schema import FIRST_MANAGEMENT_KEY, VERSION
from ushield.virtual.pins import PinStore
from ushield.virtual.token import VirtualToken

_PIV = ("piv_key", "piv_object", "piv_management")


def downgrade(path: Path) -> None:
    """Make a file of format 1: as it was before there was a PIV application."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table in _PIV:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("VACUUM")


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        assert isinstance(number, int)
        return number


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = make_memory(tmp_path / "token")
    downgrade(path)
    return path


def test_an_old_file_keeps_what_it_has_and_gets_what_it_lacks(tmp_path: Path) -> None:
    path = make_memory(tmp_path / "token")
    with Nvram.open(path) as nvram:
        furnish(nvram)
        before = contents(nvram)[:-3]
    downgrade(path)
    with Nvram.open(path) as nvram:
        assert contents(nvram)[:-3] == before
        assert nvram.piv_keys() == ()
        assert nvram.piv_objects() == ()
        assert nvram.management_key() == FIRST_MANAGEMENT_KEY
    assert version(path) == VERSION


def test_looking_at_an_old_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "token"
    create_token(path, serial="V1")
    downgrade(path)
    image = path.read_bytes()
    assert describe_token(path).serial == "V1"
    assert path.read_bytes() == image


def test_an_old_token_is_a_piv_card_after_its_next_opening(tmp_path: Path) -> None:
    path = tmp_path / "token"
    create_token(path)
    downgrade(path)
    with VirtualToken.open(path) as token:
        token.card.power_on()
        assert token.card.transmit(bytes.fromhex("00A4040005A000000308")).endswith(b"\x90\x00")


@pytest.mark.parametrize("before", [True, False])
def test_a_power_cut_leaves_the_old_format_or_the_new_one(old: Path, before: bool) -> None:
    image = old.read_bytes()
    versions = set()
    for number in range(1, 10):
        old.write_bytes(image)
        try:
            Nvram.open(old, faults=CutPower(number, before)).close()
        except PowerCut:
            versions.add(version(old))
            with Nvram.open(old) as nvram:
                assert nvram.management_key() == FIRST_MANAGEMENT_KEY
                PinStore(nvram, RULES).verify(PinReference.USER, PIN)
        else:
            break
    else:
        pytest.fail("opening writes without end")
    assert versions == ({1} if before else {1, VERSION})


def test_tables_that_its_format_has_not_are_refused(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE piv_key (slot INTEGER)")
    with pytest.raises(TokenFileInvalid, match="unknown tables"):
        Nvram.open(old)
