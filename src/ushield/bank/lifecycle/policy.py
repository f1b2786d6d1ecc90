"""What the bank wants of a token before it certifies its key."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ushield.algorithms import KeyAlgorithm
from ushield.bank.attestation import AttestationPolicy
from ushield.errors import InputInvalid, TransactionInvalid
from ushield.transaction.text import check_text

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["EnrolmentPolicy", "SubjectRule", "plain_subject"]

SubjectRule = Callable[[str, str | None], "x509.Name"]
"""The subject of a customer's certificate, from the customer's id and name."""

_LONGEST_NAME = 64
"""In characters (ub-common-name, RFC 5280, A.1)."""
_LONGEST_REGISTRATION = timedelta(days=90)


def plain_subject(customer: str, name: str | None) -> x509.Name:
    """The customer's id as serialNumber, and as commonName the name, or the id without one.

    A serialNumber is a PrintableString, which has no ``_``: an id with one stands as userId
    (RFC 4519, 2.39). A name that is longer than a commonName may be, or that nobody can read as it
    stands, is left out (`ushield.transaction.text`).
    """
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, _readable(name) or customer),
            x509.NameAttribute(
                NameOID.USER_ID if "_" in customer else NameOID.SERIAL_NUMBER, customer
            ),
        ]
    )


def _readable(name: str | None) -> str | None:
    if name is not None:
        with suppress(TransactionInvalid):
            check_text(name, "name", _LONGEST_NAME)
            return name
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentPolicy:
    """Which keys get a certificate, and what it says.

    ``attestations`` names the makers and models of tokens; a virtual token is refused unless
    ``accept_virtual``, too. ``algorithms`` are the kinds of key. ``subject`` makes the
    certificate's subject, whatever the request asks for. A certificate is valid for ``validity``,
    a registration for ``registration`` and ``tries`` wrong codes.
    `InputInvalid` for values that make no sense.
    """

    attestations: AttestationPolicy
    accept_virtual: bool = False
    algorithms: frozenset[KeyAlgorithm] = frozenset(KeyAlgorithm)
    subject: SubjectRule = plain_subject
    validity: timedelta = timedelta(days=730)
    registration: timedelta = timedelta(days=14)
    tries: int = 5

    def __post_init__(self) -> None:
        if not timedelta() < self.registration <= _LONGEST_REGISTRATION:
            raise InputInvalid("a registration lives for up to 90 days")
        if not 1 <= self.tries <= 10:
            raise InputInvalid("a registration takes 1 to 10 wrong codes")
