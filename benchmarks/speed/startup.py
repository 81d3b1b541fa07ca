"""Start-up: importing, `--help`, and where the time of lifting one image goes."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.speed.section import Figure, Section, Setting, apart, span

IMPORT = "import time, torch; start = time.perf_counter(); import nearfar; print(time.perf_counter() - start)"
HELP = "import sys; from nearfar.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
TORCH = "torch imported"
DETECTOR = ("detector: MediaPipe and its model loaded", "detector: the image searched")


def measure(setting: Setting) -> Section:
    """Everything in fresh processes."""
    times = range(1 if setting.quick else setting.repetitions)
    imports = [float(_python("-c", IMPORT)) for _ in times]
    helps = [_seconds(lambda: _python("-c", HELP)) for _ in times]  # fails where torch was imported
    figures = [
        span("`import nearfar`, beyond torch", imports, at_most=0.3),
        span("`nearfar --help`, without torch", helps, at_most=0.5),
    ]
    if setting.video is None:
        return Section("Start-up", tuple(figures), notes=("Without a video, no image was lifted.",))
    image = _image(setting)
    command = ("-m", "nearfar.cli", "lift", str(image), "--overwrite", "--out", str(setting.folder / "lifted_image"))
    whole = [_seconds(lambda: _python(*command)) for _ in times]
    parts = [apart(_stages, image, setting.folder) for _ in times]
    figures.append(span("`nearfar lift IMAGE`, the whole command", whole))
    figures += [span(f"of it, {name}", [part[name] for part in parts]) for name in parts[0]]
    found, rest = (
        [sum(taken for name, taken in part.items() if name != TORCH and (name in DETECTOR) is wanted) for part in parts]
        for wanted in (True, False)
    )
    ratio = median(found) / median(rest)
    figures.append(
        Figure("the detector, all in all", median(found), "s", min(found), max(found), "all else but torch", ratio, 1.0)
    )
    return Section(
        "Start-up",
        tuple(figures),
        notes=(
            "Every figure is of fresh processes, whose files the system holds in memory already.",
            f"The image is a frame of the video, {_size(image)}. The detector's ratio is of its seconds to "
            "all others but those of importing torch: the command should be little else.",
        ),
    )


def _python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _image(setting: Setting) -> Path:
    """A frame of the video."""
    from PIL import Image

    from nearfar.media import read_frames

    path = setting.folder / "frame.png"
    if not path.exists():
        frame = next(itertools.islice(read_frames(setting.video), 60, None))
        Image.fromarray(frame.image).save(path)
    return path


def _size(image: Path) -> str:
    from PIL import Image

    width, height = Image.open(image).size
    return f"{width} x {height} pixels"


def _stages(image: Path, folder: Path) -> dict[str, float]:
    """What `nearfar lift IMAGE` does, one thing after the other, in a fresh process: seconds of each."""
    taken: dict[str, float] = {}

    def stage(name: str, work: Callable[[], object]) -> object:
        start = time.perf_counter()
        result = work()
        taken[name] = time.perf_counter() - start
        return result

    stage(TORCH, lambda: __import__("torch"))
    stage("nearfar imported", lambda: [__import__(f"nearfar.{name}") for name in ("cli.lift", "pipeline", "viewing")])
    from nearfar.detection import detect_media, get_detector
    from nearfar.lifting import load
    from nearfar.viewing import write_overlay, write_viewer

    detector = stage(DETECTOR[0], lambda: get_detector("mediapipe"))
    found = stage(DETECTOR[1], lambda: detect_media(image, detector, progress=False))
    lifter = stage("weights loaded", lambda: load("default"))
    lifted = stage("lifted", lambda: lifter.lift_poses(found))
    stage("overlay drawn", lambda: write_overlay(lifted, image, folder / "overlay.png"))
    stage("page written", lambda: write_viewer(lifted, folder / "view.html", media=image))
    stage("poses written", lambda: lifted.save(folder / "poses.npz"))
    assert np.isfinite(lifted.joints).any()
    return taken
