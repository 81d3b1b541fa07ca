"""The queue: jobs are taken in, claimed by one worker at a time, and finished once.

A job is done at least once, and its result counts once. Each claim has a number, `Job.attempt`; whoever finishes a job
says the number of their claim, and is refused where it is not the present one: the job was cancelled, or given to
another worker, after theirs was thought dead. What jobs make does not depend on who makes it, or when.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from nearfar.serving.limits import Limits
from nearfar.serving.store import Store

__all__ = [
    "BusyError", "Job", "Kind", "ReusedError", "State", "add_job", "cancel", "check_room", "claim", "count_jobs",
    "delete", "expire", "fail", "find_job", "finish", "is_wanted", "jobs_before", "list_jobs", "new_id", "put_back",
    "recover",
]  # fmt: skip

Kind = Literal["image", "video", "keypoints"]
State = Literal["queued", "running", "done", "failed", "cancelled"]

PATIENCE = {"keypoints": 0.0, "image": 2.0, "video": 30.0}
"""Seconds by which quicker kinds, sent later, may overtake. More waiting than that and nobody overtakes."""

MOST_ATTEMPTS = 5
"""How often a job is begun. One that was cut off as often is thought to be why."""

FINISHED = ("done", "failed", "cancelled")


class BusyError(Exception):
    """No room for another job now.

    Attributes:
        of_client: whether it is the client's own jobs that fill the room.
        retry_after: seconds after which to try again.
    """

    def __init__(self, message: str, of_client: bool, retry_after: int) -> None:
        super().__init__(message)
        self.of_client = of_client
        self.retry_after = retry_after


class ReusedError(Exception):
    """An idempotency key that came with another request before."""


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        id: 128 random bits in hexadecimal.
        owner: name of the token that it was sent with.
        kind: what came in.
        name: of the file, as the client calls it.
        suffix: of the file, by its content.
        options: how it is lifted.
        digest: SHA-256 of the file.
        state: where it stands.
        attempt: number of the claim: 0 for none yet.
        created_at: when it was taken in, in seconds since 1970.
        started_at: when it was claimed last.
        finished_at: when it ended.
        error_status: HTTP status that says whose fault a failure is.
        error: what was wrong.
        result: what was made, for jobs that are done.
    """

    id: str
    owner: str
    kind: Kind
    name: str
    suffix: str
    options: Mapping[str, Any]
    digest: str
    state: State = "queued"
    attempt: int = 0
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    error_status: int | None = None
    error: str | None = None
    result: Mapping[str, Any] | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINISHED


def new_id() -> str:
    """An id that nobody guesses."""
    return uuid4().hex


def check_room(store: Store, limits: Limits, owner: str, workers: int, idempotency_key: str | None = None) -> None:
    """Whether a job of `owner` would be taken now; one of a known key would.

    Raises:
        BusyError: it would not.
    """
    with store.reading() as database:
        if _by_key(database, owner, idempotency_key) is None:
            _check_room(database, limits, owner, workers)


def add_job(
    store: Store, job: Job, limits: Limits, workers: int, now: float, *, idempotency_key: str | None = None
) -> tuple[Job, bool]:
    """Take a job in.

    Args:
        store: its folder, where the job's input lies already.
        job: the job.
        limits: of the queue.
        workers: that work on it.
        now: seconds since 1970.
        idempotency_key: the client's name for this request: the same key again is the same job.

    Returns:
        The job of that key, new or not, and whether it is new.

    Raises:
        BusyError: there is no room.
        ReusedError: the key came with another file or other options before.
    """
    with store.transaction() as database:
        known = _by_key(database, job.owner, idempotency_key)
        if known is not None:
            if (known.digest, known.kind, known.options) != (job.digest, job.kind, job.options):
                raise ReusedError("this Idempotency-Key came with another request before")
            return known, False
        _check_room(database, limits, job.owner, workers)
        database.execute(
            "INSERT INTO job (id, owner, kind, name, suffix, options, digest, idempotency_key, state, due, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)",
            (
                job.id, job.owner, job.kind, job.name, job.suffix, json.dumps(job.options, sort_keys=True), job.digest,
                idempotency_key, now + PATIENCE[job.kind], now,
            ),
        )  # fmt: skip
        return _get(database, job.id), True


def find_job(store: Store, owner: str, id_: str) -> Job | None:
    """A job of this owner; None where there is none."""
    with store.reading() as database:
        row = database.execute("SELECT * FROM job WHERE id = ? AND owner = ?", (id_, owner)).fetchone()
    return None if row is None else _job(row)


def list_jobs(store: Store, owner: str, most: int) -> list[Job]:
    """The latest jobs of this owner, newest first."""
    query = "SELECT * FROM job WHERE owner = ? ORDER BY created_at DESC, id LIMIT ?"
    with store.reading() as database:
        return [_job(row) for row in database.execute(query, (owner, most))]


def jobs_before(store: Store, job: Job) -> int:
    """How many jobs stand before this one in the queue."""
    query = "SELECT count(*) FROM job WHERE state = 'queued' AND due < (SELECT due FROM job WHERE id = ?)"
    with store.reading() as database:
        return int(database.execute(query, (job.id,)).fetchone()[0]) if job.state == "queued" else 0


def claim(store: Store, now: float) -> Job | None:
    """Take the next job from the queue, for one worker; None where none waits."""
    with store.transaction() as database:
        row = database.execute(
            "UPDATE job SET state = 'running', attempts = attempts + 1, started_at = ? "
            "WHERE id = (SELECT id FROM job WHERE state = 'queued' ORDER BY due, id LIMIT 1) RETURNING *",
            (now,),
        ).fetchone()
    return None if row is None else _job(row)


def is_wanted(store: Store, job: Job) -> bool:
    """Whether the claim still holds: the job was neither cancelled nor deleted, and nobody else has it."""
    query = "SELECT 1 FROM job WHERE id = ? AND state = 'running' AND attempts = ?"
    with store.reading() as database:
        return database.execute(query, (job.id, job.attempt)).fetchone() is not None


def finish(store: Store, job: Job, result: Mapping[str, Any], now: float) -> bool:
    """Say what a claimed job made. False, and nothing is changed, where the claim does not hold any more."""
    values = {"state": "done", "finished_at": now, "result": json.dumps(result, sort_keys=True)}
    return _end_claim(store, job, values)


def fail(store: Store, job: Job, status: int, reason: str, now: float) -> bool:
    """Say why a claimed job cannot be done. False where the claim does not hold any more."""
    return _end_claim(store, job, {"state": "failed", "finished_at": now, "error_status": status, "error": reason})


def put_back(store: Store, job: Job, now: float) -> bool:
    """Give a claimed job back to the queue, in its old place. False where the claim does not hold any more."""
    if job.attempt >= MOST_ATTEMPTS:
        return fail(store, job, 422, f"its worker died {job.attempt} times while it worked on this", now)
    return _end_claim(store, job, {"state": "queued"})


def cancel(store: Store, owner: str, id_: str, now: float) -> Job | None:
    """Cancel a job that is not finished; one that is stays as it is. None where there is no such job."""
    query = "UPDATE job SET state = 'cancelled', finished_at = ? WHERE id = ? AND owner = ? AND state = ? RETURNING *"
    with store.transaction() as database:
        waited = database.execute(query, (now, id_, owner, "queued")).fetchone()
        if waited is None:
            database.execute(query, (now, id_, owner, "running"))
    if waited is not None:  # what a worker has is removed once it lets go of it
        store.input_of(id_, waited["suffix"]).unlink(missing_ok=True)
    return find_job(store, owner, id_)


def delete(store: Store, owner: str, id_: str) -> bool:
    """Delete a job and all that it left. False where there is no such job."""
    with store.transaction() as database:
        row = database.execute("DELETE FROM job WHERE id = ? AND owner = ? RETURNING suffix", (id_, owner)).fetchone()
    if row is not None:
        store.remove_files(id_, row["suffix"])
    return row is not None


def recover(store: Store, now: float) -> int:
    """When a server starts: give back what was cut off, and remove files that belong to no job.

    Returns:
        The number of jobs that were given back.
    """
    with store.reading() as database:
        cut_off = [_job(row) for row in database.execute("SELECT * FROM job WHERE state = 'running'").fetchall()]
    for job in cut_off:
        put_back(store, job, now)
    with store.reading() as database:
        waiting = {
            f"{row['id']}{row['suffix']}"
            for row in database.execute("SELECT id, suffix FROM job WHERE state = 'queued'")
        }
        done = {row["id"] for row in database.execute("SELECT id FROM job WHERE state = 'done'")}
    for path in store.inputs.iterdir():
        if path.name not in waiting:
            path.unlink(missing_ok=True)
    for path in store.results.iterdir():
        if path.name not in done:
            store.remove_files(path.name, "")
    return len(cut_off)


def expire(store: Store, limits: Limits, now: float) -> int:
    """Delete what was finished longer ago than it is kept. Returns the number of jobs."""
    query = "SELECT id, owner FROM job WHERE finished_at <= ?"
    with store.reading() as database:
        old = database.execute(query, (now - 3600 * limits.keep_hours,)).fetchall()
    return sum(delete(store, row["owner"], row["id"]) for row in old)


def count_jobs(store: Store) -> dict[tuple[str, str], int]:
    """(kind, state) -> number of jobs."""
    with store.reading() as database:
        rows = database.execute("SELECT kind, state, count(*) FROM job GROUP BY kind, state").fetchall()
    return {(kind, state): number for kind, state, number in rows}


def _check_room(database: sqlite3.Connection, limits: Limits, owner: str, workers: int) -> None:
    waiting = database.execute("SELECT count(*) FROM job WHERE state = 'queued'").fetchone()[0]
    query = "SELECT count(*) FROM job WHERE owner = ? AND state IN ('queued', 'running')"
    own = database.execute(query, (owner,)).fetchone()[0]
    if own >= limits.queue_length_each:
        raise BusyError(f"{own} of your jobs wait or run, as many as may", True, _wait(database, 1, workers))
    if waiting >= limits.queue_length:
        raise BusyError(f"{waiting} jobs wait, as many as may", False, _wait(database, waiting / 10, workers))


def _wait(database: sqlite3.Connection, jobs: float, workers: int) -> int:
    """Seconds until so many jobs will have been done, by how long the latest took."""
    query = (
        "SELECT avg(finished_at - started_at) FROM (SELECT finished_at, started_at FROM job WHERE state = 'done' "
        "ORDER BY finished_at DESC LIMIT 20)"
    )
    mean = database.execute(query).fetchone()[0] or 1.0
    return max(1, min(300, round(jobs * mean / workers)))


def _end_claim(store: Store, job: Job, values: Mapping[str, Any]) -> bool:
    columns = ", ".join(f"{name} = ?" for name in values)  # names of ours, never a client's
    query = f"UPDATE job SET {columns} WHERE id = ? AND state = 'running' AND attempts = ?"
    with store.transaction() as database:
        return database.execute(query, (*values.values(), job.id, job.attempt)).rowcount == 1


def _by_key(database: sqlite3.Connection, owner: str, key: str | None) -> Job | None:
    query = "SELECT * FROM job WHERE owner = ? AND idempotency_key = ?"
    row = None if key is None else database.execute(query, (owner, key)).fetchone()
    return None if row is None else _job(row)


def _get(database: sqlite3.Connection, id_: str) -> Job:
    return _job(database.execute("SELECT * FROM job WHERE id = ?", (id_,)).fetchone())


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        owner=row["owner"],
        kind=row["kind"],
        name=row["name"],
        suffix=row["suffix"],
        options=json.loads(row["options"]),
        digest=row["digest"],
        state=row["state"],
        attempt=row["attempts"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        error_status=row["error_status"],
        error=row["error"],
        result=None if row["result"] is None else json.loads(row["result"]),
    )
