"""Which driver takes a card: entry points of real distributions, made for the test."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.drivers.bench import Bench
from tests.iso7816.connections import AlteringConnection, scripted, to_card
from ushield.drivers.piv import PivDriver
from ushield.drivers.registry import GROUP, driver_for, drivers
from ushield.drivers.shield import ShieldDriver
from ushield.errors import NoDriver, TokenRemoved
from ushield.shield.commands import AID
from ushield.virtual.card import Card
from ushield.virtual.create import create_token
from ushield.virtual.scheme import SCHEME
from ushield.virtual.token import VirtualToken

PROJECT = tomllib.loads((Path(__file__).parent.parent.parent / "pyproject.toml").read_text())

DRIVERS = """
class Greedy:
    name = "greedy"
    asked = []

    @classmethod
    def knows(cls, device):
        return device.vendor_id == 0x1209

    @classmethod
    def probe(cls, connection):
        cls.asked.append(connection)
        return None


class Shy(Greedy):
    name = "shy"
    asked = []

    @classmethod
    def knows(cls, device):
        return False
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts this project's distribution on the path with the drivers named, as pip would."""
    (tmp_path / "foreign_drivers.py").write_text(DRIVERS)
    monkeypatch.delitem(sys.modules, "foreign_drivers", raising=False)
    monkeypatch.syspath_prepend(tmp_path)

    def make(**entries: str) -> None:
        folder = tmp_path / "ushield-0.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: ushield\nVersion: 0.0\n")
        lines = [f"[{GROUP}]", *(f"{name} = {target}" for name, target in entries.items())]
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(tmp_path)

    return make


SHIELD = PROJECT["project"]["entry-points"][GROUP]["shield"]


def test_the_project_registers_the_shield_driver(install: Install) -> None:
    install(**PROJECT["project"]["entry-points"][GROUP])
    assert ShieldDriver in drivers()


def test_the_driver_that_takes_the_card_opens_it(install: Install, bench: Bench) -> None:
    install(shield=SHIELD)
    driver = driver_for(bench.connection)
    assert isinstance(driver, ShieldDriver)
    assert driver.info.serial == "V-1"


def test_drivers_that_list_the_device_are_asked_first(install: Install, bench: Bench) -> None:
    install(shield=SHIELD, greedy="foreign_drivers:Greedy", bashful="foreign_drivers:Shy")
    driver = driver_for(bench.connection)
    assert isinstance(driver, ShieldDriver)
    greedy, shy = (next(one for one in drivers() if one.name == name) for name in ("greedy", "shy"))
    assert getattr(greedy, "asked") == [bench.connection]  # noqa: B009
    assert getattr(shy, "asked") == []  # noqa: B009


def test_a_card_nobody_knows_is_named(install: Install) -> None:
    install(shield=SHIELD)
    with pytest.raises(NoDriver, match=r"no driver knows the card in test:1 \(ATR 3B "):
        driver_for(to_card(Card([])))


def test_a_broken_driver_stops_no_other_one_and_is_named_if_none_takes_the_card(
    install: Install, bench: Bench
) -> None:
    install(
        shield=SHIELD,
        absent="no_such_module:Driver",
        empty="foreign_drivers:Nothing",
    )
    assert [driver.name for driver in drivers()] == ["shield"]
    assert isinstance(driver_for(bench.connection), ShieldDriver)
    with pytest.raises(NoDriver) as caught:
        driver_for(to_card(Card([])))
    assert "driver absent cannot be loaded" in str(caught.value)
    assert "driver empty cannot be loaded" in str(caught.value)


def test_without_drivers_no_card_is_known(install: Install) -> None:
    install()
    connection = to_card(Card([]))
    with pytest.raises(NoDriver):
        driver_for(connection)
    assert connection.commands == []
    assert connection.closed == 0


def test_a_card_that_goes_away_is_removed_not_unknown(install: Install) -> None:
    install(shield=SHIELD)
    with pytest.raises(TokenRemoved):
        driver_for(scripted([TokenRemoved("gone")]))


def test_a_listed_device_that_hides_its_application_is_no_card_of_any_maker(
    tmp_path: Path,
) -> None:
    create_token(tmp_path / "token")
    with VirtualToken.open(tmp_path / "token"), closing(SCHEME.open(str(tmp_path / "token"))) as to:
        assert ShieldDriver.knows(to.device)
        hidden = AlteringConnection(to, lambda sent, answer: b"\x6a\x82" if AID in sent else answer)
        with pytest.raises(NoDriver, match="piv"):
            driver_for(hidden)
        assert isinstance(driver_for(hidden, "piv"), PivDriver)
