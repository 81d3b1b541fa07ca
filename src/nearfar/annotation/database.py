"""Connections to a project's database: SQLite in its folder, or PostgreSQL; migrations; transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from nearfar.errors import InputError

__all__ = ["connect", "migrate", "transaction", "upsert", "with_retries"]

T = TypeVar("T")

BUSY_SECONDS = 30
"""How long a writer waits for SQLite's one write lock."""

_RETRIED = {"40001", "40P01"}
"""PostgreSQL's codes of transactions that may be tried again: serialisation failures and deadlocks."""


def connect(url: str, *, pool_size: int = 10) -> Engine:
    """Open a database.

    SQLite runs in WAL mode with synchronous=FULL, so that a committed answer survives a power cut, and takes its write
    lock when a transaction begins (`transaction`), so that two writers wait for each other instead of failing.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/NAME``.
        pool_size: connections kept open.

    Raises:
        InputError: not such an address, or the database cannot be reached.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InputError("database: expected postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE") from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise InputError(f"database: expected postgresql://... or sqlite:///FILE, got {backend}://...")
    options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": pool_size, "pool_pre_ping": True}
    options["hide_parameters"] = True  # errors are logged, and values are what people typed, and their tokens
    if backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        options["connect_args"] = {"connect_timeout": 10}
    else:
        if not parsed.database or parsed.database == ":memory:":
            raise InputError("database: sqlite:///FILE needs a file")
        options["connect_args"] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = create_engine(parsed, **options)
    if backend == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        with engine.connect():
            pass
    except (OperationalError, SQLAlchemyError) as error:
        engine.dispose()
        raise InputError(f"database {parsed.render_as_string(hide_password=True)}: {_reason(error)}") from None
    return engine


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest form, in one transaction.

    Raises:
        InputError: the database is of a newer nearfar.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    if present is not None and present not in {script.revision for script in scripts.walk_revisions()}:
        raise InputError(f"database: its tables are of a newer nearfar (revision {present}); upgrade nearfar")
    if present == scripts.get_current_head():
        return
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that may write: all of it is stored, or nothing."""
    with engine.connect().execution_options(nearfar_writes=True) as connection, connection.begin():
        yield connection


def with_retries(engine: Engine, work: Callable[[Connection], T], *, tries: int = 8) -> T:
    """Do `work` in a transaction; again where the database says that two got in each other's way or it went away.

    Args:
        engine: the database.
        work: is called with a connection; must bear being called again.
        tries: how often, at most.
    """
    for attempt in range(tries):
        try:
            with transaction(engine) as connection:
                return work(connection)
        except DBAPIError as error:
            lost = error.connection_invalidated or _is_contention(error)
            if not lost or attempt == tries - 1:
                raise
            time.sleep(0.02 * 2**attempt)
    raise RuntimeError("unreachable")


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _is_contention(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlstate", None)
    return code in _RETRIED or "database is locked" in str(error.orig)


def _reason(error: SQLAlchemyError) -> str:
    """The first line of what the driver says; drivers do not quote passwords."""
    told = str(getattr(error, "orig", None) or error).strip().splitlines()
    return told[0] if told else type(error).__name__


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, not where sqlite3 guesses
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("nearfar_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
