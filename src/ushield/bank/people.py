"""Who a customer is to a policy: its profile, and the people who have its tokens."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from ushield.bank.audit.entries import AuditEvent, Decision, record
from ushield.bank.customers import ID, TokenRecord, TokenState, find_token
from ushield.bank.errors import CustomerUnknown
from ushield.bank.policy.facts import CustomerFacts
from ushield.bank.store.tables import customer, token
from ushield.errors import InputInvalid

__all__ = ["assign_token", "change_profile", "find_checkers", "find_facts"]


def find_facts(connection: Connection, customer_id: str) -> CustomerFacts:
    """What a policy wants to know of a customer; `CustomerUnknown`."""
    row = connection.execute(select(customer.c.profile).where(customer.c.id == customer_id)).first()
    if row is None:
        raise CustomerUnknown(f"there is no customer {customer_id}")
    return CustomerFacts(customer_id, row.profile)


def assign_token(
    connection: Connection, serial: str, person: str, *, checks: bool, at: int
) -> TokenRecord:
    """Say who of a customer has a token, and whether they may check its payments.

    Whoever had it before may have signed by it what waits for checkers; that stays theirs.
    `TokenUnknown`; `InputInvalid` for an id that is none.
    """
    if ID.fullmatch(person) is None:
        raise InputInvalid("a person's id: 1 to 64 of A-Z a-z 0-9 . _ -")
    before = find_token(connection, serial)
    if (before.person, before.checks) == (person, checks):
        return before
    connection.execute(
        update(token)
        .where(token.c.serial == serial)
        .values(person=person, checks=int(checks), revision=token.c.revision + 1)
    )
    facts: dict[str, str | int | None] = {
        "token": serial,
        "person": person,
        "checks": int(checks),
    }
    record(
        connection,
        [Decision(at, AuditEvent.TOKEN_ASSIGNED, customer_id=before.customer_id, facts=facts)],
    )
    return find_token(connection, serial)


def find_checkers(connection: Connection, customer_id: str) -> frozenset[str]:
    """The people who may check a customer's payments: by a token that is not lost."""
    rows = connection.execute(
        select(token.c.person).where(
            token.c.customer_id == customer_id,
            token.c.state == TokenState.ACTIVE.value,
            token.c.checks == 1,
            token.c.person.is_not(None),
        )
    )
    return frozenset(row.person for row in rows)


def change_profile(
    connection: Connection, customer_id: str, profile: str | None, at: int
) -> CustomerFacts:
    """Have other terms of the policy hold for a customer from now on; `CustomerUnknown`."""
    if profile is not None and not 1 <= len(profile) <= 64:
        raise InputInvalid("a profile's name has 1 to 64 characters")
    before = find_facts(connection, customer_id)
    if before.profile != profile:
        connection.execute(
            update(customer).where(customer.c.id == customer_id).values(profile=profile)
        )
        facts = {"profile": profile}
        record(
            connection,
            [Decision(at, AuditEvent.PROFILE_CHANGED, customer_id=customer_id, facts=facts)],
        )
    return find_facts(connection, customer_id)
