"""A small project with images, and a real server of it that can go down and come up again."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image, ImageDraw
from sqlalchemy import select, update
from viewing_samples import SKELETON, standing

from nearfar.annotation import invitations, schema, sessions
from nearfar.annotation.database import with_retries
from nearfar.annotation.projects.project import Project, init_project
from nearfar.annotation.schema import Stage
from nearfar.annotation.settings import Settings
from nearfar.annotation.web.app import create_app
from nearfar.poses import Category, PoseSet
from nearfar.web.server import server_config

SIZE = (300, 420)
ANSWERS = {-1: "a", 0: "same", 1: "b"}


def make_project(
    folder: Path,
    images: int = 12,
    *,
    practice: int = 0,
    test: int = 0,
    tutorial: int = 0,
    size: tuple[int, int] = SIZE,
    **settings: Any,
) -> Project:
    """A project of stick figures: the last images are for the lessons, one pair each."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    rng = np.random.default_rng(0)
    keypoints = np.empty((images, SKELETON.num_joints, 2), np.float32)
    for i in range(images):
        x, y = standing()[:, :2].T * (size[1] / SIZE[1])
        keypoints[i] = np.stack(
            [size[0] / 2 + (0.12 + 0.02 * rng.random()) * x, 0.45 * size[1] + 0.2 * y], axis=1
        ) + rng.normal(0, 3, (len(x), 2))
        picture = Image.new("RGB", size, (200 + i, 210, 220))
        draw = ImageDraw.Draw(picture)
        for parent, child in SKELETON.limb_joints.tolist():
            draw.line([tuple(keypoints[i, parent]), tuple(keypoints[i, child])], fill=(60, 70, 90), width=9)
        picture.save(photos / f"{i:03d}.png")
    poses = PoseSet(
        skeleton=SKELETON,
        keypoints=keypoints,
        scores=np.ones(keypoints.shape[:2], np.float32),
        sequence=Category.of([f"{i:03d}.png" for i in range(images)]),
    )
    defaults: dict[str, Any] = {
        "answer_lock_ms": 0, "reading_seconds": 0, "practice_questions": practice, "test_questions": test, "gold_share": 0.0,
    }  # fmt: skip
    project = init_project(
        folder / "project", images=photos, keypoints=poses, pairs="random:5", lessons=False,
        settings=Settings(**(defaults | settings)), title="Stick figures",
    )  # fmt: skip
    _make_lessons(project, {"tutorial": tutorial, "practice": practice, "test": 2 * test})
    return project


def _make_lessons(project: Project, wanted: dict[str, int]) -> None:
    purposes = [purpose for purpose, count in wanted.items() for _ in range(count)]
    pair = schema.pair
    with project.engine.begin() as connection:
        ids = list(connection.execute(select(pair.c.id).order_by(pair.c.id.desc()).limit(len(purposes))).scalars())
        for number, (purpose, id_) in enumerate(zip(purposes, ids, strict=True)):
            values = {
                "purpose": purpose,
                "truth": (-1, 1, 0)[number % 3],
                "wanted": 0,
                "need": 0,
                "explanation": f"Because of {purpose} {number}.",
            }
            connection.execute(update(pair).where(pair.c.id == id_).values(values))


def set_stage(project: Project, name: str, stage: Stage) -> None:
    with project.engine.begin() as connection:
        connection.execute(update(schema.person).where(schema.person.c.name == name).values(stage=stage))


def join(project: Project, name: str, role: schema.Role = "annotator", stage: Stage = "working") -> sessions.Session:
    """A signed-in person."""

    def work(connection: Any) -> sessions.Session:
        link = invitations.invite(connection, name, role, time.time())
        session = invitations.sign_in(connection, link.token, time.time())
        assert session is not None
        return session

    session = with_retries(project.engine, work)
    set_stage(project, name, stage)
    return session


def stored_answers(project: Project, name: str) -> list[tuple[int, int, str]]:
    """(question, revision, choice) of all that a person sent."""
    answer, question, person = schema.answer, schema.question, schema.person
    query = (
        select(answer.c.question_id, answer.c.revision, answer.c.choice)
        .join_from(answer, question)
        .join(person, person.c.id == question.c.person_id)
        .where(person.c.name == name)
        .order_by(answer.c.question_id, answer.c.revision)
    )
    with project.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def final_choices(project: Project, name: str) -> dict[int, str]:
    """What a person says to each question that is answered."""
    said: dict[int, str] = {}
    for question, _, choice in stored_answers(project, name):
        said[question] = choice
    return {question: choice for question, choice in said.items() if choice != "undone"}


def right_choice(project: Project, question_id: int) -> str:
    question, pair = schema.question, schema.pair
    query = select(pair.c.truth, question.c.swapped).join_from(question, pair).where(question.c.id == question_id)
    with project.engine.connect() as connection:
        truth, swapped = connection.execute(query).one()
    return ANSWERS[-truth if swapped else truth]


class Server:
    """uvicorn in a thread, always on the same port."""

    def __init__(self, project: Project) -> None:
        self.project = project
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        config = server_config(create_app(self.project), "127.0.0.1", self.port, log_level="warning")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until = time.monotonic() + 20
        while not self._server.started:
            if time.monotonic() > until or not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(20)
        self._server = None


@contextlib.contextmanager
def serving(project: Project) -> Iterator[Server]:
    server = Server(project)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        project.close()
