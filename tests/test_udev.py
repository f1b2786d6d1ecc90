"""The udev rules name the devices that the profiles list, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from ushield.drivers.profiles import load_profile
from ushield.drivers.registry import drivers

RULES = Path(__file__).parent.parent / "udev" / "70-ushield.rules"


def test_the_rules_name_every_device_of_the_profiles_once() -> None:
    named = re.findall(
        r'^[^#\n]*ATTR\{idVendor\}=="([0-9a-f]{4})", ATTR\{idProduct\}=="([0-9a-f]{4})".*'
        r'TAG\+="uaccess"',
        RULES.read_text(),
        re.MULTILINE,
    )
    listed = {
        (f"{vendor:04x}", f"{product:04x}")
        for driver in drivers()
        for vendor, product in load_profile(driver.name).devices
    }
    assert len(named) == len(set(named))
    assert set(named) == listed
