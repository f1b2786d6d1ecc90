"""From a SPEC to an open token."""

from __future__ import annotations

from ushield.signing.session import SigningToken

__all__ = ["open_token"]


def open_token(spec: str | None = None, *, timeout: float = 5.0) -> SigningToken:
    """Open the token that ``spec`` names: a serial, ``usb:BUS-PORT``, ``virtual:PATH``.

    Without a ``spec``, the only one plugged in; a virtual token is never taken unless it is named.
    ``timeout`` in seconds bounds the opening. `TokenNotFound`, `SeveralTokens`, `TokenBusy`,
    `AccessDenied`, `NoDriver`, `SpecInvalid` or another `TransportError`.
    """
    from ushield.drivers.registry import driver_for
    from ushield.transport.registry import open_spec

    connection = open_spec(spec, timeout=timeout)
    try:
        return SigningToken(driver_for(connection))
    except BaseException:
        connection.close()
        raise
