"""The scheme ``virtual``: a token file by its path, driven over its own USB frames."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ushield.errors import SpecInvalid, TokenNotFound
from ushield.transport.connection import ApduLimits, CardConnection, DeviceInfo

if TYPE_CHECKING:
    from ushield.virtual.token import VirtualToken

__all__ = ["SCHEME", "VirtualScheme"]


@dataclass(frozen=True, slots=True)
class VirtualScheme:
    """``virtual:PATH``. Nothing of this kind is ever found: it is used only when it is named."""

    name: str = "virtual"

    def find(self) -> tuple[DeviceInfo, ...]:
        """Nothing: no virtual token is taken by accident."""
        return ()

    def open(self, address: str, *, timeout: float = 5.0) -> CardConnection:
        """Open and power the token in the file ``address``.

        One that is open in this process is used as it is; else it is opened, and closed together
        with the connection. Raises what `VirtualToken.open` and `open_usb` do.
        """
        if not address:
            raise SpecInvalid("virtual: wants the path of a token file")
        from ushield.virtual.token import VirtualToken, live_token

        live = live_token(address)
        if live is not None:
            return _connect(live, address, timeout)
        token = VirtualToken.open(address)
        try:
            return _OwnedConnection(token, _connect(token, address, timeout))
        except BaseException:
            token.close()
            raise


def _connect(token: VirtualToken, address: str, timeout: float) -> CardConnection:
    import usb.core

    from ushield.transport.holder import Holder
    from ushield.transport.usb.connection import open_usb

    device = usb.core.find(backend=token.backend)
    if device is None:
        raise TokenNotFound(f"the virtual token {address} is not plugged in")
    info = DeviceInfo(
        f"virtual:{address}",
        vendor_id=token.profile.vendor_id,
        product_id=token.profile.product_id,
        serial=token.serial,
        manufacturer=token.profile.manufacturer,
        product=token.profile.model,
    )
    this_process = Holder(os.getpid(), "this program")
    return open_usb(device, info=info, timeout=timeout, holder=lambda _: this_process)


class _OwnedConnection:
    """The connection to a token that nobody else in this process has open."""

    __slots__ = ("_connection", "_token")

    def __init__(self, token: VirtualToken, connection: CardConnection) -> None:
        self._token = token
        self._connection = connection

    @property
    def device(self) -> DeviceInfo:
        return self._connection.device

    @property
    def atr(self) -> bytes:
        return self._connection.atr

    @property
    def limits(self) -> ApduLimits:
        return self._connection.limits

    @property
    def has_panel(self) -> bool:
        return self._connection.has_panel

    def hold(self, timeout: float | None = None) -> AbstractContextManager[object]:
        return self._connection.hold(timeout)

    def transmit(self, command: bytes, *, timeout: float | None = None) -> bytes:
        return self._connection.transmit(command, timeout=timeout)

    def read_panel(self, timeout: float) -> bytes | None:
        return self._connection.read_panel(timeout)

    def reset(self) -> bytes:
        return self._connection.reset()

    def close(self) -> None:
        try:
            self._connection.close()
        finally:
            self._token.close()


SCHEME: Final = VirtualScheme()
