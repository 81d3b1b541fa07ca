from __future__ import annotations

import threading
from pathlib import Path

import postgresql
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from nearfar.annotation import database, schema
from nearfar.annotation.database import (
    connect,
    insert_many,
    migrate,
    missing_connections,
    reading,
    transaction,
    with_retries,
)
from nearfar.errors import InputError


def test_migrations_make_the_tables_of_the_schema(database_url: str) -> None:
    engine = connect(database_url)
    migrate(engine)
    migrate(engine)  # nothing left to do
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


def test_servers_that_start_at_once_make_the_tables_once(database_url: str) -> None:
    engines = [connect(database_url) for _ in range(4)]
    failures: list[Exception] = []

    def start(engine: sa.Engine) -> None:
        try:
            migrate(engine)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with reading(engines[0]) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM alembic_version").scalar() == 1
    for engine in engines:
        engine.dispose()


def test_many_rows_are_stored_as_single_ones_are(database_url: str) -> None:
    engine = connect(database_url)
    migrate(engine)
    rows = [
        {"id": i, "image": f"tab\t, line\n, \\N and ü{i}", "crop_x": 0, "crop_y": i, "crop_width": 1, "crop_height": 1}
        for i in range(3)
    ]
    with transaction(engine) as connection:
        connection.execute(schema.pose.insert(), rows[0])
        insert_many(connection, schema.pose, rows[1:])
        insert_many(connection, schema.pose, [])
    with engine.connect() as connection:
        stored = connection.execute(sa.select(schema.pose).order_by(schema.pose.c.id)).mappings().all()
    assert [dict(row) for row in stored] == [{**row, "lesson": False} for row in rows]
    with pytest.raises(sa.exc.IntegrityError), transaction(engine) as connection:
        insert_many(connection, schema.pose, [{**rows[0], "id": 9}, rows[0]])
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.pose)).scalar() == 3
    engine.dispose()


def test_connections_that_postgresql_ended_are_replaced(
    postgresql_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = connect(postgresql.new_database(postgresql_server))
    migrate(engine)
    other = connect(f"{postgresql_server}/postgres")

    def end_all() -> None:
        with transaction(other) as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.exec_driver_sql(query, (engine.url.database,))

    with engine.connect(), engine.connect():
        pass  # two lie in the pool
    end_all()
    # In use a moment ago: the loss shows in the transaction, which is tried again.
    assert with_retries(engine, lambda connection: connection.execute(sa.select(1)).scalar()) == 1
    with engine.connect(), engine.connect():
        pass
    end_all()
    monkeypatch.setattr(database, "IDLE_SECONDS", 0.0)
    with reading(engine) as connection:
        assert connection.execute(sa.select(1)).scalar() == 1
    with engine.connect() as first, engine.connect() as second:
        assert first.execute(sa.select(1)).scalar() == second.execute(sa.select(1)).scalar() == 1
    assert missing_connections(engine, 2) is None
    let_in, wanted = missing_connections(engine, 50) or (0, 0)
    assert 100 < let_in <= 200 < wanted
    engine.dispose()
    other.dispose()


def test_sqlite_keeps_what_was_committed(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


def test_writers_wait_for_each_other(database_url: str) -> None:
    engine = connect(database_url)
    migrate(engine)
    with transaction(engine) as connection:
        connection.execute(
            schema.pose.insert().values(id=0, image="a.png", crop_x=0, crop_y=0, crop_width=1, crop_height=1)
        )

    def add(connection: sa.Connection) -> None:
        row = sa.select(schema.pose.c.crop_x).where(schema.pose.c.id == 0).with_for_update()
        value = connection.execute(row).scalar_one()
        connection.execute(schema.pose.update().values(crop_x=value + 1))

    threads = [threading.Thread(target=lambda: [with_retries(engine, add) for _ in range(10)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.execute(sa.select(schema.pose.c.crop_x)).scalar() == 50
    engine.dispose()


def test_a_failed_transaction_leaves_nothing(database_url: str) -> None:
    engine = connect(database_url)
    migrate(engine)
    entry = schema.audit.insert().values(at=0.0, action="test")

    def fail(connection: sa.Connection) -> None:
        connection.execute(entry)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        with_retries(engine, fail)
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.audit)).scalar() == 0
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "expected postgresql://"),
        ("mysql://user@host/name", "got mysql"),
        ("sqlite://", "needs a file"),
        ("postgresql://me:secret@127.0.0.1:1/none", "127.0.0.1"),
    ],
)
def test_bad_addresses_are_told_without_their_passwords(url: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        connect(url)
    assert "secret" not in str(caught.value)


def test_a_newer_database_is_refused(database_url: str) -> None:
    engine = connect(database_url)
    migrate(engine)
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InputError, match="newer nearfar"):
        migrate(engine)
    engine.dispose()


def test_errors_do_not_tell_the_values(database_url: str) -> None:
    engine = connect(database_url)
    migrate(engine)
    with pytest.raises(sa.exc.IntegrityError) as failed, transaction(engine) as connection:
        connection.execute(sa.insert(schema.session).values(token_hash="x", csrf_token="secret", created_at=0.0))
    # (What PostgreSQL itself tells of a row is its own.)
    assert "secret" not in str(failed.value).replace(str(failed.value.orig), "")
    engine.dispose()
