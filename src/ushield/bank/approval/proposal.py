"""A proposed payment: what the maker signed, who may check it, and who has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ushield.bank.policy.facts import SignatureFacts
from ushield.errors import InputInvalid

__all__ = ["Endorsement", "Proposal", "Stage"]


class Stage(StrEnum):
    """Where a proposal stands; all but the first are final."""

    OPEN = "open"
    COMPLETE = "complete"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Endorsement:
    """One person's signature on a proposal, after it was verified: the maker's, or a checker's.

    ``message`` is the bytes that were signed; ``person`` and ``token`` (a serial number) are the
    register's for the certificate, ``key`` the SHA-256 of its key. ``signature`` is the CMS in DER,
    from which all of it can be verified again as of ``at``, when the bank took it. ``counter`` is
    the receipt's, ``last_counter`` the highest accepted from the token before.
    """

    person: str
    token: str
    key: bytes
    message: bytes
    signature: bytes
    at: datetime
    counter: int | None = None
    last_counter: int | None = None

    @classmethod
    def of(cls, facts: SignatureFacts, signature: bytes, at: datetime) -> Endorsement:
        """The endorsement of a signature (DER) whose facts are known."""
        from ushield.bank.policy.keys import key_digest

        return cls(
            person=facts.person,
            token=facts.token,
            key=key_digest(facts.certificate),
            message=facts.message,
            signature=signature,
            at=at,
            counter=None if facts.receipt is None else facts.receipt.counter,
            last_counter=facts.last_counter,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A payment that waits for ``needed`` of the people ``entitled`` to check it.

    ``challenge`` is the id of the one challenge that all its signatures answer, and of the
    proposal. ``endorsements`` are the maker's, then the checkers' in the order they came.
    ``ended_by`` is who withdrew or rejected it. ``version`` counts its changes: a store replaces a
    proposal only if it still has the version that was read.

    `InputInvalid` for one that could never be complete.
    """

    challenge: str
    customer: str
    needed: int
    entitled: frozenset[str]
    expires_at: datetime
    endorsements: tuple[Endorsement, ...]
    stage: Stage = Stage.OPEN
    ended_by: str | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if not self.endorsements:
            raise InputInvalid("a proposal begins with its maker's signature")
        if self.expires_at.utcoffset() is None:
            raise InputInvalid("the expiry of a proposal has no time zone")
        if self.needed < 1:
            raise InputInvalid("a payment that wants no checker needs no proposal")
        able = len(self.entitled - {self.maker.person})
        if able < self.needed:
            raise InputInvalid(
                f"{self.needed} checkers must sign, and {able} beside the maker may",
                remedy="Register more people who may check this customer's payments.",
            )

    @property
    def maker(self) -> Endorsement:
        """The signature that began it."""
        return self.endorsements[0]

    @property
    def checkers(self) -> tuple[Endorsement, ...]:
        """The signatures that approved it."""
        return self.endorsements[1:]

    @property
    def message(self) -> bytes:
        """What the maker signed, byte for byte; every checker signs the same."""
        return self.maker.message
