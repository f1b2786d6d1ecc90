"""The PKCS-style key store: slots, tokens, sessions, objects, PIN state."""

from __future__ import annotations

from ushield.drivers.base import Capability, KeyUsage, TokenInfo
from ushield.keystore.attributes import (
    Attribute,
    AttributeInvalid,
    AttributeValue,
    CertificateCategory,
    CertificateType,
    KeyType,
    Mechanism,
    ObjectClass,
    Template,
)
from ushield.keystore.flags import SlotFlag, TokenFlag
from ushield.keystore.health import Finding, FindingKind, Severity
from ushield.keystore.objects import Certificate, PrivateKey, PublicKey, StoredObject
from ushield.keystore.pins import TokenPin
from ushield.keystore.query import Query
from ushield.keystore.request import CertificateRequest, SubjectInvalid
from ushield.keystore.session import Session, SessionClosed
from ushield.keystore.slots import Slot, slots
from ushield.keystore.token import Token

__all__ = [
    "Attribute",
    "AttributeInvalid",
    "AttributeValue",
    "Capability",
    "Certificate",
    "CertificateCategory",
    "CertificateRequest",
    "CertificateType",
    "Finding",
    "FindingKind",
    "KeyType",
    "KeyUsage",
    "Mechanism",
    "ObjectClass",
    "PrivateKey",
    "PublicKey",
    "Query",
    "Session",
    "SessionClosed",
    "Severity",
    "Slot",
    "SlotFlag",
    "StoredObject",
    "SubjectInvalid",
    "Template",
    "Token",
    "TokenFlag",
    "TokenInfo",
    "TokenPin",
    "slots",
]
