"""CSV, Parquet, JSON and npz: what readers that are not ours find in them, and the published schema of the JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from nearfar import PoseSet, get_skeleton, skeleton_names, synthetic_poses
from nearfar.datasets import load_poses
from nearfar.errors import InputError
from nearfar.export import FORMATS, export, select
from nearfar.poses import Category
from nearfar.skeleton import Skeleton

H36M17 = get_skeleton("h36m17")
SCHEMA = json.loads((Path(__file__).resolve().parents[1] / "docs" / "poses.schema.json").read_text("utf-8"))
N = 6


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    """Everything a pose set can hold, with gaps and names that need quoting."""
    made = synthetic_poses(N, seed=2)
    joints, keypoints = np.array(made.joints, np.float64), np.array(made.keypoints, np.float64)
    joints[1, 3] = joints[2] = keypoints[1, 5] = np.nan
    scores = np.linspace(0.1, 1, N * 17).reshape(N, 17)
    scores[1, 5] = 0
    return PoseSet(
        H36M17, keypoints=keypoints, scores=scores, occluded=scores < 0.3, joints=joints, frame="root",
        root_position=np.tile([10.0, -20, 4000], (N, 1)), intrinsics=np.tile([1100.0, 1100, 640, 360], (N, 1)),
        image_size=np.tile([1280, 720], (N, 1)), time=np.arange(N) / 30, frame_index=np.arange(N),
        person=np.repeat([0, 1], 3), sequence=Category(np.zeros(N, int), ('the "walk", näher',)),
        subject=Category(np.arange(N) % 2, ("a", "b")), action=Category(np.zeros(N, int), ("walk",)),
        provenance={"source": "test"},
    )  # fmt: skip


def checks(data: object) -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(data)


def test_csv_by_pandas(poses: PoseSet, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas (dependency group oracle)")
    table = pandas.read_csv(export(poses, tmp_path / "a.csv").paths[0])
    assert len(table) == N * 17
    assert np.array_equal(table["joint"].to_numpy().reshape(N, 17)[0], H36M17.joints)
    assert set(table["sequence"]) == {'the "walk", näher'}
    for names, values in ((("x_mm", "y_mm", "z_mm"), poses.joints), (("x_px", "y_px"), poses.keypoints)):
        assert np.array_equal(table[list(names)].to_numpy().reshape(values.shape), values, equal_nan=True)
    assert table["root_z_mm"].eq(4000).all()


def test_parquet_by_pyarrow(poses: PoseSet, tmp_path: Path) -> None:
    """By Arrow's own reader: types, dictionaries, and null (not NaN) where a number is missing."""
    import pyarrow.parquet as pq

    table = pq.read_table(export(poses, tmp_path / "a.parquet").paths[0])
    columns = {name: table[name].to_pylist() for name in ("x_mm", "joint", "person", "sequence")}
    missing = np.isnan(poses.joints[..., 0]).ravel()
    assert np.array_equal([value is None for value in columns["x_mm"]], missing)
    assert np.array_equal(np.array(columns["x_mm"])[~missing].astype(float), poses.joints[..., 0].ravel()[~missing])
    assert columns["joint"][:17] == list(H36M17.joints)
    assert columns["person"][-1] == 1
    assert str(table.schema.field("joint").type).startswith("dictionary")


def test_json_is_as_the_schema_says(poses: PoseSet, tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="needs jsonschema (dependency group test)")
    data = json.loads(export(poses, tmp_path / "a.json").paths[0].read_text("utf-8"))
    checks(data)
    fields = {field.name for field in dataclasses.fields(PoseSet)} - {
        "skeleton",
        "frame",
        "provenance",
        "mean_limb_lengths",
    }
    assert set(data["poses"][0]) == fields == set(SCHEMA["$defs"]["pose"]["properties"])  # all that there can be
    found = np.array([[joint or [None] * 3 for joint in pose["joints"]] for pose in data["poses"]], dtype=float)
    assert np.array_equal(found, poses.joints, equal_nan=True)


def test_the_schema_takes_every_skeleton_and_refuses_faults(poses: PoseSet, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema (dependency group test)")
    for name in skeleton_names():
        skeleton = get_skeleton(name)
        lengths = np.ones(len(skeleton.limbs))
        only = PoseSet(skeleton, joints=np.ones((1, skeleton.num_joints, 3)), frame="world", mean_limb_lengths=lengths)
        checks(json.loads(export(only, tmp_path / f"{name}.json").paths[0].read_text("utf-8")))
    good = json.loads(export(poses, tmp_path / "a.json").paths[0].read_text("utf-8"))
    faults = [
        lambda data: data.update(frame="sideways"),
        lambda data: data.update(schema="nearfar-poses-2"),
        lambda data: data.pop("skeleton"),
        lambda data: data["poses"][0].update(colour="red"),
        lambda data: data["poses"][0]["joints"].__setitem__(0, [1, 2]),
        lambda data: data["poses"][0]["scores"].__setitem__(0, 1.5),
        lambda data: [data["poses"][0].pop(name) for name in ("joints", "keypoints")],
    ]
    for fault in faults:
        bad = json.loads(json.dumps(good))
        fault(bad)
        with pytest.raises(jsonschema.ValidationError):
            checks(bad)


def test_npz_by_numpy(poses: PoseSet, tmp_path: Path) -> None:
    with np.load(export(poses, tmp_path / "a.npz").paths[0], allow_pickle=False) as file:
        assert np.array_equal(file["joints"], poses.joints, equal_nan=True)
        assert json.loads(str(file["header"]))["frame"] == "root"


@pytest.mark.parametrize("suffix", ["csv", "json", "npz"])
def test_what_we_read_again_is_the_same(poses: PoseSet, suffix: str, tmp_path: Path) -> None:
    again = load_poses(export(poses, tmp_path / f"a.{suffix}").paths[0])
    for name in ("joints", "keypoints", "scores", "time", "person", "root_position"):
        assert np.array_equal(getattr(again, name), getattr(poses, name), equal_nan=True), name


def test_people_and_clips_are_chosen(poses: PoseSet, tmp_path: Path) -> None:
    assert len(load_poses(export(poses, tmp_path / "a.csv", person=1).paths[0])) == 3
    with pytest.raises(InputError, match="no person 7; there are 0, 1"):
        export(poses, tmp_path / "a.csv", person=7)
    with pytest.raises(InputError, match="no sequence 'run'"):
        select(poses, sequence="run")
    with pytest.raises(InputError, match=r"no such export format \('fbx'\); known are bvh"):
        export(poses, tmp_path / "a.fbx")
    with pytest.raises(InputError, match="a frame rate is for motion files"):
        export(poses, tmp_path / "a.csv", fps=30)
    with pytest.raises(InputError, match="there are no poses"):
        export(poses.select(slice(0, 0)), tmp_path / "a.csv")


def test_every_format_writes_over_what_is_there_or_nothing(poses: PoseSet, tmp_path: Path) -> None:
    """An existing file is replaced whole; a file for a folder, or a folder's name, is an error of one line."""
    one = select(poses, person=1)
    (tmp_path / "file").write_text("not a folder")
    for name in (name for name, entry in FORMATS.items() if not entry.pictures):
        path = tmp_path / f"a.{name}"
        path.write_text("old")
        export(one, path)
        assert path.read_bytes()[:3] != b"old", name
        (tmp_path / f"folder.{name}").mkdir()
        for wrong in (tmp_path / "file" / f"a.{name}", tmp_path / f"folder.{name}"):
            with pytest.raises(InputError):
                export(one, wrong)
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_tables_take_any_skeleton(tmp_path: Path) -> None:
    beast = {"name": "beast", "joints": ["body", "tail, tip"], "root": "body", "mirror_pairs": [],
             "limbs": [{"parent": "body", "child": "tail, tip"}]}  # fmt: skip
    poses = PoseSet(Skeleton.from_dict(beast), joints=np.ones((1, 2, 3)), frame="world")
    for suffix in ("json", "npz"):
        assert load_poses(export(poses, tmp_path / f"a.{suffix}").paths[0]).skeleton.joints == ("body", "tail, tip")
