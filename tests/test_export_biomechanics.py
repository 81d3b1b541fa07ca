"""C3D, TRC, MOT and marker sets: round trips through readers that are not ours, and OpenSim's model as oracle."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from nearfar import PoseSet, get_skeleton, synthetic_poses
from nearfar.angles import pose_angles
from nearfar.datasets.c3d import read_c3d
from nearfar.errors import InputError
from nearfar.export import export
from nearfar.export.marker_set import marker_set
from nearfar.poses import Category
from nearfar.synthetic import synthetic_motion

H36M17 = get_skeleton("h36m17")
needs_opensim = pytest.mark.skipif(
    importlib.util.find_spec("opensim") is None, reason="needs OpenSim (dependency group oracle)"
)


def opensim(folder: Path, **task) -> dict:
    """What OpenSim answers, in a process of its own: it logs to the folder it runs in."""
    script = Path(__file__).with_name("opensim_oracle.py")
    told = {"input": json.dumps(task), "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, script], cwd=folder, check=False, **told)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(done.stdout.partition("ANSWER")[2])


@pytest.fixture(scope="module")
def clip() -> PoseSet:
    """A synthetic person in the world at 30 frames a second, 60 frames, with gaps."""
    poses = synthetic_motion(60, seed=4, fps=30.0).remap("h36m17")
    joints = np.array(poses.joints[:60], dtype=np.float64)
    joints[10:13] = np.nan
    joints[30:36, H36M17.index("right_wrist")] = np.nan
    joints[0, [3, -1]] = np.nan
    return PoseSet(H36M17, joints=joints, frame="world", time=np.arange(60) / 30,
                   sequence=Category(np.zeros(60, int), ("clip",)))  # fmt: skip


@pytest.fixture(scope="module")
def two_people() -> PoseSet:
    """Two people before a camera; the second comes later and leaves earlier."""
    people = synthetic_poses(40, seed=1)
    joints = np.array(people.joints[:40]) - people.joints[:40, [0]]
    time = np.concatenate([np.arange(20), np.arange(5, 15)]) / 25
    return PoseSet(H36M17, joints=joints[:30], frame="root", root_position=np.tile([0, 0, 4000.0], (30, 1)), time=time,
                   person=np.repeat([0, 3], [20, 10]))  # fmt: skip


def turned_to_x(joints: np.ndarray) -> np.ndarray:
    """World joints (T, J, 3) as OpenSim wants them: y up, and the person's mean heading along +x."""
    y_up = joints[..., [0, 2, 1]] * [1, 1, -1]
    right = y_up[:, H36M17.index("right_hip")] - y_up[:, H36M17.index("left_hip")]
    pelvis_up = y_up[:, H36M17.index("mid_spine")] - y_up[
        :, [H36M17.index("left_hip"), H36M17.index("right_hip")]
    ].mean(1)
    right = right[np.isfinite(pelvis_up).all(axis=1)]
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    x, _, z = np.cross([0, 1, 0], right).sum(axis=0)
    angle = np.arctan2(z, x)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return y_up @ turn.T


@needs_opensim
def test_opensim_reads_trc_and_mot(clip: PoseSet, tmp_path: Path) -> None:
    written = [export(clip, tmp_path / name) for name in ("clip.trc", "clip.mot")]
    found = opensim(tmp_path, task="read", trc="clip.trc", mot="clip.mot")
    assert (found["units"], float(found["rate"]), found["in_degrees"]) == ("mm", 30.0, "yes")
    expected = turned_to_x(np.asarray(clip.joints))
    read = np.array([[found["trc"][f"{joint}_{axis}"] for axis in "xyz"] for joint in H36M17.joints], dtype=float)
    read = read.transpose(2, 0, 1)
    assert (np.isnan(read) == np.isnan(expected)).all()
    assert np.nanmax(np.abs(read - expected)) < 1e-4  # mm
    assert np.allclose(found["trc_time"], clip.time, atol=1e-6)
    angles = pose_angles(clip)
    for coordinate, name in (("knee_angle_l", "left_knee_flexion"), ("hip_flexion_r", "right_hip_flexion")):
        known = np.isfinite(angles[name])
        assert known.sum() > 40
        assert np.abs(np.array(found["mot"][coordinate]) - angles[name])[known].max() < 1e-5  # degrees
    assert np.isfinite(list(found["mot"].values())).all()
    assert np.allclose(found["mot_time"], clip.time, atol=1e-6)
    assert any("interpolated" in note and "knee_angle_r" in note for note in written[1].notes)


def coordinates(count: int = 24) -> dict[str, list[float]]:
    """Coordinates of the model through time; the pelvis's list and rotation are odd, so that it faces +x on the mean."""
    t = np.linspace(-1, 1, count)

    def wave(i: int, low: float, high: float) -> np.ndarray:
        return low + (high - low) * (0.5 + 0.5 * np.sin((2 + i % 3) * t + i))

    out = {"pelvis_tilt": 15 * np.cos(3 * t), "pelvis_list": 8 * np.sin(2 * t), "pelvis_rotation": 30 * t,
           "pelvis_tx": t, "pelvis_ty": 0.9 + 0 * t, "pelvis_tz": 0.1 * t}  # fmt: skip
    ranges = {"hip_flexion": (-20, 60), "hip_adduction": (-20, 20), "hip_rotation": (-25, 25), "knee_angle": (25, 90),
              "arm_flex": (-30, 100), "arm_add": (-60, 10), "arm_rot": (-40, 40), "elbow_flex": (25, 110)}  # fmt: skip
    for i, (name, (low, high)) in enumerate(ranges.items()):
        for j, side in enumerate("rl"):
            out[f"{name}_{side}"] = wave(2 * i + j, low, high)
    return {name: values.tolist() for name, values in out.items()}


def poses_of(markers: dict[str, list], frame_rate: float = 30.0) -> PoseSet:
    """OpenSim's places (y up, metres) as world poses (z up, mm)."""
    at = np.array([markers[joint] for joint in H36M17.joints]).transpose(1, 0, 2) * 1000
    return PoseSet(H36M17, joints=at[..., [0, 2, 1]] * [1, -1, 1], frame="world", time=np.arange(len(at)) / frame_rate)


@needs_opensim
def test_angles_are_the_coordinates_of_opensims_model(tmp_path: Path) -> None:
    """OpenSim moves its model by coordinates; from where the joints go, the MOT file has the coordinates again."""
    truth = coordinates()
    back = {"lumbar_extension": -10.0, "lumbar_bending": 7.0, "lumbar_rotation": 12.0}
    truth |= {name: [value] * 24 for name, value in back.items()}
    poses = poses_of(opensim(tmp_path, task="move", markers=None, coordinates=truth))
    export(poses, tmp_path / "a.mot")
    export(poses, tmp_path / "a.trc")
    found = opensim(tmp_path, task="read", trc="a.trc", mot="a.mot")["mot"]
    assert set(truth) <= set(found)
    for name, values in truth.items():
        assert np.abs(np.array(found[name]) - values).max() < 1e-4, name  # degrees, metres


@needs_opensim
def test_inverse_kinematics_from_our_markers(tmp_path: Path) -> None:
    """The marker set loads onto the model's bodies, and OpenSim solves our TRC file with it."""
    truth = coordinates()
    (tmp_path / "markers.xml").write_text(marker_set(H36M17))
    poses = poses_of(opensim(tmp_path, task="move", markers="markers.xml", coordinates=truth))
    export(poses, tmp_path / "a.trc")
    found = opensim(tmp_path, task="solve", markers="markers.xml", trc="a.trc", out="ik.mot")
    for name in ("hip_flexion_r", "hip_adduction_l", "knee_angle_l", "arm_flex_r", "elbow_flex_l", "pelvis_tilt"):
        assert np.abs(np.array(found[name]) - truth[name]).max() < 0.1, name


def test_trc_text(clip: PoseSet, tmp_path: Path) -> None:
    (path,) = export(clip, tmp_path / "clip.trc").paths
    lines = path.read_text().split("\n")
    assert lines[0] == "PathFileType\t4\t(X/Y/Z)\tclip.trc"
    assert lines[2].split("\t") == ["30", "30", "60", "17", "mm", "30", "1", "60"]
    assert lines[3].split("\t")[:6] == ["Frame#", "Time", "mid_hip", "", "", "right_hip"]
    assert lines[5] == ""
    rows = [line.split("\t") for line in lines[6:-1]]
    assert {len(row) for row in rows} == {2 + 3 * 17 + 1}
    assert rows[10][2:] == [""] * (3 * 17 + 1)
    assert rows[59][0] == "60"


def test_c3d_by_ezc3d_and_by_our_reader(clip: PoseSet, tmp_path: Path) -> None:
    import ezc3d

    (path,) = export(clip, tmp_path / "clip.c3d").paths
    file = ezc3d.c3d(str(path))
    parameters = ("LABELS", "UNITS", "RATE", "X_SCREEN", "Y_SCREEN", "FRAMES")
    point = {name: file["parameters"]["POINT"][name]["value"] for name in parameters}
    assert point["LABELS"] == list(H36M17.joints)
    assert (point["UNITS"], point["RATE"][0], point["X_SCREEN"], point["Y_SCREEN"]) == (["mm"], 30.0, ["+Y"], ["+Z"])
    assert point["FRAMES"][0] == 60
    read = file["data"]["points"][:3].transpose(2, 1, 0)
    missing = np.isnan(clip.joints)
    assert (np.isnan(read) == missing).all()
    assert np.nanmax(np.abs(read - clip.joints)) < 1e-3  # mm: 32-bit floats of metres
    residuals = file["data"]["meta_points"]["residuals"][0].T
    assert (residuals[missing[..., 0]] == -1).all()
    assert (residuals[~missing[..., 0]] == 0).all()
    ours = read_c3d(path)
    assert (ours.labels, ours.rate, ours.unit_mm, ours.up) == (H36M17.joints, 30.0, 1.0, "z")
    assert np.array_equal(ours.points, read, equal_nan=True)


def test_c3d_by_a_second_reader(clip: PoseSet, tmp_path: Path) -> None:
    c3d = pytest.importorskip("c3d", reason="needs c3d (dependency group test)")
    (path,) = export(clip, tmp_path / "clip.c3d").paths
    with path.open("rb") as handle:
        reader = c3d.Reader(handle)
        labels = tuple(label.strip() for label in reader.point_labels)
        rate = reader.point_rate
        frames = [points for _, points, _ in reader.read_frames()]
    assert (labels, rate) == (H36M17.joints, 30.0)
    points = np.array(frames)
    missing = np.isnan(clip.joints).any(axis=-1)
    assert ((points[..., 3] == -1) == missing).all()
    assert np.abs(points[..., :3] - clip.joints)[~missing].max() < 1e-3  # mm


def test_c3d_of_two_people(two_people: PoseSet, tmp_path: Path) -> None:
    (path,) = export(two_people, tmp_path / "two.c3d").paths
    file = read_c3d(path)
    assert file.labels[:1] == ("person0:mid_hip",)
    assert file.labels[17:18] == ("person3:mid_hip",)
    there = np.isfinite(file.points).all(axis=-1)
    assert there[:, :17].all()
    assert (there[:, 17:].all(axis=1) == (np.arange(20) >= 5) & (np.arange(20) < 15)).all()
    # Before a camera: x stays, depth becomes -y... as a world with z up; distances within a pose are kept.
    pose, was = file.points[7, 17:], np.asarray(two_people.joints[22], dtype=float)
    assert np.allclose(pose - pose[0], (was - was[0])[:, [0, 2, 1]] * [1, 1, -1], atol=1e-3)
    alone = export(two_people, tmp_path / "one.c3d", person=3)
    assert read_c3d(alone.paths[0]).labels == H36M17.joints


def test_c3d_of_more_than_255_points(tmp_path: Path) -> None:
    import ezc3d

    joints = np.random.default_rng(0).normal(0, 500, (40, 17, 3))
    crowd = PoseSet(
        H36M17, joints=joints, frame="world", time=np.tile([0, 0.1], 20), person=np.repeat(np.arange(20), 2)
    )
    (path,) = export(crowd, tmp_path / "crowd.c3d").paths
    assert read_c3d(path).labels[-1] == "person19:right_wrist"
    points = ezc3d.c3d(str(path))["data"]["points"][:3].transpose(2, 1, 0).reshape(2, 20, 17, 3)
    assert np.abs(points.swapaxes(0, 1).reshape(40, 17, 3) - joints).max() < 1e-3


def test_one_person_a_file(two_people: PoseSet, tmp_path: Path) -> None:
    for suffix in ("trc", "mot"):
        paths = export(two_people, tmp_path / f"two.{suffix}").paths
        assert [path.name for path in paths] == [f"two-person0.{suffix}", f"two-person3.{suffix}"]
    first = float((tmp_path / "two-person3.trc").read_text().split("\n")[6].split("\t")[1])
    assert first == pytest.approx(0.2)  # on the clip's clock


def test_mot_is_finite_and_leaves_out_what_is_never_known(clip: PoseSet, tmp_path: Path) -> None:
    joints = np.array(clip.joints)
    joints[:, H36M17.index("left_wrist")] = np.nan
    poses = PoseSet(H36M17, joints=joints, frame="world", time=clip.time)
    written = export(poses, tmp_path / "a.mot")
    lines = written.paths[0].read_text().splitlines()
    head = lines.index("endheader")
    assert lines[:head] == ["a", "version=1", "nRows=60", f"nColumns={len(lines[head + 1].split())}", "inDegrees=yes"]
    assert "elbow_flex_l" not in lines[head + 1].split("\t")
    assert "elbow_flex_r" in lines[head + 1].split("\t")
    assert any("left out" in note and "elbow_flex_l" in note for note in written.notes)
    assert np.isfinite(np.loadtxt(lines[head + 2 :])).all()


def test_marker_set_of_every_skeleton() -> None:
    bodies = {"pelvis", "torso", *(f"{body}_{side}" for body in ("femur", "tibia", "talus", "calcn", "humerus", "ulna",
              "hand") for side in "rl")}  # fmt: skip
    for name in ("h36m17", "human19", "coco17", "halpe26", "body25", "mediapipe33"):
        skeleton = get_skeleton(name)
        markers = {marker.get("name"): marker for marker in ET.fromstring(marker_set(skeleton)).iter("Marker")}
        assert set(markers) <= set(skeleton.joints)
        assert {"left_knee", "right_wrist", "left_shoulder"} <= set(markers)
        for joint, marker in markers.items():
            body = marker.findtext("socket_parent_frame").removeprefix("/bodyset/")
            assert body in bodies
            assert body.endswith({"left": "_l", "right": "_r"}.get(joint.partition("_")[0], ""))
            assert len(marker.findtext("location").split()) == 3
    assert "right_big_toe" in markers_of("halpe26")
    left, right = (np.array(markers_of("halpe26")[f"{side}_small_toe"].split(), float) for side in ("left", "right"))
    assert np.array_equal(left, right * [1, 1, -1])


def markers_of(name: str) -> dict[str, str]:
    tree = ET.fromstring(marker_set(get_skeleton(name)))
    return {marker.get("name"): marker.findtext("location") for marker in tree.iter("Marker")}


def test_what_cannot_be_written_is_refused(clip: PoseSet, two_people: PoseSet, tmp_path: Path, monkeypatch) -> None:
    flat = PoseSet(H36M17, keypoints=np.zeros((3, 17, 2)), time=np.arange(3.0))
    nobody = PoseSet(H36M17, joints=np.full((3, 17, 3), np.nan), time=np.arange(3.0))
    for suffix in ("c3d", "trc", "mot"):
        with pytest.raises(InputError, match="3D joints"):
            export(flat, tmp_path / f"x.{suffix}")
        with pytest.raises(InputError, match="ever there"):
            export(nobody, tmp_path / f"x.{suffix}")
        assert export(clip.select(slice(0, 1)), tmp_path / f"one.{suffix}").paths[0].stat().st_size > 100
    arm = {
        "name": "arm",
        "joints": ["a", "b"],
        "root": "a",
        "mirror_pairs": [],
        "limbs": [{"parent": "a", "child": "b"}],
    }
    other = PoseSet(type(H36M17).from_dict(arm), joints=np.ones((3, 2, 3)), time=np.arange(3.0))
    with pytest.raises(InputError, match="skeleton 'arm'"):
        export(other, tmp_path / "x.mot")
    with pytest.raises(InputError, match="skeleton 'arm'"):
        export(other, tmp_path / "x.xml")
    assert export(other, tmp_path / "arm.c3d").paths  # markers need no names that we know
    assert "which way they face is unknown" in " ".join(export(other, tmp_path / "arm.trc").notes)
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    with pytest.raises(InputError, match=r"nearfar\[biomechanics\]"):
        export(clip, tmp_path / "x.c3d")
    assert not list(tmp_path.glob("x.*")) + list(tmp_path.glob(".*"))
