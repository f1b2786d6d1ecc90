"""Banks on real databases: every test that takes one runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, select, update

from tests.bank.banking import Bench, confirm_copy
from tests.bank.store.postgresql import INSTALL, Server, binaries
from tests.pki import NOW
from ushield.bank import create_store
from ushield.bank.store.engine import store_url
from ushield.bank.store.schema import HEAD
from ushield.bank.store.tables import instance, metadata

MISSING = "needs PostgreSQL's server: " + INSTALL


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server with a bank's tables in the database ``template``."""
    if binaries() is None:
        pytest.skip(MISSING)
    # What these tests end is processes, not the machine.
    with Server("fsync=off", "max_connections=60", "shared_buffers=32MB") as server:
        server.sql("CREATE DATABASE template")
        create_store(server.url("template"), NOW)
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "bank.db"
    create_store(f"sqlite:///{path}", NOW)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A new database of a bank, empty."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    copy = tmp_path / "bank.db"
    shutil.copy(sqlite_template, copy)
    url = f"sqlite:///{copy}"
    confirm_copy(url)
    return url


@pytest.fixture(scope="session")
def emptied(server: Server) -> Iterator[Callable[[], str]]:
    """Empties the one database that all tests share, which is quicker than making another."""
    server.sql("CREATE DATABASE bank TEMPLATE template")
    url = server.url("bank")
    confirm_copy(url)
    engine = create_engine(store_url(url))
    names = ", ".join(name for name in metadata.tables if name != "instance")
    with engine.begin() as connection:
        first = connection.execute(select(instance)).one()

    def empty() -> str:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
            connection.execute(update(instance).values(first._asdict()))
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{HEAD}'")
        return url

    yield empty
    engine.dispose()


@pytest.fixture
def postgresql_url(emptied: Callable[[], str]) -> str:
    return emptied()


@pytest.fixture
def bench(url: str) -> Iterator[Bench]:
    with Bench.open(url) as bench:
        yield bench


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The database by itself, for looking in from outside."""
    engine = create_engine(store_url(url))
    yield engine
    engine.dispose()
