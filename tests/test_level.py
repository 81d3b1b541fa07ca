"""Tilt and floor from people who stand, and metres from how tall they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nearfar.camera import project, world_to_camera
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.level import estimate_level, with_level
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.stature import statures, with_statures
from nearfar.viewing import viewer_data

H36M = get_skeleton("h36m17")
STANDING = np.array(
    [[0, 0, 930], [-90, 0, 930], [-100, 0, 500], [-100, 0, 70], [90, 0, 930], [100, 0, 500], [100, 0, 70],
     [0, 0, 1170], [0, 10, 1430], [0, 40, 1560], [0, 20, 1680], [180, 0, 1400], [200, 0, 1100], [200, 40, 850],
     [-180, 0, 1400], [-200, 0, 1100], [-200, 40, 850]], float,
)  # fmt: skip


def camera(tilt: float, roll: float) -> np.ndarray:
    """World-to-camera rotation of one that looks along y, down by `tilt` and then rolled, in degrees."""
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    a, b = np.radians([tilt, roll])
    down = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    rolled = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return rolled @ down @ level


def walkers(rotation: np.ndarray, height: float, people: int = 2, frames: int = 40) -> tuple[PoseSet, np.ndarray]:
    """People who walk over a floor with their trunks bent forward, before a camera; and where they are in the world."""
    rng = np.random.default_rng(0)
    body = STANDING @ np.array([[1, 0, 0], [0, np.cos(0.08), np.sin(0.08)], [0, -np.sin(0.08), np.cos(0.08)]])
    body -= [0, 0, body[:, 2].min() - 70]
    way = np.linspace([-1500.0, 3000, 0], [1500, 6000, 0], frames)
    world = np.concatenate([body + way[:, None] * [1, 1 - 0.3 * p, 1] for p in range(people)])
    world += rng.normal(0, 5, world.shape)
    joints = world_to_camera(world, rotation, [0, 0, height])
    return PoseSet(H36M, joints=joints, person=np.repeat(np.arange(people), frames), frame="camera"), world


@pytest.mark.parametrize(("tilt", "roll"), [(0.0, 0.0), (15.0, -3.0), (-8.0, 4.0)])
def test_tilt_and_floor(tilt: float, roll: float) -> None:
    poses, world = walkers(camera(tilt, roll), 1600.0)
    root = poses.joints[:, 0].copy()
    relative = dataclasses.replace(poses, joints=poses.joints - root[:, None], root_position=root, frame="root")
    level = estimate_level(relative)
    assert level.tilt == pytest.approx(tilt, abs=2.5)  # bodies bend forward by 4.6 degrees: feet undo half of it
    assert level.roll == pytest.approx(roll, abs=2.0)
    assert level.centre[2] == pytest.approx(1600 - 70, abs=250)
    levelled = with_level(relative, level)
    assert levelled.frame == "world"
    assert levelled.root_position is None
    assert np.abs(levelled.joints - world + [0, 0, 70]).max() < 300  # two degrees at six metres
    back = world_to_camera(levelled.joints, level.rotation, level.centre)
    np.testing.assert_allclose(back, poses.joints, atol=0.01)
    assert any("floor are estimated" in note for note in viewer_data(levelled)["notes"])
    said = levelled.provenance["level"]
    assert said["upright_poses"] == len(poses)
    assert said["tilt_degrees"] == pytest.approx(level.tilt, abs=0.01)


def test_somebody_on_a_roof_stands_above_the_floor() -> None:
    poses, _ = walkers(camera(5, 0), 1600.0)
    joints = poses.joints.copy()
    joints[poses.person == 1] += camera(5, 0) @ [0, 0, 2000]
    level = estimate_level(dataclasses.replace(poses, joints=joints))
    assert level.stands == pytest.approx({0: 0, 1: 2000}, abs=100)
    assert level.centre[2] == pytest.approx(1600 - 70, abs=250)
    assert "person 1 stands 2.0" in str(level)


def test_the_floor_of_a_crowd() -> None:
    """None of twelve people is a tenth of all."""
    poses, _ = walkers(camera(5, 0), 1600.0, people=12, frames=10)
    level = estimate_level(poses)
    assert level.centre[2] == pytest.approx(1600 - 70, abs=250)
    assert len(level.stands) == 12


def test_no_level_without_people_who_stand() -> None:
    poses, _ = walkers(camera(10, 0), 1600.0)
    seated = poses.joints.copy()
    seated[:, [2, 5]] += camera(10, 0) @ [0, 400, 400]
    seated[:, [3, 6]] += camera(10, 0) @ [0, 400, 400]
    with pytest.raises(InputError, match="too few people stand upright: 0 of 80 poses, expected at least 8"):
        estimate_level(dataclasses.replace(poses, joints=seated))
    with pytest.raises(InputError, match="do not stand up in the image"):
        estimate_level(walkers(camera(0, 90), 1600.0)[0])
    with pytest.raises(InputError, match="got frame 'root'"):
        estimate_level(dataclasses.replace(poses, frame="root"))
    missing = poses.joints.copy()
    missing[::2] = np.nan
    missing[:, 10] = np.nan
    assert estimate_level(dataclasses.replace(poses, joints=missing)).tilt == pytest.approx(10, abs=2.5)


def test_a_height_scales_people_and_their_way() -> None:
    poses, _ = walkers(camera(0, 0), 1600.0)
    lifted = statures(poses)
    shank = limb_lengths(poses.joints, H36M)[:, [2, 5]].mean()
    assert lifted[0] == pytest.approx(shank / 0.246, rel=0.01)  # the shank is 0.246 of the stature
    tall = with_statures(poses, [1.9, 1.5])
    for person, height in enumerate((1.9, 1.5)):
        rows, factor = poses.person == person, 1000 * height / lifted[person]
        np.testing.assert_allclose(tall.joints[rows], factor * poses.joints[rows], rtol=1e-5)
    assert statures(tall) == pytest.approx({0: 1900, 1: 1500}, rel=1e-4)
    intrinsics = [1000.0, 1000, 500, 500]
    np.testing.assert_allclose(project(tall.joints, intrinsics), project(poses.joints, intrinsics), atol=1e-2)
    assert tall.provenance["height"]["heights_m"] == {"0": 1.9, "1": 1.5}


def test_heights_that_are_none() -> None:
    poses, _ = walkers(camera(0, 0), 1600.0)
    with pytest.raises(InputError, match=r"one for each of 2 people \(numbers 0, 1\), got 1"):
        with_statures(poses, [1.75])
    with pytest.raises(InputError, match=r"expected metres, 0.3 to 2.8, got 175"):
        with_statures(poses, [175, 160])
    with pytest.raises(InputError, match="before levelling"):
        with_statures(dataclasses.replace(poses, frame="world"), [1.75, 1.6])
