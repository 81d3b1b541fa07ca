"""The merged labels of the study: read, and written without loss."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lsp_samples import JOINT_NAMES, merged, study, study_images, write_merged, write_study

from nearfar.datasets import load_labels, load_poses
from nearfar.datasets.mturk import STUDY_JOINTS
from nearfar.datasets.relative_depth_lsp import (
    SOURCE,
    RelativeDepthLSP,
    load_relative_depth_lsp,
    relative_depth_lsp_from_json,
    write_relative_depth_lsp,
)
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Limb, Skeleton, get_skeleton

LSP = get_skeleton("lsp14")


@pytest.fixture
def path(tmp_path):
    return write_merged(tmp_path / "relative_depth_lsp_v1.json")


def test_what_the_file_says_is_what_is_read(path):
    data, read = merged(), load_relative_depth_lsp(path)
    assert read.joint_names == JOINT_NAMES == STUDY_JOINTS[:14]
    assert read.is_train.tolist() == [True] * 4 + [False] * 2
    assert read.poses.sequence.values().tolist() == [image["im_file"] for image in data["images"]]
    usual = ["head_top", *JOINT_NAMES[1:]]
    for row, image in enumerate(data["images"]):
        for k, name in enumerate(usual):
            j = LSP.index(name)
            assert read.poses.keypoints[row, j].tolist() == image["keypoints"][2 * k : 2 * k + 2]
            assert read.poses.occluded[row, j] == image["occluded"][k]
    anns = [(row, ann) for row, image in enumerate(data["images"]) for ann in image["anns"]]
    labels = read.labels
    assert (len(labels), labels.kind) == (len(anns), "merged")
    for i, (row, ann) in enumerate(anns):
        assert labels.pose[i] == row
        a, b = (LSP.joints[j] for j in labels.pair[i])
        assert (a, b) == (usual[ann["kp0"]], usual[ann["kp1"]])
        assert labels.relation[i] == (1 if ann["label"] == 1 else -1)  # 0: kp0 is nearer, 1: kp1 is
        assert labels.probability[i] == ann["prob"]
        assert labels.risk[i] == ann["risk"]
        assert labels.source_id[i] == ann["original_id"]
    assert ((labels.probability > 0.5) == (labels.relation == 1)).all()
    assert "BMVC 2018" in labels.provenance["citation"]


def test_there_and_back(path, tmp_path):
    read = load_relative_depth_lsp(path)
    write_relative_depth_lsp(tmp_path / "again.json", read)
    assert json.loads((tmp_path / "again.json").read_text()) == merged()
    # Through our own files too, and in any order of the labels within images.
    read.labels.save(tmp_path / "a.parquet")
    read.poses.save(tmp_path / "a.npz")
    again = dataclasses.replace(
        read, poses=PoseSet.load(tmp_path / "a.npz"), labels=RelativeLabels.load(tmp_path / "a.parquet")
    )
    write_relative_depth_lsp(tmp_path / "again.json", again)
    assert json.loads((tmp_path / "again.json").read_text()) == merged()
    mixed = dataclasses.replace(read, labels=read.labels.select(np.argsort(-read.labels.pose, kind="stable")))
    write_relative_depth_lsp(tmp_path / "again.json", mixed)
    assert json.loads((tmp_path / "again.json").read_text()) == merged()


@given(st.integers(0, 6), st.integers(0, 20), st.integers(0, 100), st.permutations(JOINT_NAMES))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_there_and_back_with_any_content(tmp_path, images, pairs, seed, names):
    data = merged(images, pairs, seed) | {"joint_names": names}
    write_relative_depth_lsp(tmp_path / "a.json", relative_depth_lsp_from_json(data, "a.json"))
    assert json.loads((tmp_path / "a.json").read_text()) == data


def test_parts(path):
    train, test = SOURCE.prepare(path.parent, None)
    assert (train.name, test.name) == ("train", "test")
    assert train.poses.sequence.values().tolist() == [f"images/im000{i}.jpg" for i in (1, 2, 3, 4)]
    assert test.labels.pose.tolist() == [0] * 5 + [1] * 5
    assert test.labels.source_id[5].startswith("5_")
    test.labels.check_poses(test.poses)
    assert len(train.labels) == 15
    train_17, _ = SOURCE.prepare(path.parent, "h36m17")
    train_17.labels.check_poses(train_17.poses)
    names, names_17 = np.array(LSP.joints), np.array(get_skeleton("h36m17").joints)
    np.testing.assert_array_equal(names_17[train_17.labels.pair], names[train.labels.pair])


def test_the_doors_open_it(path):
    poses, labels = load_poses(path), load_labels(path)
    labels.check_poses(poses)
    assert (len(poses), len(labels), labels.kind) == (6, 25, "merged")
    assert len(load_labels(path, poses=poses)) == 25
    with pytest.raises(InputError, match="made for skeleton 'lsp14'"):
        load_labels(path, poses=poses.remap("h36m17"))
    with pytest.raises(InputError, match="joint_names: expected the joints of 'coco17'"):
        load_poses(path, skeleton="coco17")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(joint_names=None), "joint_names: expected a list of names, got None"),
        (lambda d: d["joint_names"].pop(), "joint_names: expected the joints of 'lsp14' in any order"),
        (lambda d: d["joint_names"].__setitem__(0, "neck"), "joint_names: expected the joints of 'lsp14' in any order"),
        (lambda d: d.update(images={}), "images: expected a list, got {}"),
        (lambda d: d["images"].__setitem__(1, 7), "image 1: expected an object, got 7"),
        (lambda d: d["images"][2].pop("im_file"), "image 2: no 'im_file'; it has "),
        (lambda d: d["images"][2].update(im_file=3), "image 2: im_file: expected text"),
        (lambda d: d["images"][2].update(im_file="x" * 1000), "image 2: im_file: expected text of up to 200"),
        (lambda d: d["images"][1].update(is_train=2), "image 1: is_train: expected whole numbers from 0 to 1, got 2"),
        (lambda d: d["images"][1].update(is_train="yes"), "image 1: is_train: expected numbers, got 'yes'"),
        (lambda d: d["images"][1]["keypoints"].pop(), "image 1: keypoints: expected a list of 28 numbers"),
        (lambda d: d["images"][1]["keypoints"].__setitem__(3, "1"), "image 1: keypoints: expected numbers, got '1'"),
        (lambda d: d["images"][1]["keypoints"].__setitem__(3, [1]), r"image 1: keypoints: expected numbers, got \[1\]"),
        (lambda d: d["images"][1]["keypoints"].__setitem__(3, float("nan")), "image 1: keypoints: expected finite"),
        (lambda d: d["images"][1]["keypoints"].__setitem__(3, 1e300), "keypoints: 1e[+]300 at .* is no position"),
        (lambda d: d["images"][1]["keypoints"].__setitem__(3, 10**400), "keypoints: a number too large"),
        (lambda d: d["images"][4]["occluded"].__setitem__(3, 2), "image 4: occluded: expected whole numbers from 0 to 1"),
        (lambda d: d["images"][4].update(anns=None), "image 4: anns: expected a list, got None"),
        (lambda d: d["images"][4]["anns"].__setitem__(2, "x"), "image 4, annotation 2: expected an object, got 'x'"),
        (lambda d: d["images"][4]["anns"][2].pop("risk"), "image 4, annotation 2: no 'risk'"),
        (lambda d: d["images"][4]["anns"][2].update(kp0=14), "image 4, annotation 2: kp0: expected whole numbers from 0"),
        (lambda d: d["images"][4]["anns"][2].update(kp1=-1), "image 4, annotation 2: kp1: expected whole numbers from 0"),
        (lambda d: d["images"][4]["anns"][2].update(label=-1), "annotation 2: label: expected whole numbers from 0 to 1"),
        (lambda d: d["images"][4]["anns"][2].update(prob=1.5), r"row 17: probability 1\.5: expected 0\.\.1"),
        (lambda d: d["images"][4]["anns"][2].update(kp0=3, kp1=3), "a joint cannot be compared with itself"),
        (
            lambda d: d["images"][4]["anns"].append(d["images"][4]["anns"][0] | {"label": 1 - d["images"][4]["anns"][0]["label"]}),
            "two different merged labels for one pair",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, change, message):
    data = merged()
    change(data)
    path = write_merged(tmp_path / "relative_depth_lsp_v1.json", data)
    with pytest.raises(InputError, match=message) as error:
        load_relative_depth_lsp(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert SOURCE.problems(tmp_path) == [str(error.value)]


def test_what_the_form_has_no_place_for(path, tmp_path):
    read, out = load_relative_depth_lsp(path), tmp_path / "out.json"
    replace = dataclasses.replace
    for wrong, message in (
        (replace(read, labels=replace(read.labels, probability=None)), "merged labels with probability"),
        (replace(read, labels=replace(read.labels, kind="answers")), "merged labels with probability"),
        (replace(read, labels=replace(read.labels, relation=0 * read.labels.relation)), "none of them 'equally far'"),
        (replace(read, poses=read.poses.remap("h36m17")), "joint_names: expected the joints of 'h36m17' in any"),
        (replace(read, poses=replace(read.poses, keypoints=read.poses.keypoints * np.nan)), "with all keypoints"),
        (replace(read, poses=replace(read.poses, sequence=None)), "the file and the split of each of the 6 images"),
        (replace(read, is_train=read.is_train[1:]), "the file and the split of each of the 6 images"),
        (replace(read, labels=replace(read.labels, pose=read.labels.pose + 1)), "the pose set has rows 0..5"),
        (replace(read, joint_names=("neck",)), "joint_names: expected the joints of 'lsp14'"),
    ):
        with pytest.raises(InputError, match=message):
            write_relative_depth_lsp(out, wrong)
    assert not out.exists()


def test_labels_of_others_can_be_written(tmp_path):
    rng = np.random.default_rng(0)
    poses = PoseSet(
        LSP, keypoints=rng.uniform(0, 99, (2, 14, 2)).astype(np.float32), sequence=Category.of(["b.jpg", "a.jpg"])
    )
    labels = RelativeLabels(
        LSP, np.array([1]), np.array([[13, 0]]), np.array([-1], np.int8), probability=np.array([0.125]), kind="merged"
    )
    write_relative_depth_lsp(tmp_path / "a.json", RelativeDepthLSP(poses, labels, np.array([True, False])))
    data = json.loads((tmp_path / "a.json").read_text())
    assert [image["im_file"] for image in data["images"]] == ["b.jpg", "a.jpg"]
    assert data["images"][0]["occluded"] == [0] * 14
    (ann,) = data["images"][1]["anns"]
    assert ann == {"kp0": 0, "kp1": 13, "label": 0, "prob": 0.125, "risk": 0.125, "original_id": "1_0,13"}
    read = load_relative_depth_lsp(tmp_path / "a.json")
    np.testing.assert_array_equal(read.poses.keypoints.astype(np.float32), poses.keypoints)


@pytest.mark.parametrize("name", ["h36m17", "coco17", "mpi3dhp28"])
def test_the_form_serves_every_skeleton(tmp_path, name):
    skeleton, rng = get_skeleton(name), np.random.default_rng(0)
    j = skeleton.num_joints
    poses = PoseSet(
        skeleton,
        keypoints=rng.uniform(0, 999, (3, j, 2)),
        occluded=rng.random((3, j)) < 0.3,
        sequence=Category.of(["a.jpg", "b/c.jpg", "a.jpg"]),
    )
    labels = RelativeLabels(
        skeleton, np.array([0, 2, 2]), np.array([[j - 1, 0], [1, 5], [2, 3]]), np.array([1, -1, 1], np.int8),
        probability=np.array([0.9, 0.25, 0.5]), risk=np.array([0.1, 0.3, 0.5]), source_id=np.array(["x", "", "z"]), kind="merged",
    )  # fmt: skip
    write_relative_depth_lsp(tmp_path / "a.json", RelativeDepthLSP.of(poses, labels))
    read = load_relative_depth_lsp(tmp_path / "a.json")
    assert (read.poses.skeleton, read.joint_names, read.is_train.all()) == (skeleton, skeleton.joints, True)
    assert read.poses.provenance == {"file": "a.json"}  # no words about LSP
    np.testing.assert_array_equal(read.poses.keypoints, poses.keypoints)
    np.testing.assert_array_equal(read.poses.occluded, poses.occluded)
    assert read.poses.sequence.values().tolist() == ["a.jpg", "b/c.jpg", "a.jpg"]
    for column in ("pose", "pair", "relation", "probability", "risk", "source_id"):
        np.testing.assert_array_equal(getattr(read.labels, column), getattr(labels, column))
    assert load_labels(tmp_path / "a.json").skeleton == load_poses(tmp_path / "a.json").skeleton == skeleton


def test_joints_of_ones_own_need_their_skeleton(tmp_path):
    ours = Skeleton("ours", ("tail", "paw"), "tail", (Limb(0, 1),), ())
    poses = PoseSet(ours, keypoints=np.ones((1, 2, 2)), sequence=Category.of(["a.jpg"]))
    labels = RelativeLabels(
        ours, np.array([0]), np.array([[1, 0]]), np.array([1], np.int8), probability=np.array([0.75]), kind="merged"
    )
    write_relative_depth_lsp(tmp_path / "a.json", RelativeDepthLSP.of(poses, labels))
    assert load_labels(tmp_path / "a.json", skeleton=ours).pair.tolist() == [[1, 0]]
    with pytest.raises(InputError, match="joint_names: expected the joints of 'lsp14' in any order, got"):
        load_labels(tmp_path / "a.json")


def test_answers_beside_the_merged_labels_are_parts_too(path):
    folder = path.parent
    write_study(folder / "relative_depth_lsp_mturk.pkl", study())
    write_study(folder / "user_study.pkl", study("human", images=(7, 12)))
    (problem,) = SOURCE.problems(folder)
    assert "user_study.pkl: answers on Human3.6M, which need" in problem
    (folder / "relative_depth_human36m_gt.json").write_text(json.dumps(study_images()))
    assert SOURCE.problems(folder) == []
    parts = {part.name: part for part in SOURCE.prepare(folder, None)}
    assert list(parts) == ["train", "test", "relative_depth_lsp_mturk", "user_study"]
    for part in parts.values():
        part.labels.check_poses(part.poses)
    crowd = parts["relative_depth_lsp_mturk"]
    assert crowd.labels.kind == "answers"
    assert crowd.poses.sequence.values()[crowd.labels.pose[0]] == "images/im0001.jpg"
    assert set(parts["user_study"].poses.frame_index[parts["user_study"].labels.pose]) == {100, 200}


def test_the_order_of_the_joints_is_that_of_the_merged_file(tmp_path):
    names = list(reversed(JOINT_NAMES))
    write_merged(tmp_path / "relative_depth_lsp_v1.json", merged() | {"joint_names": names})
    write_study(tmp_path / "a.pkl", study())
    labels = next(part.labels for part in SOURCE.prepare(tmp_path, None) if part.name == "a")
    a, b = labels.source_id[0].split("_")[1].split(",")
    usual = [name.replace("head", "head_top") for name in names]
    assert [LSP.joints[j] for j in labels.pair[0]] == [usual[int(a)], usual[int(b)]]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.just(10**30),
    st.floats(),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
)


@given(st.data())
@settings(max_examples=150)
def test_any_value_anywhere(draw):
    """Each value of the file replaced by another: an error that says so, or a valid result."""
    data = merged(3, 2)
    at, target = copy.deepcopy(data), None
    place = draw.draw(st.sampled_from(["top", "image", "ann", "number"]))
    image = at["images"][draw.draw(st.integers(0, 2))]
    target = {"top": at, "image": image, "ann": image["anns"][0], "number": image["keypoints"]}[place]
    key = draw.draw(st.sampled_from(list(target) if isinstance(target, dict) else list(range(len(target)))))
    target[key] = draw.draw(VALUES)
    with contextlib.suppress(InputError):
        read = relative_depth_lsp_from_json(at, "a.json")
        assert len(read.labels) <= 6


@given(st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files(tmp_path, draw):
    data = bytearray(json.dumps(merged(3, 2)).encode())
    for _ in range(draw.draw(st.integers(0, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    (tmp_path / "a.json").write_bytes(data[: draw.draw(st.integers(0, len(data)) | st.just(len(data)))])
    with contextlib.suppress(InputError):
        load_relative_depth_lsp(tmp_path / "a.json")
