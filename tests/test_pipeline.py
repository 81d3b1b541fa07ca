"""The main job on real input: a real video and real photos through the real detector to 3D."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import nearfar
from nearfar import InputError, PoseSet, load
from nearfar.camera import project
from nearfar.media import VideoWriter, read_frames
from nearfar.metrics import limb_length_variation

FIRST, FRAMES = 60, 24


@pytest.fixture(scope="module")
def clip(shared: Path, tmp_path_factory) -> Path:
    """A second of the street clip in which two people are seen."""
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    with VideoWriter(path, fps=60) as writer:
        for frame in islice(read_frames(shared / "media" / "street_walk.mp4"), FIRST, FIRST + FRAMES):
            writer.write(frame.image)
    return path


@pytest.mark.shared
@pytest.mark.slow
def test_a_real_video(clip: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nearfar.cli", "lift", str(clip), "--people", "2", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    poses = PoseSet.load(tmp_path / "poses.npz")
    assert poses.skeleton.name == "h36m17"
    assert poses.frame == "root"
    assert len(poses) == 2 * FRAMES
    assert poses.person.tolist() == [0] * FRAMES + [1] * FRAMES
    found = np.isfinite(poses.joints).all(axis=(1, 2))
    assert found.mean() > 0.8
    head, ankle = poses.skeleton.index("head_top"), poses.skeleton.index("right_ankle")
    height = poses.joints[found, ankle, 1] - poses.joints[found, head, 1]
    assert (height > 1000).mean() > 0.95  # upright: the head is above the ankle by more than a metre
    reprojected = project(poses.joints + poses.root_position[:, None], poses.intrinsics)
    moved = np.abs(reprojected - poses.keypoints)
    # What jitters is steadied; single frames reproject exactly.
    assert 0.1 < np.nanmedian(moved) < 2
    assert np.nanpercentile(moved, 99) < 15
    single = load("default").lift_poses(dataclasses.replace(poses, joints=None, root_position=None))
    reprojected = project(single.joints + single.root_position[:, None], single.intrinsics)
    assert np.nanmax(np.abs(reprojected - poses.keypoints)) < 0.5
    for person in (0, 1):
        assert np.median(limb_length_variation(poses.joints[poses.person == person], poses.skeleton)) < 0.15
    assert np.abs(np.nanmean(poses.root_position[:FRAMES] - poses.root_position[FRAMES:], axis=0)).max() > 100
    assert (tmp_path / "overlay.mp4").stat().st_size > 10_000
    assert (tmp_path / "view.html").stat().st_size > 10_000
    assert "finding people" in done.stderr
    assert "camera assumed: field of view 55 degrees" in done.stdout


@pytest.mark.shared
@pytest.mark.slow
def test_real_photos_and_a_bad_one(shared: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("000000000785.jpg", "000000040083.jpg"):
        (photos / name).write_bytes((shared / "media" / "coco" / name).read_bytes())
    (photos / "cut.jpg").write_bytes((photos / "000000000785.jpg").read_bytes()[:2000])
    command = [sys.executable, "-m", "nearfar.cli", "lift", str(photos), "--out", str(tmp_path / "out"), "--no-overlay"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cut.jpg" in done.stderr
    assert "1 of 3 inputs could not be lifted" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.parent.name for path in (tmp_path / "out").glob("*/poses.npz")) == [
        "000000000785.jpg", "000000040083.jpg",
    ]  # fmt: skip
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.stderr.count("finished before, skipped") == 2


@pytest.mark.shared
def test_lift_media_gives_one_row_a_frame(clip: Path) -> None:
    poses = nearfar.lift_media(clip, progress=False)
    assert poses.joints.shape == (FRAMES, 17, 3)
    assert poses.keypoints.shape == (FRAMES, 17, 2)
    assert poses.scores.shape == (FRAMES, 17)
    assert (np.diff(poses.time) > 0).all()
    known = nearfar.lift_media(clip, intrinsics=(1500, 1500, 884, 497), progress=False)
    assert known.provenance["intrinsics"] == "given"


@pytest.mark.shared
def test_a_video_without_people(tmp_path: Path, shared: Path) -> None:
    path = tmp_path / "empty_street.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, fps=10) as writer:
        for _ in range(3):
            writer.write(rng.integers(100, 120, size=(120, 160, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="no person found in any of 3 frames"):
        nearfar.lift_media(path, progress=False)
