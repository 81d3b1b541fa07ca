"""The way of a new person: tutorial, practice, entry test, work."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select, update

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.queue.counting import lock_person
from nearfar.annotation.schema import Purpose, Stage
from nearfar.annotation.settings import Settings

__all__ = ["finish_tutorial", "open_tutorial", "stage_after"]


def stage_after(connection: Connection, settings: Settings, stage: Stage) -> Stage:
    """The stage that follows a finished one; what there are no lessons for is left out."""
    if stage == "tutorial" and settings.practice_questions and _has(connection, "practice"):
        return "practice"
    if stage in ("tutorial", "practice") and settings.test_questions and _has(connection, "test"):
        return "test"
    return "working"


def open_tutorial(engine: Engine, person_id: int, now: float) -> float:
    """Note when a person opened the tutorial first, from which the reading time counts.

    Returns:
        When that was.
    """

    def work(connection: Connection) -> float:
        opened: float | None = lock_person(connection, person_id)["tutorial_opened_at"]
        if opened is None or opened > now:  # the clock was set back
            opened = now
            person = schema.person
            connection.execute(update(person).where(person.c.id == person_id).values(tutorial_opened_at=now))
        return opened

    return with_retries(engine, work)


def finish_tutorial(engine: Engine, settings: Settings, person_id: int, now: float) -> Stage:
    """Move a person on who has read the tutorial for long enough.

    Returns:
        The stage the person is in now: "tutorial" where it was too early.
    """

    def work(connection: Connection) -> Stage:
        row = lock_person(connection, person_id)
        stage: Stage = row["stage"]
        opened = row["tutorial_opened_at"]
        if stage != "tutorial" or opened is None or now < opened + settings.reading_seconds:
            return stage
        stage = stage_after(connection, settings, stage)
        connection.execute(update(schema.person).where(schema.person.c.id == person_id).values(stage=stage))
        return stage

    return with_retries(engine, work)


def _has(connection: Connection, purpose: Purpose) -> bool:
    pair = schema.pair
    query = select(pair.c.id).where(schema.known, pair.c.purpose == purpose).limit(1)
    return connection.execute(query).first() is not None
