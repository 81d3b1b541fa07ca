"""The audit log: who did what, when. Never what somebody answered, and never a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from nearfar.annotation import schema

__all__ = ["Entry", "read_log", "write_log"]


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes:
        id: its number.
        at: seconds since 1970.
        person_id: who did it; None for the command line.
        name: their name at present.
        action: what was done, one or two words: "blocked".
        object: to what or whom.
        detail: what else there is to say.
    """

    id: int
    at: float
    person_id: int | None
    name: str | None
    action: str
    object: str
    detail: dict[str, Any]


def write_log(
    connection: Connection, now: float, by: int | None, action: str, what: str = "", **detail: str | float | None
) -> None:
    """Note an act in the transaction that does it.

    Args:
        connection: a transaction.
        now: seconds since 1970.
        by: the person who does it; None for the command line.
        action: what is done, one or two words.
        what: to what or whom.
        **detail: what else there is to say.
    """
    values = {"at": now, "person_id": by, "action": action, "object": what[:200], "detail": detail}
    connection.execute(insert(schema.audit).values(values))


def read_log(connection: Connection, *, most: int = 100, before: int | None = None) -> list[Entry]:
    """The newest `most` entries, newest first; `before`: only those with a lower number."""
    columns = (*schema.audit.c, schema.person.c.name)
    query = select(*columns).outerjoin_from(schema.audit, schema.person).order_by(schema.audit.c.id.desc()).limit(most)
    if before is not None:
        query = query.where(schema.audit.c.id < before)
    return [Entry(**row) for row in connection.execute(query).mappings()]
