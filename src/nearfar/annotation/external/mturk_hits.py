"""HITs: made (without doubles, however often that is interrupted), counted, extended, ended.

A HIT is an invitation to come: which questions a worker gets is decided when they come. So all HITs of a project are
alike, and each assignment is one task of the queue.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, func, insert, select, update
from tqdm import tqdm

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.external.mturk import AlreadyDoneError, Cost, Turk, cost_of
from nearfar.annotation.external.mturk_plan import DAY, HitPlan
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError

__all__ = [
    "HitStatus", "create_hits", "expire_hits", "extend_cost", "extend_hits", "hit_rows", "hit_statuses", "hits_needed",
    "planned_hits",
]  # fmt: skip

HOUR = 3600.0

LONG_AGO = datetime(2015, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class HitStatus:
    """How a HIT stands.

    Attributes:
        hit_id: at Mechanical Turk.
        state: Assignable, Unassignable (all taken), Reviewable (ended), Reviewing, or Disposed.
        assignments: workers that may do it.
        open: nobody has taken yet.
        working: workers who are at it.
        submitted, approved, rejected: assignments handed in.
        hours_left: until nobody can take it any more.
        cost: of what was approved.
    """

    hit_id: str
    state: str
    assignments: int
    open: int
    working: int
    submitted: int
    approved: int
    rejected: int
    hours_left: float
    cost: Cost


def hits_needed(engine: Engine, settings: Settings, assignments: int) -> int:
    """HITs of so many assignments that ask all answers that are wanted at present."""
    pair = schema.pair
    with engine.connect() as connection:
        wanted = connection.execute(select(func.sum(pair.c.need)).where(pair.c.purpose == "work")).scalar() or 0
    a_task = settings.images_per_task * settings.pairs_per_image * (1 - settings.gold_share)
    return math.ceil(wanted / a_task / assignments)


def hit_rows(engine: Engine, sandbox: bool, only: Iterable[str] = ()) -> list[RowMapping]:
    """The HITs that exist at Mechanical Turk as far as we know, oldest first.

    Args:
        engine: the project's database.
        sandbox: those of the sandbox, or the real ones.
        only: ids of the HITs that are meant; none for all.

    Raises:
        InputError: `only` names a HIT that is not one of ours.
    """
    table = schema.hit
    query = select(table).where(table.c.sandbox == sandbox, table.c.hit_id.is_not(None)).order_by(table.c.id)
    with engine.connect() as connection:
        rows = list(connection.execute(query).mappings())
    wanted = set(only)
    if unknown := sorted(wanted - {row["hit_id"] for row in rows}):
        raise InputError(f"HIT {unknown[0]}: not one of this project's{' in the sandbox' if sandbox else ''}")
    return [row for row in rows if not wanted or row["hit_id"] in wanted]


def planned_hits(engine: Engine, sandbox: bool) -> list[RowMapping]:
    """HITs that were asked for and not confirmed: what an interrupted `create_hits` left."""
    table = schema.hit
    query = select(table).where(table.c.sandbox == sandbox, table.c.state == "planned").order_by(table.c.id)
    with engine.connect() as connection:
        return list(connection.execute(query).mappings())


def create_hits(turk: Turk, engine: Engine, plan: HitPlan, now: float, *, progress: bool = False) -> int:
    """Make HITs. Where an earlier call was interrupted, its HITs are made first, and no others.

    Each HIT's request token is stored before the service is asked; a HIT that the service made without our hearing of
    it is found by the token, which is its annotation, too.

    Args:
        turk: Mechanical Turk.
        engine: the project's database.
        plan: what to make; of interrupted ones, only the page's address and height, and how long they are found.
        now: seconds since 1970.
        progress: show a progress bar.

    Returns:
        How many exist that were not known before.

    Raises:
        InputError: the service refuses; what was made until then is kept.
    """
    known: dict[str, str] = {}
    rows = planned_hits(engine, turk.sandbox)
    if rows:
        known = _hits_by_token(turk, {row["request_token"] for row in rows})
    else:
        hit_type = turk.call("create_hit_type", **plan.hit_type())["HITTypeId"]
        _store_plan(engine, plan, hit_type, turk.sandbox, now)
        rows = planned_hits(engine, turk.sandbox)
    for row in tqdm(rows, "HITs", disable=not progress):
        token = row["request_token"]
        hit_id = known.get(token) or _create_hit(turk, plan, row)
        _confirm(engine, token, hit_id, expires_at=now + plan.days * DAY)
    return len(rows)


def hit_statuses(turk: Turk, engine: Engine, now: float, *, progress: bool = False) -> list[HitStatus]:
    """Ask Mechanical Turk how all HITs stand."""
    rows = hit_rows(engine, turk.sandbox)
    return [_status(turk, row, now) for row in tqdm(rows, "HITs", disable=not progress)]


def extend_cost(turk: Turk, rows: Sequence[RowMapping], assignments: int) -> tuple[list[tuple[str, int, int]], Cost]:
    """What it takes until each HIT has so many assignments.

    Args:
        turk: Mechanical Turk.
        rows: the HITs.
        assignments: that each is to have.

    Returns:
        HITs with fewer: (id, assignments now, reward in cents), and what the further ones cost.

    Raises:
        InputError: the fees would change: HITs of fewer than 10 assignments cannot get 10 or more.
    """
    fewer = []
    cost = Cost(0, 0)
    for row in rows:
        present = turk.call("get_hit", HITId=row["hit_id"])["HIT"]["MaxAssignments"]
        if present >= assignments:
            continue
        if present < 10 <= assignments:
            raise InputError(f"HIT {row['hit_id']}: has {present} assignments; from fewer than 10 it can get 9 at most")
        fewer.append((row["hit_id"], present, row["reward_cents"]))
        cost += cost_of(assignments - present, row["reward_cents"], of_hit=assignments)
    return fewer, cost


def extend_hits(
    turk: Turk, engine: Engine, fewer: Iterable[tuple[str, int, int]], assignments: int, *, progress: bool = False
) -> int:
    """Let more workers do HITs, up to `assignments` each: calling it again changes nothing.

    Args:
        turk: Mechanical Turk.
        engine: the project's database.
        fewer: of `extend_cost`.
        assignments: that each is to have.
        progress: show a progress bar.

    Returns:
        How many assignments were added.
    """
    added = 0
    for hit_id, present, _ in tqdm(list(fewer), "HITs", disable=not progress):
        try:
            turk.call(
                "create_additional_assignments_for_hit",
                HITId=hit_id,
                NumberOfAdditionalAssignments=assignments - present,
                UniqueRequestToken=f"{hit_id}-{present}-{assignments}"[-64:],
            )
            added += assignments - present
        except AlreadyDoneError:
            pass
        _change(engine, hit_id, assignments=assignments)
    return added


def expire_hits(
    turk: Turk, engine: Engine, rows: Iterable[RowMapping], until: float | None = None, *, progress: bool = False
) -> None:
    """End HITs, or have them found for longer. Who has accepted one may finish it.

    Args:
        turk: Mechanical Turk.
        engine: the project's database.
        rows: the HITs.
        until: seconds since 1970; None for at once.
        progress: show a progress bar.
    """
    when = LONG_AGO if until is None else datetime.fromtimestamp(until, UTC)
    for row in tqdm(list(rows), "HITs", disable=not progress):
        with suppress(AlreadyDoneError):  # the same change a moment ago
            turk.call("update_expiration_for_hit", HITId=row["hit_id"], ExpireAt=when)
        if until is None:
            _change(engine, row["hit_id"], state="expired")
        else:
            _change(engine, row["hit_id"], state="created", expires_at=until)


def _store_plan(engine: Engine, plan: HitPlan, hit_type: str, sandbox: bool, now: float) -> None:
    row = {
        "hit_type_id": hit_type,
        "sandbox": sandbox,
        "title": plan.title,
        "reward_cents": plan.reward_cents,
        "assignments": plan.assignments,
        "created_at": now,
        "expires_at": now + plan.days * DAY,
        "state": "planned",
    }
    rows = [{**row, "request_token": secrets.token_hex(24)} for _ in range(plan.hits)]
    with_retries(engine, lambda connection: connection.execute(insert(schema.hit), rows))


def _create_hit(turk: Turk, plan: HitPlan, row: RowMapping) -> str:
    token = row["request_token"]
    try:
        answer = turk.call(
            "create_hit_with_hit_type",
            HITTypeId=row["hit_type_id"],
            MaxAssignments=row["assignments"],
            LifetimeInSeconds=round(plan.days * DAY),
            Question=plan.question(token),
            RequesterAnnotation=token,
            UniqueRequestToken=token,
        )
    except AlreadyDoneError:
        found = _hits_by_token(turk, {token})
        if token not in found:
            raise InputError(
                "Mechanical Turk made a HIT that it does not list yet: wait a minute, then call create again"
            ) from None
        return found[token]
    hit_id: str = answer["HIT"]["HITId"]
    return hit_id


def _hits_by_token(turk: Turk, tokens: set[str]) -> dict[str, str]:
    """Which of our HITs exist, by the token that is their annotation. Request tokens are forgotten after a day."""
    found: dict[str, str] = {}
    for hit in turk.pages("list_hits", "HITs"):
        if (token := hit.get("RequesterAnnotation", "")) in tokens:
            found[token] = hit["HITId"]
            if len(found) == len(tokens):
                break
    return found


def _confirm(engine: Engine, token: str, hit_id: str, expires_at: float) -> None:
    values = {"hit_id": hit_id, "state": "created", "expires_at": expires_at}
    change = update(schema.hit).where(schema.hit.c.request_token == token).values(values)
    with_retries(engine, lambda connection: connection.execute(change))


def _change(engine: Engine, hit_id: str, **values: str | float) -> None:
    change = update(schema.hit).where(schema.hit.c.hit_id == hit_id).values(values)
    with_retries(engine, lambda connection: connection.execute(change))


def _status(turk: Turk, row: RowMapping, now: float) -> HitStatus:
    hit = turk.call("get_hit", HITId=row["hit_id"])["HIT"]
    counts = dict.fromkeys(("Submitted", "Approved", "Rejected"), 0)
    for assignment in assignments_of(turk, row["hit_id"]):
        counts[assignment["AssignmentStatus"]] += 1
    return HitStatus(
        row["hit_id"],
        hit["HITStatus"],
        hit["MaxAssignments"],
        hit.get("NumberOfAssignmentsAvailable", 0),
        hit.get("NumberOfAssignmentsPending", 0),
        counts["Submitted"],
        counts["Approved"],
        counts["Rejected"],
        max(0.0, (hit["Expiration"].timestamp() - now) / HOUR),
        cost_of(counts["Approved"], row["reward_cents"], of_hit=hit["MaxAssignments"]),
    )


def assignments_of(turk: Turk, hit_id: str, *states: str) -> Iterator[dict[str, Any]]:
    """The assignments of a HIT that were handed in, in these states (Submitted, Approved, Rejected); none for all."""
    wanted = {"AssignmentStatuses": list(states)} if states else {}
    return turk.pages("list_assignments_for_hit", "Assignments", HITId=hit_id, **wanted)
