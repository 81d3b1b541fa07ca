"""What admins decide about single pairs, against the queue's own rules."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, insert, select

from nearfar.annotation import schema
from nearfar.annotation.audit import write_log
from nearfar.annotation.people import check_text
from nearfar.annotation.queue.counting import PairState, lock_pairs, store_pairs
from nearfar.errors import InputError

__all__ = ["ask_more", "close", "make_gold", "reopen"]

MOST_WANTED = 1000
LONGEST_EXPLANATION = 500


def ask_more(connection: Connection, pair_id: int, more: int, now: float, *, by: int | None = None) -> None:
    """Ask for so many more answers to a pair of work, which is opened for that.

    Raises:
        InputError: not 1 to 100, no such pair of work, or more than 1000 answers in all.
    """
    if not 1 <= more <= 100:
        raise InputError(f"answers: expected 1 to 100 more, got {more}")
    pair = _lock(connection, pair_id)
    wanted = max(pair.wanted, pair.answered) + more
    if wanted > MOST_WANTED:
        raise InputError(f"pair {pair_id}: {wanted} answers are more than {MOST_WANTED}")
    store_pairs(connection, [replace(pair, wanted=wanted, least=wanted, closed=None)])
    write_log(connection, now, by, "asked more", f"pair {pair_id}", more=more)


def close(connection: Connection, pair_id: int, now: float, *, by: int | None = None) -> None:
    """Ask a pair no more, whatever its risk; answers that are on their way still count.

    Raises:
        InputError: no such pair.
    """
    pair = _lock(connection, pair_id, ("work", "gold"))
    store_pairs(connection, [replace(pair, closed="admin")])
    write_log(connection, now, by, "pair closed", f"pair {pair_id}")


def reopen(connection: Connection, pair_id: int, now: float, *, by: int | None = None) -> None:
    """Open a pair again: for one more answer at least, or, with a known answer, among the hidden questions.

    Raises:
        InputError: no such pair.
    """
    pair = _lock(connection, pair_id, ("work", "gold"))
    least = pair.answered + 1 if pair.purpose == "work" else 0
    store_pairs(connection, [replace(pair, wanted=max(pair.wanted, least), least=max(pair.least, least), closed=None)])
    write_log(connection, now, by, "pair reopened", f"pair {pair_id}")


def make_gold(
    connection: Connection, pair_id: int, truth: int, explanation: str, now: float, *, by: int | None = None
) -> int:
    """Hide a pair among the questions of others, as one whose answer is known; it is not asked as work any more.

    Args:
        connection: a transaction.
        pair_id: a pair of work.
        truth: -1 its joint_a is nearer, 1 its joint_b, 0 the same depth.
        explanation: why, for admins.
        now: seconds since 1970.
        by: who decides.

    Returns:
        Number of the new pair with purpose "gold"; what was answered before stays with the pair of work.

    Raises:
        InputError: no such pair of work, no such truth, too long an explanation, or it was made gold before.
    """
    if truth not in (-1, 0, 1):
        raise InputError(f"truth: expected -1, 0 or 1, got {truth}")
    explanation = check_text("explanation", explanation, LONGEST_EXPLANATION)
    pair = _lock(connection, pair_id)
    table = schema.pair
    row = connection.execute(select(table).where(table.c.id == pair_id)).mappings().one()
    place = {name: row[name] for name in ("pose_id", "joint_a", "joint_b")}
    gold = select(table.c.id).filter_by(**place, purpose="gold")
    if connection.execute(gold).first() is not None:
        raise InputError(f"pair {pair_id}: was made gold before")
    values = {
        **place,
        "purpose": "gold",
        "truth": truth,
        "explanation": explanation or None,
        "shuffle": row["shuffle"],
        "wanted": 0,
        "need": 0,
    }
    number: int = connection.execute(insert(table).values(values).returning(table.c.id)).scalar_one()
    store_pairs(connection, [replace(pair, closed="admin")])
    write_log(connection, now, by, "made gold", f"pair {pair_id}", gold=number, truth=truth)
    return number


def _lock(connection: Connection, pair_id: int, purposes: tuple[schema.Purpose, ...] = ("work",)) -> PairState:
    pair = lock_pairs(connection, [pair_id]).get(pair_id)
    if pair is None or pair.purpose not in purposes:
        raise InputError(f"pair {pair_id}: there is none of that number that this can be done with")
    return pair
