"""``ushield apdu``: single commands to a card, for who writes a driver."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ushield.cli.access import device_trust, open_connection
from ushield.cli.invocation import Invocation, TokenCommand, pass_invocation
from ushield.errors import ApduInvalid, CapabilityMissing, NoDriver

if TYPE_CHECKING:
    from ushield.drivers.base import TokenDriver
    from ushield.iso7816.traffic import Exchange
    from ushield.transport.connection import CardConnection

__all__ = ["command"]


@click.command(cls=TokenCommand)
@click.argument("commands", metavar="HEX...", nargs=-1, required=True)
@click.option("--no-driver", is_flag=True, help="Send nothing before: no SELECT by a driver.")
@click.option("--secure", is_flag=True, help="Send them through the driver's secure channel.")
@pass_invocation
def command(
    invocation: Invocation, commands: tuple[str, ...], no_driver: bool, secure: bool
) -> None:
    """Send command APDUs as they are, and explain the answers.

    HEX is one whole command; spaces and colons in it are ignored. With - the commands come from
    the standard input, a line each: those that carry a PIN come in no other way, and their bodies
    are not shown. They go as they are, and end a secure channel, unless --secure puts them into
    one, or --device-ca wants a device that is trusted.

    Example: ushield apdu "00 A4 04 00 08 F0 55 53 48 49 45 4C 44 00"
    """
    from ushield.drivers.registry import driver_for
    from ushield.iso7816.traffic import Exchange, PanelReading, RecordingConnection, TrafficLog

    trust = device_trust(invocation)
    if no_driver and (secure or trust is not None):
        raise click.UsageError("a secure channel takes the driver")
    apdus = list(_read(commands))
    exchanges: list[Exchange] = []

    def note(record: Exchange | PanelReading) -> None:
        if isinstance(record, Exchange):
            exchanges.append(record)
            invocation.output.say(str(record))

    with open_connection(invocation) as connection:
        atr = connection.atr
        driver = None
        if not no_driver:
            # A driver selects its application, which is what most commands need; a card that no
            # driver knows gets the commands all the same.
            try:
                driver = driver_for(connection, invocation.driver)
            except NoDriver:
                if invocation.driver is not None or trust is not None:
                    raise
        if driver is not None and trust is not None:
            trust.check(driver)
        # Only through its channel does a device that is trusted answer for what is said to it.
        spoken_to = connection if trust is None and not secure else _secured(driver)
        recorded = RecordingConnection(spoken_to, TrafficLog(note))
        for apdu in apdus:
            recorded.transmit(apdu)
    invocation.output.result(
        {"atr": atr.hex(), "exchanges": [_facts(exchange) for exchange in exchanges]}, ""
    )


def _secured(driver: TokenDriver | None) -> CardConnection:
    from ushield.drivers.base import Capability

    capability = Capability.SECURE_CHANNEL
    if driver is None or capability not in driver.info.capabilities:
        raise CapabilityMissing("there is no secure channel to this card", capability=capability)
    return driver.connection


def _read(commands: Sequence[str]) -> Iterator[bytes]:
    from ushield.iso7816.masking import SECRET_INSTRUCTIONS

    for command_text in commands:
        if command_text == "-":
            yield from (_parse(line) for line in sys.stdin if line.strip())
            continue
        apdu = _parse(command_text)
        if len(apdu) > 5 and apdu[1] in SECRET_INSTRUCTIONS:
            raise click.UsageError(
                "a command that carries a PIN is not given as an argument, which others can see:"
                " use - and the standard input"
            )
        yield apdu


def _parse(text: str) -> bytes:
    try:
        apdu = bytes.fromhex(text.replace(":", " "))
    except ValueError:
        # Without the text itself: it may be a PIN's.
        raise ApduInvalid("a command APDU is written in hex digits") from None
    if len(apdu) < 4:
        raise ApduInvalid(f"a command APDU has at least 4 bytes, not {len(apdu)}")
    return apdu


def _facts(exchange: Exchange) -> dict[str, Any]:
    from ushield.iso7816.status import describe

    response = exchange.response or b""
    sw = response[-2:]
    return {
        "command": exchange.command.hex(),
        "masked": exchange.masked,
        "data": response[:-2].hex(),
        "sw": sw.hex(),
        "meaning": describe(int.from_bytes(sw, "big")) if sw else "",
        "milliseconds": round(exchange.milliseconds, 3),
    }
