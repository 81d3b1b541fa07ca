"""3DPW's sequence files, written here as published: Python 2 pickles of lists and arrays."""

from __future__ import annotations

import io
import pickle
import struct
from typing import ClassVar

import numpy as np
import pytest
from damaged import damage, reads_or_refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfar.camera import project
from nearfar.datasets.threedpw import SOURCE, load_threedpw
from nearfar.errors import InputError
from nearfar.skeleton import get_skeleton
from nearfar.skeleton_maps import remap

SMPL = get_skeleton("smpl24")
K = np.array([[1961.85, 0, 540], [0, 1969.23, 960], [0, 0, 1]])
INTRINSICS = np.array([1961.85, 1969.23, 540, 960])


def camera_poses(frames):
    angle = np.arange(frames) * 0.1
    poses = np.zeros((frames, 4, 4))
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angle)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(angle), -np.sin(angle)
    poses[:, 1, 1] = poses[:, 3, 3] = 1
    poses[:, :3, 3] = [0.1, 0.2, 4]
    return poses


def sequence(frames=4, actors=2):
    rng = np.random.default_rng(0)
    detections = []
    for _ in range(actors):
        points = rng.uniform(100, 1000, size=(frames, 3, 18))
        points[:, 2] = rng.uniform(0.2, 0.9, size=(frames, 18))
        detections.append(points)
    valid = [np.ones(frames, np.uint8) for _ in range(actors)]
    valid[0][1] = 0  # the camera of frame 1 was not aligned for actor 0
    detections[-1][2:3] = 0  # fewer than six joints found
    return {
        "sequence": "courtyard_arguing_00",
        "genders": ["m", "f"][:actors],
        "betas": [rng.normal(size=300) for _ in range(actors)],
        "poses": [rng.normal(size=(frames, 72)) for _ in range(actors)],
        "trans": [rng.normal(size=(frames, 3)) for _ in range(actors)],
        "poses_60Hz": [rng.normal(size=(2 * frames, 72)) for _ in range(actors)],
        "v_template_clothed": [rng.normal(size=(5, 3)) for _ in range(actors)],
        "texture_maps": [[] for _ in range(actors)],
        "jointPositions": [rng.normal(size=(frames, 72)) * 0.4 for _ in range(actors)],
        "poses2d": detections,
        "img_frame_ids": 2 * np.arange(frames),
        "cam_poses": camera_poses(frames),
        "campose_valid": valid,
        "cam_intrinsics": K,
    }


class Python2Pickler(pickle._Pickler):
    """Writes as Python 2 and its numpy did: all strings, those with the arrays' numbers too, are byte strings."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_bytes


def write(path, data):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue().replace(b"numpy._core.", b"numpy.core."))
    return path


def in_camera(data, actor):
    """mm, x_cam = R x + t."""
    world = data["jointPositions"][actor].reshape(-1, 24, 3)
    homogeneous = np.concatenate([world, np.ones((*world.shape[:2], 1))], axis=-1)
    return 1000 * np.einsum("nij,nkj->nki", data["cam_poses"], homogeneous)[..., :3]


def test_the_skeleton_is_smpls():
    assert SMPL.joints[0] == SMPL.root == "pelvis"
    assert SMPL.parents.tolist() == [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
    assert [SMPL.index(n) for n in ("left_hip", "right_ankle", "left_shoulder", "right_wrist")] == [1, 8, 16, 21]


def test_the_files_are_those_of_python_2(tmp_path):
    content = write(tmp_path / "a.pkl", sequence()).read_bytes()
    assert content.startswith(b"\x80\x02}")
    assert b"_codecs" not in content
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in content
    theirs = pickle.loads(content, encoding="latin1")
    np.testing.assert_array_equal(theirs["poses2d"][0], sequence()["poses2d"][0])


def test_joints_in_the_cameras_frame(tmp_path):
    data = sequence()
    poses = load_threedpw(write(tmp_path / "a.pkl", data), skeleton="smpl24", keypoints="projected")
    assert (poses.skeleton, poses.frame) == (SMPL, "camera")
    expected = np.concatenate([in_camera(data, 0)[[0, 2, 3]], in_camera(data, 1)])
    np.testing.assert_allclose(poses.joints, expected, atol=1e-2)
    np.testing.assert_allclose(poses.keypoints, project(expected, INTRINSICS), atol=1e-2)
    assert poses.scores is None
    assert poses.person.tolist() == [0] * 3 + [1] * 4
    assert poses.frame_index.tolist() == [0, 2, 3, 0, 1, 2, 3]
    np.testing.assert_allclose(poses.time, poses.frame_index / 30)
    assert set(poses.sequence.values()) == {"courtyard_arguing_00"}
    np.testing.assert_allclose(poses.intrinsics[0], INTRINSICS, rtol=1e-6)
    assert poses.image_size[0].tolist() == [1080, 1920]
    assert "non-commercial" in poses.provenance["licence"]


def test_detections_and_joints_on_one_skeleton(tmp_path):
    data = sequence()
    data["poses2d"][0][3, :2, 4] = 1e7  # a detection far outside
    data["poses2d"][1][0, 2, 7] = 0  # a joint not found
    poses = load_threedpw(write(tmp_path / "a.pkl", data), skeleton="lsp14")
    assert poses.frame_index.tolist() == [0, 2, 3, 0, 1, 3]  # actor 1 has no keypoints in frame 2
    lsp, coco = get_skeleton("lsp14"), get_skeleton("coco18")
    wrist = data["poses2d"][1][1, :, coco.index("left_wrist")]
    np.testing.assert_allclose(poses.keypoints[4, lsp.index("left_wrist")], wrist[:2], rtol=1e-6)
    assert poses.scores[4, lsp.index("left_wrist")] == pytest.approx(wrist[2])
    joints = remap("smpl24", "lsp14").points(np.concatenate([in_camera(data, 0)[[0, 2, 3]], in_camera(data, 1)]))
    np.testing.assert_allclose(poses.joints, joints[[0, 1, 2, 3, 4, 6]], atol=1e-2)
    for row, joint in ((2, "right_wrist"), (3, "left_wrist")):
        assert np.isnan(poses.keypoints[row, lsp.index(joint)]).all()
        assert poses.scores[row, lsp.index(joint)] == 0
    with pytest.raises(InputError, match="cannot map skeleton 'coco18' to 'smpl24'"):
        load_threedpw(tmp_path / "a.pkl", skeleton="smpl24")
    with pytest.raises(InputError, match="expected one of"):
        load_threedpw(tmp_path / "a.pkl", keypoints="guessed")


def test_derived_joints_lie_where_they_should(tmp_path):
    """SMPL's standing body, roughly: the pelvis is above the hips, and the neck above the shoulders."""
    body = np.zeros((24, 3))
    for joint, position in {
        "pelvis": (0, 0, 0), "left_hip": (70, 90, 0), "right_hip": (-70, 90, 0), "left_shoulder": (170, -440, 0),
        "right_shoulder": (-170, -440, 0), "smpl_neck": (0, -500, 0), "smpl_head": (0, -570, 40),
    }.items():  # fmt: skip
        body[SMPL.index(joint)] = position
    h36m = get_skeleton("h36m17")
    y = remap("smpl24", h36m).points(body)[:, 1]
    assert y[h36m.index("mid_hip")] == 90
    assert y[h36m.index("neck")] == pytest.approx(-387)
    assert y[h36m.index("neck")] > y[h36m.index("chin")] > y[h36m.index("head_top")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses2d": None}, r"not a 3DPW sequence: missing \['poses2d'\]"),
        ({"sequence": 3}, "sequence: expected a name, got int"),
        ({"poses2d": []}, "expected jointPositions, poses2d and campose_valid as lists"),
        ({"jointPositions": [np.zeros((4, 72))]}, "as lists of one entry an actor"),
        (
            {"jointPositions": [np.zeros((4, 24, 3))] * 2},
            r"jointPositions of actor 0: expected shape \(4, 72\), got \(4, 24, 3\)",
        ),
        ({"poses2d": [np.zeros((4, 18, 3))] * 2}, r"poses2d of actor 0: expected shape \(4, 3, 18\)"),
        ({"cam_poses": np.ones((4, 4, 4))}, "cam_poses: expected rotations"),
        ({"cam_poses": np.ones((4, 3, 4))}, r"cam_poses: expected shape \(N, 4, 4\), got \(4, 3, 4\)"),
        ({"cam_intrinsics": -K}, "cam_intrinsics: intrinsics: focal lengths must be positive"),
        ({"cam_intrinsics": [1]}, "cam_intrinsics: expected an array, got list"),
        ({"cam_intrinsics": K * [[1, 1, 0]] * 3 + [[0, 0, -1]]}, "expected a principal point in the middle"),
        ({"campose_valid": [np.zeros(4)] * 2}, "not one frame with a valid camera and detected keypoints"),
        ({"poses2d": [np.zeros((4, 3, 18))] * 2}, "not one frame with a valid camera and detected keypoints"),
        ({"jointPositions": [np.full((4, 72), 1e4)] * 2}, "is no position in mm"),
        ({"cam_poses": camera_poses(4) * [1, 1, 1, 1e-3]}, "expected metres; median depth"),
    ],
)
def test_bad_files(tmp_path, changes, message):
    data = {key: value for key, value in (sequence() | changes).items() if value is not None}
    path = write(tmp_path / "a.pkl", data)
    with pytest.raises(InputError, match=message) as error:
        load_threedpw(path)
    assert str(error.value).startswith(str(path))


def test_files_that_want_to_run_something(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match=r"asks for 'os\.system'"):
        load_threedpw(path)
    write(path, [1, 2])
    with pytest.raises(InputError, match="not a 3DPW sequence: expected a dict, got list"):
        load_threedpw(path)


def test_source(tmp_path):
    for split, count in (("train", 24), ("validation", 12), ("test", 24)):
        for i in range(count):
            write(tmp_path / "sequenceFiles" / split / f"walk_{i:02}.pkl", sequence() | {"sequence": f"walk_{i:02}"})
    assert SOURCE.problems(tmp_path) == []
    parts = {part.name: part.poses for part in SOURCE.prepare(tmp_path, None)}
    assert {name: len(poses) for name, poses in parts.items()} == {"train": 144, "validation": 72, "test": 144}
    assert parts["test"].skeleton.name == "h36m17"
    assert len(set(parts["test"].sequence.values())) == 24
    assert next(SOURCE.prepare(tmp_path, "smpl24")).poses.skeleton == SMPL
    (tmp_path / "sequenceFiles" / "test" / "walk_00.pkl").unlink()
    (tmp_path / "sequenceFiles" / "test" / "walk_01.pkl").write_bytes(b"no")
    few, bad = SOURCE.problems(tmp_path)
    assert few.endswith("test: 23 of 24 sequences (*.pkl)")
    assert "walk_01.pkl: pickle opcode" in bad


def test_nothing_there(tmp_path):
    assert len(SOURCE.problems(tmp_path)) == 3
    with pytest.raises(InputError, match=r"train: no sequences \(\*\.pkl\)"):
        next(SOURCE.prepare(tmp_path, None))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path, data):
    path = write(tmp_path / "a.pkl", sequence(2))
    damage(path, data)
    reads_or_refuses(load_threedpw, path)
