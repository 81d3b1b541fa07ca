"""Where the service keeps what must outlive it: a folder with an SQLite database, what came in, and results.

The server that works on a folder holds its lock: a second one is refused, and every job that the database calls running
when a server starts was cut off.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from nearfar.errors import InputError

__all__ = ["Store"]

VERSION = 1

SCHEMA = """
CREATE TABLE token (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('token', 'session', 'code')),
    hash TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL,
    expires_at REAL,
    seen_at REAL
);
CREATE UNIQUE INDEX token_name ON token (name) WHERE kind = 'token';
CREATE TABLE job (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('image', 'video', 'keypoints')),
    name TEXT NOT NULL,
    suffix TEXT NOT NULL,
    options TEXT NOT NULL,
    digest TEXT NOT NULL,
    idempotency_key TEXT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    error_status INTEGER,
    error TEXT,
    result TEXT
);
CREATE UNIQUE INDEX job_idempotency ON job (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX job_queue ON job (state, due);
CREATE INDEX job_owner ON job (owner, created_at);
"""
"""`due` orders the queue; `attempts` numbers the claims of a job, and tells the present one from those before it."""


class Store:
    """The opened folder. A context manager; methods may be called from any thread.

    Args:
        folder: made where it is not there; its owner alone may read it.

    Raises:
        InputError: it cannot be made, or holds something else.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.RLock()
        self._held: IO[bytes] | None = None
        file = self.folder / "service.db"
        # What is no job's is deleted from these when a server starts: never from folders that somebody else made.
        foreign = [part.name for part in (self.inputs, self.results) if part.exists() and not file.exists()]
        if foreign:
            raise InputError(f"{folder}: holds {' and '.join(foreign)} of something else; choose another folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(file, timeout=20, isolation_level=None, check_same_thread=False)
            self._database.row_factory = sqlite3.Row
            self._database.execute("PRAGMA journal_mode = WAL")
            # A job that was taken must survive a power cut: every transaction waits for the disk.
            self._database.execute("PRAGMA synchronous = FULL")
            self._migrate()
            for part in (self.inputs, self.results):
                part.mkdir(exist_ok=True, mode=0o700)
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"{folder}: cannot be used as the service's folder ({error})") from None

    @property
    def inputs(self) -> Path:
        """What came in, until its job is finished."""
        return self.folder / "inputs"

    @property
    def results(self) -> Path:
        """A folder for each job that was done."""
        return self.folder / "results"

    def _migrate(self) -> None:
        with self.transaction() as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise InputError(f"{self.folder}: of a newer nearfar (schema {version}, known is {VERSION})")
            if version == 0:
                for statement in SCHEMA.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction that writes: all of it happens, or nothing."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # SQLite ends some on its own, as when the disk is full
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database, for one query."""
        with self._lock:
            yield self._database

    def hold(self) -> None:
        """Take the folder for this server alone, until `close` or the end of the process.

        Raises:
            InputError: another server has it.
        """
        import fcntl

        self._held = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._held.close()
            raise InputError(f"{self.folder}: another server works on this folder") from None

    def input_of(self, job: str, suffix: str) -> Path:
        """Where a job's input lies."""
        return self.inputs / f"{job}{suffix}"

    def result_of(self, job: str) -> Path:
        """The folder of a job's results."""
        return self.results / job

    def remove_files(self, job: str, suffix: str) -> None:
        """Delete what a job has on disk."""
        self.input_of(job, suffix).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.result_of(job))

    def free_bytes(self) -> int:
        """Disk space that is left."""
        return shutil.disk_usage(self.folder).free

    def close(self) -> None:
        """Close the database; let go of the folder."""
        with self._lock:
            self._database.close()
        if self._held is not None:
            self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
