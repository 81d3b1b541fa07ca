"""The pictures that are served: the part of an image around a person, as JPEG, kept in the project's cache."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps
from sqlalchemy import Connection, select

from nearfar.annotation import schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.projects.images import UNREADABLE, path_within
from nearfar.annotation.projects.project import Project
from nearfar.annotation.queue.counting import lock_pairs, lock_person, store_pairs
from nearfar.annotation.queue.leasing import release_tasks
from nearfar.annotation.queue.stopping import decide
from nearfar.errors import InputError
from nearfar.files import replacing

__all__ = ["Crop", "bring_back", "crop_jpeg", "find_crop", "set_aside", "trim_cache"]

MAX_SIDE = 1600
"""Pixels; larger crops are made smaller. Places in a crop are told in the image's pixels, whatever its size."""

QUALITY = 88
CACHE_BYTES = 1 << 30
"""Of a project's cache; the crops that were made first go first."""


@dataclass(frozen=True)
class Crop:
    """The part of an image that is shown.

    Attributes:
        pose: whose.
        image: its name, below the folder of images or of lessons.
        lesson: which of the two.
        x, y, width, height: pixels of the upright image.
    """

    pose: int
    image: str
    lesson: bool
    x: int
    y: int
    width: int
    height: int

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the picture that is served."""
        scale = min(1.0, MAX_SIDE / max(self.width, self.height))
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))


def find_crop(connection: Connection, pose_id: int) -> Crop | None:
    """The crop of a pose; None where there is no such pose."""
    c = schema.pose.c
    columns = (c.id, c.image, c.lesson, c.crop_x, c.crop_y, c.crop_width, c.crop_height)
    row = connection.execute(select(*columns).where(c.id == pose_id)).first()
    return None if row is None else Crop(*row)


def crop_jpeg(project: Project, crop: Crop) -> bytes:
    """The picture of a crop as JPEG, from the cache where it is there.

    Where the image itself is gone or damaged, the pairs of the pose are asked no more (closed: "image"), and those who
    were being asked go on with other ones.

    Raises:
        InputError: the image is gone, damaged, smaller than it was, or leads out of its folder.
    """
    try:
        source = path_within(project.folder / "lessons" if crop.lesson else project.images, crop.image)
        stamp = source.stat()
        said = f"{source}|{stamp.st_mtime_ns}|{stamp.st_size}|{crop}|{MAX_SIDE}|{QUALITY}"
        key = hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()
        cached = project.folder / "cache" / key[:2] / f"{key[2:34]}.jpg"
        with suppress(OSError):
            return cached.read_bytes()
        picture = _cut(source, crop)
    except FileNotFoundError:
        if project.images.is_dir():  # or else the whole folder is away, which somebody will mend
            set_aside(project, crop.pose)
        raise InputError(f"image {crop.image!r}: is not there") from None
    except OSError as error:
        raise InputError(f"image {crop.image!r}: cannot be read ({error.strerror or error})") from None
    except InputError:
        set_aside(project, crop.pose)
        raise
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    with suppress(InputError, OSError):  # a full disk keeps nobody from answering
        with replacing(cached) as temporary:
            temporary.write_bytes(buffer.getvalue())
        if int(key[-2:], 16) < 4:  # once in 64 times
            trim_cache(project.folder / "cache")
    return buffer.getvalue()


def _cut(source: Path, crop: Crop) -> Image.Image:
    try:
        with Image.open(source) as file:
            image = ImageOps.exif_transpose(file)
            if crop.x + crop.width > image.width or crop.y + crop.height > image.height:
                raise InputError(f"image {crop.image!r}: is smaller than it was: {image.width}x{image.height}")
            if image.mode.startswith("I") or image.mode == "F":  # 16 bits of grey, which Pillow would clip to 8
                image = image.point(lambda value: value / 257).convert("L")
            part = image.crop((crop.x, crop.y, crop.x + crop.width, crop.y + crop.height)).convert("RGB")
            return part if part.size == crop.shown else part.resize(crop.shown, Image.Resampling.LANCZOS)
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"image {crop.image!r}: damaged, or not an image ({error})") from None


def trim_cache(folder: Path, most: int = CACHE_BYTES) -> None:
    """Remove the oldest files of a folder until it is a tenth below so many bytes, where it is above."""
    files: list[tuple[float, int, Path]] = []
    for path in folder.rglob("*.jpg"):
        with suppress(OSError):
            stat = path.stat()
            files.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in files)
    if total <= most:
        return
    for _, size, path in sorted(files, key=lambda entry: entry[0]):
        if total <= 0.9 * most:
            break
        with suppress(OSError):
            path.unlink()
            total -= size


def set_aside(project: Project, pose_id: int) -> None:
    """Ask no more about a pose whose image cannot be shown; those who are being asked get other questions."""
    pair, question = schema.pair, schema.question

    def close(connection: Connection) -> None:
        ids = connection.execute(select(pair.c.id).where(pair.c.pose_id == pose_id)).scalars()
        states = lock_pairs(connection, ids).values()
        store_pairs(connection, [replace(state, closed="image") for state in states if state.closed != "admin"])

    def release(connection: Connection, person_id: int, task_id: int) -> None:
        lock_person(connection, person_id)
        state = connection.execute(select(schema.task.c.state).where(schema.task.c.id == task_id)).scalar()
        if state == "leased":
            release_tasks(connection, [task_id])

    with_retries(project.engine, close)
    open_ones = (
        select(question.c.person_id, question.c.task_id)
        .join_from(question, pair)
        .where(pair.c.pose_id == pose_id, question.c.state == "leased")
        .distinct()
    )
    with project.engine.connect() as connection:
        tasks = [(row.person_id, row.task_id) for row in connection.execute(open_ones)]
    for person_id, task_id in tasks:
        with_retries(project.engine, partial(release, person_id=person_id, task_id=task_id))


def bring_back(project: Project) -> int:
    """Ask again about poses that were set aside and whose images can be shown again.

    Returns:
        How many pairs were opened or settled by the answers that they have.
    """
    pair = schema.pair
    gone = pair.c.closed == "image"

    def back(connection: Connection, pose_id: int) -> int:
        ids = connection.execute(select(pair.c.id).where(gone, pair.c.pose_id == pose_id)).scalars()
        states = [replace(state, closed=None) for state in lock_pairs(connection, ids).values()]
        store_pairs(connection, [decide(state, project.settings) for state in states])
        return len(states)

    with project.engine.connect() as connection:
        poses = list(connection.execute(select(pair.c.pose_id).where(gone).distinct()).scalars())
        crops = [find_crop(connection, pose_id) for pose_id in poses]
    count = 0
    for crop in crops:
        if crop is None:
            continue
        with suppress(InputError):  # still gone
            crop_jpeg(project, crop)
            count += with_retries(project.engine, partial(back, pose_id=crop.pose))
    return count
