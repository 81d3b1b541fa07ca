"""Lifting many inputs: shards and Ray Data against a plain loop; rows against time and memory; figures for plans."""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed.section import Curve, Figure, Section, Setting, apart, memory_gb, metered, rate
from nearfar.batch import Recipe, Shard, lift_shard
from nearfar.batch.parts import PartWriter
from nearfar.batch.ray_data import ray_work
from nearfar.datasets import load_poses
from nearfar.detection import detect_media, get_detector
from nearfar.lifting import load
from nearfar.media import media_info, media_library, read_frames
from nearfar.pipeline import lift_media
from nearfar.synthetic import synthetic_poses

CLIPS, FRAMES, PHOTOS = 80, 150, 100
ROWS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 10_000_000)
LONGEST_S = 60.0
"""The curve ends before a point that would take longer."""


def plain_loop(folder: Path) -> tuple[float, float]:
    """Seconds and GB of lifting each file of a folder in a loop, writing nothing."""
    torch.set_num_threads(1)
    lifters = {name: load(name) for name in ("default", "default-video")}
    detector = get_detector("mediapipe")

    def work() -> None:
        for path in sorted(folder.iterdir()):
            if path.suffix == ".npz":
                lifters["default-video"].lift_poses(load_poses(path))
            else:
                lift_media(path, lifters["default"], detector, progress=False)

    _, seconds, memory = metered(work)
    return seconds, memory


def shard(folder: Path, out: Path, number: int, count: int) -> tuple[float, float]:
    """Seconds and GB of one process."""
    torch.set_num_threads(1)
    _, seconds, memory = metered(lambda: lift_shard(folder, out, Shard(number, count), progress=False))
    return seconds, memory


def processes(folder: Path, out: Path, count: int) -> float:
    """Seconds until the last of several processes has lifted its share, without their start."""
    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(apart, shard, folder, out, i + 1, count) for i in range(count)]
        return max(one.result()[0] for one in running)


def on_ray(folder: Path, out: Path) -> float:
    """Seconds on Ray, with its start."""
    start = time.perf_counter()
    lift_shard(folder, out, work=ray_work(out, Recipe()), progress=False)
    return time.perf_counter() - start


def clips_in(folder: Path, count: int) -> Path:
    """A folder of clips of keypoints."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = dataclasses.replace(synthetic_poses(20 * FRAMES), joints=None, mean_limb_lengths=None)
    for i in range(count):
        whole.select(slice(FRAMES * (i % 20), FRAMES * (i % 20 + 1))).save(folder / f"{i:05}.npz")
    return folder


def photos_in(folder: Path, video: Path, count: int) -> Path:
    """A folder of a video's frames as photos."""
    folder.mkdir(parents=True, exist_ok=True)
    image = media_library("PIL.Image")
    frames = list(zip(range(count), read_frames(video)))  # noqa: B905 (a short video has fewer)
    for i, frame in frames:
        image.fromarray(frame.image).save(folder / f"{i:05}.jpg", quality=90)
    return folder


def bytes_a_pose(out: Path) -> float:
    """Of Parquet."""
    import pyarrow.dataset

    poses = pyarrow.dataset.dataset(out / "poses").count_rows() / load().skeleton.num_joints
    return float(sum(path.stat().st_size for path in (out / "poses").iterdir()) / poses)


def compare(name: str, folder: Path, setting: Setting, *, with_ray: bool) -> list[Figure]:
    """Inputs a second of every way to lift a folder, in turns."""
    count = len(list(folder.iterdir()))
    out = setting.folder / "lifted"
    ways: dict[str, Callable[[], float]] = {
        "a plain loop, nothing written": lambda: apart(plain_loop, folder)[0],
        "1 process": lambda: processes(folder, out, 1),
        "2 processes": lambda: processes(folder, out, 2),
    }
    if with_ray:
        one = setting.folder / "one"
        one.mkdir(exist_ok=True)
        shutil.copy(next(iter(sorted(folder.iterdir()))), one)
        start = apart(on_ray, one, out)
        shutil.rmtree(one)
        ways["Ray Data"] = lambda: apart(on_ray, folder, out)
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(1 if setting.quick else min(2, setting.repetitions)):
        for way, work in ways.items():
            shutil.rmtree(out, ignore_errors=True)
            taken[way].append(work())
    shutil.rmtree(out)
    if with_ray:
        taken["Ray Data"] = [max(seconds - start, 1e-3) for seconds in taken["Ray Data"]]
    plain = taken["a plain loop, nothing written"]
    figures = [
        rate(f"{name}: {way}", seconds, count, "inputs/s", "a plain loop", plain if seconds is not plain else None)
        for way, seconds in taken.items()
    ]
    if with_ray:
        figures.append(Figure(f"{name}: Ray's start, with its first input", start, "s", start, start))
    return figures


def lift_rows(folder: Path, rows: int) -> tuple[float, float, float]:
    """Seconds, GB beside what was held before, and GB in all, of lifting one file of so many photos' keypoints."""
    poses = dataclasses.replace(
        synthetic_poses(1000), joints=None, mean_limb_lengths=None, time=None, frame_index=None, sequence=None,
        subject=None, action=None, person=None,
    )  # fmt: skip
    inputs, out = folder / f"rows{rows}", folder / "lifted_rows"
    inputs.mkdir(parents=True, exist_ok=True)
    poses.select(np.arange(rows) % len(poses)).save(inputs / "rows.npz")
    _, seconds, memory = metered(lambda: lift_shard(inputs, out, progress=False))
    shutil.rmtree(inputs)
    shutil.rmtree(out)
    return seconds, memory, memory_gb()


def curves(setting: Setting) -> tuple[Curve, Curve]:
    """Rows against time and memory."""
    points: list[tuple[float, float, float]] = []
    for rows in ROWS:
        wanted = rows // 100 if setting.quick else rows
        if points and points[-1][1] * wanted / points[-1][0] > LONGEST_S:
            break
        seconds, _, memory = apart(lift_rows, setting.folder, wanted)
        points.append((wanted, seconds, memory))
    timed = {"nearfar lift --shard": [(rows, seconds) for rows, seconds, _ in points]}
    held = {"nearfar lift --shard": [(rows, memory) for rows, _, memory in points]}
    return (
        Curve("Lifting a file of keypoints", "rows", "seconds", timed),
        Curve("Lifting a file of keypoints", "rows", "most memory held, GB", held),
    )


def core_time(name: str, count: int, unit: str, work: Callable[[], object], repetitions: int) -> Figure:
    """What a piece of work takes of one core, of `count` things each: what others do meanwhile does not matter."""
    work()
    taken = []
    for _ in range(repetitions):
        start = time.process_time()
        work()
        taken.append((time.process_time() - start) / count * {"ms": 1e3, "us": 1e6}[unit])
    return Figure(f"core time: {name}", statistics.median(taken), unit, min(taken), max(taken))


def constants(setting: Setting) -> list[Figure]:
    """What a plan for many frames needs, for each of which a core works so long; and bytes."""
    torch.set_num_threads(1)
    few = 1 if setting.quick else min(3, setting.repetitions)
    single, through_time = load("default"), load("default-video")
    clip = dataclasses.replace(synthetic_poses(20 * FRAMES), joints=None, mean_limb_lengths=None)
    still = dataclasses.replace(clip, time=None, frame_index=None)
    lifted = through_time.lift_poses(clip)
    out, rows = setting.folder / "written", range(0, len(clip), FRAMES)
    clips_written, photos_written = (PartWriter(out / name, "part", Recipe()) for name in ("clips", "photos"))

    def write_clips() -> None:
        for i in rows:
            clips_written.add(f"folder/{i:012}.mp4", lifted.select(slice(i, i + FRAMES)))
        clips_written.flush()

    def write_photos() -> None:
        for i in range(len(lifted)):
            photos_written.add(f"folder/{i:012}.jpg", lifted.select([i]))
        photos_written.flush()

    figures = [
        core_time("lifting a clip's frame", len(clip), "us", lambda: through_time.lift_poses(clip), few),
        core_time("lifting a photo, 1 at a time", 1, "us", lambda: single.lift_poses(still.select([0])), 10 * few),
        core_time("lifting a row, many at a time", len(still), "us", lambda: single.lift_poses(still), few),
        core_time("writing a clip's frame", len(lifted), "us", write_clips, few),
        core_time("writing a photo", len(lifted), "us", write_photos, 1),
    ]
    for name in ("clips", "photos"):
        size = bytes_a_pose(out / name)
        figures.append(Figure(f"Parquet, a pose of {name}", size, "bytes", size, size))
    shutil.rmtree(out)
    return figures


def detection(video: Path, setting: Setting) -> list[Figure]:
    """The same of what finds people."""
    detector, frames = get_detector("mediapipe"), media_info(video).frames or 1
    few = 1 if setting.quick else min(2, setting.repetitions)
    size = video.stat().st_size / frames / 1e3
    photos = photos_in(setting.folder / "some", video, 10)
    paths = list(photos.iterdir())
    weight = statistics.mean(path.stat().st_size for path in paths) / 1e3

    def find_in_photos() -> None:
        for path in paths:
            detect_media(path, detector, progress=False)

    figures = [
        core_time("decoding and detection, a frame of a video", frames, "ms",
                  lambda: detect_media(video, detector, progress=False), few),
        core_time("decoding and detection, a photo", len(paths), "ms", find_in_photos, few),
        Figure("the video's file, a frame", size, "KB", size, size),
        Figure("a photo's file", weight, "KB", weight, weight),
    ]  # fmt: skip
    shutil.rmtree(photos)
    return figures


def measure(setting: Setting) -> Section:
    """Measure it."""
    small = 20 if setting.quick else 1
    clips = clips_in(setting.folder / "clips", CLIPS // small)
    figures = compare(f"clips of {FRAMES} frames of keypoints", clips, setting, with_ray=True)
    figures += apart(constants, setting)
    shutil.rmtree(clips)
    if setting.video is not None:
        photos = photos_in(setting.folder / "photos", setting.video, PHOTOS // small)
        figures += compare("photos", photos, setting, with_ray=not setting.quick)
        shutil.rmtree(photos)
        figures += apart(detection, setting.video, setting)
    time_curve, memory_curve = curves(setting)
    rows, seconds = next(iter(time_curve.lines.values()))[-1]
    held = next(iter(memory_curve.lines.values()))[-1][1]
    figures += [
        Figure(f"{rows:,.0f} rows of one file, a row", seconds / rows * 1e6, "us", *[seconds / rows * 1e6] * 2),
        Figure(f"{rows:,.0f} rows of one file, most memory held", held, "GB", held, held),
    ]
    notes = (
        "Each process has one thread of PyTorch's; start of processes is not counted, and Ray's start (with one input) "
        "is taken off and stated.",
        "Both shares, and Ray's workers, run on this machine: with fewer than two free cores two are no faster.",
        f"The curve ends before a point that would take more than {LONGEST_S:g} s.",
    )
    return Section("Lifting many inputs", tuple(figures), (time_curve, memory_curve), notes)
