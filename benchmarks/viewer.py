"""The viewer with a long clip in Chromium: bytes, seconds until it shows, and what a frame costs while it plays.

    nearfar lift walk.mp4 --people 2 --out runs/walk
    python benchmarks/viewer.py --poses runs/walk/poses.npz --media walk.mp4

The clip is repeated until it lasts `--minutes`. White noise on every repetition keeps them from being packed as one;
real clips are smoother and pack better. Played with the video and without, on screens of two sizes, drawn in software
(no GPU). Prints the table of docs/viewing.md. Processor time is that of the main thread of the page, which does not
depend on what else the machine does; gaps do: the load of the machine is printed.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from nearfar.media import VideoWriter, read_frames
from nearfar.poses import PoseSet
from nearfar.viewing import write_viewer

SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
}
PLAYED = """async (seconds) => {
  const viewer = document.getElementById('viewer');
  const frames = new Map();
  const start = performance.now();
  await new Promise((done) => {
    const tick = (now) => {
      if (!frames.has(viewer.dataset.frame)) frames.set(viewer.dataset.frame, now);
      now - start < 1000 * seconds ? requestAnimationFrame(tick) : done();
    };
    requestAnimationFrame(tick);
  });
  const shown = [...frames.values()];
  return shown.slice(1).map((t, i) => t - shown[i]);
}"""
"""Milliseconds between one frame of the clip on the screen and the next."""

SOUGHT = """async (frames) => {
  const [viewer, slider, took] = [document.getElementById('viewer'), document.getElementById('slider'), []];
  const video = document.getElementById('video');
  for (const frame of frames) {
    const start = performance.now();
    slider.value = frame;
    slider.dispatchEvent(new Event('input'));
    while (viewer.dataset.frame !== String(frame) || video.seeking) await new Promise(requestAnimationFrame);
    took.push(performance.now() - start);
  }
  return took;
}"""
"""Milliseconds until the frames asked for are shown."""


@dataclass(frozen=True)
class Options:
    """What is measured."""

    poses: Path
    """Lifted poses of `media`."""
    media: Path
    """The video."""
    minutes: float = 5.0
    """Length of the clip."""
    seconds: float = 10.0
    """How long each page plays."""
    seed: int = 0
    """Of the noise."""


def repeated(poses: PoseSet, frames: int, fps: float, rng: np.random.Generator) -> PoseSet:
    """The clip again and again, up to a number of frames; 1 mm and 0.3 px of noise."""
    assert poses.frame_index is not None
    assert poses.joints is not None
    assert poses.keypoints is not None
    length = int(poses.frame_index.max()) + 1
    times = -(-frames // length)
    rows = np.tile(np.arange(len(poses)), times)
    number = np.tile(poses.frame_index, times) + length * np.repeat(np.arange(times), len(poses))
    again = poses.select(rows)
    assert again.joints is not None
    assert again.keypoints is not None
    again = dataclasses.replace(
        again,
        frame_index=number,
        time=number / fps,
        joints=again.joints + rng.normal(0, 1.0, again.joints.shape),
        keypoints=again.keypoints + rng.normal(0, 0.3, again.keypoints.shape),
    )
    return again.select(number < frames)


def repeated_video(media: Path, out: Path, frames: int, fps: float) -> None:
    """The video again and again, 640 pixels wide."""
    from PIL import Image

    images = []
    for frame in read_frames(media):
        picture = Image.fromarray(frame.image)
        images.append(np.asarray(picture.resize((640, round(picture.height * 320 / picture.width) * 2))))
    with VideoWriter(out, fps) as writer:
        for index in range(frames):
            writer.write(images[index % len(images)])


def main() -> None:
    """Make, play, print."""
    from playwright.sync_api import sync_playwright

    options = tyro.cli(Options, description=__doc__)
    fps, rng = 30.0, np.random.default_rng(options.seed)
    frames = round(60 * options.minutes * fps)
    poses = repeated(PoseSet.load(options.poses), frames, fps, rng)
    people = len(np.unique(poses.person))
    print(f"{frames} frames, {people} people, {poses.skeleton.num_joints} joints; load {os.getloadavg()[0]:.1f}")
    print(
        "| page | MB | processor time until it shows | memory of scripts | processor time a frame "
        "| gaps: median, 99 % | jumps: median, longest |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        video, page_path = Path(folder) / "long.mp4", Path(folder) / "view.html"
        repeated_video(options.media, video, frames, fps)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for kind, media in (("poses alone", None), ("with video", video)):
            write_viewer(poses, page_path, media=media)
            for screen, context in SCREENS.items():
                cells = measured(browser.new_context(**context).new_page(), page_path, options.seconds)
                size = f"{page_path.stat().st_size / 1e6:.1f}"
                print("|", " | ".join([f"{kind}, {screen}", size, *cells]), "|", flush=True)
        browser.close()


def measured(page: Any, path: Path, seconds: float) -> list[str]:
    """Load and play a page: the cells of its row but the first two."""
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        return next(m["value"] for m in client.send("Performance.getMetrics")["metrics"] if m["name"] == "TaskDuration")

    page.goto(f"file://{path}", wait_until="commit")
    page.wait_for_selector("#viewer[data-frame]", timeout=120_000)
    loading = busy()
    page.wait_for_timeout(1000)
    heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    page.locator("#play").click()
    page.wait_for_timeout(1000)
    before = busy()
    gaps = np.array(page.evaluate(PLAYED, seconds))
    cost = 1000 * (busy() - before) / (len(gaps) + 1)
    page.locator("#play").click()
    last = int(page.locator("#slider").get_attribute("max"))
    sought = page.evaluate(SOUGHT, np.random.default_rng(0).integers(last, size=25).tolist())
    page.context.close()
    played = "{:.0f}, {:.0f} ms".format(*np.percentile(gaps, [50, 99]))
    jumped = f"{np.median(sought):.0f}, {max(sought):.0f} ms"
    return [f"{loading:.1f} s", f"{heap:.0f} MB", f"{cost:.1f} ms", played, jumped]


if __name__ == "__main__":
    main()
