"""Memory against length: a clip looped for minutes and lifted, with everything that `nearfar lift` writes.

    python benchmarks/long_video.py --clip street_walk.mp4 --minutes 1 5 30 --out runs/long

Each length is lifted in a process of its own, whose peak resident memory (RSS) is printed after each stage. A loop
shows the same pictures again and again: the detector is run on each picture once, and what it said is kept for when the
same picture comes again, which takes a tenth of a second a look off the time and nothing off the memory. All else is
what the command does, at the full frame rate. (A loop is a multiple of the frames from search to search long, so that
the same crops are asked for in each.)
"""

from __future__ import annotations

import io
import itertools
import resource
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import tyro
from PIL import Image

from nearfar.detection import Detection, Detector, detect_media, get_detector
from nearfar.detection.base import Closing
from nearfar.detection.search import SEARCH_EVERY
from nearfar.lifting import load
from nearfar.media import media_info, read_frames
from nearfar.viewing import write_overlay, write_viewer


@dataclass(frozen=True)
class Benchmark:
    """Lift loops of several lengths and print their peak memory."""

    clip: Path
    """The clip to loop."""
    out: Path
    """Folder for the loops and what is lifted from them."""
    minutes: tuple[float, ...] = (1.0, 5.0, 30.0)
    """Lengths."""
    width: int = 640
    """Width that the frames are scaled to."""
    keep_every: int = 1
    """Every how manieth frame of the clip is kept."""
    people: int = 2
    """How many people are lifted."""
    one: bool = False
    """Lift the first length here, in this process."""

    def run(self) -> None:
        """Measure and print."""
        if self.one:
            self._lift(self.out / f"loop_{self.minutes[0]:g}.mp4")
            return
        self.out.mkdir(parents=True, exist_ok=True)
        for minutes in self.minutes:
            frames = write_loop(self.clip, self.out / f"loop_{minutes:g}.mp4", minutes, self.width, self.keep_every)
            print(f"{minutes:g} min, {frames} frames", flush=True)
            same = ["--clip", str(self.clip), "--out", str(self.out), "--people", str(self.people), "--one"]
            subprocess.run([sys.executable, __file__, *same, "--minutes", str(minutes)], check=True)

    def _lift(self, path: Path) -> None:
        started = time.perf_counter()
        lifter = load("default-video")
        with Recalling(get_detector("mediapipe")) as detector:
            detector.detect(next(read_frames(path)).image, 1)
            report("start", started)
            found = detect_media(path, detector, people=self.people, remember=path.with_suffix(".bin"), progress=False)
        report("detection", started)
        lifted = lifter.lift_poses(found)
        report("lifting", started)
        write_overlay(lifted, path, path.with_name(f"{path.stem}_overlay.mp4"))
        report("overlay", started)
        write_viewer(lifted, path.with_suffix(".html"), media=path)
        report("viewer", started)
        lifted.save(path.with_suffix(".npz"))
        report("poses", started)
        there = np.isfinite(lifted.joints).any(axis=(1, 2)).sum()
        sizes = {suffix: path.with_suffix(suffix).stat().st_size >> 20 for suffix in (".bin", ".html", ".npz")}
        print(f"  {there} of {len(lifted)} poses; MiB: {sizes}", flush=True)


class Recalling(Closing):
    """A detector that is asked once about each picture."""

    def __init__(self, detector: Detector) -> None:
        self.name, self.skeleton, self.finds_all = detector.name, detector.skeleton, detector.finds_all
        self._detector = detector
        self._said: dict[tuple[int, tuple[int, ...]], list[Detection]] = {}

    def detect(self, image: np.ndarray, max_people: int) -> list[Detection]:
        """What the detector says, or said."""
        key = zlib.crc32(image.data), image.shape
        if key not in self._said:
            self._said[key] = self._detector.detect(image, max_people)
        return self._said[key]

    def close(self) -> None:
        """Close the detector."""
        self._detector.close()


def report(stage: str, started: float) -> None:
    """Print peak memory and time."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {stage:10} peak RSS {peak:7.0f} MiB, {time.perf_counter() - started:6.0f} s", flush=True)


def write_loop(clip: Path, out: Path, minutes: float, width: int, keep_every: int) -> int:
    """Encode the clip once, small, and write its packets again and again; returns the number of frames."""
    fps = (media_info(clip).fps or 30.0) / keep_every
    once = io.BytesIO()
    with av.open(once, "w", format="mp4") as container:
        stream = None
        usable = (media_info(clip).frames or 0) // keep_every // SEARCH_EVERY * SEARCH_EVERY * keep_every
        for frame in itertools.islice(read_frames(clip), 0, usable, keep_every):
            height = round(width * frame.image.shape[0] / frame.image.shape[1] / 2) * 2
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.options = {"bf": "0", "g": "30", "preset": "veryfast", "crf": "22"}
            small = np.asarray(Image.fromarray(frame.image).resize((width, height)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        container.mux(stream.encode())
    total, written = round(60 * minutes * fps), 0
    with av.open(str(out), "w") as long:
        once.seek(0)
        with av.open(once) as container:
            stream = long.add_stream_from_template(container.streams.video[0])
        while written < total:
            once.seek(0)
            with av.open(once) as container:
                base = container.streams.video[0].time_base
                for packet in container.demux(video=0):
                    if packet.size and written < total:
                        copy = av.Packet(bytes(packet))
                        copy.stream, copy.is_keyframe, copy.time_base = stream, packet.is_keyframe, base
                        copy.pts = copy.dts = round(written / fps / base)
                        copy.duration = round(1 / fps / base)
                        long.mux(copy)
                        written += 1
    return total


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
