"""What a policy judges by: facts about a payment, all handed in. Nothing here looks anything up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Context, Decimal, Inexact, localcontext
from typing import TYPE_CHECKING

from ushield.algorithms import KeyAlgorithm
from ushield.cms.attestation import Attestation
from ushield.cms.blind import BlindStatement
from ushield.cms.receipt import Receipt
from ushield.errors import InputInvalid
from ushield.transaction.forms import Kind, form_of
from ushield.transaction.model import Batch, CertificateRenewal, Login, Transaction
from ushield.transaction.money import Currency, Money

if TYPE_CHECKING:
    from ushield.bank.verified import BlindTransaction, VerifiedTransaction

__all__ = [
    "BatchFacts",
    "CustomerFacts",
    "PaymentFacts",
    "SignatureFacts",
    "Sums",
    "amount_of",
    "exact_sum",
]

_EXACT = Context(prec=40, traps=[Inexact])


def exact_sum(*amounts: Decimal) -> Decimal:
    """The sum, whatever the caller's decimal context would make of it."""
    with localcontext(_EXACT):
        return sum(amounts, Decimal(0))


def amount_of(transaction: Transaction) -> Money | None:
    """What is paid in all; ``None`` for a login or a renewal."""
    if isinstance(transaction, Login | CertificateRenewal):
        return None
    if isinstance(transaction, Batch):
        return transaction.total
    return transaction.amount


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """Whose account pays. ``profile`` names the kind of customer, such as ``company``."""

    id: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """What a customer has paid in a day or a month, by kind and currency; exact decimals."""

    by_kind: Mapping[Kind, Mapping[Currency, Decimal]] = field(default_factory=dict)

    def of(self, currency: Currency, kind: Kind | None = None) -> Decimal:
        """The sum in ``currency``: of one kind, or of all together."""
        kinds = self.by_kind if kind is None else (kind,)
        return exact_sum(*(self.by_kind.get(each, {}).get(currency, Decimal(0)) for each in kinds))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFacts:
    """One person's signature on the payment, after it was verified.

    ``message`` is the bytes that were signed. ``person`` and ``token`` (a serial number) are those
    whom the bank's register names for the certificate, and ``certificate`` is that in DER.
    ``evidence`` is what was signed of the press, or of its absence; ``pages`` how many the token
    showed. ``algorithm`` is the key's, ``None`` for one without a name here. ``attestation`` is
    the one enrolled for the key. ``last_counter`` is the highest that the bank had accepted from
    the token before this signature, ``None`` if there was none.
    """

    message: bytes
    person: str
    token: str
    certificate: bytes
    evidence: Receipt | BlindStatement
    algorithm: KeyAlgorithm | None
    last_counter: int | None
    pages: int = 0
    attestation: Attestation | None = None

    @classmethod
    def of(
        cls,
        verified: VerifiedTransaction | BlindTransaction,
        *,
        person: str,
        token: str,
        last_counter: int | None,
        attestation: Attestation | None = None,
    ) -> SignatureFacts:
        """The facts of what a `Verifier` gave, and of the bank's register.

        ``attestation`` is for a verifier that was not told of any.
        """
        from ushield.bank.policy.keys import key_algorithm
        from ushield.bank.verified import BlindTransaction

        facts = cls(
            message=verified.message.encoded,
            person=person,
            token=token,
            certificate=verified.certificate,
            evidence=(
                verified.statement if isinstance(verified, BlindTransaction) else verified.receipt
            ),
            algorithm=key_algorithm(verified.certificate),
            attestation=attestation,
            last_counter=last_counter,
        )
        if isinstance(verified, BlindTransaction):
            return facts
        return replace(
            facts,
            pages=len(verified.pages),
            attestation=attestation if attestation is not None else verified.attestation,
        )

    @property
    def receipt(self) -> Receipt | None:
        """The receipt, where the token had a screen and showed the payment on it."""
        return self.evidence if isinstance(self.evidence, Receipt) else None


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What the rows of a batch are, once they were found to be those that were signed.

    ``largest`` is the largest amount of a row.
    """

    largest: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFacts:
    """All that is known of a payment when it is decided about, at the time ``at`` (aware).

    ``signatures`` are the maker's first, then the checkers'. ``today`` and ``month`` are what the
    customer has paid before this, by the bank's own calendar, ``payments_today`` how many times,
    ``blind_today`` what of it no screen showed. ``None`` is what the caller does not know: where
    the policy limits it, the payment is refused. They must be read so that no other payment of the
    customer can be accepted in between: two that are decided at once could pass one limit twice.
    """

    customer: CustomerFacts
    transaction: Transaction
    at: datetime
    signatures: tuple[SignatureFacts, ...]
    today: Sums | None = None
    month: Sums | None = None
    payments_today: int | None = None
    blind_today: Sums | None = None
    batch: BatchFacts | None = None

    def __post_init__(self) -> None:
        if self.at.utcoffset() is None:
            raise InputInvalid("the time of a decision has no time zone")
        if not self.signatures:
            raise InputInvalid("nothing is decided about a payment that nobody signed")

    @property
    def kind(self) -> Kind:
        """The kind of the transaction."""
        return form_of(self.transaction).kind

    @property
    def amount(self) -> Money | None:
        """What is paid in all; ``None`` for a login or a renewal."""
        return amount_of(self.transaction)

    @property
    def is_blind(self) -> bool:
        """Whether any of those who signed was shown nothing."""
        return any(each.receipt is None for each in self.signatures)
