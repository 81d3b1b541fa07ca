"""People in frames that come one at a time: found, followed and lifted without a look ahead."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

import numpy as np

from nearfar.detection.base import Detection, Detector
from nearfar.detection.media_detection import track_rows
from nearfar.detection.search import find_people, follow_known, tiles
from nearfar.errors import InputError
from nearfar.intrinsics import check_camera, choose_intrinsics
from nearfar.lifting import Lifter
from nearfar.media import Frame
from nearfar.poses import PoseSet
from nearfar.tracking import Track, Tracker, suppress_duplicates

__all__ = ["Follower"]

WINDOW = 48
"""Frames that a pose is lifted from: as far as the temporal network looks back, where they come evenly."""
RATE_SHARE = 0.1
"""Share of the newest step in the running frame rate."""


class Follower:
    """Finds people in the newest frame, follows those it knows, and lifts them from the last `WINDOW` frames.

    As long as fewer than `people` are followed, each frame is also searched, but never all over: at the whole picture
    once and at one of its parts (`tiles`), another one each time, so that no frame takes long.

    Args:
        detector: finds the people.
        lifter: lifts them; with a temporal network they are steadied.
        people: how many are followed at most.
        focal: focal length, see `nearfar.intrinsics.parse_focal`.
        field_of_view: or degrees along the longer side of the image.

    Raises:
        InputError: not a number of people, or a camera that cannot be.
    """

    def __init__(
        self,
        detector: Detector,
        lifter: Lifter,
        people: int = 1,
        *,
        focal: str | None = None,
        field_of_view: float | None = None,
    ) -> None:
        if people < 1:
            raise InputError(f"people must be at least 1, got {people}")
        check_camera(None, focal, field_of_view)
        self.detector, self.lifter, self.people = detector, lifter, people
        self._camera: dict[str, Any] = {"focal": focal, "field_of_view": field_of_view}
        self._tracker = Tracker()
        self._numbers: dict[Track, int] = {}
        self._next_number = itertools.count()
        self._frames: deque[tuple[float, int, int]] = deque(maxlen=WINDOW)
        self._index = -1
        self._part = 0

    def follow(self, frame: Frame) -> PoseSet | None:
        """Who is in a frame, which is later than those before it: a row a person, or None for nobody.

        Returns:
            Poses as `Lifter.lift_poses` gives them, with the frame's `time` and number and, as `person`, numbers that
            people keep as long as they are followed; somebody who comes back gets a new one.
        """
        self._index += 1
        height, width = frame.image.shape[:2]
        if self._frames and (step := frame.time_s - self._frames[-1][0]) > 0:
            self._tracker.fps *= (1 / step / self._tracker.fps) ** RATE_SHARE
        self._frames.append((frame.time_s, width, height))
        looked = Frame(self._index, frame.time_s, frame.image)
        self._tracker.update(self._index, self._people_in(looked))
        return self._lift(self._remembered(), frame.index)

    def _people_in(self, frame: Frame) -> list[Detection]:
        known = [] if self.detector.finds_all else follow_known(self.detector, self._tracker, frame)
        known = suppress_duplicates(known)
        if len(known) >= self.people:
            return known[: self.people]
        whole, *parts = tiles(frame.image.shape[1], frame.image.shape[0])
        self._part = (self._part + 1) % len(parts)
        found = find_people(self.detector, frame.image, known, [whole, parts[self._part]])
        return sorted(found, key=lambda person: person not in known)[: self.people]

    def _remembered(self) -> list[Track]:
        """The people who are in the newest frame; what is older than the window is forgotten."""
        earliest = self._index - WINDOW
        tracker = self._tracker
        tracker.tracks = [track for track in tracker.tracks if track in tracker.alive(self._index + 1)]
        for track in tracker.tracks:
            for number in [number for number in track.found if number <= earliest]:
                del track.found[number]
            if track not in self._numbers:
                self._numbers[track] = next(self._next_number)
        self._numbers = {track: self._numbers[track] for track in tracker.tracks}
        return [track for track in tracker.tracks if track.last == self._index]

    def _lift(self, tracks: list[Track], frame_index: int) -> PoseSet | None:
        if not tracks:
            return None
        n, start = len(self._frames), self._index + 1 - len(self._frames)
        windows = [
            Track(track.first, n - 1, {number - start: one for number, one in track.found.items()}, track.extent)
            for track in tracks
        ]
        keypoints, scores = track_rows(windows, list(self._frames), self.detector.skeleton)
        times, *size = np.array(self._frames).T
        rows = PoseSet(
            skeleton=self.detector.skeleton,
            keypoints=keypoints,
            scores=scores,
            image_size=np.tile(np.stack(size, axis=-1).astype(np.int32), (len(tracks), 1)),
            time=np.tile(times, len(tracks)),
            frame_index=np.full(n * len(tracks), frame_index, np.int32),
            person=np.repeat(np.array([self._numbers[track] for track in tracks], np.int32), n),
            provenance={"detector": self.detector.name},
        )
        lifted = self.lifter.lift_poses(choose_intrinsics(rows, **self._camera), causal=True)
        return lifted.select(np.arange(n - 1, n * len(tracks), n))
