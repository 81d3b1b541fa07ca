"""Skeletons: the files, the tree, the mirror, and the maps between them."""

from __future__ import annotations

import itertools
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nearfar.errors import InputError
from nearfar.skeleton import Skeleton, get_skeleton, mirror, skeleton_names
from nearfar.skeleton_maps import remap

NAMES = skeleton_names()
SMALL = """
name = "small"
joints = ["hip", "left", "right"]
root = "hip"
mirror_pairs = [["left", "right"]]
limbs = [{ parent = "hip", child = "left", length = 2 }, { parent = "hip", child = "right", length = 2.5 }]
unit_limb = ["hip", "left"]
"""


def test_the_skeletons_of_the_paper_and_of_the_detectors_are_there():
    expected = {
        "h36m17": 17, "h36m16": 16, "lsp14": 14, "human19": 19, "openpose17": 17, "coco17": 17, "coco18": 18,
        "mpii16": 16, "body25": 25, "halpe26": 26, "mediapipe33": 33,
        "mpi3dhp17": 17, "mpi3dhp28": 28, "smpl24": 24,
    }  # fmt: skip
    assert {name: get_skeleton(name).num_joints for name in NAMES} == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_file_loads_and_is_named_after_its_skeleton(name):
    text = (resources.files("nearfar") / "skeletons" / f"{name}.toml").read_text("utf-8")
    skeleton = get_skeleton(name)
    assert skeleton.name == name == tomllib.loads(text)["name"]
    assert skeleton.source
    assert (skeleton.reference_lengths is None) == (skeleton.proportions_source == "")


@pytest.mark.parametrize("name", NAMES)
def test_plain_data_and_back(name):
    skeleton = get_skeleton(name)
    assert Skeleton.from_dict(skeleton.to_dict()) == skeleton


@pytest.mark.parametrize("name", NAMES)
def test_limbs_form_a_tree_from_the_root(name):
    skeleton = get_skeleton(name)
    tree = [limb for limb in skeleton.limbs if not limb.closes_loop]
    assert len(tree) == skeleton.num_joints - 1
    assert skeleton.parents[skeleton.root_index] == -1
    ancestor = np.arange(skeleton.num_joints)
    for _ in range(skeleton.num_joints):
        ancestor = np.where(ancestor == skeleton.root_index, ancestor, skeleton.parents[ancestor])
    assert (ancestor == skeleton.root_index).all()
    assert all(not first.closes_loop or second.closes_loop for first, second in itertools.pairwise(skeleton.limbs))


@pytest.mark.parametrize("name", NAMES)
def test_mirror_pairs_are_all_that_has_a_side(name):
    skeleton = get_skeleton(name)
    for left, right in skeleton.mirror_pairs:
        assert left.replace("left", "right") == right != left
    paired = {joint for pair in skeleton.mirror_pairs for joint in pair}
    assert paired == {joint for joint in skeleton.joints if joint.startswith(("left", "right"))}
    limbs = {frozenset(pair) for pair in skeleton.limb_joints.tolist()}
    assert {frozenset(pair) for pair in skeleton.mirror_permutation[skeleton.limb_joints].tolist()} == limbs


def test_human36m_order_and_proportions():
    skeleton = get_skeleton("h36m17")
    parents = [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15]
    assert skeleton.parents.tolist() == parents
    assert skeleton.reference_lengths.tolist() == [7, 19, 20, 7, 19, 20, 11.5, 12.5, 3.5, 3.5, 9, 15, 14, 9, 15, 14]
    assert skeleton.limb_joints[skeleton.unit_limb_index].tolist() == [2, 3]
    assert skeleton.rigid_limbs.all()
    assert (~get_skeleton("lsp14").rigid_limbs).sum() == 2  # hip to shoulder, left and right


def test_an_unknown_joint_or_skeleton_is_an_error_that_lists_the_known():
    with pytest.raises(InputError, match="'h36m17' has no joint 'nose'; its joints are mid_hip, right_hip"):
        get_skeleton("h36m17").index("nose")
    with pytest.raises(InputError, match="no skeleton 'h36m'; known: body25, coco17"):
        get_skeleton("h36m")


@given(hnp.arrays(np.float64, (3, 17, 2), elements=st.floats(-1e3, 1e3) | st.just(np.nan)), st.floats(-1e3, 1e3))
def test_mirror_twice_is_identity(points, centre):
    skeleton = get_skeleton("coco17")
    back = mirror(mirror(points, skeleton, centre), skeleton, centre)
    np.testing.assert_allclose(back, points, atol=1e-9)


def test_mirror_exchanges_sides_about_the_line():
    skeleton = get_skeleton("coco17")
    points = np.full((17, 2), np.nan)
    points[skeleton.index("left_wrist")] = [10, 3]
    mirrored = mirror(points, skeleton, 100)
    assert mirrored[skeleton.index("right_wrist")].tolist() == [190, 3]
    assert np.isnan(mirrored[skeleton.index("left_wrist")]).all()


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_every_pair_of_skeletons_maps_or_says_what_is_missing(source, target):
    missing = set(get_skeleton(target).joints) - set(get_skeleton(source).joints)
    try:
        mapping = remap(source, target)
    except InputError as error:
        listed = str(error).split("no way to derive ")[1].split(", ")
        assert listed
        assert set(listed) <= missing
    else:
        np.testing.assert_allclose(mapping.weights.sum(axis=1), 1)
        assert set(mapping.derived) <= missing


@pytest.mark.parametrize("source", ["coco17", "coco18", "body25", "halpe26", "mediapipe33", "mpii16", "human19"])
def test_what_detectors_give_maps_to_the_lifter(source):
    assert remap(source, "h36m17").weights.shape == (17, get_skeleton(source).num_joints)


def test_underivable_joints_are_listed():
    with pytest.raises(
        InputError, match="'lsp14' to 'coco17': no way to derive nose, left_eye, right_eye, left_ear, right_ear"
    ):
        remap("lsp14", "coco17")


@pytest.mark.parametrize(
    ("a", "b"), [("h36m17", "h36m16"), ("human19", "h36m17"), ("coco17", "coco18"), ("halpe26", "coco17")]
)
@given(data=st.data())
def test_there_and_back_is_identity_on_shared_joints(a, b, data):
    source, target = get_skeleton(a), get_skeleton(b)
    points = data.draw(hnp.arrays(np.float64, (2, source.num_joints, 3), elements=st.floats(-1e4, 1e4)))
    there = remap(a, b).points(points)
    shared = [joint for joint in target.joints if joint in source.joints]
    assert shared
    for joint in shared:
        np.testing.assert_array_equal(there[:, target.index(joint)], points[:, source.index(joint)])
    if set(source.joints) <= set(target.joints):
        np.testing.assert_array_equal(remap(b, a).points(there), points)


def test_derived_joints_follow_their_declaration():
    coco = get_skeleton("coco17")
    points = np.random.default_rng(0).normal(size=(5, 17, 3))
    mapping = remap("coco17", "h36m17")
    out = mapping.points(points)
    hips = points[:, [coco.index("left_hip"), coco.index("right_hip")]].mean(axis=1)
    np.testing.assert_allclose(out[:, mapping.target.index("mid_hip")], hips)
    assert {"mid_hip", "mid_spine", "neck", "chin", "head_top"} == set(mapping.derived)
    np.testing.assert_array_equal(out[:, mapping.target.index("left_knee")], points[:, coco.index("left_knee")])


def test_a_derived_joint_is_missing_with_its_parts_and_as_sure_as_the_least_sure():
    coco, mapping = get_skeleton("coco17"), remap("coco17", "h36m17")
    points, scores = np.zeros((17, 2)), np.full(17, 0.9)
    points[coco.index("left_hip")] = np.nan
    scores[coco.index("left_hip")] = 0
    scores[coco.index("right_shoulder")] = 0.4
    out, sure = mapping.points(points), mapping.scores(scores)
    missing = [joint for joint, gone in zip(mapping.target.joints, np.isnan(out).any(axis=-1), strict=True) if gone]
    assert missing == ["mid_hip", "left_hip", "mid_spine", "neck", "chin"]
    assert sure[mapping.target.index("mid_hip")] == 0
    assert sure[mapping.target.index("neck")] == 0
    assert sure[mapping.target.index("head_top")] == pytest.approx(0.4)
    assert sure[mapping.target.index("left_knee")] == pytest.approx(0.9)


def test_remap_takes_any_batch_dimensions_keeps_the_dtype_and_refuses_other_counts():
    mapping = remap("coco17", "h36m17")
    assert mapping.points(np.zeros((2, 3, 17, 2), np.float32)).shape == (2, 3, 17, 2)
    assert mapping.points(np.zeros((17, 2), np.float32)).dtype == np.float32
    with pytest.raises(InputError, match=r"expected \(..., 17, D\) points of skeleton 'coco17', got shape \(16, 2\)"):
        mapping.points(np.zeros((16, 2)))
    with pytest.raises(InputError, match=r"expected \(..., 17\) scores"):
        mapping.scores(np.zeros(16))


def test_a_skeleton_of_ones_own(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    skeleton = get_skeleton(file)
    assert skeleton.joints == ("hip", "left", "right")
    assert skeleton.parents.tolist() == [-1, 0, 0]
    assert skeleton.reference_lengths.tolist() == [2, 2.5]
    assert get_skeleton(str(file)) == skeleton == get_skeleton(skeleton)
    file.write_text(SMALL.replace("2.5", "3"))
    assert get_skeleton(file).reference_lengths.tolist() == [2, 3]  # an edited file is read again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[", "{"), "not a TOML file"),
        (('root = "hip"\n', ""), r"missing keys \['root'\]"),
        (('root = "hip"', 'root = "hip"\ncolour = "red"'), r"unknown keys \['colour'\]"),
        (('root = "hip"', 'root = "head"'), r"unknown joints \['head'\]; its joints are"),
        (('root = "hip"', "root = 3"), "root: expected a name, got 3"),
        (('["hip", "left", "right"]', "3"), "joints: expected a list of names, got 3"),
        (('["hip", "left", "right"]', '["hip", "left", "right", "left"]'), "joint names must be unique"),
        (
            ('["hip", "left", "right"]', '["hip", "left", "right", "head"]'),
            "every joint but the root needs exactly one",
        ),
        (('[["left", "right"]]', '[["left"]]'), r"mirror pair 0: expected 2 names, got \['left'\]"),
        (('[["left", "right"]]', '[["left", "right"], ["left", "hip"]]'), "stands in two mirror pairs"),
        (('child = "right"', 'child = "rihgt"'), "limb 1: child 'rihgt' is not one of the joints"),
        (('child = "right"', 'kid = "right"'), r"limb 1 has unknown keys \['kid'\]"),
        (("length = 2.5", 'length = "long"'), "limb 1: length: expected a positive number, got 'long'"),
        (('parent = "hip", child = "right"', 'parent = "right", child = "right"'), r"no limbs lead .* to \['right'\]"),
        (('unit_limb = ["hip", "left"]', 'unit_limb = ["right", "left"]'), "no limb joins 'right' and 'left'"),
    ],
)
def test_a_skeleton_file_with_an_error_says_which(tmp_path, change, message):
    file = tmp_path / "mine.toml"
    assert change[0] in SMALL
    file.write_text(SMALL.replace(*change))
    with pytest.raises(InputError, match=message) as error:
        get_skeleton(file)
    assert str(file) in str(error.value)


def test_a_skeleton_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: cannot read"):
        get_skeleton(Path(tmp_path) / "none.toml")
