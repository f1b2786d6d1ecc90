"""The life of a customer's token: enrolment, attestation, unblocking, revocation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATES = "state IN ('registered', 'requested', 'issued', 'confirmed', 'refused', 'void')"


def upgrade() -> None:
    op.add_column("token", sa.Column("pin_changed_at", sa.BigInteger(), nullable=True))
    op.add_column("certificate", sa.Column("not_after", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_certificate_not_after"), "certificate", ["not_after"])
    _read_validity()
    _create_enrolment()
    op.create_table(
        "attestation",
        sa.Column("certificate_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["certificate_sha256"],
            ["certificate.sha256"],
            name=op.f("fk_attestation_certificate_sha256"),
        ),
        sa.PrimaryKeyConstraint("certificate_sha256", name=op.f("pk_attestation")),
    )
    _create_unblock_request()
    _create_revocation()


def _read_validity() -> None:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509

    certificate = sa.table(
        "certificate",
        sa.column("sha256", sa.LargeBinary),
        sa.column("der", sa.LargeBinary),
        sa.column("not_after", sa.BigInteger),
    )
    connection = op.get_bind()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for row in connection.execute(sa.select(certificate.c.sha256, certificate.c.der)).all():
        if not row.der:
            continue
        after = x509.load_der_x509_certificate(row.der).not_valid_after_utc
        connection.execute(
            sa.update(certificate)
            .where(certificate.c.sha256 == row.sha256)
            .values(not_after=(after - epoch) // timedelta(microseconds=1))
        )


def _create_enrolment() -> None:
    op.create_table(
        "enrolment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("customer_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("locator", sa.String(length=8), nullable=True),
        sa.Column("code_salt", sa.LargeBinary(length=16), nullable=True),
        sa.Column("code_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("tries_left", sa.Integer(), nullable=False),
        sa.Column("token_serial", sa.String(length=64), nullable=True),
        sa.Column("replaces", sa.String(length=64), nullable=True),
        sa.Column("renews", sa.LargeBinary(length=32), nullable=True),
        sa.Column("challenge_id", sa.String(length=32), nullable=True),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("key_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("attestation", sa.LargeBinary(), nullable=True),
        sa.Column("device", sa.LargeBinary(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("validity", sa.BigInteger(), nullable=True),
        sa.Column("transaction_id", sa.String(length=32), nullable=True),
        sa.Column("certificate_sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("chain", sa.Text(), nullable=True),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(_STATES, name=op.f("ck_enrolment_state")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_enrolment_customer_id")
        ),
        sa.ForeignKeyConstraint(["replaces"], ["token.serial"], name=op.f("fk_enrolment_replaces")),
        sa.ForeignKeyConstraint(
            ["renews"], ["certificate.sha256"], name=op.f("fk_enrolment_renews")
        ),
        sa.ForeignKeyConstraint(
            ["challenge_id"], ["challenge.id"], name=op.f("fk_enrolment_challenge_id")
        ),
        sa.ForeignKeyConstraint(
            ["certificate_sha256"],
            ["certificate.sha256"],
            name=op.f("fk_enrolment_certificate_sha256"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment")),
        sa.UniqueConstraint("locator", name=op.f("uq_enrolment_locator")),
    )
    op.create_index(op.f("ix_enrolment_customer_id"), "enrolment", ["customer_id"])
    op.create_index(op.f("ix_enrolment_certificate_sha256"), "enrolment", ["certificate_sha256"])
    _create_partial_index(
        "ix_enrolment_open", "enrolment", ["expires_at"], "state IN ('registered', 'requested')"
    )


def _create_unblock_request() -> None:
    op.create_table(
        "unblock_request",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("token_serial", sa.String(length=64), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(length=64), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'approved', 'denied', 'void')",
            name=op.f("ck_unblock_request_state"),
        ),
        sa.ForeignKeyConstraint(
            ["token_serial"], ["token.serial"], name=op.f("fk_unblock_request_token_serial")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unblock_request")),
    )
    _create_partial_index(
        "uq_unblock_request_waiting",
        "unblock_request",
        ["token_serial"],
        "state = 'waiting'",
        unique=True,
    )
    _create_partial_index(
        "uq_unblock_request_answered",
        "unblock_request",
        ["token_serial", "counter"],
        "state = 'approved'",
        unique=True,
    )


def _create_revocation() -> None:
    op.create_table(
        "revocation",
        sa.Column("certificate_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("transaction_id", sa.String(length=32), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(length=64), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["certificate_sha256"],
            ["certificate.sha256"],
            name=op.f("fk_revocation_certificate_sha256"),
        ),
        sa.PrimaryKeyConstraint("certificate_sha256", name=op.f("pk_revocation")),
    )
    _create_partial_index("ix_revocation_pending", "revocation", ["asked_at"], "done_at IS NULL")


def _create_partial_index(
    name: str, table: str, columns: list[str], where: str, *, unique: bool = False
) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
