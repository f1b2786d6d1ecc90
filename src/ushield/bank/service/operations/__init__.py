"""All operations of the service, by what they are about."""

from __future__ import annotations

from ushield.bank.service.operation import Operation
from ushield.bank.service.operations import (
    approvals,
    archives,
    audit,
    challenges,
    enrolments,
    health,
    register,
    revocation,
    unblocking,
)

__all__ = ["OPERATIONS"]

OPERATIONS: tuple[Operation, ...] = (
    *register.OPERATIONS,
    *challenges.OPERATIONS,
    *approvals.OPERATIONS,
    *enrolments.OPERATIONS,
    *unblocking.OPERATIONS,
    *revocation.OPERATIONS,
    *audit.OPERATIONS,
    *archives.OPERATIONS,
    *health.OPERATIONS,
)
