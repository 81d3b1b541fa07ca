"""The doors: `load_poses` and `load_labels` tell files apart by content and hold them against what the caller says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nearfar.datasets import load_labels, load_poses
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.tables import write_labels_csv, write_labels_json, write_poses_csv, write_poses_json

LSP = get_skeleton("lsp14")


@pytest.fixture
def poses():
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(10, 500, (6, 14, 2))
    return PoseSet(LSP, keypoints=keypoints, person=np.array([0, 0, 0, 2, 2, 2]), frame_index=np.arange(6) % 3)


@pytest.fixture
def labels():
    return RelativeLabels(LSP, np.array([0, 5]), np.array([[0, 1], [3, 2]]), np.array([-1, 1], np.int8))


@pytest.mark.parametrize("kind", ["npz", "csv", "json"])
def test_every_form_of_our_own_comes_back_whatever_its_name(tmp_path, poses, kind):
    path = tmp_path / f"poses.{kind}"
    {"npz": PoseSet.save, "csv": write_poses_csv, "json": write_poses_json}[kind](poses, path)
    path = path.rename(tmp_path / "named.otherwise")
    read = load_poses(path)
    np.testing.assert_array_equal(read.keypoints, poses.keypoints)
    assert read.person.tolist() == poses.person.tolist()
    assert load_poses(path, skeleton="lsp14", person=2).frame_index.tolist() == [0, 1, 2]
    assert load_poses(path, image_size=(640, 480)).image_size.tolist() == [[640, 480]] * 6
    with pytest.raises(InputError, match="no person 1; it has "):
        load_poses(path, person=1)
    with pytest.raises(InputError, match=r"'lsp14'.*'coco17'"):
        load_poses(path, skeleton="coco17")
    with pytest.raises(InputError, match="split 'test': only mocap files have splits inside"):
        load_poses(path, split="test")


def test_the_file_and_the_caller_must_agree(tmp_path):
    sizes = np.tile([640, 480], (2, 1))
    PoseSet(LSP, joints=np.zeros((2, 14, 3)), image_size=sizes).save(tmp_path / "a.npz")
    assert len(load_poses(tmp_path / "a.npz", image_size=(640, 480))) == 2
    with pytest.raises(InputError, match=r"a\.npz: the file says another image size than 480x640"):
        load_poses(tmp_path / "a.npz", image_size=(480, 640))
    with pytest.raises(InputError, match=r"a\.npz: no person 0; it names no persons"):
        load_poses(tmp_path / "a.npz", person=0)


def test_other_files_are_named_for_what_they_are(tmp_path, labels):
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros(3))
    with pytest.raises(InputError, match=r"expected one array, or .*; its arrays are \['x', 'y'\]"):
        load_poses(tmp_path / "a.npz")
    labels.save(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: a Parquet table, perhaps of labels"):
        load_poses(tmp_path / "a.parquet")
    write_labels_json(labels, tmp_path / "a.json")
    with pytest.raises(InputError, match="JSON of a kind not known here"):
        load_poses(tmp_path / "a.json")
    with pytest.raises(InputError, match="no such file"):
        load_poses(tmp_path / "none")
    (tmp_path / "b.json").write_text(json.dumps({"schema": "nearfar-poses-7"}))
    with pytest.raises(InputError, match="expected JSON of schema 'nearfar-poses-1', got 'nearfar-poses-7'"):
        load_poses(tmp_path / "b.json")


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_labels_come_back_and_must_fit_the_poses(tmp_path, labels, poses, kind):
    path = tmp_path / f"labels.{kind}"
    {"parquet": RelativeLabels.save, "csv": write_labels_csv, "json": write_labels_json}[kind](labels, path)
    path = path.rename(tmp_path / "named.otherwise")
    read = load_labels(path, poses=poses)
    assert (read.pose.tolist(), read.pair.tolist(), read.relation.tolist()) == ([0, 5], [[0, 1], [3, 2]], [-1, 1])
    with pytest.raises(InputError, match=r"pose '?5'?: .*0\.\.4"):
        load_labels(path, poses=poses.select(slice(5)))
    with pytest.raises(InputError, match=r"'lsp14'.*'coco17'"):
        load_labels(path, poses=PoseSet(get_skeleton("coco17"), joints=np.zeros((6, 17, 3))))


def test_what_holds_no_labels(tmp_path, poses):
    poses.save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="not a benchmark file: missing arrays"):
        load_labels(tmp_path / "a.npz")
    with pytest.raises(InputError, match="no labels that nearfar knows: expected Parquet"):
        load_labels(tmp_path)
    write_poses_csv(poses, tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"missing columns \['joint_a', 'joint_b', 'relation'\]"):
        load_labels(tmp_path / "a.csv")
