"""An enrolment: a certificate for a customer's token, from its registration to its use.

```
registered --request--> requested --CA issues--> issued --confirm--> confirmed
     |                      |
     +--> void              +--> refused (by the CA), void (the token was lost meanwhile)
```

A registration that nobody answers in time is told as ``expired``. Every step is one transaction,
and whatever was killed between two of them goes on from where it stood.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select

from ushield.bank.lifecycle.refusals import EnrolmentUnknown
from ushield.bank.moments import instant
from ushield.bank.store.tables import certificate, enrolment

__all__ = ["Enrolment", "EnrolmentState", "find_enrolment", "read_enrolment"]


class EnrolmentState(StrEnum):
    """Where an enrolment stands; the last four are final."""

    REGISTERED = "registered"
    REQUESTED = "requested"
    ISSUED = "issued"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    VOID = "void"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What the bank knows of an enrolment.

    ``token`` is the serial number of the token that is enrolled, before that the one it must be, if
    the bank said so; ``replaces`` that of the token whose place it takes. ``renews`` is the SHA-256
    of the certificate that a renewal follows, ``challenge`` the id of the challenge that authorises
    it. ``certificate`` is what was issued (DER), ``chain`` the CA's certificates above it (PEM).
    """

    id: str
    customer_id: str
    state: EnrolmentState
    token: str | None
    replaces: str | None
    renews: bytes | None
    challenge: str | None
    certificate_sha256: bytes | None
    certificate: bytes | None
    chain: str | None
    registered_at: datetime
    expires_at: datetime
    changed_at: datetime

    @property
    def pem(self) -> bytes:
        """Certificate and chain, for `ushield cert import`; empty where none was issued."""
        if not self.certificate:
            return b""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        leaf = x509.load_der_x509_certificate(self.certificate).public_bytes(Encoding.PEM)
        return leaf + (self.chain or "").encode()


def find_enrolment(connection: Connection, identifier: str, at: int) -> Enrolment:
    """How an enrolment stands at ``at``; `EnrolmentUnknown`."""
    row = connection.execute(
        select(enrolment, certificate.c.der)
        .join(certificate, certificate.c.sha256 == enrolment.c.certificate_sha256, isouter=True)
        .where(enrolment.c.id == identifier)
    ).first()
    if row is None:
        raise EnrolmentUnknown("the bank has no such enrolment")
    return read_enrolment(row, at)


def read_enrolment(row: Row[Any], at: int) -> Enrolment:
    """The enrolment of a row that has the certificate's ``der``, too."""
    state = EnrolmentState(row.state)
    if state is EnrolmentState.REGISTERED and row.expires_at <= at:
        state = EnrolmentState.EXPIRED
    return Enrolment(
        id=row.id,
        customer_id=row.customer_id,
        state=state,
        token=row.token_serial,
        replaces=row.replaces,
        renews=row.renews,
        challenge=row.challenge_id,
        certificate_sha256=row.certificate_sha256,
        certificate=row.der or None,
        chain=row.chain,
        registered_at=instant(row.registered_at),
        expires_at=instant(row.expires_at),
        changed_at=instant(row.changed_at),
    )
