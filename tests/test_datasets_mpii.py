"""MPII's annotations, written here in both published forms."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from damaged import damage, reads_or_refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfar.datasets.mpii import SOURCE, load_mpii_json, load_mpii_mat
from nearfar.errors import InputError
from nearfar.skeleton import get_skeleton

io = pytest.importorskip("scipy.io")

MPII = get_skeleton("mpii16")


def joints(seed):
    return np.random.default_rng(seed).integers(1, 700, size=(16, 2)).astype(float)


def record(image, seed, missing=()):
    xy = joints(seed)
    xy[list(missing)] = -1
    visible = [0 if joint in missing else 1 for joint in range(16)]
    return {"joints_vis": visible, "joints": xy.tolist(), "image": image, "scale": 3.021046, "center": [594.0, 257.0]}


def records():
    return [record("015601864.jpg", 0), record("015601864.jpg", 1, (0, 5)), record("005808361.jpg", 2)]


def write_json(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def test_json(tmp_path):
    poses = load_mpii_json(write_json(tmp_path / "train.json", records()))
    assert poses.skeleton == MPII
    assert poses.sequence.values().tolist() == ["015601864.jpg", "015601864.jpg", "005808361.jpg"]
    assert poses.person.tolist() == [0, 1, 0]
    # Matlab's first pixel is 1; the middle of ours is at 0.5.
    np.testing.assert_allclose(poses.keypoints[0], joints(0) - 0.5)
    assert np.isnan(poses.keypoints[1]).any(axis=-1).nonzero()[0].tolist() == [0, 5]
    assert poses.scores[1].tolist() == [0, 1, 1, 1, 1, 0] + [1] * 10
    assert (poses.occluded, poses.joints, poses.image_size) == (None, None, None)
    assert "commercial use is not allowed" in poses.provenance["licence"]
    assert np.isfinite(poses.remap("h36m17").keypoints[2]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("joints"), r"record 1: no 'joints'; its keys are \['center', 'image'"),
        (lambda r: r.update(joints=[[1, 2]] * 15), r"record 1: joints: expected numbers of shape \(16, 2\), got shape"),
        (lambda r: r.update(joints="none"), r"record 1: joints: expected numbers of shape \(16, 2\)"),
        (lambda r: r.update(joints_vis=[2] * 16), "record 1: joints_vis: expected 0 or 1"),
        (lambda r: r.update(image=3), "record 1: image: expected a file name, got 3"),
    ],
)
def test_bad_json(tmp_path, change, message):
    data = records()
    change(data[1])
    path = write_json(tmp_path / "train.json", data)
    with pytest.raises(InputError, match=message) as error:
        load_mpii_json(path)
    assert str(error.value).startswith(str(path))


def test_json_of_another_kind(tmp_path):
    with pytest.raises(InputError, match="expected a list, got dict"):
        load_mpii_json(write_json(tmp_path / "a.json", {"annotations": []}))
    with pytest.raises(InputError, match="nobody in it"):
        load_mpii_json(write_json(tmp_path / "a.json", []))


def structs(entries):
    """A 1 x n struct array; all entries have the same fields."""
    array = np.zeros((1, len(entries)), dtype=[(name, object) for name in entries[0]])
    for i, entry in enumerate(entries):
        array[0, i] = tuple(entry.values())
    return array


EMPTY = np.zeros((0, 0))


def person(seed, flags=None, missing=()):
    xy = joints(seed)
    points = [
        {"x": xy[j, 0], "y": xy[j, 1], "id": np.uint8(j), "is_visible": (flags or {}).get(j, EMPTY)}
        for j in (9, 8, *range(8), *range(10, 16))
        if j not in missing
    ]
    return {
        "x1": 627.0, "y1": 100.0, "x2": 706.0, "y2": 198.0, "annopoints": structs([{"point": structs(points)}]),
        "scale": 3.02, "objpos": structs([{"x": 594.0, "y": 257.0}]),
    }  # fmt: skip


def release():
    """A training image of two people, a test image, a training image of nobody, and one of a person without points."""
    flags = {0: "0", 1: "1", 2: np.uint8(0), 3: np.uint8(1), 4: EMPTY}
    unseen = {**person(0), "annopoints": EMPTY}
    withheld = {"scale": 2.0, "objpos": structs([{"x": 5.0, "y": 7.0}])}
    people = [structs([person(0, flags), person(1, missing=(0, 5))]), structs([withheld]), EMPTY, structs([unseen])]
    names = ["015601864.jpg", "037454012.jpg", "005808361.jpg", "099363014.jpg"]
    images = [
        {"image": structs([{"name": name}]), "annorect": rect, "frame_sec": EMPTY, "vididx": EMPTY}
        for name, rect in zip(names, people, strict=True)
    ]
    act = [{"act_name": name, "cat_name": "sports", "act_id": 1.0} for name in ("curling", EMPTY, EMPTY, "golf")]
    return {
        "annolist": structs(images),
        "img_train": np.array([[1.0, 0, 1, 1]]),
        "version": "12",
        "single_person": np.zeros((4, 1), object),
        "act": structs(act).T,
        "video_list": np.array([["abc"]], dtype=object),
    }


def write_mat(path, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    io.savemat(path, {"RELEASE": release() | changes}, do_compression=True)
    return path


def test_mat(tmp_path):
    poses = load_mpii_mat(write_mat(tmp_path / "a.mat"))
    assert poses.skeleton == MPII
    assert poses.sequence.values().tolist() == ["015601864.jpg"] * 2
    assert poses.action.values().tolist() == ["curling"] * 2
    assert poses.person.tolist() == [0, 1]
    np.testing.assert_allclose(poses.keypoints[0], joints(0) - 0.5)
    assert poses.occluded[0].tolist() == [True, False, True] + [False] * 13
    assert np.isnan(poses.keypoints[1]).any(axis=-1).nonzero()[0].tolist() == [0, 5]
    assert poses.scores[1].tolist() == [0, 1, 1, 1, 1, 0] + [1] * 10


def test_both_forms_agree(tmp_path):
    from_json = load_mpii_json(write_json(tmp_path / "train.json", records()[:2]))
    from_mat = load_mpii_mat(write_mat(tmp_path / "a.mat"))
    np.testing.assert_array_equal(from_json.keypoints, from_mat.keypoints)
    np.testing.assert_array_equal(from_json.scores, from_mat.scores)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annolist": np.zeros((3, 3))}, "RELEASE: annolist: expected cells or structs"),
        ({"img_train": np.ones((1, 3))}, "4 images, but 4 activities and 3 in img_train"),
        ({"annolist": structs([{"image": EMPTY, "annorect": EMPTY}] * 4)}, "image 1: expected one struct, got 0"),
        ({"annolist": structs([{"annorect": EMPTY}] * 4)}, "image 1: no field 'image'"),
        ({"img_train": np.zeros((1, 4))}, "nobody in it"),
    ],
)
def test_bad_mat(tmp_path, changes, message):
    path = write_mat(tmp_path / "a.mat", **changes)
    with pytest.raises(InputError, match=message) as error:
        load_mpii_mat(path)
    assert str(error.value).startswith(str(path))


def test_a_joint_that_is_none(tmp_path):
    image = {"image": structs([{"name": "a.jpg"}])}
    for point, message in (
        ({"x": 1.0, "y": 2.0, "id": 16.0}, "person 1: joint id: expected 0 to 15, got 16"),
        ({"x": EMPTY, "y": 2.0, "id": 1.0}, "person 1: expected one number"),
        ({"x": 1.0, "id": 1.0}, "person 1: no field 'y'"),
    ):
        rect = structs([{"annopoints": structs([{"point": structs([point])}])}])
        path = write_mat(tmp_path / "a.mat", annolist=structs([image | {"annorect": rect}] * 4))
        with pytest.raises(InputError, match=message):
            load_mpii_mat(path)


def test_sizes_of_the_images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, size in (("015601864.jpg", (1280, 720)), ("005808361.jpg", (640, 480))):
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", *size))
    write_json(tmp_path / "annot" / "train.json", records())
    write_json(tmp_path / "annot" / "valid.json", records())
    poses = next(SOURCE.prepare(tmp_path, None)).poses
    assert poses.image_size.tolist() == [[1280, 720], [1280, 720], [640, 480]]
    mat = load_mpii_mat(write_mat(tmp_path / "a.mat"), images=folder)
    assert mat.image_size.tolist() == [[1280, 720]] * 2
    (folder / "005808361.jpg").unlink()
    first, second = SOURCE.problems(tmp_path)
    assert first == second
    assert "005808361.jpg" in first


def test_another_matlab_file(tmp_path):
    io.savemat(tmp_path / "a.mat", {"joints": np.zeros((3, 14, 2))})
    with pytest.raises(InputError, match="no variable RELEASE"):
        load_mpii_mat(tmp_path / "a.mat")


def test_source(tmp_path):
    (only,) = SOURCE.problems(tmp_path)
    assert "neither annot/train.json and annot/valid.json nor mpii_human_pose_v1_u12_2/" in only
    with pytest.raises(InputError, match="neither"):
        next(SOURCE.prepare(tmp_path, None))
    write_mat(tmp_path / "mpii_human_pose_v1_u12_2" / "mpii_human_pose_v1_u12_1.mat")
    assert SOURCE.problems(tmp_path) == []
    assert [part.name for part in SOURCE.prepare(tmp_path, None)] == ["train"]
    write_json(tmp_path / "annot" / "train.json", records())
    (missing,) = SOURCE.problems(tmp_path)
    assert missing.endswith("valid.json: no such file")
    write_json(tmp_path / "annot" / "valid.json", records())
    parts = list(SOURCE.prepare(tmp_path, "lsp14"))
    assert [part.name for part in parts] == ["train", "valid"]
    assert {part.poses.skeleton.name for part in parts} == {"lsp14"}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(["json", "mat"]))
def test_damaged_files(tmp_path, data, form):
    if form == "json":
        path, read = write_json(tmp_path / "a.json", records()), load_mpii_json
    else:
        path, read = tmp_path / "a.mat", load_mpii_mat
        io.savemat(path, {"RELEASE": release()}, do_compression=data.draw(st.booleans()))
    damage(path, data)
    reads_or_refuses(read, path)
