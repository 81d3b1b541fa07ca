"""CSV and JSON for people: there and back, and errors that name file, line and field."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.tables import (
    read_labels_csv,
    read_labels_json,
    read_poses_csv,
    read_poses_json,
    write_labels_csv,
    write_labels_json,
    write_poses_csv,
    write_poses_json,
)

LSP = get_skeleton("lsp14")
ARRAYS = (
    "keypoints", "scores", "occluded", "joints", "root_position", "intrinsics", "image_size", "time", "frame_index",
    "person",
)  # fmt: skip


def make(n=3, dtype=np.float32, seed=0, **changes):
    rng = np.random.default_rng(seed)
    fields = {
        "keypoints": rng.uniform(0, 2000, (n, 14, 2)).astype(dtype),
        "scores": rng.uniform(0.1, 1, (n, 14)).astype(dtype),
        "occluded": rng.random((n, 14)) < 0.3,
        "joints": (rng.normal(size=(n, 14, 3)) * 1000).astype(dtype),
        "frame": "root",
        "root_position": rng.normal(size=(n, 3)).astype(dtype) * 1e-5,
        "intrinsics": np.tile([1000.5, 1000, 500, 400], (n, 1)).astype(dtype),
        "image_size": np.tile([1000, 800], (n, 1)),
        "time": np.arange(n) / 30,
        "frame_index": np.arange(n) * 2,
        "person": np.zeros(n, np.int64),
        "sequence": Category.of(["walk, slow", 'quo"ted', "zwei\nZeilen"][:n]),
        "subject": Category.of(["S1"] * n),
        "action": Category.of(["", "läuft", ""][:n]),
        "provenance": {"from": "a test"},
    } | changes
    if n and fields["keypoints"] is not None:
        fields["keypoints"][0, 2] = np.nan
        fields["scores"][0, 2] = 0
    return PoseSet(LSP, **fields)


def same_numbers(read: PoseSet, poses: PoseSet) -> None:
    """Fail unless every array reads back as the same numbers, once in the dtype it had."""
    for name in ARRAYS:
        x, y = getattr(read, name), getattr(poses, name)
        assert (x is None) == (y is None), name
        if y is not None:
            np.testing.assert_array_equal(x.astype(y.dtype), y, err_msg=name)
    for name in ("sequence", "subject", "action"):
        x, y = getattr(read, name), getattr(poses, name)
        assert (x is None) == (y is None), name
        if y is not None:
            assert x.values().tolist() == y.values().tolist()
    assert read.frame == poses.frame
    assert read.skeleton == poses.skeleton


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_poses_there_and_back(tmp_path_factory, seed, dtype):
    folder, poses = tmp_path_factory.mktemp("tables"), make(seed=seed, dtype=dtype)
    write_poses_csv(poses, folder / "a.csv")
    same_numbers(read_poses_csv(folder / "a.csv"), poses)
    write_poses_json(poses, folder / "a.json")
    read = read_poses_json(folder / "a.json")
    same_numbers(read, poses)
    assert read.provenance == poses.provenance


@pytest.mark.parametrize(
    "poses",
    [
        PoseSet(LSP, keypoints=np.ones((2, 14, 2))),
        PoseSet(LSP, joints=np.ones((2, 14, 3)), frame="world", mean_limb_lengths=np.arange(14.0)),
        PoseSet(LSP, keypoints=np.full((2, 14, 2), np.nan), scores=np.zeros((2, 14))),
        PoseSet(LSP, joints=np.zeros((0, 14, 3))),
    ],
)
def test_poses_with_little_in_them(tmp_path, poses):
    write_poses_csv(poses, tmp_path / "a.csv")
    same_numbers(read_poses_csv(tmp_path / "a.csv", skeleton="lsp14"), poses)
    write_poses_json(poses, tmp_path / "a.json")
    read = read_poses_json(tmp_path / "a.json")
    same_numbers(read, poses)
    assert (read.mean_limb_lengths is None) == (poses.mean_limb_lengths is None)
    if poses.mean_limb_lengths is not None:
        np.testing.assert_array_equal(read.mean_limb_lengths, poses.mean_limb_lengths)


def test_the_table_is_tidy_and_says_its_units(tmp_path):
    write_poses_csv(make(), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 14
    assert list(rows[0]) == [
        "skeleton", "coordinates", "pose", "sequence", "subject", "action", "person", "frame", "time_s",
        "width_px", "height_px", "fx_px", "fy_px", "cx_px", "cy_px", "root_x_mm", "root_y_mm", "root_z_mm",
        "joint", "x_px", "y_px", "score", "occluded", "x_mm", "y_mm", "z_mm",
    ]  # fmt: skip
    assert (rows[2]["joint"], rows[2]["x_px"], rows[2]["y_px"], rows[2]["score"]) == ("right_hip", "", "", "0.0")
    assert (rows[14]["pose"], rows[14]["frame"], rows[0]["coordinates"]) == ("1", "2", "root")


def test_json_is_self_contained_and_readable(tmp_path):
    write_poses_json(make(), tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert data["schema"] == "nearfar-poses-1"
    assert data["unit"] == {"joints": "mm", "keypoints": "px", "time": "s"}
    assert data["skeleton"]["joints"] == list(LSP.joints)
    assert data["frame"] == "root"
    assert data["poses"][0]["keypoints"][2] == [None, None]
    assert data["poses"][1]["action"] == "läuft"
    assert len((tmp_path / "a.json").read_text("utf-8").splitlines()) < 400  # one line a pose
    data["poses"][0]["keypoints"][2] = None  # null for a whole joint is read too
    (tmp_path / "a.json").write_text(json.dumps(data))
    same_numbers(read_poses_json(tmp_path / "a.json"), make())


def test_a_table_by_hand(tmp_path):
    """Rows in any order, joints left out, blank lines, spaces, a byte-order mark."""
    text = "joint,pose,x_px,y_px\nneck,1,5,6\n\n head_top ,0, 1.5 ,2\nneck,0,,\n"
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    poses = read_poses_csv(tmp_path / "a.csv", skeleton="lsp14")
    assert len(poses) == 2
    assert poses.keypoints[0, LSP.index("head_top")].tolist() == [1.5, 2]
    assert poses.keypoints[1, LSP.index("neck")].tolist() == [5, 6]
    assert np.isnan(poses.keypoints).all(axis=-1).sum() == 2 * 14 - 2
    with pytest.raises(InputError, match="which skeleton"):
        read_poses_csv(tmp_path / "a.csv")


GOOD = "skeleton,coordinates,pose,sequence,person,joint,x_mm,y_mm,z_mm\n" + "".join(
    f"lsp14,camera,{pose},walk,4,{joint},1,2,3.5\n" for pose in range(2) for joint in LSP.joints[:3]
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("right_hip,1", "hip,1"), "line 4, joint 'hip': skeleton 'lsp14' has no such joint; it has"),
        (("right_hip,1", "right_knee,1"), "line 4, joint 'right_knee': this joint of this pose is there twice"),
        (("1,2,3.5", "1,two,3.5"), "line 2, y_mm 'two': not a number"),
        (("1,2,3.5", "1,inf,3.5"), "line 2, y_mm 'inf': expected a finite number"),
        (("camera,1", "camera,2"), "pose 1 has no rows, but there are poses up to 2"),
        (("camera,1", "camera,1.5"), "line 5, pose '1.5': expected a whole number"),
        (("camera,1", "camera,"), "line 5, pose '': expected a whole number"),
        (("camera,1", "camera,-1"), "line 5, pose '-1': pose numbers start at 0"),
        (("camera,1", "world,1"), "line 5, coordinates 'world': expected 'camera' as in the rows before"),
        (("camera", "moon"), "frame must be one of"),
        (
            ("walk,4,right_knee", "run,4,right_knee"),
            "line 3, sequence 'run': the rows of this pose before it say another",
        ),
        (("walk,4,right_knee", "walk,5,right_knee"), "line 3, person '5': the rows of this pose before it say another"),
        (("walk,4,right_knee", "walk,right_knee"), "line 3: expected 9 cells, got 8"),
        (("z_mm", "depth"), r"unknown columns \['depth'\]"),
        (("z_mm", "x_mm"), "line 1: two columns have the same name"),
        (("z_mm", "score"), r"columns \['x_mm', 'y_mm', 'z_mm'\] go together, but some are missing"),
        (("joint,", "point,"), r"missing columns \['joint'\]"),
        (("coordinates", "subject"), "x_mm, y_mm and z_mm need a column 'coordinates'"),
        (("lsp14", "lsp15"), "no skeleton 'lsp15'"),
    ],
)
def test_a_bad_table_says_which_line_and_column(tmp_path, change, message):
    path = tmp_path / "a.csv"
    path.write_text(GOOD)
    assert len(read_poses_csv(path)) == 2
    assert change[0] in GOOD
    every = change[0] in ("camera", "lsp14", "camera,1") and change[1] not in ("world,1",)
    path.write_text(GOOD.replace(*change) if every else GOOD.replace(*change, 1))
    with pytest.raises(InputError, match=message) as error:
        read_poses_csv(path)
    assert "lsp15" in message or str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_the_callers_skeleton_must_be_the_tables(tmp_path):
    (tmp_path / "a.csv").write_text(GOOD)
    with pytest.raises(InputError, match=r"a\.csv: its skeleton is 'lsp14', not 'h36m17'"):
        read_poses_csv(tmp_path / "a.csv", skeleton="h36m17")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("skeleton"), r"missing keys \['skeleton'\]"),
        (lambda d: d.update(schema="other"), "expected JSON of schema 'nearfar-poses-1', got 'other'"),
        (lambda d: d.update(frame="moon"), "frame must be one of"),
        (lambda d: d.update(poses={"a": 1}), "poses: expected a list of objects"),
        (lambda d: d["poses"].append(5), "poses: expected a list of objects"),
        (lambda d: d["poses"][1].pop("time"), "pose 1: its fields are .*, but pose 0 has"),
        (lambda d: d["poses"][1].update(colour=1), r"pose 1: unknown fields \['colour'\]"),
        (lambda d: d["poses"][1].update(time="now"), r"pose 1: time: expected numbers of shape \(\)"),
        (lambda d: d["poses"][1].update(time=[1, 2]), r"pose 1: time: expected numbers of shape \(\), got \(2,\)"),
        (lambda d: d["poses"][1]["keypoints"].pop(), r"pose 1: keypoints: expected numbers of shape \(14, 2\), got"),
        (lambda d: d["poses"][1]["joints"][3].pop(), r"pose 1: joints: expected numbers of shape \(14, 3\)"),
        (lambda d: d["poses"][2]["scores"].__setitem__(0, float("inf")), "pose 2: scores: expected finite numbers"),
        (lambda d: d["poses"][2].update(person=0.5), "pose 2: person: expected whole numbers"),
        (lambda d: d["poses"][2].update(person=None), "pose 2: person: expected whole numbers"),
        (lambda d: d["skeleton"].update(root="tail"), r"unknown joints \['tail'\]"),
        (
            lambda d: d.update(mean_limb_lengths=[1, 2]),
            r"mean_limb_lengths: expected numbers of shape \(14,\), got \(2,\)",
        ),
    ],
)
def test_bad_json_says_which_pose_and_field(tmp_path, change, message):
    path = tmp_path / "a.json"
    write_poses_json(make(), path)
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=message) as error:
        read_poses_json(path)
    assert str(error.value).startswith(f"{path}: ")


def labels(kind="merged", **changes):
    fields = {
        "pose": np.array([0, 1, 1]),
        "pair": np.array([[0, 1], [3, 2], [13, 0]]),
        "relation": np.array([-1, 1, 0], np.int8),
        "annotator": np.array(["w1", "Jürgen, K.", ""]),
        "probability": np.array([0.1, 1, 0.5], np.float32),
        "provenance": {"from": "a test"},
    } | changes
    return RelativeLabels(LSP, kind=kind, **fields)


EVERY_COLUMN = {
    "risk": np.array([0.02, 0, 0.5]),
    "unsure": np.array([False, False, True]),
    "response_time": np.array([1.25, 0, np.nan]),
    "task": np.array(["12", "12", "13"]),
    "assignment": np.array(["3AQF", "3AQF", ""]),
    "status": np.array(["good", "good", "flagged"]),
    "source_id": np.array(["0_0,1", "1_3,2", "1_13,0"]),
}


@pytest.mark.parametrize("kind", ["answers", "merged"])
@pytest.mark.parametrize("extras", [{}, {"annotator": None, "probability": None}, EVERY_COLUMN])
def test_labels_there_and_back(tmp_path, kind, extras):
    table = labels(kind, **extras)
    write_labels_csv(table, tmp_path / "a.csv")
    write_labels_json(table, tmp_path / "a.json")
    for read in (read_labels_csv(tmp_path / "a.csv"), read_labels_json(tmp_path / "a.json")):
        assert (read.skeleton, read.kind) == (LSP, kind)
        for name in ("pose", "pair", "relation", "annotator", "probability", *EVERY_COLUMN):
            expected = getattr(table, name)
            got = getattr(read, name)
            assert (got is None) == (expected is None)
            if expected is not None:
                np.testing.assert_array_equal(got.astype(expected.dtype), expected, err_msg=name)
    assert read.provenance["from"] == "a test"


def test_no_labels_there_and_back(tmp_path):
    none = labels().select(slice(0))
    write_labels_csv(none, tmp_path / "a.csv")
    assert len(read_labels_csv(tmp_path / "a.csv", skeleton="lsp14")) == 0
    write_labels_json(none, tmp_path / "a.json")
    assert len(read_labels_json(tmp_path / "a.json")) == 0


def test_labels_name_their_joints(tmp_path):
    write_labels_csv(labels(), tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text("utf-8").splitlines()
    assert lines[0] == "skeleton,kind,pose,joint_a,joint_b,relation,annotator,probability"
    assert lines[1] == "lsp14,merged,0,right_ankle,right_knee,-1,w1,0.1"
    assert lines[2] == 'lsp14,merged,1,left_hip,right_hip,1,"Jürgen, K.",1.0'


def test_labels_by_hand(tmp_path):
    (tmp_path / "a.csv").write_text("pose,joint_a,joint_b,relation\n0,neck,head_top,-1\n0,head_top,neck,-1\n")
    read = read_labels_csv(tmp_path / "a.csv", skeleton="lsp14")
    assert read.kind == "answers"
    with pytest.raises(
        InputError, match="line 2 and line 3: two different merged labels for neck and head_top of pose 0"
    ):
        read_labels_csv(tmp_path / "a.csv", skeleton="lsp14", kind="merged")
    with pytest.raises(InputError, match="which skeleton"):
        read_labels_csv(tmp_path / "a.csv")


GOOD_LABELS = (
    "kind,pose,joint_a,joint_b,relation,probability\nmerged,0,neck,head_top,1,0.9\nmerged,1,neck,left_hip,0,0.5\n"
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("left_hip", "hip"), "line 3, joint_b 'hip': skeleton 'lsp14' has no such joint"),
        (("left_hip", "neck"), "line 3, joint_b 'neck': a joint cannot be compared with itself"),
        (("1,neck", "2,neck"), r"line 3, pose '2': no such pose; there are poses 0\.\.1"),
        (("1,neck", "-2,neck"), "line 3, pose '-2': pose numbers start at 0"),
        (("1,neck", "x,neck"), "line 3, pose 'x': not a number"),
        (("1,0.9", "2,0.9"), r"line 2, relation '2': expected -1 \(a nearer\), 1 \(b nearer\) or 0"),
        (("1,0.9", ",0.9"), "line 2, relation '': expected a whole number"),
        (("0.9", "1.9"), r"line 2, probability '1\.9': expected a number in 0\.\.1"),
        (("0.9", ""), r"line 2, probability '': expected a number in 0\.\.1"),
        (("merged,1", "answers,1"), "line 3, kind 'answers': expected 'merged' as in the rows before"),
        (
            ("1,neck,left_hip,0", "0,head_top,neck,0"),
            "line 2 and line 3: two different merged labels for neck and head_top",
        ),
        (("joint_b", "joint_c"), r"missing columns \['joint_b'\]"),
        (("probability", "certainty"), r"unknown columns \['certainty'\]"),
    ],
)
def test_bad_labels_say_which_line_and_column(tmp_path, change, message):
    path = tmp_path / "a.csv"
    poses = PoseSet(LSP, joints=np.zeros((2, 14, 3)))
    path.write_text(GOOD_LABELS)
    assert len(read_labels_csv(path, skeleton=LSP, poses=poses)) == 2
    assert change[0] in GOOD_LABELS
    path.write_text(GOOD_LABELS.replace(*change))
    with pytest.raises(InputError, match=message) as error:
        read_labels_csv(path, skeleton=LSP, poses=poses)
    assert str(error.value).startswith(f"{path}: ")


def test_an_unknown_kind(tmp_path):
    (tmp_path / "a.csv").write_text(GOOD_LABELS.replace("merged", "votes"))
    with pytest.raises(InputError, match=r"kind: expected one of \('answers', 'merged'\), got 'votes'"):
        read_labels_csv(tmp_path / "a.csv", skeleton=LSP)


def test_bad_json_labels_say_which(tmp_path):
    path = tmp_path / "a.json"
    write_labels_json(labels(), path)
    data = json.loads(path.read_text("utf-8"))
    for change, message in [
        ({"joint_a": "knee"}, "label 1, joint_a 'knee': skeleton 'lsp14' has no such joint"),
        ({"relation": None}, "label 1, relation '': expected a whole number"),
        ({"joint_b": "left_hip"}, "label 1, joint_b 'left_hip': a joint cannot be compared with itself"),
        ({"colour": "red"}, r"unknown columns \['colour'\]"),
    ]:
        rows = [row | (change if i == 1 else {}) for i, row in enumerate(data["labels"])]
        path.write_text(json.dumps(data | {"labels": rows}))
        with pytest.raises(InputError, match=message):
            read_labels_json(path)
