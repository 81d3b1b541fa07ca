from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from annotation_photos import SKELETON, project_of
from PIL import Image

from nearfar import get_skeleton
from nearfar.annotation import schema
from nearfar.annotation.projects.figure import look_at, render, surface_depth
from nearfar.annotation.projects.lesson_plan import can_render, explain, plan_lessons
from nearfar.annotation.projects.lessons import CLEAR_MM, SAME_MM, Lessons, render_lessons
from nearfar.annotation.projects.mannequin import Part, body_parts
from nearfar.annotation.settings import Settings
from nearfar.annotation.web.texts import load_texts
from nearfar.errors import InputError
from nearfar.skeleton import Skeleton
from nearfar.synthetic import synthetic_motion

SETTINGS = Settings(practice_questions=3, test_questions=2, subject="dancer")
DOG = Skeleton.from_dict(
    {
        "name": "dog", "joints": ["nose", "withers", "tail", "paw"], "root": "withers", "mirror_pairs": [],
        "limbs": [{"parent": "withers", "child": name} for name in ("nose", "tail", "paw")],
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Lessons]:
    folder = tmp_path_factory.mktemp("lessons")
    return folder, render_lessons(folder, SKELETON, SETTINGS)


def test_there_are_as_many_as_asked_for(drawn: tuple[Path, Lessons]) -> None:
    folder, lessons = drawn
    purposes = [lesson.purpose for lesson in lessons.questions]
    assert {purpose: purposes.count(purpose) for purpose in purposes} == {"tutorial": 6, "practice": 3, "test": 4}
    assert sorted(path.name for path in folder.glob("*.jpg")) == list(lessons.poses.sequence.names)
    shown = [(lesson.pose, lesson.joints, lesson.purpose) for lesson in lessons.questions]
    assert len(set(shown)) == len(shown)


def test_answers_are_right_by_far(drawn: tuple[Path, Lessons]) -> None:
    _, lessons = drawn
    for lesson in lessons.questions:
        a, b = lesson.joints
        assert a < b
        difference = float(lessons.poses.joints[lesson.pose, a, 2] - lessons.poses.joints[lesson.pose, b, 2])
        if lesson.truth:
            assert np.sign(difference) == lesson.truth
            assert abs(difference) >= min(CLEAR_MM, 200)
        else:
            assert abs(difference) < SAME_MM


def test_every_answer_is_the_right_one_now_and_then(drawn: tuple[Path, Lessons]) -> None:
    assert {lesson.truth for lesson in drawn[1].questions} == {-1, 0, 1}


def test_marks_lie_on_the_person(drawn: tuple[Path, Lessons]) -> None:
    """The floor and the wall are grey: what has a colour, or is dark, is the person."""
    folder, lessons = drawn
    for lesson in lessons.questions:
        picture = np.asarray(Image.open(folder / lessons.poses.sequence.names[lesson.pose])).astype(int)
        for joint in lesson.joints:
            x, y = lessons.poses.keypoints[lesson.pose, joint]
            pixel = picture[int(y), int(x)]
            assert np.ptp(pixel) > 25 or pixel.max() < 130


def test_explanations_are_in_words(drawn: tuple[Path, Lessons]) -> None:
    texts = load_texts("en")
    for lesson in drawn[1].questions:
        assert "{" not in lesson.explanation
        assert "_" not in lesson.explanation
        assert len(lesson.explanation) <= 500
        near = lesson.joints[0 if lesson.truth < 0 else 1]
        if lesson.truth:
            assert texts.joint_of(SKELETON.joints[near], "dancer") in lesson.explanation
    tutorial = [lesson.explanation for lesson in drawn[1].questions if lesson.purpose == "tutorial"]
    assert len({text[:30] for text in tutorial}) == 6
    assert explain(texts, "cat", ("left_wrist", "neck"), 0) == "Both are about equally far away."
    assert explain(texts, "cat", ("left_wrist", "neck"), 1) == "The cat's neck is nearer."


def test_joints_of_the_face_have_their_places(tmp_path: Path) -> None:
    skeleton = get_skeleton("coco17")
    lessons = render_lessons(tmp_path, skeleton, SETTINGS, purposes=("tutorial",))
    joints = lessons.poses.joints
    assert np.isfinite(joints).all()
    ears = np.linalg.norm(joints[:, skeleton.index("left_ear")] - joints[:, skeleton.index("right_ear")], axis=-1)
    assert ((ears > 140) & (ears < 220)).all()


@pytest.mark.parametrize("name", ["lsp14", "mpii16", "openpose17", "halpe26", "body25", "smpl24", "mediapipe33"])
def test_people_of_other_skeletons_can_be_drawn(name: str) -> None:
    assert can_render(get_skeleton(name))


def test_animals_need_gold(tmp_path: Path) -> None:
    assert not can_render(DOG)
    with pytest.raises(InputError, match=r"--gold; there are 0.*practice_questions and test_questions to 0"):
        plan_lessons(None, DOG, Settings(), np.random.default_rng(0))
    assert plan_lessons(None, DOG, Settings(practice_questions=0, test_questions=0), np.random.default_rng(0)) == (
        {},
        (),
    )
    with pytest.raises(InputError, match="not a person's"):
        render_lessons(tmp_path, DOG, Settings())


def test_lessons_are_stored_with_the_project(tmp_path: Path) -> None:
    with project_of(tmp_path, lessons=True, settings=SETTINGS) as project:
        pair, pose = schema.pair.c, schema.pose.c
        with project.engine.connect() as connection:
            query = sa.select(pair.purpose, sa.func.count(), sa.func.min(pair.pose_id), sa.func.max(pair.need))
            told = {row[0]: tuple(row[1:]) for row in connection.execute(query.group_by(pair.purpose))}
            boxes = connection.execute(sa.select(pose).where(pose.lesson)).mappings().all()
        assert project.lessons is not None
        first = schema.LESSON_POSES
        assert {name: row[0] for name, row in told.items()} == {"work": 20, "tutorial": 6, "practice": 3, "test": 4}
        assert all(row[1] >= first and row[2] == 0 for name, row in told.items() if name != "work")
        assert len(boxes) == len(project.lessons)
        for box in boxes:
            points = project.lessons.keypoints[box["id"] - first]
            assert (project.folder / "lessons" / box["image"]).is_file()
            low = np.array([box["crop_x"], box["crop_y"]])
            assert ((points >= low) & (points < low + (box["crop_width"], box["crop_height"]))).all()


def ball(x: float, y: float, z: float, radius: float) -> Part:
    return Part(np.array([x, y, z]), np.array([x, y, z]), radius, radius, np.array([1.0, 0, 0]), "ball")


def test_a_ball_is_seen_where_it_is() -> None:
    view = look_at(np.array([0.0, 0, 500]), 30, distance=2000, height=500, size=(90, 120), high=600)
    part = ball(0, 0, 500, 100)
    picture = render([part], view).astype(int)
    red = picture[..., 0] - picture[..., 1] > 60
    rows, columns = np.nonzero(red)
    assert abs(rows.mean() - 60) < 1
    assert abs(columns.mean() - 45) < 1
    assert red.sum() == pytest.approx(np.pi * (100 * 120 / 600) ** 2, rel=0.05)
    depth, names = surface_depth([part], view, np.array([[45.0, 60.0], [0.0, 0.0]]))
    assert depth == pytest.approx([1900, np.inf])
    assert names == ["ball", ""]


def test_a_cone_is_the_hull_of_its_balls() -> None:
    rng = np.random.default_rng(0)
    view = look_at(np.array([0.0, 0, 0]), 0, distance=3000, height=0, size=(200, 200), high=1000)
    a, b = rng.uniform(-200, 200, (2, 3))
    cone = Part(a, b, 120, 40, np.ones(3), "cone")
    balls = [ball(*(a + s * (b - a)), 120 - 80 * s) for s in np.linspace(0, 1, 400)]
    pixels = rng.uniform(0, 200, (300, 2))
    exact, _ = surface_depth([cone], view, pixels)
    sampled, _ = surface_depth(balls, view, pixels)
    both = np.isfinite(exact) & np.isfinite(sampled)
    assert both.sum() > 20
    assert np.abs(exact[both] - sampled[both]).max() < 2
    assert (np.isfinite(exact) == np.isfinite(sampled)).mean() > 0.99


def test_a_person_casts_a_shadow_and_stands_on_the_floor() -> None:
    motion = synthetic_motion(30, seed=5)
    joints = dict(zip(motion.skeleton.joints, np.asarray(motion.joints[0], float), strict=True))
    parts = body_parts(joints)
    assert min(min(part.a[2] - part.radius_a, part.b[2] - part.radius_b) for part in parts) == pytest.approx(0, abs=30)
    view = look_at(
        joints["mid_hip"] * [1, 1, 0] + [0, 0, 900], 0, distance=3400, height=1350, size=(120, 150), high=2300
    )
    with_person, without = (render(some, view).astype(int) for some in (parts, [ball(0, 0, -9000, 1)]))
    grey = np.ptp(with_person, axis=-1) < 15
    darker = grey & (with_person.sum(axis=-1) < without.sum(axis=-1) - 60)
    assert darker.sum() > 80
