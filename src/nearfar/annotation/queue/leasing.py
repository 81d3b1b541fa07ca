"""Tasks given out, taken back when their lease runs out, and resumed.

One transaction a request, but where the walk down the queue (`walking.py`) is long.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Engine, RowMapping, exists, func, insert, or_, select, update

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.queue.counting import lease_more, lock_pairs, lock_person
from nearfar.annotation.queue.tasks import Kind, Task, is_alive, load_task, renewed
from nearfar.annotation.queue.walking import Walk, not_asked
from nearfar.annotation.settings import Settings

__all__ = ["next_task", "release_expired", "release_tasks"]

_STAGES = {"practice": "practice", "test": "test", "work": "working"}


def next_task(engine: Engine, settings: Settings, person_id: int, kind: Kind, now: float) -> Task | None:
    """Give a person something to do: the task they have, the one that expired under them, or a new one.

    Args:
        engine: the database.
        settings: how the project asks.
        person_id: who asks.
        kind: work, practice or test.
        now: seconds since 1970.

    Returns:
        The task; None where there is nothing to do at present, the person is blocked, or is not at this stage.

    Raises:
        InputError: there is no such person.
    """
    walk: Walk | None = None
    released = False
    while True:

        def give(connection: Connection, walk: Walk | None = walk) -> Task | Walk | None:
            return _Lease(connection, settings, person_id, kind, now).give(walk and walk.copy())

        found = with_retries(engine, give)
        if not isinstance(found, Walk):
            return found
        walk = found
        if walk.ended:
            if released or not release_expired(engine, settings, now):
                return None
            walk, released = None, True  # what others left is free now


def release_expired(engine: Engine, settings: Settings, now: float, *, most: int = 1000) -> int:
    """Take back what people left unanswered when their leases ran out.

    Args:
        engine: the database.
        settings: how the project asks.
        now: seconds since 1970.
        most: tasks at a time.

    Returns:
        How many tasks were taken back.
    """
    task = schema.task
    late = or_(task.c.lease_expires_at <= now, task.c.lease_expires_at > now + settings.lease_minutes * 60)
    with engine.connect() as connection:
        query = select(task.c.id, task.c.person_id).where(task.c.state == "leased", late).limit(most)
        expired = connection.execute(query).all()

    def release(connection: Connection, task_id: int, person_id: int) -> bool:
        lock_person(connection, person_id)
        row = connection.execute(select(task).where(task.c.id == task_id)).mappings().one()
        if row["state"] != "leased" or is_alive(row["lease_expires_at"], settings, now):
            return False
        release_tasks(connection, [task_id])
        return True

    return sum(with_retries(engine, partial(release, task_id=id_, person_id=person)) for id_, person in expired)


def release_tasks(connection: Connection, task_ids: Collection[int]) -> None:
    """Take back what is unanswered of leased tasks of one locked person; they can be resumed."""
    question, task = schema.question, schema.task
    open_ones = (question.c.task_id.in_(task_ids), question.c.state == "leased")
    pairs = list(connection.execute(select(question.c.pair_id).where(*open_ones)).scalars())
    lock_pairs(connection, pairs)
    connection.execute(update(question).where(*open_ones).values(state="released"))
    lease_more(connection, pairs, -1)
    connection.execute(update(task).where(task.c.id.in_(task_ids)).values(state="expired"))


@dataclass
class _Lease:
    """One transaction that looks for something to do for one person."""

    connection: Connection
    settings: Settings
    person_id: int
    kind: Kind
    now: float

    def give(self, walk: Walk | None) -> Task | Walk | None:
        """The task; None where there is none; or where the walk down the queue got to without finding anything."""
        person = lock_person(self.connection, self.person_id)
        if person["blocked_at"] is not None or person["stage"] != _STAGES[self.kind]:
            return None
        task = schema.task
        query = select(task).where(
            task.c.person_id == self.person_id, task.c.state.in_(("leased", "expired")), task.c.kind == self.kind
        )
        for row in self.connection.execute(query.order_by(task.c.id)).mappings().all():
            if self._resume(row):
                return load_task(self.connection, row["id"])
        return self._work(walk or Walk.of(person)) if self.kind == "work" else self._lesson(person)

    @property
    def _until(self) -> float:
        return self.now + self.settings.lease_minutes * 60

    def _resume(self, task: RowMapping) -> bool:
        """Go on with a task, without what is not needed any more; whether anything is left of it."""
        question, table = schema.question, schema.task
        here = table.c.id == task["id"]
        if task["state"] == "leased":
            if is_alive(task["lease_expires_at"], self.settings, self.now):
                if (until := renewed(task["lease_expires_at"], self.settings, self.now)) is not None:
                    self.connection.execute(update(table).where(here).values(lease_expires_at=until))
                return True
            release_tasks(self.connection, [task["id"]])
        query = select(question.c.id, question.c.pair_id).where(
            question.c.task_id == task["id"], question.c.state == "released"
        )
        left = self.connection.execute(query).all()
        pairs = lock_pairs(self.connection, [pair_id for _, pair_id in left])
        known = {id_ for id_, pair in pairs.items() if pair.purpose != "work" and pair.closed is None}
        wanted = [(id_, pair) for id_, pair in left if pair in known or pairs[pair].need > 0]
        if self.kind == "work" and all(pairs[pair].purpose != "work" for _, pair in wanted):
            wanted = []  # nobody is kept for gold alone
        dropped = {id_ for id_, _ in left} - {id_ for id_, _ in wanted}
        self._set_state(dropped, "dropped")
        if not wanted:
            answered = exists().where(question.c.task_id == task["id"], question.c.state == "answered")
            done = self.connection.execute(select(answered)).scalar()
            ended = {"state": "done" if done else "dropped", "finished_at": self.now}
            self.connection.execute(update(table).where(here).values(ended))
            return False
        self._set_state([id_ for id_, _ in wanted], "leased")
        lease_more(self.connection, [pair for _, pair in wanted], 1)
        values = {"state": "leased", "leased_at": self.now, "lease_expires_at": self._until}
        self.connection.execute(update(table).where(here).values(values))
        return True

    def _set_state(self, questions: Collection[int], state: str) -> None:
        if questions:
            table = schema.question
            self.connection.execute(update(table).where(table.c.id.in_(questions)).values(state=state))

    def _lesson(self, person: RowMapping) -> Task | None:
        """A task of practice, or of the entry test; of the test, questions that were asked least."""
        test = self.kind == "test"
        count = self.settings.test_questions if test else self.settings.practice_questions
        attempt = person["test_attempts"] + 1 if test else 0
        pair, question = schema.pair, schema.question
        mine = (question.c.pair_id == pair.c.id) & (question.c.person_id == self.person_id)
        asked = select(func.count()).where(mine).scalar_subquery()
        again = exists().where(mine, question.c.attempt == attempt)
        query = (
            select(pair.c.id, pair.c.pose_id, asked.label("asked"))
            .where(schema.known, pair.c.purpose == self.kind, pair.c.closed.is_(None), ~again)
            .order_by(pair.c.id)
        )
        rows = list(self.connection.execute(query).mappings())
        random.shuffle(rows)
        chosen = sorted(rows, key=lambda row: row["asked"])[:count]
        if not chosen:
            return None
        random.shuffle(chosen)
        ids = [row["id"] for row in chosen]
        lock_pairs(self.connection, ids)
        return self._store(ids, attempt)

    def _work(self, walk: Walk) -> Task | Walk:
        """A new task from the queue, with gold; or the walk that found nothing."""
        images, place = self.settings.images_per_task, walk.place
        runs: dict[int, list[int]] = {}
        missed: list[int] = []
        while len(runs) < images and (poses := walk.poses(self.connection, images - len(runs))):
            got = self._claim(poses, skip_locked=True)
            missed += [pose for pose in poses if pose not in got]
            runs.update(got)
        if not runs and missed:  # others hold all that was found, for a moment: wait for them
            runs = self._claim(missed[:images], skip_locked=False)
        if walk.place != place:
            priority, shuffle, pair = walk.place or (None, None, None)
            table, values = schema.person, {"queue_priority": priority, "queue_shuffle": shuffle, "queue_pair": pair}
            self.connection.execute(update(table).where(table.c.id == self.person_id).values(values))
        if not runs:
            return walk
        questions = sum(map(len, runs.values()))
        share = self.settings.gold_share
        gold = self._gold(questions * share / (1 - share))
        apart = [pose for pose in gold if pose not in runs]
        order = list(runs)
        for pose in apart:
            order.insert(random.randint(0, len(order)), pose)
        ids = []
        for pose in order:
            run = runs.get(pose, []) + gold.get(pose, [])
            random.shuffle(run)
            ids += run
        return self._store(ids, 0)

    def _claim(self, poses: Sequence[int], *, skip_locked: bool) -> dict[int, list[int]]:
        """Lock what there is to ask of some poses: pairs by pose, at most `pairs_per_image` each."""
        pair = schema.pair
        query = (
            select(pair.c.id, pair.c.pose_id, pair.c.priority)
            .where(schema.queued, pair.c.pose_id.in_(poses), not_asked(self.person_id))
            .order_by(pair.c.id)
            .with_for_update(key_share=True, skip_locked=skip_locked, of=pair)
        )
        free = defaultdict(list)
        for row in sorted(self.connection.execute(query).mappings(), key=lambda row: -row["priority"]):
            free[row["pose_id"]].append(row["id"])
        return {pose: free[pose][: self.settings.pairs_per_image] for pose in poses if pose in free}

    def _gold(self, wanted: float) -> dict[int, list[int]]:
        """Lock pairs with known answers, by pose, from a random place on: so many in the mean.

        All that is known of an image is asked at once, as with other images: a question alone on its image would give
        itself away.
        """
        pair, most = schema.pair, self.settings.pairs_per_image
        count = int(wanted) + most if wanted else 0
        start = random.randrange(1 << 31)
        chosen: list[tuple[int, int]] = []
        for part in (pair.c.shuffle >= start, pair.c.shuffle < start):
            if len(chosen) < count:
                query = (
                    select(pair.c.pose_id, pair.c.id)
                    .where(
                        schema.known, pair.c.purpose == "gold", pair.c.closed.is_(None), part, not_asked(self.person_id)
                    )
                    .order_by(pair.c.shuffle, pair.c.id)
                    .limit(count - len(chosen))
                    .with_for_update(key_share=True, skip_locked=True, of=pair)
                )
                chosen += self.connection.execute(query)
        found = defaultdict(list)
        for pose, id_ in chosen:
            found[pose].append(id_)
        taken = {}
        for pose, ids in found.items():
            some = random.sample(ids, min(len(ids), most))
            if random.random() * len(some) < wanted:
                taken[pose] = some
            wanted -= len(some)
            if wanted <= 0:
                break
        return taken

    def _store(self, ids: list[int], attempt: int) -> Task:
        """Write a task that asks these locked pairs, in this order."""
        task, question = schema.task, schema.question
        last = select(task.c.a_left).where(task.c.person_id == self.person_id).order_by(task.c.id.desc()).limit(1)
        a_left = self.connection.execute(last).scalar()
        values = {
            "person_id": self.person_id,
            "kind": self.kind,
            "a_left": random.random() < 0.5 if a_left is None else not a_left,
            "leased_at": self.now,
            "lease_expires_at": self._until,
            "state": "leased",
        }
        task_id = self.connection.execute(insert(task).values(values).returning(task.c.id)).scalar_one()
        mine = (question.c.person_id == self.person_id) & (question.c.attempt == attempt)
        query = select(question.c.pair_id, question.c.id).where(mine, question.c.pair_id.in_(ids))
        again = dict(self.connection.execute(query).all())  # dropped earlier: the other way round would lie
        for position, pair_id in enumerate(ids):
            if pair_id in again:
                change = {"task_id": task_id, "position": position, "state": "leased"}
                self.connection.execute(update(question).where(question.c.id == again[pair_id]).values(change))
        swapped = self._sides([id_ for id_ in ids if id_ not in again])
        rows = [
            {
                "task_id": task_id, "person_id": self.person_id, "pair_id": id_, "position": position,
                "swapped": swapped[id_], "attempt": attempt, "state": "leased",
            }
            for position, id_ in enumerate(ids)
            if id_ not in again
        ]  # fmt: skip
        if rows:
            self.connection.execute(insert(question), rows)
        lease_more(self.connection, ids, 1)
        return load_task(self.connection, task_id)

    def _sides(self, ids: list[int]) -> dict[int, bool]:
        """Whether each pair is asked the other way round: as it was less often; else to balance this task."""
        question, pair = schema.question, schema.pair
        query = (
            select(question.c.pair_id, question.c.swapped, func.count())
            .join_from(question, pair)
            .where(question.c.pair_id.in_(ids), pair.c.purpose == "work")
            .group_by(question.c.pair_id, question.c.swapped)
        )
        surplus: dict[int, int] = defaultdict(int)
        for pair_id, was_swapped, count in self.connection.execute(query):
            surplus[pair_id] += count if was_swapped else -count
        sides: dict[int, bool] = {}
        balance = 0
        for id_ in sorted(ids, key=lambda id_: -abs(surplus[id_])):
            lean = surplus[id_] or balance or random.choice((-1, 1))
            sides[id_] = lean < 0
            balance += 1 if sides[id_] else -1
        return sides
