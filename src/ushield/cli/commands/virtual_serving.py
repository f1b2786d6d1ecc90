"""``ushield virtual serve``, ``press`` and ``screen``: a virtual token for other programs."""

from __future__ import annotations

import ipaddress
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from ushield.cli.invocation import Command, Invocation, pass_invocation
from ushield.cli.live_panel import Drawing, boxed, keyboard, terminal_width
from ushield.cli.stopping import told_to_stop
from ushield.cli.terminal import has_terminal
from ushield.shield.events import PanelKey

if TYPE_CHECKING:
    from ushield.virtual.faces.panel_messages import PanelView
    from ushield.virtual.token import VirtualToken

__all__ = ["press", "screen", "serve"]

_USBIP: Final = "127.0.0.1:3240"
_DEFAULT_USBIP: Final = ("127.0.0.1", 3240)
_VPCD: Final = "127.0.0.1:35963"
_LOOK_SECONDS: Final = 0.1
_KEYS: Final = "Enter: OK   Esc: C   Up, Down: page   Ctrl-C: end"
_MAX_PORT: Final = 65_535


def _address(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    """Host and port; an IPv6 address stands in brackets."""
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise click.BadParameter(f"{value!r} is no HOST:PORT, as in {_USBIP}", context, parameter)
    return host, int(port)


@click.command(cls=Command)
@click.argument("path", type=click.Path())
@click.option(
    "--usbip",
    metavar="HOST:PORT",
    callback=_address,
    help=f"Where a Linux kernel fetches its USB device ({_USBIP}; port 0: any free one).",
)
@click.option(
    "--vpcd",
    metavar="HOST:PORT",
    callback=_address,
    help=f"Put it as a card into vpcd's reader instead, which pcscd runs: {_VPCD}, as a rule.",
)
@pass_invocation
def serve(
    invocation: Invocation,
    *,
    path: str,
    usbip: tuple[str, int] | None,
    vpcd: tuple[str, int] | None,
) -> None:
    """Plug a virtual token into any Linux machine, over USB/IP, or into a PC/SC reader.

    Its panel is shown in the terminal, and to `virtual press` and `virtual screen`. Ctrl-C ends it.
    Whoever reaches HOST:PORT can use the token: neither USB/IP nor vpcd has passwords.

    Example: ushield virtual serve alice.token
    """
    if vpcd is not None:
        if usbip is not None:
            raise click.UsageError("--usbip and --vpcd exclude each other: it is one token")
        _serve_card(invocation, path, *vpcd)
    else:
        _serve_device(invocation, path, *(usbip or _DEFAULT_USBIP))


def _serve_card(invocation: Invocation, path: str, host: str, port: int) -> None:
    from ushield.virtual.faces.panel_socket import PanelServer
    from ushield.virtual.faces.vpcd import VpcdCard
    from ushield.virtual.token import VirtualToken

    with told_to_stop() as stop, ExitStack() as open_things:
        token = open_things.enter_context(VirtualToken.open(path))
        card = open_things.enter_context(VpcdCard.connect(token, host=host, port=port))
        panel = open_things.enter_context(PanelServer.listen(token))
        invocation.output.result(
            {
                "path": path,
                "serial": token.serial,
                "vpcd": {"host": host, "port": port},
                "panel": str(panel.path),
            },
            f"The virtual token {token.serial} is in the PC/SC reader at {host}:{port}.",
        )
        sys.stdout.flush()
        _watch(token, stop, lambda: card.wait(0))


def _serve_device(invocation: Invocation, path: str, host: str, port: int) -> None:
    from ushield.virtual.faces.panel_socket import PanelServer
    from ushield.virtual.faces.usbip import UsbIpServer
    from ushield.virtual.faces.usbip_wire import BUS_ID
    from ushield.virtual.token import VirtualToken

    with told_to_stop() as stop, ExitStack() as open_things:
        token = open_things.enter_context(VirtualToken.open(path))
        server = open_things.enter_context(UsbIpServer.listen(token.device, host=host, port=port))
        panel = open_things.enter_context(PanelServer.listen(token))
        host, port = server.address
        if not ipaddress.ip_address(host).is_loopback:
            invocation.output.say(f"Anyone who reaches {host} can use this token.")
        invocation.output.result(
            {
                "path": path,
                "serial": token.serial,
                "usbip": {"host": host, "port": port, "bus_id": BUS_ID},
                "panel": str(panel.path),
            },
            f"Serving the virtual token {token.serial}. Plug it in, as root:\n"
            f"  modprobe vhci-hcd\n"
            f"  usbip --tcp-port {port} attach -r {host} -b {BUS_ID}",
        )
        sys.stdout.flush()
        _watch(token, stop, lambda: None)


def _watch(token: VirtualToken, stop: threading.Event, check: Callable[[], None]) -> None:
    """Until told to stop, let time pass for the panel, and show it where there is a terminal.

    ``check`` raises when there is nobody left to serve.
    """
    if not has_terminal():
        while not stop.wait(_LOOK_SECONDS):
            check()
            token.panel.tick()
        return
    drawing = Drawing(token.profile.screen.columns)
    with keyboard(token.panel), told_to_stop(stop):
        drawing.show(token.panel.screen, _KEYS)
        while not stop.wait(_LOOK_SECONDS):
            check()
            drawing.show(token.panel.screen, _KEYS)


@click.command(cls=Command)
@click.argument("path", type=click.Path())
@click.argument(
    "keys",
    metavar="KEY...",
    nargs=-1,
    required=True,
    type=click.Choice([key.name.lower() for key in PanelKey]),
)
@pass_invocation
def press(invocation: Invocation, *, path: str, keys: tuple[str, ...]) -> None:
    """Press keys of a token that `virtual serve` serves: ok, cancel, up or down.

    What is on its screen then is printed.

    Example: ushield virtual press alice.token down ok
    """
    from ushield.virtual.faces.panel_socket import ask_panel

    view = ask_panel(path, *(PanelKey[key.upper()] for key in keys))
    _show(invocation, path, view)


@click.command(cls=Command)
@click.argument("path", type=click.Path())
@pass_invocation
def screen(invocation: Invocation, *, path: str) -> None:
    """Print the screen of a token that `virtual serve` serves.

    Example: ushield virtual screen alice.token
    """
    from ushield.virtual.faces.panel_socket import ask_panel

    _show(invocation, path, ask_panel(path))


def _show(invocation: Invocation, path: str, view: PanelView) -> None:
    columns = max((terminal_width(line) for line in view.screen), default=0)
    picture = boxed(view.screen, columns, sys.stdout)
    invocation.output.result({"path": path} | asdict(view), "\n".join(picture))
