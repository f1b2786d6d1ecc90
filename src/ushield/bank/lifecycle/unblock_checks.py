"""What stands against unblocking a token: whose it is, who made the challenge, its counter."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from ushield.bank.customers import TokenState
from ushield.bank.lifecycle.refusals import UnblockReason, UnblockRefused
from ushield.bank.lifecycle.unblock_challenge import UnblockChallenge
from ushield.bank.lifecycle.unblock_records import UnblockState
from ushield.bank.store.tables import attestation, certificate, token, unblock_request

__all__ = ["standing", "unproved", "went_back"]


def standing(connection: Connection, serial: str, customer_id: str) -> UnblockRefused | None:
    # Locked, so that neither another step nor a report of loss passes in between.
    row = connection.execute(
        select(token.c.customer_id, token.c.state).where(token.c.serial == serial).with_for_update()
    ).first()
    if row is None:
        return UnblockRefused(f"the bank has no token {serial}", reason=UnblockReason.TOKEN_UNKNOWN)
    if row.customer_id != customer_id:
        return UnblockRefused(
            f"token {serial} is not {customer_id}'s", reason=UnblockReason.TOKEN_FOREIGN
        )
    if row.state != TokenState.ACTIVE:
        return UnblockRefused(f"token {serial} was reported lost", reason=UnblockReason.TOKEN_LOST)
    return None


def unproved(connection: Connection, challenge: UnblockChallenge) -> UnblockRefused | None:
    """Of a token whose device attested a key, that device signs the challenge. Anybody could make
    another one up, with a counter that leaves the token's own behind for good.
    """
    devices = connection.execute(
        select(attestation.c.device)
        .distinct()
        .select_from(
            attestation.join(certificate, certificate.c.sha256 == attestation.c.certificate_sha256)
        )
        .where(certificate.c.token_serial == challenge.serial)
    ).scalars()
    known = list(devices)
    if not known or any(challenge.is_proved_by(each) for each in known):
        return None
    return UnblockRefused(
        f"the challenge is not signed by the device of token {challenge.serial}",
        reason=UnblockReason.CHALLENGE_UNPROVED,
    )


def went_back(
    connection: Connection, challenge: UnblockChallenge, at: int
) -> UnblockRefused | None:
    """A token that uses an answer counts up, so a counter below an answered one raises an alarm.

    The same counter does not: the answer may never have reached the token.
    """
    answered: int | None = connection.execute(
        select(func.max(unblock_request.c.counter)).where(
            unblock_request.c.token_serial == challenge.serial,
            unblock_request.c.state == UnblockState.APPROVED.value,
        )
    ).scalar()
    if answered is None or challenge.counter >= answered:
        return None
    connection.execute(
        update(token)
        .where(token.c.serial == challenge.serial)
        .values(alarms=token.c.alarms + 1, alarmed_at=at)
    )
    return UnblockRefused(
        f"the token's counter went back from {answered} to {challenge.counter}",
        reason=UnblockReason.COUNTER_WENT_BACK,
    )
