"""Mocap files and the CMU benchmark, written here in their published formats, and the real ones."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar.answer_noise import PAPER_CROWD
from nearfar.camera import project
from nearfar.datasets import benchmark_labels, load_benchmark, load_labels, load_mocap, load_poses
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.skeleton import get_skeleton

H36M = get_skeleton("h36m17")
JOINTS = ["nose" if joint == "chin" else joint for joint in H36M.joints]


def mocap_arrays():
    """Three trials of 4, 3 and 5 frames; frames 1 and 6 are glitches."""
    rng = np.random.default_rng(0)
    valid = np.ones(12, bool)
    valid[[1, 6]] = False
    return {
        "pos": rng.normal(size=(12, 17, 3)).astype(np.float32) * 300,
        "trial_start": np.array([0, 4, 7, 12]),
        "trial": np.array(["01_01", "01_02", "07_01"]),
        "subject": np.array(["01", "01", "07"]),
        "action": np.array(["walk", "run", "walk"]),
        "fps": np.array([30, 30, 60], np.float32),
        "valid": valid,
        "split": np.array(["train", "train", "test"]),
        "joints": np.array(JOINTS),
        "parent": H36M.parents,
    }


def benchmark_arrays(moments=5, joints=True):
    """Two trials seen by four cameras each, row after row as the benchmark has them."""
    rng = np.random.default_rng(0)
    n = 2 * 4 * moments
    xyz = (rng.normal(size=(n, 17, 3)) * 300 + [0, 0, 4000]).astype(np.float32)
    intrinsics = np.tile(np.array([1000, 1000, 500, 500], np.float32), (n, 1))
    pair = np.stack([np.arange(n) % 17, (np.arange(n) + 3) % 17], axis=1).astype(np.int8)
    rows = np.arange(n)
    answer = np.sign(xyz[rows, pair[:, 0], 2] - xyz[rows, pair[:, 1], 2]).astype(np.int8)
    arrays = {
        "keypoints": project(xyz, intrinsics).astype(np.float32),
        "intrinsics": intrinsics,
        "subject": np.repeat([1, 0], 4 * moments).astype(np.int16),
        "trial": np.repeat([1, 0], 4 * moments).astype(np.int16),
        "action": np.repeat([0, 1], 4 * moments).astype(np.int16),
        "frame": np.tile(np.arange(moments) * 2, 8).astype(np.int32),
        "pair": pair,
        "answer": answer,
        "crowd_answer": np.where(rng.random(n) < 0.7, answer, -answer).astype(np.int8),
        "subject_names": np.array(["cmu/01", "cmu/07"]),
        "trial_names": np.array(["cmu/01_02", "cmu/07_01"]),
        "action_names": np.array(["walk", "run, jump"]),
    }
    if joints:
        return {"joints": xyz, **arrays}
    return {"mean_limb_lengths": limb_lengths(xyz, H36M).mean(axis=0), **arrays}


@pytest.fixture
def mocap(tmp_path):
    path = tmp_path / "cmu_h36m17.npz"
    np.savez_compressed(path, **mocap_arrays())
    return path


@pytest.fixture
def benchmark(tmp_path):
    path = tmp_path / "test.npz"
    np.savez(path, **benchmark_arrays())
    return path


def test_mocap_drops_glitches_and_keeps_the_clock(mocap):
    poses = load_mocap(mocap)
    kept = np.flatnonzero(mocap_arrays()["valid"])
    assert (poses.skeleton, poses.frame) == (H36M, "world")
    np.testing.assert_array_equal(poses.joints, mocap_arrays()["pos"][kept])
    assert poses.joints.dtype == np.float32
    assert poses.frame_index.tolist() == [0, 2, 3, 0, 1, 0, 1, 2, 3, 4]
    np.testing.assert_allclose(poses.time, poses.frame_index / np.array([30] * 5 + [60] * 5))
    assert poses.sequence.values().tolist() == ["cmu/01_01"] * 3 + ["cmu/01_02"] * 2 + ["cmu/07_01"] * 5
    assert poses.subject.values().tolist() == ["cmu/01"] * 5 + ["cmu/07"] * 5
    assert poses.action.values().tolist() == ["walk"] * 3 + ["run"] * 2 + ["walk"] * 5
    assert poses.keypoints is None


def test_mocap_can_keep_glitches_as_they_are_or_as_missing(mocap):
    kept = load_mocap(mocap, invalid="keep")
    np.testing.assert_array_equal(kept.joints, mocap_arrays()["pos"])
    missing = load_mocap(mocap, invalid="nan")
    assert len(missing) == 12
    assert np.isnan(missing.joints).all(axis=(1, 2)).nonzero()[0].tolist() == [1, 6]
    assert np.isfinite(missing.joints).all(axis=(1, 2)).sum() == 10
    with pytest.raises(InputError, match=r"expected one of \('drop', 'nan', 'keep'\), got 'mend'"):
        load_mocap(mocap, invalid="mend")


def test_mocap_splits(mocap):
    test, train = load_mocap(mocap, split="test"), load_mocap(mocap, split="train")
    assert set(test.subject.values()) == {"cmu/07"}
    assert set(train.subject.values()) == {"cmu/01"}
    assert len(test) + len(train) == len(load_mocap(mocap))
    assert test.provenance["split"] == "test"
    with pytest.raises(InputError, match=r"no split 'val'; it has \['test', 'train'\]"):
        load_mocap(mocap, split="val")


def test_mocap_says_where_it_is_from(mocap, tmp_path):
    provenance = load_mocap(mocap).provenance
    assert "NSF EIA-0196217" in provenance["acknowledgement"]
    assert "may not be resold" in provenance["licence"]
    np.savez(
        tmp_path / "mine_h36m17.npz",
        **{k: v for k, v in mocap_arrays().items() if k != "split"},
        skeleton=np.array(["x"] * 3),
    )
    other = load_mocap(tmp_path / "mine_h36m17.npz")
    assert "acknowledgement" not in other.provenance
    assert "not the subject's" in other.provenance["limbs"]
    assert set(other.subject.values()) == {"mine/01", "mine/07"}
    with pytest.raises(InputError, match="the file has no splits"):
        load_mocap(tmp_path / "mine_h36m17.npz", split="test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": None}, r"not a mocap file: missing arrays \['valid'\]"),
        ({"joints": np.array(JOINTS[::-1])}, r"joints: expected \['mid_hip', .* in this order, got \['right_wrist'"),
        ({"joints": np.array(JOINTS[:16])}, "joints: expected"),
        ({"pos": np.zeros((12, 16, 3))}, r"pos: expected shape \(N, 17, 3\), got \(12, 16, 3\)"),
        ({"pos": np.zeros((11, 17, 3))}, r"valid: expected shape \(11,\), got \(12,\)"),
        ({"trial_start": np.array([0, 4, 12])}, r"trial_start: expected shape \(4,\)"),
        ({"trial_start": np.array([0, 7, 4, 12])}, "trial_start: expected rising row numbers from 0 to 12"),
        ({"trial_start": np.array([0, 4, 7, 13])}, "trial_start: expected rising row numbers from 0 to 12"),
        ({"fps": np.array([30, 0, 30])}, "fps: expected positive frame rates"),
        ({"action": np.array(["walk"])}, r"action: expected shape \(3,\), got \(1,\)"),
    ],
)
def test_mocap_with_an_error_says_which(tmp_path, changes, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: array for name, array in (mocap_arrays() | changes).items() if array is not None})
    with pytest.raises(InputError, match=message) as error:
        load_mocap(path)
    assert str(error.value).startswith(str(path))


def test_benchmark_is_mapped_and_unchanged(benchmark):
    poses, arrays = load_benchmark(benchmark), benchmark_arrays()
    assert (poses.skeleton, poses.frame) == (H36M, "camera")
    for name in ("keypoints", "joints", "intrinsics"):
        array = getattr(poses, name)
        assert isinstance(array, np.memmap)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, arrays[name])
    assert poses.frame_index.tolist() == arrays["frame"].tolist()
    for view in np.unique(poses.sequence.codes):  # the smallest step of a view is 1/15 s, and time begins at 0
        rows = poses.sequence.codes == view
        frame = arrays["frame"][rows].astype(int)
        np.testing.assert_allclose(poses.time[rows] * 15, (frame - frame[0]) / np.diff(frame).min())
    assert poses.subject.values().tolist() == ["cmu/07"] * 20 + ["cmu/01"] * 20
    assert poses.action.values().tolist() == ["walk"] * 20 + ["run, jump"] * 20
    assert poses.image_size[3].tolist() == [1000, 1000]
    assert "NSF EIA-0196217" in poses.provenance["acknowledgement"]
    assert poses.provenance["licence"]


@pytest.mark.parametrize("moments", [1, 5])
def test_a_sequence_of_the_benchmark_is_one_cameras_view(tmp_path, moments):
    np.savez(tmp_path / "a.npz", **benchmark_arrays(moments))
    poses = load_benchmark(tmp_path / "a.npz")
    names = [f"cmu/{trial} camera {camera}" for trial in ("07_01", "01_02") for camera in range(4)]
    assert poses.sequence.values().tolist() == np.repeat(names, moments).tolist()


def test_benchmark_without_joints(tmp_path):
    arrays = benchmark_arrays(joints=False)
    np.savez(tmp_path / "train_labels.npz", **arrays)
    poses = load_benchmark(tmp_path / "train_labels.npz")
    assert poses.joints is None
    np.testing.assert_array_equal(poses.mean_limb_lengths, arrays["mean_limb_lengths"])


def test_benchmark_answers_are_our_relation(benchmark):
    arrays, poses = benchmark_arrays(), load_benchmark(benchmark)
    labels = benchmark_labels(benchmark, "answer")
    labels.check_poses(poses)
    assert labels.kind == "answers"
    assert labels.pose.tolist() == list(range(40))
    assert labels.pair.tolist() == arrays["pair"].tolist()
    depth = poses.joints[..., 2]
    a, b = (depth[labels.pose, labels.pair[:, i]] for i in (0, 1))
    assert (labels.relation[a < b] == -1).all()
    assert (labels.relation[a > b] == 1).all()
    assert benchmark_labels(benchmark, "crowd_answer").relation.tolist() == arrays["crowd_answer"].tolist()
    assert load_labels(benchmark, poses=poses, column="crowd_answer").provenance["column"] == "crowd_answer"
    with pytest.raises(InputError, match=r"expected one of \('answer', 'crowd_answer'\), got 'joints'"):
        benchmark_labels(benchmark, "joints")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair": None}, r"missing arrays \['pair'\]"),
        ({"keypoints": np.zeros((40, 16, 2))}, r"keypoints: expected an array of shape \(40, 17, 2\)"),
        ({"intrinsics": np.zeros((39, 4))}, r"intrinsics: expected an array of shape \(40, 4\)"),
        ({"frame": np.zeros(3, int)}, r"frame: expected shape \(40,\), got \(3,\)"),
        ({"subject": np.full(40, 9)}, "category codes: expected 0..1, got 9..9"),
    ],
)
def test_benchmark_with_an_error_says_which(tmp_path, changes, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: array for name, array in (benchmark_arrays() | changes).items() if array is not None})
    with pytest.raises(InputError, match=message) as error:
        load_benchmark(path)
    assert str(error.value).startswith(str(path))


def test_bad_benchmark_labels(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, **(benchmark_arrays() | {"pair": np.zeros((40, 2), np.int8)}))
    with pytest.raises(
        InputError, match=r"bad\.npz: labels: row 0: pair \[0, 0\]: a joint cannot be compared with itself"
    ):
        benchmark_labels(path)


@pytest.mark.shared
def test_the_real_mocap_files(shared):
    cmu = load_poses(shared / "data" / "mocap" / "cmu" / "cmu_h36m17.npz")
    assert len(cmu) == 102_609
    up = cmu.joints[:, H36M.index("neck"), 2] - cmu.joints[:, H36M.index("mid_hip"), 2]
    assert np.median(up) > 300  # z is up, mm
    shins = limb_lengths(cmu.joints, H36M)[:, H36M.unit_limb_index]
    assert 350 < np.median(shins) < 500
    # Left is the person's left: leftward x upward is forward, and people walk forward.
    walk = cmu.select(cmu.action.values() == "walk")
    left, right, neck, hip = (walk.joints[:, H36M.index(n)] for n in ("left_hip", "right_hip", "neck", "mid_hip"))
    forward = np.cross(left - right, neck - hip)[:-1]
    step = np.diff(hip, axis=0)
    moving = (np.diff(walk.frame_index) == 1) & (np.linalg.norm(step, axis=1) > 20)
    assert moving.sum() > 1000
    assert ((forward * step).sum(axis=1)[moving] > 0).mean() > 0.95
    test = load_poses(shared / "data" / "mocap" / "cmu" / "cmu_h36m17.npz", split="test")
    assert 0 < len(test) < len(cmu)
    retargeted = load_mocap(shared / "data" / "mocap" / "cmu_retargeted" / "cmu_retargeted_h36m17.npz")
    assert len(retargeted) == 41_900
    assert retargeted.provenance["limbs"]


@pytest.mark.shared
def test_the_real_benchmark(benchmark_folder):
    sizes = {"train": 229_900, "test": 31_244}
    for split, size in sizes.items():
        poses = load_poses(benchmark_folder / f"{split}.npz")
        assert len(poses) == size
        some = poses.select(slice(0, size, 97))
        np.testing.assert_allclose(project(some.joints, some.intrinsics), some.keypoints, atol=0.02)
    labels = benchmark_labels(benchmark_folder / "test.npz")
    dz = poses.joints[labels.pose, labels.pair[:, 0], 2] - poses.joints[labels.pose, labels.pair[:, 1], 2]
    assert (labels.relation == np.where(dz >= 0, 1, -1)).all()
    crowd = benchmark_labels(benchmark_folder / "test.npz", "crowd_answer")
    right = (crowd.relation == labels.relation).mean()
    assert right == pytest.approx(PAPER_CROWD.right(dz).mean(), abs=0.01)
    blind = load_poses(benchmark_folder / "train_labels.npz")
    assert blind.joints is None
    train = load_poses(benchmark_folder / "train.npz")
    np.testing.assert_array_equal(blind.keypoints, train.keypoints)
    np.testing.assert_allclose(blind.mean_limb_lengths, limb_lengths(train.joints, H36M).mean(axis=0), rtol=1e-3)
    views = {name.rsplit(" camera ", 1)[1] for name in blind.sequence.names}
    assert views == {"0", "1", "2", "3"}
