"""Commands to the shield applet: sent, refusals raised, answers decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ushield.drivers.base import Capability, TokenInfo
from ushield.drivers.link import ApplicationLink, decoded
from ushield.drivers.meanings import Meanings
from ushield.drivers.profiles import DriverProfile
from ushield.drivers.shield.refusals import GENERAL, refusal
from ushield.errors import (
    NoDriver,
    ProtocolViolation,
    TlvInvalid,
    TokenUntrusted,
)
from ushield.iso7816.apdu import MAX_EXTENDED_NE, MAX_SHORT_NE, CommandApdu
from ushield.iso7816.channel import ApduChannel
from ushield.iso7816.layer import secure
from ushield.pin import PinReference
from ushield.shield.application import ApplicationInfo, is_application
from ushield.shield.commands import (
    AID,
    CLA_ISO,
    PIN_REFERENCE_CODE,
    PROTOCOL_VERSION,
    VERIFY_FORGET,
    WHOLE_CARD,
    DataObject,
    Feature,
    Instruction,
)
from ushield.shield.objects import tag_list
from ushield.transport.connection import CardConnection

__all__ = ["ShieldLink", "not_empty"]

_T = TypeVar("_T")
_CAPABILITY = {
    Feature.DISPLAY: Capability.DISPLAY_SIGNING,
    Feature.PANEL_EVENTS: Capability.PANEL_EVENTS,
    Feature.VOUCHERS: Capability.VOUCHERS,
    Feature.ATTESTATION: Capability.ATTESTATION,
    Feature.REMOTE_UNBLOCK: Capability.REMOTE_UNBLOCK,
    Feature.KEY_GENERATION: Capability.KEY_GENERATION,
    Feature.SECURE_CHANNEL: Capability.SECURE_CHANNEL,
}


def not_empty(data: bytes) -> bytes:
    """Decodes an answer that is one bare value."""
    if not data:
        raise TlvInvalid("it is empty")
    return data


class ShieldLink(ApplicationLink):
    """The selected applet behind a connection, and what it told of itself.

    ``device_certificate`` (DER) is that of the key which the secure channel was proven by; ``None``
    where there is no channel.
    """

    general = GENERAL

    def __init__(
        self, connection: CardConnection, application: ApplicationInfo, profile: DriverProfile
    ) -> None:
        super().__init__(connection, profile)
        self.device_certificate: bytes | None = None
        self._take(application)

    def _take(self, application: ApplicationInfo) -> None:
        self.application = application
        self.info = _token_info(application, self._driver, has_panel=self.connection.has_panel)

    @classmethod
    def open(cls, connection: CardConnection, profile: DriverProfile) -> ShieldLink | None:
        """SELECT the applet; ``None`` if it is not on this card.

        With a token that can, all that follows goes through a secure channel. `NoDriver` for an
        applet of another protocol version; `TokenUntrusted` for a token that cannot prove to be
        the one it says it is.
        """
        application = _select(connection, profile.timeouts.command)
        if application is None:
            return None
        link = cls(connection, application, profile)
        if application.features & Feature.SECURE_CHANNEL:
            link._open_channel()
        return link

    def _open_channel(self) -> None:
        self.connection = secure(self.connection, self._secured)
        self._channel = ApduChannel(self.connection)
        if _select(self.connection, self.timeouts.command) != self.application:
            raise TokenUntrusted("what the token told of itself was changed on its way here")

    def _secured(self, connection: CardConnection) -> CardConnection:
        from ushield.drivers.shield.device import channel_key
        from ushield.iso7816.secure_messaging.connection import SecureConnection

        p1, p2 = divmod(WHOLE_CARD, 0x100)
        channel = ApduChannel(connection)
        certificates = []
        for tag in (DataObject.DEVICE_CERTIFICATE, DataObject.CHANNEL_CERTIFICATE):
            command = CommandApdu(
                CLA_ISO, Instruction.GET_DATA, p1, p2, tag_list(tag), MAX_EXTENDED_NE
            )
            response = channel.send(command, timeout=self.timeouts.command)
            if not response.ok:
                raise refusal(response.sw)
            certificates.append(response.data)
        device, certificate = certificates
        key = channel_key(device, certificate, self.application.serial)
        self.device_certificate = device
        return SecureConnection(connection, key, AID)

    def reopen(self) -> None:
        """SELECT the applet again after a reset."""
        application = _select(self.connection, self.timeouts.command)
        if application is None or application.serial != self.info.serial:
            raise ProtocolViolation("after its reset, another token answers")
        self._take(application)

    def rename(self, label: str) -> None:
        """The token has another label now."""
        self._take(replace(self.application, label=label))

    def forget_verification(self, timeout: float) -> None:
        """VERIFY in its form that verifies nothing and logs out."""
        user = PIN_REFERENCE_CODE[PinReference.USER]
        response = self.send(Instruction.VERIFY, VERIFY_FORGET, user, ne=0, timeout=timeout)
        if not response.ok:
            raise refusal(response.sw)

    def get(
        self,
        tag: DataObject,
        decode: Callable[[bytes], _T],
        *,
        slot: int | None = None,
        meanings: Meanings | None = None,
    ) -> _T:
        """GET DATA: the object with ``tag``, read by ``decode``; ``slot`` for a certificate's."""
        p1, p2 = divmod(WHOLE_CARD, 0x100)
        data = tag_list(tag, slot)
        return decoded(decode, self.ask(Instruction.GET_DATA, p1, p2, data, meanings=meanings))


def _select(connection: CardConnection, timeout: float) -> ApplicationInfo | None:
    command = CommandApdu(CLA_ISO, Instruction.SELECT, 0x04, 0x00, AID, MAX_SHORT_NE)
    response = ApduChannel(connection).send(command, timeout=timeout)
    if not response.ok or not is_application(response.data):
        return None
    application = decoded(ApplicationInfo.decode, response.data)
    if application.protocol[0] != PROTOCOL_VERSION[0]:
        major, minor = application.protocol
        raise NoDriver(
            f"the token speaks version {major}.{minor} of the shield protocol",
            remedy="Install a newer ushield.",
        )
    return application


def _token_info(application: ApplicationInfo, driver: str, *, has_panel: bool) -> TokenInfo:
    capabilities = {
        capability for bit, capability in _CAPABILITY.items() if application.features & bit
    }
    if not has_panel:
        capabilities.discard(Capability.PANEL_EVENTS)
    return TokenInfo(
        driver=driver,
        manufacturer=application.manufacturer,
        model=application.model,
        serial=application.serial,
        label=application.label,
        firmware=".".join(map(str, application.firmware)),
        capabilities=frozenset(capabilities),
        pin_rules=application.pin_rules,
        screen=application.screen if application.features & Feature.DISPLAY else None,
        max_message=application.max_message,
        max_keys=application.max_keys,
        max_certificate=application.max_certificate,
        timeout=application.timeout,
        virtual=bool(application.features & Feature.VIRTUAL),
    )
