"""The people of a project: names, roles, who is blocked.

All functions take a transaction (`database.with_retries`): what they change and their entry in the audit log are stored
together or not at all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from nearfar.annotation import schema
from nearfar.annotation.audit import write_log
from nearfar.annotation.schema import Platform, Role, Stage
from nearfar.errors import InputError

__all__ = [
    "Person",
    "block",
    "change_role",
    "check_name",
    "check_role",
    "check_text",
    "create_person",
    "find_person",
    "get_person",
    "list_people",
    "rename",
    "unblock",
]

LONGEST_NAME = 100
LONGEST_REASON = 500

_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows: in a name, they would rearrange the page around it."""


@dataclass(frozen=True)
class Person:
    """Somebody who may sign in.

    Attributes:
        id: number in the database.
        name: unique among the people of a platform.
        role: "admin" (everything), "viewer" (numbers, pairs and exports) or "annotator" (questions).
        platform: "invited", or where an external worker comes from.
        external_id: the worker's id there.
        stage: of the training.
        blocked_at: since when the person is kept out; None where they are not.
        block_reason: why.
        created_at: seconds since 1970.
    """

    id: int
    name: str
    role: Role
    platform: Platform
    external_id: str | None
    stage: Stage
    blocked_at: float | None
    block_reason: str | None
    created_at: float

    @property
    def blocked(self) -> bool:
        """Is the person kept out?"""
        return self.blocked_at is not None


PERSON_COLUMNS = tuple(schema.person.c[name] for name in Person.__dataclass_fields__)


def person_of(row: RowMapping) -> Person:
    """The person of a row that holds `PERSON_COLUMNS`."""
    return Person(**{column.name: row[column] for column in PERSON_COLUMNS})


def check_name(name: str) -> str:
    """A name fit to be shown: composed (NFC), without outer and double spaces.

    Raises:
        InputError: empty, longer than 100 characters, with characters that are not seen, or like a formula.
    """
    name = " ".join(unicodedata.normalize("NFC", name[: 10 * LONGEST_NAME]).split())
    if not 0 < len(name) <= LONGEST_NAME:
        raise InputError(f"name: expected 1 to {LONGEST_NAME} characters, got {len(name)}")
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Cn") or sign in _DIRECTIONS for sign in name):
        raise InputError("name: expected letters that can be seen, got control characters among them")
    if name[0] in "=+-@":
        raise InputError(f"name: cannot begin with {name[0]!r}: a spreadsheet would take it for a formula")
    return name


def check_text(what: str, text: str, most: int) -> str:
    """A text as it is stored: without the spaces around it.

    Raises:
        InputError: longer than `most`, or with characters that not every database takes.
    """
    text = text.strip()
    if len(text) > most:
        raise InputError(f"{what}: expected at most {most} characters, got {len(text)}")
    if any(sign == "\x00" or unicodedata.category(sign) == "Cs" for sign in text):
        raise InputError(f"{what}: expected text, got control characters in it")
    return text


def check_role(role: str) -> Role:
    """The role of that name.

    Raises:
        InputError: there is no such role.
    """
    for known in get_args(Role):
        if role == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"role: expected {', '.join(get_args(Role))}, got {role[:40]!r}")


def create_person(
    connection: Connection,
    name: str,
    role: Role,
    now: float,
    *,
    by: int | None = None,
    platform: Platform = "invited",
    external_id: str | None = None,
) -> Person:
    """Add somebody.

    Args:
        connection: a transaction.
        name: theirs, new on the platform.
        role: what they may do.
        now: seconds since 1970.
        by: who adds them, for the audit log; None for the command line, or for people who come by themselves.
        platform: where they come from.
        external_id: their id there.

    Raises:
        InputError: the name is taken or cannot be one.
    """
    name = check_name(name)
    values = {"name": name, "role": role, "platform": platform, "external_id": external_id, "created_at": now}
    with _name_taken(connection, name):
        person_id = connection.execute(insert(schema.person).values(values).returning(schema.person.c.id)).scalar_one()
    write_log(connection, now, by, "person added", name, role=role, platform=platform)
    return get_person(connection, person_id)


def get_person(connection: Connection, person_id: int) -> Person:
    """The person of that number.

    Raises:
        InputError: there is none.
    """
    query = select(*PERSON_COLUMNS).where(schema.person.c.id == person_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise InputError(f"person {person_id}: there is none of that number")
    return person_of(row)


def find_person(connection: Connection, name: str, platform: Platform = "invited") -> Person | None:
    """The person of that name."""
    query = select(*PERSON_COLUMNS).where(schema.person.c.name == name, schema.person.c.platform == platform)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else person_of(row)


def list_people(connection: Connection) -> list[Person]:
    """Everybody, in the order in which they came."""
    query = select(*PERSON_COLUMNS).order_by(schema.person.c.id)
    return [person_of(row) for row in connection.execute(query).mappings()]


def rename(connection: Connection, person_id: int, name: str, now: float, *, by: int | None = None) -> None:
    """Give somebody another name.

    Raises:
        InputError: the name is taken or cannot be one, or there is no such person.
    """
    name = check_name(name)
    person = get_person(connection, person_id)
    if name == person.name:
        return
    with _name_taken(connection, name):
        _change(connection, person_id, name=name)
    write_log(connection, now, by, "renamed", name, before=person.name)


def change_role(connection: Connection, person_id: int, role: Role, now: float, *, by: int | None = None) -> None:
    """Give somebody another role; their sessions end.

    Raises:
        InputError: it is oneself, or there is no such person.
    """
    person = get_person(connection, person_id)
    if role == person.role:
        return
    _check_not_oneself(person, by)
    _change(connection, person_id, role=role)
    end_sessions(connection, person_id, now)
    write_log(connection, now, by, "role changed", person.name, before=person.role, after=role)


def block(connection: Connection, person_id: int, reason: str, now: float, *, by: int | None = None) -> None:
    """Keep somebody out: their sessions end, and their answers count no more.

    Raises:
        InputError: it is oneself, the reason is empty or too long, or there is no such person.
    """
    person = get_person(connection, person_id)
    _check_not_oneself(person, by)
    reason = check_text("reason", reason, LONGEST_REASON)
    if not reason:
        raise InputError("reason: expected some words")
    if person.blocked:
        return
    _change(connection, person_id, blocked_at=now, block_reason=reason)
    end_sessions(connection, person_id, now)
    write_log(connection, now, by, "blocked", person.name, reason=reason)


def unblock(connection: Connection, person_id: int, now: float, *, by: int | None = None) -> None:
    """Let somebody in again, who needs a new link then; their answers count again.

    Raises:
        InputError: there is no such person.
    """
    person = get_person(connection, person_id)
    if not person.blocked:
        return
    _change(connection, person_id, blocked_at=None, block_reason=None)
    write_log(connection, now, by, "unblocked", person.name)


def end_sessions(connection: Connection, person_id: int, now: float) -> None:
    """End all sessions of a person, and take back the links to sign in that they have not used."""
    session, invitation = schema.session, schema.invitation
    open_sessions = (session.c.person_id == person_id) & session.c.ended_at.is_(None)
    connection.execute(update(session).where(open_sessions).values(ended_at=now))
    open_links = invitation.c.person_id == person_id, invitation.c.used_at.is_(None), invitation.c.revoked_at.is_(None)
    connection.execute(update(invitation).where(*open_links).values(revoked_at=now))


def _change(connection: Connection, person_id: int, **values: str | float | None) -> None:
    connection.execute(update(schema.person).where(schema.person.c.id == person_id).values(values))


@contextmanager
def _name_taken(connection: Connection, name: str) -> Iterator[None]:
    """Say so when the database refuses a name; what the transaction did before stays."""
    try:
        with connection.begin_nested():
            yield
    except IntegrityError:
        raise InputError(f"name: {name!r} is taken") from None


def _check_not_oneself(person: Person, by: int | None) -> None:
    if person.id == by:
        raise InputError("nobody blocks themselves or changes their own role: ask another admin")
