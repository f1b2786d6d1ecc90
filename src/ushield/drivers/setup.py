"""What a system is told of the tokens that the profiles list: udev's rules, and libccid's list.

``python -m ushield.drivers.setup udev`` prints the rules that are kept in ``udev/``;
``python -m ushield.drivers.setup libccid FILE`` prints FILE, libccid's Info.plist, with the tokens
that it does not have yet.
"""

from __future__ import annotations

import argparse
import plistlib
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final
from xml.parsers.expat import ExpatError

from ushield.drivers.profiles import DriverProfile, load_profile
from ushield.errors import InputInvalid, UShieldError

__all__ = ["LIBCCID_LIST", "ReaderListInvalid", "libccid_list", "main", "profiles", "udev_rules"]

LIBCCID_LIST: Final = Path("/etc/libccid_Info.plist")
"""Where Debian keeps it; elsewhere it is in ``ifd-ccid.bundle/Contents``."""

_REMEDY: Final = f"Name the Info.plist of libccid; Debian has it as {LIBCCID_LIST}."
_HEADER: Final = """\
# Give the person at the machine access to tokens with a ushield driver. Copy to
# /etc/udev/rules.d, then: udevadm control --reload && udevadm trigger
# Made by: python -m ushield.drivers.setup udev
"""
# Before 73-seat-late.rules, which acts on the tag; ID_SMARTCARD_READER is the mark by which others
# know a card reader and leave it to those that are meant.
_RULE: Final = (
    'ACTION!="remove", SUBSYSTEM=="usb", ENV{{DEVTYPE}}=="usb_device",'
    ' ATTR{{idVendor}}=="{vendor:04x}", ATTR{{idProduct}}=="{product:04x}",'
    ' TAG+="uaccess", ENV{{ID_SMARTCARD_READER}}="1"\n'
)
_VENDORS, _PRODUCTS, _NAMES = "ifdVendorID", "ifdProductID", "ifdFriendlyName"


class ReaderListInvalid(InputInvalid):
    """A file that is not libccid's Info.plist."""

    code = "reader-list-invalid"
    default_remedy = _REMEDY


def profiles() -> tuple[DriverProfile, ...]:
    """The profiles of the drivers that come with this package, in the order of their names."""
    folder = resources.files("ushield.drivers") / "profiles"
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".toml"))
    return tuple(load_profile(name.removesuffix(".toml")) for name in names)


def udev_rules() -> str:
    """The rules for every device of the profiles, in the order of their ids."""
    devices = sorted({device for profile in profiles() for device in profile.devices})
    rules = (_RULE.format(vendor=vendor, product=product) for vendor, product in devices)
    return _HEADER + "".join(rules)


def libccid_list(info: bytes) -> bytes:
    """libccid's ``Info.plist`` with the profiles' devices that it lacks; the rest as it was.

    Comments in it are not kept. `ReaderListInvalid` for another file.
    """
    try:
        table: dict[str, Any] = plistlib.loads(info, fmt=plistlib.FMT_XML)
        columns = [table[name] for name in (_VENDORS, _PRODUCTS, _NAMES)]
        known = {
            (int(vendor, 16), int(product, 16)) for vendor, product, _ in zip(*columns, strict=True)
        }
    except (plistlib.InvalidFileException, ExpatError, KeyError, TypeError, ValueError) as error:
        raise ReaderListInvalid(f"this is no reader list of libccid: {error}") from error
    for profile in profiles():
        for vendor, product in sorted(profile.devices - known):
            row = (f"0x{vendor:04X}", f"0x{product:04X}", f"ushield {profile.driver} token")
            for column, value in zip(columns, row, strict=True):
                column.append(value)
    return plistlib.dumps(table, sort_keys=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what ``arguments`` ask for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ushield.drivers.setup", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("udev", help="the udev rules")
    libccid = kinds.add_parser("libccid", help="libccid's reader list with these tokens")
    libccid.add_argument("file", type=Path, nargs="?", default=LIBCCID_LIST)
    asked = parser.parse_args(arguments)
    try:
        made = (
            udev_rules().encode() if asked.kind == "udev" else libccid_list(asked.file.read_bytes())
        )
    except (UShieldError, OSError) as error:
        remedy = error.remedy if isinstance(error, UShieldError) else _REMEDY
        print(f"{parser.prog}: {error}\n  {remedy}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
