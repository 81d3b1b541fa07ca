"""ASF/AMC files, held against the same motion computed with scipy and written as BVH."""

from __future__ import annotations

import numpy as np
import pytest
from damaged import damage, reads_or_refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from motion_files import CMU_BONES, AcclaimMotion

from nearfar.datasets import load_poses
from nearfar.datasets.asf_amc import find_asf, joint_positions, load_amc, read_amc, read_asf
from nearfar.datasets.bvh import read_bvh
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths

UNIT = 25.4 / 0.45

SMALL_ASF = """# one bone
:version 1.10
:units
  length 1.0
  angle rad
:root
   order RZ RY RX TX TY TZ
   axis XYZ
   position 0 5 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name arm
     direction 2 0 0
     length 3
     axis 0, 0, 1.5707963267948966 XYZ
     dof rz rx
     limits (-inf inf)
            (-1.0 1.5)
  end
:hierarchy
  begin
    root arm
  end
"""
SMALL_AMC = """:FULLY-SPECIFIED
:RADIANS
1
root 0 0 0 1 2 3
arm 1.5707963267948966 0
2
root 1.5707963267948966 0 0 0 0 0
arm 0 0
"""


@pytest.fixture
def cmu(tmp_path):
    motion = AcclaimMotion()
    motion.write_asf(tmp_path / "01.asf")
    motion.write_amc(tmp_path / "01_01.amc")
    return tmp_path / "01_01.amc", motion


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.asf").write_text(SMALL_ASF)
    (tmp_path / "small.amc").write_text(SMALL_AMC)
    return tmp_path / "small.amc"


def test_a_small_file_by_hand(small):
    skeleton = read_asf(small.with_suffix(".asf"))
    assert skeleton.names == ("root", "arm")
    assert (skeleton.unit_mm, skeleton.degrees) == (25.4, False)
    arm = skeleton.bones[1]
    np.testing.assert_allclose(arm.offset, [3, 0, 0])  # the direction is a direction
    np.testing.assert_allclose(arm.limits, np.rad2deg([[-np.inf, np.inf], [-1, 1.5]]))
    motion = read_amc(small, skeleton)
    np.testing.assert_allclose(motion["root"], [[0, 0, 0, 1, 2, 3], [90, 0, 0, 0, 0, 0]])
    ends = joint_positions(skeleton, motion)
    # 90 degrees about z: the arm along x points along y, whether it turns or the root does.
    np.testing.assert_allclose(ends[0], [[1, 7, 3], [1, 10, 3]], atol=1e-12)
    np.testing.assert_allclose(ends[1], [[0, 5, 0], [0, 8, 0]], atol=1e-12)


def test_the_axis_frame_and_the_order_of_angles(small):
    """With rx in a frame turned by 90 degrees about z, the bone turns about the world's y; rz comes first."""
    small.write_text(SMALL_AMC.replace("arm 1.5707963267948966 0", "arm 0 1.5707963267948966"))
    skeleton = read_asf(small.with_suffix(".asf"))
    ends = joint_positions(skeleton, read_amc(small, skeleton))
    np.testing.assert_allclose(ends[0, 1] - ends[0, 0], [0, 0, -3], atol=1e-12)
    small.write_text(SMALL_AMC.replace("arm 1.5707963267948966 0", "arm 1.5707963267948966 1.5707963267948966"))
    ends = joint_positions(skeleton, read_amc(small, skeleton))
    np.testing.assert_allclose(ends[0, 1] - ends[0, 0], [0, 3, 0], atol=1e-12)  # z to y, where y's turn leaves it


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_the_same_motion_as_bvh(tmp_path, seed):
    """The test turns angles into rotations with scipy, and writes them as BVH in another order of axes."""
    motion = AcclaimMotion(seed, frames=3)
    motion.write_asf(tmp_path / "01.asf")
    motion.write_amc(tmp_path / "01_01.amc")
    motion.write_bvh(tmp_path / "01_01.bvh")
    skeleton = read_asf(tmp_path / "01.asf")
    ends = joint_positions(skeleton, read_amc(tmp_path / "01_01.amc", skeleton)) * UNIT
    bvh = read_bvh(tmp_path / "01_01.bvh")
    starts = bvh.positions() * UNIT
    compared = 0
    for name, (parent, _) in CMU_BONES.items():
        end = ends[:, skeleton.names.index(name)]
        children = [child for child, (of, _) in CMU_BONES.items() if of == name] or [f"{name}_end"]
        for child in children:
            np.testing.assert_allclose(starts[:, bvh.names.index(child)], end, atol=1e-3)
            compared += 1
        start = ends[:, skeleton.names.index(parent)]
        length = motion.length[name] * UNIT
        np.testing.assert_allclose(np.linalg.norm(end - start, axis=-1), length, rtol=1e-9)
    assert compared == 34


def test_the_same_motion_through_pybvh(cmu):
    pybvh = pytest.importorskip("pybvh")
    path, motion = cmu
    motion.write_bvh(path.with_suffix(".bvh"))
    theirs = pybvh.read_bvh_file(path.with_suffix(".bvh"), world_up="+y")
    skeleton = read_asf(path.with_name("01.asf"))
    ends = joint_positions(skeleton, read_amc(path, skeleton)) * UNIT
    positions = theirs.node_positions() * UNIT
    for ours, name in (("lfemur", "ltibia"), ("thorax", "lowerneck"), ("rradius", "rwrist"), ("head", "EndSitehead")):
        np.testing.assert_allclose(
            positions[:, theirs.node_index[name]], ends[:, skeleton.names.index(ours)], atol=1e-3
        )


def test_cmu_in_mm_and_z_up(cmu):
    path, motion = cmu
    poses = load_amc(path)
    assert (poses.frame, poses.joints.dtype, len(poses)) == ("world", np.float32, 12)
    np.testing.assert_allclose(poses.time, np.arange(12) / 120)
    lengths = limb_lengths(poses.joints, poses.skeleton)
    thigh = next(
        i
        for i, limb in enumerate(poses.skeleton.limb_joints)
        if tuple(limb) == (poses.skeleton.index("left_hip"), poses.skeleton.index("left_knee"))
    )
    np.testing.assert_allclose(lengths[:, thigh], motion.length["lfemur"] * UNIT, rtol=1e-5)
    np.testing.assert_allclose(poses.joints[:, 0, 2].mean(), 16.5 * UNIT, atol=200)  # the height of the hips
    forearm = limb_lengths(poses.joints, poses.skeleton)[:, 15]
    np.testing.assert_allclose(forearm, 1.3 * motion.length["rradius"] * UNIT, rtol=1e-5)
    root = motion.values["root"][:, :3] * UNIT
    hips = [motion.length[f"{side}hipjoint"] * UNIT for side in "lr"]
    assert np.linalg.norm(poses.joints[:, 0] - root[:, [0, 2, 1]] * [1, -1, 1], axis=1).max() < max(hips)
    every_fourth = load_amc(path, step=4)
    np.testing.assert_array_equal(every_fourth.joints, poses.joints[::4])
    np.testing.assert_allclose(every_fourth.time, [0, 4 / 120, 8 / 120])
    assert every_fourth.frame_index.tolist() == [0, 4, 8]
    np.testing.assert_array_equal(load_poses(path, joint_map="cmu_asf").joints, poses.joints)


def test_its_skeleton_is_found(tmp_path):
    for name in ("01.asf", "02.asf", "HDM_bd.asf"):
        (tmp_path / name).touch()
    assert find_asf(tmp_path / "02_13.amc").name == "02.asf"
    assert find_asf(tmp_path / "HDM_bd_cartwheel.amc").name == "HDM_bd.asf"
    with pytest.raises(InputError, match=r"expected its skeleton \(.asf\) beside it, found \['01.asf', '02.asf'"):
        find_asf(tmp_path / "walk.amc")
    (tmp_path / "only").mkdir()
    with pytest.raises(InputError, match=r"expected its skeleton \(.asf\) beside it, found \[\]"):
        find_asf(tmp_path / "only" / "walk.amc")
    (tmp_path / "only" / "anna.ASF").touch()
    assert find_asf(tmp_path / "only" / "walk.amc").name == "anna.ASF"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":bonedata", ":bones", "not an ASF file, or cut off: no :bonedata"),
        (":hierarchy", ":tree", "no :hierarchy"),
        ("angle rad", "angle grad", ":units angle: expected deg or rad, got 'grad'"),
        ("length 1.0", "length 0", ":units length: expected a positive number, got 0"),
        ("order RZ RY", "order RZ RZ", ":root order: expected TX TY TZ RX RY RZ in some order"),
        ("orientation 0 0 0", "orientation 0 1 0", ":root orientation: only 0 0 0 can be read"),
        ("position 0 5 0", "position 0 5", ":root position: expected 3 numbers, got '0 5'"),
        ("direction 2 0 0", "direction 0 0 0", "bone 'arm': expected a direction"),
        ("direction 2 0 0", "", "bone 'arm': no direction"),
        ("length 3", "length -3", "bone 'arm': expected a direction and a length that is not negative"),
        ("XYZ\n     dof", "XYX\n     dof", "bone 'arm': axis: expected three angles and an order such as XYZ"),
        ("dof rz rx", "dof rz l", "dof: only rx, ry and rz can be read, got rz l"),
        ("(-1.0 1.5)", "(-1.0)", "limits: expected 4 numbers for 2 dof, got 3"),
        ("(-1.0 1.5)", "(-1.0 1..5)", "limits: expected a number, got '1..5'"),
        ("name arm", "name root", "a bone without a name of its own"),
        ("  end\n:h", ":h", "cut off: a bone without end"),
        ("root arm", "root leg", "bone 'leg' is not in :bonedata"),
        ("root arm", "arm arm", "arm do not lead to the root"),
        ("root arm", "root arm arm", "bone 'arm' has two parents"),
        ("    root arm\n", "", "no parent is given for arm"),
        (":hierarchy", ":units", "line 22: a second :units"),
    ],
)
def test_a_skeleton_with_an_error_says_which(small, old, new, message):
    path = small.with_suffix(".asf")
    path.write_text(SMALL_ASF.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as error:
        read_asf(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SMALL_AMC, ":DEGREES\n", "not an AMC file: expected a frame number"),
        ("arm 1.57", "leg 1.57", "leg: no such bones, or none that move, in its skeleton"),
        ("arm 1.5707963267948966 0\n", "", "cut off, or of another skeleton: frame 1 lacks arm"),
        ("2\nroot", "2\narm 0 0\nroot", r"cut off or damaged: frame 2 \(of 2\) has not 2 bones"),
        ("arm 0 0\n", "", r"frame 2 \(of 2\) has not 2 bones"),
        ("arm 0 0\n", "arm 0\n", "line 8: expected 'arm' and 2 numbers, got 'arm 0'"),
        ("arm 0 0\n", "arm 0 nan\n", "line 8: expected 'arm' and 2 numbers"),
        ("arm 0 0\n", "Arm 0 0\n", "line 8: expected 'arm' and 2 numbers, got 'Arm 0 0'"),
        ("root 0 0 0 1", "root 0 0 1", "line 4: expected 'root' and 6 numbers"),
    ],
)
def test_a_motion_with_an_error_says_which(small, old, new, message):
    small.write_text(SMALL_AMC.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as error:
        read_amc(small, read_asf(small.with_suffix(".asf")))
    assert str(error.value).startswith(str(small))


def test_a_motion_of_another_skeleton(cmu, small):
    with pytest.raises(InputError, match=r"no such bones, or none that move, in its skeleton"):
        load_amc(cmu[0], asf=small.with_suffix(".asf"))
    with pytest.raises(InputError, match=r"joint map 'cmu_asf' needs lhipjoint, .* it has root, arm"):
        load_amc(small)
    with pytest.raises(InputError, match="expected a positive frame rate and step"):
        load_amc(cmu[0], fps=0)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path, data):
    asf, amc = tmp_path / "small.asf", tmp_path / "small.amc"
    asf.write_text(SMALL_ASF)
    amc.write_text(SMALL_AMC)
    damage(data.draw(st.sampled_from([asf, amc])), data)

    def read():
        skeleton = read_asf(asf)
        return joint_positions(skeleton, read_amc(amc, skeleton))

    reads_or_refuses(read)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_cmu_files(tmp_path, data):
    motion = AcclaimMotion(frames=2)
    motion.write_asf(tmp_path / "01.asf")
    motion.write_amc(tmp_path / "01_01.amc")
    damage(data.draw(st.sampled_from([tmp_path / "01.asf", tmp_path / "01_01.amc"])), data)
    reads_or_refuses(load_amc, tmp_path / "01_01.amc")
