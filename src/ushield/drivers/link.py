"""Commands to the application that a driver has selected: sent, and refusals raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

from ushield.drivers.base import Capability, TokenInfo
from ushield.drivers.meanings import Meanings, meant
from ushield.drivers.profiles import DriverProfile
from ushield.errors import CapabilityMissing, ProtocolViolation, TlvInvalid
from ushield.iso7816.apdu import MAX_EXTENDED_NE, CommandApdu, ResponseApdu
from ushield.iso7816.channel import ApduChannel
from ushield.transport.connection import CardConnection

__all__ = ["ApplicationLink", "decoded"]

_T = TypeVar("_T")


def decoded(decode: Callable[[bytes], _T], data: bytes) -> _T:
    """What ``decode`` reads in an answer; `ProtocolViolation` where the token sent nonsense."""
    try:
        return decode(data)
    except TlvInvalid as error:
        raise ProtocolViolation(f"the token's answer makes no sense: {error}") from error


class ApplicationLink:
    """A selected application behind ``connection``; whoever selected it sets ``info``.

    ``general`` is what the application means by status words, whatever the command. Without
    ``extended``, commands go as short APDUs, chained.
    """

    general: ClassVar[Meanings]
    info: TokenInfo

    def __init__(
        self, connection: CardConnection, profile: DriverProfile, *, extended: bool = True
    ) -> None:
        self.connection = connection
        self.timeouts = profile.timeouts
        self._driver = profile.driver
        self._channel = ApduChannel(connection, extended=extended)

    def want(self, capability: Capability) -> None:
        """`CapabilityMissing` unless the token has it."""
        if capability not in self.info.capabilities:
            raise CapabilityMissing(
                f"this token has no {capability.value}", capability=capability.value
            )

    def send(
        self,
        instruction: int,
        p1: int = 0,
        p2: int = 0,
        data: bytes = b"",
        *,
        ne: int = MAX_EXTENDED_NE,
        cla: int = 0,
        timeout: float | None = None,
    ) -> ResponseApdu:
        """Send one command, for whoever reads its status word.

        ``timeout`` in seconds; the profile's time for a command by default.
        """
        command = CommandApdu(cla, instruction, p1, p2, data, ne)
        return self._channel.send(
            command, timeout=self.timeouts.command if timeout is None else timeout
        )

    def ask(
        self,
        instruction: int,
        p1: int = 0,
        p2: int = 0,
        data: bytes = b"",
        *,
        cla: int = 0,
        timeout: float | None = None,
        meanings: Meanings | None = None,
    ) -> bytes:
        """Send one command; the data of its answer, or its status word as the error it stands for.

        ``meanings`` are those of this command; they go before the general ones.
        """
        response = self.send(instruction, p1, p2, data, cla=cla, timeout=timeout)
        if not response.ok:
            raise meant(response.sw, meanings or {}, self.general)
        return response.data
