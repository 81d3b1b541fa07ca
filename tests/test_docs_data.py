"""The pages on formats, skeletons and conventions say what the code does."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from nearfar.camera import DEFAULT_FIELD_OF_VIEW
from nearfar.datasets.keypoint_files import alphapose, coco, mediapipe, openpose
from nearfar.labels import NUMBER_COLUMNS, TEXT_COLUMNS, RelativeLabels
from nearfar.labels import SCHEMA as LABELS_SCHEMA
from nearfar.poses import SCHEMA as POSES_SCHEMA
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton, get_skeleton, skeleton_names
from nearfar.tables import read_labels_json, read_poses_json, write_labels_csv, write_poses_csv

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def formats():
    return (DOCS / "formats.md").read_text("utf-8")


@pytest.fixture(scope="module")
def skeletons():
    return (DOCS / "skeletons.md").read_text("utf-8")


def test_every_skeleton_is_listed_with_its_joints_in_order(skeletons):
    for name in skeleton_names():
        skeleton = get_skeleton(name)
        assert re.search(
            rf"^\| \[{name}\]\(#{name}\) \| {len(skeleton)} \| {skeleton.root} \|", skeletons, re.MULTILINE
        )
        section = skeletons.split(f"### {name}\n")[1].split("###")[0].replace("\n", " ")
        assert ", ".join(f"{i} {joint}" for i, joint in enumerate(skeleton.joints)) in section


def test_every_derived_joint_is_listed(skeletons):
    text = (resources.files("nearfar") / "skeletons" / "derived" / "derived.toml").read_text("utf-8")
    derived = tomllib.loads(text)
    table = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", skeletons, re.MULTILINE))
    assert table.keys() == derived.keys()
    for joint, entry in derived.items():
        alternatives = table[joint].split("; or ")
        assert len(alternatives) == len(entry["from"]), joint
        for written, parts in zip(alternatives, entry["from"], strict=True):
            assert all(part in written for part in parts), joint


def test_the_example_skeleton_loads(skeletons):
    example = Skeleton.from_dict(tomllib.loads(re.search(r"```toml\n(.*?)```", skeletons, re.DOTALL)[1]))
    assert example.joints == ("shoulder", "elbow", "wrist")
    assert example.unit_limb_index == 1


def test_every_field_and_column_is_listed(formats, tmp_path):
    fields = {field.name for field in dataclasses.fields(PoseSet)} - {"skeleton", "frame", "provenance"}
    for name in fields:
        assert f"`{name}`" in formats, name
    skeleton = get_skeleton("lsp14")
    ones = {"intrinsics": 4, "image_size": 2, "root_position": 3}
    poses = PoseSet(
        skeleton,
        keypoints=np.ones((1, 14, 2)),
        scores=np.ones((1, 14)),
        occluded=np.ones((1, 14), bool),
        joints=np.ones((1, 14, 3)),
        time=np.ones(1),
        person=np.ones(1, int),
        **{name: np.ones((1, width)) for name, width in ones.items()},
    )
    write_poses_csv(poses, tmp_path / "a.csv")
    labels = RelativeLabels(
        skeleton,
        np.array([0]),
        np.array([[0, 1]]),
        np.array([1]),
        unsure=np.array([False]),
        **dict.fromkeys(TEXT_COLUMNS, np.array(["a"])),
        **dict.fromkeys(NUMBER_COLUMNS, np.array([0.5])),
    )
    write_labels_csv(labels, tmp_path / "b.csv")
    for file in ("a.csv", "b.csv"):
        for column in (tmp_path / file).read_text().splitlines()[0].split(","):
            assert f"`{column}`" in formats, column
    assert POSES_SCHEMA in formats
    assert LABELS_SCHEMA in formats


def test_the_json_examples_are_read(formats, tmp_path):
    """The examples with two joints, given a skeleton of two."""
    skeleton = {
        "name": "two", "joints": ["left_wrist", "neck"], "root": "neck", "mirror_pairs": [],
        "limbs": [{"parent": "neck", "child": "left_wrist"}],
    }  # fmt: skip
    examples = [
        json.loads(text) | {"skeleton": skeleton} for text in re.findall(r"```json\n(.*?)```", formats, re.DOTALL)
    ]
    _, poses, labels = examples
    (tmp_path / "poses.json").write_text(json.dumps(poses))
    read = read_poses_json(tmp_path / "poses.json")
    assert np.isnan(read.keypoints[0]).all(axis=-1).tolist() == [False, True]
    assert read.frame == "root"
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    assert read_labels_json(tmp_path / "labels.json").relation.tolist() == [-1]


def test_every_skeleton_of_every_format_is_listed(formats):
    table = {line.split("|")[1]: line for line in formats.splitlines() if line.startswith("|")}
    for module, word in ((coco, "COCO"), (openpose, "OpenPose"), (alphapose, "AlphaPose"), (mediapipe, "MediaPipe")):
        line = next(line for first, line in table.items() if word in first)
        assert all(name in line for name in module.SKELETONS.values())


def test_the_default_field_of_view_is_said():
    text = (DOCS / "conventions.md").read_text("utf-8").replace("\n", " ")
    assert f"field of view of {DEFAULT_FIELD_OF_VIEW:g} degrees" in text
