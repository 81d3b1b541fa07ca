"""Pose sets: validation, saving, mapping into memory, mirroring, other skeletons."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.files import open_npz, write_npz
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton


def make(n=4, skeleton="h36m17", **changes):
    """A pose set with every field."""
    rng = np.random.default_rng(0)
    skeleton = get_skeleton(skeleton)
    j = skeleton.num_joints
    fields = {
        "skeleton": skeleton,
        "keypoints": rng.uniform(0, 1000, (n, j, 2)).astype(np.float32),
        "scores": rng.uniform(0.1, 1, (n, j)).astype(np.float32),
        "occluded": rng.random((n, j)) < 0.3,
        "joints": rng.normal(size=(n, j, 3)) * 500 + [0, 0, 4000],
        "root_position": rng.normal(size=(n, 3)),
        "intrinsics": np.tile([1000.0, 1000, 500, 400], (n, 1)),
        "image_size": np.tile([1000, 800], (n, 1)),
        "time": np.arange(n) / 30,
        "frame_index": np.arange(n) * 2,
        "person": np.zeros(n, np.int64),
        "sequence": Category.of(["walk"] * (n - 1) + ["run"]) if n else Category.of([]),
        "subject": Category.of(["S1"] * n),
        "action": Category.of(["gehen, schnell"] * n),
        "mean_limb_lengths": rng.uniform(50, 500, len(skeleton.limbs)),
        "provenance": {"from": "a test", "n": n},
    } | changes
    if fields["keypoints"] is not None and n:
        fields["keypoints"][0, 2] = np.nan
        fields["scores"][0, 2] = 0
    return PoseSet(**fields)


def same(a: PoseSet, b: PoseSet) -> None:
    """Fail unless two pose sets hold the same."""
    for field in dataclasses.fields(PoseSet):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, Category):
            assert x.values().tolist() == y.values().tolist(), field.name
        elif isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y, err_msg=field.name)
            assert x.dtype == y.dtype, field.name
        else:
            assert x == y, field.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": "pelvis"}, r"frame must be one of \('camera', 'root', 'world'\), got 'pelvis'"),
        ({"keypoints": None, "joints": None}, "needs keypoints, joints or both"),
        ({"joints": np.zeros((4, 16, 3))}, r"joints: expected an array of shape \(4, 17, 3\), got \(4, 16, 3\)"),
        ({"joints": np.zeros((3, 17, 3))}, r"joints: expected an array of shape \(4, 17, 3\), got \(3, 17, 3\)"),
        ({"scores": np.zeros((4, 17, 1))}, r"scores: expected an array of shape \(4, 17\)"),
        ({"scores": [1.0]}, "scores: expected an array of shape .* got list"),
        ({"intrinsics": np.zeros(4)}, r"intrinsics: expected an array of shape \(4, 4\), got \(4,\)"),
        ({"time": np.zeros(5)}, r"time: expected an array of shape \(4,\)"),
        ({"mean_limb_lengths": np.zeros(17)}, r"mean_limb_lengths: expected an array of shape \(16,\)"),
        ({"subject": Category.of(["S1"])}, "subject: expected 4 rows, got 1"),
        ({"occluded": np.zeros((4, 17))}, "occluded: expected bool, got float64"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(make(), **changes)


def test_categories():
    column = Category.of(["b", "a", "b"])
    assert column.values().tolist() == ["b", "a", "b"]
    assert column.select([1, 0]).values().tolist() == ["a", "b"]
    assert Category.of([]).values().tolist() == []
    with pytest.raises(InputError, match=r"expected 0\.\.1, got 0\.\.2"):
        Category(np.array([0, 2]), ("a", "b"))
    with pytest.raises(InputError, match=r"expected \(N,\) integers, got float64"):
        Category(np.zeros(2), ("a",))


def test_save_and_load(tmp_path):
    poses = make()
    poses.save(tmp_path / "a.npz")
    same(PoseSet.load(tmp_path / "a.npz"), poses)
    world = PoseSet(get_skeleton("lsp14"), joints=np.ones((2, 14, 3), np.float32), frame="world")
    world.save(tmp_path / "b.npz")
    same(PoseSet.load(tmp_path / "b.npz"), world)
    empty = make(0)
    empty.save(tmp_path / "c.npz")
    assert len(PoseSet.load(tmp_path / "c.npz")) == 0


def test_a_skeleton_of_ones_own_travels_in_the_file(tmp_path):
    skeleton = dataclasses.replace(get_skeleton("lsp14"), name="mine")
    PoseSet(skeleton, joints=np.zeros((1, 14, 3))).save(tmp_path / "a.npz")
    assert PoseSet.load(tmp_path / "a.npz").skeleton == skeleton


def test_loading_maps_the_file_and_selecting_a_slice_keeps_it_mapped(tmp_path):
    make().save(tmp_path / "a.npz")
    poses = PoseSet.load(tmp_path / "a.npz")
    assert isinstance(poses.joints, np.memmap)
    assert isinstance(poses.select(slice(1, 3)).joints.base, np.memmap)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:  # numpy alone can read it
        assert json.loads(str(archive["header"]))["frame"] == "camera"
        np.testing.assert_array_equal(archive["joints"], make().joints)


def test_a_pose_set_is_never_half_written(tmp_path):
    with pytest.raises(InputError, match=r"a\.json: pose sets are saved as \.npz"):
        make().save(tmp_path / "a.json")
    with pytest.raises(TypeError):
        dataclasses.replace(make(), provenance={"not": {"json"}}).save(tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def rewrite(path, **header_changes):
    arrays = open_npz(path)
    header = json.loads(str(arrays["header"])) | header_changes
    write_npz(path, {**{k: np.array(v) for k, v in arrays.items()}, "header": np.array(json.dumps(header))})


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"schema": "nearfar-poses-99"}, r"a\.npz: schema 'nearfar-poses-99', expected 'nearfar-poses-1'"),
        ({"frame": "moon"}, r"a\.npz: pose set: frame must be one of"),
        ({"names": {"subject": []}}, r"a\.npz: category codes: expected"),
        ({"names": {"colour": ["red"]}}, r"a\.npz: damaged pose set header"),
        ({"skeleton": {}}, r"a\.npz: .*missing keys"),
    ],
)
def test_a_damaged_header_is_one_clear_line(tmp_path, header, message):
    path = tmp_path / "a.npz"
    make().save(path)
    rewrite(path, **header)
    with pytest.raises(InputError, match=message) as error:
        PoseSet.load(path)
    assert str(error.value).count("a.npz") == 1


def test_files_that_are_no_pose_sets(tmp_path):
    np.savez(tmp_path / "a.npz", pos=np.zeros(3))
    with pytest.raises(InputError, match=r"not a pose set \(no 'header' array\); its arrays are \['pos'\]"):
        PoseSet.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", header=np.array("{"))
    with pytest.raises(InputError, match=r"b\.npz: damaged pose set header"):
        PoseSet.load(tmp_path / "b.npz")


def test_select():
    poses = make()
    for rows in (slice(1, 3), np.array([False, True, True, False]), np.array([1, 2]), [1, 2]):
        some = poses.select(rows)
        assert len(some) == 2
        assert some.frame_index.tolist() == [2, 4]
        np.testing.assert_array_equal(some.joints, poses.joints[1:3])
        assert some.sequence.values().tolist() == ["walk", "walk"]
        assert some.mean_limb_lengths is poses.mean_limb_lengths


def test_mirrored_twice_is_the_same():
    poses = make()
    back = poses.mirrored().mirrored()
    np.testing.assert_allclose(back.keypoints, poses.keypoints, atol=1e-3)
    np.testing.assert_allclose(back.joints, poses.joints)
    np.testing.assert_array_equal(back.scores, poses.scores)
    np.testing.assert_array_equal(back.root_position, poses.root_position)
    assert back.keypoints.dtype == poses.keypoints.dtype


def test_mirrored_exchanges_sides_in_2d_3d_and_scores():
    poses = make()
    left, right = poses.skeleton.index("left_wrist"), poses.skeleton.index("right_wrist")
    mirrored = poses.mirrored()
    np.testing.assert_allclose(mirrored.keypoints[:, left, 0], 2 * 500 - poses.keypoints[:, right, 0], rtol=1e-5)
    np.testing.assert_array_equal(mirrored.joints[:, left], poses.joints[:, right] * [-1, 1, 1])
    np.testing.assert_array_equal(mirrored.scores[:, left], poses.scores[:, right])
    np.testing.assert_array_equal(mirrored.occluded[:, left], poses.occluded[:, right])
    np.testing.assert_array_equal(mirrored.root_position, poses.root_position * [-1, 1, 1])
    by_size = dataclasses.replace(poses, intrinsics=None, image_size=np.tile([600, 800], (4, 1))).mirrored()
    np.testing.assert_allclose(by_size.keypoints[:, left, 0], 600 - poses.keypoints[:, right, 0], atol=1e-3)


def test_mirroring_needs_a_line_and_a_camera():
    with pytest.raises(InputError, match="needs intrinsics or image size"):
        make(intrinsics=None, image_size=None).mirrored()
    with pytest.raises(InputError, match="not in the world's"):
        make(frame="world").mirrored()


def test_remap():
    poses = make()
    other = poses.remap("h36m16")
    assert other.skeleton.name == "h36m16"
    assert other.mean_limb_lengths is None
    for joint in other.skeleton.joints:
        i, j = other.skeleton.index(joint), poses.skeleton.index(joint)
        np.testing.assert_array_equal(other.keypoints[:, i], poses.keypoints[:, j])
        np.testing.assert_array_equal(other.joints[:, i], poses.joints[:, j])
        np.testing.assert_array_equal(other.scores[:, i], poses.scores[:, j])
        np.testing.assert_array_equal(other.occluded[:, i], poses.occluded[:, j])
    assert poses.remap("h36m17") is poses
    with pytest.raises(InputError, match="no way to derive nose"):
        poses.remap("coco17")


def test_a_joint_derived_from_an_occluded_one_is_occluded():
    poses = make(8, "lsp14", joints=None, root_position=None)
    hips = [poses.skeleton.index("left_hip"), poses.skeleton.index("right_hip")]
    mapped = poses.remap("mpii16").occluded[:, get_skeleton("mpii16").index("mid_hip")]
    assert mapped.dtype == bool
    np.testing.assert_array_equal(mapped, poses.occluded[:, hips].any(axis=1))
    assert 0 < mapped.sum() < 8


def test_root_relative_poses_keep_their_root():
    poses = make(frame="root")
    assert poses.remap("h36m16").frame == "root"
    with pytest.raises(
        InputError, match="poses relative to 'mid_hip' cannot become skeleton 'lsp14', whose root is 'neck'"
    ):
        poses.remap("lsp14")
