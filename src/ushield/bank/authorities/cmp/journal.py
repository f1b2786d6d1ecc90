"""How far each transaction with the CA has come, in the bank's database.

The step that was taken is written down before the next one is: what a killed process leaves
behind tells the next one where to go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ushield.bank.errors import DuplicateEntry
from ushield.bank.moments import Clock, microseconds
from ushield.bank.store.store import Conflict, Store
from ushield.bank.store.tables import ca_transaction

__all__ = ["Journal", "Step", "Transaction"]


class Step(StrEnum):
    """The last thing that is known to have happened, or may have."""

    SENT = "sent"
    WAITING = "waiting"
    RECEIVED = "received"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One order; ``nonce`` and ``cert_req_id`` are of the CA's last message.

    ``is_repeated`` says that it was begun before, perhaps by another process.
    """

    id: str
    step: Step
    is_repeated: bool
    nonce: bytes | None = None
    cert_req_id: int | None = None
    certificate: bytes | None = None


class Journal:
    """The transactions of one bank."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def begin(self, transaction_id: str, asked: bytes) -> Transaction:
        """Write an order down before it is sent, or find where it was left.

        ``asked`` is a digest of it; `DuplicateEntry` if the id was used for another.
        """

        def work(connection: Connection) -> Transaction | None:
            row = connection.execute(
                select(ca_transaction).where(ca_transaction.c.id == transaction_id)
            ).first()
            if row is None:
                self._insert(connection, transaction_id, asked)
                return Transaction(id=transaction_id, step=Step.SENT, is_repeated=False)
            if row.asked != asked:
                return None
            return Transaction(
                id=row.id,
                step=Step(row.state),
                is_repeated=True,
                nonce=row.nonce,
                cert_req_id=row.cert_req_id,
                certificate=row.certificate,
            )

        found = self._store.write(work)
        if found is None:
            raise DuplicateEntry("the transaction id was used before, for something else")
        return found

    def wait(self, transaction_id: str, nonce: bytes, cert_req_id: int) -> None:
        """The CA has the order and has not decided; ask again in answer to ``nonce``."""
        self._change(transaction_id, Step.WAITING, (Step.SENT, Step.WAITING), nonce, cert_req_id)

    def receive(
        self, transaction_id: str, nonce: bytes, cert_req_id: int, certificate: bytes
    ) -> bool:
        """A certificate came, which is not confirmed yet; whether it is the first one."""
        before = (Step.SENT, Step.WAITING)
        return self._change(
            transaction_id, Step.RECEIVED, before, nonce, cert_req_id, certificate=certificate
        )

    def finish(self, transaction_id: str) -> None:
        """The CA has confirmed, or revoked: nothing is left to be done."""
        self._change(transaction_id, Step.DONE, tuple(Step), None, None)

    def forget(self, transaction_id: str) -> None:
        """The CA refused the order, and nothing came of it; what another process has obtained by
        it meanwhile stays.
        """
        self._store.write(
            lambda connection: connection.execute(
                delete(ca_transaction).where(
                    ca_transaction.c.id == transaction_id,
                    ca_transaction.c.state.in_((Step.SENT.value, Step.WAITING.value)),
                )
            )
        )

    def _change(
        self,
        transaction_id: str,
        step: Step,
        before: tuple[Step, ...],
        nonce: bytes | None,
        cert_req_id: int | None,
        **values: bytes,
    ) -> bool:
        statement = (
            update(ca_transaction)
            .where(ca_transaction.c.id == transaction_id, ca_transaction.c.state.in_(before))
            .values(
                state=step.value,
                nonce=nonce,
                cert_req_id=cert_req_id,
                changed_at=self._now(),
                **values,
            )
        )
        changed: int = self._store.write(lambda connection: connection.execute(statement).rowcount)
        return changed > 0

    def _insert(self, connection: Connection, transaction_id: str, asked: bytes) -> None:
        at = self._now()
        try:
            connection.execute(
                insert(ca_transaction).values(
                    id=transaction_id,
                    asked=asked,
                    state=Step.SENT.value,
                    started_at=at,
                    changed_at=at,
                )
            )
        except IntegrityError as error:
            raise Conflict from error

    def _now(self) -> int:
        return microseconds(self._clock())
