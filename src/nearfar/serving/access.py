"""Who may ask: lasting tokens of programs, codes for one use in a link, and the sessions of pages.

All are secrets of which the database keeps the hash only (`nearfar.web.secrets`). Jobs belong to a name: that of the
token they were sent with, or of the token or code that a page signed in with.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from nearfar.errors import InputError
from nearfar.serving.store import Store
from nearfar.web.secrets import hash_token, new_token

__all__ = ["Token", "create_token", "list_tokens", "new_code", "owner_of", "revoke", "start_session"]

OPERATOR = "operator"
"""Who comes with a link that the server printed."""

CODE_SECONDS = 600.0
SESSION_SECONDS = 12 * 3600.0
SEEN_SECONDS = 60.0
"""How exactly the database knows when a token was used last: each request would be a write otherwise."""


@dataclass(frozen=True)
class Token:
    """A lasting token, without its secret.

    Attributes:
        name: of the client that it was made for.
        created_at: when, in seconds since 1970.
        seen_at: when it was used last, to a minute; None for never.
    """

    name: str
    created_at: float
    seen_at: float | None


def create_token(store: Store, name: str, now: float) -> str:
    """Make a lasting token; its secret is returned, and kept nowhere.

    Raises:
        InputError: a name of other signs than letters, digits and ``.-_``, or one that has a token already.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name) or name == OPERATOR:
        raise InputError(f"token: expected a name of 1 to 64 letters, digits, . - _ (not {OPERATOR!r}), got {name!r}")
    secret = new_token()
    try:
        with store.transaction() as database:
            _insert(database, name, "token", secret, now, None)
    except sqlite3.IntegrityError:
        raise InputError(f"token: {name!r} has one already; revoke it first") from None
    return secret


def list_tokens(store: Store) -> list[Token]:
    """The lasting tokens, by name."""
    with store.reading() as database:
        rows = database.execute("SELECT name, created_at, seen_at FROM token WHERE kind = 'token' ORDER BY name")
        return [Token(*row) for row in rows]


def revoke(store: Store, name: str) -> None:
    """End a token, and the sessions that were started with it.

    Raises:
        InputError: there is no such token.
    """
    with store.transaction() as database:
        if not database.execute("DELETE FROM token WHERE kind = 'token' AND name = ?", (name,)).rowcount:
            raise InputError(f"token: there is none of {name!r}")
        database.execute("DELETE FROM token WHERE name = ?", (name,))


def new_code(store: Store, now: float) -> str:
    """A code that starts one session of the operator, within ten minutes."""
    code = new_token()
    with store.transaction() as database:
        _insert(database, OPERATOR, "code", code, now, now + CODE_SECONDS)
    return code


def start_session(store: Store, secret: str, now: float) -> tuple[str, float] | None:
    """Start the session of a page with a code, which is used up, or with a token.

    Returns:
        The session's secret and when it ends; None where the code or token is not one that lives.
    """
    session, ends = new_token(), now + SESSION_SECONDS
    with store.transaction() as database:
        row = database.execute(
            "SELECT id, name, kind FROM token WHERE hash = ? AND kind IN ('token', 'code') AND "
            "(expires_at IS NULL OR expires_at > ?)",
            (hash_token(secret), now),
        ).fetchone()
        if row is None:
            return None
        if row["kind"] == "code":
            database.execute("DELETE FROM token WHERE id = ?", (row["id"],))
        else:
            database.execute("UPDATE token SET seen_at = ? WHERE id = ?", (now, row["id"]))
        _insert(database, row["name"], "session", session, now, ends)
    return session, ends


def end_session(store: Store, secret: str) -> None:
    """Sign a page out. A lasting token stays."""
    with store.transaction() as database:
        database.execute("DELETE FROM token WHERE hash = ? AND kind = 'session'", (hash_token(secret),))


def owner_of(store: Store, secret: str, now: float) -> str | None:
    """Whose token or session this is; None where it is nobody's, or expired."""
    hashed = hash_token(secret)
    with store.reading() as database:
        row = database.execute(
            "SELECT id, name, seen_at FROM token WHERE hash = ? AND kind IN ('token', 'session') AND "
            "(expires_at IS NULL OR expires_at > ?)",
            (hashed, now),
        ).fetchone()
    if row is None:
        return None
    if row["seen_at"] is None or abs(now - row["seen_at"]) > SEEN_SECONDS:
        with store.transaction() as database:
            database.execute("UPDATE token SET seen_at = ? WHERE id = ?", (now, row["id"]))
    return str(row["name"])


def remove_expired(store: Store, now: float) -> None:
    """Forget codes and sessions that ended."""
    with store.transaction() as database:
        database.execute("DELETE FROM token WHERE expires_at <= ?", (now,))


def _insert(
    database: sqlite3.Connection, name: str, kind: str, secret: str, now: float, expires_at: float | None
) -> None:
    database.execute(
        "INSERT INTO token (name, kind, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        (name, kind, hash_token(secret), now, expires_at),
    )
