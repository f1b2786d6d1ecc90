"""PKCS #11 attributes with their types, and the enumerations their values come from.

Numbers are those of OASIS PKCS #11 v3.1 (pkcs11t.h, and clause 4 for what each one means).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from enum import IntEnum
from typing import TypeAlias

from ushield.errors import InputInvalid

__all__ = [
    "Attribute",
    "AttributeInvalid",
    "AttributeValue",
    "CertificateCategory",
    "CertificateType",
    "KeyType",
    "Mechanism",
    "ObjectClass",
    "Template",
    "check_template",
]


class AttributeInvalid(InputInvalid):
    """A template with a value of another type than its attribute has; ``attribute`` names it."""

    code = "attribute-invalid"
    carries = ("attribute",)

    def __init__(self, message: str, *, attribute: str) -> None:
        super().__init__(message)
        self.attribute = attribute


class ObjectClass(IntEnum):
    """``CKO_``: what an object is."""

    CERTIFICATE = 0x01
    PUBLIC_KEY = 0x02
    PRIVATE_KEY = 0x03


class CertificateType(IntEnum):
    """``CKC_``: tokens of this kind hold X.509 only."""

    X_509 = 0x00


class CertificateCategory(IntEnum):
    """``CK_CERTIFICATE_CATEGORY_``: the token user's own, or an authority's."""

    TOKEN_USER = 0x01
    AUTHORITY = 0x02


class KeyType(IntEnum):
    """``CKK_``: the family of a key."""

    RSA = 0x00
    EC = 0x03


class Mechanism(IntEnum):
    """``CKM_``: how a key was made, and what it may be used for.

    ``DISPLAY_SIGNING`` is in the vendor's range: the token signs what its screen showed, and
    nothing that a host could hand it as a digest.
    """

    RSA_PKCS_KEY_PAIR_GEN = 0x0000
    SHA256_RSA_PKCS = 0x0040
    SHA384_RSA_PKCS = 0x0041
    SHA512_RSA_PKCS = 0x0042
    EC_KEY_PAIR_GEN = 0x1040
    ECDSA_SHA256 = 0x1044
    ECDSA_SHA384 = 0x1045
    ECDSA_SHA512 = 0x1046
    DISPLAY_SIGNING = 0x80005553


class Attribute(IntEnum):
    """``CKA_``: what an object tells of itself."""

    CLASS = 0x0000
    TOKEN = 0x0001
    PRIVATE = 0x0002
    LABEL = 0x0003
    VALUE = 0x0011
    CERTIFICATE_TYPE = 0x0080
    ISSUER = 0x0081
    SERIAL_NUMBER = 0x0082
    TRUSTED = 0x0086
    CERTIFICATE_CATEGORY = 0x0087
    URL = 0x0089
    CHECK_VALUE = 0x0090
    KEY_TYPE = 0x0100
    SUBJECT = 0x0101
    ID = 0x0102
    SENSITIVE = 0x0103
    SIGN = 0x0108
    VERIFY = 0x010A
    DERIVE = 0x010C
    START_DATE = 0x0110
    END_DATE = 0x0111
    MODULUS = 0x0120
    MODULUS_BITS = 0x0121
    PUBLIC_EXPONENT = 0x0122
    PUBLIC_KEY_INFO = 0x0129
    EXTRACTABLE = 0x0162
    LOCAL = 0x0163
    NEVER_EXTRACTABLE = 0x0164
    ALWAYS_SENSITIVE = 0x0165
    KEY_GEN_MECHANISM = 0x0166
    MODIFIABLE = 0x0170
    COPYABLE = 0x0171
    DESTROYABLE = 0x0172
    EC_PARAMS = 0x0180
    EC_POINT = 0x0181
    ALWAYS_AUTHENTICATE = 0x0202
    ALLOWED_MECHANISMS = 0x40000600


AttributeValue: TypeAlias = "bool | int | str | bytes | datetime.date | frozenset[Mechanism]"
Template: TypeAlias = Mapping[Attribute, AttributeValue]

_TYPES: dict[Attribute, type] = dict.fromkeys(
    (
        Attribute.TOKEN,
        Attribute.PRIVATE,
        Attribute.TRUSTED,
        Attribute.SENSITIVE,
        Attribute.SIGN,
        Attribute.VERIFY,
        Attribute.DERIVE,
        Attribute.EXTRACTABLE,
        Attribute.LOCAL,
        Attribute.NEVER_EXTRACTABLE,
        Attribute.ALWAYS_SENSITIVE,
        Attribute.MODIFIABLE,
        Attribute.COPYABLE,
        Attribute.DESTROYABLE,
        Attribute.ALWAYS_AUTHENTICATE,
    ),
    bool,
) | {
    Attribute.CLASS: ObjectClass,
    Attribute.CERTIFICATE_TYPE: CertificateType,
    Attribute.CERTIFICATE_CATEGORY: CertificateCategory,
    Attribute.KEY_TYPE: KeyType,
    Attribute.KEY_GEN_MECHANISM: Mechanism,
    Attribute.ALLOWED_MECHANISMS: frozenset,
    Attribute.LABEL: str,
    Attribute.URL: str,
    Attribute.START_DATE: datetime.date,
    Attribute.END_DATE: datetime.date,
    Attribute.MODULUS_BITS: int,
}


def check_template(template: Template) -> None:
    """Raise `AttributeInvalid` unless each value has its attribute's type.

    Attributes not named otherwise are bytes: DER, or big-endian numbers.
    """
    for attribute, value in template.items():
        wanted = _TYPES.get(attribute, bytes)
        if type(value) is not wanted:
            raise AttributeInvalid(
                f"{attribute.name} is {wanted.__name__}, not {type(value).__name__}",
                attribute=attribute.name,
            )
