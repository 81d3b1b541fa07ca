"""Who is who through time: people found frame by frame become tracks, by how alike their poses are.

Works on any skeleton: poses are compared joint by joint, in units of the person's size, in the manner of COCO's object
keypoint similarity (https://cocodataset.org/#keypoints-eval) with one tolerance for all joints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Detection", "Track", "Tracker", "is_duplicate", "is_known", "match", "pose_similarity", "suppress_duplicates",
    "track_people",
]  # fmt: skip

Array = npt.NDArray[np.floating[Any]]

TOLERANCE = 0.15
"""Distance at which a joint's similarity falls to exp(-1/2), in units of the person's size."""
SPEED = 1.5
"""What this distance grows by in a second, for a person who moves."""
SAME_PERSON = 0.1
"""Least similarity of a person to themselves in another frame."""
LONGEST_GAP = 1.0
"""Seconds for which a person may be out of sight and keep their identity."""
DUPLICATE = 0.5
"""Two poses at least this similar in one image are one person."""
SAME_PLACE = 0.75
"""Two boxes in one image with at least this intersection over union are of one person."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One person found in one image.

    Attributes:
        keypoints: (J, 2) pixels; NaN where a joint was not found.
        scores: (J,) in 0..1; 0 where a joint was not found.
        box: (4,) x0, y0, x1, y1 pixels.
    """

    keypoints: Array
    scores: Array
    box: Array

    @property
    def size(self) -> float:
        """Square root of the box's area: the person's apparent size in pixels."""
        width, height = (float(side) for side in self.box[2:] - self.box[:2])
        return float(np.sqrt(max(width * height, 1.0)))

    @property
    def confidence(self) -> float:
        """Mean score over all joints."""
        return float(self.scores.mean())


def pose_similarity(first: Detection, second: Detection, tolerance: float = TOLERANCE) -> float:
    """How alike two poses are, 0 (apart) to 1 (the same).

    The mean over the joints that both have of exp(-d^2 / 2 s^2), d the distance between the two joints and s the
    tolerance times the smaller of the two people's sizes.
    """
    squared = ((first.keypoints - second.keypoints) ** 2).sum(axis=-1)
    both = np.isfinite(squared)
    scale = tolerance * min(first.size, second.size)
    return float(np.exp(-squared[both] / (2 * scale**2)).mean()) if both.any() else 0.0


def is_duplicate(first: Detection, second: Detection) -> bool:
    """Whether two detections in one image are one person: alike in pose, or (left and right confused) in place."""
    overlap = np.minimum(first.box[2:], second.box[2:]) - np.maximum(first.box[:2], second.box[:2])
    shared = float(np.prod(np.maximum(overlap, 0.0)))
    union = first.size**2 + second.size**2 - shared
    return shared / union >= SAME_PLACE or pose_similarity(first, second) >= DUPLICATE


def is_known(person: Detection, others: Iterable[Detection]) -> bool:
    """Whether a person is one of the others in the same image."""
    return any(is_duplicate(person, other) for other in others)


def suppress_duplicates(people: Iterable[Detection]) -> list[Detection]:
    """Each person once, most confident first: of duplicates only the most confident stays."""
    kept: list[Detection] = []
    for person in sorted(people, key=lambda one: -one.confidence):
        if not is_known(person, kept):
            kept.append(person)
    return kept


def match(similarities: Array, threshold: float) -> list[tuple[int, int]]:
    """One-to-one pairs of rows and columns, the most similar pair first.

    Args:
        similarities: (M, N).
        threshold: pairs less similar than this stay apart.
    """
    left = np.array(similarities, dtype=np.float64)
    pairs = []
    while left.size and left.max() >= threshold:
        row, column = np.unravel_index(left.argmax(), left.shape)
        pairs.append((int(row), int(column)))
        left[row, :] = left[:, column] = -np.inf
    return pairs


@dataclass(eq=False)
class Track:
    """One person through a clip.

    Attributes:
        first: number of the first frame in which the person was found.
        last: number of the last frame in which the person was found.
        found: the person by number of frame; frames where they were not found are absent.
    """

    first: int
    last: int
    found: dict[int, Detection]

    @classmethod
    def begin(cls, frame: int, person: Detection) -> Track:
        """A track of one frame."""
        return cls(frame, frame, {frame: person})

    def add(self, frame: int, person: Detection) -> None:
        """Extend the track, forward or backward in time."""
        self.first, self.last = min(self.first, frame), max(self.last, frame)
        self.found[frame] = person

    def __len__(self) -> int:
        return len(self.found)


class Tracker:
    """Joins the people of each frame to the tracks that they continue.

    Args:
        fps: frame rate.

    Attributes:
        tracks: all tracks so far, in order of appearance.
    """

    def __init__(self, fps: float = 30.0) -> None:
        self.fps = fps
        self.tracks: list[Track] = []

    def alive(self, frame: int) -> list[Track]:
        """The tracks that may go on in a frame: those last found at most `LONGEST_GAP` seconds before it."""
        return [track for track in self.tracks if 0 < frame - track.last <= max(LONGEST_GAP * self.fps, 1)]

    def tolerance(self, frames: int) -> float:
        """How far a person may have moved in some frames, as a tolerance of `pose_similarity`."""
        return TOLERANCE + SPEED * frames / self.fps

    def update(self, frame: int, people: Sequence[Detection], begin: bool = True) -> list[Track]:
        """Join the people found in one frame, each once, to the tracks that they continue.

        Args:
            frame: number of the frame, later than those before.
            people: who was found in it.
            begin: whether those who continue no track begin one.

        Returns:
            New tracks, of the people who continue none.
        """
        alive = self.alive(frame)
        similarities = [
            [pose_similarity(track.found[track.last], one, self.tolerance(frame - track.last)) for one in people]
            for track in alive
        ]
        pairs = match(np.reshape(similarities, (len(alive), len(people))), SAME_PERSON)
        for row, column in pairs:
            alive[row].add(frame, people[column])
        if not begin:
            return []
        joined = {column for _, column in pairs}
        new = [Track.begin(frame, person) for i, person in enumerate(people) if i not in joined]
        self.tracks += new
        return new

    def holder(self, frame: int, person: Detection) -> Track | None:
        """The track that has this person in a frame already."""
        for track in self.tracks:
            if frame in track.found and is_duplicate(track.found[frame], person):
                return track
        return None

    def merge(self, track: Track, later: Track) -> None:
        """Make two tracks of one person one."""
        for frame, person in later.found.items():
            track.add(frame, person)
        self.tracks.remove(later)


def track_people(frames: Iterable[Sequence[Detection]], fps: float = 30.0) -> list[Track]:
    """Tracks of the people found in each frame of a clip, longest first.

    Args:
        frames: who was found in frame 0, 1, 2, ...
        fps: frame rate.
    """
    tracker = Tracker(fps)
    for frame, people in enumerate(frames):
        tracker.update(frame, suppress_duplicates(people))
    return sorted(tracker.tracks, key=len, reverse=True)
