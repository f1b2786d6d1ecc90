"""From a SPEC to an open token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ushield.signing.session import SigningToken

if TYPE_CHECKING:
    from ushield.drivers.trust import DeviceTrust
    from ushield.transport.connection import CardConnection

__all__ = ["open_token", "token_behind"]


def open_token(
    spec: str | None = None,
    *,
    driver: str | None = None,
    device_trust: DeviceTrust | None = None,
    timeout: float = 5.0,
) -> SigningToken:
    """Open the token that ``spec`` names: a serial, ``usb:BUS-PORT``, ``pcsc:READER`` or
    ``virtual:PATH``.

    Without a ``spec``, the only one plugged in; a virtual token is never taken unless it is named.
    ``driver`` names the one to use, for cards with several applications ("piv" on a token that has
    a screen as well). With ``device_trust`` the token must prove, by its secure channel, to be one
    trusted there: `TokenUntrusted`. ``timeout`` in seconds bounds the opening. `TokenNotFound`,
    `SeveralTokens`, `TokenBusy`, `AccessDenied`, `NoDriver`, `SpecInvalid` or another
    `TransportError`.
    """
    from ushield.transport.registry import open_spec

    return token_behind(open_spec(spec, timeout=timeout), driver, device_trust)


def token_behind(
    connection: CardConnection,
    driver: str | None = None,
    device_trust: DeviceTrust | None = None,
) -> SigningToken:
    """The token behind a connection of the caller's own, which is closed together with it.

    It is closed, too, if there is no such token: `NoDriver` or another `TransportError`.
    """
    from ushield.drivers.registry import driver_for

    try:
        opened = driver_for(connection, driver)
        if device_trust is not None:
            device_trust.check(opened)
        return SigningToken(opened)
    except BaseException:
        connection.close()
        raise
