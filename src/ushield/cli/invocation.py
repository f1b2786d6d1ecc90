"""What one run of the command carries from its options to its commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from ushield.cli.output import Output

if TYPE_CHECKING:
    from ushield.iso7816.trace import TraceWriter

__all__ = [
    "Command",
    "Invocation",
    "TokenCommand",
    "device_ca_option",
    "driver_option",
    "json_option",
    "pass_invocation",
    "token_option",
]


@dataclass(slots=True)
class Invocation:
    """One run: which token, by which driver (if one is named), how to answer, where its APDUs are
    recorded (if at all; as ciphertext if wanted), whether the last try of a PIN may be spent, and a
    file with the certificates of devices, or of their makers, of which the token must be one.
    """

    output: Output = field(default_factory=Output)
    spec: str | None = None
    driver: str | None = None
    trace: TraceWriter | None = None
    allow_last_try: bool = False
    ciphertext: bool = False
    device_ca: str | None = None


pass_invocation = click.make_pass_decorator(Invocation)


def _set_json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Invocation).output.json = True


def _set_spec(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Invocation).spec = value


def _set_driver(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Invocation).driver = value


def json_option() -> click.Option:
    """``--json``; eager, so that complaints about the other arguments come as JSON too."""
    return click.Option(
        ["--json", "as_json"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_json,
        help="Print one JSON object.",
    )


def token_option(**settings: Any) -> click.Option:
    """``--token SPEC``; ``settings`` go to `click.Option`."""
    return click.Option(
        ["--token", "spec"],
        metavar="SPEC",
        expose_value=False,
        callback=_set_spec,
        help="The token: a serial, usb:BUS-PORT, pcsc:READER or virtual:PATH.",
        **settings,
    )


def driver_option(**settings: Any) -> click.Option:
    """``--driver NAME``; ``settings`` go to `click.Option`."""
    return click.Option(
        ["--driver"],
        metavar="NAME",
        expose_value=False,
        callback=_set_driver,
        help="Which driver, for a card with several applications: shield or piv.",
        **settings,
    )


def _set_device_ca(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Invocation).device_ca = value


def device_ca_option(**settings: Any) -> click.Option:
    """``--device-ca FILE``; ``settings`` go to `click.Option`."""
    return click.Option(
        ["--device-ca"],
        metavar="FILE",
        type=click.Path(dir_okay=False),
        expose_value=False,
        callback=_set_device_ca,
        help="Only tokens whose device certificate is in FILE (PEM), or issued by one in it.",
        **settings,
    )


class Command(click.Command):
    """A command that takes ``--json`` after its name as well as before."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.append(json_option())


class TokenCommand(Command):
    """A command on a token: takes ``--token`` and ``--driver`` after its name as well as before."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params += (token_option(), driver_option(), device_ca_option())
