from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from annotation_photos import SKELETON, project_of

from nearfar import RelativeLabels
from nearfar.annotation import schema
from nearfar.annotation.exchange import export_answers, iter_answers
from nearfar.annotation.importing import askable, import_answers, import_gold
from nearfar.annotation.projects.applying import apply_settings
from nearfar.annotation.projects.project import Project
from nearfar.annotation.queue import Event, next_task, record
from nearfar.annotation.queue.blocking import block_person
from nearfar.annotation.queue.counting import recount
from nearfar.annotation.settings import Settings
from nearfar.datasets import load_labels
from nearfar.errors import InputError

SETTINGS = Settings(practice_questions=0, test_questions=0, gold_share=0, answers=2, images_per_task=2)
CHOICES = ("a", "b", "same", "unsure")


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Any:
    with project_of(tmp_path, 4, settings=SETTINGS, database=database_url) as project:
        yield project


def answer_everything(project: Project, people: int = 2) -> list[tuple[int, int, int, str, str]]:
    """People answer all they are asked: (person, pair asked as A, B, choice, key) of each answer."""
    said = []
    with project.engine.begin() as connection:
        for number in range(1, people + 1):
            values = {"name": f"Ada {number}", "role": "annotator", "stage": "working", "created_at": 0}
            connection.execute(sa.insert(schema.person).values(values))
    rng = np.random.default_rng(0)
    now = time.time()
    for person in range(1, people + 1):
        while (task := next_task(project.engine, project.settings, person, "work", now)) is not None:
            for question in task.questions:
                choice = str(rng.choice(CHOICES))
                first, second = str(uuid.uuid4()), str(uuid.uuid4())
                events = [Event(first, question.id, 1, "same", 1000), Event(second, question.id, 2, choice, 1234)]
                record(project.engine, project.settings, person, events, now)
                said.append((person, question.pose_id, question.joint_a, question.joint_b, choice, second))
    return said


def told(labels: RelativeLabels) -> set[tuple]:
    """What labels say, whatever their order."""
    sign = {(-1, False): "a", (1, False): "b", (0, False): "same", (0, True): "unsure"}
    unsure = np.zeros(len(labels), bool) if labels.unsure is None else labels.unsure
    rows = zip(
        labels.annotator.tolist(),
        labels.pose.tolist(),
        labels.pair.tolist(),
        labels.relation.tolist(),
        unsure.tolist(),
        strict=True,
    )
    return {(who, pose, a, b, sign[relation, not_sure]) for who, pose, (a, b), relation, not_sure in rows}


@pytest.mark.parametrize(
    ("name", "form"), [("a.parquet", None), ("a.csv", None), ("a.jsonl", None), ("a.csv", "crowd-kit")]
)
def test_every_form_says_what_people_said(project: Project, tmp_path: Path, name: str, form: Any) -> None:
    said = answer_everything(project)
    assert export_answers(project, tmp_path / name, form=form, rows=7) == len(said) == 40
    labels = load_labels(tmp_path / name, poses=project.poses, **({"skeleton": "h36m17"} if form else {}))
    assert told(labels) == {(f"person-{who}", pose, a, b, choice) for who, pose, a, b, choice, _ in said}
    if form is None:
        assert set(labels.source_id.tolist()) == {key for *_, key in said}
        assert labels.response_time == pytest.approx(1.234)
        assert set(labels.status.tolist()) == {"good"}
        assert len(set(labels.task.tolist())) > 1


def test_parquet_has_more(project: Project, tmp_path: Path) -> None:
    answer_everything(project)
    block_person(project.engine, project.settings, 2, "for fun", time.time())
    export_answers(project, tmp_path / "a.parquet", names=True)
    table = pq.read_table(tmp_path / "a.parquet").to_pydict()
    assert set(table["annotator"]) == {"Ada 1", "Ada 2"}
    assert set(zip(table["annotator"], table["status"], strict=True)) == {("Ada 1", "good"), ("Ada 2", "blocked")}
    assert set(table["left"]) == {"a", "b"}
    assert set(table["purpose"]) == {"work"}
    assert set(table["revision"]) == {2}
    assert set(table["platform"]) == {"invited"}


def test_what_was_taken_back_is_left_out(project: Project, tmp_path: Path) -> None:
    with project.engine.begin() as connection:
        values = {"name": "Ada", "role": "annotator", "stage": "working", "created_at": 0}
        connection.execute(sa.insert(schema.person).values(values))
    task = next_task(project.engine, project.settings, 1, "work", 100)
    assert task is not None
    first, second = task.questions[:2]
    events = [Event(str(uuid.uuid4()), first.id, 1, "a", 900), Event(str(uuid.uuid4()), first.id, 2, "undone", 0)]
    record(project.engine, project.settings, 1, [*events, Event(str(uuid.uuid4()), second.id, 1, "b", 900)], 101)
    assert export_answers(project, tmp_path / "a.parquet") == 1


def test_nothing_is_written_where_there_is_nothing(project: Project, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        with pytest.raises(InputError, match="no answers yet"):
            export_answers(project, tmp_path / name)
    with pytest.raises(InputError, match=r"expected a name ending in \.parquet"):
        export_answers(project, tmp_path / "a.txt")
    assert sorted(tmp_path.iterdir()) == before


def test_gold_is_exported_with_its_truth(project: Project) -> None:
    with project.engine.begin() as connection:
        table = schema.pair
        some = list(connection.execute(sa.select(table.c.id).limit(3)).scalars())
        connection.execute(sa.update(table).where(table.c.id.in_(some)).values(purpose="gold", truth=1, need=0))
        values = {"name": "Ada", "role": "annotator", "stage": "working", "created_at": 0}
        connection.execute(sa.insert(schema.person).values(values))
        task = {"person_id": 1, "kind": "work", "a_left": True, "leased_at": 0, "lease_expires_at": 9, "state": "done"}
        connection.execute(sa.insert(schema.task).values(task))
        for number, pair in enumerate(some):
            row = {"task_id": 1, "person_id": 1, "pair_id": pair, "position": number, "swapped": number == 1,
                   "state": "answered", "revision": 1, "choice": "a"}  # fmt: skip
            connection.execute(sa.insert(schema.question).values(row))
            answer = {"key": str(uuid.uuid4()), "question_id": number + 1, "revision": 1, "choice": "a",
                      "response_ms": 5, "received_at": 1.0}  # fmt: skip
            connection.execute(sa.insert(schema.answer).values(answer))
    (part,) = iter_answers(project)
    assert part.extra["truth"].tolist() == [1, -1, 1]  # of the second, A is the pair's higher joint
    assert (part.labels.relation == -1).all()
    assert (part.labels.pair[1, 0] > part.labels.pair[1, 1]).all()


def answers_of(names: list[str], poses: list[int], relations: list[int], **columns: Any) -> RelativeLabels:
    pair = np.tile([[9, 3]], (len(poses), 1))
    return RelativeLabels(
        SKELETON, np.array(poses), pair, np.array(relations, np.int8), annotator=np.array(names), **columns
    )


def counts(project: Project, table: sa.Table) -> int:
    with project.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_importing_twice_stores_once(project: Project, tmp_path: Path) -> None:
    labels = answers_of(["Eve", "Eve", "Bob"], [0, 1, 1], [-1, 1, 0], response_time=np.array([1.5, np.nan, 2]))
    done = import_answers(project, labels)
    assert (done.stored, done.already, done.people) == (3, 0, 2)
    again = import_answers(project, labels)
    assert (again.stored, again.already, again.people) == (0, 3, 0)
    assert counts(project, schema.answer) == counts(project, schema.question) == 3
    assert recount(project.engine, project.settings) == 0
    export_answers(project, tmp_path / "a.parquet", names=True)
    back = load_labels(tmp_path / "a.parquet")
    assert told(back) == told(labels)
    assert sorted(back.response_time.tolist()) == [0, 1.5, 2]


def test_answers_move_from_project_to_project(project: Project, tmp_path: Path) -> None:
    said = answer_everything(project)
    export_answers(project, tmp_path / "a.jsonl", names=True)
    own = import_answers(project, tmp_path / "a.jsonl")
    assert (own.stored, own.already) == (0, len(said))
    (tmp_path / "other").mkdir()
    with project_of(tmp_path / "other", 3, settings=SETTINGS) as other:  # without the fourth image
        other_poses = [row for row in said if row[1] < 3]
        with pytest.raises(InputError, match="the pose set has rows"):
            import_answers(other, tmp_path / "a.jsonl")
        labels = load_labels(tmp_path / "a.jsonl")
        done = import_answers(other, labels.select(labels.pose < 3))
        assert (done.stored, done.people) == (len(other_poses), 2)
        export_answers(other, tmp_path / "b.parquet", names=True)
        assert set(load_labels(tmp_path / "b.parquet").source_id.tolist()) == {row[5] for row in other_poses}
        assert recount(other.engine, other.settings) == 0


def test_imported_answers_count(project: Project) -> None:
    pair = schema.pair.c
    with project.engine.connect() as connection:
        row = connection.execute(sa.select(pair.pose_id, pair.joint_a, pair.joint_b, pair.id).limit(1)).one()
    both = np.array([[row.joint_b, row.joint_a]] * 2)
    labels = RelativeLabels(
        SKELETON, np.array([row.pose_id] * 2), both, np.array([1, 1], np.int8), annotator=np.array(["Eve", "Bob"])
    )
    import_answers(project, labels)
    with project.engine.connect() as connection:
        state = connection.execute(sa.select(pair.answered, pair.need, pair.closed).where(pair.id == row.id)).one()
    assert tuple(state) == (2, 0, "answers")


def test_what_cannot_be_imported_is_refused(project: Project) -> None:
    labels = answers_of(["Eve"], [0], [1])
    with pytest.raises(InputError, match="do not say whose"):
        import_answers(project, RelativeLabels(SKELETON, labels.pose, labels.pair, labels.relation))
    with pytest.raises(InputError, match="merged"):
        import_answers(project, RelativeLabels(SKELETON, labels.pose, labels.pair, labels.relation, kind="merged"))
    with pytest.raises(InputError, match="rows 0"):
        import_answers(project, answers_of(["Eve"], [99], [1]))
    assert counts(project, schema.answer) == 0


def test_gold_can_be_added(project: Project) -> None:
    pair = schema.pair.c
    with project.engine.connect() as connection:
        asked = connection.execute(sa.select(pair.pose_id, pair.joint_a, pair.joint_b).limit(2)).all()
    fresh = next((a, b) for a in range(17) for b in range(a + 1, 17) if (0, a, b) not in {tuple(row) for row in asked})
    places = [*((row.pose_id, row.joint_b, row.joint_a) for row in asked), (0, *fresh)]
    labels = RelativeLabels(
        SKELETON, np.array([p for p, _, _ in places]), np.array([[a, b] for _, a, b in places]),
        np.array([-1, 0, 1], np.int8), kind="merged",
    )  # fmt: skip
    done = import_gold(project, labels)
    assert (done.stored, done.already, done.left_out) == (3, 0, 0)
    assert done.closed >= 2
    assert import_gold(project, labels).stored == 0
    with project.engine.connect() as connection:
        query = sa.select(pair.pose_id, pair.joint_a, pair.joint_b, pair.truth, pair.explanation).where(
            pair.purpose == "gold"
        )
        rows = connection.execute(query.order_by(pair.id)).all()
        still = connection.execute(
            sa.select(sa.func.count()).where(pair.purpose == "work", pair.closed.is_(None), pair.need == 2)
        ).scalar_one()
    assert {tuple(row[:4]) for row in rows} == {(*asked[0], 1), (*asked[1], 0), (0, *fresh, 1)}
    assert all(row.explanation for row in rows)
    assert still == 20 - done.closed


def test_askable_are_the_joints_that_a_project_asks_about(project: Project) -> None:
    assert askable(project).all()


def test_more_answers_can_be_wanted_later(project: Project) -> None:
    from dataclasses import replace

    answer_everything(project)
    pair = schema.pair.c
    more = replace(project.settings, answers=3)
    assert apply_settings(project.engine, more) == 20
    assert apply_settings(project.engine, more) == 0
    with project.engine.connect() as connection:
        found = {
            tuple(row) for row in connection.execute(sa.select(pair.wanted, pair.answered, pair.need, pair.closed))
        }
    assert found == {(3, 2, 1, None)}
