"""From a SPEC to a card, through installed schemes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.transport.cards import OK, device, echo
from ushield.errors import (
    AccessDenied,
    SeveralTokens,
    SlotEmpty,
    SpecInvalid,
    TokenBusy,
    TokenNotFound,
    TransferFailed,
    TransportError,
)
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


class Careless:
    """A scheme whose author did not think of everything."""

    name = "careless"

    def find(self) -> tuple[DeviceInfo, ...]:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a name that is none")

    def open(self, address: str, *, timeout: float = 5.0) -> CardConnection:
        raise TransferFailed("no luck")


@dataclass
class Service:
    """A scheme over devices that a service of the system has."""

    devices: list[DeviceInfo] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    name: str = "s"

    def find(self) -> tuple[DeviceInfo, ...]:
        return tuple(self.devices)

    def open(self, address: str, *, timeout: float = 5.0) -> CardConnection:
        self.opened.append(address)
        raise SlotEmpty("as the service sees it")


@dataclass
class Refusing:
    """A scheme whose one device cannot be had."""

    error: TransportError
    name: str = "a"

    def find(self) -> tuple[DeviceInfo, ...]:
        return (DeviceInfo("a:0", serial="111"),)

    def open(self, address: str, *, timeout: float = 5.0) -> CardConnection:
        raise self.error


SERVICE = Service()
REFUSING = Refusing(TokenBusy("held"))
SHELF_A = Shelf("a", [])
SHELF_B = Shelf("b", [])
BROKEN = Broken()
CARELESS = Careless()

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
    broken = {"aa": f"{__name__}:BROKEN", "ab": "no_such_module:X", "ac": f"{__name__}:NONE"}
    install(BOTH | broken | {"ad": f"{__name__}:CARELESS"})
    SHELF_A.serials, SHELF_B.serials = ["1"], ["2", "3"]
    assert [info.spec for info in registry.find_devices()] == ["a:0", "b:0", "b:1"]
    assert [scheme.name for scheme in registry.schemes()] == ["a", "broken", "careless", "b"]


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


WITH_SERVICE = {"a": f"{__name__}:SHELF_A", "s": f"{__name__}:SERVICE"}


def test_a_device_that_two_schemes_see_is_one(install: Install) -> None:
    install(WITH_SERVICE)
    SHELF_A.serials = ["111"]
    SERVICE.devices = [
        DeviceInfo("s:x 00", serial="111", same_as="a:0"),
        DeviceInfo("s:x 01", serial="111"),
        DeviceInfo("s:y", same_as="a:7", empty=True),
    ]
    found = registry.find_devices()
    assert [(one.spec, one.also) for one in found] == [
        ("a:0", ("s:x 00",)),
        ("s:x 01", ()),
        ("s:y", ()),
    ]


def test_a_device_that_is_seen_twice_is_opened_directly(install: Install) -> None:
    install(WITH_SERVICE)
    SHELF_A.serials = ["111"]
    SERVICE.devices = [DeviceInfo("s:x", serial="111", same_as="a:0")]
    SERVICE.opened = []
    for spec in (None, "111"):
        registry.open_spec(spec).close()
    assert (SHELF_A.opened, SERVICE.opened) == (["0", "0"], [])


@pytest.mark.parametrize("error", [TokenBusy("held"), AccessDenied("no rules")])
def test_a_device_that_the_service_holds_is_opened_through_it(
    install: Install, error: TransportError
) -> None:
    install({"a": f"{__name__}:REFUSING", "s": f"{__name__}:SERVICE"})
    REFUSING.error = error
    SERVICE.devices = [DeviceInfo("s:x", serial="111", same_as="a:0")]
    for spec in (None, "111"):
        SERVICE.opened = []
        with pytest.raises(SlotEmpty) as caught:
            registry.open_spec(spec)
        assert caught.value.__cause__ is error
        assert SERVICE.opened == ["x"]


def test_what_is_named_is_opened_in_no_other_way(install: Install) -> None:
    install({"a": f"{__name__}:REFUSING", "s": f"{__name__}:SERVICE"})
    REFUSING.error = TokenBusy("held")
    SERVICE.devices = [DeviceInfo("s:x", serial="111", same_as="a:0")]
    SERVICE.opened = []
    with pytest.raises(TokenBusy):
        registry.open_spec("a:0")
    REFUSING.error = TransferFailed("broken")
    with pytest.raises(TransferFailed):
        registry.open_spec()
    assert SERVICE.opened == []


def test_empty_readers_are_not_meant_where_a_card_is(install: Install) -> None:
    install(WITH_SERVICE)
    SHELF_A.serials = ["111"]
    SERVICE.devices = [DeviceInfo("s:y", empty=True), DeviceInfo("s:z", empty=True)]
    registry.open_spec().close()
    SHELF_A.serials = []
    with pytest.raises(SeveralTokens):
        registry.open_spec()
    SERVICE.devices.pop()
    with pytest.raises(SlotEmpty):
        registry.open_spec()
