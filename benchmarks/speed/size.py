"""Training data of any size: packing a store, and training from it with memory that does not grow."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.speed.section import Curve, Figure, Section, Setting, apart, memory_gb
from nearfar import PoseSet, RelativeLabels, synthetic_poses
from nearfar.labels import labels_from_joints, random_pairs
from nearfar.training import pack

PART = 1_000_000
FAST = ("--synthetic.poses", "0", "--turn.weight", "0")
"""Labels and limbs alone: the steps that ask most of the data."""


@dataclass(frozen=True)
class Run:
    """Training for a while: samples a second, and the most memory held, in GB."""

    rate: float
    memory: float


def measure(setting: Setting) -> Section:
    """One, ten and fifty million rows, beside a million in memory."""
    part = PART // 100 if setting.quick else PART
    sizes = [part * n for n in (1, 10, 50)]
    seconds = 6.0 if setting.quick else 45.0
    figures, packing, memory, rates = [], [], [], []
    for rows in sizes:
        folder = setting.folder / f"store_{rows}"
        shutil.rmtree(folder, ignore_errors=True)
        took, held = apart(_pack, folder, rows, part)
        size = sum(file.stat().st_size for file in folder.iterdir())
        copying = _copy_seconds(setting.folder, size)
        each = took / rows * 1e6
        name = f"packing {rows / 1e6:g} million rows"
        figures.append(Figure(name, each, "us/row", each, each, "the time of writing the bytes once", took / copying))
        packing.append((float(rows), took))
        if rows == sizes[0]:
            resident = _train(_file(setting.folder, part), setting.folder, seconds)
            figures.append(_rate(f"training, {part / 1e6:g} million rows in memory", resident, None))
        run = _train([str(folder)], setting.folder, seconds)
        figures.append(_rate(f"training, a store of {rows / 1e6:g} million rows", run, resident))
        figures += [_gb(f"its memory, {size / 1e9:.2f} GB on disk", run.memory), _gb("memory of packing it", held)]
        memory.append((float(rows), run.memory))
        rates.append((float(rows), run.rate))
        shutil.rmtree(folder)
    return Section(
        "Training data of any size",
        tuple(figures),
        (
            Curve("Memory of training from a store", "rows", "GB", {"training": memory}),
            Curve("Packing a store", "rows", "seconds", {"packing": packing}),
            Curve("Training from a store", "rows", "samples a second", {"training": rates}),
        ),
        (
            "Rows are synthetic people, a million of them, seen again with other noise in the image; labels one a row.",
            "Training is `nearfar train` with labels and limbs alone, which asks most of the data, ended by "
            f"Ctrl-C after {seconds:g} s; the rate leaves out the first quarter. Memory is its greatest resident size.",
            "Packing shuffles all rows: what it costs stands beside writing the same number of bytes in one go.",
        ),
    )


def _parts(rows: int, part: int) -> Iterator[tuple[PoseSet, RelativeLabels]]:
    """Synthetic people, and again with other noise."""
    poses = dataclasses.replace(synthetic_poses(part, seed=1), joints=None)
    keypoints = poses.keypoints
    pairs = random_pairs(poses.skeleton, part, 1, np.random.default_rng(0))
    joints = synthetic_poses(part, seed=1).joints
    labels = labels_from_joints(dataclasses.replace(poses, joints=joints), pairs)
    rng = np.random.default_rng(1)
    for _ in range(rows // part):
        noise = rng.standard_normal(keypoints.shape, dtype=np.float32)
        yield dataclasses.replace(poses, keypoints=keypoints + noise), labels


def _pack(folder: Path, rows: int, part: int) -> tuple[float, float]:
    """Seconds, less those of making the rows, and GB."""
    making = 0.0

    def parts() -> Iterator[tuple[PoseSet, RelativeLabels]]:
        nonlocal making
        source = _parts(rows, part)
        while True:
            start = time.perf_counter()
            made = next(source, None)
            making += time.perf_counter() - start
            if made is None:
                return
            yield made

    start = time.perf_counter()
    pack(parts(), folder, rows=rows, progress=False)
    return time.perf_counter() - start - making, memory_gb()


def _copy_seconds(folder: Path, size: int) -> float:
    """Seconds of writing as many bytes once."""
    path, block = folder / "bytes", os.urandom(1 << 24)
    start = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(size >> 24):
            file.write(block)
        file.write(block[: size & ((1 << 24) - 1)])
    taken = time.perf_counter() - start
    path.unlink()
    return taken


def _file(folder: Path, rows: int) -> list[str]:
    """A million rows as a file of poses and one of labels."""
    (poses, labels), *_ = _parts(rows, rows)
    poses.save(folder / "rows.npz")
    labels.save(folder / "rows.parquet")
    return [str(folder / "rows.npz"), "--labels", str(folder / "rows.parquet")]


def _train(data: list[str], folder: Path, seconds: float) -> Run:
    """Train for some seconds after the first step, then Ctrl-C."""
    out = folder / "size_run"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "nearfar.cli", "train", "--data", *data, "--out", str(out), *FAST]
    process = subprocess.Popen(
        [*command, "--checkpoint-seconds", "100000"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    seen: list[tuple[float, int]] = []
    memory = 0.0
    reader = threading.Thread(target=_follow, args=(process, seen), daemon=True)
    reader.start()
    while process.poll() is None and (not seen or seen[-1][0] - seen[0][0] < seconds):
        time.sleep(0.2)
        memory = max(memory, _peak(process.pid))
    process.send_signal(signal.SIGINT)
    process.wait()
    reader.join()
    shutil.rmtree(out, ignore_errors=True)
    late = [one for one in seen if one[0] - seen[0][0] > seconds / 4]
    return Run(256 * (late[-1][1] - late[0][1]) / (late[-1][0] - late[0][0]), memory)


def _follow(process: subprocess.Popen[bytes], seen: list[tuple[float, int]]) -> None:
    """When the progress bar stood where."""
    if process.stderr is None:
        return
    rest = b""
    while chunk := os.read(process.stderr.fileno(), 4096):
        *lines, rest = (rest + chunk).replace(b"\n", b"\r").split(b"\r")
        for line in lines:
            if (found := re.search(rb" (\d+)/\d+ \[", line)) and int(found[1]):
                seen.append((time.perf_counter(), int(found[1])))


def _peak(process: int) -> float:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) * 1024 / 1e9 if found else 0.0


def _rate(name: str, run: Run, than: Run | None) -> Figure:
    ratio = None if than is None else run.rate / than.rate
    return Figure(
        name,
        run.rate,
        "samples/s",
        run.rate,
        run.rate,
        "" if than is None else "in memory",
        ratio,
        None if than is None else 0.95,
    )


def _gb(name: str, value: float) -> Figure:
    return Figure(name, value, "GB", value, value)
