"""MPI-INF-3DHP's files, written here as published, and its evaluation on cases reckoned by hand."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from damaged import damage, reads_or_refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfar.camera import project
from nearfar.cli import main
from nearfar.datasets.mpi_inf_3dhp import (
    SOURCE,
    TEST_CAMERAS,
    load_test_sequence,
    load_train_sequence,
    mpi_inf_3dhp_report,
    read_calibration,
)
from nearfar.datasets.mpi_inf_3dhp.reading import ACTIVITIES, SEQUENCES
from nearfar.errors import InputError
from nearfar.lifting import Lifter, load
from nearfar.lifting.network import build_network
from nearfar.poses import Category, PoseSet
from nearfar.presets import NetworkConfig
from nearfar.skeleton import get_skeleton

io = pytest.importorskip("scipy.io")
h5py = pytest.importorskip("h5py")

CAMERAS = range(14)
ALL_28 = [
    "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top", "left_clavicle", "left_shoulder",
    "left_elbow", "left_wrist", "left_hand", "right_clavicle", "right_shoulder", "right_elbow", "right_wrist",
    "right_hand", "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe", "right_hip", "right_knee",
    "right_ankle", "right_foot", "right_toe",
]  # fmt: skip
RELEVANT = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]  # mpii_get_joint_set('relevant'), from 0
OURS = {"spine": "mid_spine", "pelvis": "mid_hip", "head": "chin"}
TRAIN, TEST = get_skeleton("mpi3dhp28"), get_skeleton("mpi3dhp17")


def camera_block(number, fx, extrinsic):
    numbers = " ".join(f"{x:.7g}" for x in extrinsic.ravel())
    return (
        f"name          {number}\n  sensor        10 10\n  size          2048 2048\n  animated      0\n"
        f"  intrinsic     {fx} 0 1024.704 0 0 {fx - 0.5} 1051.394 0 0 0 1 0 0 0 0 1 \n"
        f"  extrinsic     {numbers} \n  radial        0\n"
    )


def extrinsic(number):
    angle = 0.4 * number
    matrix = np.eye(4)
    matrix[:3, :3] = [[np.cos(angle), 0, -np.sin(angle)], [0, -1, 0], [-np.sin(angle), 0, -np.cos(angle)]]
    matrix[:3, 3] = [100 * number, 1000, 4000]
    return matrix


def write_calibration(path):
    blocks = [camera_block(number, 1490 + number, extrinsic(number)) for number in CAMERAS]
    path.write_text("Skeletool Camera Calibration File V1.0\n" + "".join(blocks))


def intrinsics(number):
    return np.array([1490 + number, 1489.5 + number, 1024.704, 1051.394])


def train_joints(frames, number):
    rng = np.random.default_rng(number)
    return rng.normal(size=(frames, 28, 3)) * 300 + [0, 0, 4000]


def column(arrays):
    cell = np.empty((len(arrays), 1), object)
    cell[:, 0] = arrays
    return cell


def write_train(folder, count=3, changes=None):
    folder.mkdir(parents=True, exist_ok=True)
    write_calibration(folder / "camera.calibration")
    joints = [train_joints(count, number) for number in CAMERAS]
    pixels = [project(x, intrinsics(number)).astype(np.float32) for number, x in zip(CAMERAS, joints, strict=True)]
    universal = [x[:, [4]] + 0.9 * (x - x[:, [4]]) for x in joints]
    variables = {
        "annot2": column([x.reshape(count, 56) for x in pixels]),
        "annot3": column([x.reshape(count, 84) for x in joints]),
        "univ_annot3": column([x.reshape(count, 84) for x in universal]),
        "cameras": np.arange(14, dtype=np.uint8)[None],
        "frames": np.arange(count, dtype=np.int32)[:, None],
    }
    variables = {name: value for name, value in (variables | (changes or {})).items() if value is not None}
    io.savemat(folder / "annot.mat", variables, do_compression=True)
    return folder


def test_joints(frames, number):
    return np.random.default_rng(100 + number).normal(size=(frames, 17, 3)) * 300 + [0, 0, 4000]


test_joints.__test__ = False


def write_test(folder, frames=6, **changes):
    """Matlab 7.3: 512 bytes of header, then HDF5, with the axes in reverse."""
    folder.mkdir(parents=True, exist_ok=True)
    joints = test_joints(frames, int(folder.name[-1]))
    camera = TEST_CAMERAS[folder.name].intrinsics
    valid = np.ones((frames, 1))
    valid[2] = 0
    arrays = {
        "annot2": project(joints, camera)[:, None],
        "annot3": joints[:, None],
        "univ_annot3": (joints[:, [14]] + 0.9 * (joints - joints[:, [14]]))[:, None],
        "valid_frame": valid,
        "activity_annotation": (np.arange(frames)[:, None] % 7 + 1).astype(np.float64),
        "bb_crop": np.zeros((frames, 34)),
    }
    path = folder / "annot_data.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in (arrays | changes).items():
            if value is not None:
                file.create_dataset(name, data=value, compression="gzip")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return folder


def test_the_skeletons_are_the_published_joints():
    assert list(TRAIN.joints) == [OURS.get(name, name) for name in ALL_28]
    assert list(TEST.joints) == [TRAIN.joints[i] for i in RELEVANT]
    assert set(TEST.joints) == set(get_skeleton("h36m17").joints)


def test_calibration(tmp_path):
    write_calibration(tmp_path / "camera.calibration")
    calibration = read_calibration(tmp_path / "camera.calibration")
    assert sorted(calibration.intrinsics) == list(CAMERAS)
    np.testing.assert_allclose(calibration.intrinsics[3], intrinsics(3))
    assert calibration.image_size[3].tolist() == [2048, 2048]
    point = np.array([10.0, 20.0, 30.0])
    matrix = extrinsic(3)
    ours = calibration.rotation[3] @ (point - calibration.centre[3])
    np.testing.assert_allclose(ours, matrix[:3, :3] @ point + matrix[:3, 3], atol=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("V1.0", "V2.0", r"line 1: expected 'Skeletool Camera Calibration File V1\.0'"),
        ("name          1\n", "name          0\n", "line 9: name: expected a new camera number, got '0'"),
        ("1024.704", "wide", "line 6: intrinsic: expected 16 numbers, got '1490 0 wide"),
        ("0 0 0 1 0 0 0 0 1 \n", "0 0 0 1\n", "line 6: intrinsic: expected 16 numbers"),
        ("  size          2048 2048\n", "", r"camera 0: missing \['size'\]"),
        ("  intrinsic     1490 ", "  intrinsic     -1490 ", "focal lengths must be positive"),
        ("  extrinsic     1 ", "  extrinsic     1.5 ", "camera 0: extrinsic: expected a rotation"),
        ("name          0\n", "", "line 3: size: expected the name of a camera first"),
    ],
)
def test_bad_calibration(tmp_path, old, new, message):
    path = tmp_path / "camera.calibration"
    write_calibration(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as error:
        read_calibration(path)
    assert str(error.value).startswith(str(path))


def test_train(tmp_path):
    poses = load_train_sequence(write_train(tmp_path / "S3" / "Seq2"), cameras=(0, 7))
    assert (poses.skeleton, poses.frame, len(poses)) == (TRAIN, "camera", 6)
    assert poses.sequence.values().tolist() == ["S3/Seq2 camera 0"] * 3 + ["S3/Seq2 camera 7"] * 3
    assert set(poses.subject.values()) == {"S3"}
    assert poses.frame_index.tolist() == [0, 1, 2] * 2
    np.testing.assert_allclose(poses.time, [0, 0.02, 0.04] * 2)
    for rows, number in ((slice(0, 3), 0), (slice(3, 6), 7)):
        joints = train_joints(3, number)
        np.testing.assert_allclose(poses.joints[rows], joints, atol=1e-3)
        np.testing.assert_allclose(poses.keypoints[rows], project(joints, intrinsics(number)), atol=1e-2)
        np.testing.assert_allclose(poses.intrinsics[rows], intrinsics(number)[None].repeat(3, 0), rtol=1e-6)
    assert poses.joints.dtype == poses.keypoints.dtype == np.float32
    assert poses.image_size[0].tolist() == [2048, 2048]
    assert "non-commercial" in poses.provenance["licence"]
    h36m = poses.remap("h36m17")
    np.testing.assert_array_equal(h36m.joints[:, h36m.skeleton.index("chin")], poses.joints[:, ALL_28.index("head")])


def test_train_leaves_out_what_has_no_image(tmp_path, monkeypatch):
    assert SEQUENCES["S8/Seq2"] == (6054, 25)
    monkeypatch.setitem(SEQUENCES, "S8/Seq2", (4, 25))
    folder = write_train(tmp_path / "S8" / "Seq2", 6)
    assert len(load_train_sequence(folder, cameras=(1,))) == 4
    folder.parent.rename(tmp_path / "mine")
    poses = load_train_sequence(tmp_path / "mine" / "Seq2", cameras=(1,))
    assert len(poses) == 6
    assert poses.time is None


def test_universal_poses(tmp_path):
    folder = write_train(tmp_path / "S1" / "Seq1")
    plain, universal = (load_train_sequence(folder, universal=flag) for flag in (False, True))
    root = TRAIN.root_index
    np.testing.assert_allclose(universal.joints[:, root], plain.joints[:, root], atol=1e-2)
    np.testing.assert_array_equal(universal.keypoints, plain.keypoints)
    assert np.abs(universal.joints - plain.joints).max() > 10
    assert "do not project" in universal.provenance["joints"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annot3": None}, r"missing variables \['annot3'\]"),
        ({"annot3": np.zeros((14, 84))}, "annot3: expected cells or structs"),
        ({"annot3": column([np.zeros((3, 51))] * 14)}, r"annot3: cell 1: expected shape \(3, 84\), got \(3, 51\)"),
        ({"annot3": column([np.full((3, 84), 4.0)] * 14)}, "expected mm in the camera's frame, .* median depth is 4"),
        ({"annot3": column([np.full((3, 84), np.inf)] * 14)}, r"annot3: cell 1: inf at \[0, 0\] is no position"),
        ({"annot2": column([np.full((3, 56), 9.0)] * 14)}, r"misses annot2 by \d+\.\d pixels"),
        ({"annot2": column([np.zeros((3, 56))] * 5)}, "5 cells, but 'cameras' names more"),
        ({"cameras": np.arange(5, dtype=np.uint8)[None]}, r"no camera 5; it has \[0, 1, 2, 3, 4\]"),
        ({"frames": np.array([[0.5], [1], [2]])}, "frames: expected a row or column of whole numbers"),
    ],
)
def test_bad_train(tmp_path, changes, message):
    folder = write_train(tmp_path / "S1" / "Seq1", changes=changes)
    with pytest.raises(InputError, match=message) as error:
        load_train_sequence(folder)
    assert str(error.value).startswith(str(folder / "annot.mat"))


def test_test_cameras():
    np.testing.assert_allclose(TEST_CAMERAS["TS1"].intrinsics, [1500.172, 1500.832, 1017.387, 1043.032], atol=1e-3)
    np.testing.assert_allclose(TEST_CAMERAS["TS6"].intrinsics, [1683.983, 1672.594, 939.858, 560.141], atol=1e-3)
    # What published code has fitted to annot2 and annot3.
    np.testing.assert_allclose(TEST_CAMERAS["TS1"].intrinsics, [1500.07, 1500.66, 1017.38, 1043.06], atol=1)
    np.testing.assert_allclose(TEST_CAMERAS["TS6"].intrinsics, [1683.48, 1671.93, 939.93, 560.21], atol=1)


def test_test(tmp_path):
    poses = load_test_sequence(write_test(tmp_path / "TS5"))
    kept = [0, 1, 3, 4, 5]
    joints = test_joints(6, 5)[kept]
    assert (poses.skeleton, poses.frame) == (TEST, "camera")
    np.testing.assert_allclose(poses.joints, joints, atol=1e-3)
    np.testing.assert_allclose(poses.keypoints, project(joints, TEST_CAMERAS["TS5"].intrinsics), atol=1e-2)
    assert poses.frame_index.tolist() == [1, 2, 4, 5, 6]
    assert poses.action.values().tolist() == [ACTIVITIES[i] for i in kept]
    assert set(poses.sequence.values()) == {"TS5"}
    assert poses.image_size[0].tolist() == [1920, 1080]
    universal = load_test_sequence(tmp_path / "TS5", universal=True)
    np.testing.assert_allclose(
        universal.joints - universal.joints[:, [14]], 0.9 * (joints - joints[:, [14]]), atol=1e-2
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annot3": None}, r"missing arrays \['annot3'\]"),
        ({"annot3": np.zeros((6, 17, 3))}, r"annot3: expected shape \(6, 1, 17, 3\), got \(6, 17, 3\)"),
        ({"annot3": np.full((6, 1, 17, 3), 4.0)}, "expected mm in the camera's frame"),
        ({"valid_frame": np.zeros((6, 1))}, "valid_frame: not one valid frame"),
        ({"valid_frame": np.ones(6)}, r"valid_frame: expected shape \(6, 1\), got \(6,\)"),
        ({"activity_annotation": np.full((6, 1), 8.0)}, r"activity_annotation: expected 1 to 7, got \[8\.\]"),
    ],
)
def test_bad_test(tmp_path, changes, message):
    folder = write_test(tmp_path / "TS1", **changes)
    with pytest.raises(InputError, match=message) as error:
        load_test_sequence(folder)
    assert str(error.value).startswith(str(folder / "annot_data.mat"))


def test_a_test_sequence_has_a_known_name(tmp_path):
    with pytest.raises(InputError, match="expected a folder named TS1, TS2"):
        load_test_sequence(tmp_path)


def truth(frames=2):
    joints = np.random.default_rng(0).normal(size=(frames, 17, 3)) * 300 + [0, 0, 4000]
    return PoseSet(
        TEST,
        joints=joints,
        sequence=Category.of(["TS1", "TS2", "TS2"][:frames]),
        action=Category.of(["Sitting", "Sports", "Sports"][:frames]),
    )


def test_a_perfect_method():
    poses = truth()
    report = mpi_inf_3dhp_report(poses.joints + [0, 0, 700], poses)  # the pelvis is moved to the origin
    assert report["all"]["mpjpe"] == pytest.approx(0, abs=1e-9)
    assert report["all"]["pck_150mm"] == 1
    assert report["all"]["auc"] == pytest.approx(30 / 31)  # no error is less than the first threshold, 0


def test_pck_auc_by_hand():
    poses = truth()
    moved = poses.joints.copy()
    elbow, hip, spine = TEST.index("left_elbow"), TEST.index("right_hip"), TEST.index("mid_spine")
    moved[0, elbow] += [150, 0, 0]  # not less than 150: wrong
    moved[0, hip] += [0, 149, 0]  # right; in the AUC it counts for the threshold 150 alone
    moved[1, spine] += [0, 0, 500]  # not one of the 14 joints, but one of the 17 of the MPJPE
    report = mpi_inf_3dhp_report(moved, poses)
    assert report["all"]["frames"] == 2
    assert report["all"]["pck_150mm"] == pytest.approx(27 / 28)
    assert report["all"]["auc"] == pytest.approx((26 * 30 + 0 + 1) / 28 / 31)
    assert report["all"]["mpjpe"] == pytest.approx((150 + 149 + 500) / 34)
    assert report["all"]["groups"]["Elbow"]["pck_150mm"] == pytest.approx(3 / 4)
    assert report["all"]["groups"]["Hip"]["auc"] == pytest.approx((3 * 30 + 1) / 4 / 31)
    assert report["all"]["groups"]["Head"] == {"pck_150mm": 1, "auc": pytest.approx(30 / 31)}
    assert report["per_sequence"]["TS1"]["pck_150mm"] == pytest.approx(13 / 14)
    assert report["per_sequence"]["TS2"]["pck_150mm"] == 1
    assert report["per_activity"]["Sports"]["mpjpe"] == pytest.approx(500 / 17)
    assert report["per_activity"]["Sitting"]["frames"] == 1


def test_frames_weigh_equally_whatever_their_activity():
    poses = truth(3)
    moved = poses.joints.copy()
    moved[0, :14] += 1000
    report = mpi_inf_3dhp_report(moved, poses)
    assert report["all"]["pck_150mm"] == pytest.approx(2 / 3)
    assert report["per_activity"]["Sports"]["frames"] == 2


def test_missing_predictions_are_wrong():
    poses = truth()
    lost = poses.joints.copy()
    lost[0] = np.nan
    report = mpi_inf_3dhp_report(lost, poses)
    assert report["all"]["pck_150mm"] == 0.5
    assert report["all"]["mpjpe"] == pytest.approx(0)
    lost[:] = np.nan
    assert mpi_inf_3dhp_report(lost, poses)["all"]["mpjpe"] is None


def test_another_order_of_the_joints():
    poses = truth()
    moved = poses.joints + np.random.default_rng(1).normal(size=poses.joints.shape) * 80
    ours = poses.remap("h36m17")
    in_ours = PoseSet(TEST, joints=moved).remap("h36m17").joints
    assert mpi_inf_3dhp_report(in_ours, ours) == mpi_inf_3dhp_report(moved, poses)
    lsp = PoseSet(get_skeleton("coco17"), joints=np.zeros((1, 17, 3)))
    with pytest.raises(InputError, match="skeleton 'coco17' lacks the joints head_top, neck, mid_hip"):
        mpi_inf_3dhp_report(lsp.joints, lsp)
    with pytest.raises(InputError, match=r"expected predictions of shape \(2, 17, 3\)"):
        mpi_inf_3dhp_report(moved[:1], poses)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mpi_inf_3dhp")
    for name in SEQUENCES:
        write_train(folder / name)
    for name in TEST_CAMERAS:
        write_test(folder / "mpi_inf_3dhp_test_set" / name)
    return folder


def test_source(whole):
    assert SOURCE.problems(whole) == []
    parts = {part.name: part.poses for part in SOURCE.prepare(whole, None)}
    assert list(parts) == ["train", "test", "test_universal"]
    assert {poses.skeleton.name for poses in parts.values()} == {"h36m17"}
    assert len(parts["train"]) == 16 * 8 * 3
    assert len(set(parts["train"].sequence.values())) == 16 * 8
    assert len(parts["test"]) == 6 * 5
    assert set(parts["test"].action.values()) <= set(ACTIVITIES)
    report = mpi_inf_3dhp_report(parts["test_universal"].joints, parts["test_universal"])
    assert report["all"]["pck_150mm"] == 1
    train = next(SOURCE.prepare(whole, "mpi3dhp28"))
    assert train.poses.skeleton == TRAIN


@pytest.fixture(scope="module")
def prepared(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    assert main(["data", "prepare", "mpi_inf_3dhp", str(whole), "--out", str(folder)]) == 0
    return folder


def evaluate(*arguments):
    return main(["evaluate", "--protocol", "mpi_inf_3dhp", *map(str, arguments)])


def test_evaluate_by_the_protocol(prepared, tmp_path, capsys):
    """A test file on the 17 joints in another order than the lifter's gives what the report gives."""
    truth = PoseSet.load(prepared / "test_universal.npz").remap("mpi3dhp17")
    truth.save(tmp_path / "data.npz")
    capsys.readouterr()
    files = ("--json", tmp_path / "a.json", "--markdown", tmp_path / "a.md")
    assert evaluate("--data", tmp_path / "data.npz", *files) == 0
    lifted = load("default").lift_poses(truth.remap("h36m17")).remap("mpi3dhp17")
    report = json.loads((tmp_path / "a.json").read_text())
    assert report.pop("weights") == "default"
    assert report.pop("data") == str(tmp_path / "data.npz")
    assert report.pop("protocol") == "mpi_inf_3dhp"
    assert report.keys() == {"all", "per_activity", "per_sequence"}
    expected = mpi_inf_3dhp_report(lifted.joints, truth)
    assert report["all"]["mpjpe"] == pytest.approx(expected["all"]["mpjpe"], rel=1e-4)
    assert report["all"]["mpjpe"] > 100  # of random joints
    assert report["all"]["frames"] == len(truth) == 30
    assert report["per_activity"].keys() == expected["per_activity"].keys()
    assert report["per_sequence"]["TS1"]["auc"] == pytest.approx(expected["per_sequence"]["TS1"]["auc"], abs=2e-3)
    table = (tmp_path / "a.md").read_text()
    assert table == capsys.readouterr().out
    lines = table.splitlines()
    assert lines[0] == (
        "| | Head | Neck | Shou | Elbow | Wrist | Hip | Knee | Ankle | PCK@150 mm | AUC | MPJPE, mm | frames |"
    )
    names = ["all", *report["per_activity"], *report["per_sequence"]]
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in names]
    assert {line.count("|") for line in lines} == {14}
    assert f"{report['all']['pck_150mm']:.3f} | {report['all']['auc']:.3f} | " in lines[2]


def test_evaluate_by_the_protocol_what_has_not_its_joints(prepared, tmp_path, capsys):
    def refused(*arguments):
        capsys.readouterr()
        assert evaluate(*arguments, "--json", tmp_path / "a.json") == 2
        assert not (tmp_path / "a.json").exists()
        (line,) = capsys.readouterr().err.splitlines()
        return line

    Lifter(build_network(NetworkConfig(width=8), get_skeleton("lsp14")).eval()).save(tmp_path / "lsp.safetensors")
    line = refused("--data", prepared / "test.npz", "--weights", tmp_path / "lsp.safetensors")
    assert line.endswith("MPI-INF-3DHP protocol: skeleton 'lsp14' lacks the joints mid_hip, mid_spine, chin")
    PoseSet.load(prepared / "test.npz").remap("lsp14").save(tmp_path / "lsp.npz")
    line = refused("--data", tmp_path / "lsp.npz", "--weights", tmp_path / "lsp.safetensors")
    assert "lacks the joints mid_hip, mid_spine, chin" in line
    assert "not with --figure or --labels" in refused("--data", prepared / "test.npz", "--figure", tmp_path / "a.png")
    assert "not with --figure or --labels" in refused("--data", prepared / "test.npz", "--labels", tmp_path / "a.csv")
    poses = PoseSet.load(prepared / "test.npz")
    dataclasses.replace(poses, frame="world").save(tmp_path / "world.npz")
    assert "must be in the camera's frame" in refused("--data", tmp_path / "world.npz")


def test_problems_are_named_all_at_once(tmp_path):
    (only,) = SOURCE.problems(tmp_path)
    assert "neither the training set" in only
    with pytest.raises(InputError, match="neither the training set"):
        next(SOURCE.prepare(tmp_path, None))
    for name in ("TS1", "TS2", "TS4"):
        write_test(tmp_path / "mpi_inf_3dhp_test_set" / name)
    (tmp_path / "mpi_inf_3dhp_test_set" / "TS4" / "annot_data.mat").write_bytes(b"not it")
    problems = SOURCE.problems(tmp_path)
    assert ["TS3" in problems[0], "TS4" in problems[1], "TS5" in problems[2], "TS6" in problems[3]] == [True] * 4
    assert len(problems) == 4


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.sampled_from(["annot.mat", "camera.calibration", "annot_data.mat"]))
def test_damaged_files(tmp_path, data, which):
    train, test = write_train(tmp_path / "S1" / "Seq1", 2), write_test(tmp_path / "TS1", 3)
    if which == "annot_data.mat":
        damage(test / which, data)
        reads_or_refuses(load_test_sequence, test)
    else:
        damage(train / which, data)
        reads_or_refuses(load_train_sequence, train)
