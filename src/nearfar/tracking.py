"""Who is who through time: people found frame by frame become tracks.

Works on any skeleton. A person is expected to go on moving as they did, and to look much as they did; what is found in
a frame is compared with that, in units of the person's size, and joined where it is likeliest (`Expectation.mismatch`).
Whether two detections in one image are one person is told in the manner of COCO's object keypoint similarity
(https://cocodataset.org/#keypoints-eval) with one tolerance for all joints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.matching import assign, assign_sparse

__all__ = [
    "Detection", "Track", "Tracker", "follow_detections", "is_duplicate", "is_known", "link_tracks",
    "overlap", "pose_similarity", "suppress_duplicates", "track_people",
]  # fmt: skip

Array = npt.NDArray[np.floating[Any]]

TOLERANCE = 0.15
"""Distance at which a joint's similarity falls to exp(-1/2), in units of the person's size."""
SPEED = 1.5
"""What this distance grows by in a second, for a person who moves."""
SAME_PERSON = 0.1
"""Least similarity of a person to themselves in another frame."""
LONGEST_GAP = 0.3
"""Seconds for which a person may be out of sight before their track ends; `link_tracks` joins its parts ..."""
LONGEST_ABSENCE = 3.0
"""... up to so many seconds later."""
DUPLICATE = 0.5
"""Two poses at least this similar in one image are one person."""
PLACE = 0.03
"""Standard deviation of where a person is found from one frame to the next, in extents (longer sides of the box)."""
WAVER = 0.35
"""What it grows by in a second, for a person whose velocity is known, ..."""
WALK = 1.5
"""... and for one whose velocity is not."""
TURN = 0.25
"""Deviation of how a velocity changes over an absence, in extents a second, besides `WAVER` a second."""
LOOK_BACK = 0.4
"""Seconds over which a velocity is taken."""
OUT_OF_REACH = 4.0
"""Deviations from the expected place beyond which a person is somebody else."""
BEND = 0.12
"""Deviation of single joints about the whole, in extents."""
GROWTH = 0.15
"""Deviation of the logarithm of the extent from frame to frame."""
BOUND = 2.0
"""Most that unlike poses, sizes and velocities can cost: where people hide one another, detectors err."""
LEAVE = 5.0
"""What it costs to leave a track without a person in a frame, beside `Expectation.mismatch`, ..."""
ALONE = 13.0
"""... and to leave it at an end."""
NEWEST = 0.2
"""Share of the newest frame in a track's extent."""
SAME_PLACE = 0.75
"""Two boxes in one image with at least this intersection over union are of one person."""


@dataclass(frozen=True, eq=False, slots=True)
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
    def extent(self) -> float:
        """The longer side of the box, pixels."""
        return max(float((self.box[2:] - self.box[:2]).max()), 1.0)

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


def overlap(first: Array, second: Array) -> float:
    """Intersection over union of two boxes (4,) x0, y0, x1, y1."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0.0)))
    union = sum(float(np.prod(np.maximum(box[2:] - box[:2], 1e-9))) for box in (first, second)) - shared
    return shared / union


def is_duplicate(first: Detection, second: Detection) -> bool:
    """Whether two detections in one image are one person: alike in pose, or (left and right confused) in place."""
    return overlap(first.box, second.box) >= SAME_PLACE or pose_similarity(first, second) >= DUPLICATE


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


@dataclass(frozen=True, eq=False)
class Expectation:
    """Where and how a tracked person is expected in a frame.

    Attributes:
        person: the person as last found, moved on.
        extent: the longer side of their box, pixels.
        seconds: since they were last found.
        deviation: standard deviation of the place, in extents.
    """

    person: Detection
    extent: float
    seconds: float
    deviation: float

    def mismatch(self, found: Detection) -> float:
        """How badly a person who was found fits: a negative logarithm of likelihood, up to a constant.

        Four parts: how far the person as a whole (the median joint) is from the expected place, which counts less the
        longer they were out of sight; how uncertain that place was, so that a long absence does not make somebody fit
        everybody; how unlike the poses are besides; and how unlike the sizes. The latter two are bounded: detectors
        take left for right, and lose joints.

        Returns:
            Infinity where the two have no joint in common, or are out of reach of each other.
        """
        moved = (found.keypoints - self.person.keypoints) / self.extent
        moved = moved[np.isfinite(moved).all(axis=-1)]
        if not len(moved):
            return math.inf
        shift = np.median(moved, axis=0)
        far = float(shift @ shift) / self.deviation**2
        if far > OUT_OF_REACH**2:
            return math.inf
        bent = float(((moved - shift) ** 2).sum(axis=-1).mean()) / BEND**2
        grown = math.log(found.extent / self.extent) / (GROWTH + GROWTH * self.seconds)
        return far / 2 + 2 * math.log(self.deviation / PLACE) + min(bent, BOUND) + min(grown**2 / 2, BOUND)


@dataclass(eq=False)
class Track:
    """One person through a clip.

    Attributes:
        first: number of the first frame in which the person was found.
        last: number of the last frame in which the person was found.
        found: the person by number of frame; frames where they were not found are absent.
        extent: the longer side of the person's box as of late, pixels: a mean that forgets.
    """

    first: int
    last: int
    found: dict[int, Detection]
    extent: float

    @classmethod
    def begin(cls, frame: int, person: Detection) -> Track:
        """A track of one frame."""
        return cls(frame, frame, {frame: person}, person.extent)

    def add(self, frame: int, person: Detection) -> None:
        """Extend the track, forward or backward in time."""
        if frame > self.last:
            self.extent *= (person.extent / self.extent) ** NEWEST
        self.first, self.last = min(self.first, frame), max(self.last, frame)
        self.found[frame] = person

    def velocity(self, fps: float, *, at_end: bool = True) -> tuple[Array, float]:
        """Where the person is heading at the end, or was at the beginning, (2,) pixels a second, and how sure that is.

        From the `LOOK_BACK` seconds there: the median over joints of how far each has come. Sureness is 0 (nothing
        known, velocity 0) to 1.
        """
        edge, inward = (self.last, -1) if at_end else (self.first, 1)
        for frames in range(max(round(LOOK_BACK * fps), 1), 0, -1):
            other = self.found.get(edge + inward * frames)
            if other is not None:
                moved = self.found[edge].keypoints - other.keypoints
                if np.isfinite(moved).all(axis=-1).any():
                    seconds = frames / fps
                    return -inward * np.nanmedian(moved, axis=0) / seconds, min(1.0, 2 * seconds / LOOK_BACK)
        return np.zeros(2), 0.0

    def expected(self, frame: int, fps: float) -> Expectation:
        """The person as expected in a later frame: gone on as they went."""
        person, seconds = self.found[self.last], (frame - self.last) / fps
        velocity, sure = self.velocity(fps)
        shift = velocity * sure * seconds
        moved = Detection(person.keypoints + shift, person.scores, person.box + np.tile(shift, 2))
        return Expectation(moved, self.extent, seconds, PLACE + (sure * WAVER + (1 - sure) * WALK) * seconds)

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
        expected = [track.expected(frame, self.fps) for track in alive] if people else []
        costs = [[one.mismatch(person) for person in people] for one in expected]
        # Who continues no track is better taken for somebody new than for somebody else; if they can be.
        pairs = assign(np.reshape(costs, (len(alive), len(people))), LEAVE if begin else ALONE)
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
        for frame in sorted(later.found):
            track.add(frame, later.found[frame])
        self.tracks.remove(later)


def link_tracks(tracks: Sequence[Track], fps: float = 30.0) -> list[Track]:
    """Join tracks that are one person who was out of sight, by what is known before and after.

    Unlike a `Tracker`, which has to decide when somebody appears, this compares also how they walk on: of two
    people who meet and hide one another each goes on as they went. Which tracks continue which is decided for all
    at once (`assign`).

    Args:
        tracks: those of a clip.
        fps: frame rate.

    Returns:
        New tracks, longest first; the given ones are not changed.
    """
    begins = np.array([track.first for track in tracks])
    by_time = np.argsort(begins, kind="stable")
    costs: dict[tuple[int, int], float] = {}
    for row, track in enumerate(tracks):
        latest = track.last + max(LONGEST_ABSENCE * fps, 1)
        soon = slice(*np.searchsorted(begins[by_time], (track.last, latest), side="right"))
        for column in by_time[soon].tolist():
            if math.isfinite(cost := _link_cost(track, tracks[column], fps)):
                costs[row, column] = cost
    linked = [Track(track.first, track.last, dict(track.found), track.extent) for track in tracks]
    for row, column in sorted(assign_sparse(costs, ALONE), key=lambda pair: tracks[pair[1]].first):
        for frame in sorted(tracks[column].found):
            linked[row].add(frame, tracks[column].found[frame])
        linked[column] = linked[row]
    return sorted({id(track): track for track in linked}.values(), key=len, reverse=True)


def _link_cost(track: Track, later: Track, fps: float) -> float:
    """`Expectation.mismatch` of a track's beginning with another's end, and of how fast they go there and then."""
    cost = track.expected(later.first, fps).mismatch(later.found[later.first])
    (before, sure_before), (after, sure_after) = track.velocity(fps), later.velocity(fps, at_end=False)
    seconds = (later.first - track.last) / fps
    turned = float(((before - after) ** 2).sum()) / track.extent**2 / (2 * (TURN + WAVER * seconds) ** 2)
    return cost + min(sure_before * sure_after * turned, BOUND)


def follow_detections(frames: Mapping[int, Sequence[Detection]], fps: float = 30.0) -> list[Track]:
    """Tracks of people found by number of frame, longest first; every detection is in one of them."""
    tracker = Tracker(fps)
    for frame in sorted(frames):
        tracker.update(frame, frames[frame])
    return link_tracks(tracker.tracks, fps)


def track_people(frames: Iterable[Sequence[Detection]], fps: float = 30.0) -> list[Track]:
    """Tracks of the people found in each frame of a clip, longest first; of duplicates in a frame one is dropped.

    Args:
        frames: who was found in frame 0, 1, 2, ...
        fps: frame rate.
    """
    return follow_detections({frame: suppress_duplicates(people) for frame, people in enumerate(frames)}, fps)
