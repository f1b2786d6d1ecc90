"""What a policy asks of the database: profiles, people, sums, and payments of several people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STAGES = "stage IN ('open', 'complete', 'withdrawn', 'rejected', 'expired')"


def upgrade() -> None:
    op.add_column("customer", sa.Column("profile", sa.String(length=64), nullable=True))
    op.add_column("token", sa.Column("person", sa.String(length=64), nullable=True))
    op.add_column("token", sa.Column("checks", sa.Integer(), server_default="0", nullable=False))
    op.add_column(
        "challenge", sa.Column("proposed", sa.Integer(), server_default="0", nullable=False)
    )
    op.create_table(
        "spending",
        sa.Column("customer_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("blind", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("payments", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_spending_customer_id")
        ),
        sa.PrimaryKeyConstraint(
            "customer_id", "day", "kind", "currency", "blind", name=op.f("pk_spending")
        ),
    )
    op.create_table(
        "proposal",
        sa.Column("challenge_id", sa.String(length=32), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("entitled", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("ended_by", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(_STAGES, name=op.f("ck_proposal_stage")),
        sa.ForeignKeyConstraint(
            ["challenge_id"], ["challenge.id"], name=op.f("fk_proposal_challenge_id")
        ),
        sa.PrimaryKeyConstraint("challenge_id", name=op.f("pk_proposal")),
    )
    op.create_index(
        "ix_proposal_open",
        "proposal",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("stage = 'open'"),
        postgresql_where=sa.text("stage = 'open'"),
    )
    op.create_table(
        "endorsement",
        sa.Column("challenge_id", sa.String(length=32), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=True),
        sa.Column("last_counter", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["challenge_id"], ["proposal.challenge_id"], name=op.f("fk_endorsement_challenge_id")
        ),
        sa.PrimaryKeyConstraint("challenge_id", "place", name=op.f("pk_endorsement")),
        sa.UniqueConstraint("challenge_id", "key", name="uq_endorsement_key"),
        sa.UniqueConstraint("challenge_id", "person", name="uq_endorsement_person"),
        sa.UniqueConstraint("challenge_id", "token", name="uq_endorsement_token"),
    )
