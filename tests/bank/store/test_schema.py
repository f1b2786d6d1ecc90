"""The tables are what the migrations make, and a database says which version it is."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Engine, create_engine, inspect

from tests.bank.banking import VERIFIER
from tests.bank.store.postgresql import Server
from tests.pki import NOW
from ushield.bank import Bank, StoreOutdated, StoreRestored, StoreUnavailable, create_store
from ushield.bank.store.engine import store_url
from ushield.bank.store.schema import HEAD
from ushield.bank.store.tables import metadata
from ushield.errors import InputInvalid


def test_the_migrations_make_the_tables_that_the_program_uses(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        for table in metadata.tables.values():
            made = {each["name"] for each in inspect(connection).get_check_constraints(table.name)}
            meant = {
                str(each.name)
                for column in table.columns
                for each in column.constraints
                if isinstance(each, CheckConstraint)
            }
            assert made == meant, table.name


def test_the_newest_migration_is_the_one_the_program_wants() -> None:
    assert ScriptDirectory("src/ushield/bank/store/migrations").get_heads() == [HEAD]


def test_the_migrations_are_one_chain_in_the_order_of_their_files() -> None:
    scripts = ScriptDirectory("src/ushield/bank/store/migrations")
    chain = list(scripts.walk_revisions())[::-1]
    assert [each.revision for each in chain] == [f"{n:04d}" for n in range(1, len(chain) + 1)]
    assert [each.down_revision for each in chain[1:]] == [each.revision for each in chain[:-1]]
    files = sorted(Path("src/ushield/bank/store/migrations/versions").glob("v*.py"))
    assert [Path(each.path).name for each in chain] == [each.name for each in files]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_of_the_first_version_is_brought_up_to_date_with_what_is_in_it(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    if kind == "postgresql":
        server: Server = request.getfixturevalue("server")
        server.sql("CREATE DATABASE old")
        url = server.url("old")
    engine = create_engine(store_url(url))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "ushield.bank.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in (
            "INSERT INTO customer VALUES ('alice', 'Alice', 1)",
            "INSERT INTO token VALUES ('US-1', 'alice', 'active', 7, 0, 1, 0, NULL)",
            "INSERT INTO challenge (id, customer_id, draft_digest, state, issued_at, expires_at)"
            " VALUES ('c1', 'alice', 'x', 'issued', 1, 2)",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert create_store(url, NOW) is False
    with Bank.open(url, verifier=VERIFIER, clock=lambda: NOW) as bank:
        token = bank.token("US-1")
        assert (token.customer_id, token.counter, token.person, token.checks) == (
            "alice",
            7,
            None,
            False,
        )
        assert bank.challenge("c1").state.value == "expired"
        bank.change_profile("alice", "company")


def test_making_it_again_changes_nothing(url: str) -> None:
    assert create_store(url, NOW) is False


def test_several_processes_may_make_it_at_once(tmp_path: Path, server: Server) -> None:
    server.sql("CREATE DATABASE raced")
    for url in (f"sqlite:///{tmp_path}/new.db", server.url("raced")):
        with ThreadPoolExecutor(4) as threads:
            made = list(
                threads.map(lambda _, url=url: create_store(url, NOW, timeout=20), range(4))
            )
        assert sorted(made) == [False, False, False, True]
        Bank.open(url, verifier=VERIFIER).close()


def test_a_database_that_is_not_there_or_is_none_is_told(tmp_path: Path, server: Server) -> None:
    for url in (f"sqlite:///{tmp_path}/none.db", server.url("nowhere")):
        with pytest.raises(StoreUnavailable):
            Bank.open(url, verifier=VERIFIER)
    assert not (tmp_path / "none.db").exists()
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE other (x)").connection.close()
    for url in (f"sqlite:///{tmp_path}/empty.db", server.url("postgres")):
        with pytest.raises(StoreOutdated) as caught:
            Bank.open(url, verifier=VERIFIER)
        assert "bank init" in caught.value.remedy


def test_tables_of_a_newer_program_are_left_alone(url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreOutdated):
        Bank.open(url, verifier=VERIFIER)
    with pytest.raises(StoreOutdated) as caught:
        create_store(url, NOW)
    assert "newer" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://root:hunter2@host/db", "sqlite://", "sqlite:///:memory:"]
)
def test_a_url_of_another_kind_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        Bank.open(url, verifier=VERIFIER)
    assert "hunter2" not in str(caught.value)


def test_a_copy_does_not_pass_for_the_database(tmp_path: Path, sqlite_url: str) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(tmp_path / "bank.db", copy)
    with pytest.raises(StoreRestored):
        Bank.open(f"sqlite:///{copy}", verifier=VERIFIER)
    # Moving it is not copying it.
    (tmp_path / "bank.db").rename(tmp_path / "moved.db")
    Bank.open(f"sqlite:///{tmp_path}/moved.db", verifier=VERIFIER).close()


def test_a_database_made_from_another_does_not_pass_for_it(server: Server) -> None:
    server.sql("CREATE DATABASE copied TEMPLATE template")
    with pytest.raises(StoreRestored):
        Bank.open(server.url("copied"), verifier=VERIFIER)


def test_verifying_alone_needs_no_database_modules() -> None:
    code = (
        "import sys\n"
        "for name in ('sqlalchemy', 'alembic', 'psycopg'): sys.modules[name] = None\n"
        "import ushield.bank\n"
        "from ushield.bank import verify_transaction, TrustStore, Verifier, StoreUnavailable\n"
        "from ushield.cli.commands.verify_command import command\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
