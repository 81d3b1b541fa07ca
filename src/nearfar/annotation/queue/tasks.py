"""Tasks and questions, as the page that asks them needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select

from nearfar.annotation import schema
from nearfar.annotation.settings import Settings

__all__ = ["Kind", "Question", "Task", "is_alive", "load_task", "renewed"]

Kind = Literal["work", "practice", "test"]


@dataclass(frozen=True)
class Question:
    """Which of two joints is nearer? It does not tell whether its answer is known.

    Attributes:
        id: its number.
        pair_id, pose_id: what it asks about.
        image: path below the images folder, or below lessons/ where `lesson`.
        lesson: see there.
        crop: x, y, width, height in pixels of the image.
        joint_a, joint_b: the joints marked A and B.
        revision: of the last answer that was received; 0 before the first.
        choice: of the last answer; None where there is none, or it was undone.
    """

    id: int
    pair_id: int
    pose_id: int
    image: str
    lesson: bool
    crop: tuple[int, int, int, int]
    joint_a: int
    joint_b: int
    revision: int
    choice: schema.Choice | None


@dataclass(frozen=True)
class Task:
    """What one person is asked at a time.

    Attributes:
        id: its number.
        person_id: whose it is.
        kind: work, practice or test.
        a_left: the button of A is the left one.
        lease_expires_at: seconds since 1970; what is unanswered then is free for others.
        questions: in order, those that are answered too.
    """

    id: int
    person_id: int
    kind: Kind
    a_left: bool
    lease_expires_at: float
    questions: tuple[Question, ...]

    @property
    def done(self) -> int:
        """How many questions are answered."""
        return sum(question.choice is not None for question in self.questions)


def is_alive(leased_until: float, settings: Settings, now: float) -> bool:
    """Whether a lease holds: it ends in the future, and not later than one that begins now (the clock was set back)."""
    return now < leased_until <= now + settings.lease_minutes * 60


def renewed(leased_until: float, settings: Settings, now: float) -> float | None:
    """The new end of the lease of somebody at work: a whole lease from now; None while more than half of it is left."""
    whole = settings.lease_minutes * 60
    return None if whole / 2 <= leased_until - now <= whole else now + whole


def load_task(connection: Connection, task_id: int) -> Task:
    """Read a task."""
    task, question, pair, pose = schema.task, schema.question, schema.pair, schema.pose
    head = connection.execute(select(task).where(task.c.id == task_id)).mappings().one()
    query = (
        select(
            question.c.id, question.c.pair_id, question.c.swapped, question.c.revision, question.c.choice,
            pair.c.pose_id, pair.c.joint_a, pair.c.joint_b,
            pose.c.image, pose.c.lesson, pose.c.crop_x, pose.c.crop_y, pose.c.crop_width, pose.c.crop_height,
        )
        .join_from(question, pair)
        .join(pose)
        .where(question.c.task_id == task_id, question.c.state != "dropped")
        .order_by(question.c.position, question.c.id)
    )  # fmt: skip
    questions = []
    for row in connection.execute(query).mappings():
        joints = (row["joint_a"], row["joint_b"])
        a, b = joints[::-1] if row["swapped"] else joints
        crop = (row["crop_x"], row["crop_y"], row["crop_width"], row["crop_height"])
        questions.append(
            Question(
                row["id"], row["pair_id"], row["pose_id"], row["image"], row["lesson"], crop, a, b,
                row["revision"], row["choice"],
            )
        )  # fmt: skip
    return Task(task_id, head["person_id"], head["kind"], head["a_left"], head["lease_expires_at"], tuple(questions))
