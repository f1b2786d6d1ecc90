"""What the bank asks of a certification authority, whoever that is."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from ushield.errors import InputInvalid

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "CertificateAuthority",
    "CertificateProfile",
    "RevocationReason",
    "check_transaction_id",
    "new_transaction_id",
]

_TRANSACTION_ID = 16
_LONGEST_VALIDITY = timedelta(days=3650)
# Attributes of these types are PrintableStrings (RFC 5280, A.1): dnQualifier, countryName,
# serialNumber. What has others in it cannot be read as a certificate.
_PRINTABLE_TYPES = frozenset(("2.5.4.46", "2.5.4.6", "2.5.4.5"))
_PRINTABLE = re.compile(r"[0-9A-Za-z '()+,./:=?-]+")


class RevocationReason(StrEnum):
    """Why a customer's certificate is revoked (CRLReason, RFC 5280, 5.3.1).

    ``CERTIFICATE_HOLD`` alone may be taken back, by `CertificateAuthority.release`.
    """

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProfile:
    """What the bank decides of a customer's certificate; the request's own subject counts nothing.

    The rest is alike in all: version 3, for digitalSignature and contentCommitment, no CA. Where
    its CRL is published and who answers OCSP is the CA's business. `InputInvalid` for an empty
    subject, or one with characters that its attributes do not have, and for a validity of less than
    a minute or more than ten years.
    """

    subject: x509.Name
    validity: timedelta = timedelta(days=730)

    def __post_init__(self) -> None:
        if not list(self.subject):
            raise InputInvalid("a certificate's subject has a name")
        for each in self.subject:
            kind, value = each.oid.dotted_string, each.value
            if kind in _PRINTABLE_TYPES and _PRINTABLE.fullmatch(str(value)) is None:
                raise InputInvalid(f"a subject's attribute {kind} has other characters than it may")
        if not timedelta(minutes=1) <= self.validity <= _LONGEST_VALIDITY:
            raise InputInvalid("a certificate is valid for a minute to ten years")


class CertificateAuthority(Protocol):
    """Issues and revokes certificates of customers.

    Every order carries a transaction id (16 bytes) that the caller chose at random and wrote down
    *before* it asks: `new_transaction_id`. Whoever does not know what became of an order, because
    the process was killed or an answer was lost, repeats it with the same id:

    - An embedded CA decides and remembers in one transaction of the database: a repeated order
      gets the same certificate, byte for byte, and there is never a second one.
    - A CA that is reached by CMP is another machine. Here, the certificate it sent is in the
      bank's database before the bank confirms it, and is given again from there; a confirmation
      that was lost is repeated. The bank never confirms two certificates for one id. If the
      *answer* was lost, the request is repeated under its transactionID, and what comes of that
      is the CA's: it may answer again, or refuse (``transactionIdInUse``, which is told as
      `CaOutcomeUnknown`), or issue a second one. The first one was never confirmed; a CA that
      keeps to RFC 9810, 4.2.2.2, revokes it, but there are CAs that keep no transactions. The
      bank has never enrolled it, and takes no signature by it.

    The same id for something else is refused (`DuplicateEntry`). Methods end in bounded time, and
    raise `CaUnavailable`, `CaOutcomeUnknown`, `CaAnswerInvalid`, `CaRefused`, `CaPending`,
    and `StoreError` for the bank's own database.
    """

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The CA's certificate (DER), then those above it, up to a self-signed one."""

    def issue(self, request: bytes, profile: CertificateProfile, *, transaction_id: bytes) -> bytes:
        """The certificate (DER) for the key of a request (PKCS #10, RFC 2986, in DER).

        `CertificateRequestInvalid` if the request cannot be read, or is not signed by its own key;
        `InputInvalid` if the bank would not accept signatures by a certificate made from it.
        """

    def renew(
        self,
        request: bytes,
        profile: CertificateProfile,
        *,
        certificate: bytes,
        transaction_id: bytes,
    ) -> bytes:
        """As `issue`, for whoever holds ``certificate`` (DER) of this CA; the key may be the same.

        That the holder asks for it is the caller's to verify. The old certificate stays as it is
        until it is revoked. `CertificateUnknown` if this CA did not issue it, `CaRefused` if it is
        revoked or held.
        """

    def revoke(
        self, serial_number: int, reason: RevocationReason, *, transaction_id: bytes
    ) -> None:
        """Revoke a certificate, or hold it; `CertificateUnknown`.

        One that is revoked stays so, with its first reason and date; one that is held may be
        revoked and keeps the date.
        """

    def release(self, serial_number: int, *, transaction_id: bytes) -> None:
        """Take a hold back; nothing happens to a certificate that is good.

        `CertificateUnknown`, `CaRefused` for one that was revoked for good.
        """


def new_transaction_id() -> bytes:
    """An id (16 random bytes) for a new order (RFC 9810, 5.1.1)."""
    return secrets.token_bytes(_TRANSACTION_ID)


def check_transaction_id(transaction_id: bytes) -> str:
    """The id in hexadecimal, as the database has it; `InputInvalid` unless it has 16 bytes."""
    if len(transaction_id) != _TRANSACTION_ID:
        raise InputInvalid(f"a transaction id has {_TRANSACTION_ID} bytes")
    return transaction_id.hex()
