from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from annotation_photos import SIZE, make_poses, project_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nearfar.annotation import schema
from nearfar.annotation.projects.crops import MAX_SIDE, Crop, bring_back, crop_jpeg, find_crop, trim_cache
from nearfar.annotation.projects.placing import crop_boxes
from nearfar.annotation.projects.project import Project, init_project
from nearfar.annotation.queue import Event, next_task, record
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError

SETTINGS = Settings(practice_questions=0, test_questions=0, gold_share=0, images_per_task=4, answers=1)


def crop_of(project: Project, pose: int) -> Crop:
    with project.engine.connect() as connection:
        crop = find_crop(connection, pose)
    assert crop is not None
    return crop


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)


def closed(project: Project) -> dict[int, set[str | None]]:
    pair = schema.pair.c
    found: dict[int, set[str | None]] = {}
    with project.engine.connect() as connection:
        for pose, why, need in connection.execute(sa.select(pair.pose_id, pair.closed, pair.need)):
            found.setdefault(pose, set()).add(why)
            assert (why is None) == (need > 0)
    return found


def test_a_crop_is_that_part_of_the_image(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        crop = crop_of(project, 2)
        shown = pixels(crop_jpeg(project, crop))
        assert shown.shape == (crop.height, crop.width, 3)
        whole = np.asarray(Image.open(tmp_path / "images" / "2.png")).astype(int)
        part = whole[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
        assert np.abs(shown - part).mean() < 4  # the image is smooth: one pixel off would show
        with project.engine.connect() as connection:
            assert find_crop(connection, 99) is None


def test_crops_come_from_the_cache_until_the_image_changes(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        crop = crop_of(project, 0)
        first = crop_jpeg(project, crop)
        (cached,) = (tmp_path / "project" / "cache").rglob("*.jpg")
        cached.write_bytes(b"from the cache")
        assert crop_jpeg(project, crop) == b"from the cache"
        shutil.copy(tmp_path / "images" / "1.png", tmp_path / "images" / "0.png")
        os.utime(tmp_path / "images" / "0.png", ns=(1, 1))
        assert crop_jpeg(project, crop) not in (first, b"from the cache")


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    for i in range(10):
        (tmp_path / f"{i}.jpg").write_bytes(bytes(100))
        os.utime(tmp_path / f"{i}.jpg", (i, i))
    trim_cache(tmp_path, 1000)
    assert len(list(tmp_path.iterdir())) == 10
    trim_cache(tmp_path, 500)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["6.jpg", "7.jpg", "8.jpg", "9.jpg"]


def test_a_cache_that_cannot_be_written_keeps_nobody_from_answering(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        shutil.rmtree(tmp_path / "project" / "cache")
        (tmp_path / "project" / "cache").write_text("no folder")
        assert pixels(crop_jpeg(project, crop_of(project, 0))).size


def test_large_crops_are_made_smaller(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4000, 3000), (200, 0, 0)).save(tmp_path / "images" / "0.png")
    points = np.random.default_rng(0).uniform([100, 100], [3900, 2900], (1, 17, 2))
    poses = make_poses(["0.png"], keypoints=points)
    with init_project(tmp_path / "p", images=tmp_path / "images", keypoints=poses, lessons=False) as project:
        crop = crop_of(project, 0)
        shown = pixels(crop_jpeg(project, crop))
    assert shown.shape[:2] == crop.shown[::-1]
    assert max(shown.shape) == MAX_SIDE
    assert shown.shape[1] / shown.shape[0] == pytest.approx(crop.width / crop.height, rel=0.002)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_crops_are_upright(tmp_path: Path, orientation: int) -> None:
    turn = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    upright = Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    (upright if turn is None else upright.transpose(turn)).save(tmp_path / "images" / "0.jpg", exif=exif, quality=98)
    with init_project(
        tmp_path / "p", images=tmp_path / "images", keypoints=make_poses(["0.jpg"]), lessons=False
    ) as project:
        crop = crop_of(project, 0)
        shown = pixels(crop_jpeg(project, crop))
    expected = np.asarray(upright).astype(int)[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    assert np.abs(shown - expected).mean() < 5


def test_grey_of_16_bits_is_not_white(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((SIZE[1], SIZE[0]), 128 * 257, np.uint16)).save(tmp_path / "images" / "0.png")
    with init_project(
        tmp_path / "p", images=tmp_path / "images", keypoints=make_poses(["0.png"]), lessons=False
    ) as project:
        assert np.abs(pixels(crop_jpeg(project, crop_of(project, 0))) - 128).max() <= 2


def spoil(image: Path) -> dict[str, Any]:
    def damage() -> None:
        image.write_bytes(image.read_bytes()[:200])

    def shrink() -> None:
        Image.new("RGB", (30, 30)).save(image)

    def lead_out() -> None:
        image.rename(image.parent.parent / "secret.png")
        image.symlink_to(image.parent.parent / "secret.png")

    return {"damage": damage, "remove": image.unlink, "shrink": shrink, "lead out": lead_out}


@pytest.mark.parametrize("how", ["damage", "remove", "shrink", "lead out"])
def test_an_image_that_cannot_be_shown_is_set_aside(tmp_path: Path, database_url: str, how: str) -> None:
    with project_of(tmp_path, 4, settings=SETTINGS, database=database_url) as project:
        with project.engine.begin() as connection:
            values = {"name": "Ada", "role": "annotator", "stage": "working", "created_at": 0}
            connection.execute(sa.insert(schema.person).values(values))
        task = next_task(project.engine, project.settings, 1, "work", 100)
        assert task is not None
        assert {question.pose_id for question in task.questions} == {0, 1, 2, 3}
        spoil(tmp_path / "images" / "1.png")[how]()
        with pytest.raises(InputError, match=r"1\.png"):
            crop_jpeg(project, crop_of(project, 1))
        pair = schema.pair.c
        with project.engine.connect() as connection:
            query = sa.select(pair.closed, pair.leased).where(pair.pose_id == 1)
            assert {tuple(row) for row in connection.execute(query)} == {("image", 0)}
        again = next_task(project.engine, project.settings, 1, "work", 101)  # the same task, without the image
        assert again is not None
        assert again.id == task.id
        assert {question.pose_id for question in again.questions} == {0, 2, 3}
        for number, question in enumerate(again.questions):
            key = f"00000000-0000-4000-8000-{number:012d}"
            record(project.engine, project.settings, 1, [Event(key, question.id, 1, "a", 900)], 102)
        assert next_task(project.engine, project.settings, 1, "work", 103) is None
        assert bring_back(project) == 0


def test_images_that_are_back_are_asked_about_again(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        image = tmp_path / "images" / "1.png"
        content = image.read_bytes()
        image.unlink()
        with pytest.raises(InputError, match="is not there"):
            crop_jpeg(project, crop_of(project, 1))
        assert closed(project)[1] == {"image"}
        image.write_bytes(content)
        assert bring_back(project) > 0
        assert closed(project) == {pose: {None} for pose in range(4)}
        assert bring_back(project) == 0


def test_a_folder_that_is_away_for_a_while_closes_nothing(tmp_path: Path) -> None:
    with project_of(tmp_path) as project:
        (tmp_path / "images").rename(tmp_path / "away")
        with pytest.raises(InputError, match="is not there"):
            crop_jpeg(project, crop_of(project, 0))
        assert closed(project) == {pose: {None} for pose in range(4)}


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../secret.png", "\0", "..", "."])
def test_names_in_the_database_lead_nowhere(tmp_path: Path, name: str) -> None:
    Image.new("RGB", SIZE).save(tmp_path / "secret.png")
    with project_of(tmp_path) as project:
        if "\0" not in name:  # which the databases refuse themselves
            with project.engine.begin() as connection:
                connection.execute(sa.update(schema.pose).where(schema.pose.c.id == 0).values(image=name))
        crop = Crop(0, name, False, 0, 0, 10, 10)
        with pytest.raises(InputError, match="image"):
            crop_jpeg(project, crop)


@given(
    st.lists(st.tuples(st.floats(0, 299), st.floats(0, 199)), min_size=2, max_size=8),
)
def test_boxes_hold_the_joints_and_lie_in_the_image(points: list[tuple[float, float]]) -> None:
    keypoints = np.array([[*points, (np.nan, np.nan), (1e6, -5)]])
    usable = np.array([[True] * len(points) + [False] * 2])
    ((x, y, width, height),) = crop_boxes(keypoints, usable, np.array([[300, 200]])).tolist()
    assert 0 <= x < x + width <= 300
    assert 0 <= y < y + height <= 200
    assert width >= 96
    assert height >= 96
    inside = keypoints[0, : len(points)]
    assert ((inside >= (x, y)) & (inside < (x + width, y + height))).all()
