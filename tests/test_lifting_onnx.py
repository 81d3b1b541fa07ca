"""Lifters as ONNX files, run by onnxruntime: the same figures as torch's, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nearfar
from nearfar import InputError, PoseSet, get_skeleton
from nearfar.camera import project
from nearfar.cli import main
from nearfar.lifting import Lifter
from nearfar.lifting.network import build_network
from nearfar.lifting.onnx import save_onnx
from nearfar.lifting.temporal import TemporalConfig, TemporalNetwork
from nearfar.presets import NetworkConfig

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
pytest.importorskip("onnxscript", reason="needs onnxscript")

STEP = 1 / 15


def small_lifter(head: str, skeleton: str, *, temporal: bool = False) -> Lifter:
    """Random weights and statistics; corrections that are not zero."""
    torch.manual_seed(3)
    config = NetworkConfig(head, width=24, correct_rays=head == "ray_depth", mirror_average=False)
    network = build_network(config, get_skeleton(skeleton))
    network.initialise()
    joints = network.skeleton.num_joints
    network.fit_statistics(torch.randn(50, joints, 2) * 200 + 500, torch.randn(50, joints, 3) * 300)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    card = {"name": "small", "licence": "CC0", "acknowledgement": "nobody"}
    if not temporal:
        return Lifter(network.eval(), card)
    through_time = TemporalNetwork(TemporalConfig(16, (1, 2), (1,), mirror_average=False), network.skeleton)
    for layer in (through_time.ray_head, through_time.depth_head):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return Lifter(network.eval(), card, through_time.eval())


def seen_poses(skeleton: str, count: int, seed: int = 0) -> PoseSet:
    """People before a camera; some joints are missing, one person has no root, one only three keypoints."""
    rng = np.random.default_rng(seed)
    own = get_skeleton(skeleton)
    joints = rng.normal(scale=[300, 500, 200], size=(1, own.num_joints, 3)) + [200, 0, 4500]
    joints = joints + rng.normal(scale=20, size=(count, own.num_joints, 3))
    camera = np.array([1100, 1150, 480, 510], np.float32)
    keypoints = project(joints, camera).astype(np.float32)
    missing = [joint for joint in range(own.num_joints) if joint != own.root_index]
    if count > 4:
        keypoints[0, missing[3]] = np.nan
        keypoints[1, missing[2:6]] = np.nan
        keypoints[2, own.root_index] = np.nan
        keypoints[3, missing[2:]] = np.nan
    return PoseSet(
        own, keypoints=keypoints, intrinsics=np.tile(camera, (count, 1)), time=np.arange(count) * STEP
    )  # fmt: skip


def run(path: Path, poses: PoseSet, **more: Any) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return tuple(
        session.run(["joints", "root"], {"keypoints": poses.keypoints, "intrinsics": poses.intrinsics, **more})
    )


def assert_same(found: tuple[np.ndarray, np.ndarray], expected: PoseSet, tolerance: float) -> None:
    """Equal to a share of the pose's size (the RMS distance of its joints from the root), NaN where it is NaN."""
    size = np.sqrt(np.nanmean(np.square(expected.joints).sum(-1))) if len(expected) else 1.0
    for ours, theirs in zip(found, (expected.joints, expected.root_position), strict=True):
        assert ours.dtype == np.float32
        assert np.array_equal(np.isnan(ours), np.isnan(theirs))
        assert np.nanmax(np.abs(ours - theirs), initial=0) <= tolerance * size


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's own lifter of single frames, exported by the command."""
    path = tmp_path_factory.mktemp("onnx") / "default.onnx"
    assert main(["models", "export", "default", str(path)]) == 0
    return path


@pytest.mark.parametrize("count", [0, 1, 2, 33])
def test_the_default_lifter_gives_the_same_figures(file: Path, count: int) -> None:
    poses = seen_poses("h36m17", count)
    assert_same(run(file, poses), nearfar.load().lift_poses(poses), 1e-4)


@pytest.mark.parametrize(("head", "skeleton"), [("relative", "lsp14"), ("supervised", "human19")])
def test_every_head_and_skeleton(head: str, skeleton: str, tmp_path: Path) -> None:
    lifter, poses = small_lifter(head, skeleton), seen_poses(skeleton, 9)
    before = [value.clone() for value in lifter.network.state_dict().values()]
    save_onnx(lifter, tmp_path / "any.onnx")
    assert_same(run(tmp_path / "any.onnx", poses), lifter.lift_poses(poses), 1e-4)
    assert all(torch.equal(a, b) for a, b in zip(before, lifter.network.state_dict().values(), strict=True))


def test_eight_bits_are_near(tmp_path: Path) -> None:
    lifter, poses = small_lifter("ray_depth", "body25"), seen_poses("body25", 33)
    save_onnx(lifter, tmp_path / "small.onnx", precision="int8")
    session = onnxruntime.InferenceSession(str(tmp_path / "small.onnx"))
    assert json.loads(session.get_modelmeta().custom_metadata_map["nearfar"])["precision"] == "int8"
    joints, _ = run(tmp_path / "small.onnx", poses)
    expected = lifter.lift_poses(poses).joints
    off = np.linalg.norm(joints - expected, axis=-1) / np.sqrt(np.nanmean(np.square(expected).sum(-1)))
    assert 1e-4 < np.nanmedian(off) < 0.02, "rounded, and near"


def test_a_lifter_of_clips(tmp_path: Path) -> None:
    lifter = small_lifter("ray_depth", "lsp14", temporal=True)
    save_onnx(lifter, tmp_path / "clip.onnx")
    step = np.array([STEP], np.float32)
    for count in (2, 3, 70):
        poses = seen_poses("lsp14", count)
        assert_same(run(tmp_path / "clip.onnx", poses, step=step), lifter.lift_poses(poses), 1e-4)
    # A frame without the person is all NaN; the pose set has no such row.
    seen = np.setdiff1d(np.arange(70), [20, 21, 22])
    poses.keypoints[20:23] = np.nan
    found = run(tmp_path / "clip.onnx", poses, step=step)
    assert np.isnan(found[0][20:23]).all()
    assert_same(tuple(part[seen] for part in found), lifter.lift_poses(poses.select(seen)), 1e-4)
    single = Lifter(lifter.network).lift_poses(poses)
    assert np.nanmax(np.abs(found[0] - single.joints)) > 10, "time says something"


def test_the_file_says_what_it_is(file: Path) -> None:
    session = onnxruntime.InferenceSession(str(file))
    said = json.loads(session.get_modelmeta().custom_metadata_map["nearfar"])
    lifter = nearfar.load()
    assert said["schema"] == "nearfar-onnx-1"
    assert said["skeleton"] == lifter.skeleton.to_dict()
    assert said["unit"]["joints"] == "mm"
    assert said["licence"] == lifter.card["licence"]
    assert said["acknowledgement"] == lifter.card["acknowledgement"]
    assert said["card"] == lifter.card


def test_bad_input_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"called \.onnx"):
        save_onnx(small_lifter("relative", "lsp14"), tmp_path / "model.bin")
    with pytest.raises(InputError, match="precision: expected one of float32, int8"):
        save_onnx(small_lifter("relative", "lsp14"), tmp_path / "m.onnx", precision="int4")
    assert main(["models", "export", "nobody", str(tmp_path / "m.onnx")]) == 2
    assert "no weights 'nobody'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
