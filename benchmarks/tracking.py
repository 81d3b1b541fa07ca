"""Ids of people who cross: synthetic walkers, and a detector that jitters, misses, and sees nobody behind others.

    python benchmarks/tracking.py --clips 20 --people 5

Prints the field's measures, as ``motmetrics`` computes them: IDF1 (Ristani et al., 2016), MOTA, identity switches and
fragmentations (Bernardin & Stiefelhagen, 2008), over all clips. Which detection is of whom is known here, so all
mistakes are the tracker's.
"""

from __future__ import annotations

from dataclasses import dataclass

import motmetrics
import numpy as np
import pandas as pd
import tyro

from nearfar.keypoint_noise import DetectorNoise
from nearfar.poses import PoseSet
from nearfar.synthetic.crossing import crossing
from nearfar.tracking import Detection, follow_detections

HIDDEN = 0.55
"""Who is covered by somebody nearer by this share of their box is not found."""
BOX_MARGIN = 0.05
"""Boxes of joints grow by this share of their height to those of bodies."""


@dataclass(frozen=True)
class Benchmark:
    """Track crossing people and measure."""

    clips: int = 20
    """How many clips, each of other people and other ways."""
    people: int = 5
    """How many cross in a clip."""
    seconds: float = 8.0
    """Length of a clip."""
    fps: float = 30.0
    """Frames a second."""
    jitter: float = 0.05
    """Standard deviation of keypoints, as a share of the person's apparent size."""
    missed: float = 0.05
    """How likely a person who can be seen is missed in a frame."""

    def run(self) -> None:
        """Measure and print."""
        table = self.measure()
        print(f"{self.clips} clips of {self.people} people, {self.seconds:g} s at {self.fps:g} fps")
        print(table.loc["OVERALL"].to_string())
        print(f"clips without a switch: {(table['num_switches'].iloc[:-1] == 0).sum()} of {self.clips}")

    def measure(self) -> pd.DataFrame:
        """A row a clip, and one for all of them."""
        noise = DetectorNoise(share=self.jitter, jumps=0.05, limb_swaps=0.02, person_swaps=0.02, missing=0.05)
        accumulators = []
        for seed in range(self.clips):
            poses = crossing(self.people, self.seconds, seed=seed, fps=self.fps)
            frames, truth = as_detected(poses, noise, self.missed, np.random.default_rng(seed))
            accumulators.append(judged(frames, truth, self.fps))
        names = ["idf1", "mota", "num_switches", "num_fragmentations", "num_unique_objects", "num_detections"]
        return motmetrics.metrics.create().compute_many(accumulators, metrics=names, generate_overall=True)


def as_detected(
    poses: PoseSet, noise: DetectorNoise, missed: float, rng: np.random.Generator
) -> tuple[list[list[Detection]], list[list[int]]]:
    """What a detector finds in each frame, in random order, and of whom each detection is."""
    seen = noise.add(poses, rng)
    frames, truth = [], []
    for frame in range(int(poses.frame_index.max()) + 1):
        rows = np.flatnonzero(poses.frame_index == frame)
        boxes = np.stack([box_of(poses.keypoints[row]) for row in rows])
        depth = poses.joints[rows, poses.skeleton.root_index, 2]
        width, height = poses.image_size[rows[0]]
        there = []
        for i in range(len(rows)):
            nearer = [shared(boxes[i], boxes[k]) for k in range(len(rows)) if depth[k] < depth[i]]
            inside = shared(boxes[i], np.array([0, 0, width, height], float)) > 0.5
            if inside and max(nearer, default=0.0) < HIDDEN and rng.random() > missed:
                there.append(rows[i])
        rng.shuffle(there)
        frames.append([Detection(seen.keypoints[row], seen.scores[row], box_of(seen.keypoints[row])) for row in there])
        truth.append([int(poses.person[row]) for row in there])
    return frames, truth


def box_of(keypoints: np.ndarray) -> np.ndarray:
    """Box of the joints that are there, with some margin."""
    low, high = np.nanmin(keypoints, axis=0), np.nanmax(keypoints, axis=0)
    margin = BOX_MARGIN * (high - low).max()
    return np.concatenate([low - margin, high + margin]).astype(np.float64)


def shared(box: np.ndarray, other: np.ndarray) -> float:
    """Share of a box that lies in the other."""
    sides = np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0)
    return float(np.prod(sides) / np.prod(box[2:] - box[:2]))


def judged(frames: list[list[Detection]], truth: list[list[int]], fps: float) -> motmetrics.MOTAccumulator:
    """What the tracker makes of the frames, beside the truth."""
    tracks = follow_detections(dict(enumerate(frames)), fps)
    identity = {id(person): number for number, track in enumerate(tracks) for person in track.found.values()}
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for people, who in zip(frames, truth, strict=True):
        given = [identity[id(person)] for person in people]
        distances = np.where(np.eye(len(who), dtype=bool), 0.0, np.nan)
        accumulator.update(who, given, distances)
    return accumulator


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
