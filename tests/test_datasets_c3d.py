"""C3D files, written by hand and by ezc3d, and held against ezc3d's reading."""

from __future__ import annotations

import numpy as np
import pytest
from damaged import damage, reads_or_refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from motion_files import write_c3d

from nearfar.datasets import load_keypoints, load_poses
from nearfar.datasets.c3d import load_c3d, read_c3d
from nearfar.datasets.joint_map import JointMap, get_joint_map
from nearfar.errors import InputError

LABELS = ("LASI", "RASI", "C7")


def points(frames=7, count=3, seed=0):
    values = np.random.default_rng(seed).normal(0, 500, (frames, count, 3))
    values[frames // 2, 1] = np.nan
    return values


def three_markers(**changes):
    """A map of three markers onto a skeleton of 17 joints, most of which are absent."""
    skeleton = get_joint_map("cmu_asf").skeleton
    data = {
        "skeleton": "h36m17",
        "joints": {"left_hip": "LASI", "right_hip": "RASI", "mid_hip": {"mean": ["LASI", "RASI"]}, "neck": "C7"},
    }
    data["absent"] = [joint for joint in skeleton.joints if joint not in data["joints"]]
    return JointMap.from_dict(data | changes, "three")


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("order", ["<", ">", "dec"])
def test_every_byte_order_and_number(tmp_path, order, integers):
    write_c3d(tmp_path / "a.c3d", points(), LABELS, order=order, integers=integers, rate=120, first=11, analog=4)
    c3d = read_c3d(tmp_path / "a.c3d")
    np.testing.assert_allclose(c3d.points, points(), atol=0.026 if integers else 1e-3)
    assert np.isnan(c3d.points).all(axis=-1).sum() == 1
    assert (c3d.labels, c3d.rate, c3d.first_frame, c3d.unit_mm, c3d.up) == (LABELS, 120, 11, 1.0, None)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    frames=st.integers(1, 20),
    count=st.integers(1, 9),
    integers=st.booleans(),
    order=st.sampled_from(["<", "dec"]),  # ezc3d does not know MIPS
)
def test_ezc3d_reads_the_same(tmp_path, seed, frames, count, integers, order):
    ezc3d = pytest.importorskip("ezc3d")
    path = tmp_path / "any.c3d"
    labels = [f"m{i}" for i in range(count)]
    write_c3d(path, points(frames, count, seed) if count > 1 else points(frames, 2, seed)[:, :1], labels,
              order=order, integers=integers)  # fmt: skip
    theirs = ezc3d.c3d(str(path))
    ours = read_c3d(path)
    expected = theirs["data"]["points"][:3].transpose(2, 1, 0)
    expected[theirs["data"]["meta_points"]["residuals"][0].T < 0] = np.nan
    np.testing.assert_allclose(ours.points, expected, rtol=1e-6)
    assert list(ours.labels) == theirs["parameters"]["POINT"]["LABELS"]["value"]
    assert ours.rate == theirs["parameters"]["POINT"]["RATE"]["value"][0]


def test_what_ezc3d_writes(tmp_path):
    ezc3d = pytest.importorskip("ezc3d")
    c3d = ezc3d.c3d()
    c3d["parameters"]["POINT"]["RATE"]["value"] = [100]
    c3d["parameters"]["POINT"]["LABELS"]["value"] = ("Anna:LASI", "Anna:RASI", "Anna:C7")
    c3d["parameters"]["POINT"]["UNITS"]["value"] = ["m"]
    c3d.add_parameter("POINT", "X_SCREEN", ["+Z"])
    c3d.add_parameter("POINT", "Y_SCREEN", ["+Y"])
    c3d["parameters"]["ANALOG"]["RATE"]["value"] = [300]
    c3d["parameters"]["ANALOG"]["LABELS"]["value"] = ("Fx", "Fy")
    c3d["data"]["analogs"] = np.ones((1, 2, 21))
    c3d["data"]["points"] = np.concatenate([points().transpose(2, 1, 0) / 1000, np.ones((1, 3, 7))])
    c3d.write(str(tmp_path / "b.c3d"))
    ours = read_c3d(tmp_path / "b.c3d")
    np.testing.assert_allclose(ours.points, points() / 1000, rtol=1e-6)
    assert (ours.unit_mm, ours.up) == (1000, "y")
    poses = load_c3d(tmp_path / "b.c3d", three_markers())
    turned = points()[:, :, [0, 2, 1]] * [1, -1, 1]
    np.testing.assert_allclose(poses.joints[:, poses.skeleton.index("left_hip")], turned[:, 0], rtol=1e-5)
    np.testing.assert_allclose(poses.joints[:, 0], turned[:, :2].mean(axis=1), atol=1e-3)
    assert np.isnan(poses.joints[:, poses.skeleton.index("right_wrist")]).all()
    assert np.isnan(poses.joints[3, 0]).all()  # made of a marker that was not seen
    assert np.isfinite(poses.joints[3, poses.skeleton.index("neck")]).all()
    np.testing.assert_allclose(poses.time, np.arange(7) / 100)
    stated = load_c3d(tmp_path / "b.c3d", three_markers(up="z"))  # the map goes first
    np.testing.assert_allclose(stated.joints[:, poses.skeleton.index("left_hip")], points()[:, 0], rtol=1e-5)
    with pytest.raises(InputError, match="a unit is 1000 mm in the file, 1 mm in joint map 'three'"):
        load_c3d(tmp_path / "b.c3d", three_markers(unit_mm=1))


def test_the_door_opens_c3d(tmp_path):
    labels = [f"Subject:{part}" for part in sorted(
        {part for parts in get_joint_map("plug_in_gait").joints.values() for part in parts[-1]}
    )]  # fmt: skip
    write_c3d(tmp_path / "walk", points(5, len(labels)), labels)
    poses = load_poses(tmp_path / "walk", joint_map="plug_in_gait")
    index = labels.index("Subject:RELB")
    np.testing.assert_allclose(poses.joints[:, poses.skeleton.index("right_elbow")], points(5, len(labels))[:, index],
                               atol=1e-3)  # fmt: skip
    with pytest.raises(InputError, match="read with a joint map"):
        load_poses(tmp_path / "walk")
    with pytest.raises(InputError, match="3D motion, not keypoints"):
        load_keypoints(tmp_path / "walk")


def test_joint_centres_of_the_model_go_before_markers(tmp_path):
    joint_map = get_joint_map("plug_in_gait")
    markers = sorted({part for parts in joint_map.joints.values() for part in parts[-1]})
    labels = [*markers, "RFEP", "LFEP", "RFEO"]
    write_c3d(tmp_path / "a.c3d", points(5, len(labels)), labels)
    poses = load_c3d(tmp_path / "a.c3d", joint_map)
    values = points(5, len(labels))
    np.testing.assert_allclose(poses.joints[:, joint_map.skeleton.index("right_hip")], values[:, -3], atol=1e-3)
    np.testing.assert_allclose(poses.joints[:, joint_map.skeleton.index("right_knee")], values[:, -1], atol=1e-3)
    left_knee = values[:, labels.index("LKNE")]
    np.testing.assert_allclose(poses.joints[:, joint_map.skeleton.index("left_knee")], left_knee, atol=1e-3)


def test_many_points_and_many_frames(tmp_path):
    labels = tuple(f"p{i}" for i in range(300))
    write_c3d(tmp_path / "a.c3d", points(2, 300), labels)
    assert read_c3d(tmp_path / "a.c3d").labels == labels
    long = np.zeros((66_000, 1, 3))
    long[:, 0, 0] = np.arange(66_000)
    fields = np.array([1, 0]), np.array([66_000 % 65_536, 1])
    for name, parameters in {
        "long": [("POINT", "LONG_FRAMES", 66_000.0)],
        "float": [("POINT", "FRAMES", 66_000.0)],
        "trial": [("TRIAL", "ACTUAL_START_FIELD", fields[0]), ("TRIAL", "ACTUAL_END_FIELD", fields[1])],
    }.items():
        write_c3d(tmp_path / f"{name}.c3d", long, ("a",), parameters=parameters)
        np.testing.assert_array_equal(read_c3d(tmp_path / f"{name}.c3d").points, long)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([("POINT", "UNITS", ["furlong"])], "POINT:UNITS: expected one of mm, .*, got 'furlong'"),
        ([("POINT", "LABELS", ["LASI", "RASI"])], "POINT:LABELS: 2 labels for 3 points"),
        ([("POINT", "RATE", 0.0)], "expected a scale other than 0 and a positive rate, got -1 and 0"),
        ([("POINT", "SCALE", 0.0)], "expected a scale other than 0 and a positive rate, got 0 and 100"),
        ([("POINT", "FRAMES", 8)], "cut off or damaged: 8 frames of 3 points and 0 analog samples .* need 384 bytes"),
        ([("POINT", "FRAMES", 2.5)], "POINT:FRAMES: expected a whole number, got 2.5"),
        ([("POINT", "FRAMES", 1e30)], "cut off or damaged: 1000000015047466219876688855040 frames"),
        ([("POINT", "FRAMES", 0)], "no points in it"),
    ],
)
def test_a_file_with_an_error_says_which(tmp_path, parameters, message):
    path = tmp_path / "bad.c3d"
    write_c3d(path, points(), LABELS, parameters=parameters)
    path.write_bytes(path.read_bytes()[: 1024 + 7 * 3 * 16])  # without the padding
    with pytest.raises(InputError, match=message) as error:
        read_c3d(path)
    assert str(error.value).startswith(str(path))


def test_files_that_are_no_c3d(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_c3d(tmp_path / "gone.c3d")
    for content in (b"", b"xP", b"\x02\x50" + b"\0" * 300, b"hello" * 200):
        (tmp_path / "a.c3d").write_bytes(content)
        with pytest.raises(InputError, match="not a C3D file, or cut off in its header"):
            read_c3d(tmp_path / "a.c3d")
    (tmp_path / "a.c3d").write_bytes(b"\x02\x50" + b"\0" * 600)
    with pytest.raises(InputError, match="processor type 0"):
        read_c3d(tmp_path / "a.c3d")
    (tmp_path / "a.c3d").write_bytes(b"\xff\x50" + b"\0" * 600)
    with pytest.raises(InputError, match="cut off: no parameters at block 255"):
        read_c3d(tmp_path / "a.c3d")


def test_a_file_without_a_unit_needs_one(tmp_path):
    write_c3d(tmp_path / "a.c3d", points(), LABELS, parameters=[("POINT", "UNITS", None)])
    with pytest.raises(InputError, match="neither the file nor joint map 'three' says the unit"):
        load_c3d(tmp_path / "a.c3d", three_markers())
    poses = load_c3d(tmp_path / "a.c3d", three_markers(unit_mm=10))
    np.testing.assert_allclose(poses.joints[:, poses.skeleton.index("neck")], points()[:, 2] * 10, rtol=1e-5)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path, data):
    """Where the reader of others ends the process (ezc3d 1.7 on about one file in thirty), this one says what is wrong."""
    path = tmp_path / "damaged.c3d"
    write_c3d(path, points(3), LABELS, order=data.draw(st.sampled_from(["<", ">", "dec"])))
    damage(path, data)
    reads_or_refuses(load_c3d, path, three_markers())


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_parameters(tmp_path, data):
    path = tmp_path / "damaged.c3d"
    write_c3d(path, points(3), LABELS)
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.one_of(st.integers(0, 24), st.integers(512, 800)), min_size=1, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    reads_or_refuses(load_c3d, path, three_markers())
