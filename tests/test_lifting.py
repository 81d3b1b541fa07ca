"""Networks and `Lifter`: geometry by construction, invariances, saving and loading, bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nearfar
from nearfar import InputError, PoseSet, get_skeleton
from nearfar.camera import project
from nearfar.lifting import Lifter
from nearfar.lifting.network import LiftingNetwork, build_network
from nearfar.presets import NetworkConfig, preset
from nearfar.skeleton import mirror

SKELETON = get_skeleton("h36m17")
HEADS = ("ray_depth", "relative", "supervised")


def make_lifter(head: str = "ray_depth", skeleton: str = "h36m17", seed: int = 0) -> Lifter:
    """A small lifter with random weights and random statistics."""
    torch.manual_seed(seed)
    config = NetworkConfig(head=head, width=32, mirror_average=head == "ray_depth")
    network: LiftingNetwork = build_network(config, get_skeleton(skeleton))
    network.initialise()
    joints = network.skeleton.num_joints
    network.fit_statistics(torch.randn(50, joints, 2) * 200 + 500, torch.randn(50, joints, 3) * 300)
    return Lifter(network.eval(), {"name": "random"})


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return make_lifter()


@pytest.fixture(scope="module")
def poses() -> PoseSet:
    rng = np.random.default_rng(0)
    joints = (rng.normal(scale=[300, 500, 200], size=(8, 17, 3)) + [200, 0, 4500]).astype(np.float32)
    intrinsics = np.tile(np.array([1100, 1150, 480, 510], np.float32), (8, 1))
    keypoints = project(joints, intrinsics).astype(np.float32)
    return PoseSet(SKELETON, keypoints=keypoints, joints=joints, intrinsics=intrinsics)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("skeleton", ["h36m17", "lsp14", "human19", "body25"])
def test_every_head_lifts_every_skeleton(head: str, skeleton: str) -> None:
    lifter = make_lifter(head, skeleton)
    joints = lifter.skeleton.num_joints
    keypoints = np.random.default_rng(1).uniform(100, 900, size=(2, 3, joints, 2))
    lifted = lifter.lift(keypoints, skeleton=skeleton, image_size=(1000, 1000))
    assert lifted.shape == (2, 3, joints, 3)
    assert np.isfinite(lifted).all()


def test_ray_depth_reprojects_exactly(lifter: Lifter, poses: PoseSet) -> None:
    lifted = lifter.lift_poses(poses)
    assert np.isfinite(lifted.joints).all()
    reprojected = project(lifted.joints + lifted.root_position[:, None], poses.intrinsics)
    assert np.abs(reprojected - poses.keypoints).max() < 0.05


def test_geometry_keeps_its_precision_under_autocast(poses: PoseSet) -> None:
    """Only the linear layers may run in bfloat16: 8 mm steps in the geometry would be noise in training."""
    network = make_lifter().network
    keypoints, intrinsics = (torch.from_numpy(np.array(a)) for a in (poses.keypoints, poses.intrinsics))
    with torch.autocast("cpu", torch.bfloat16):
        prediction = network(keypoints, intrinsics)
    assert prediction.joints.dtype == torch.float32
    reprojected = project((prediction.joints + prediction.root[:, None]).detach().numpy(), poses.intrinsics)
    assert np.abs(reprojected - poses.keypoints).max() < 0.05


def test_lifted_poses_say_what_they_are(lifter: Lifter, poses: PoseSet) -> None:
    lifted = lifter.lift_poses(poses)
    assert lifted.frame == "root"
    assert np.abs(lifted.joints[:, SKELETON.root_index]).max() == 0
    assert lifted.provenance["intrinsics"] == "given"
    blind = dataclasses.replace(poses, intrinsics=None, image_size=np.full((8, 2), 1000))
    assert "field of view 55" in lifter.lift_poses(blind).provenance["intrinsics"]
    assert "no image size" in lifter.lift_poses(dataclasses.replace(blind, image_size=None)).provenance["intrinsics"]


SHIFT = st.tuples(st.floats(-500, 500), st.floats(-500, 500))


@settings(max_examples=30, deadline=None)
@given(SHIFT, st.floats(0.05, 20))
def test_lifting_ignores_crop_and_image_scale_given_intrinsics(shift: tuple[float, float], scale: float) -> None:
    """A crop or a resized image with its own intrinsics is the same view."""
    lifter = make_lifter()
    rng = np.random.default_rng(2)
    keypoints, k = rng.uniform(300, 700, size=(4, 17, 2)), np.array([1100.0, 1150, 480, 510])
    base = lifter.lift(keypoints, skeleton="h36m17", intrinsics=k)
    moved_k = np.concatenate([k[:2] * scale, (k[2:] + shift) * scale])
    moved = lifter.lift((keypoints + shift) * scale, skeleton="h36m17", intrinsics=moved_k)
    assert np.abs(moved - base).max() < 0.5


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 20), SHIFT)
def test_lifting_ignores_frame_size_without_intrinsics(scale: float, shift: tuple[float, float]) -> None:
    lifter = make_lifter()
    keypoints = np.random.default_rng(3).uniform(300, 700, size=(4, 17, 2))
    base = lifter.lift(keypoints, skeleton="h36m17", image_size=(1280, 960))
    resized = lifter.lift(keypoints * scale, skeleton="h36m17", image_size=(1280 * scale, 960 * scale))
    assert np.abs(resized - base).max() < 0.5
    unknown = lifter.lift(keypoints, skeleton="h36m17")
    moved = lifter.lift(keypoints * scale + shift, skeleton="h36m17")
    assert np.abs(moved - unknown).max() < 0.5


def test_a_mirrored_pose_lifts_to_the_mirrored_result(lifter: Lifter, poses: PoseSet) -> None:
    mirrored = lifter.lift_poses(poses.mirrored())
    assert np.abs(mirror(mirrored.joints, SKELETON) - lifter.lift_poses(poses).joints).max() < 1e-2


def test_missing_keypoints_are_missing_joints(lifter: Lifter, poses: PoseSet) -> None:
    keypoints = np.array(poses.keypoints)
    keypoints[0, 3] = np.nan  # an ankle
    keypoints[1, SKELETON.root_index] = np.nan
    keypoints[2, 4:] = np.nan
    keypoints[3, 5:] = np.nan
    lifted = lifter.lift(keypoints, skeleton="h36m17", intrinsics=poses.intrinsics)
    assert np.isnan(lifted[0, 3]).all()
    assert np.isfinite(np.delete(lifted[0], 3, axis=0)).all()
    assert np.isnan(lifted[1]).all()  # no root, no pose
    assert np.isfinite(lifted[2, :4]).all()
    assert np.isnan(lifted[2, 4:]).all()
    only_three = keypoints.copy()
    only_three[:, 3:] = np.nan
    assert np.isnan(lifter.lift(only_three, skeleton="h36m17", intrinsics=poses.intrinsics)).all()


def test_score_zero_is_missing(lifter: Lifter, poses: PoseSet) -> None:
    scores = np.ones((8, 17))
    scores[:, 16] = 0
    lifted = lifter.lift(poses.keypoints, skeleton="h36m17", scores=scores)
    assert np.isnan(lifted[:, 16]).all()
    assert np.isfinite(lifted[:, :16]).all()


def test_all_keypoints_in_one_spot_are_no_pose(lifter: Lifter) -> None:
    assert np.isnan(lifter.lift(np.full((17, 2), 300.0), skeleton="h36m17", image_size=(640, 480))).all()


def test_lifting_from_another_skeleton(lifter: Lifter) -> None:
    keypoints = np.random.default_rng(4).uniform(0, 900, size=(3, 17, 2))
    assert lifter.lift(keypoints, skeleton="coco17").shape == (3, 17, 3)
    with pytest.raises(InputError, match="cannot map skeleton 'openpose17' to 'coco17'"):
        make_lifter(skeleton="coco17").lift(keypoints, skeleton="openpose17")


def test_no_poses_give_no_poses(lifter: Lifter) -> None:
    assert lifter.lift(np.zeros((0, 17, 2)), skeleton="h36m17").shape == (0, 17, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": np.zeros((4, 16, 2))}, r"expected \(..., 17, 2\).*got shape \(4, 16, 2\)"),
        ({"keypoints": np.zeros((17, 3))}, r"got shape \(17, 3\)"),
        ({"keypoints": np.full((17, 2), np.inf)}, "infinite"),
        ({"keypoints": np.random.default_rng(0).random((4, 17, 2))}, "look normalised"),
        ({"skeleton": "h36m"}, "no skeleton 'h36m'"),
        ({"scores": np.ones((4, 16))}, "scores: expected shape"),
        ({"intrinsics": [0, 1, 2, 3]}, "focal lengths must be positive"),
        ({"intrinsics": [1, 2, 3]}, r"expected \(..., 4\)"),
        ({"intrinsics": np.ones((5, 4))}, "do not fit"),
        ({"image_size": (0, 100)}, "image size"),
    ],
)
def test_bad_input_is_named(lifter: Lifter, change: dict, message: str) -> None:
    arguments = {"keypoints": np.random.default_rng(0).uniform(0, 900, (4, 17, 2)), "skeleton": "h36m17"} | change
    with pytest.raises(InputError, match=message):
        lifter.lift(arguments.pop("keypoints"), **arguments)


def test_normalised_coordinates_with_pixel_intrinsics_are_refused(lifter: Lifter) -> None:
    with pytest.raises(InputError, match="do not belong together"):
        lifter.lift(np.random.default_rng(0).random((4, 17, 2)), skeleton="h36m17", intrinsics=[1100, 1100, 500, 500])


@pytest.mark.parametrize("head", HEADS)
def test_save_and_load(head: str, poses: PoseSet, tmp_path) -> None:
    lifter = make_lifter(head)
    lifter.save(tmp_path / "weights.safetensors")
    again = nearfar.load(tmp_path / "weights.safetensors")
    assert again.card == lifter.card
    assert again.skeleton == lifter.skeleton
    assert (again.lift_poses(poses).joints == lifter.lift_poses(poses).joints).all()


def test_the_papers_heads_are_anchored_by_their_keypoints(poses: PoseSet) -> None:
    """The root position that lifting adds reprojects the pose better than any neighbour does."""
    lifted = make_lifter("supervised").lift_poses(poses)

    def error(root):
        rays = (poses.keypoints - poses.intrinsics[:, None, 2:]) / poses.intrinsics[:, None, :2]
        p = lifted.joints + root[:, None]
        return ((p[..., :2] - rays * p[..., 2:]) ** 2).sum()

    for nudge in np.eye(3) * 5:
        assert error(lifted.root_position + nudge) > error(lifted.root_position)
        assert error(lifted.root_position - nudge) > error(lifted.root_position)


def test_broken_weight_files_are_named(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="no weights"):
        nearfar.load(path)
    make_lifter().save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:-100], b"not weights" * 10):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"weights\.safetensors.*not a nearfar weights file"):
            nearfar.load(path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="not a nearfar weights file"):
        nearfar.load(path)


def test_the_relative_network_is_the_papers() -> None:
    """2J inputs, 1024 wide, one block of two layers, 3J outputs times a vector that starts at 100, a scale in (0, 1)."""
    network = build_network(preset("paper").network, SKELETON)
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight") and p.ndim == 2}
    assert sorted(shapes.values()) == sorted([(1024, 34), (1024, 1024), (1024, 1024), (51, 1024), (1, 1024)])
    assert (network.output_scale == 100).all()
    assert network.config.dropout == 0.5
    prediction = network.eval()(torch.rand(4, 17, 2), torch.ones(4, 4))
    assert ((prediction.scale > 0) & (prediction.scale < 1)).all()


def test_standardised_inputs_of_the_root_are_zero() -> None:
    network = make_lifter("relative").network
    assert (network.input_std.view(-1, 2)[SKELETON.root_index] == 0).all()
