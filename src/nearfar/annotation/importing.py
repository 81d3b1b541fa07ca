"""Answers and gold from elsewhere into a project: whole parts at a time, and never twice."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, insert, select
from tqdm import tqdm

from nearfar.annotation import schema
from nearfar.annotation.audit import write_log
from nearfar.annotation.database import with_retries
from nearfar.annotation.people import create_person, find_person
from nearfar.annotation.projects.lesson_plan import explained
from nearfar.annotation.projects.pairs import Pairs, gold_pairs, load_labels_on
from nearfar.annotation.projects.project import Project
from nearfar.annotation.projects.storing import insert_pairs
from nearfar.annotation.queue.counting import in_parts, lock_pairs, lock_person, store_pairs
from nearfar.annotation.queue.stopping import settle
from nearfar.annotation.queue.tallies import retally
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.skeleton import Skeleton
from nearfar.tables.labels_jsonl import is_labels_jsonl, iter_labels_jsonl

__all__ = ["GoldImport", "Import", "import_answers", "import_gold"]

Array = npt.NDArray[Any]

ROWS = 20_000
"""Answers stored in one transaction."""

_NAMESPACE = uuid.UUID("5b1c3b5e-98a5-4d0c-9a5a-6e656172666d")
_SIGNS = {-1: "a", 1: "b"}


@dataclass(frozen=True)
class Import:
    """What became of answers.

    Attributes:
        stored: new ones.
        already: that were stored before, or whose person had answered the pair.
        without_image: about poses that the project has no image of.
        people: who were added.
    """

    stored: int
    already: int
    without_image: int
    people: int


@dataclass(frozen=True)
class GoldImport:
    """What became of known answers.

    Attributes:
        stored: new pairs with known answers.
        already: that were known.
        closed: pairs of work that are asked no more, as their answer is known now.
        left_out: unsure ones, and those of joints that cannot be asked about.
    """

    stored: int
    already: int
    closed: int
    left_out: int


def import_answers(
    project: Project, path: str | Path | RelativeLabels, *, now: float | None = None, progress: bool = False
) -> Import:
    """Store answers of other tools or projects as those of people of their annotators' names.

    An answer is known again by its `source_id`, or else by its annotator and pair: importing twice stores once. Pairs
    that were not to be asked become pairs of work. JSON lines are read in parts, other forms as a whole.

    Args:
        project: an opened project.
        path: a file that `load_labels` reads, with annotators; or labels.
        now: when they count as received, seconds since 1970.
        progress: show a progress bar.

    Raises:
        InputError: no annotators, merged labels, or labels of other joints or poses.
    """
    now = time.time() if now is None else now
    with project.engine.connect() as connection:
        ids = connection.execute(select(schema.pose.c.id).where(schema.pose.c.lesson.is_(False))).scalars().all()
    asked = np.zeros(len(project.poses), bool)
    asked[ids] = True
    total = Import(0, 0, 0, 0)
    people: set[int] = set()
    for part in tqdm(_parts(path, project.skeleton), desc="importing", unit="part", leave=False, disable=not progress):
        labels = _checked(part, project)
        here = labels.select(asked[labels.pose])
        storing = _Storing(project, here, now)
        done, who = with_retries(project.engine, storing.run)
        people |= who
        total = Import(
            total.stored + done.stored,
            total.already + done.already,
            total.without_image + len(labels) - len(here),
            total.people + done.people,
        )

    def finish(connection: Connection, some: Sequence[int]) -> None:
        for person_id in some:
            lock_person(connection, person_id)
            retally(connection, project.settings, person_id)
        write_log(connection, now, None, "answers imported", stored=total.stored)

    with_retries(project.engine, lambda connection: finish(connection, sorted(people)))
    return total


def _parts(path: str | Path | RelativeLabels, skeleton: Skeleton) -> Iterator[RelativeLabels]:
    """Labels, some at a time."""
    whole: Iterable[RelativeLabels]
    if isinstance(path, RelativeLabels):
        whole = [path]
    elif is_labels_jsonl(path):
        whole = iter_labels_jsonl(path, rows=ROWS)
    else:
        whole = [load_labels_on(skeleton, path)]
    for labels in whole:
        for at in range(0, len(labels), ROWS):
            yield labels.select(slice(at, at + ROWS))


def _checked(labels: RelativeLabels, project: Project) -> RelativeLabels:
    if labels.kind != "answers":
        raise InputError("import: these labels are merged; expected people's answers (or --gold for known answers)")
    if labels.annotator is None:
        raise InputError("import: these answers do not say whose they are (annotator)")
    labels = labels.remap(project.skeleton)
    labels.check_poses(project.poses)
    return labels


class _Storing:
    """One transaction that stores some answers."""

    def __init__(self, project: Project, labels: RelativeLabels, now: float) -> None:
        self.project, self.labels, self.now = project, labels, now

    def run(self, connection: Connection) -> tuple[Import, set[int]]:
        labels = self.labels
        if not len(labels) or labels.annotator is None:
            return Import(0, 0, 0, 0), set()
        keys = _keys(labels)
        stored = self._stored_keys(connection, keys)
        fresh = [row for row, key in enumerate(keys) if key not in stored]
        names = sorted({str(labels.annotator[row]) for row in fresh})
        people, added = self._people(connection, names)
        for person_id in sorted(people.values()):
            lock_person(connection, person_id)
        pair = np.sort(labels.pair, axis=1)
        places = [(int(labels.pose[row]), int(pair[row, 0]), int(pair[row, 1])) for row in fresh]
        pairs = self._pairs(connection, sorted(set(places)))
        states = lock_pairs(connection, pairs.values())
        answered = self._answered(connection, people.values(), pairs.values())
        questions: list[dict[str, Any]] = []
        answers: list[dict[str, Any]] = []
        tasks: dict[int, int] = {}
        for row, place in zip(fresh, places, strict=True):
            person_id, pair_id = people[str(labels.annotator[row])], pairs[place]
            if (person_id, pair_id) in answered:
                continue
            answered.add((person_id, pair_id))
            if person_id not in tasks:
                tasks[person_id] = self._task(connection, person_id)
            unsure = labels.unsure is not None and bool(labels.unsure[row])
            choice = "unsure" if unsure else _SIGNS.get(int(labels.relation[row]), "same")
            seconds = 0.0 if labels.response_time is None else float(np.nan_to_num(labels.response_time[row]))
            questions.append(
                {
                    "task_id": tasks[person_id], "person_id": person_id, "pair_id": pair_id, "position": len(questions),
                    "swapped": bool(labels.pair[row, 0] > labels.pair[row, 1]), "attempt": 0, "state": "answered",
                    "revision": 1, "choice": choice, "correct": None,
                }
            )  # fmt: skip
            spent = min(round(seconds * 1000), 1 << 30)
            answers.append(
                {
                    "key": keys[row], "revision": 1, "choice": choice, "response_ms": spent,
                    "answered_at": None, "received_at": self.now,
                }
            )  # fmt: skip
        if questions:
            table = schema.question
            added_ids = connection.execute(
                insert(table).returning(table.c.id, sort_by_parameter_order=True), questions
            ).scalars()
            connection.execute(
                insert(schema.answer),
                [{**one, "question_id": id_} for one, id_ in zip(answers, added_ids, strict=True)],
            )
            blocked = self._blocked(connection, tasks)
            more = Counter(one["pair_id"] for one in questions if one["person_id"] not in blocked)
            counted = {id_: replace(states[id_], answered=states[id_].answered + more[id_]) for id_ in more}
            store_pairs(connection, settle(connection, self.project.settings, counted).values())
        return Import(len(questions), len(labels) - len(questions), 0, added), set(tasks)

    def _stored_keys(self, connection: Connection, keys: list[str]) -> set[str]:
        column = schema.answer.c.key
        found: set[str] = set()
        for at in range(0, len(keys), 2000):
            found |= set(connection.execute(select(column).where(column.in_(keys[at : at + 2000]))).scalars())
        return found

    def _people(self, connection: Connection, names: Sequence[str]) -> tuple[dict[str, int], int]:
        people, added = {}, 0
        for name in names:
            person = find_person(connection, name)
            if person is None:
                person = create_person(connection, name, "annotator", self.now)
                added += 1
            people[name] = person.id
        return people, added

    def _pairs(self, connection: Connection, places: Sequence[tuple[int, int, int]]) -> dict[tuple[int, int, int], int]:
        """Numbers of pairs of work, which are made where they are missing."""
        found = _find_pairs(connection, places, ("work",))
        known = {place: id_ for place, (id_, _) in found.items()}
        if missing := [place for place in places if place not in known]:
            pose, a, b = np.array(missing).T
            rng = np.random.default_rng(int(self.now))
            more = Pairs(pose, np.stack([a, b], axis=1), np.zeros(len(missing)))
            insert_pairs(connection, more, self.project.settings, rng)
            known |= {place: id_ for place, (id_, _) in _find_pairs(connection, missing, ("work",)).items()}
        return known

    def _answered(self, connection: Connection, people: Iterable[int], pairs: Iterable[int]) -> set[tuple[int, int]]:
        """Who was asked which of the pairs."""
        question = schema.question.c
        wanted = set(people)
        asked: set[tuple[int, int]] = set()
        for some in in_parts(sorted(set(pairs))):
            query = select(question.person_id, question.pair_id).where(question.pair_id.in_(some))
            asked |= {(person, pair) for person, pair in connection.execute(query) if person in wanted}
        return asked

    def _task(self, connection: Connection, person_id: int) -> int:
        values = {
            "person_id": person_id, "kind": "work", "a_left": True, "leased_at": self.now,
            "lease_expires_at": self.now, "state": "done", "finished_at": self.now,
        }  # fmt: skip
        number: int = connection.execute(insert(schema.task).values(values).returning(schema.task.c.id)).scalar_one()
        return number

    def _blocked(self, connection: Connection, people: Iterable[int]) -> set[int]:
        person = schema.person.c
        query = select(person.id).where(person.id.in_(list(people)), person.blocked_at.is_not(None))
        return set(connection.execute(query).scalars())


def _find_pairs(
    connection: Connection, places: Sequence[tuple[int, int, int]], purposes: Sequence[str]
) -> dict[tuple[int, int, int], tuple[int, str | None]]:
    """Number, and why it is closed, of the pairs of (pose, joint, joint) that are there."""
    c = schema.pair.c
    wanted, found = set(places), {}
    for some in in_parts(sorted({pose for pose, _, _ in places})):
        query = select(c.pose_id, c.joint_a, c.joint_b, c.id, c.closed).where(
            c.pose_id.in_(some), c.purpose.in_(purposes)
        )
        for pose, a, b, id_, closed in connection.execute(query):
            if (pose, a, b) in wanted:
                found[pose, a, b] = (id_, closed)
    return found


def _keys(labels: RelativeLabels) -> list[str]:
    """A key for each answer, always the same; a `source_id` that is a key already stays it."""
    keys = []
    for row in range(len(labels)):
        said = "" if labels.source_id is None else str(labels.source_id[row])
        if not said:
            a, b = sorted(labels.skeleton.joints[joint] for joint in labels.pair[row])
            who = "" if labels.annotator is None else str(labels.annotator[row])
            said = json.dumps([who, int(labels.pose[row]), a, b])
        try:
            keys.append(str(uuid.UUID(said)))
        except ValueError:
            keys.append(str(uuid.uuid5(_NAMESPACE, said)))
    return keys


def import_gold(
    project: Project, path: str | Path | RelativeLabels, *, now: float | None = None, seed: int = 0
) -> GoldImport:
    """Hide pairs with known answers among the questions; what is asked of them as work is asked no more.

    Args:
        project: an opened project.
        path: a file that `load_labels` reads; or labels.
        now: seconds since 1970.
        seed: of the order in which they are asked.

    Raises:
        InputError: labels of other joints or poses, or that contradict each other.
    """
    now = time.time() if now is None else now
    labels = path if isinstance(path, RelativeLabels) else load_labels_on(project.skeleton, path)
    gold = gold_pairs(labels, project.poses, askable(project))
    places = [(pose, a, b) for pose, (a, b) in zip(gold.pose.tolist(), gold.joints.tolist(), strict=True)]

    def store(connection: Connection) -> GoldImport:
        known = _find_pairs(connection, places, ("gold", "practice", "test", "tutorial"))
        new = gold.select(np.array([place not in known for place in places], bool))
        asked = _find_pairs(connection, places, ("work",))
        open_ones = [id_ for place, (id_, closed) in asked.items() if closed is None and place not in known]
        states = lock_pairs(connection, open_ones)
        store_pairs(connection, [replace(state, closed="admin") for state in states.values()])
        some = explained(new, project.skeleton, project.settings)
        insert_pairs(connection, some, project.settings, np.random.default_rng(seed), purpose="gold")
        done = GoldImport(len(new), len(gold) - len(new), len(states), len(labels) - len(gold))
        write_log(connection, now, None, "gold imported", stored=done.stored)
        return done

    return with_retries(project.engine, store)


def askable(project: Project) -> Array:
    """(N, J) joints of the project's poses that can be asked about: found, and within the crop that is shown."""
    c = schema.pose.c
    usable = np.zeros((len(project.poses), project.skeleton.num_joints), bool)
    if project.poses.keypoints is None:
        return usable
    with project.engine.connect() as connection:
        query = select(c.id, c.crop_x, c.crop_y, c.crop_width, c.crop_height).where(c.lesson.is_(False))
        rows = np.array([tuple(row) for row in connection.execute(query)], np.int64).reshape(-1, 5)
    if not len(rows):
        return usable
    points = np.asarray(project.poses.keypoints)[rows[:, 0]]
    with np.errstate(invalid="ignore"):
        inside = ((points >= rows[:, None, 1:3]) & (points < rows[:, None, 1:3] + rows[:, None, 3:5])).all(axis=-1)
    if project.poses.scores is not None:
        inside &= np.asarray(project.poses.scores)[rows[:, 0]] > 0
    usable[rows[:, 0]] = inside
    return usable
