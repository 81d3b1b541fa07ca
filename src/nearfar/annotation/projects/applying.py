"""Settings that were changed while a project runs, brought into its database."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, Engine, or_, select

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.queue.counting import in_parts, lock_pairs, store_pairs
from nearfar.annotation.queue.stopping import decide
from nearfar.annotation.settings import Settings

__all__ = ["apply_settings"]


def apply_settings(engine: Engine, settings: Settings) -> int:
    """Let all pairs of work want as many answers as `Settings.answers` says, where they want fewer.

    Pairs that want more do so for a reason (an admin asked for them, or their risk), and keep it.

    Returns:
        How many pairs were changed.
    """
    pair = schema.pair.c
    fewer = (pair.purpose == "work") & (pair.wanted < settings.answers)
    alive = or_(pair.closed.is_(None), pair.closed.not_in(("admin", "image")))
    with engine.connect() as connection:
        ids = list(connection.execute(select(pair.id).where(fewer, alive)).scalars())

    def raise_some(connection: Connection, some: list[int]) -> None:
        states = lock_pairs(connection, some).values()
        raised = [replace(state, wanted=max(state.wanted, settings.answers)) for state in states]
        store_pairs(connection, [decide(state, settings) for state in raised])

    for some in in_parts(sorted(ids)):
        with_retries(engine, lambda connection, some=some: raise_some(connection, some))  # type: ignore[misc]
    return len(ids)
