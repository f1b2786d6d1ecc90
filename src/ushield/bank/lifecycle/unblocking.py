"""A forgotten PIN: the bank answers the token's challenge, if two of its people agree.

One clerk has looked at the customer and requests it, another one approves. The answer is good for
this token, this nonce and this value of the token's counter, which rises when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

from ushield.bank.lifecycle import unblock_steps as steps
from ushield.bank.lifecycle.clerks import check_clerk
from ushield.bank.lifecycle.refusals import UnblockRefused
from ushield.bank.lifecycle.unblock_challenge import UnblockChallenge
from ushield.bank.lifecycle.unblock_records import UnblockRequest, find_unblock
from ushield.bank.moments import Clock, microseconds, microseconds_of, system_clock
from ushield.bank.store.store import Store
from ushield.errors import InputInvalid

if TYPE_CHECKING:
    from ushield.bank.lifecycle.unblock_keys import UnblockSigner

__all__ = ["Unblocking"]

T = TypeVar("T")
_LONGEST_LIFETIME = timedelta(days=1)


class Unblocking:
    """Unblocks tokens with the bank's key, ``signer``; a request lives for ``lifetime``."""

    def __init__(
        self,
        store: Store,
        signer: UnblockSigner,
        *,
        clock: Clock = system_clock,
        lifetime: timedelta = timedelta(minutes=30),
    ) -> None:
        if not timedelta() < lifetime <= _LONGEST_LIFETIME:
            raise InputInvalid("a request to unblock lives for a day at most")
        self._store = store
        self._signer = signer
        self._clock = clock
        self._lifetime = lifetime

    def request(self, customer: str, challenge: bytes, *, by: str) -> UnblockRequest:
        """Ask for an answer to a challenge (the token's bytes) of ``customer``'s token.

        ``by`` is the clerk who made sure of the customer. An earlier request for the token is void
        by it; the same challenge again is the same request. A counter that was answered before is
        answered anew, if another clerk approves: the token may have lost its challenge before the
        answer came. One that is below is refused. `UnblockChallengeInvalid`, `CustomerUnknown`,
        `UnblockRefused`, `StoreError`.
        """
        check_clerk(by)
        read = UnblockChallenge.parse(challenge)
        lifetime = microseconds_of(self._lifetime)
        return self._settle(
            lambda connection, at: steps.request(
                connection, customer, read, by, at, expires_at=at + lifetime
            )
        )

    def approve(self, identifier: str, *, by: str) -> UnblockRequest:
        """Answer it, as another clerk than the one who asked: the signature is in what returns.

        Repeated by the same clerk, it gives the same answer, until that value of the token's
        counter is answered anew. `UnblockUnknown`, `UnblockRefused`, `UnblockSettled`; what the
        signer raises leaves it approved, to be repeated.
        """
        check_clerk(by)
        found = self._settle(lambda connection, at: steps.approve(connection, identifier, by, at))
        if found.signature is not None:
            return found
        challenge = self._store.read(
            lambda connection: steps.find_challenge(connection, identifier)
        )
        signature = self._signer.sign(challenge)
        return self._write(
            lambda connection, at: steps.keep_signature(connection, identifier, signature, at)
        )

    def deny(self, identifier: str, *, by: str) -> UnblockRequest:
        """Do not answer it, as any clerk; `UnblockUnknown`, `UnblockSettled`."""
        check_clerk(by)
        return self._write(lambda connection, at: steps.deny(connection, identifier, by, at))

    def find(self, identifier: str) -> UnblockRequest:
        """How a request stands; `UnblockUnknown`."""
        return self._store.read(
            lambda connection: find_unblock(connection, identifier, self._now())
        )

    def _settle(
        self, work: Callable[[Connection, int], UnblockRequest | UnblockRefused]
    ) -> UnblockRequest:
        outcome = self._write(work)
        if isinstance(outcome, UnblockRefused):
            raise outcome
        return outcome

    def _write(self, work: Callable[[Connection, int], T]) -> T:
        return self._store.write(lambda connection: work(connection, self._now()))

    def _now(self) -> int:
        return microseconds(self._clock())
