"""A bank's policy where signatures are accepted: facts from the database, in its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ushield.bank.policy.facts import BatchFacts, PaymentFacts, SignatureFacts
from ushield.bank.policy.policy import Approval, Policy
from ushield.bank.spending import Spending

if TYPE_CHECKING:
    from ushield.bank.judgement import Acceptance
    from ushield.transaction.model import Transaction

__all__ = ["PolicyGate"]


@dataclass(frozen=True, slots=True)
class PolicyGate:
    """Lets through what ``policy`` allows. Days and months are those of ``zone``."""

    policy: Policy
    zone: tzinfo = UTC

    def day(self, at: datetime) -> date:
        """The bank's day at a time."""
        return at.astimezone(self.zone).date()

    def lock(self, connection: Connection, customers: Iterable[str], at: datetime) -> Spending:
        """What ``customers`` have paid by ``at``, kept from changing until the transaction ends."""
        return Spending.lock(connection, customers, self.day(at))

    def facts(
        self,
        spending: Spending,
        customer_id: str,
        signed: Sequence[SignatureFacts],
        transaction: Transaction,
        *,
        at: datetime,
        batch: BatchFacts | None,
    ) -> PaymentFacts:
        """All that the policy is asked about a payment."""
        paid = spending.paid(customer_id)
        return PaymentFacts(
            customer=spending.customer(customer_id),
            transaction=transaction,
            at=at,
            signatures=tuple(signed),
            today=paid.today,
            month=paid.month,
            payments_today=paid.payments_today,
            blind_today=paid.blind_today,
            batch=batch,
        )

    def approve(self, acceptance: Acceptance, spending: Spending) -> Approval:
        """Allow what one person signed, and count it; `PolicyRefused` counts nothing."""
        signature = SignatureFacts.of(
            acceptance.verified,
            person=acceptance.person,
            token=acceptance.token_serial,
            last_counter=acceptance.last_counter or None,
        )
        transaction = acceptance.verified.transaction
        approval = self.policy.approve(
            self.facts(
                spending,
                acceptance.customer_id,
                [signature],
                transaction,
                at=acceptance.at,
                batch=acceptance.batch,
            )
        )
        spending.add(acceptance.customer_id, transaction, is_blind=approval.facts.is_blind)
        return approval
