"""Whether a signature that holds is the one the bank asked for, judged by what was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ushield.bank.challenge_records import ChallengeState
from ushield.bank.customers import CertificateState, TokenState
from ushield.bank.moments import instant
from ushield.bank.rejection import RejectionReason, TransactionRejected

if TYPE_CHECKING:
    from ushield.bank.policy.facts import BatchFacts
    from ushield.bank.verified import BlindTransaction, VerifiedTransaction
    from ushield.cms.receipt import Receipt
    from ushield.transaction.model import Transaction

    Signed = VerifiedTransaction | BlindTransaction

__all__ = [
    "Acceptance",
    "AcceptedTransaction",
    "Guard",
    "IssuedChallenge",
    "RegisteredSigner",
    "check_counter",
    "check_message",
    "check_signer",
    "judge",
    "receipt_of",
]


@dataclass(frozen=True, slots=True)
class AcceptedTransaction:
    """A transaction to carry out: its signature was accepted, and its challenge is used up.

    Only `Bank.accept` makes one, and only one for a challenge. ``verified`` is what the verifier
    found in the signature.
    """

    challenge_id: str
    customer_id: str
    token_serial: str
    accepted_at: datetime
    verified: Signed

    @property
    def transaction(self) -> Transaction:
        """What the customer confirmed."""
        return self.verified.transaction


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a guard is asked about: a signature that nothing else stands against.

    ``person`` has the token: the customer, or who the bank's register says. ``last_counter`` is the
    highest accepted from the token before. ``earlier`` is what was accepted in the same
    transaction, which the database does not have yet. ``batch`` is what the rows of a batch are,
    if they were compared with what was signed.
    """

    challenge_id: str
    customer_id: str
    token_serial: str
    person: str
    last_counter: int
    issued_at: datetime
    at: datetime
    verified: Signed
    earlier: tuple[AcceptedTransaction, ...]
    batch: BatchFacts | None = None


Guard = Callable[[Acceptance, Connection], None]
"""A rule of the bank's own: raises `TransactionRejected` to refuse. It runs in the transaction, on
whose connection it may look things up and lock rows, perhaps several times; it writes nothing."""


@dataclass(frozen=True, slots=True)
class IssuedChallenge:
    """A challenge as it was read."""

    id: str
    customer_id: str
    message: bytes | None
    state: str
    issued_at: int
    expires_at: int
    proposed: int = 0


@dataclass(frozen=True, slots=True)
class RegisteredSigner:
    """An enrolled certificate and its token, as they were read."""

    sha256: bytes
    state: str
    token_serial: str
    token_state: str
    customer_id: str
    counter: int
    revision: int
    holder: str | None = None

    @property
    def person(self) -> str:
        """Who has the token."""
        return self.customer_id if self.holder is None else self.holder


def judge(
    challenge_id: str,
    found: IssuedChallenge | None,
    signer: RegisteredSigner | None,
    verified: Signed,
    *,
    at: int,
    earlier: Sequence[AcceptedTransaction] = (),
    batch: BatchFacts | None = None,
) -> Acceptance:
    """What the bank's own rules are asked about, or `TransactionRejected` with the reason.

    ``found`` and ``signer`` are what the database has for the challenge and for the signature's
    certificate, ``at`` is now, in microseconds since 1970.
    """
    found = check_message(found, verified)
    _check_state(found, at)
    signer = check_signer(found, signer, verified)
    check_counter(signer, verified)
    return Acceptance(
        challenge_id=challenge_id,
        customer_id=found.customer_id,
        token_serial=signer.token_serial,
        person=signer.person,
        last_counter=signer.counter,
        issued_at=instant(found.issued_at),
        at=instant(at),
        verified=verified,
        earlier=tuple(earlier),
        batch=batch,
    )


def check_message(found: IssuedChallenge | None, verified: Signed) -> IssuedChallenge:
    """The challenge, if it was issued and its message is what was signed; `TransactionRejected`."""
    if found is None:
        raise _rejected("the bank issued no such challenge", RejectionReason.CHALLENGE_UNKNOWN)
    if found.message is not None and verified.message.encoded != found.message:
        if verified.message.challenge != found.id:
            raise _rejected(
                "the signature is for another challenge", RejectionReason.CHALLENGE_MISMATCH
            )
        raise _rejected(
            "what was signed is not what the bank issued", RejectionReason.CONTENT_MISMATCH
        )
    return found


def _check_state(found: IssuedChallenge, at: int) -> None:
    if found.state == ChallengeState.CONSUMED:
        raise _rejected(
            "a signature for this challenge was accepted before",
            RejectionReason.CHALLENGE_REPLAYED,
        )
    if found.state == ChallengeState.VOID:
        raise _rejected("the challenge was withdrawn", RejectionReason.CHALLENGE_VOID)
    if found.state != ChallengeState.ISSUED or found.expires_at <= at:
        raise _rejected("the challenge has expired", RejectionReason.CHALLENGE_EXPIRED)
    if found.proposed:
        raise _rejected(
            "its maker has signed it, and it waits for its checkers",
            RejectionReason.CHALLENGE_PROPOSED,
        )


def check_signer(
    found: IssuedChallenge, signer: RegisteredSigner | None, verified: Signed
) -> RegisteredSigner:
    """The signer, if they may sign for the challenge's customer now; `TransactionRejected`."""
    if signer is None:
        raise _rejected(
            "the signer's certificate is not enrolled", RejectionReason.CERTIFICATE_NOT_ENROLLED
        )
    if signer.customer_id != found.customer_id:
        raise _rejected("the challenge is another customer's", RejectionReason.CUSTOMER_MISMATCH)
    if signer.token_state != TokenState.ACTIVE:
        raise _rejected("the token was reported lost", RejectionReason.TOKEN_LOST)
    if signer.state == CertificateState.REVOKED:
        raise _rejected("the signer's certificate was revoked", RejectionReason.CERTIFICATE_REVOKED)
    if signer.state != CertificateState.ACTIVE:
        raise _rejected(
            "the signer's certificate is suspended", RejectionReason.CERTIFICATE_SUSPENDED
        )
    receipt = receipt_of(verified)
    if receipt is not None and signer.token_serial != receipt.serial:
        raise _rejected(
            "the certificate is enrolled for another token", RejectionReason.TOKEN_MISMATCH
        )
    return signer


def check_counter(signer: RegisteredSigner, verified: Signed) -> None:
    """`TransactionRejected` if the token's counter of this signature was passed before."""
    receipt = receipt_of(verified)
    if receipt is None:
        return
    if receipt.counter == signer.counter:
        raise _rejected(
            f"the token counted its signature {receipt.counter} twice",
            RejectionReason.COUNTER_REPEATED,
        )
    if receipt.counter < signer.counter:
        raise _rejected(
            f"the token's counter went back from {signer.counter} to {receipt.counter}",
            RejectionReason.COUNTER_WENT_BACK,
        )


def receipt_of(verified: Signed) -> Receipt | None:
    """The token's receipt; ``None`` where nothing was shown, and nothing counted."""
    receipt: Receipt | None = getattr(verified, "receipt", None)
    return receipt


def _rejected(message: str, reason: RejectionReason) -> TransactionRejected:
    return TransactionRejected(message, reason=reason)
