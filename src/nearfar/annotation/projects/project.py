"""A project: a folder with poses, settings, lessons and a database."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate, transaction
from nearfar.annotation.projects.images import ImageFolder, image_sizes, match_images
from nearfar.annotation.projects.lesson_plan import explained, plan_lessons
from nearfar.annotation.projects.lessons import render_lessons
from nearfar.annotation.projects.pairs import Pairs, draw_pairs, gold_pairs, load_labels_on, read_pairs, without
from nearfar.annotation.projects.placing import place_poses
from nearfar.annotation.projects.project_file import (
    NAME,
    ProjectFile,
    read_project_file,
    skeleton_toml,
    write_project_file,
)
from nearfar.annotation.projects.storing import insert_lessons, insert_pairs, insert_poses
from nearfar.annotation.settings import Settings
from nearfar.datasets import load_poses
from nearfar.errors import InputError
from nearfar.files import write_text
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["Project", "init_project", "open_project"]

Array = npt.NDArray[Any]

DATABASE = "sqlite:///annotation.db"
VARIABLE = "NEARFAR_DATABASE"


@dataclass(frozen=True, eq=False)
class Project:
    """An opened project; a context manager that closes the database.

    Attributes:
        folder: of the project.
        images: folder of the images.
        skeleton: of its poses.
        settings: how it asks.
        engine: its database, with tables of the newest form.
        title: shown to people.
    """

    folder: Path
    images: Path
    skeleton: Skeleton
    settings: Settings
    engine: Engine
    title: str

    @cached_property
    def poses(self) -> PoseSet:
        """The poses that are asked about; a pose's id is its row."""
        return PoseSet.load(self.folder / "poses.npz")

    @cached_property
    def lessons(self) -> PoseSet | None:
        """The poses of rendered lessons, with known joints: row = id − LESSON_POSES; None where there are none."""
        path = self.folder / "lessons" / "poses.npz"
        return PoseSet.load(path) if path.is_file() else None

    def close(self) -> None:
        """Close the connections to the database."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_project(folder: str | Path, database: str | None = None) -> Project:
    """Open a project, and bring its tables to the newest form.

    Args:
        folder: the project's.
        database: its address; by default what the environment's NEARFAR_DATABASE says, and else ``project.toml``.

    Raises:
        InputError: no project there, a mistake in its files, or its database cannot be reached or is not its own.
    """
    folder = Path(folder).resolve()
    file = read_project_file(folder)
    address = database or os.environ.get(VARIABLE) or file.database
    if address == file.database and _parsed(address).password and (folder / NAME).stat().st_mode & 0o077:
        raise InputError(
            f"{folder / NAME}: others can read the database's password in it: chmod 600, or better, {VARIABLE}"
        )
    skeleton = get_skeleton(folder / "skeleton.toml")
    images = Path(folder, file.images)
    place = _absolute(address, folder)
    _check_there(place)
    engine = connect(place)
    try:
        migrate(engine)
        with engine.connect() as connection:
            if connection.execute(sa.select(schema.pose.c.id).limit(1)).first() is None:
                shown = engine.url.render_as_string(hide_password=True)
                raise InputError(f"{folder}: the database {shown} holds no project: is it another one?")
    except BaseException:
        engine.dispose()
        raise
    return Project(folder, images, skeleton, file.settings, engine, file.title)


def init_project(
    folder: str | Path,
    *,
    images: str | Path,
    keypoints: str | Path | PoseSet,
    skeleton: str | Path | Skeleton | None = None,
    pairs: str | Path = "random:5",
    gold: str | Path | None = None,
    database: str | None = None,
    settings: Settings | None = None,
    title: str | None = None,
    lifter: str | Path = "default",
    lessons: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Project:
    """Make a project, whole or not at all, and open it.

    Row i of its ``poses.npz`` is row i of the keypoints. Asked are only joints that were found (score above 0) within
    their image.

    Args:
        folder: a new one.
        images: the folder of the images; they stay where they are.
        keypoints: poses, or a file that `load_poses` reads (a file that does not name its skeleton is taken to be of
            `skeleton`).
        skeleton: skeleton that is asked about; by default the keypoints' own.
        pairs: "random:M" or "informative:M" pairs of each pose, or a file of pairs (`read_pairs`).
        gold: labels with known answers: hidden among the questions, and for lessons where they are many enough.
        database: address of a database for the project alone; by default SQLite in its folder.
        settings: how to ask.
        title: shown to people; by default the folder's name.
        lifter: weights whose uncertainty chooses "informative" pairs.
        lessons: draw pictures for tutorial, practice and test, as far as gold does not give them (`lessons.py`).
        seed: of everything random.
        progress: show progress bars.

    Raises:
        InputError: the folder exists, images or keypoints are wrong or do not belong together, or the database cannot
            be used.
    """
    folder, images = Path(folder), Path(images)
    _check_new(folder)
    settings = settings or Settings()
    address = database or os.environ.get(VARIABLE) or DATABASE
    parsed = _parsed(address)
    listing = ImageFolder.read(images)
    poses = _load_keypoints(keypoints, skeleton)
    names, image = match_images(poses, listing)
    sizes = image_sizes(images, names, progress=progress)
    poses, usable, boxes = place_poses(poses, names, image, sizes)
    rng = np.random.default_rng(seed)
    known = None if gold is None else gold_pairs(load_labels_on(poses.skeleton, gold), poses, usable)
    given, drawn = plan_lessons(known, poses.skeleton, settings, rng) if lessons else ({}, ())
    if known is not None and not given:
        given = {"gold": known}
    asked = _choose(str(pairs), poses, usable, image, (listing, names), lifter, rng, progress)
    if known is not None:
        asked = without(asked, known, poses.skeleton)
    if not len(asked):
        raise InputError("pairs: none to ask")
    file = ProjectFile(
        title or folder.resolve().name, str(images.resolve()), parsed.set(password=None).render_as_string(), settings
    )
    with _new_folder(folder) as temporary:
        poses.save(temporary / "poses.npz")
        write_text(temporary / "skeleton.toml", skeleton_toml(poses.skeleton))
        write_project_file(temporary, file)
        (temporary / "cache").mkdir()
        engine = connect(_absolute(address, temporary))
        try:
            migrate(engine)
            with engine.connect() as connection:
                _check_empty(connection)
            rendered = None
            if drawn:
                place = temporary / "lessons"
                rendered = render_lessons(place, poses.skeleton, settings, purposes=drawn, progress=progress)
            with transaction(engine) as connection:
                _check_empty(connection)
                insert_poses(connection, np.flatnonzero(image >= 0), names, image, boxes)
                insert_pairs(connection, asked, settings, rng, progress=progress)
                for purpose, some in given.items():
                    insert_pairs(connection, explained(some, poses.skeleton, settings), settings, rng, purpose=purpose)
                if rendered is not None:
                    insert_lessons(connection, rendered)
                if connection.dialect.name == "postgresql":  # it would count rows a minute later by itself
                    connection.exec_driver_sql("ANALYZE pose, pair")
        finally:
            engine.dispose()  # SQLite's write-ahead log is folded into its file before that moves
    return open_project(folder, database)


def _load_keypoints(keypoints: str | Path | PoseSet, skeleton: str | Path | Skeleton | None) -> PoseSet:
    """Keypoints on the project's skeleton."""
    if isinstance(keypoints, PoseSet):
        poses = keypoints
    else:
        try:
            poses = load_poses(keypoints)
        except InputError as error:
            if skeleton is None or "skeleton" not in str(error):
                raise
            poses = load_poses(keypoints, skeleton=skeleton)
    if poses.keypoints is None:
        raise InputError(f"{keypoints}: has no 2D keypoints")
    if not len(poses):
        raise InputError("keypoints: no poses")
    poses = dataclasses.replace(poses, joints=None, root_position=None, frame="camera")
    return poses if skeleton is None else poses.remap(skeleton)


def _choose(
    pairs: str,
    poses: PoseSet,
    usable: Array,
    image: Array,
    images: tuple[ImageFolder, tuple[str, ...]],
    lifter: str | Path,
    rng: np.random.Generator,
    progress: bool,
) -> Pairs:
    kind, _, count = pairs.partition(":")
    if kind in ("random", "informative"):
        if not count.isdecimal() or not 1 <= int(count) <= 10_000:
            raise InputError(f"pairs: expected {kind}:M, with M pairs of each pose, got {pairs!r}")
        if kind == "random":
            return draw_pairs(usable, int(count), poses.skeleton, rng)
        from nearfar.annotation.projects.informative import LifterUncertainty, choose_informative

        scorer = LifterUncertainty.load(str(lifter))
        return choose_informative(scorer, poses, usable, int(count), rng, progress=progress)
    listing, names = images
    number = {name: i for i, name in enumerate(names)}

    def find(said: str) -> int | None:
        name = listing.find(said)
        return None if name is None else number.get(name)

    if not Path(pairs).exists():
        raise InputError(f"pairs: expected random:M, informative:M, or a file of pairs; there is no file {pairs!r}")
    return read_pairs(pairs, poses, usable, image, find)


def _check_empty(connection: Connection) -> None:
    if connection.execute(sa.select(schema.pose.c.id).limit(1)).first() is not None:
        shown = connection.engine.url.render_as_string(hide_password=True)
        raise InputError(f"database {shown}: holds a project already; each needs a database of its own")


def _check_there(address: str) -> None:
    """SQLite would make a new file, and hide that the project's own is gone."""
    url = _parsed(address)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        raise InputError(f"{url.database}: the project's database is not there")


def _check_new(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder}: is there already; a project needs a new folder")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its name when the block ends well, and vanishes when it does not."""
    folder = folder.resolve()
    temporary = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.partial")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot write ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _parsed(address: str) -> sa.URL:
    try:
        return make_url(address)
    except ArgumentError:
        raise InputError("database: expected postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE") from None


def _absolute(address: str, folder: Path) -> str:
    """The address with a SQLite file that is relative taken from the project's folder."""
    url = _parsed(address)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        url = url.set(database=str(folder / url.database))
    return url.render_as_string(hide_password=False)
