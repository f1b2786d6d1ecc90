"""The scheme ``virtual``: a token file by its path, driven over its own USB frames."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ushield.errors import SpecInvalid, TokenNotFound
from ushield.iso7816.layer import ConnectionLayer
from ushield.transport.connection import CardConnection, DeviceInfo

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


class _OwnedConnection(ConnectionLayer):
    """The connection to a token that nobody else in this process has open."""

    def __init__(self, token: VirtualToken, connection: CardConnection) -> None:
        super().__init__(connection)
        self._token = token

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._token.close()


SCHEME: Final = VirtualScheme()
