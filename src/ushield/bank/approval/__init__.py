"""Dual control: a payment that a maker proposes, and that checkers approve before it counts."""

from __future__ import annotations

from ushield.bank.approval.ceremony import ApprovedPayment, Ceremony
from ushield.bank.approval.ledger import (
    ApprovalLedger,
    LedgerConflict,
    MemoryLedger,
    ProposalExists,
    ProposalUnknown,
)
from ushield.bank.approval.machine import (
    Approve,
    ControlMachine,
    ControlRefusal,
    Event,
    Reject,
    Step,
    Tick,
    Withdraw,
)
from ushield.bank.approval.proposal import Endorsement, Proposal, Stage

__all__ = [
    "ApprovalLedger",
    "Approve",
    "ApprovedPayment",
    "Ceremony",
    "ControlMachine",
    "ControlRefusal",
    "Endorsement",
    "Event",
    "LedgerConflict",
    "MemoryLedger",
    "Proposal",
    "ProposalExists",
    "ProposalUnknown",
    "Reject",
    "Stage",
    "Step",
    "Tick",
    "Withdraw",
]
