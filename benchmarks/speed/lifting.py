"""Lifting: time for a pose by batch, a video from file to files, and evaluation of a million poses."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.speed.section import Curve, Figure, Section, Setting, apart, in_turns, metered, rate, span
from nearfar.detection import Detection, Detector, detect_media, follow_people, get_detector
from nearfar.detection.base import Closing
from nearfar.evaluation import evaluate_predictions
from nearfar.lifting import Lifter, load
from nearfar.lifting.lifter import predict
from nearfar.media import VideoWriter, media_info, read_frames
from nearfar.metrics import pa_mpjpe
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.viewing import write_overlay, write_viewer

Array = npt.NDArray[np.float32]
BATCHES = (1, 32, 4096)
LOOPED = 2000
"""Poses that the per-pose loop is timed on."""


def measure(setting: Setting) -> Section:
    """The three of them."""
    figures, curves = _batches(setting)
    more, curve = _evaluation(setting)
    notes = [
        "A pose is lifted together with its mirror image, by the weights `default`. All threads are "
        f"{torch.get_num_threads()}.",
        f"The per-pose loop is timed on {LOOPED} poses, and rates are compared.",
    ]
    if setting.video is not None:
        figures += _video(setting)
        notes.append(
            "The detector alone: its own time on the same pictures, of frames that lie in memory, nothing beside it."
        )
    return Section("Lifting", (*figures, *more), (*curves, *curve), tuple(notes))


def _batches(setting: Setting) -> tuple[list[Figure], list[Curve]]:
    """Microseconds a pose, in torch and onnxruntime."""
    from nearfar.lifting.onnx import save_onnx

    lifter, every = load("default"), torch.get_num_threads()
    file = setting.folder / "default.onnx"
    save_onnx(lifter, file)
    keypoints, cameras = _seen(100_000)
    figures, lines = [], {}
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        engines = {"torch": _torch(lifter), "onnxruntime": _onnxruntime(file, threads)}
        where = "1 thread" if threads == 1 else "all threads"
        for batch in BATCHES:
            calls = max(1, (32 if setting.quick else 256) // batch)
            rows = keypoints[:batch], cameras[:batch]
            work = {name: partial(_repeat, partial(lift, *rows), calls) for name, lift in engines.items()}
            taken = in_turns(work, setting.repetitions)
            for name, seconds in taken.items():
                scale = 1e6 / (calls * batch)
                other = ("torch", taken["torch"]) if name != "torch" else ()
                figures.append(
                    span(f"{name}, {where}, {batch} at a time", seconds, *other, scale=scale, unit="µs a pose")
                )
                lines.setdefault(f"{name}, {where}", []).append((batch, median(seconds) * scale))
    torch.set_num_threads(every)
    counts = [count for count in (100, 1000, 10_000, 100_000) if not setting.quick or count <= 1000]
    grown = [
        (n, in_turns({"": partial(predict, lifter.network, keypoints[:n], cameras[:n])}, 1)[""][0]) for n in counts
    ]
    return figures, [
        Curve("Lifting by batch", "poses at a time", "µs a pose", lines),
        Curve("Lifting, all threads", "poses", "seconds", {"torch": grown}),
    ]


def _repeat(work: Callable[[], object], calls: int) -> None:
    for _ in range(calls):
        work()


def _seen(count: int) -> tuple[Array, Array]:
    """Keypoints of people of random shape in front of a camera, and the camera."""
    rng = np.random.default_rng(0)
    keypoints = rng.normal([960, 540], 120, (count, 17, 2)).astype(np.float32)
    return keypoints, np.tile(np.array([1500, 1500, 960, 540], np.float32), (count, 1))


def _torch(lifter: Lifter) -> Callable[[Array, Array], object]:
    def lift(keypoints: Array, cameras: Array) -> object:
        with torch.inference_mode():
            return lifter.network.lift(torch.from_numpy(keypoints), torch.from_numpy(cameras)).joints.numpy()

    return lift


def _onnxruntime(file: Path, threads: int) -> Callable[[Array, Array], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda keypoints, cameras: session.run(["joints"], {"keypoints": keypoints, "intrinsics": cameras})[0]


class Timed(Closing):
    """A detector, and the seconds that it took."""

    def __init__(self, detector: Detector) -> None:
        self.name, self.skeleton, self.finds_all = detector.name, detector.skeleton, detector.finds_all
        self.seconds, self.looks, self._detector = 0.0, 0, detector

    def detect(self, image: npt.NDArray[np.uint8], max_people: int) -> list[Detection]:
        """What the detector finds."""
        start = time.perf_counter()
        found = self._detector.detect(image, max_people)
        self.seconds += time.perf_counter() - start
        self.looks += 1
        return found


def _video(setting: Setting) -> list[Figure]:
    """Frames a second from a video to poses, and to the pictures too, against those of the detector alone."""
    clip, most = setting.folder / "clip.mp4", 24 if setting.quick else 120
    fps = media_info(setting.video).fps or 30.0
    with VideoWriter(clip, fps) as writer:
        for frame in itertools.islice(read_frames(setting.video), most):
            writer.write(frame.image, frame.time_s)
    frames, lifter = list(read_frames(clip)), load("default-video")
    alone: list[float] = []
    looks = 0
    with get_detector("mediapipe") as detector:

        def lift() -> PoseSet:
            lifted = lifter.lift_poses(detect_media(clip, detector, people=2, progress=False))
            lifted.save(setting.folder / "clip.npz")
            return lifted

        def lift_and_draw() -> None:
            lifted = lift()
            write_overlay(lifted, clip, setting.folder / "clip_overlay.mp4")
            write_viewer(lifted, setting.folder / "clip.html", media=clip)

        taken: dict[str, list[float]] = {"poses": [], "all": []}
        detector.detect(frames[0].image, 1)
        for _ in range(min(3, setting.repetitions)):
            timed = Timed(detector)
            follow_people(timed, frames, fps)
            alone.append(timed.seconds)
            looks = timed.looks
            for name, work in (("poses", lift), ("all", lift_and_draw)):
                start = time.perf_counter()
                work()
                taken[name].append(time.perf_counter() - start)
    count, than = len(frames), "the detector alone"
    return [
        rate(f"the detector alone, {looks / count:.1f} looks a frame", alone, count, "frames/s"),
        rate(
            "video decoded, searched, lifted; poses written", taken["poses"], count, "frames/s", than, alone, goal=0.9
        ),
        rate("the same, with overlay and page written", taken["all"], count, "frames/s", than, alone, goal=0.9),
    ]


def _evaluation(setting: Setting) -> tuple[list[Figure], list[Curve]]:
    """Seconds and memory of the report on a million poses, and Procrustes against a loop."""
    predicted, truth = _predictions(50_000 if not setting.quick else LOOPED)
    some = predicted[:LOOPED], truth[:LOOPED]
    taken = in_turns({"batched": lambda: pa_mpjpe(predicted, truth), "loop": lambda: _loop(*some)}, setting.repetitions)
    assert np.allclose(pa_mpjpe(*some), _loop(*some))
    counts = [1000, 10_000] if setting.quick else [10_000, 100_000, 1_000_000]
    measured = {
        n: [apart(_evaluate, n) for _ in range(1 if n < counts[-1] else min(3, setting.repetitions))] for n in counts
    }
    seconds, memory = ([one[i] for one in measured[counts[-1]]] for i in (0, 1))
    curves = [
        Curve(title, "poses", y, {"evaluate": [(n, median(one[i] for one in runs)) for n, runs in measured.items()]})
        for i, (title, y) in enumerate((("Evaluating", "seconds"), ("Evaluating: memory", "GB beside the poses")))
    ]
    return [
        rate(
            "PA-MPJPE, batched", taken["batched"], len(predicted), "poses/s",
            "a loop over poses", taken["loop"], LOOPED, goal=10.0,
        ),
        span(f"`evaluate`, all measures of {counts[-1]:,} poses", seconds, at_most=30.0),
        Figure("its memory beside the poses", median(memory), "GB", min(memory), max(memory)),
    ], curves  # fmt: skip


def _predictions(count: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 250, (count, 17, 3)).astype(np.float32)
    return truth + rng.normal(0, 40, truth.shape).astype(np.float32), truth


def _evaluate(count: int) -> tuple[float, float]:
    """Seconds, and GB beside the poses, of a report: in a process of its own."""
    evaluate_predictions(*_as_truth(*_predictions(100)))  # imports
    predicted, truth = _as_truth(*_predictions(count))
    return metered(lambda: evaluate_predictions(predicted, truth))[1:]


def _as_truth(predicted: Array, truth: Array) -> tuple[Array, PoseSet]:
    return predicted, PoseSet(get_skeleton("h36m17"), joints=truth)


def _loop(predicted: Array, truth: Array) -> npt.NDArray[np.float64]:
    """PA-MPJPE as it is often written: one pose at a time."""
    errors = []
    for source, target in zip(predicted.astype(np.float64), truth.astype(np.float64), strict=True):
        x, y = source - source.mean(axis=0), target - target.mean(axis=0)
        u, singular, vt = np.linalg.svd(x.T @ y)
        sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
        rotation = (u * sign) @ vt
        scale = (singular * sign).sum() / np.square(x).sum()
        errors.append(np.linalg.norm(scale * x @ rotation - y, axis=1).mean())
    return np.array(errors)
