"""Commands to the PIV application: sent, refusals raised, answers decoded."""

from __future__ import annotations

from ushield.drivers.base import Capability, TokenInfo
from ushield.drivers.link import ApplicationLink, decoded
from ushield.drivers.meanings import Meanings
from ushield.drivers.piv.quirks import PivQuirks
from ushield.drivers.piv.refusals import GENERAL
from ushield.drivers.profiles import DriverProfile
from ushield.errors import ProtocolViolation, TlvInvalid
from ushield.iso7816.apdu import MAX_SHORT_NE, CommandApdu
from ushield.iso7816.channel import ApduChannel
from ushield.piv.commands import (
    AID,
    KEY_SLOTS,
    RID,
    WHOLE_CARD,
    DataTag,
    Instruction,
    ManagementAlgorithm,
    Reference,
    TouchPolicy,
)
from ushield.piv.objects import (
    MAX_CERTIFICATE,
    Application,
    SecretMetadata,
    decode_certificate,
    decode_guid,
    encode_tag_list,
)
from ushield.transport.connection import CardConnection

__all__ = ["PivLink"]

# The name without its version, as the standard wants, and then as some cards want.
_NAMES = (AID[:9], RID)
_NEVER_PROVEN = "unknown"


class PivLink(ApplicationLink):
    """The selected application behind a connection, and what the card told of itself.

    ``version`` is that of the extensions; ``management`` the metadata of the management key,
    ``None`` on a card without metadata.
    """

    general = GENERAL
    version: tuple[int, ...] | None
    management: SecretMetadata | None

    def __init__(
        self, connection: CardConnection, profile: DriverProfile, quirks: PivQuirks
    ) -> None:
        # Extended APDUs are no part of the standard; chaining is.
        super().__init__(connection, profile, extended=False)
        self.quirks = quirks

    @classmethod
    def open(
        cls, connection: CardConnection, profile: DriverProfile, quirks: PivQuirks
    ) -> PivLink | None:
        """SELECT the application, and ask what it tells; ``None`` if it is not on this card."""
        with connection.hold():
            application = _select(connection, profile.timeouts.command)
            if application is None:
                return None
            link = cls(connection, profile, quirks)
            link.version = link._version()
            link.management = link.secret_metadata(Reference.MANAGEMENT_KEY)
            link.info = link._token_info(application)
            return link

    def reopen(self) -> None:
        """SELECT the application again after a reset."""
        if _select(self.connection, self.timeouts.command) is None:
            raise ProtocolViolation("after its reset, another card answers")

    @property
    def has_metadata(self) -> bool:
        """Whether the card tells of its keys."""
        return self.management is not None

    def get(self, tag: int) -> bytes:
        """GET DATA: an object with its tag 53 around it; `ObjectNotFound`, `LoginRequired`."""
        p1, p2 = divmod(WHOLE_CARD, 0x100)
        return self.ask(Instruction.GET_DATA, p1, p2, encode_tag_list(tag))

    def put(self, tag: int, data: bytes, meanings: Meanings) -> None:
        """PUT DATA: an object with its tag 53 around it."""
        p1, p2 = divmod(WHOLE_CARD, 0x100)
        self.ask(Instruction.PUT_DATA, p1, p2, encode_tag_list(tag) + data, meanings=meanings)

    def secret_metadata(self, reference: Reference) -> SecretMetadata | None:
        """GET METADATA of a secret; ``None`` where the card does not tell it."""
        response = self.send(Instruction.GET_METADATA, 0, reference)
        return decoded(SecretMetadata.decode, response.data) if response.ok else None

    @property
    def management_algorithm(self) -> ManagementAlgorithm | None:
        """The management key's algorithm, where the card tells one that there is."""
        code = self.management and self.management.algorithm
        return ManagementAlgorithm(code) if code in tuple(ManagementAlgorithm) else None

    @property
    def management_touch(self) -> TouchPolicy:
        """The management key's touch policy; ``DEFAULT`` where it is not told."""
        return TouchPolicy.DEFAULT if self.management is None else self.management.touch

    def _version(self) -> tuple[int, ...] | None:
        response = self.send(Instruction.GET_VERSION)
        return tuple(response.data) if response.ok and len(response.data) == 3 else None

    def _serial(self) -> str:
        response = self.send(Instruction.GET_SERIAL)
        if response.ok and len(response.data) == 4:
            return str(int.from_bytes(response.data, "big"))
        p1, p2 = divmod(WHOLE_CARD, 0x100)
        identifier = encode_tag_list(DataTag.CARDHOLDER_IDENTIFIER)
        response = self.send(Instruction.GET_DATA, p1, p2, identifier)
        guid = b""
        if response.ok:
            try:
                guid = decode_guid(response.data)
            except TlvInvalid:
                # Many cards were never given one, or one of a form of their own.
                guid = b""
        return guid.hex().upper() or self.connection.device.serial or _NEVER_PROVEN

    def _device_certificate(self) -> bytes | None:
        """The certificate of the key that attests others, empty where nobody can read it."""
        p1, p2 = divmod(WHOLE_CARD, 0x100)
        response = self.send(
            Instruction.GET_DATA, p1, p2, encode_tag_list(DataTag.ATTESTATION_CERTIFICATE)
        )
        try:
            return decode_certificate(response.data) if response.ok else None
        except TlvInvalid:
            return b""

    def _token_info(self, application: Application) -> TokenInfo:
        capabilities = {Capability.KEY_GENERATION, Capability.MANAGEMENT_KEY}
        certificate = self._device_certificate()
        if certificate is not None:
            capabilities.add(Capability.ATTESTATION)
        from ushield.cms.attestation import is_virtual_device

        device = self.connection.device
        return TokenInfo(
            driver=self._driver,
            manufacturer=device.manufacturer,
            model=device.product or application.label or "PIV card",
            serial=self._serial(),
            label="",
            firmware=".".join(map(str, self.version or ())),
            capabilities=frozenset(capabilities),
            pin_rules=self.quirks.pin_rules,
            max_keys=len(KEY_SLOTS),
            max_certificate=MAX_CERTIFICATE,
            virtual=certificate is not None and is_virtual_device(certificate),
        )


def _select(connection: CardConnection, timeout: float) -> Application | None:
    channel = ApduChannel(connection, extended=False)
    for name in _NAMES:
        command = CommandApdu(0, Instruction.SELECT, 0x04, 0x00, name, MAX_SHORT_NE)
        response = channel.send(command, timeout=timeout)
        if response.ok:
            return Application.decode(response.data)
    return None
