"""One open PIV card."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

from ushield.drivers.base import KeyInfo, TokenInfo
from ushield.drivers.piv.keys import KeyCommands
from ushield.drivers.piv.link import PivLink
from ushield.drivers.piv.pins import PinCommands
from ushield.drivers.piv.quirks import PivQuirks
from ushield.drivers.piv.screenless import Screenless
from ushield.drivers.profiles import load_profile
from ushield.errors import UShieldError
from ushield.transport.connection import CardConnection, DeviceInfo

__all__ = ["PivDriver"]


class PivDriver(PinCommands, KeyCommands, Screenless):
    """`TokenDriver` of cards with a PIV application (``docs/piv.md``), made by `probe`.

    Safe from several threads; commands that belong together stay so under ``connection.hold()``:
    a key whose ``pin`` is ``ALWAYS`` wants VERIFY right before `sign_digest`.
    What the card itself sends wrong is a `ProtocolViolation`; what it refuses is a typed error,
    or a `StatusWordError` with the status word's meaning.
    """

    name: ClassVar[str] = "piv"
    takes_any_maker: ClassVar[bool] = True

    def __init__(self, link: PivLink) -> None:
        self._link = link
        self._most_tries = link.quirks.usual_tries
        self._managed = False
        self._closed = False
        self._keys: dict[int, KeyInfo] | None = None
        self._introduced: dict[int, KeyInfo] = {}
        self._read: dict[int, bytes] = {}

    @classmethod
    def knows(cls, device: DeviceInfo) -> bool:
        """Whether the profile lists the device's USB ids."""
        return load_profile(cls.name).lists(device)

    @classmethod
    def probe(cls, connection: CardConnection) -> PivDriver | None:
        """SELECT the application, which changes nothing; ``None`` if it is not on this card."""
        profile = load_profile(cls.name)
        link = PivLink.open(connection, profile, PivQuirks.read(profile))
        return None if link is None else cls(link)

    @property
    def connection(self) -> CardConnection:
        """The card below."""
        return self._link.connection

    @property
    def info(self) -> TokenInfo:
        """What the card told when it was opened."""
        return self._link.info

    def reset(self) -> None:
        """Power the card off and on and open it again: ends the login."""
        with self.connection.hold():
            self.connection.reset()
            self._managed = False
            self._keys = None
            self._read.clear()
            self._link.reopen()

    def close(self) -> None:
        """Log out and close the connection; harmless to repeat."""
        if self._closed:
            return
        self._closed = True
        try:
            # Powering off logs out as well, but another program may share the card.
            with suppress(UShieldError):
                self._forget_pin(self._link.timeouts.close)
        finally:
            self.connection.close()
