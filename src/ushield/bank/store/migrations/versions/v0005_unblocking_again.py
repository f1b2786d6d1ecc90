"""Answers to a locked token that a later one superseded."""

from __future__ import annotations

from alembic import op

__all__ = ["upgrade"]

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLE = "unblock_request"
_STATES = "state IN ('waiting', 'approved', 'superseded', 'denied', 'void')"


def upgrade() -> None:
    name = op.f("ck_unblock_request_state")
    # SQLite changes no constraint: there, the table is made anew, and its rows are copied.
    with op.batch_alter_table(_TABLE) as table:
        table.drop_constraint(name, type_="check")
        table.create_check_constraint(name, _STATES)
    op.create_index(op.f("ix_unblock_request_token_serial"), _TABLE, ["token_serial", "counter"])
