"""What the annotators' pages show of the database: questions in words and pixels, examples, results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from nearfar.annotation import schema
from nearfar.annotation.projects.project import Project
from nearfar.annotation.queue.tasks import Task
from nearfar.annotation.schema import LESSON_POSES
from nearfar.annotation.settings import Settings
from nearfar.annotation.web.texts import Texts

__all__ = ["Result", "Showing", "count_answers", "has_open_test", "last_result"]

Json = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """How an entry test went.

    Attributes:
        right: right answers.
        total: questions.
        needed: right answers that pass it.
    """

    right: int
    total: int
    needed: int


@dataclass(frozen=True)
class Showing:
    """Puts questions of a project into words and pixels.

    Attributes:
        project: the project.
        texts: the language.
    """

    project: Project
    texts: Texts

    def task(self, task: Task) -> Json:
        """A task as the page gets it. Questions about one pose share the address of its picture."""
        first: dict[int, int] = {}
        for question in task.questions:
            first.setdefault(question.pose_id, question.id)
        told: Json = {
            "id": task.id,
            "kind": task.kind,
            "a_left": task.a_left,
            "lease_expires_at": task.lease_expires_at,
            "done": task.done,
            "total": len(task.questions),
            "questions": [
                {
                    "id": question.id,
                    "image": f"/api/images/{first[question.pose_id]}",
                    "revision": question.revision,
                    "choice": question.choice,
                    **self.marks(question.pose_id, question.crop, question.joint_a, question.joint_b),
                }
                for question in task.questions
            ],
        }
        if task.kind == "test":
            told["needed"] = self.project.settings.right_to_pass(len(task.questions))
        return told

    def examples(self, connection: Connection) -> list[Json]:
        """The worked examples of the tutorial."""
        pair, pose = schema.pair, schema.pose
        query = (
            select(pair, pose.c.crop_x, pose.c.crop_y, pose.c.crop_width, pose.c.crop_height)
            .join_from(pair, pose)
            .where(schema.known, pair.c.purpose == "tutorial")
            .order_by(pair.c.id)
        )
        return [self._example(row) for row in connection.execute(query).mappings()]

    def _example(self, row: RowMapping) -> Json:
        crop = (row["crop_x"], row["crop_y"], row["crop_width"], row["crop_height"])
        return {
            "image": f"/api/examples/{row['id']}",
            "lesson": row["pose_id"] >= LESSON_POSES,
            "answer": {-1: "a", 0: "same", 1: "b"}[row["truth"]],
            "explanation": row["explanation"] or "",
            **self.marks(row["pose_id"], crop, row["joint_a"], row["joint_b"]),
        }

    def marks(self, pose_id: int, crop: tuple[int, int, int, int], joint_a: int, joint_b: int) -> Json:
        """Where A and B are in the crop (its own pixels), and what they are called."""
        x, y, width, height = crop
        subject, names = self.project.settings.subject, self.project.skeleton.joints
        told: Json = {"width": width, "height": height}
        for letter, joint in (("a", joint_a), ("b", joint_b)):
            at = self._keypoint(pose_id, joint)
            place = {"x": round(at[0] - x, 1), "y": round(at[1] - y, 1)}
            told[letter] = place | {"words": self.texts.joint(names[joint])}
        a, b = (self.texts.joint_of(names[joint], subject) for joint in (joint_a, joint_b))
        return told | {"ask": self.texts("question.ask", a=a, b=b)}

    def _keypoint(self, pose_id: int, joint: int) -> tuple[float, float]:
        lesson = pose_id >= LESSON_POSES
        poses = self.project.lessons if lesson else self.project.poses
        if poses is None or poses.keypoints is None:
            raise LookupError(f"pose {pose_id} has no keypoints")
        x, y = poses.keypoints[pose_id - LESSON_POSES if lesson else pose_id, joint].tolist()
        return x, y


def has_open_test(connection: Connection, person_id: int) -> bool:
    """Whether a person has begun an entry test that is not finished."""
    task = schema.task
    mine = task.c.person_id == person_id, task.c.kind == "test", task.c.state.in_(("leased", "expired"))
    return connection.execute(select(task.c.id).where(*mine).limit(1)).first() is not None


def last_result(connection: Connection, settings: Settings, person_id: int) -> Result | None:
    """How the last entry test of a person went; None where they finished none."""
    task, question = schema.task, schema.question
    done = task.c.person_id == person_id, task.c.kind == "test", task.c.state == "done"
    last = select(task.c.id).where(*done).order_by(task.c.id.desc()).limit(1).scalar_subquery()
    query = select(func.count(), func.coalesce(func.sum(question.c.correct), 0)).where(
        question.c.task_id == last, question.c.state != "dropped"
    )
    total, right = connection.execute(query).one()
    return Result(int(right), total, settings.right_to_pass(total)) if total else None


def count_answers(connection: Connection, person_id: int) -> int:
    """How many questions of real tasks a person has answered."""
    task, question = schema.task, schema.question
    query = (
        select(func.count())
        .select_from(question)
        .join(task)
        .where(question.c.person_id == person_id, question.c.state == "answered", task.c.kind == "work")
    )
    return connection.execute(query).scalar_one()
