"""Driver profiles: TOML, read strictly."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ushield.drivers.profiles import ProfileInvalid, load_profile, read_profile
from ushield.errors import InputInvalid
from ushield.transport.connection import DeviceInfo
from ushield.virtual.profile import load_profile as load_virtual_profile
from ushield.virtual.profile import profile_names

GOOD = """
driver = "other"
[[devices]]
vendor_id = 0x1234
product_id = 0x0001
[[devices]]
vendor_id = 0x1234
product_id = 0x0002
[timeouts]
command = 5
key_generation = 60.0
close = 1
"""


def test_a_profile_says_which_devices_and_how_long() -> None:
    profile = read_profile(GOOD)
    assert profile.driver == "other"
    assert profile.devices == {(0x1234, 1), (0x1234, 2)}
    assert (profile.timeouts.command, profile.timeouts.key_generation) == (5, 60.0)
    assert profile.lists(DeviceInfo("usb:1-1", vendor_id=0x1234, product_id=2))
    assert not profile.lists(DeviceInfo("usb:1-1", vendor_id=0x1234, product_id=3))
    assert not profile.lists(DeviceInfo("pcsc:reader"))


@pytest.mark.parametrize("name", profile_names())
def test_the_shield_driver_s_profile_lists_every_virtual_token(name: str) -> None:
    virtual = load_virtual_profile(name)
    assert (virtual.vendor_id, virtual.product_id) in load_profile("shield").devices


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ('driver = "other"', ""),
        ('driver = "other"', 'driver = ""'),
        ('driver = "other"', "driver = 7"),
        ('driver = "other"', 'driver = "other"\ncolour = "red"'),
        ("[[devices]]", "[[devices]]\nspeed = 3"),
        ("vendor_id = 0x1234", ""),
        ("vendor_id = 0x1234", "vendor_id = 0x10000"),
        ("vendor_id = 0x1234", "vendor_id = -1"),
        ("vendor_id = 0x1234", 'vendor_id = "1234"'),
        ("vendor_id = 0x1234", "vendor_id = true"),
        ("close = 1", ""),
        ("close = 1", "close = 0"),
        ("close = 1", "close = inf"),
        ("close = 1", "close = nan"),
        ("close = 1", 'close = "1"'),
        ("close = 1", "close = 1\nforever = 1"),
        ("[timeouts]", "[times]"),
        ("[[devices]]", "[devices]"),
        ("command", "comm and"),
    ],
)
def test_what_is_no_profile_is_refused(there: str, instead: str) -> None:
    assert there in GOOD
    with pytest.raises(ProfileInvalid) as caught:
        read_profile(GOOD.replace(there, instead))
    assert isinstance(caught.value, InputInvalid)


def test_a_driver_of_another_package_ships_its_own_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles = tmp_path / "other_drivers" / "profiles"
    profiles.mkdir(parents=True)
    (tmp_path / "other_drivers" / "__init__.py").write_text("")
    (profiles / "other.toml").write_text(GOOD)
    (profiles / "wrong.toml").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert load_profile("other", "other_drivers").driver == "other"
        with pytest.raises(ProfileInvalid, match="is for other"):
            load_profile("wrong", "other_drivers")
        with pytest.raises(ProfileInvalid, match="no profile for missing"):
            load_profile("missing", "other_drivers")
    finally:
        sys.modules.pop("other_drivers", None)
