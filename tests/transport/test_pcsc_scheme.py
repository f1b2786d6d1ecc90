"""``pcsc:`` where pcscd, pyscard or both are missing, and which reader is which USB device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ushield.cli.exit_codes import ExitCode, exit_code
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
from ushield.transport.connection import DeviceInfo
from ushield.transport.holder import Holder
from ushield.transport.pcsc import daemon
from ushield.transport.pcsc.errors import INSTALL, PcscUnavailable, ReturnCode, transport_error
from ushield.transport.pcsc.scheme import PcscScheme
from ushield.transport.pcsc.service import PcscReader
from ushield.transport.usb.link import _busy

READERS = ["Alpha, Inc. [CCID: A] (S1) 00 00", "Alpha, Inc. [CCID: A] (S1) 00 01", "Beta 01 00"]


@pytest.fixture(autouse=True)
def no_pcscd() -> None:
    """It is what these tests are about."""


def test_without_pyscard_the_error_has_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "smartcard", None)
    with pytest.raises(PcscUnavailable) as caught:
        registry.open_spec("pcsc:Any reader")
    assert caught.value.remedy == INSTALL == "pip install 'ushield[pcsc]'"
    assert exit_code(caught.value) is ExitCode.NO_TOKEN
    # And nobody is hindered who wants another token.
    monkeypatch.setattr(daemon, "service_runs", lambda: True)
    assert not [one for one in registry.find_devices() if one.spec.startswith("pcsc:")]


def test_looking_at_the_schemes_loads_no_pyscard() -> None:
    code = (
        "import sys\n"
        "from ushield.transport.registry import schemes\n"
        "assert 'pcsc' in [scheme.name for scheme in schemes()]\n"
        "sys.exit('smartcard' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_where_no_service_runs_that_is_said_with_what_to_do(tmp_path: Path) -> None:
    code = (
        "from ushield.transport.registry import open_spec\n"
        "from ushield.transport.pcsc import PcscUnavailable\n"
        "try:\n"
        "    open_spec('pcsc:Any reader')\n"
        "except PcscUnavailable as error:\n"
        "    print(error, error.remedy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PCSCLITE_CSOCK_NAME": str(tmp_path / "nobody"), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    if "pyscard" in done.stdout:
        pytest.skip("no pyscard here; apt-get install libpcsclite-dev swig gcc; " + INSTALL)
    assert "pcscd does not run" in done.stdout
    assert "systemctl start pcscd.socket" in done.stdout


def test_a_reader_is_named_in_full_or_by_a_beginning_that_no_other_has() -> None:
    scheme = PcscScheme()
    assert scheme._choose(READERS[1], READERS) == READERS[1]
    assert scheme._choose("Beta", READERS) == READERS[2]
    with pytest.raises(SeveralTokens) as caught:
        scheme._choose("Alpha, Inc.", READERS)
    assert caught.value.candidates == (f"pcsc:{READERS[0]}", f"pcsc:{READERS[1]}")
    with pytest.raises(TokenNotFound, match="Gamma"):
        scheme._choose("Gamma", READERS)
    with pytest.raises(SpecInvalid):
        scheme.open("")


IDS = {"idVendor": "1209", "idProduct": "0001"}


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """Two devices, a root hub and an interface, as Linux tells of them."""
    for place, facts in {
        "usb1": {"busnum": "1", "devnum": "1", "serial": "S1"},
        "1-4": {"busnum": "1", "devnum": "7", "serial": "S1"} | IDS,
        "1-4:1.0": {"busnum": "1", "devnum": "7"},
        "1-5.2": {"busnum": "1", "devnum": "8", "idVendor": "broken", "serial": ""},
    }.items():
        folder = tmp_path / "bus/usb/devices" / place
        folder.mkdir(parents=True)
        for name, value in facts.items():
            (folder / name).write_text(value + "\n")
    return tmp_path


def test_a_reader_is_the_usb_device_at_its_address(sysfs: Path) -> None:
    scheme = PcscScheme(sysfs)
    names = ["Any name 00 00", "Other 01 00"]
    one = scheme._device(names[0], (1, 7), names)
    assert (one.spec, one.same_as, one.serial) == ("pcsc:Any name 00 00", "usb:1-4", "S1")
    assert (one.vendor_id, one.product_id) == (0x1209, 1)
    two = scheme._device(names[1], (1, 8), names)
    assert (two.same_as, two.vendor_id) == ("usb:1-5.2", None)
    assert scheme._device("Other", (2, 8), names) == DeviceInfo("pcsc:Other", product="Other")


def test_where_the_address_is_not_told_the_serial_in_the_name_is_looked_at(sysfs: Path) -> None:
    scheme = PcscScheme(sysfs)
    assert scheme._device(READERS[0], None, READERS[:1]).same_as == "usb:1-4"
    assert scheme._device("Alpha (S) 00 00", None, READERS).same_as == ""
    assert scheme._device("Alpha () 00 00", None, READERS).same_as == ""


def test_slots_of_a_reader_are_told_apart_as_on_usb(sysfs: Path) -> None:
    slots = [PcscScheme(sysfs)._device(name, (1, 7), READERS) for name in READERS[:2]]
    assert [one.same_as for one in slots] == ["usb:1-4/0", "usb:1-4/1"]
    assert {one.serial for one in slots} == {"S1"}


def process(proc: Path, name: str) -> None:
    (proc / "71").mkdir()
    (proc / "71" / "comm").write_text(name + "\n")


def test_the_service_is_found_among_the_processes(tmp_path: Path) -> None:
    assert not daemon.service_runs(tmp_path)
    (tmp_path / "self").mkdir()
    process(tmp_path, "pcscd")
    assert daemon.service_runs(tmp_path)
    assert daemon.service_runs(tmp_path / "no procfs")


def test_a_sleeping_service_is_not_woken_where_there_are_usb_readers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ushield.transport.pcsc import scheme as module

    asked: list[float] = []

    def readers(timeout: float) -> tuple[PcscReader, ...]:
        asked.append(timeout)
        return ()

    monkeypatch.setattr(module, "service_runs", lambda: False)
    monkeypatch.setattr(PcscScheme, "_readers", staticmethod(readers))
    monkeypatch.setattr(PcscScheme, "_usb_readers", staticmethod(lambda: True))
    assert PcscScheme().find() == ()
    assert asked == []
    monkeypatch.setattr(PcscScheme, "_usb_readers", staticmethod(lambda: False))
    PcscScheme().find()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (ReturnCode.SHARING_VIOLATION, TokenBusy),
        (ReturnCode.NO_SMARTCARD, SlotEmpty),
        (ReturnCode.NO_SERVICE, PcscUnavailable),
        (ReturnCode.SECURITY_VIOLATION, AccessDenied),
        (0x80101234, TransferFailed),
    ],
)
def test_return_codes_are_typed_errors(code: int, error: type[TransportError]) -> None:
    assert type(transport_error(code, "trying")) is error
    assert "trying" in str(transport_error(code, "trying"))


def test_the_numbers_are_those_of_pyscard() -> None:
    scard = pytest.importorskip("smartcard.scard", reason=INSTALL)
    for name, value in vars(ReturnCode).items():
        if name.isupper():
            theirs = {
                getattr(scard, f"SCARD_{kind}_{name}") & 0xFFFFFFFF
                for kind in ("S", "E", "W", "F")
                if hasattr(scard, f"SCARD_{kind}_{name}")
            }
            assert theirs == {value}, name


def test_a_token_that_pcscd_holds_is_busy_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("smartcard", reason=INSTALL)
    held = _busy(Holder(71, "pcscd"))
    assert (held.pid, held.program) == (71, "pcscd")
    for word in ("pcsc:READER", "systemctl stop pcscd.socket pcscd.service"):
        assert word in held.remedy
    assert INSTALL not in held.remedy
    assert "pcscd" not in _busy(Holder(71, "gpg")).remedy
    monkeypatch.setitem(sys.modules, "smartcard", None)
    assert INSTALL in _busy(Holder(71, "pcscd")).remedy


def test_where_the_holder_is_hidden_a_running_pcscd_is_suspected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ushield.transport.usb import link

    monkeypatch.setattr(link, "service_runs", lambda: True)
    assert "pcscd" in str(_busy(None))
    assert "systemctl" in _busy(None).remedy
    monkeypatch.setattr(link, "service_runs", lambda: False)
    assert "pcscd" not in str(_busy(None))
