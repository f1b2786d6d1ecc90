"""One open token with the shield applet."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

from ushield.drivers.base import TokenInfo
from ushield.drivers.profiles import load_profile
from ushield.drivers.shield.link import ShieldLink
from ushield.drivers.shield.objects import ObjectCommands
from ushield.drivers.shield.pins import PinCommands
from ushield.drivers.shield.requests import RequestCommands
from ushield.errors import UShieldError
from ushield.transport.connection import CardConnection, DeviceInfo

__all__ = ["ShieldDriver"]


class ShieldDriver(PinCommands, ObjectCommands, RequestCommands):
    """`TokenDriver` of tokens with the shield applet (``docs/protocol.md``), made by `probe`.

    Safe from several threads; commands that belong together stay so under ``connection.hold()``.
    What the token itself sends wrong is a `ProtocolViolation`; what it refuses is a typed error,
    or a `StatusWordError` with the status word's meaning.
    """

    name: ClassVar[str] = "shield"

    def __init__(self, link: ShieldLink) -> None:
        self._link = link
        self._closed = False

    @classmethod
    def knows(cls, device: DeviceInfo) -> bool:
        """Whether the profile lists the device's USB ids."""
        return load_profile(cls.name).lists(device)

    @classmethod
    def probe(cls, connection: CardConnection) -> ShieldDriver | None:
        """SELECT the applet, which changes nothing; ``None`` if it is not on this card.

        `NoDriver` for an applet of another protocol version.
        """
        link = ShieldLink.open(connection, load_profile(cls.name))
        return None if link is None else cls(link)

    @property
    def connection(self) -> CardConnection:
        """The card below, through the secure channel if there is one."""
        return self._link.connection

    @property
    def info(self) -> TokenInfo:
        """What the token told when it was opened, or last renamed or reset."""
        return self._link.info

    @property
    def proven_by(self) -> bytes | None:
        """The certificate (DER) of the device that the secure channel was proven by, if any."""
        return self._link.device_certificate

    def reset(self) -> None:
        """Power the card off and on and open the token again: ends any request and the login."""
        with self.connection.hold():
            self.connection.reset()
            self._link.reopen()

    def close(self) -> None:
        """Log out and close the connection; harmless to repeat."""
        if self._closed:
            return
        self._closed = True
        try:
            # Powering off logs out as well, but another program may share the card.
            with suppress(UShieldError):
                self._link.forget_verification(self._link.timeouts.close)
        finally:
            self.connection.close()
