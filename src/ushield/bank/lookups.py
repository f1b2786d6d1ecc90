"""What the database has on challenges and on signers, for judging signatures by."""

from __future__ import annotations

import re

from sqlalchemy import Connection, select

from ushield.bank.judgement import IssuedChallenge, RegisteredSigner
from ushield.bank.store.statements import Lookup
from ushield.bank.store.tables import certificate, challenge, token

__all__ = ["CHALLENGE_ID", "read_challenges", "read_signers"]

CHALLENGE_ID = re.compile(r"[0-9a-f]{32}")

_CHALLENGES = Lookup(
    select(
        challenge.c.id,
        challenge.c.customer_id,
        challenge.c.message,
        challenge.c.state,
        challenge.c.issued_at,
        challenge.c.expires_at,
        challenge.c.proposed,
    ),
    challenge.c.id,
)
_SIGNERS = Lookup(
    select(
        certificate.c.sha256,
        certificate.c.state,
        token.c.serial,
        token.c.state,
        token.c.customer_id,
        token.c.counter,
        token.c.revision,
        token.c.person,
    ).select_from(certificate.join(token, token.c.serial == certificate.c.token_serial)),
    certificate.c.sha256,
)


def read_challenges(connection: Connection, identifiers: set[str]) -> dict[str, IssuedChallenge]:
    """The challenges of these ids, by them."""
    known = [each for each in identifiers if CHALLENGE_ID.fullmatch(each) is not None]
    if not known:
        return {}
    return {row[0]: IssuedChallenge(*row) for row in _CHALLENGES.find(connection, known)}


def read_signers(connection: Connection, digests: set[bytes]) -> dict[bytes, RegisteredSigner]:
    """The signers enrolled with certificates of these SHA-256 (32 bytes), by them."""
    if not digests:
        return {}
    return {row[0]: RegisteredSigner(*row) for row in _SIGNERS.find(connection, list(digests))}
