"""What Alembic runs: the migrations, on the connection it is handed."""

from __future__ import annotations

from alembic import context

from ushield.bank.store.tables import metadata

# The name that Alembic gives this module when it runs it.
if __name__ == "env_py":
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        # The caller's transaction holds all of them, and its lock.
        transactional_ddl=False,
    )
    context.run_migrations()
