"""BVH files, held against pybvh and against the same motion as ASF/AMC."""

from __future__ import annotations

import numpy as np
import pytest
from damaged import damage, reads_or_refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from motion_files import CGSPEED_NAMES, AcclaimMotion

from nearfar.datasets import load_poses
from nearfar.datasets.bvh import load_bvh, read_bvh
from nearfar.datasets.joint_map import JointMap, get_joint_map
from nearfar.errors import InputError

SMALL = """HIERARCHY
ROOT Hips
{
	OFFSET 1 2 3
	CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
	JOINT Left Knee
	{
		OFFSET 0 -10 0
		CHANNELS 4 Yposition Zrotation Yrotation Xrotation
		End Site
		{
			OFFSET 0 -5 0
		}
	}
}
MOTION
Frames: 2
Frame Time: 0.04
10 20 30 0 0 0   -10 0 0 0
10 20 30 90 0 0  -12 0 0 0
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.bvh"
    path.write_text(SMALL)
    return path


def small_map(**changes):
    data = {
        "skeleton": "h36m17",
        "up": "y",
        "unit_mm": 10,
        "joints": dict.fromkeys(get_joint_map("cmu_asf").skeleton.joints, "Left Knee_end") | {"mid_hip": "Hips"},
    }
    return JointMap.from_dict(data | changes, "small")


def test_a_small_file_by_hand(small):
    bvh = read_bvh(small)
    assert bvh.names == ("Hips", "Left Knee", "Left Knee_end")
    assert bvh.parents.tolist() == [-1, 0, 1]
    assert bvh.channels[1] == ("py", "rz", "ry", "rx")
    assert (bvh.frame_time, len(bvh)) == (0.04, 2)
    # Positions take the place of the offset, axis by axis; 90 degrees about z turn -y into +x.
    np.testing.assert_allclose(bvh.positions()[0], [[10, 20, 30], [10, 10, 30], [10, 5, 30]], atol=1e-12)
    np.testing.assert_allclose(bvh.positions(slice(1, 2))[0], [[10, 20, 30], [22, 20, 30], [27, 20, 30]], atol=1e-12)


def test_a_joint_may_be_called_motion(small):
    small.write_text(SMALL.replace("Left Knee", "MOTION").replace("}\nMOTION\n", "}MOTION\n"))
    assert read_bvh(small).names == ("Hips", "MOTION", "MOTION_end")


def test_poses_are_in_mm_and_z_up(small):
    poses = load_bvh(small, small_map())
    assert (poses.frame, poses.joints.dtype) == ("world", np.float32)
    np.testing.assert_allclose(poses.joints[0, 0], [100, -300, 200], atol=1e-4)  # (x, y, z) -> (x, -z, y)
    np.testing.assert_allclose(poses.joints[0, 1], [100, -300, 50], atol=1e-4)
    assert poses.time.tolist() == [0, 0.04]
    assert poses.sequence.names == ("small",)
    z_up = load_bvh(small, small_map(up="z", unit_mm=1))
    np.testing.assert_allclose(z_up.joints[0, 0], [10, 20, 30], atol=1e-4)


def test_the_door_opens_bvh(small, tmp_path):
    joint_map = tmp_path / "my.toml"
    lines = [f'{joint} = "{"Hips" if joint == "mid_hip" else "Left Knee_end"}"' for joint in small_map().joints]
    joint_map.write_text('skeleton = "h36m17"\nup = "y"\nunit_mm = 10\n[joints]\n' + "\n".join(lines))
    small.rename(tmp_path / "walk.motion")  # the content tells
    poses = load_poses(tmp_path / "walk.motion", joint_map=joint_map)
    np.testing.assert_array_equal(poses.joints, load_bvh(tmp_path / "walk.motion", small_map()).joints)
    with pytest.raises(InputError, match=r"read with a joint map: cgspeed, .*, or a \.toml file"):
        load_poses(tmp_path / "walk.motion")
    with pytest.raises(InputError, match="its joints are those of skeleton 'h36m17', not of 'coco17'"):
        load_poses(tmp_path / "walk.motion", joint_map=joint_map, skeleton="coco17")
    (tmp_path / "a.csv").write_text("sequence,frame\n")
    with pytest.raises(InputError, match="joint maps are for motion files"):
        load_poses(tmp_path / "a.csv", joint_map=joint_map)


@st.composite
def hierarchies(draw):
    """A random tree with random rotation orders, as text, with its motion."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, frames = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    parents = [-1] + [int(rng.integers(0, i)) for i in range(1, count)]
    lines: list[str] = ["HIERARCHY"]
    order = []  # of the joints as written: depth first

    def add(node, depth):
        order.append(node)
        x, y, z = rng.normal(0, 10, 3) * (node > 0)
        rotation = [f"{'XYZ'[axis]}rotation" for axis in rng.permutation(3)]
        position = ["Xposition", "Yposition", "Zposition"] if node == 0 else []
        lines.append(f"{'ROOT' if node == 0 else 'JOINT'} j{node}" + (" {" if rng.random() < 0.5 else "\n{"))
        lines.append(f"OFFSET {x:.6f} {y:.6f} {z:.6f}")
        lines.append(f"CHANNELS {len(position + rotation)} {' '.join(position + rotation)}")
        children = [child for child in range(count) if parents[child] == node]
        for child in children:
            add(child, depth + 1)
        if not children:
            lines.append("End Site\n{\nOFFSET 1 2 3\n}")
        lines.append("}")

    add(0, 0)
    motion = rng.uniform(-200, 200, (frames, 3 + 3 * count))
    lines += ["MOTION", f"Frames: {frames}", "Frame Time: 0.0333333"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in motion]
    return "\n".join(lines) + "\n"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=hierarchies())
def test_any_hierarchy_agrees_with_pybvh(tmp_path, text):
    pybvh = pytest.importorskip("pybvh")
    path = tmp_path / "any.bvh"
    path.write_text(text.replace(" {", "\n{"))  # pybvh wants the brace on a line of its own
    theirs = pybvh.read_bvh_file(path, world_up="+y")
    path.write_text(text)
    ours = read_bvh(path)
    np.testing.assert_allclose(ours.positions(), theirs.node_positions(), atol=1e-9)


@pytest.mark.parametrize("order", ["ZYXzyx", "zyxXYZ", "zXyYxZ", "YXzZyx"])
def test_channels_stand_in_any_order(tmp_path, order):
    values = {"X": 1, "Y": 2, "Z": 3, "z": 30, "y": 50, "x": 70}
    turned = {
        "X": "Xposition",
        "Y": "Yposition",
        "Z": "Zposition",
        "x": "XROTATION",
        "y": "yrotation",
        "z": "Zrotation",
    }

    def positions(order):
        text = f"HIERARCHY\nROOT r\n{{\nOFFSET 9 9 9\nCHANNELS 6 {' '.join(turned[c] for c in order)}\n"
        text += (
            "JOINT a\n{\nOFFSET 1 2 4\nCHANNELS 3 Xrotation Yrotation Zrotation\nEnd Site\n{\nOFFSET 1 1 1\n}\n}\n}\n"
        )
        text += f"MOTION\nFrames: 1\nFrame Time: 0.01\n{' '.join(str(values[c]) for c in order)} 5 6 7\n"
        (tmp_path / "order.bvh").write_text(text)
        return read_bvh(tmp_path / "order.bvh").positions()

    np.testing.assert_allclose(positions(order), positions("XYZzyx"), atol=1e-12)
    assert np.abs(positions("XYZxyz") - positions("XYZzyx")).max() > 0.1  # but the order of rotations matters


def test_cgspeeds_conversion_is_mended(tmp_path):
    from nearfar.datasets.asf_amc import load_amc

    motion = AcclaimMotion(frames=9)
    motion.write_asf(tmp_path / "01.asf")
    motion.write_amc(tmp_path / "01_01.amc")
    motion.write_bvh(tmp_path / "01_01.bvh", names=CGSPEED_NAMES, t_pose=True, lose=("thorax", "lwrist", "rwrist"))
    ours, theirs = load_bvh(tmp_path / "01_01.bvh", "cgspeed"), load_amc(tmp_path / "01_01.amc")
    assert len(ours) == len(theirs) == 9  # without the T-pose
    lower = [ours.skeleton.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("hip", "knee", "ankle")]
    lower += [0, ours.skeleton.index("mid_spine")]
    np.testing.assert_allclose(ours.joints[:, lower], theirs.joints[:, lower], atol=1e-3)
    # The lost bone is replaced by the one below it: what stands on it is off by their difference, alike for all joints.
    gap = np.linalg.norm(
        motion.length["upperback"] * motion.direction["upperback"]
        - motion.length["thorax"] * motion.direction["thorax"]
    ) * (25.4 / 0.45)
    upper = [i for i in range(17) if i not in lower]
    np.testing.assert_allclose(np.linalg.norm(ours.joints[:, upper] - theirs.joints[:, upper], axis=-1), gap, rtol=1e-3)
    whole = read_bvh(tmp_path / "01_01.bvh")
    assert not whole.offsets[whole.names.index("Neck")].any()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "HIERARCHIE", "not a BVH file: expected HIERARCHY first"),
        ("MOTION", "MOTON", "cut off: no MOTION"),
        ("OFFSET 0 -10 0", "OFFSET 0 -10", r"OFFSET of Left Knee: expected 3 numbers, got 0 -10 CHANNELS"),
        ("OFFSET 1 2 3", "OFFSET 1 2 nan", "OFFSET of Hips: expected 3 numbers, got 1 2 nan"),
        ("CHANNELS 4", "CHANNELS 9", "CHANNELS of Left Knee: expected 0 to 6, got '9'"),
        ("CHANNELS 4 Yposition", "CHANNELS 4 Xrotation", r"CHANNELS of Left Knee: expected different ones of"),
        ("CHANNELS 4 Yposition", "CHANNELS 4 Wposition", r"expected different ones of .*'Wposition'"),
        ("JOINT Left Knee", "JOINT Hips", "two nodes are called 'Hips'"),
        ("JOINT Left Knee", "JOINT", "a JOINT without a name"),
        ("JOINT Left Knee", "ROOT Left Knee", "a second ROOT"),
        ("End Site", "End Sight", "expected SITE, got 'Sight'"),
        ("Frames: 2", "Frames: 3", "3 frames of 10 channels need 30 numbers, got 20"),
        ("Frames: 2", "Frames: 99999999999999", "need 999999999999990 numbers, got 20"),
        ("Frames: 2", "Frame: 2", "cut off: no MOTION with 'Frames:' after the HIERARCHY"),
        ("Frames: 2", "Frames: two", "expected 'Frames: N' and 'Frame Time: SECONDS'"),
        ("Frame Time: 0.04", "Frame Time: 0", "expected 'Frames: N' and 'Frame Time: SECONDS'"),
        ("-12 0 0 0", "-12 0 x 0", "MOTION: 'x' is not a number of up to 1e"),
        ("-12 0 0 0", "-12 0 inf 0", "MOTION: 'inf' is not a number of up to 1e"),
    ],
)
def test_a_file_with_an_error_says_which(small, old, new, message):
    small.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as error:
        read_bvh(small)
    assert str(error.value).startswith(str(small))
    assert "\n" not in str(error.value)


def test_what_the_map_must_say(small):
    with pytest.raises(InputError, match="do not say their unit or which way is up: joint map 'small' must"):
        load_bvh(small, small_map(up=None))
    with pytest.raises(InputError, match="2 frames, of which the first 2 are no motion"):
        load_bvh(small, small_map(skip_frames=2))
    with pytest.raises(InputError, match="no joint 'Neck', whose OFFSET the joint map speaks of"):
        load_bvh(small, small_map(zero_offsets={"Neck": "Hips"}))
    with pytest.raises(InputError, match=r"needs LeftUpLeg, .* it has Hips, Left Knee, Left Knee_end"):
        load_bvh(small, JointMap(**{**vars(get_joint_map("cgspeed")), "skip_frames": 0, "zero_offsets": {}}))
    huge = small.with_name("huge.bvh")
    huge.write_text(SMALL.replace("10 20 30 0", "1e10 20 30 0"))
    with pytest.raises(InputError, match="no position in mm"):
        load_bvh(huge, small_map())


def test_nodes_that_do_not_move_do_not_fill_the_memory(tmp_path):
    depth = 100
    still = "".join(f"JOINT s{i} {{ OFFSET 0 1 0 CHANNELS 0 " for i in range(depth)) + "}" * depth
    text = f"HIERARCHY ROOT r {{ OFFSET 0 0 0 CHANNELS 1 Xposition {still} }} MOTION Frames: 2 Frame Time: 1 0 0"
    (tmp_path / "still.bvh").write_text(text)
    with pytest.raises(InputError, match="more than 32 nodes that do not move"):
        read_bvh(tmp_path / "still.bvh")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path, data):
    path = tmp_path / "damaged.bvh"
    path.write_text(SMALL)
    damage(path, data)
    reads_or_refuses(load_bvh, path, small_map())
