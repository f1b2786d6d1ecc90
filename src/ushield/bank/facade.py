"""The bank's side in one object: challenges out, signatures in, and everything written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, timedelta, tzinfo
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from sqlalchemy import Connection

from ushield.bank import challenges, customers, people
from ushield.bank.acceptance import decide
from ushield.bank.approval.desk import ApprovalDesk
from ushield.bank.audit.erasure import erase_customer
from ushield.bank.audit.sequencer import Sequencer
from ushield.bank.audit.verification import AuditReport, verify_log
from ushield.bank.authorities.protocol import RevocationReason
from ushield.bank.challenge_records import Challenge, ChallengeRecord
from ushield.bank.clock_check import MOST_SKEW, check_clock
from ushield.bank.customers import CertificateState, EnrolledCertificate, TokenRecord
from ushield.bank.errors import DuplicateOrder
from ushield.bank.gate import PolicyGate
from ushield.bank.judgement import AcceptedTransaction, Guard
from ushield.bank.lifecycle.attestations import StoredAttestations, StoredLosses
from ushield.bank.lifecycle.enrolments import Enrolments
from ushield.bank.lifecycle.reminders import Reminder, find_due
from ushield.bank.lifecycle.revocations import Revocations
from ushield.bank.lifecycle.unblocking import Unblocking
from ushield.bank.moments import Clock, microseconds, system_clock
from ushield.bank.presenting import Presented, present
from ushield.bank.rejection import TransactionRejected
from ushield.bank.store.store import Store
from ushield.errors import InputInvalid

if TYPE_CHECKING:
    from ushield.bank.audit.heads import SignedHead
    from ushield.bank.audit.keys import AuditPublicKey, AuditSigner
    from ushield.bank.authorities.protocol import CertificateAuthority
    from ushield.bank.batch import VerifiedRows
    from ushield.bank.lifecycle.policy import EnrolmentPolicy
    from ushield.bank.lifecycle.unblock_keys import UnblockSigner
    from ushield.bank.policy.policy import Policy
    from ushield.bank.verifier import SignatureVerifier
    from ushield.transaction.model import Transaction

__all__ = ["MOST_AT_ONCE", "Bank"]

T = TypeVar("T")

MOST_AT_ONCE = 1000
"""How many signatures `Bank.accept_many` takes in one transaction."""


class Bank:
    """A bank on its database; open it with `Bank.open`. Threads may share one.

    Everything it decides is on the disk, and in the audit log, before a method returns. A
    `StoreError` says that nothing was done, except `OutcomeUnknown`, which says that nobody knows.
    """

    def __init__(
        self,
        store: Store,
        verifier: SignatureVerifier,
        *,
        clock: Clock = system_clock,
        lifetime: timedelta = timedelta(minutes=5),
        guards: Sequence[Guard] = (),
        policy: Policy | None = None,
        zone: tzinfo = UTC,
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._clock = clock
        self._lifetime = lifetime
        self._guards = tuple(guards)
        self._gate = None if policy is None else PolicyGate(policy, zone)
        self._closing = ExitStack()
        self._closing.callback(store.close)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        verifier: SignatureVerifier | Callable[[Store], SignatureVerifier],
        clock: Clock = system_clock,
        lifetime: timedelta = timedelta(minutes=5),
        guards: Sequence[Guard] = (),
        policy: Policy | None = None,
        zone: tzinfo = UTC,
        timeout: float = 5.0,
        pool_size: int = 8,
    ) -> Self:
        """Open the bank's database, which `create_store` or ``ushield bank init`` has made.

        ``url`` is ``sqlite:///PATH`` or ``postgresql://[USER@][HOST]/NAME``. ``verifier`` may be
        made of the store, such as for what that knows of attestations. ``lifetime`` is for
        challenges of transactions without an expiry of their own. ``policy`` is asked about each
        signature, with what the customer paid on that day and in that month of ``zone``; all
        processes of a bank must have the same. ``guards`` are further rules. Waiting for the
        database ends after about ``timeout`` seconds.

        `StoreUnavailable`, `StoreOutdated`, `StoreRestored`; `ClockSkewed` if this machine's clock,
        unless another was handed in, is not the database's.
        """
        store = Store.open(url, timeout=timeout, pool_size=pool_size)
        try:
            if clock is system_clock:
                check_clock(store, MOST_SKEW)
            checks = verifier(store) if callable(verifier) else verifier
        except BaseException:
            store.close()
            raise
        return cls(
            store,
            checks,
            clock=clock,
            lifetime=lifetime,
            guards=guards,
            policy=policy,
            zone=zone,
        )

    @property
    def store(self) -> Store:
        """The database."""
        return self._store

    def issue(
        self,
        transaction: Transaction,
        *,
        customer: str,
        lifetime: timedelta | None = None,
        repeat: bool = False,
    ) -> Challenge:
        """Ask ``customer`` to sign ``transaction``: what to hand out is in the challenge.

        The transaction's own challenge is replaced by a new one; its expiry is kept if it has one.
        Where the policy wants checkers, it lives as long as a proposal may; else a day at most.
        `DuplicateOrder` if the customer's order number stands in a challenge that is live or was
        accepted; with ``repeat``, a live one for the same transaction is given out again.
        `CustomerUnknown`, `TransactionInvalid` (its expiry), `StoreError`.
        """

        def work(connection: Connection) -> Challenge | DuplicateOrder:
            usual, longest = self._lifetime, challenges.MAX_LIFETIME
            if self._gate is not None:
                facts = people.find_facts(connection, customer)
                control = self._gate.policy.control(facts, transaction)
                if control.checkers:
                    usual, longest = control.lifetime, max(longest, control.lifetime)
            return challenges.issue_challenge(
                connection,
                transaction,
                customer,
                now=self._clock(),
                lifetime=usual if lifetime is None else lifetime,
                longest=longest,
                repeat=repeat,
            )

        outcome = self._store.write(work)
        if isinstance(outcome, DuplicateOrder):
            raise outcome
        return outcome

    def accept(
        self, challenge_id: str, signature: bytes, *, rows: VerifiedRows | None = None
    ) -> AcceptedTransaction:
        """Accept ``signature`` (CMS SignedData in DER) for a challenge, once.

        ``rows`` are those of a batch, verified against the challenge's message; a policy wants
        them. `TransactionRejected` carries the reason; the challenge is then as it was before.
        `StoreError`: nothing was accepted; `OutcomeUnknown`: ask `challenge`.
        """
        judged = [present(self._verifier, challenge_id, signature, self._clock(), rows)]
        (outcome,) = self._decide(judged)
        if isinstance(outcome, TransactionRejected):
            raise outcome
        return outcome

    def accept_many(
        self, presented: Sequence[tuple[str, bytes]]
    ) -> list[AcceptedTransaction | TransactionRejected]:
        """Accept or reject each pair of challenge and signature, in one commit; outcomes in order.

        `InputInvalid` for more than `MOST_AT_ONCE`.
        """
        if len(presented) > MOST_AT_ONCE:
            raise InputInvalid(f"{len(presented)} signatures, at most {MOST_AT_ONCE} at once")
        if not presented:
            return []
        return self._decide(
            [
                present(self._verifier, challenge_id, data, self._clock())
                for challenge_id, data in presented
            ]
        )

    @property
    def approvals(self) -> ApprovalDesk:
        """Payments of several people; `InputInvalid` for a bank without a policy."""
        if self._gate is None:
            raise InputInvalid(
                "a policy says how many people must sign, and this bank has none",
                remedy='Name one: policy = "policy.toml" in bank.toml, or `Bank.open(policy=..)`.',
            )
        return ApprovalDesk(self._store, self._verifier, self._gate, self._clock)

    def challenge(self, challenge_id: str) -> ChallengeRecord:
        """What became of a challenge; `ChallengeUnknown`."""
        return self._store.read(
            lambda connection: challenges.find_challenge(connection, challenge_id, self._now())
        )

    def withdraw(self, challenge_id: str) -> ChallengeRecord:
        """Take no signature for a challenge any more; its order number is free again.

        `ChallengeUnknown`; `ChallengeSettled` if it is not live.
        """
        return self._write(
            lambda connection, at: challenges.withdraw_challenge(connection, challenge_id, at)
        )

    def add_customer(
        self, customer: str, name: str | None = None, *, profile: str | None = None
    ) -> None:
        """Register a customer: an id of 1 to 64 of A-Z a-z 0-9 . _ -, and perhaps a name.

        ``profile`` is the one of the policy that holds for it. Nothing happens if that was done
        before; `DuplicateEntry` if by another name or profile.
        """
        self._write(
            lambda connection, at: customers.add_customer(
                connection, customer, name, at, profile=profile
            )
        )

    def enrol(self, customer: str, certificate: bytes, *, token: str) -> EnrolledCertificate:
        """Take the customer's signatures by ``certificate`` (DER) of the token of this serial.

        Nothing happens if that was done before. `CustomerUnknown`, `CertificateInvalid`;
        `DuplicateEntry` if certificate or token is another's, or the token was reported lost.
        """
        return self._write(
            lambda connection, at: customers.enrol_certificate(
                connection, customer, certificate, token, at
            )
        )

    def change_profile(self, customer: str, profile: str | None) -> None:
        """Have other terms of the policy hold for a customer from now on; `CustomerUnknown`."""
        self._write(lambda connection, at: people.change_profile(connection, customer, profile, at))

    def assign(self, token: str, person: str, *, checks: bool = False) -> TokenRecord:
        """Say who of a customer has a token, and whether they may check its payments.

        ``person`` is an id as a customer's, of that customer only. Without it the customer is one
        person, who has all its tokens. `TokenUnknown`.
        """
        return self._write(
            lambda connection, at: people.assign_token(
                connection, token, person, checks=checks, at=at
            )
        )

    def enrolments(self, policy: EnrolmentPolicy, authority: CertificateAuthority) -> Enrolments:
        """What enrols tokens as ``policy`` wants it, with certificates by ``authority``."""
        return Enrolments(self._store, policy, authority, clock=self._clock)

    def unblocking(
        self, signer: UnblockSigner, *, lifetime: timedelta = timedelta(minutes=30)
    ) -> Unblocking:
        """What unblocks tokens whose PIN was forgotten, with the bank's key ``signer``."""
        return Unblocking(self._store, signer, clock=self._clock, lifetime=lifetime)

    def revocations(self, authority: CertificateAuthority) -> Revocations:
        """What tells ``authority`` which certificates to revoke."""
        return Revocations(self._store, authority, clock=self._clock)

    def due(
        self,
        *,
        within: timedelta = timedelta(days=30),
        pin_age: timedelta = timedelta(days=365),
    ) -> list[Reminder]:
        """What somebody should see to, the earliest first.

        Certificates that end ``within`` that time, PINs of which the bank has heard nothing new for
        ``pin_age``, registrations, renewals, requests to unblock and revocations that wait.
        """
        return self._store.read(
            lambda connection: find_due(connection, self._now(), within=within, pin_age=pin_age)
        )

    def report_pin_change(self, token: str) -> TokenRecord:
        """Note that a token's PIN was changed, as the customer's side says; `TokenUnknown`."""
        return self._write(
            lambda connection, at: customers.report_pin_change(connection, token, at)
        )

    @property
    def attestations(self) -> StoredAttestations:
        """What was attested of enrolled keys, for an `AttestationPolicy`."""
        return StoredAttestations(self._store)

    @property
    def losses(self) -> StoredLosses:
        """Which tokens were lost, for verifying without `accept`."""
        return StoredLosses(self._store)

    def report_loss(self, token: str) -> TokenRecord:
        """Take no signature of a lost or stolen token any more, at once; `TokenUnknown`.

        The CA is told to revoke its certificates by `revocations`.
        """
        return self._write(lambda connection, at: customers.report_loss(connection, token, at))

    def change_certificate(
        self,
        sha256: bytes,
        state: CertificateState,
        reason: RevocationReason = RevocationReason.UNSPECIFIED,
    ) -> EnrolledCertificate:
        """Suspend a certificate, resume it, or revoke it for good, at once.

        The CA is told of a revocation, and its ``reason``, by `revocations`.
        `CertificateUnknown`; `InputInvalid` to take a revocation back.
        """
        return self._write(
            lambda connection, at: customers.change_certificate(
                connection, sha256, state, at, reason
            )
        )

    def erase(self, customer: str) -> int:
        """Forget a person, but not what was decided; how many entries of the log lost their bodies.

        `CustomerUnknown`; `InputInvalid` if a challenge of theirs is live.
        """
        return self._write(lambda connection, at: erase_customer(connection, customer, at))

    def sequencer(self, signer: AuditSigner) -> Sequencer:
        """What seals the audit log, with ``signer``; let one run beside the bank."""
        return Sequencer(self._store, signer, clock=self._clock)

    def verify_audit(
        self,
        key: AuditPublicKey,
        anchors: Sequence[SignedHead] = (),
        *,
        within: float = 3600,
    ) -> AuditReport:
        """Verify the audit log, signed by ``key``, against heads that were kept elsewhere.

        `AuditBroken` tells what was changed, is missing, or was cut off; `StoreError` if it takes
        more than ``within`` seconds.
        """
        return self._store.read(
            lambda connection: verify_log(connection, key, anchors), within=within
        )

    def token(self, serial: str) -> TokenRecord:
        """What is known of a token; `TokenUnknown`."""
        return self._store.read(lambda connection: customers.find_token(connection, serial))

    def tokens(self, customer: str) -> list[TokenRecord]:
        """All tokens a customer ever had, lost ones too, by their serial numbers."""
        return self._store.read(lambda connection: customers.find_tokens(connection, customer))

    def certificate(self, sha256: bytes) -> EnrolledCertificate:
        """An enrolled certificate, by the SHA-256 of its DER; `CertificateUnknown`."""
        return self._store.read(lambda connection: customers.find_certificate(connection, sha256))

    def on_close(self, close: Callable[[], object]) -> None:
        """Have ``close`` called when the bank is closed, such as of what works beside it."""
        self._closing.callback(close)

    def close(self) -> None:
        """Let go of the database; idempotent."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _now(self) -> int:
        return microseconds(self._clock())

    def _write(self, work: Callable[[Connection, int], T]) -> T:
        # The clock is read when the transaction has begun: waiting for it may have taken a while.
        return self._store.write(lambda connection: work(connection, self._now()))

    def _decide(
        self, judged: Sequence[Presented]
    ) -> list[AcceptedTransaction | TransactionRejected]:
        return self._write(
            lambda connection, at: decide(connection, judged, at, self._guards, self._gate)
        )
