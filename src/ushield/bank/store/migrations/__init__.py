"""Alembic's migrations; `ushield.bank.store.schema` runs them."""
