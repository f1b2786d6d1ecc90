"""``ushield list``: what is plugged in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ushield.cli.invocation import Command, Invocation, pass_invocation

if TYPE_CHECKING:
    from ushield.transport.holder import Holder

__all__ = ["command"]


@click.command("list", cls=Command)
@pass_invocation
def command(invocation: Invocation) -> None:
    """List tokens and readers, their drivers, and who holds them.

    Nothing is opened. Virtual tokens are not searched for: name them with --token virtual:PATH.

    Example: ushield list
    """
    from ushield.drivers.registry import drivers
    from ushield.transport.registry import find_devices

    holders = _holders()
    found: list[dict[str, Any]] = []
    lines = []
    for device in find_devices():
        driver = next((factory.name for factory in drivers() if factory.knows(device)), None)
        holder = holders.get(device.spec) or holders.get(device.same_as)
        found.append(
            {
                "spec": device.spec,
                "also": list(device.also),
                "empty": device.empty,
                "serial": device.serial,
                "manufacturer": device.manufacturer,
                "product": device.product,
                "vendor_id": device.vendor_id,
                "product_id": device.product_id,
                "driver": driver,
                "holder": holder and {"pid": holder.pid, "program": holder.program},
            }
        )
        name = " ".join(filter(None, (device.manufacturer, device.product, device.serial)))
        held = f", held by {holder.program} (process {holder.pid})" if holder else ""
        also = "".join(f", also {spec}" for spec in device.also)
        empty = ", no card in it" if device.empty else ""
        driver_name = driver or "none by its USB ids"
        lines.append(f"{device.spec}  {name}  (driver: {driver_name}{held}{also}{empty})")
    invocation.output.result(
        {"devices": found},
        "\n".join(lines) or "Nothing found. A virtual token is named with --token virtual:PATH.",
    )


def _holders() -> dict[str, Holder]:
    """Which USB devices other programs have open, by SPEC."""
    from ushield.transport.usb.discovery import find_device_holder
    from ushield.transport.usb.scheme import SCHEME

    held = {reader.info.spec: find_device_holder(reader.device) for reader in SCHEME.readers()}
    return {
        spec: holder
        for spec, holder in held.items()
        if holder is not None and holder.pid != os.getpid()
    }
