"""Signed heads of the audit log, and the lines in which they leave the house.

Whoever holds a head that was anchored elsewhere (printed, mailed, with a notary, in another bank's
database) can later tell whether the log still has everything up to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from sqlalchemy import Row

from ushield.bank.audit.hashing import head_digest
from ushield.bank.audit.keys import AuditPublicKey
from ushield.bank.errors import AuditBroken
from ushield.bank.moments import instant
from ushield.errors import InputInvalid

__all__ = ["SignedHead", "read_heads"]


@dataclass(frozen=True, slots=True)
class SignedHead:
    """The log up to and including the entry ``last``, in one digest and signed.

    ``instance`` is the database's id, ``number`` counts the heads from 1, ``first`` and ``count``
    tell the entries of this batch, ``root`` is their tree's (32 bytes), ``previous`` the digest of
    the head before (zeros for the first), ``at`` microseconds since 1970. ``signature`` is by the
    key ``key_id`` (Ed25519, RFC 8032) over `digest`.
    """

    instance: str
    number: int
    first: int
    count: int
    root: bytes
    previous: bytes
    at: int
    key_id: str
    signature: bytes

    @property
    def last(self) -> int:
        """The sequence number of the last entry under this head."""
        return self.first + self.count - 1

    @property
    def digest(self) -> bytes:
        """What is signed, and what the next head calls ``previous`` (32 bytes)."""
        return head_digest(
            instance=self.instance,
            number=self.number,
            first=self.first,
            count=self.count,
            root=self.root,
            previous=self.previous,
            at=self.at,
        )

    @property
    def signed_at(self) -> datetime:
        """When it was signed."""
        return instant(self.at)

    def verify(self, key: AuditPublicKey) -> None:
        """`AuditBroken` unless ``key`` signed this head."""
        try:
            key.verify(self.signature, self.digest)
        except InvalidSignature as error:
            raise AuditBroken(
                f"head {self.number} is not signed by the audit key",
                fault="head-invalid",
                sequence=self.first,
            ) from error

    @classmethod
    def of_row(cls, row: Row[Any]) -> SignedHead:
        """A head from the database."""
        return cls(
            instance=row.instance,
            number=row.number,
            first=row.first,
            count=row._mapping["count"],
            root=row.root,
            previous=row.previous,
            at=row.at,
            key_id=row.key_id,
            signature=row.signature,
        )

    def to_line(self) -> str:
        """One line of JSON, without its end."""
        return json.dumps(
            {
                "instance": self.instance,
                "number": self.number,
                "first": self.first,
                "count": self.count,
                "root": self.root.hex(),
                "previous": self.previous.hex(),
                "at": self.at,
                "key_id": self.key_id,
                "signature": self.signature.hex(),
            }
        )

    @classmethod
    def from_line(cls, line: str) -> SignedHead:
        """Read `to_line`; `InputInvalid`."""
        try:
            found = json.loads(line)
            head = cls(
                instance=str(found["instance"]),
                number=int(found["number"]),
                first=int(found["first"]),
                count=int(found["count"]),
                root=bytes.fromhex(found["root"]),
                previous=bytes.fromhex(found["previous"]),
                at=int(found["at"]),
                key_id=str(found["key_id"]),
                signature=bytes.fromhex(found["signature"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputInvalid("not the line of an audit head") from error
        return head


def read_heads(text: str) -> tuple[SignedHead, ...]:
    """The heads of an exported file, in its order; `InputInvalid` names the line at fault.

    A last line without its end was cut off while it was written, and is passed over.
    """
    lines: Iterable[str] = text.split("\n")[:-1]
    heads = []
    for number, line in enumerate(lines, 1):
        try:
            heads.append(SignedHead.from_line(line))
        except InputInvalid as error:
            raise InputInvalid(f"line {number}: {error}") from error
    return tuple(heads)
