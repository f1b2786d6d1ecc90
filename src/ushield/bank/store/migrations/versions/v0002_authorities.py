"""What an embedded CA issued, and how far orders to a CA elsewhere have come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ca_certificate",
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("serial_number", sa.String(length=40), nullable=False),
        sa.Column("transaction_id", sa.String(length=32), nullable=False),
        sa.Column("asked", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("authority", "serial_number", name=op.f("pk_ca_certificate")),
        sa.UniqueConstraint("transaction_id", name=op.f("uq_ca_certificate_transaction_id")),
    )
    op.create_index(
        "ix_ca_certificate_revoked",
        "ca_certificate",
        ["authority", "not_after"],
        unique=False,
        sqlite_where=sa.text("revoked_at IS NOT NULL"),
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.create_table(
        "ca_crl",
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("this_update", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("authority", name=op.f("pk_ca_crl")),
    )
    op.create_table(
        "ca_transaction",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("asked", sa.LargeBinary(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.Column("cert_req_id", sa.Integer(), nullable=True),
        sa.Column("certificate", sa.LargeBinary(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('sent', 'waiting', 'received', 'done')",
            name=op.f("ck_ca_transaction_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ca_transaction")),
    )
