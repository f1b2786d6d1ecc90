"""PKIMessages: writing ours, and cutting up what came in, of which nothing is believed yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from asn1crypto.x509 import Certificate, GeneralName, Name

from ushield.bank.authorities.cmp.structures import (
    PKIBody,
    PKIHeader,
    PKIMessage,
    ProtectionAlgorithm,
)
from ushield.bank.authorities.errors import CaAnswerInvalid
from ushield.cms import der

__all__ = ["MAX_MESSAGE", "Envelope", "Message", "Protector", "read_message", "write_message"]

MAX_MESSAGE = 1 << 18
"""Longest message that is looked at, in bytes."""

_CMP2000, _CMP2021 = 2, 3
# What asn1crypto raises, as soon as they are looked at, for parts that are not what they should be.
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    RecursionError,
    # An object descriptor has no value there (ITU-T X.680, 48.3).
    AttributeError,
)


class Protector(Protocol):
    """Protects our messages."""

    @property
    def sender(self) -> bytes:
        """The name (DER) of whoever protects."""

    @property
    def sender_kid(self) -> bytes | None:
        """What the receiver finds the key by."""

    @property
    def algorithm(self) -> ProtectionAlgorithm:
        """The protectionAlg of the next message."""

    @property
    def extra_certs(self) -> tuple[bytes, ...]:
        """Certificates (DER) to send along."""

    def protect(self, part: bytes, algorithm: ProtectionAlgorithm) -> bytes:
        """The protection of a ProtectedPart (DER)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a header says besides who protects it. Nonces and ids have 16 bytes."""

    recipient: bytes
    transaction_id: bytes
    sender_nonce: bytes
    recip_nonce: bytes | None = None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message in parts; ``part`` is what its protection is over, ``content`` that of its body."""

    pvno: int
    body: str
    content: Any = field(repr=False)
    transaction_id: bytes
    sender_nonce: bytes | None
    recip_nonce: bytes | None
    algorithm: ProtectionAlgorithm | None = field(repr=False)
    protection: bytes | None = field(repr=False)
    part: bytes = field(repr=False)
    extra_certs: tuple[bytes, ...] = field(repr=False)


def write_message(body: PKIBody, envelope: Envelope, protector: Protector) -> bytes:
    """A protected message (DER)."""
    algorithm = protector.algorithm
    header = {
        "pvno": _CMP2000,
        "sender": _directory_name(protector.sender),
        "recipient": _directory_name(envelope.recipient),
        "message_time": envelope.at.replace(microsecond=0),
        "protection_alg": algorithm,
        "transaction_id": envelope.transaction_id,
        "sender_nonce": envelope.sender_nonce,
    }
    if protector.sender_kid is not None:
        header["sender_kid"] = protector.sender_kid
    if envelope.recip_nonce is not None:
        header["recip_nonce"] = envelope.recip_nonce
    encoded_header, encoded_body = PKIHeader(header).dump(), body.dump()
    protection = protector.protect(der.sequence(encoded_header, encoded_body), algorithm)
    message: dict[str, Any] = {
        "header": PKIHeader.load(encoded_header),
        "body": PKIBody.load(encoded_body),
        "protection": protection,
    }
    if protector.extra_certs:
        message["extra_certs"] = [Certificate.load(each) for each in protector.extra_certs]
    encoded: bytes = PKIMessage(message).dump()
    return encoded


def read_message(data: bytes) -> Message:
    """Cut a message (DER) up; `CaAnswerInvalid`, of fault ``length`` or ``encoding``."""
    if len(data) > MAX_MESSAGE:
        raise CaAnswerInvalid(
            f"an answer of {len(data)} bytes, at most {MAX_MESSAGE} are read", fault="length"
        )
    try:
        message = PKIMessage.load(data, strict=True)
        header, body = message["header"], message["body"]
        pvno = header["pvno"].native
        found = Message(
            pvno=pvno,
            body=body.name,
            content=body.chosen,
            transaction_id=header["transaction_id"].native or b"",
            sender_nonce=header["sender_nonce"].native,
            recip_nonce=header["recip_nonce"].native,
            algorithm=_present(header["protection_alg"]),
            protection=message["protection"].native,
            part=der.sequence(header.dump(), body.dump()),
            extra_certs=tuple(each.dump() for each in _present(message["extra_certs"]) or ()),
        )
    except UNREADABLE as error:
        raise CaAnswerInvalid("the answer is no PKIMessage", fault="encoding") from error
    if pvno not in (_CMP2000, _CMP2021):
        raise CaAnswerInvalid(f"an answer of the unknown version {pvno}", fault="encoding")
    return found


def _present(value: Any) -> Any:
    return None if value.native is None else value


def _directory_name(name: bytes) -> GeneralName:
    return GeneralName(name="directory_name", value=Name.load(name))
