"""From a SPEC to a card, through installed schemes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.transport.cards import OK, device, echo
from ushield.errors import SeveralTokens, SpecInvalid, TokenNotFound, TransferFailed
from ushield.transport import registry
from ushield.transport.connection import CardConnection, DeviceInfo
from ushield.transport.usb.connection import open_usb
from ushield.transport.usb.discovery import find_readers
from ushield.virtual.usb import VirtualBackend


@dataclass
class Shelf:
    """A scheme over echo tokens with serial numbers."""

    name: str
    serials: list[str]
    opened: list[str] = field(default_factory=list)

    def find(self) -> tuple[DeviceInfo, ...]:
        return tuple(
            DeviceInfo(f"{self.name}:{number}", serial=serial)
            for number, serial in enumerate(self.serials)
        )

    def open(self, address: str, *, timeout: float = 5.0) -> CardConnection:
        self.opened.append(address)
        (reader,) = find_readers(VirtualBackend([device()]))
        return open_usb(reader.device, timeout=timeout)


class Broken:
    """A scheme that cannot look."""

    name = "broken"

    def find(self) -> tuple[DeviceInfo, ...]:
        raise TransferFailed("no luck")

    def open(self, address: str, *, timeout: float = 5.0) -> CardConnection:
        raise TransferFailed("no luck")


SHELF_A = Shelf("a", [])
SHELF_B = Shelf("b", [])
BROKEN = Broken()

Install = Callable[[dict[str, str]], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution with entry points on the path, and takes away any other."""

    def do(points: dict[str, str]) -> None:
        package = tmp_path / "extra-1.0.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (package / "entry_points.txt").write_text(f"[{registry.GROUP}]\n" + "\n".join(lines) + "\n")

    for shelf in (SHELF_A, SHELF_B):
        shelf.serials = []
        shelf.opened = []
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return do


BOTH = {"a": f"{__name__}:SHELF_A", "b": f"{__name__}:SHELF_B"}


def test_a_scheme_opens_what_stands_after_the_colon(install: Install) -> None:
    install(BOTH)
    connection = registry.open_spec("b:some:where")
    assert connection.transmit(echo(b"x")) == b"x" + OK
    connection.close()
    assert SHELF_B.opened == ["some:where"]


@pytest.mark.parametrize("spec", ["c:1", ":1", "", "A:1"])
def test_an_unknown_scheme_or_an_empty_spec_is_refused(install: Install, spec: str) -> None:
    install(BOTH)
    with pytest.raises(SpecInvalid):
        registry.open_spec(spec)


def test_devices_of_all_schemes_are_found_and_a_failing_one_stops_nobody(
    install: Install,
) -> None:
    install(BOTH | {"aa": f"{__name__}:BROKEN", "ab": "no_such_module:X", "ac": f"{__name__}:NONE"})
    SHELF_A.serials, SHELF_B.serials = ["1"], ["2", "3"]
    assert [info.spec for info in registry.find_devices()] == ["a:0", "b:0", "b:1"]
    assert [scheme.name for scheme in registry.schemes()] == ["a", "broken", "b"]


def test_a_scheme_that_cannot_be_loaded_is_told_when_it_is_named(install: Install) -> None:
    install({"ab": "no_such_module:X"})
    with pytest.raises(SpecInvalid, match="no_such_module"):
        registry.open_spec("ab:1")


def test_a_serial_finds_its_token(install: Install) -> None:
    install(BOTH)
    SHELF_A.serials, SHELF_B.serials = ["111"], ["222", "333"]
    registry.open_spec("333").close()
    assert (SHELF_A.opened, SHELF_B.opened) == ([], ["1"])


def test_a_serial_nobody_has_finds_no_token(install: Install) -> None:
    install(BOTH)
    SHELF_A.serials = ["111"]
    with pytest.raises(TokenNotFound, match="999"):
        registry.open_spec("999")


def test_a_serial_two_devices_have_is_not_guessed_at(install: Install) -> None:
    install(BOTH)
    SHELF_A.serials, SHELF_B.serials = ["111"], ["111"]
    with pytest.raises(SeveralTokens) as caught:
        registry.open_spec("111")
    assert caught.value.candidates == ("a:0", "b:0")


def test_no_spec_means_the_only_token(install: Install) -> None:
    install(BOTH)
    with pytest.raises(TokenNotFound):
        registry.open_spec()
    SHELF_B.serials = [""]
    registry.open_spec().close()
    assert SHELF_B.opened == ["0"]
    SHELF_A.serials = [""]
    with pytest.raises(SeveralTokens) as caught:
        registry.open_spec()
    assert caught.value.candidates == ("a:0", "b:0")
