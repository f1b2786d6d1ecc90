"""What a system is told of our tokens: the udev rules that are kept, and libccid's list."""

from __future__ import annotations

import plistlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ushield.drivers.profiles import load_profile
from ushield.drivers.registry import drivers
from ushield.drivers.setup import ReaderListInvalid, libccid_list, main, profiles, udev_rules

RULES = Path(__file__).parent.parent / "udev" / "70-ushield.rules"
COLUMNS = ("ifdVendorID", "ifdProductID", "ifdFriendlyName")
LIST: dict[str, Any] = {
    "CFBundleExecutable": "libccid.so",
    "ifdVendorID": ["0x1050", "0x072F"],
    "ifdProductID": ["0x0407", "0x90CC"],
    "ifdFriendlyName": ["Yubico YubiKey OTP+FIDO+CCID", "ACS ACR 38U-CCID"],
}


def rows(info: bytes) -> list[tuple[str, str, str]]:
    table = plistlib.loads(info)
    return list(zip(*(table[name] for name in COLUMNS), strict=True))


def test_the_rules_that_are_kept_are_those_that_are_generated() -> None:
    assert RULES.read_text() == udev_rules()


def test_the_rules_name_every_device_of_the_profiles_once() -> None:
    named = re.findall(
        r'^[^#\n]*ATTR\{idVendor\}=="([0-9a-f]{4})", ATTR\{idProduct\}=="([0-9a-f]{4})".*'
        r'TAG\+="uaccess"',
        udev_rules(),
        re.MULTILINE,
    )
    listed = {
        (f"{vendor:04x}", f"{product:04x}")
        for driver in drivers()
        for vendor, product in load_profile(driver.name).devices
    }
    assert len(named) == len(set(named))
    assert set(named) == listed


def test_libccid_s_list_gets_what_it_lacks_and_keeps_the_rest() -> None:
    made = libccid_list(plistlib.dumps(LIST))
    assert plistlib.loads(made)["CFBundleExecutable"] == "libccid.so"
    listed = rows(made)
    assert listed[:2] == list(zip(*(LIST[name] for name in COLUMNS), strict=True))
    assert ("0x1209", "0x0001", "ushield shield token") in listed
    wanted = {device for profile in profiles() for device in profile.devices}
    ids = [(int(vendor, 16), int(product, 16)) for vendor, product, _ in listed]
    assert wanted <= set(ids)
    assert len(ids) == len(set(ids))
    assert libccid_list(made) == made


@pytest.mark.parametrize(
    "info",
    [
        b"",
        b"<plist",
        plistlib.dumps({}),
        plistlib.dumps([]),
        plistlib.dumps(LIST | {"ifdVendorID": ["0x1050"]}),
        plistlib.dumps(LIST | {"ifdVendorID": ["0x1050", "many"]}),
        plistlib.dumps(LIST | {"ifdVendorID": [1, 2]}),
        plistlib.dumps(LIST, fmt=plistlib.FMT_BINARY),
    ],
)
def test_another_file_is_refused(info: bytes) -> None:
    with pytest.raises(ReaderListInvalid):
        libccid_list(info)


def test_both_are_printed_by_the_command(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ushield.drivers.setup", "udev"], capture_output=True, check=True
    )
    assert done.stdout == RULES.read_bytes()
    (tmp_path / "Info.plist").write_bytes(plistlib.dumps(LIST))
    assert main(["libccid", str(tmp_path / "Info.plist")]) == 0
    assert len(rows(capfdbinary.readouterr().out)) > 2
    assert main(["libccid", str(tmp_path / "missing")]) == 1
    assert b"missing" in capfdbinary.readouterr().err
    (tmp_path / "other").write_bytes(b"<plist")
    for name in ("missing", "other"):
        assert main(["libccid", str(tmp_path / name)]) == 1
        assert b"Name the Info.plist of libccid" in capfdbinary.readouterr().err
