"""An operation of the service: its place, who may do it, what it takes and gives."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

from ushield.bank.service.clients import Client, Role
from ushield.bank.service.errors import NotServed, RequestInvalid
from ushield.bank.service.json_schema import Schema
from ushield.errors import UShieldError

if TYPE_CHECKING:
    from ushield.bank.archive.job import ArchiveJob
    from ushield.bank.audit.keys import AuditPublicKey, AuditSigner
    from ushield.bank.authorities.ocsp_responder import OcspResponder
    from ushield.bank.batch import VerifiedRows
    from ushield.bank.facade import Bank
    from ushield.bank.lifecycle.enrolments import Enrolments
    from ushield.bank.lifecycle.revocations import Revocations
    from ushield.bank.lifecycle.unblocking import Unblocking
    from ushield.bank.revocation.history import Knowledge

__all__ = [
    "SIGNATURE",
    "Answer",
    "Backing",
    "Call",
    "Operation",
    "base64_member",
    "rows_of",
    "served",
    "signature_of",
]

T = TypeVar("T")

SIGNATURE = "application/pkcs7-signature"
"""The media type of a signature as it is (RFC 8551, 3.2.1)."""

SMALL = 1 << 16


@dataclass(frozen=True, slots=True)
class Backing:
    """What operations work on: the bank, and what else is at hand here.

    ``crl`` gives the bank's own CA's CRL (DER), or `None` as long as there is none; ``archive`` by
    what archives are verified.
    """

    bank: Bank
    audit_key: AuditPublicKey | None = None
    audit_signer: AuditSigner | None = None
    enrolments: Enrolments | None = None
    unblocking: Unblocking | None = None
    revocations: Revocations | None = None
    ocsp: OcspResponder | None = None
    crl: Callable[[], bytes | None] | None = None
    archive: Callable[[Knowledge], ArchiveJob] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked against the operation's schemas.

    ``body`` is the JSON value, or the bytes of a body of the operation's other media type.
    ``seconds`` is how long it may take.
    """

    backing: Backing
    client: Client | None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    seconds: float = 10

    @property
    def bank(self) -> Bank:
        """The bank."""
        return self.backing.bank


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back: an object as JSON, or ``content`` of another ``media_type``."""

    body: Mapping[str, Any] | None = None
    status: int = 200
    content: bytes | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    ``handler`` blocks, and runs in a thread; the errors it raises are ``errors`` and the store's.
    Without ``roles`` anybody may call it. ``answers`` are schemas by status, or names of media
    types, or nothing where there is no body. ``body`` is the JSON body's schema, ``raw`` another
    media type that is taken, too, or alone.
    ``is_long``: it may take minutes, and few of this kind run at a time.
    """

    name: str
    method: str
    path: str
    summary: str
    handler: Callable[[Call], Answer]
    answers: Mapping[int, Schema | str | None]
    roles: frozenset[Role] = frozenset()
    errors: tuple[type[UShieldError], ...] = ()
    path_parameters: Mapping[str, Schema] = field(default_factory=dict)
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: Schema | None = None
    raw: str | None = None
    longest: int = SMALL
    is_long: bool = False
    tag: str = "bank"

    @property
    def is_open(self) -> bool:
        """Anybody may call it."""
        return not self.roles


def base64_member(body: Mapping[str, Any], name: str) -> bytes:
    """A member in base64 (RFC 4648); `RequestInvalid`."""
    try:
        return base64.b64decode(body[name], validate=True)
    except (binascii.Error, ValueError):
        raise RequestInvalid(f"{name}: not base64", field=f"/{name}") from None


def signature_of(call: Call) -> bytes:
    """The signature (DER) in a body that is one, or has one in base64."""
    return call.body if isinstance(call.body, bytes) else base64_member(call.body, "signature")


@contextmanager
def rows_of(call: Call) -> Iterator[VerifiedRows | None]:
    """The rows of a batch in a body that has them, if they are what was issued."""
    if isinstance(call.body, bytes) or "rows" not in call.body:
        yield None
        return
    from ushield.bank.issued_rows import read_issued_rows

    stream = BytesIO(base64_member(call.body, "rows"))
    with read_issued_rows(call.bank, call.parameters["challenge"], stream) as verified:
        yield verified


def served(part: T | None, name: str) -> T:
    """A part of the backing that must be there; `NotServed`."""
    if part is None:
        raise NotServed(f"this service has no {name}")
    return part
