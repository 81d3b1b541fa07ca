"""BVH and GLB: what readers that are not ours find in them, in mm and degrees."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from motion_oracles import BLENDER_PYTHON, Gltf, blender
from scipy.spatial.transform import Rotation

from nearfar import PoseSet, get_skeleton
from nearfar.datasets.bvh import read_bvh
from nearfar.errors import InputError
from nearfar.export import export
from nearfar.export.bvh import bvh_text, write_bvh
from nearfar.export.motion import Motion, motions
from nearfar.poses import Category
from nearfar.skeleton import Skeleton
from nearfar.synthetic import synthetic_motion

H36M17 = get_skeleton("h36m17")
FPS = 25.0
Z_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # from the files' axes, y up, to Blender's

needs_blender = pytest.mark.skipif(
    BLENDER_PYTHON is None, reason="needs bpy (dependency group blender, or NEARFAR_BLENDER_PYTHON)"
)


@pytest.fixture(scope="module")
def clip() -> PoseSet:
    """Two people of human19 in the world; the second comes 5 frames later; gaps in both."""
    one = synthetic_motion(40, seed=6, fps=FPS)
    joints = np.array(one.joints[:40], dtype=np.float64)
    joints[10:14, one.skeleton.index("left_wrist")] = np.nan
    joints[20:23] = np.nan
    late = joints[:35] + [900, 300, 0]
    time = np.concatenate([np.arange(40), np.arange(5, 40)]) / FPS
    return PoseSet(one.skeleton, joints=np.concatenate([joints, late]), frame="world", time=time,
                   person=np.repeat([2, 5], [40, 35]))  # fmt: skip


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.rad2deg(Rotation.from_matrix((np.swapaxes(a, -1, -2) @ b).reshape(-1, 3, 3)).magnitude())


def agrees(motion: Motion, found: dict[str, np.ndarray], name: str) -> None:
    """What Blender moves is what was solved: mm and degrees, bone by bone, frame by frame."""
    bones, first = found[f"{name}/bones"].tolist(), round(motion.start * motion.fps) - int(found[f"{name}/start"])
    nodes = [motion.armature.names.index(bone) for bone in bones]
    frames = slice(max(first, 0), max(first, 0) + len(motion.root))
    position, turned = motion.armature.forward(motion.rotations, motion.root)
    assert np.abs(found[f"{name}/heads"][frames] - position[:, nodes] @ Z_UP.T).max() < 0.01  # mm
    assert degrees(found[f"{name}/turns"][frames], Z_UP @ turned[:, nodes] @ Z_UP.T).max() < 0.01


def test_bvh_by_pybvh(clip: PoseSet, tmp_path: Path) -> None:
    pybvh = pytest.importorskip("pybvh", reason="needs pybvh (dependency group test)")
    written = export(clip, tmp_path / "walk.bvh")
    assert [path.name for path in written.paths] == ["walk-person2.bvh", "walk-person5.bvh"]
    assert any("person5: begins 0.200 s after the clip" in note for note in written.notes)
    for path, motion in zip(written.paths, motions(clip), strict=True):
        file = pybvh.read_bvh_file(path, world_up="+y")
        turning = [name for name, end in zip(motion.armature.names, motion.armature.ends, strict=True) if not end]
        assert file.frame_count == len(motion.root)
        assert file.frame_time == pytest.approx(1 / FPS)
        assert list(file.joint_names) == turning
        assert set(file.euler_orders) == {"ZXY"}
        assert np.abs(file.node_positions() * 10 - motion.positions()).max() < 0.01  # mm
        nodes = [motion.armature.names.index(name) for name in turning]
        assert degrees(np.asarray(file.to_rotmat()[1]), motion.rotations[:, nodes]).max() < 1e-3
        assert np.array_equal(read_bvh(path).positions(), file.node_positions().round(12)) or np.allclose(
            read_bvh(path).positions(), file.node_positions(), atol=1e-9
        )


@needs_blender
def test_bvh_in_blender(clip: PoseSet, tmp_path: Path) -> None:
    (path,) = export(clip, tmp_path / "one.bvh", person=5).paths
    (motion,) = motions(clip, person=5)
    found = blender(path, FPS)
    assert found["names"].tolist() == ["one"]
    assert len(found["one/heads"]) == 35
    bones, ends = found["one/bones"].tolist(), motion.armature.ends
    assert bones == [name for name, end in zip(motion.armature.names, ends, strict=True) if not end]
    found["one/start"] = np.array(round(motion.start * FPS))  # a BVH file does not say when it begins
    agrees(motion, found, "one")


@needs_blender
def test_glb_in_blender(clip: PoseSet, tmp_path: Path) -> None:
    (path,) = export(clip, tmp_path / "walk.glb").paths
    found = blender(path, FPS, frames=[0, 21, 39])
    assert found["names"].tolist() == ["person2", "person5"]
    for motion in motions(clip):
        assert len(found[f"{motion.name}/heads"]) == 40
        agrees(motion, found, motion.name)
    file = Gltf(path)
    for shown, frame in zip(found["vertices"], (0, 21, 39), strict=True):
        ours = np.concatenate([file.skinned(name, frame / FPS) for name in ("person2", "person5")]) @ Z_UP.T * 1000
        assert np.abs(shown.min(0) - ours.min(0)).max() < 0.1
        assert np.abs(shown.max(0) - ours.max(0)).max() < 0.1


def test_glb_by_its_specification(clip: PoseSet, tmp_path: Path) -> None:
    (path,) = export(clip, tmp_path / "walk.glb").paths
    file = Gltf(path)
    for motion in motions(clip):
        position, turned = motion.armature.forward(motion.rotations, motion.root)
        for frame in (0, 11, 21, len(motion.root) - 1):
            found = file.joints(motion.name, motion.start + frame / FPS)
            assert tuple(found) == motion.armature.names
            matrices = np.array(list(found.values()))
            assert np.abs(matrices[:, :3, 3] * 1000 - position[frame]).max() < 0.01  # mm
            assert degrees(matrices[:, :3, :3], turned[frame]).max() < 0.01
            corners = file.skinned(motion.name, motion.start + frame / FPS) * 1000
            reach = np.linalg.norm(corners[:, None] - position[frame], axis=-1).min(axis=0)
            assert reach[motion.armature.ends].max() < 0.01  # every limb's mesh ends where its joint is
            assert len(corners) == 24 * int((np.linalg.norm(motion.armature.offsets, axis=-1) > 0).sum())
    assert np.ptp(file.skinned("person5", 4.4 / FPS), axis=0).max() == 0  # not seen before they come
    assert np.ptp(file.skinned("person5", 5 / FPS), axis=0)[1] > 1


def test_glb_has_the_camera(tmp_path: Path) -> None:
    """Through the file's camera, joints are where the image has them."""
    poses = facing_the_camera()
    seen = PoseSet(H36M17, joints=poses.joints, frame="root", root_position=poses.root_position, time=poses.time,
                   intrinsics=np.tile([1500.0, 1500, 640, 360], (3, 1)), image_size=np.tile([1280, 720], (3, 1)))  # fmt: skip
    file = Gltf(export(seen, tmp_path / "seen.glb").paths[0])
    (camera,) = file.json["cameras"]
    view = np.linalg.inv(file.world(0.0)[file.names.index("camera")])
    tangent = np.tan(camera["perspective"]["yfov"] / 2)
    for name, at in file.joints("person0", 0.0).items():
        x, y, z = (view @ at[:, 3])[:3]
        right, up = x / -z / tangent / camera["perspective"]["aspectRatio"], y / -z / tangent
        pixel = np.array([(right + 1) / 2 * 1280, (1 - up) / 2 * 720])
        joint = motions(seen)[0].armature.joints[motions(seen)[0].armature.names.index(name)]
        point = poses.joints[0, joint] + poses.root_position[0]
        assert np.abs(pixel - (point[:2] / point[2] * 1500 + [640, 360])).max() < 0.01
    assert "cameras" not in Gltf(export(poses, tmp_path / "unseen.glb").paths[0]).json


def test_glb_by_trimesh(clip: PoseSet, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh", reason="needs trimesh (dependency group test)")
    (path,) = export(clip, tmp_path / "walk.glb", person=2).paths
    scene = trimesh.load(path)
    (motion,) = motions(clip, person=2)
    rest = motion.armature.rest_positions() + [0, motion.rest_height, 0]
    low, high = scene.bounds * 1000
    assert np.abs(low[1]) < 0.01  # stands on the ground, at rest
    assert np.abs(high[1] - rest[:, 1].max()) < 0.01
    assert np.abs(high[0] - rest[:, 0].max()) < 0.01  # arms wide, the person's left at +x
    body = trimesh.util.concatenate(scene.dump())
    body.merge_vertices(merge_norm=True, merge_tex=True)
    assert body.is_watertight
    assert body.volume > 0  # faces look outwards
    colours = [mesh.visual.material.baseColorFactor for mesh in scene.geometry.values()]
    assert len({tuple(colour) for colour in colours}) == 3  # left, right, the person's own


@pytest.mark.parametrize("order", ["xyz", "xzy", "yxz", "yzx", "zxy", "ZYX"])
def test_bvh_in_any_order_of_angles(clip: PoseSet, order: str, tmp_path: Path) -> None:
    (motion,) = motions(clip, person=2)
    write_bvh(clip, tmp_path / "a.bvh", person=2, order=order)
    assert np.abs(read_bvh(tmp_path / "a.bvh").positions() * 10 - motion.positions()).max() < 0.01
    angles = read_bvh(tmp_path / "a.bvh").motion[:, 3:]
    assert np.abs(np.diff(angles, axis=0)).max() < 200  # a flip is 360


def test_bvh_refuses_orders(clip: PoseSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="order of angles"):
        write_bvh(clip, tmp_path / "a.bvh", person=2, order="zxz")
    with pytest.raises(InputError, match="holds one person"):
        write_bvh(clip, tmp_path / "a.bvh")
    assert not list(tmp_path.iterdir())


def test_poses_before_a_camera_stand_upright(tmp_path: Path) -> None:
    """Root-relative poses of a camera: y up, the person on the ground, their left to +x when they face the camera."""
    (motion,) = motions(facing_the_camera())
    position = dict(zip(motion.armature.names, motion.positions()[0], strict=True))
    assert position["head_top"][1] > position["mid_hip"][1] > position["left_ankle"][1] > -50
    assert position["left_shoulder"][0] > position["right_shoulder"][0]
    assert Rotation.from_matrix(motion.rotations[0, 0]).magnitude() < np.deg2rad(20)  # faces +z, as at rest


def facing_the_camera() -> PoseSet:
    """h36m17 as in the rest pose, in the camera's axes, 4 m before it."""
    (still,) = motions(
        PoseSet(H36M17, joints=np.random.default_rng(0).normal(0, 100, (2, 17, 3)), frame="world", time=np.arange(2.0))
    )
    rest = np.zeros((17, 3))
    rest[still.armature.joints] = still.armature.rest_positions()
    joints = np.tile(rest * [1, -1, -1], (3, 1, 1))
    return PoseSet(H36M17, joints=joints - joints[:, :1], frame="root", root_position=np.tile([0, 0, 4000.0], (3, 1)),
                   time=np.arange(3) / FPS)  # fmt: skip


def test_awkward_clips(clip: PoseSet, tmp_path: Path) -> None:
    """One frame, limbs without length, joints that come late, skeletons nobody knows: files that readers open."""
    one = clip.select(slice(0, 1))
    flat = PoseSet(H36M17, joints=np.zeros((4, 17, 3)), frame="root", time=np.arange(4) / FPS)
    rng = np.random.default_rng(1)
    partly = PoseSet(H36M17, joints=np.where(rng.random((30, 17, 1)) < 0.5, np.nan, rng.normal(0, 300, (30, 17, 3))),
                     frame="camera", time=np.arange(30) / FPS)  # fmt: skip
    spine_gone = np.array(clip.joints[:40])
    spine_gone[5:, [clip.skeleton.index(name) for name in ("mid_spine", "neck")]] = np.nan
    beast = Skeleton.from_dict(
        {"name": "beast", "joints": ["a", "b", "left c", "Ünder", "b_left c"], "root": "a", "mirror_pairs": [],
         "limbs": [{"parent": p, "child": c} for p, c in (("a", "b"), ("b", "left c"), ("b", "Ünder"), ("a", "b_left c"))]}
    )  # fmt: skip
    animal = PoseSet(beast, joints=rng.normal(0, 100, (5, 5, 3)), frame="world")
    spineless = PoseSet(clip.skeleton, joints=spine_gone, frame="world", time=np.arange(40) / FPS)
    for name, poses in {"one": one, "flat": flat, "partly": partly, "spineless": spineless, "animal": animal}.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing is divided by zero on the way
            (bvh,) = export(poses, tmp_path / f"{name}.bvh").paths
            (glb,) = export(poses, tmp_path / f"{name}.glb").paths
        (motion,) = motions(poses)
        file = read_bvh(bvh)
        assert np.isfinite(file.motion).all()
        assert np.abs(file.positions() * 10 - motion.positions()).max() < 0.01
        last = Gltf(glb).joints("person0" if poses.person is None else "person2", motion.start + 10)
        places = np.array(list(last.values()))[:, :3, 3] * 1000
        assert np.abs(places - motion.positions()[-1]).max() < 0.01


def test_what_has_no_motion_is_refused(clip: PoseSet, tmp_path: Path) -> None:
    rootless = np.array(clip.joints[:40])
    rootless[:, clip.skeleton.root_index] = np.nan
    cases = {
        "the root (mid_hip) is never there": PoseSet(clip.skeleton, joints=rootless, frame="world"),
        "no 3D joints": PoseSet(H36M17, keypoints=np.zeros((3, 17, 2))),
        "nothing to export": PoseSet(H36M17, joints=np.full((3, 17, 3), np.nan)),
        "holds one clip": PoseSet(H36M17, joints=np.ones((2, 17, 3)), sequence=Category(np.arange(2), ("a", "b"))),
        "times that increase": PoseSet(H36M17, joints=np.ones((2, 17, 3)), time=np.ones(2)),
    }
    for suffix in ("bvh", "glb"):
        for said, poses in cases.items():
            with pytest.raises(InputError) as error:
                export(poses, tmp_path / f"x.{suffix}")
            assert said in str(error.value)
    assert not list(tmp_path.iterdir())


def test_text_of_a_point() -> None:
    """A skeleton of one joint is a root that moves and turns, without an end."""
    point = Skeleton.from_dict({"name": "point", "joints": ["it"], "root": "it", "mirror_pairs": [], "limbs": []})
    (motion,) = motions(PoseSet(point, joints=np.ones((1, 1, 3)), frame="world"))
    assert bvh_text(motion).split("\n")[:4] == ["HIERARCHY", "ROOT it", "{", "\tOFFSET 0.00000 0.00000 0.00000"]
