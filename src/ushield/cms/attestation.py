"""The attestation: what a token says of a key, in the certificate that its device key issues."""

from __future__ import annotations

from dataclasses import dataclass

from asn1crypto import core

from ushield.cms import der
from ushield.errors import InputInvalid

__all__ = ["VIRTUAL_UNIT", "Attestation", "AttestationInvalid", "is_virtual_device"]

VIRTUAL_UNIT = "virtual"
"""The organizational unit by which a device certificate says that no hardware guards its key."""

_VERSION = 1
_USAGES = (1, 2)


class AttestationInvalid(InputInvalid):
    """Bytes that are no attestation, or values no token would put into one."""

    code = "attestation-invalid"


@dataclass(frozen=True, slots=True)
class Attestation:
    """The value of the certificate extension `ushield.cms.oids.ATTESTATION`::

        Attestation ::= SEQUENCE {
            version      INTEGER (1),
            serial       UTF8String,
            model        UTF8String,
            firmware     UTF8String,
            usage        INTEGER { display (1), authentication (2) },
            generated    BOOLEAN,
            virtual      BOOLEAN }

    ``serial`` is the token's. ``usage`` tells what the key signs: only what the token's screen
    showed, or digests from the host. ``generated``: the key was made on the token and never left
    it. ``virtual``: no hardware guards it.
    """

    serial: str
    model: str
    firmware: str
    usage: int
    generated: bool
    virtual: bool

    def __post_init__(self) -> None:
        if not (
            1 <= len(self.serial) <= 64
            and 1 <= len(self.model) <= 64
            and len(self.firmware) <= 32
            and self.usage in _USAGES
        ):
            raise AttestationInvalid("an attestation with a value out of its range")

    def encode(self) -> bytes:
        """The attestation in DER."""
        return der.sequence(
            der.integer(_VERSION),
            der.utf8_string(self.serial),
            der.utf8_string(self.model),
            der.utf8_string(self.firmware),
            der.integer(self.usage),
            der.boolean(self.generated),
            der.boolean(self.virtual),
        )

    @classmethod
    def decode(cls, data: bytes) -> Attestation:
        """Read an attestation; `AttestationInvalid` for anything that `encode` would not write."""
        try:
            found = _Attestation.load(data, strict=True).native
            if found.pop("version") != _VERSION:
                raise AttestationInvalid("an attestation of another version")
            attestation = cls(**found)
        except (ValueError, TypeError) as error:
            raise AttestationInvalid("not an attestation") from error
        if attestation.encode() != data:
            raise AttestationInvalid("an attestation that is not in DER")
        return attestation


class _Attestation(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012 - asn1crypto wants it so
        ("version", core.Integer),
        ("serial", core.UTF8String),
        ("model", core.UTF8String),
        ("firmware", core.UTF8String),
        ("usage", core.Integer),
        ("generated", core.Boolean),
        ("virtual", core.Boolean),
    ]


def is_virtual_device(certificate: bytes) -> bool:
    """Whether a device certificate (DER) is a virtual token's; not if it cannot be read."""
    # Looked for first, since cryptography takes long to load.
    if VIRTUAL_UNIT.encode() not in certificate:
        return False
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    from ushield.cms.unreadable import unreadable

    try:
        subject = x509.load_der_x509_certificate(certificate).subject
        units = subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    except unreadable():
        return False
    return any(unit.value == VIRTUAL_UNIT for unit in units)
