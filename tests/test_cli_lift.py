"""`nearfar lift`: people, boxes, smoothing, resampling, and runs that are broken off."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from nearfar.cli import main
from nearfar.media import VideoWriter, read_frames
from nearfar.poses import PoseSet
from nearfar.resampling import observed
from nearfar.synthetic.crossing import crossing

FPS = 25


@pytest.fixture(scope="module")
def crossers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PoseSet]:
    """Five people who cross, as AlphaPose writes those whom it did not track; nobody is found in frames 40 to 44."""
    poses = crossing(5, 4.0, seed=3, fps=FPS)
    entries = []
    for row in np.random.default_rng(0).permutation(len(poses)):
        frame = int(poses.frame_index[row])
        if 40 <= frame < 45:
            continue
        points = np.concatenate([poses.keypoints[row], np.full((17, 1), 0.9)], axis=1)
        entries.append({"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": points.ravel().tolist(), "score": 3})
    path = tmp_path_factory.mktemp("crossers") / "alphapose-results.json"
    path.write_text(json.dumps(entries))
    return path, poses


def lift(path: Path, out: Path, *options: str) -> PoseSet:
    size = ["--skeleton", "h36m17", "--image-size", "1920x1080", "--input-fps", str(FPS), "--no-view"]
    assert main(["lift", str(path), "--out", str(out), *size, *options]) == 0
    return PoseSet.load(out / "poses.npz")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert main(["lift", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_five_people_of_a_file_keep_their_identities(crossers: tuple[Path, PoseSet], tmp_path: Path) -> None:
    path, truth = crossers
    poses = lift(path, tmp_path)
    assert poses.person.tolist() == np.repeat(range(5), 95).tolist()
    hips = [one.keypoints[:, one.skeleton.index("left_hip")] for one in (poses, truth)]
    who = [
        int(truth.person[same][np.abs(hips[1][same] - hips[0][row]).sum(axis=-1).argmin()])
        for row in range(len(poses))
        for same in [truth.frame_index == poses.frame_index[row]]
    ]
    assert sorted({(ours, theirs) for ours, theirs in zip(poses.person.tolist(), who, strict=True)}) == [
        (ours, who[95 * ours]) for ours in range(5)
    ]
    assert len(np.unique(lift(path, tmp_path, "--people", "2").person)) == 2
    assert set(lift(path, tmp_path, "--person", "4").person.tolist()) == {4}


def test_smoothed_bridged_and_resampled_with_the_raw_beside(
    crossers: tuple[Path, PoseSet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = crossers
    plain = lift(path, tmp_path)
    assert not (tmp_path / "poses_raw.npz").exists()
    smooth = lift(path, tmp_path, "--smooth", "savitzky-golay:0.4")
    raw = PoseSet.load(tmp_path / "poses_raw.npz")
    np.testing.assert_array_equal(raw.joints, plain.joints)
    assert smooth.provenance["smoothed"] == "SavitzkyGolay(window=0.4, degree=2)"
    jitter = [np.abs(np.diff(poses.joints[:40], n=2, axis=0)).mean() for poses in (raw, smooth)]
    assert jitter[1] < jitter[0]

    options = ["--smooth", "one-euro", "--bridge-gaps", "0.5", "--fps", "50", "--people", "1"]
    even = lift(path, tmp_path, *options)
    assert "poses lifted (1 person)" in capsys.readouterr().out
    assert len(PoseSet.load(tmp_path / "poses_raw.npz")) == 95
    assert len(even) == 199  # from frame 0 to frame 99 at 25 frames a second, twice as many and one less
    assert np.isfinite(even.joints).all()
    bridged = ~observed(even).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(bridged), np.arange(79, 90))
    assert np.isnan(even.keypoints[bridged]).all()
    assert even.provenance["gaps_filled_s"] == 0.5
    assert even.provenance["resampled_hz"] == 50
    capsys.readouterr()
    assert main(["view", str(tmp_path / "poses.npz"), "--media", "x.mp4", "--out", str(tmp_path / "v.html")]) == 2
    assert "its frames are not those of --media; take poses_raw.npz" in capsys.readouterr().err
    lift(path, tmp_path)
    assert not (tmp_path / "poses_raw.npz").exists()


def test_options_that_cannot_be(crossers: tuple[Path, PoseSet], tmp_path: Path, capsys) -> None:
    path, _ = crossers
    out = ("--out", tmp_path / "out", "--skeleton", "h36m17")
    assert "people must be at least 1, got 0" in refused(capsys, path, *out, "--people", "0")
    assert "--people and --person: each says who is lifted" in refused(
        capsys, path, *out, "--people", "2", "--person", "1"
    )
    assert "no person 9; it has 0, 1, 2, 3, 4" in refused(capsys, path, *out, "--person", "9")
    assert "--boxes is for media" in refused(capsys, path, *out, "--boxes", "b.txt")
    assert "smoother: expected one-euro" in refused(capsys, path, *out, "--smooth", "kalman")
    assert "savitzky-golay looks ahead" in refused(capsys, path, *out, "--smooth", "savitzky-golay", "--causal")
    assert "--bridge-gaps: expected seconds above 0, got -1.0" in refused(capsys, path, *out, "--bridge-gaps", "-1")
    assert "expected a rate above 0" in refused(capsys, path, *out, "--fps", "0")
    assert "fps: expected a positive number" in refused(capsys, path, *out, "--input-fps", "nan")
    photo = tmp_path / "photo.json"
    photo.write_text(json.dumps([{**json.loads(path.read_text())[0], "image_id": "a.jpg"}]))
    line = refused(capsys, photo, *out, "--image-size", "1920x1080", "--fps", "30", "--smooth", "one-euro")
    assert "--smooth, --fps is for clips, which this is not" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.shared
@pytest.mark.slow
def test_a_run_that_is_broken_off_goes_on(shared: Path, tmp_path: Path) -> None:
    """Ctrl-C, then kill -9, on a real video with the real detector."""
    clip = tmp_path / "walk.mp4"
    with VideoWriter(clip, fps=60) as writer:
        for frame in islice(read_frames(shared / "media" / "street_walk.mp4"), 60, 108):
            writer.write(frame.image)
    found, out = tmp_path / "out" / "detections.bin", ["--out", str(tmp_path / "out"), "--no-view", "--no-overlay"]
    command = [sys.executable, "-m", "nearfar.cli", "lift", str(clip), "--people", "2", *out]
    before = 0
    for stop, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (found.exists() and found.stat().st_size > before + 5_000):
            time.sleep(0.02)
        process.send_signal(stop)
        _, said = process.communicate(timeout=60)
        assert process.returncode == code, said
        assert "Traceback" not in said
        if stop == signal.SIGINT:
            assert said.strip().splitlines()[-2:] == [
                f"{found} keeps what was detected: the same command goes on from there", "nearfar: interrupted",
            ]  # fmt: skip
        assert not (tmp_path / "out" / "poses.npz").exists()
        assert found.stat().st_size > before
        before = found.stat().st_size
    kept = found.read_bytes()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "what was detected before is taken from" in done.stderr
    assert found.read_bytes().startswith(kept[: before - 10_000])
    poses = PoseSet.load(tmp_path / "out" / "poses.npz")
    assert np.isfinite(poses.joints).all(axis=(1, 2)).mean() > 0.8
    whole = found.read_bytes()
    subprocess.run([*command, "--smooth", "one-euro"], capture_output=True, check=True)
    assert found.read_bytes() == whole  # nothing was detected again
    raw = PoseSet.load(tmp_path / "out" / "poses_raw.npz")
    np.testing.assert_array_equal(raw.joints, poses.joints)
