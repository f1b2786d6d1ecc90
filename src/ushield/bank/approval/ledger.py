"""Where proposals are kept: what a store must do, and one in memory that does it.

All signatures of a proposal answer one challenge. So that it is accepted once, a store does each of
these in one transaction, and sees by conditions of its own statements that nothing came between:

- `create`: the challenge, which is issued and live, is marked as proposed, so that no single
  signature uses it up, and the proposal's row with the maker's signature is written;
- `replace` by another checker: the version goes from the old to the new, and the signature's row is
  written, which is unique by challenge and person, by challenge and token, and by challenge and
  key;
- `replace` by a complete one: the same, and the challenge goes from issued to consumed;
- `replace` by one that ended: the same, and the challenge goes from issued to void or expired.

Each signature also raises its token's counter, if that still is the endorsement's `last_counter`.
"""

from __future__ import annotations

from threading import Lock
from typing import Protocol

from ushield.bank.approval.proposal import Proposal
from ushield.errors import InputInvalid, UShieldError

__all__ = [
    "ApprovalLedger",
    "LedgerConflict",
    "MemoryLedger",
    "ProposalExists",
    "ProposalUnknown",
]


class ProposalUnknown(InputInvalid):
    """There is no proposal for this challenge."""

    code = "proposal-unknown"
    default_remedy = "Have the maker sign the payment first."


class ProposalExists(InputInvalid):
    """The challenge has a proposal already, whatever became of it."""

    code = "proposal-exists"
    default_remedy = "Issue a new challenge for another payment."


class LedgerConflict(UShieldError):
    """The proposal changed after it was read; nothing was written."""

    code = "ledger-conflict"
    default_remedy = "Read the proposal again, and decide again."


class ApprovalLedger(Protocol):
    """Keeps proposals by their challenge, durably, for any number of processes."""

    def create(self, proposal: Proposal) -> None:
        """Keep a new one; `ProposalExists`."""

    def load(self, challenge: str) -> Proposal:
        """The one for this challenge as it stands now; `ProposalUnknown`."""

    def replace(self, before: Proposal, after: Proposal) -> None:
        """Put ``after`` where ``before`` is; `LedgerConflict` if something else is there by now."""


class MemoryLedger:
    """A ledger of one process, which forgets: for tests, and to show what a store has to do."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._proposals: dict[str, Proposal] = {}

    def create(self, proposal: Proposal) -> None:
        """As `ApprovalLedger.create`."""
        with self._lock:
            if proposal.challenge in self._proposals:
                raise ProposalExists(f"challenge {proposal.challenge} has a proposal")
            self._proposals[proposal.challenge] = proposal

    def load(self, challenge: str) -> Proposal:
        """As `ApprovalLedger.load`."""
        with self._lock:
            proposal = self._proposals.get(challenge)
        if proposal is None:
            raise ProposalUnknown(f"challenge {challenge} has no proposal")
        return proposal

    def replace(self, before: Proposal, after: Proposal) -> None:
        """As `ApprovalLedger.replace`."""
        with self._lock:
            kept = self._proposals.get(before.challenge)
            if kept is None or kept.version != before.version:
                raise LedgerConflict(f"the proposal for challenge {before.challenge} changed")
            self._proposals[before.challenge] = after
