"""The process that opens what strangers send: it reads, finds people, lifts, and writes the results.

It is told what to do over a pipe, in JSON, by `nearfar.serving.supervisor`, which ends it when it takes too long. It
knows neither the database nor a token, and the system bounds its memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import resource
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.errors import InputError
from nearfar.serving.limits import Limits

if TYPE_CHECKING:
    from nearfar.detection import Detector
    from nearfar.lifting import Lifter
    from nearfar.poses import PoseSet

__all__ = ["Desk", "UnwantedError"]

log = logging.getLogger(__name__)

Report = Callable[[str, float], None]
"""Told a stage and the share of the whole that is done; raises `UnwantedError` where nobody wants it any more."""

POSES = "poses.json"
VIEW = "view.html"


class UnwantedError(Exception):
    """The job was cancelled."""


class Desk:
    """What a worker has at hand: models, loaded once.

    Args:
        limits: what jobs may hold.
        detector: name of the 2D detector; it is loaded with the first image or video, or by `prepare`.
        weights: name or file of the lifter; None: the package's for images, and those for clips.
    """

    def __init__(self, limits: Limits, detector: str, weights: str | None) -> None:
        self.limits = limits
        self._detector_name = detector
        self._weights = weights
        self._detector: Detector | None = None
        self._lifters: dict[str, Lifter] = {}

    def prepare(self) -> None:
        """Load the models.

        Raises:
            InputError: one cannot be had.
        """
        from nearfar.lifting.lifter import weight_names

        names = [self._weights] if self._weights is not None else [*weight_names()]
        for name in names:
            self._lifter(name)
        self._find_with()

    def work(self, task: Mapping[str, Any], report: Report) -> dict[str, Any]:
        """Do one job.

        Args:
            task: ``kind``, ``name``, ``input``, ``options``, and ``out``, a folder that is not there yet.
            report: is told how far it is.

        Returns:
            What was made: the files' sizes in bytes, the digest of the poses' JSON, and numbers of poses and people.

        Raises:
            InputError: the file is not what it should be, or more than is taken.
            UnwantedError: it was cancelled.
        """
        out = Path(task["out"])
        out.mkdir()
        # The same file makes the same poses, whatever it is called: they say "image.jpg".
        path = out / f"{task['kind']}{Path(task['input']).suffix}"
        os.symlink(Path(task["input"]).absolute(), path)
        options = task["options"]
        try:
            if task["kind"] == "keypoints":
                found = self._read_keypoints(path, options)
            else:
                found = self._find_people(path, task["kind"], options, report)
            poses = self._lift(found, options, report)
            if poses.joints is None or not np.isfinite(poses.joints).any():
                said = f"the root ({poses.skeleton.root}) and four keypoints"
                raise InputError(f"{path}: nothing to lift: none of its {len(poses)} poses has {said}")
            report("drawing", 0.95)
            self._write(poses, out, None if task["kind"] == "keypoints" else path, task["name"])
        except InputError as error:
            raise InputError(str(error).replace(str(path), task["name"])) from None
        path.unlink()
        return _summary(poses, out)

    def _read_keypoints(self, path: Path, options: Mapping[str, Any]) -> PoseSet:
        from nearfar.datasets import load_poses_to_lift

        poses = load_poses_to_lift(path, skeleton=options.get("skeleton"), image_size=_pair(options.get("image_size")))
        if not 0 < len(poses) <= self.limits.poses:
            raise InputError(f"{path}: {len(poses)} poses; from 1 to {self.limits.poses} are taken")
        return poses

    def _find_people(self, path: Path, kind: str, options: Mapping[str, Any], report: Report) -> PoseSet:
        from nearfar.detection import detect_media

        (self._check_image if kind == "image" else self._check_video)(path)

        def watch(seen: int, expected: int | None) -> None:
            if seen >= self.limits.video_frames:
                raise InputError(f"{path}: more than {self.limits.video_frames} frames")
            report("finding people", 0.85 * seen / max(expected or 0, seen + 1))

        return detect_media(path, self._find_with(), people=options.get("people", 1), progress=watch)

    def _check_image(self, path: Path) -> None:
        """Refuse pictures that would be too large once unpacked, by what they say of their size."""
        from PIL import Image, UnidentifiedImageError

        Image.MAX_IMAGE_PIXELS = None  # ours is the lower limit, and says what is taken
        try:
            with Image.open(path) as picture:
                self._check_size(path, *picture.size)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: not an image that can be read, or a damaged one") from None

    def _check_video(self, path: Path) -> None:
        """Refuse videos that are too large or too long, by their own account."""
        import av

        try:
            with av.open(str(path)) as container:
                for stream in container.streams.video:
                    aspect = float(stream.sample_aspect_ratio or 1)  # frames are stretched by it
                    self._check_size(path, round(stream.width * max(aspect, 1)), stream.height)
                seconds = (container.duration or 0) / 1e6
        except av.error.FFmpegError as error:
            raise InputError(f"{path}: not a video that can be read, or a damaged one ({error.strerror})") from None
        if seconds > self.limits.video_seconds:
            raise InputError(f"{path}: {seconds:.1f} s long; up to {self.limits.video_seconds:g} s are taken")

    def _check_size(self, path: Path, width: int, height: int) -> None:
        if width * height > self.limits.megapixels * 1e6:
            said = f"{width} x {height} pixels; up to {self.limits.megapixels:g} million are taken"
            raise InputError(f"{path}: {said}")

    def _lift(self, found: PoseSet, options: Mapping[str, Any], report: Report) -> PoseSet:
        from nearfar.lifting import default_weights
        from nearfar.poses import with_intrinsics

        report("lifting", 0.9)
        if (intrinsics := options.get("intrinsics")) is not None:
            found = with_intrinsics(found, np.array(intrinsics))
        return self._lifter(self._weights or default_weights(found)).lift_poses(found)

    def _write(self, poses: PoseSet, out: Path, media: Path | None, name: str) -> None:
        from nearfar.tables import write_poses_json
        from nearfar.viewing import write_viewer

        poses.save(out / "poses.npz")
        write_poses_json(poses, out / POSES)
        if poses.sequence is None or len(np.unique(poses.sequence.codes)) == 1:
            write_viewer(poses, out / VIEW, media=media, title=name)

    def _lifter(self, name: str) -> Lifter:
        from nearfar.lifting import load

        if name not in self._lifters:
            self._lifters[name] = load(name)
        return self._lifters[name]

    def _find_with(self) -> Detector:
        from nearfar.detection import get_detector

        if self._detector is None:
            self._detector = get_detector(self._detector_name)
        return self._detector


def _pair(values: list[int] | None) -> tuple[int, int] | None:
    return None if values is None else (values[0], values[1])


def _summary(poses: PoseSet, out: Path) -> dict[str, Any]:
    there = 0 if poses.joints is None else int(np.isfinite(poses.joints).any(axis=(1, 2)).sum())
    return {
        "poses": len(poses),
        "lifted": there,
        "people": 1 if poses.person is None else len(np.unique(poses.person)),
        "digest": hashlib.sha256((out / POSES).read_bytes()).hexdigest(),
        "files": {path.name: path.stat().st_size for path in sorted(out.iterdir())},
    }


def _bound_memory(megabytes: float) -> None:
    """What a process may write to, of which address space that is only reserved is no part."""
    if sys.platform == "linux":
        most = int(megabytes * 1e6)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Work until the pipe (its number is the first argument) is closed."""
    import torch

    torch.set_num_threads(1)  # workers share the cores; and the same sums in the same order
    pipe = Connection(int(sys.argv[1]))

    def send(message: Mapping[str, Any]) -> None:
        pipe.send_bytes(json.dumps(message).encode())

    def report(stage: str, share: float) -> None:
        send({"stage": stage, "progress": share})
        if pipe.recv_bytes() != b"go":
            raise UnwantedError

    setup = json.loads(pipe.recv_bytes())
    desk = Desk(Limits(**setup["limits"]), setup["detector"], setup["weights"])
    _bound_memory(desk.limits.worker_mb)
    try:
        desk.prepare()
    except InputError as error:
        send({"cannot": str(error)})
        return
    send({"ready": os.getpid()})
    while True:
        task = json.loads(pipe.recv_bytes())
        try:
            answer: dict[str, Any] = {"result": desk.work(task, report)}
        except InputError as error:
            answer = {"status": 422, "error": " ".join(str(error).split())[:1000]}
        except MemoryError:
            answer = {"status": 413, "error": f"needs more than the {desk.limits.worker_mb:g} MB of memory there are"}
        except UnwantedError:
            answer = {"unwanted": True}
        except (EOFError, BrokenPipeError):
            raise
        except Exception:
            log.exception("job %s", task.get("id"))
            answer = {"status": 500, "error": "an error of ours, which is in the server's log"}
        if "result" not in answer:
            shutil.rmtree(task["out"], ignore_errors=True)
        send(answer)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the server has gone
        main()
    # Without the libraries' farewells: some of their threads do not end.
    os._exit(0)
