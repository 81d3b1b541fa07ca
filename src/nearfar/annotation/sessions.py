"""Sessions: who is signed in. The database keeps the hash of a session's token only (`nearfar.web.secrets`).

All functions take a transaction (`database.with_retries`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, insert, select, update

from nearfar.annotation import schema
from nearfar.annotation.audit import write_log
from nearfar.annotation.people import PERSON_COLUMNS, Person, get_person, person_of
from nearfar.web.secrets import hash_token, new_token

__all__ = ["Session", "end_session", "find_session", "see_session", "start_session"]

DAY = 86400.0
SESSION_DAYS = 30
IDLE_DAYS = 7

SEEN_SECONDS = 600.0
"""How exactly the database knows when a session was used last: each request would be a write otherwise."""


@dataclass(frozen=True)
class Session:
    """A signed-in browser.

    Attributes:
        token: the secret that the browser shows; kept nowhere else.
        csrf_token: what its pages send along with every change.
        person: who signed in, as they are now.
        seen_at: when it was used last, to within `SEEN_SECONDS`.
        expires_at: when it ends at the latest.
    """

    token: str = field(repr=False)
    csrf_token: str = field(repr=False)
    person: Person
    seen_at: float
    expires_at: float


def start_session(connection: Connection, person_id: int, now: float, *, visit_id: int | None = None) -> Session:
    """Start a session of somebody who has proved who they are; `visit_id`: for one assignment of an external worker."""
    token, csrf_token = new_token(), new_token()
    expires_at = now + SESSION_DAYS * DAY
    values = {
        "token_hash": hash_token(token),
        "person_id": person_id,
        "csrf_token": csrf_token,
        "created_at": now,
        "seen_at": now,
        "expires_at": expires_at,
        "visit_id": visit_id,
    }
    connection.execute(insert(schema.session).values(values))
    return Session(token, csrf_token, get_person(connection, person_id), now, expires_at)


def find_session(connection: Connection, token: str, now: float) -> Session | None:
    """The session of a token; None where there is none, it ended, it expired, or it was not used for `IDLE_DAYS`."""
    table = schema.session
    alive = (table.c.ended_at.is_(None), table.c.expires_at > now, table.c.seen_at > now - IDLE_DAYS * DAY)
    query = (
        select(table.c.csrf_token, table.c.seen_at, table.c.expires_at, *PERSON_COLUMNS)
        .join_from(table, schema.person)
        .where(table.c.token_hash == hash_token(token), schema.person.c.blocked_at.is_(None), *alive)
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return Session(
        token=token,
        csrf_token=row[table.c.csrf_token],
        person=person_of(row),
        seen_at=row[table.c.seen_at],
        expires_at=row[table.c.expires_at],
    )


def see_session(connection: Connection, token: str, now: float) -> None:
    """Note that a session was used."""
    table = schema.session
    connection.execute(update(table).where(table.c.token_hash == hash_token(token)).values(seen_at=now))


def end_session(connection: Connection, token: str, now: float) -> None:
    """Sign out."""
    table = schema.session
    ending = update(table).where(table.c.token_hash == hash_token(token), table.c.ended_at.is_(None))
    person_id = connection.execute(ending.values(ended_at=now).returning(table.c.person_id)).scalar()
    if person_id is not None:
        write_log(connection, now, person_id, "signed out", get_person(connection, person_id).name)
