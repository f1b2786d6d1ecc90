"""A token file of an earlier format: opened, brought up to date, and never in between."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.iso7816.connections import to_card
from tests.virtual.memory import PIN, RULES, contents, make_memory
from tests.virtual.operations import furnish
from ushield.drivers.base import Capability
from ushield.drivers.shield import ShieldDriver
from ushield.errors import TokenFileInvalid
from ushield.pin import PinReference
from ushield.virtual.create import create_token, describe_token
from ushield.virtual.nvram import CutPower, Nvram, PowerCut
from ushield.virtual.nvram.schema import FIRST_MANAGEMENT_KEY, VERSION
from ushield.virtual.pins import PinStore
from ushield.virtual.token import VirtualToken

_NEW_IN = {2: ("piv_key", "piv_object", "piv_management"), 3: ("channel_key",)}
OLD_FORMATS = (1, 2)


def downgrade(path: Path, to: int) -> None:
    """Make a file of format 1, before there was a PIV application, or 2, before channels."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for number in range(to + 1, VERSION + 1):
            for table in _NEW_IN[number]:
                connection.execute(f"DROP TABLE {table}")
        connection.execute(f"PRAGMA user_version = {to}")
        connection.execute("VACUUM")


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        assert isinstance(number, int)
        return number


@pytest.fixture(params=OLD_FORMATS)
def number(request: pytest.FixtureRequest) -> int:
    assert isinstance(request.param, int)
    return request.param


@pytest.fixture
def old(tmp_path: Path, number: int) -> Path:
    path = make_memory(tmp_path / "token")
    downgrade(path, number)
    return path


def test_a_file_without_piv_keeps_what_it_has_and_gets_what_it_lacks(tmp_path: Path) -> None:
    path = make_memory(tmp_path / "token")
    with Nvram.open(path) as nvram:
        furnish(nvram)
        before = contents(nvram)[:-4]
    downgrade(path, 1)
    with Nvram.open(path) as nvram:
        assert contents(nvram)[:-4] == before
        assert nvram.piv_keys() == ()
        assert nvram.piv_objects() == ()
        assert nvram.management_key() == FIRST_MANAGEMENT_KEY
    assert version(path) == VERSION


def test_a_file_without_channels_keeps_what_it_has(tmp_path: Path) -> None:
    path = make_memory(tmp_path / "token")
    with Nvram.open(path) as nvram:
        furnish(nvram)
        before = contents(nvram)
    downgrade(path, 2)
    with Nvram.open(path) as nvram:
        assert contents(nvram) == before
    assert version(path) == VERSION


def test_looking_at_an_old_file_changes_nothing(tmp_path: Path, number: int) -> None:
    path = tmp_path / "token"
    create_token(path, serial="V1")
    downgrade(path, number)
    image = path.read_bytes()
    assert describe_token(path).serial == "V1"
    assert path.read_bytes() == image


def test_an_old_token_is_a_piv_card_after_its_next_opening(tmp_path: Path) -> None:
    path = tmp_path / "token"
    create_token(path)
    downgrade(path, 1)
    with VirtualToken.open(path) as token:
        token.card.power_on()
        assert token.card.transmit(bytes.fromhex("00A4040005A000000308")).endswith(b"\x90\x00")


def test_an_old_token_makes_its_key_for_channels_once_when_it_is_first_asked(
    tmp_path: Path, number: int
) -> None:
    path = tmp_path / "token"
    create_token(path)
    downgrade(path, number)
    certificates = set()
    for _ in range(2):
        with VirtualToken.open(path) as token:
            card = to_card(token.card)
            driver = ShieldDriver.probe(card)
            assert driver is not None
            assert Capability.SECURE_CHANNEL in driver.info.capabilities
            certificates.add(card.transmit(bytes.fromhex("00CB3FFF045C02DF09000000")))
    assert len(certificates) == 1


@pytest.mark.parametrize("before", [True, False])
def test_a_power_cut_leaves_the_old_format_or_a_newer_one(
    old: Path, number: int, before: bool
) -> None:
    image = old.read_bytes()
    versions = set()
    for write in range(1, 12):
        old.write_bytes(image)
        try:
            Nvram.open(old, faults=CutPower(write, before)).close()
        except PowerCut:
            versions.add(version(old))
            with Nvram.open(old) as nvram:
                assert nvram.management_key() == FIRST_MANAGEMENT_KEY
                PinStore(nvram, RULES).verify(PinReference.USER, PIN)
        else:
            break
    else:
        pytest.fail("opening writes without end")
    assert versions == set(range(number, VERSION if before else VERSION + 1))


def test_tables_that_its_format_has_not_are_refused(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE channel_key (slot INTEGER)")
    with pytest.raises(TokenFileInvalid, match="unknown tables"):
        Nvram.open(old)
