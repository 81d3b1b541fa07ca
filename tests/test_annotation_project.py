from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from annotation_photos import SIZE, SKELETON, make_photos, make_poses, project_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nearfar import PoseSet, RelativeLabels
from nearfar.annotation import schema
from nearfar.annotation.projects.images import ImageFolder, match_images
from nearfar.annotation.projects.pairs import draw_pairs
from nearfar.annotation.projects.project import Project, init_project, open_project
from nearfar.annotation.projects.project_file import read_project_file, write_project_file
from nearfar.annotation.settings import Settings
from nearfar.errors import InputError
from nearfar.poses import Category


def rows(project: Project, table: sa.Table) -> list[dict]:
    with project.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(table.c.id)).mappings()]


def pairs_of(project: Project, purpose: str = "work") -> set[tuple[int, int, int]]:
    found = [row for row in rows(project, schema.pair) if row["purpose"] == purpose]
    return {(row["pose_id"], row["joint_a"], row["joint_b"]) for row in found}


def test_a_project_has_what_was_asked_for(tmp_path: Path, database_url: str) -> None:
    settings = Settings(answers=4)
    with project_of(
        tmp_path, 4, pairs="random:3", settings=settings, database=database_url, title="Walkers"
    ) as project:
        pairs, poses = rows(project, schema.pair), rows(project, schema.pose)
        assert len(pairs) == 12
        assert {(row["wanted"], row["need"], row["answered"], row["purpose"]) for row in pairs} == {(4, 4, 0, "work")}
        assert all(row["joint_a"] < row["joint_b"] for row in pairs)
        assert [row["image"] for row in poses] == ["0.png", "1.png", "2.png", "3.png"]
        shuffles = [{row["shuffle"] for row in pairs if row["pose_id"] == pose} for pose in range(4)]
        assert all(len(some) == 1 for some in shuffles)
        assert len(set.union(*shuffles)) == 4
        assert np.array_equal(project.poses.keypoints, make_poses(["0.png"] * 4).keypoints)
        for pose, row in enumerate(poses):
            points = project.poses.keypoints[pose] - (row["crop_x"], row["crop_y"])
            assert (points >= 0).all()
            assert (points < (row["crop_width"], row["crop_height"])).all()
            assert row["crop_x"] + row["crop_width"] <= SIZE[0]
            assert row["crop_y"] + row["crop_height"] <= SIZE[1]
    with open_project(tmp_path / "project", database_url) as again:
        assert again.title == "Walkers"
        assert again.settings == settings
        assert again.skeleton == SKELETON
    with pytest.raises(InputError, match="holds a project already"):
        init_project(
            tmp_path / "second", images=tmp_path / "images", keypoints=make_poses(["0.png"]), lessons=False,
            database=database_url,
        )  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["images", "project"]


def test_joints_that_cannot_be_seen_are_never_asked(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(3)]
    poses = make_poses(names)
    poses.keypoints[0, 3] = np.nan
    poses.keypoints[0, 4] = (SIZE[0] + 1, 50)
    poses.keypoints[0, 5] = (-0.5, 50)
    poses.scores[0, 6] = 0
    poses.scores[1, 2:] = 0  # two joints are left
    poses.scores[2, 1:] = 0  # one is
    with project_of(tmp_path, 3, keypoints=poses, pairs="random:200") as project:
        asked = pairs_of(project)
    assert {pose for pose, _, _ in asked} == {0, 1}
    assert not {3, 4, 5, 6} & {joint for pose, a, b in asked for joint in (a, b) if pose == 0}
    assert len([1 for pose, _, _ in asked if pose == 0]) == 13 * 12 // 2
    assert [pair for pair in asked if pair[0] == 1] == [(1, 0, 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": make_poses(["0.png", "nosuch.png"])}, "no image 'nosuch.png'"),
        ({"keypoints": make_poses(["0.png"], image_size=np.array([[100, 90]]))}, "is 200x160, but .* image of 100x90"),
        ({"keypoints": make_poses(["0.png"], sequence=None)}, "do not say which images"),
        ({"keypoints": make_poses(["0.png"], scores=np.zeros((1, 17)))}, "not one joint"),
        ({"keypoints": make_poses(["0.png"], keypoints=np.linspace(100, 500, 34).reshape(1, 17, 2))}, "lie outside"),
        ({"keypoints": PoseSet(SKELETON, joints=np.zeros((1, 17, 3)))}, "has no 2D keypoints"),
        ({"keypoints": make_poses([])}, "no poses"),
        ({"pairs": "random:0"}, "expected random:M"),
        ({"pairs": "nosuch.csv"}, "no file 'nosuch.csv'"),
        ({"skeleton": "coco17"}, "cannot map"),
        ({"database": "mysql://x"}, "expected postgresql"),
    ],
)
def test_a_project_is_made_whole_or_not_at_all(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        project_of(tmp_path, 1, **change)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_an_existing_folder_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        project_of(tmp_path)
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["mine.txt"]


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    make_photos(tmp_path / "images", ["0.png", "1.png"])
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1\.png: not an image"):
        init_project(
            tmp_path / "p", images=tmp_path / "images", keypoints=make_poses(["0.png", "1.png"]), lessons=False
        )


def test_orientation_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    (tmp_path / "images").mkdir()
    Image.new("RGB", (SIZE[1], SIZE[0])).save(tmp_path / "images" / "0.jpg", exif=exif)
    upright = make_poses(["0.jpg"], image_size=np.array([SIZE]))
    with init_project(tmp_path / "p", images=tmp_path / "images", keypoints=upright, lessons=False) as project:
        assert len(pairs_of(project)) == 5
    stored = make_poses(["0.jpg"], image_size=np.array([SIZE[::-1]]))
    with pytest.raises(InputError, match="EXIF orientation"):
        init_project(tmp_path / "q", images=tmp_path / "images", keypoints=stored, lessons=False)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    make_photos(tmp_path, ["secret.png"])
    make_photos(tmp_path / "images", ["1.png"])
    (tmp_path / "images" / "0.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="leads out of the folder"):
        init_project(tmp_path / "p", images=tmp_path / "images", keypoints=make_poses(["0.png"]), lessons=False)


def test_keypoints_become_those_of_the_skeleton(tmp_path: Path) -> None:
    with project_of(tmp_path, 2, skeleton="lsp14") as project:
        assert project.skeleton.name == "lsp14"
        assert project.poses.keypoints.shape == (2, 14, 2)
        assert max(b for _, _, b in pairs_of(project)) < 14


def clip(frames: list[int], name: str = "walk.mp4") -> PoseSet:
    return make_poses([name] * len(frames), frame_index=np.array(frames))


@pytest.mark.parametrize(
    ("images", "frames", "expected"),
    [
        (["0.png", "1.png", "2.png"], [0, 1, 2], ["0.png", "1.png", "2.png"]),
        (["frame_0001.png", "frame_0002.png", "frame_0003.png"], [0, 1, 2], ["frame_0001.png", "frame_0002.png", "frame_0003.png"]),
        (["f10.png", "f30.png"], list(range(40)), ["f10.png", "f30.png"]),
        (["walk/7.png", "other/7.png"], [6, 7, 8], ["walk/7.png"]),
        (["walk_7.png", "run_7.png"], [6, 7, 8], ["walk_7.png"]),
    ],
)  # fmt: skip
def test_frames_of_a_clip_are_found_by_number(
    tmp_path: Path, images: list[str], frames: list[int], expected: list[str]
) -> None:
    names, image = match_images(clip(frames), ImageFolder.read(make_photos(tmp_path / "i", images)))
    assert [names[i] for i in image if i >= 0] == expected


@pytest.mark.parametrize(
    ("images", "frames", "message"),
    [
        (["1.png", "2.png"], list(range(10)), "images 1..2, but the clip has 10 frames"),
        (["a/3.png", "b/3.png"], [0, 3], "both are frame 3"),
        (["50.png"], [0, 1], "images 50..50, but"),
        (["photo.png"], [0, 1], "none found"),
    ],
)
def test_frames_that_may_be_others_are_refused(
    tmp_path: Path, images: list[str], frames: list[int], message: str
) -> None:
    folder = ImageFolder.read(make_photos(tmp_path / "i", images))
    with pytest.raises(InputError, match=message):
        match_images(clip(frames), folder)


def test_images_are_found_as_files_of_keypoints_call_them(tmp_path: Path) -> None:
    folder = ImageFolder.read(make_photos(tmp_path / "i", ["a/x.png", "b/x.png", "y.png", "z.1.png"]))
    said = ["a/x.png", "b\\x.png", "/data/photos/y.png", "y", "z.1"]
    names, image = match_images(make_poses(said), folder)
    assert [names[i] for i in image] == ["a/x.png", "b/x.png", "y.png", "y.png", "z.1.png"]
    with pytest.raises(InputError, match=r"'x\.png' may be"):
        match_images(make_poses(["x.png"]), folder)


@given(st.integers(1, 30), st.integers(0, 5), st.data())
def test_drawn_pairs_are_different_and_usable(per_pose: int, poses: int, data: st.DataObject) -> None:
    usable = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=17, max_size=17), min_size=poses, max_size=poses))
    )
    usable = usable.reshape(poses, 17).astype(bool)
    pairs = draw_pairs(usable, per_pose, SKELETON, np.random.default_rng(0))
    assert usable[pairs.pose[:, None], pairs.joints].all()
    assert len(np.unique(pairs.keys(17))) == len(pairs)
    free = usable.sum(axis=1)
    assert np.array_equal(np.bincount(pairs.pose, minlength=poses), np.minimum(per_pose, free * (free - 1) // 2))


def test_pairs_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(
        "image,joint_a,joint_b,priority\n1.png,neck,left_wrist,2\n0.png,neck,right_wrist,1\n0.png,right_wrist,neck,1\n"
    )
    with project_of(tmp_path, 2, pairs=file) as project:
        a, left, right = (SKELETON.index(name) for name in ("neck", "left_wrist", "right_wrist"))
        assert pairs_of(project) == {(1, a, left), (0, a, right)}
        assert {row["pose_id"]: row["priority"] for row in rows(project, schema.pair)} == {1: 2, 0: 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pose,joint_a,joint_b\n0,neck,nosuch\n", r"line 2, joint_b 'nosuch'"),
        ("pose,joint_a,joint_b\n0,neck,neck\n", "cannot be compared with itself"),
        ("pose,joint_a,joint_b\n9,neck,chin\n", r"there are poses 0\.\.1"),
        ("image,joint_a,joint_b\nnosuch.png,neck,chin\n", "no pose was seen"),
        ("joint_a,joint_b\nneck,chin\n", "a column 'pose' or a column 'image'"),
        ("pose,joint_a,joint_b,colour\n0,neck,chin,red\n", "unknown columns"),
        ("pose,joint_a,joint_b,priority\n0,neck,chin,\n", "priority"),
        ("pose,joint_a,joint_b\n1,neck,chin\n", "line 2: neck and chin of pose 1: not both are in an image"),
    ],
)
def test_mistakes_in_a_file_of_pairs_are_named(tmp_path: Path, text: str, message: str) -> None:
    poses = make_poses(["0.png", "1.png"])
    poses.scores[1, SKELETON.index("chin")] = 0
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        project_of(tmp_path, 2, keypoints=poses, pairs=tmp_path / "pairs.csv")


def gold(poses: int, per_pose: int) -> RelativeLabels:
    drawn = draw_pairs(np.ones((poses, 17), bool), per_pose, SKELETON, np.random.default_rng(3))
    relation = np.random.default_rng(4).integers(-1, 2, len(drawn)).astype(np.int8)
    return RelativeLabels(SKELETON, drawn.pose, drawn.joints[:, ::-1].copy(), relation, kind="merged")


def test_gold_is_hidden_and_not_asked_as_work(tmp_path: Path) -> None:
    labels = gold(4, 5)
    labels.save(tmp_path / "gold.parquet")
    with project_of(tmp_path, 4, gold=tmp_path / "gold.parquet", pairs="random:136") as project:
        hidden, asked = pairs_of(project, "gold"), pairs_of(project)
        known = {
            (row["pose_id"], row["joint_a"], row["joint_b"]): row["truth"]
            for row in rows(project, schema.pair)
            if row["purpose"] == "gold"
        }
    assert len(hidden) == 20
    assert not hidden & asked
    assert len(asked) == 4 * 136 - 20
    for pose, (b, a), relation in zip(
        labels.pose.tolist(), labels.pair.tolist(), labels.relation.tolist(), strict=True
    ):
        assert known[pose, a, b] == -relation  # the labels name the higher joint first


def test_much_gold_gives_practice_and_test(tmp_path: Path) -> None:
    gold(4, 20).save(tmp_path / "gold.parquet")
    settings = Settings(practice_questions=5, test_questions=8)
    with project_of(tmp_path, 4, gold=tmp_path / "gold.parquet", settings=settings, lessons=True) as project:
        practice, test, hidden = (pairs_of(project, purpose) for purpose in ("practice", "test", "gold"))
        assert (len(practice), len(test), len(hidden)) == (5, 16, 80 - 21)
        assert not practice & test
        assert not hidden & (practice | test)
        assert len(pairs_of(project, "tutorial")) == 6  # drawn
        why = {row["explanation"] for row in rows(project, schema.pair) if row["purpose"] == "practice"}
        assert all(why)
        assert not any("{" in text for text in why)


def test_settings_can_be_edited(tmp_path: Path) -> None:
    project_of(tmp_path).close()
    file = tmp_path / "project" / "project.toml"
    text = file.read_text()
    file.write_text(text.replace("answers = 3", "answers = 5").replace("# stop_risk = (not set)", "stop_risk = 0.02"))
    with open_project(tmp_path / "project") as project:
        assert project.settings == Settings(answers=5, stop_risk=0.02)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("answers = 3", "answer = 3", r"unknown settings \['answer'\]"),
        ("answers = 3", "answers = 3.5", "answers: expected a whole number, got 3.5"),
        ("answers = 3", "answers = true", "answers: expected a whole number, got True"),
        ("answers = 3", "answers = 0", r"answers: expected 1\.\.1000, got 0"),
        ("answers = 3", "answers = 50", r"most_answers: expected as many as answers \(50\) or more, got 9"),
        ("price_per_answer = 0.0", "price_per_answer = inf", "price_per_answer: expected 0"),
        ("block_flagged = false", "block_flagged = 1", "block_flagged: expected true or false"),
        ('subject = "person"', "subject = 3", "subject: expected a text"),
        ("[settings]", "[setting]", "unknown keys"),
        ("answers = 3", "answers = ", "not TOML"),
        ("nearfar-annotation-1", "nearfar-annotation-9", "schema"),
        ("title = ", "titel = ", "unknown keys"),
    ],
)
def test_mistakes_in_project_toml_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    project_of(tmp_path).close()
    file = tmp_path / "project" / "project.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        open_project(tmp_path / "project")


@given(
    title=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip),
    subject=st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and text.isprintable()),
    share=st.floats(0, 0.9),
)
def test_project_toml_keeps_everything(
    tmp_path_factory: pytest.TempPathFactory, title: str, subject: str, share: float
) -> None:
    from nearfar.annotation.projects.project_file import ProjectFile

    folder = tmp_path_factory.mktemp("toml")
    file = ProjectFile(title, 'images of "us"', "sqlite:///a.db", Settings(subject=subject, gold_share=share))
    write_project_file(folder, file)
    assert read_project_file(folder) == file


def test_no_password_is_kept(tmp_path: Path, postgresql_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import postgresql

    url = sa.make_url(postgresql.new_database(postgresql_server))
    told = url.set(password="a-secret").render_as_string(hide_password=False)
    project_of(tmp_path, database=told).close()
    text = (tmp_path / "project" / "project.toml").read_text()
    assert "a-secret" not in text
    monkeypatch.setenv("NEARFAR_DATABASE", told)
    open_project(tmp_path / "project").close()
    monkeypatch.delenv("NEARFAR_DATABASE")
    file = tmp_path / "project" / "project.toml"
    kept = next(line for line in text.splitlines() if line.startswith("database"))
    file.write_text(text.replace(kept, f'database = "{told}"'))
    os.chmod(file, 0o644)
    with pytest.raises(InputError, match="chmod 600"):
        open_project(tmp_path / "project")
    os.chmod(file, 0o600)
    open_project(tmp_path / "project").close()


def test_a_wrong_database_is_no_project(tmp_path: Path) -> None:
    project_of(tmp_path).close()
    empty = tmp_path / "empty.db"
    with pytest.raises(InputError, match="is not there"):
        open_project(tmp_path / "project", f"sqlite:///{empty}")
    assert not empty.exists()
    empty.touch()
    with pytest.raises(InputError, match="holds no project"):
        open_project(tmp_path / "project", f"sqlite:///{empty}")
    with pytest.raises(InputError, match="no project here"):
        open_project(tmp_path)


def test_several_people_in_one_image(tmp_path: Path) -> None:
    poses = make_poses(["0.png", "0.png"], sequence=Category.of(["0.png", "0.png"]), person=np.array([0, 1]))
    with project_of(tmp_path, 1, keypoints=poses) as project:
        assert {pose for pose, _, _ in pairs_of(project)} == {0, 1}
