"""The temporal network and lifters that hold one: zero corrections, causality, gaps, length, mirror, files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import nearfar
from nearfar import InputError, PoseSet, get_skeleton
from nearfar.camera import project
from nearfar.lifting import Lifter, default_weights, temporal
from nearfar.lifting.network import build_network
from nearfar.lifting.temporal import TemporalConfig, TemporalNetwork
from nearfar.poses import Category
from nearfar.presets import NetworkConfig
from nearfar.skeleton import mirror

SKELETON = get_skeleton("h36m17")
REACH = 1 + 1 + 3 + 2 * 8 + 1


def make_lifter(skeleton: str = "h36m17", *, trained: bool = True) -> Lifter:
    """Small networks of random weights; an untrained temporal network corrects nothing."""
    torch.manual_seed(0)
    frames = build_network(NetworkConfig(width=32), get_skeleton(skeleton))
    frames.initialise()
    through_time = TemporalNetwork(
        TemporalConfig(width=24, ray_dilations=(1,), depth_dilations=(1, 3)), get_skeleton(skeleton)
    )
    if trained:
        for head in (through_time.ray_head, through_time.depth_head):
            torch.nn.init.normal_(head.weight, std=0.3)
    return Lifter(frames.eval(), {"name": "random"}, through_time.eval())


def single(lifter: Lifter) -> Lifter:
    return Lifter(lifter.network, lifter.card)


def make_clip(frames: int = 30, seed: int = 0, fps: float = 15.0) -> PoseSet:
    """Somebody who walks about and wobbles."""
    rng = np.random.default_rng(seed)
    body = rng.normal(scale=[300, 500, 200], size=(17, 3))
    wobble = rng.normal(scale=15, size=(frames, 17, 3)).cumsum(axis=0)
    joints = body + wobble + [0, 0, 4500] + np.linspace(0, 800, frames)[:, None, None] * [1, 0, 0.5]
    intrinsics = np.tile(np.array([1100, 1150, 480, 510], np.float32), (frames, 1))
    return PoseSet(
        SKELETON,
        keypoints=project(joints, intrinsics).astype(np.float32),
        joints=joints.astype(np.float32),
        intrinsics=intrinsics,
        time=np.arange(frames) / fps,
    )


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return make_lifter()


@pytest.fixture(scope="module")
def clip() -> PoseSet:
    return make_clip()


def without(poses: PoseSet, *rows: int) -> PoseSet:
    keypoints = np.array(poses.keypoints)
    keypoints[list(rows)] = np.nan
    return dataclasses.replace(poses, keypoints=keypoints)


@pytest.mark.parametrize("causal", [False, True])
def test_untrained_it_gives_the_single_frame_answer(clip: PoseSet, causal: bool) -> None:
    lifter = make_lifter(trained=False)
    lifted, alone = lifter.lift_poses(clip, causal=causal), single(lifter).lift_poses(clip)
    assert np.allclose(lifted.joints, alone.joints, atol=0.05)
    assert np.allclose(lifted.root_position, alone.root_position, atol=0.05)


def test_through_time_it_says_something_else(lifter: Lifter, clip: PoseSet) -> None:
    lifted, alone = lifter.lift_poses(clip), single(lifter).lift_poses(clip)
    assert np.abs(lifted.joints - alone.joints).mean() > 1
    assert np.abs(lifted.joints[:, SKELETON.root_index]).max() == 0


def test_what_is_no_clip_is_lifted_frame_by_frame(lifter: Lifter, clip: PoseSet) -> None:
    alone = single(lifter).lift_poses(clip)
    photos = Category.of([f"{i}.jpg" for i in range(len(clip))])
    for changes in ({"time": None}, {"sequence": photos}, {"time": clip.time * 15}):  # the last: a frame a second
        assert np.array_equal(lifter.lift_poses(dataclasses.replace(clip, **changes)).joints, alone.joints)
    assert np.allclose(lifter.lift_poses(clip.select(slice(7, 8))).joints, alone.joints[7:8], atol=0.02)
    assert np.array_equal(lifter.lift(clip.keypoints, skeleton="h36m17", intrinsics=clip.intrinsics), alone.joints)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 28))
def test_a_causal_call_does_not_see_the_future(frame: int) -> None:
    lifter, clip = make_lifter(), make_clip()
    whole = lifter.lift_poses(clip, causal=True).joints
    seen = lifter.lift_poses(clip.select(slice(0, frame + 1)), causal=True).joints
    assert np.allclose(seen, whole[: frame + 1], atol=0.02)


def test_offline_a_frame_sees_as_far_as_the_network_reaches(lifter: Lifter, clip: PoseSet) -> None:
    base = lifter.lift_poses(clip).joints
    keypoints = np.array(clip.keypoints)
    keypoints[15, 3] += 40
    moved = np.abs(lifter.lift_poses(dataclasses.replace(clip, keypoints=keypoints)).joints - base).max(axis=(1, 2))
    assert lifter.temporal.reach == REACH
    touched = np.flatnonzero(moved > 1e-3)
    assert touched.min() < 15 < touched.max()
    assert touched.min() >= 15 - REACH
    assert touched.max() <= 15 + REACH


def test_a_long_clip_in_chunks_is_the_whole_clip(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = without(make_clip(53), 20, 21)
    whole = [lifter.lift_poses(clip, causal=causal).joints for causal in (False, True)]
    monkeypatch.setattr(temporal, "CHUNK", 10)
    for causal in (False, True):
        assert np.allclose(lifter.lift_poses(clip, causal=causal).joints, whole[causal], atol=0.02, equal_nan=True)


@pytest.mark.parametrize("later", [1 / 9, 1 / 4])
@pytest.mark.parametrize("frames", [1, 2, 5, 17, 29])
def test_a_causal_call_does_not_know_the_frame_rate_to_come(
    lifter: Lifter, clip: PoseSet, frames: int, later: float
) -> None:
    """Steps change after a third of the clip, and so does the median over the whole of it."""
    waits = np.where(np.arange(len(clip)) < 10, 1 / 30, later) * np.random.default_rng(0).uniform(0.9, 1.1, len(clip))
    uneven = dataclasses.replace(clip, time=np.cumsum(waits))
    whole = lifter.lift_poses(uneven, causal=True)
    seen = lifter.lift_poses(uneven.select(slice(0, frames)), causal=True)
    np.testing.assert_allclose(whole.joints[:frames], seen.joints, atol=1e-2)
    np.testing.assert_allclose(whole.root_position[:frames], seen.root_position, atol=1e-1)


@pytest.mark.parametrize("causal", [False, True])
def test_frames_without_a_person_are_missing_and_spoil_nothing(lifter: Lifter, clip: PoseSet, causal: bool) -> None:
    lifted = lifter.lift_poses(without(clip, 0, 9, 10, 11, 29), causal=causal)
    gone = np.isin(np.arange(30), [0, 9, 10, 11, 29])
    assert (np.isnan(lifted.joints).all(axis=(1, 2)) == gone).all()
    assert np.isfinite(lifted.joints[~gone]).all()
    assert (np.isnan(lifted.root_position).all(axis=1) == gone).all()


@pytest.mark.parametrize("causal", [False, True])
def test_half_a_person_without_a_root_is_nobody(lifter: Lifter, clip: PoseSet, causal: bool) -> None:
    keypoints = np.array(clip.keypoints)
    keypoints[12, SKELETON.root_index] = np.nan
    half = lifter.lift_poses(dataclasses.replace(clip, keypoints=keypoints), causal=causal).joints
    nobody = lifter.lift_poses(without(clip, 12), causal=causal).joints
    assert np.allclose(half, nobody, atol=0.02, equal_nan=True)


def test_rows_that_are_not_there_are_frames_without_a_person(lifter: Lifter, clip: PoseSet) -> None:
    rows = np.setdiff1d(np.arange(30), [9, 10, 11])
    absent = lifter.lift_poses(clip.select(rows)).joints
    assert np.allclose(absent, lifter.lift_poses(without(clip, 9, 10, 11)).joints[rows], atol=0.02)


def test_a_missing_keypoint_is_a_missing_joint(lifter: Lifter, clip: PoseSet) -> None:
    keypoints = np.array(clip.keypoints)
    keypoints[4:8, 13] = np.nan
    lifted = lifter.lift_poses(dataclasses.replace(clip, keypoints=keypoints)).joints
    gone = np.zeros((30, 17), bool)
    gone[4:8, 13] = True
    assert (np.isnan(lifted).any(axis=-1) == gone).all()


def test_people_and_clips_do_not_mix(lifter: Lifter) -> None:
    """Two people's frames, interleaved, are lifted as two clips."""
    first, second = make_clip(seed=1), make_clip(seed=2)
    order = np.argsort(np.concatenate([np.arange(30), np.arange(30)]), kind="stable")
    columns = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])[order]
        for name in ("keypoints", "intrinsics", "time")
    }
    both = PoseSet(SKELETON, **columns, person=np.repeat([0, 1], 30)[order])
    lifted = lifter.lift_poses(both)
    for person, alone in ((0, first), (1, second)):
        assert np.allclose(lifted.joints[both.person == person], lifter.lift_poses(alone).joints, atol=0.02)


def test_time_counts(lifter: Lifter) -> None:
    assert not np.allclose(lifter.lift_poses(make_clip(fps=15)).joints, lifter.lift_poses(make_clip(fps=30)).joints)
    clip = make_clip(fps=30)
    counted = dataclasses.replace(clip, time=None, frame_index=np.arange(30))
    assert np.allclose(lifter.lift_poses(counted).joints, lifter.lift_poses(clip).joints, atol=0.02)
    assert not np.allclose(lifter.lift_poses(counted, fps=10).joints, lifter.lift_poses(clip).joints)


@pytest.mark.parametrize("causal", [False, True])
def test_a_mirrored_clip_lifts_to_the_mirrored_result(lifter: Lifter, clip: PoseSet, causal: bool) -> None:
    mirrored = lifter.lift_poses(clip.mirrored(), causal=causal).joints
    assert np.abs(mirror(mirrored, SKELETON) - lifter.lift_poses(clip, causal=causal).joints).max() < 0.05


def test_no_gradient_is_spoilt_by_frames_that_are_missing(clip: PoseSet) -> None:
    lifter = make_lifter()
    keypoints = torch.from_numpy(np.array(without(clip, 3, 4, 20).keypoints))[None]
    cameras = torch.from_numpy(clip.intrinsics)[None]
    prediction = lifter.temporal(lifter.network, keypoints, cameras, torch.tensor([1 / 15]))
    prediction.joints[torch.isfinite(prediction.joints)].abs().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in lifter.temporal.parameters() if p.grad is not None)
    assert lifter.temporal.ray_entry.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in lifter.network.parameters())


@pytest.mark.parametrize("skeleton", ["lsp14", "body25"])
def test_any_skeleton_will_do(skeleton: str) -> None:
    lifter = make_lifter(skeleton)
    joints = lifter.skeleton.num_joints
    keypoints = np.random.default_rng(0).uniform(200, 800, size=(9, joints, 2))
    poses = PoseSet(lifter.skeleton, keypoints=keypoints, image_size=np.full((9, 2), 1000), frame_index=np.arange(9))
    assert np.isfinite(lifter.lift_poses(poses).joints).all()


def test_a_file_holds_both_networks(lifter: Lifter, clip: PoseSet, tmp_path: Path) -> None:
    path = tmp_path / "video.safetensors"
    lifter.save(path)
    again = nearfar.load(path)
    assert again.card == lifter.card
    assert again.temporal.config == lifter.temporal.config
    assert "through time" in repr(again)
    assert np.abs(again.lift_poses(clip).joints - lifter.lift_poses(clip).joints).max() < 3  # half precision
    again.save(tmp_path / "twice.safetensors")
    assert np.array_equal(
        nearfar.load(tmp_path / "twice.safetensors").lift_poses(clip).joints, again.lift_poses(clip).joints
    )
    with safe_open(path, framework="pt") as file:
        matrices = {name for name in file.keys() if file.get_tensor(name).dtype == torch.float16}  # noqa: SIM118
    assert "temporal.ray_entry.weight" in matrices
    assert "trunk.entry.0.weight" in matrices


def test_files_that_do_not_hold_together_are_refused(lifter: Lifter, tmp_path: Path) -> None:
    from nearfar.files import write_safetensors

    path = tmp_path / "video.safetensors"
    lifter.save(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["nearfar"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for changed in (
        header | {"temporal": {"width": 23}},
        header | {"temporal": {"height": 24}},
    ):
        write_safetensors(path, tensors, changed)
        with pytest.raises(InputError, match=r"video\.safetensors"):
            nearfar.load(path)
    del header["temporal"]  # without it the tensors belong to nothing
    write_safetensors(path, tensors, header)
    with pytest.raises(InputError, match=r"video\.safetensors"):
        nearfar.load(path)


def test_only_ray_depths_are_refined(lifter: Lifter) -> None:
    relative = build_network(NetworkConfig(head="relative", width=8), SKELETON)
    with pytest.raises(InputError, match="ray depths"):
        Lifter(relative, {}, lifter.temporal)


def test_bad_configurations_are_refused() -> None:
    for wrong in ({"width": 0}, {"ray_dilations": ()}, {"depth_dilations": (1, 0)}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            TemporalConfig(**wrong)


def test_clips_have_weights_of_their_own(clip: PoseSet, monkeypatch: pytest.MonkeyPatch) -> None:
    from nearfar.lifting import lifter

    monkeypatch.setattr(lifter, "weight_names", lambda: ("default", "default-video"))
    assert default_weights(clip) == "default-video"
    assert default_weights(dataclasses.replace(clip, time=None)) == "default"
