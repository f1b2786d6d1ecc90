"""The attestations and the losses in the bank's database, for a `Verifier` to ask."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from ushield.bank.attestation import EnrolledAttestation
from ushield.bank.customers import TokenState
from ushield.bank.moments import instant
from ushield.bank.store.statements import insert_unless_there
from ushield.bank.store.store import Store
from ushield.bank.store.tables import attestation
from ushield.bank.store.tables import token as tokens

__all__ = ["StoredAttestations", "StoredLosses", "keep_attestation"]


class StoredAttestations:
    """An `AttestationRegister`: what was enrolled with each certificate.

    A verifier remembers what it was told; after a withdrawal it has to `forget`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def attestation_of(self, certificate_sha256: bytes) -> EnrolledAttestation | None:
        """See `AttestationRegister.attestation_of`; `StoreError`."""
        row = self._store.read(
            lambda connection: connection.execute(
                select(attestation.c.certificate, attestation.c.device).where(
                    attestation.c.certificate_sha256 == certificate_sha256
                )
            ).first()
        )
        return None if row is None else EnrolledAttestation(row.certificate, row.device)


class StoredLosses:
    """A `LossRegister`: since when a token counts as lost.

    `Bank.accept` looks that up by itself. This is for verifying without it, such as an archive:
    what was signed before the loss still holds.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def lost_since(self, token: str) -> datetime | None:
        """See `LossRegister.lost_since`; `StoreError`."""
        found: int | None = self._store.read(
            lambda connection: connection.execute(
                select(tokens.c.changed_at).where(
                    tokens.c.serial == token, tokens.c.state == TokenState.LOST.value
                )
            ).scalar()
        )
        return None if found is None else instant(found)


def keep_attestation(
    connection: Connection, certificate_sha256: bytes, enrolled: EnrolledAttestation
) -> None:
    """Keep what was attested of a certificate's key; what was kept first stays."""
    insert_unless_there(
        connection,
        attestation,
        certificate_sha256=certificate_sha256,
        certificate=enrolled.certificate,
        device=enrolled.device,
    )
