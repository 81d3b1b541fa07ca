"""Connections to a project's database: SQLite in its folder, or PostgreSQL; migrations; transactions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table, create_engine, event, insert, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError, OperationalError, SQLAlchemyError
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from nearfar.errors import InputError

__all__ = [
    "connect",
    "insert_many",
    "migrate",
    "missing_connections",
    "reading",
    "transaction",
    "upsert",
    "with_retries",
]

T = TypeVar("T")

BUSY_SECONDS = 30
"""How long a writer waits for SQLite's one write lock."""

MIGRATING = 0x6E656172
"""Number of PostgreSQL's lock that a process holds while it changes the tables."""

POOL_SIZE = 10
"""Connections that a process keeps open; for a moment it may take as many again."""

IDLE_SECONDS = 5.0
"""A connection that lay unused for longer is asked whether it still stands. What was lost sooner shows as an error."""

_RETRIED = {"40001", "40P01"}
"""PostgreSQL's codes of transactions that may be tried again: serialisation failures and deadlocks."""


def connect(url: str, *, pool_size: int = POOL_SIZE) -> Engine:
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
    options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": pool_size}
    options["hide_parameters"] = True  # errors are logged, and values are what people typed, and their tokens
    if backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        options["connect_args"] = {"connect_timeout": 10}
    else:
        if not parsed.database or parsed.database == ":memory:":
            raise InputError("database: sqlite:///FILE needs a file")
        options["connect_args"] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = create_engine(parsed, **options)
    if backend == "postgresql":
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", _check_idle)
    else:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        with engine.connect():
            pass
    except (OperationalError, SQLAlchemyError) as error:
        engine.dispose()
        raise InputError(f"database {parsed.render_as_string(hide_password=True)}: {_reason(error)}") from None
    return engine


def missing_connections(engine: Engine, processes: int) -> tuple[int, int] | None:
    """The connections that PostgreSQL lets in, and those that so many servers and this process may take, if more."""
    if engine.dialect.name != "postgresql":
        return None
    with engine.connect() as connection:
        names = ("max_connections", "superuser_reserved_connections")
        let_in, reserved = (int(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names)
    taken = 2 * POOL_SIZE * (processes + 1)
    return (let_in - reserved, taken) if taken > let_in - reserved else None


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest form, in one transaction. Servers that start at once wait for the first.

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
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":  # until the transaction ends; alembic looks at the tables after it
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for queries that need not see the same state: nothing is begun or rolled back around them."""
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="AUTOCOMMIT")
        yield connection


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


def upsert(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def insert_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that name the same columns: with COPY in PostgreSQL, which is many times as fast as INSERT."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), rows)
        return
    import psycopg
    from psycopg import sql

    defaults = {c.name: c.default.arg for c in table.c if isinstance(c.default, ScalarElementColumnDefault)}
    names = list(defaults | dict(rows[0]))
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    cursor = connection.connection.cursor()
    try:
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)) as copy:
            for row in rows:
                copy.write_row([row.get(name, defaults.get(name)) for name in names])
    except psycopg.Error as error:  # as SQLAlchemy tells of it elsewhere
        raise DBAPIError.instance(
            "COPY", None, error, psycopg.Error, hide_parameters=True, dialect=connection.dialect
        ) from error


def _is_contention(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlstate", None)
    return code in _RETRIED or "database is locked" in str(error.orig)


def _reason(error: SQLAlchemyError) -> str:
    """The first line of what the driver says; drivers do not quote passwords."""
    told = str(getattr(error, "orig", None) or error).strip().splitlines()
    return told[0] if told else type(error).__name__


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _check_idle(connection: Any, record: Any, _proxy: Any) -> None:
    """Ask a connection that nobody used for a while whether it still stands; where not, all are made anew."""
    if time.monotonic() - record.info.get("used", math.inf) > IDLE_SECONDS:
        try:
            connection.execute("SELECT 1")
            connection.rollback()
        except connection.OperationalError:
            raise InvalidatePoolError from None


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, not where sqlite3 guesses
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("nearfar_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
