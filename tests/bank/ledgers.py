"""Ledgers for the tests of dual control: in memory, and in the databases of a bank."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select

from tests.bank.payments import AT
from ushield.bank.approval import ApprovalLedger, MemoryLedger
from ushield.bank.approval.stored_ledger import StoreLedger
from ushield.bank.moments import microseconds
from ushield.bank.store.store import Store
from ushield.bank.store.tables import challenge, customer, endorsement, proposal, token

COUNTER = 6
TOKENS = ("US00000001", "US00000002", "US00000003", "US00000004")


@dataclass
class Ledgers:
    """Makes ledgers of one kind; each has room for one proposal of the customer F1."""

    store: Store | None

    def __call__(self, identifier: str, message: bytes) -> ApprovalLedger:
        """One that is empty, for a challenge of this id and message."""
        if self.store is None:
            return MemoryLedger()
        self.store.write(lambda connection: prepare(connection, identifier, message))
        return StoreLedger(self.store, lambda: AT)


def prepare(connection: Connection, identifier: str, message: bytes) -> None:
    """Leave a database with one challenge, four tokens that made six signatures, and no more."""
    for table in (endorsement, proposal, challenge, token):
        connection.execute(delete(table))
    if connection.execute(select(customer.c.id)).first() is None:
        connection.execute(insert(customer).values(id="F1", created_at=0))
    for serial in TOKENS:
        connection.execute(
            insert(token).values(
                serial=serial,
                customer_id="F1",
                state="active",
                counter=COUNTER,
                revision=0,
                changed_at=0,
                alarms=0,
            )
        )
    connection.execute(
        insert(challenge).values(
            id=identifier,
            customer_id="F1",
            draft_digest=bytes(32),
            message=message,
            state="issued",
            issued_at=0,
            expires_at=microseconds(AT + timedelta(days=1000)),
        )
    )
