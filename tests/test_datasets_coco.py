"""COCO's keypoint ground truth, written here as published."""

from __future__ import annotations

import json

import numpy as np
import pytest
from damaged import damage, reads_or_refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfar.datasets import load_poses
from nearfar.datasets.coco import SOURCE, load_coco
from nearfar.errors import InputError
from nearfar.skeleton import get_skeleton

COCO = get_skeleton("coco17")


def annotation(number, image, flags, crowd=0):
    rng = np.random.default_rng(number)
    xy = rng.integers(0, 400, size=(17, 2)) * (np.array(flags)[:, None] > 0)
    keypoints = np.concatenate([xy, np.array(flags)[:, None]], axis=1).ravel().tolist()
    return {
        "segmentation": {"counts": [1, 2], "size": [480, 640]} if crowd else [[1.5, 2.5, 3.5, 4.5, 5.5, 6.5]],
        "num_keypoints": int(np.count_nonzero(flags)), "area": 100.5, "iscrowd": crowd, "keypoints": keypoints,
        "image_id": image, "bbox": [1.5, 2.5, 30.0, 40.0], "category_id": 1, "id": number,
    }  # fmt: skip


def ground_truth():
    seen, none = [2] * 17, [0] * 17
    return {
        "info": {"description": "COCO 2017 Dataset", "year": 2017},
        "licenses": [{"id": 1, "name": "Attribution"}],
        "images": [
            {"license": 1, "file_name": f"{i:012}.jpg", "height": 480, "width": 640, "id": i}
            for i in (785, 139, 397133)
        ],
        "annotations": [
            annotation(1, 785, [2, 1, 0, *[2] * 14]),
            annotation(2, 139, seen),
            annotation(3, 785, seen),
            annotation(4, 139, none),
            annotation(900100, 139, none, crowd=1),
        ],
        "categories": [
            {
                "supercategory": "person",
                "id": 1,
                "name": "person",
                "keypoints": list(COCO.joints),
                "skeleton": [[16, 14]],
            }
        ],
    }


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def test_ground_truth(tmp_path):
    data = ground_truth()
    poses = load_coco(write(tmp_path / "a.json", data))
    assert poses.skeleton == COCO
    assert poses.sequence.values().tolist() == ["000000000785.jpg"] * 2 + ["000000000139.jpg"]
    assert poses.person.tolist() == [0, 1, 0]
    for row, entry in enumerate((0, 2, 1)):
        points = np.array(data["annotations"][entry]["keypoints"]).reshape(17, 3)
        missing = points[:, 2] == 0
        np.testing.assert_array_equal(poses.keypoints[row][~missing], points[~missing, :2])
        assert np.isnan(poses.keypoints[row][missing]).all()
        np.testing.assert_array_equal(poses.scores[row], points[:, 2] > 0)
        np.testing.assert_array_equal(poses.occluded[row], points[:, 2] == 1)
    assert poses.image_size.tolist() == [[640, 480]] * 3
    assert poses.provenance["annotations_without_keypoints"] == 1
    assert poses.provenance["annotations_of_crowds"] == 1
    assert "CC BY 4.0" in poses.provenance["licence"]
    same = load_poses(tmp_path / "a.json")
    np.testing.assert_array_equal(same.keypoints, poses.keypoints)
    np.testing.assert_array_equal(same.occluded, poses.occluded)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("images"), r"no 'images'; its keys are"),
        (lambda d: d.update(images={}), "images: expected a list, got dict"),
        (lambda d: d["images"][1].pop("width"), "image 1: no 'width'"),
        (lambda d: d["categories"][0].update(keypoints=["nose"]), "categories: none has COCO's 17 keypoints"),
        (lambda d: d["annotations"][1].update(image_id=5), "annotation 1: image_id 5 is not among the file's 3 images"),
        (lambda d: d["annotations"][1].update(keypoints=[1] * 50), "annotation 1: expected a flat list"),
        (lambda d: d["annotations"][1]["keypoints"].__setitem__(2, 3), "annotation 1: visibility must be 0, 1 or 2"),
        (lambda d: d["annotations"].clear(), "nobody in it"),
    ],
)
def test_bad_files(tmp_path, change, message):
    data = ground_truth()
    change(data)
    path = write(tmp_path / "a.json", data)
    with pytest.raises(InputError, match=message) as error:
        load_coco(path)
    assert str(error.value).startswith(str(path))


def test_results_are_no_ground_truth(tmp_path):
    path = write(tmp_path / "a.json", [{"image_id": 1, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5}])
    with pytest.raises(InputError, match="expected an object with 'images', got list"):
        load_coco(path)


def test_source(tmp_path):
    assert [line.rsplit("/", 1)[1] for line in SOURCE.problems(tmp_path)] == [
        "person_keypoints_train2017.json: no such file",
        "person_keypoints_val2017.json: no such file",
    ]
    for split in ("train", "val"):
        write(tmp_path / "annotations" / f"person_keypoints_{split}2017.json", ground_truth())
    assert SOURCE.problems(tmp_path) == []
    parts = list(SOURCE.prepare(tmp_path, None))
    assert [(part.name, part.poses.skeleton.name) for part in parts] == [("train", "coco17"), ("val", "coco17")]
    lsp = next(SOURCE.prepare(tmp_path, "lsp14")).poses
    assert lsp.skeleton.name == "lsp14"
    assert lsp.occluded.shape == (3, 14)
    (download,) = SOURCE.downloads
    assert len(download.sha256) == 64
    assert download.unpack


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path, data):
    path = write(tmp_path / "a.json", ground_truth())
    damage(path, data)
    reads_or_refuses(load_coco, path)


@pytest.mark.shared
def test_real_annotations(shared):
    path = shared / "media" / "coco" / "test_coco.json"
    poses = load_coco(path)
    assert len(poses) == 12
    labelled = np.isfinite(poses.keypoints).all(axis=-1)
    assert not (poses.occluded & ~labelled).any()
    assert 0 < poses.occluded.sum() < labelled.sum()
