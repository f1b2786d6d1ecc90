"""All operations of the service, by what they are about."""

from __future__ import annotations

from ushield.bank.service.operation import Operation
from ushield.bank.service.operations import audit, challenges, health, register

__all__ = ["OPERATIONS"]

OPERATIONS: tuple[Operation, ...] = (
    *register.OPERATIONS,
    *challenges.OPERATIONS,
    *audit.OPERATIONS,
    *health.OPERATIONS,
)
