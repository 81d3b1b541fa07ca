"""Joint maps: what they say, and what they are told when they are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.datasets.joint_map import JointMap, get_joint_map, joint_map_names
from nearfar.datasets.motion import AXES, euler_to_rotmat, parse_numbers, to_z_up
from nearfar.errors import InputError
from nearfar.skeleton import get_skeleton

H36M = get_skeleton("h36m17")


def content(**changes):
    return {"skeleton": "h36m17", "joints": {joint: joint.upper() for joint in H36M.joints}} | changes


def with_joint(joint, value):
    return content(joints=content()["joints"] | {joint: value})


@pytest.mark.parametrize("name", joint_map_names())
def test_the_maps_of_the_package(name):
    joint_map = get_joint_map(name)
    assert set(joint_map.joints) == set(H36M.joints)
    assert joint_map.source
    # Left and right are told apart, and mapped alike.
    for left, right in H36M.mirror_pairs:
        for one, other in zip(joint_map.joints[left], joint_map.joints[right], strict=True):
            assert sorted(one.values()) == sorted(other.values())
            assert one.keys() != other.keys() or list(one.values()) != list(other.values())
            assert max(one, key=one.get) != max(other, key=other.get)


def test_weights():
    names = ["LASI", "RASI", "Anna:C7", "CLAV", "elbow", "shoulder", "knee"]
    joints = dict.fromkeys(H36M.joints, "knee") | {
        "mid_hip": {"mean": ["LASI", "RASI"]},
        "neck": ["TRXP", {"mean": ["C7", "CLAV"]}, "CLAV"],
        "left_wrist": {"weights": {"elbow": 1.3, "shoulder": -0.3}},
    }
    del joints["head_top"]
    joint_map = JointMap.from_dict(content(joints=joints, absent=["head_top"]), "mine.toml")
    weights = joint_map.weights(names, "file")
    assert joint_map.name == "mine"
    assert weights[H36M.index("mid_hip")].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0]
    assert weights[H36M.index("neck")].tolist() == [0, 0, 0.5, 0.5, 0, 0, 0]
    assert weights[H36M.index("left_wrist")].tolist() == [0, 0, 0, 0, 1.3, -0.3, 0]
    assert np.isnan(weights[H36M.index("head_top")]).all()
    only_clav = [name for name in names if name != "Anna:C7"]
    assert joint_map.weights(only_clav, "file")[H36M.index("neck")].tolist() == [0, 0, 1, 0, 0, 0]


def test_names_that_may_be_two():
    joint_map = JointMap.from_dict(with_joint("neck", "C7"), "mine")
    others = [joint.upper() for joint in H36M.joints if joint != "neck"]
    with pytest.raises(InputError, match=r"'C7' may be any of \['Anna:C7', 'Ben:C7'\]"):
        joint_map.weights([*others, "Anna:C7", "Ben:C7"], "file")
    weights = joint_map.weights([*others, "Anna:C7", "C7"], "file")  # its own name goes first
    assert weights[H36M.index("neck")].tolist() == [0] * 17 + [1]


def test_all_that_is_missing_is_named():
    joint_map = JointMap.from_dict(content(), "mine")
    names = [joint.upper() for joint in H36M.joints if joint not in ("neck", "left_knee")]
    with pytest.raises(
        InputError, match=r"file: joint map 'mine' needs LEFT_KNEE, NECK, which .* it has MID_HIP, "
    ) as e:
        joint_map.weights(names, "file")
    assert "RIGHT_HIP, which" not in str(e.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"joints": {}}, r"missing keys \['skeleton'\]"),
        (content(upp="y"), r"unknown keys \['upp'\]; expected \['absent', 'joints', "),
        (content(skeleton=3), "skeleton: expected a name, got 3"),
        (content(skeleton="h36"), "no skeleton 'h36'"),
        (with_joint("nose", "Head"), "nose: no such joints in skeleton 'h36m17', which has mid_hip, "),
        (
            content(joints={"neck": "Neck", "chin": "x"}),
            "say where mid_hip, right_hip, .* come from, or that they are absent",
        ),
        (content(absent=["neck"]), r"say where neck come from, or that they are absent \(not both\)"),
        (content(absent="neck"), "absent: expected a list of joints, got 'neck'"),
        (content(joints=3), "joints: expected a table, got 3"),
        (content(up="w"), r"up: expected one of \('x', 'y', 'z', '-x', '-y', '-z'\), got 'w'"),
        (content(unit_mm=-1), "unit_mm: expected a positive number of up to 1e6, got -1"),
        (content(unit_mm=True), "unit_mm: expected a positive number of up to 1e6, got True"),
        (content(skip_frames=1.5), "skip_frames: expected a whole number, got 1.5"),
        (content(zero_offsets={"Neck": 1}), r'zero_offsets: expected joint = "joint", got'),
        (with_joint("neck", 3), r"neck: expected a name, \{mean = .* or a list of these, got 3"),
        (with_joint("neck", {"mean": []}), "neck: expected a name"),
        (with_joint("neck", {"mean": ["a"], "weights": {"a": 1}}), "neck: expected a name"),
        (with_joint("neck", {"weights": {"a": "1"}}), "neck: expected a name"),
        (with_joint("neck", {"weights": {"a": 0.5, "b": 0.6}}), "neck: weights must sum to one, got 1.1"),
        (with_joint("neck", []), "neck: an empty list of alternatives"),
    ],
)
def test_a_map_with_an_error_says_which(data, message):
    with pytest.raises(InputError, match=message) as error:
        JointMap.from_dict(data, "mine.toml")
    assert "\n" not in str(error.value)


def test_files_of_maps(tmp_path):
    with pytest.raises(InputError, match=r"no joint map 'smpl'; known: cgspeed, .*, or a \.toml file"):
        get_joint_map("smpl")
    with pytest.raises(InputError, match="no such file"):
        get_joint_map(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("skeleton =")
    with pytest.raises(InputError, match=r"bad\.toml: not a TOML file"):
        get_joint_map(tmp_path / "bad.toml")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(InputError, match=r"deep\.toml: not a TOML file"):
        get_joint_map(tmp_path / "deep.toml")
    joint_map = get_joint_map("cgspeed")
    assert get_joint_map(joint_map) is joint_map


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(
    key=st.sampled_from(["skeleton", "up", "unit_mm", "skip_frames", "absent", "zero_offsets", "joints", "source"]),
    value=JSON,
)
def test_values_of_any_kind(key, value):
    try:
        JointMap.from_dict(content(**{key: value}), "mine")
        JointMap.from_dict(with_joint("neck", value), "mine")
    except InputError:
        pass


@pytest.mark.parametrize("up", AXES)
def test_z_up_is_a_rotation(up):
    axis = np.eye(3)["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
    np.testing.assert_array_equal(to_z_up(axis, up), [0, 0, 1])
    turned = to_z_up(np.eye(3), up)
    np.testing.assert_allclose(turned @ turned.T, np.eye(3))
    assert np.linalg.det(turned) == pytest.approx(1)


@given(
    axes=st.sampled_from(["xyz", "zyx", "yxz", "zxy", "xzy", "yzx", "xy", "z", "xyx"]),
    degrees=st.lists(st.floats(-720, 720), min_size=3, max_size=3),
)
def test_rotations_agree_with_scipy(axes, degrees):
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    angles = degrees[: len(axes)]
    moving = rotation.from_euler(axes.upper(), [angles], degrees=True).as_matrix()[0]
    np.testing.assert_allclose(euler_to_rotmat(axes, angles), moving, atol=1e-9)
    fixed = rotation.from_euler(axes, [angles], degrees=True).as_matrix()[0]
    np.testing.assert_allclose(euler_to_rotmat(axes[::-1], angles[::-1]), fixed, atol=1e-9)


def test_no_rotation():
    np.testing.assert_array_equal(euler_to_rotmat("", np.zeros((2, 0))), [np.eye(3)] * 2)


def test_numbers():
    assert parse_numbers(" 1 2.5\t-3e-015\r\n4 ").tolist() == [1, 2.5, -3e-15, 4]
    assert parse_numbers(["1", "2 3"]).tolist() == [1, 2, 3]
    assert parse_numbers("  ").tolist() == []
    for text in ("1 x", "x", "1,2", "nan", "1 inf", "1e999", "1e13", "--1", "0x10"):
        assert parse_numbers(text) is None
