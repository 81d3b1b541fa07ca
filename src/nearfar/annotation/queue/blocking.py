"""Keeping people out, and letting them in again; their answers count no more, or count again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

from sqlalchemy import Connection, Engine, delete, insert, select, update

from nearfar.annotation import people, schema
from nearfar.annotation.audit import write_log
from nearfar.annotation.database import with_retries
from nearfar.annotation.queue.counting import lock_pairs, lock_person, store_pairs
from nearfar.annotation.queue.leasing import release_tasks
from nearfar.annotation.queue.stopping import settle
from nearfar.annotation.schema import Platform
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError

__all__ = ["Ban", "ban", "ban_reason", "block_person", "lift_ban", "list_bans", "unblock_person"]

LONGEST_ID = 100


@dataclass(frozen=True)
class Ban:
    """An external worker who is kept out before they come.

    Attributes:
        platform: where they come from.
        external_id: their id there.
        reason: why.
        created_at: seconds since 1970.
    """

    platform: Platform
    external_id: str
    reason: str
    created_at: float


def block_person(
    engine: Engine, settings: Settings, person_id: int, reason: str, now: float, *, by: int | None = None
) -> None:
    """Keep a person out: sessions and leases end, answers stay stored but count no more, pairs open again.

    Args:
        engine: the database.
        settings: how the project asks.
        person_id: who.
        reason: why, shown to admins.
        now: seconds since 1970.
        by: the admin; None for the command line, or where it was done by itself.

    Raises:
        InputError: it is oneself, the reason is empty or too long, or there is no such person.
    """

    def work(connection: Connection) -> None:
        if lock_person(connection, person_id)["blocked_at"] is not None:
            return
        people.block(connection, person_id, reason, now, by=by)
        task = schema.task
        leased = select(task.c.id).where(task.c.person_id == person_id, task.c.state == "leased")
        release_tasks(connection, connection.execute(leased).scalars().all())
        _count_answers(connection, settings, person_id, -1)

    with_retries(engine, work)


def unblock_person(engine: Engine, settings: Settings, person_id: int, now: float, *, by: int | None = None) -> None:
    """Let a person in again: their answers count, and they are not blocked by itself any more.

    Raises:
        InputError: there is no such person.
    """

    def work(connection: Connection) -> None:
        if lock_person(connection, person_id)["blocked_at"] is None:
            return
        people.unblock(connection, person_id, now, by=by)
        table = schema.person
        connection.execute(update(table).where(table.c.id == person_id).values(unblocked_at=now))
        _count_answers(connection, settings, person_id, 1)

    with_retries(engine, work)


def _count_answers(connection: Connection, settings: Settings, person_id: int, by: int) -> None:
    """Count the live answers of a locked person, or count them no more."""
    question = schema.question
    live = select(question.c.pair_id).where(question.c.person_id == person_id, question.c.state == "answered")
    times: dict[int, int] = {}
    for pair_id in connection.execute(live).scalars():  # the entry test may have asked one twice
        times[pair_id] = times.get(pair_id, 0) + by
    pairs = lock_pairs(connection, times)
    changed = {id_: replace(pair, answered=pair.answered + times[id_]) for id_, pair in pairs.items()}
    store_pairs(connection, settle(connection, settings, changed).values())


def ban(
    engine: Engine,
    settings: Settings,
    platform: Platform,
    external_id: str,
    reason: str,
    now: float,
    *,
    by: int | None = None,
) -> None:
    """Keep an external worker out, whether they have come already or not.

    Raises:
        InputError: the id or the reason is empty or too long, or the platform has no external workers.
    """
    external_id, reason = external_id.strip(), reason.strip()
    if platform not in get_args(Platform) or platform == "invited":
        raise InputError(f"ban: expected mturk or prolific, got {platform[:40]!r}")
    if not 0 < len(external_id) <= LONGEST_ID or not external_id.isprintable():
        raise InputError(f"ban: expected a worker id of 1 to {LONGEST_ID} characters, got {len(external_id)}")
    if not 0 < len(reason) <= people.LONGEST_REASON:
        raise InputError(f"reason: expected 1 to {people.LONGEST_REASON} characters, got {len(reason)}")

    def work(connection: Connection) -> int | None:
        if ban_reason(connection, platform, external_id) is None:
            values = {"platform": platform, "external_id": external_id, "reason": reason, "created_at": now}
            connection.execute(insert(schema.ban).values(values))
            write_log(connection, now, by, "banned", f"{platform} {external_id}", reason=reason)
        person = schema.person
        here = (person.c.platform == platform) & (person.c.external_id == external_id)
        return connection.execute(select(person.c.id).where(here)).scalar()

    person_id = with_retries(engine, work)
    if person_id is not None:
        block_person(engine, settings, person_id, reason, now, by=by)


def lift_ban(engine: Engine, platform: Platform, external_id: str, now: float, *, by: int | None = None) -> bool:
    """Take a ban back; somebody who came and was blocked stays blocked until they are unblocked.

    Returns:
        Whether there was one.
    """
    table = schema.ban

    def work(connection: Connection) -> bool:
        here = (table.c.platform == platform) & (table.c.external_id == external_id)
        there = connection.execute(delete(table).where(here)).rowcount > 0
        if there:
            write_log(connection, now, by, "ban lifted", f"{platform} {external_id}")
        return there

    return with_retries(engine, work)


def ban_reason(connection: Connection, platform: Platform, external_id: str) -> str | None:
    """Why an external worker is to be kept out; None where they are not. To be asked before a person is added."""
    table = schema.ban
    query = select(table.c.reason).where(table.c.platform == platform, table.c.external_id == external_id)
    return connection.execute(query).scalar()


def list_bans(connection: Connection) -> list[Ban]:
    """All bans, newest first."""
    table = schema.ban
    query = select(table.c.platform, table.c.external_id, table.c.reason, table.c.created_at)
    return [Ban(**row) for row in connection.execute(query.order_by(table.c.id.desc())).mappings()]
