"""Finding everybody with a detector that sees only one or two large people in an image.

An image is searched in overlapping square tiles of several sizes; whoever is found is looked at again on a crop
around them, and counts if found again. From frame to frame people are followed on such crops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from nearfar.detection.base import Detection, Detector, Image
from nearfar.media import Frame
from nearfar.tracking import Track, Tracker, continuity, is_duplicate, suppress_duplicates

__all__ = ["find_people", "follow_people", "look_again", "tiles"]

TILE_SIDES = (1.0, 0.6, 0.4)
"""Sides of the tiles, as shares of the image's longer side; neighbours overlap by half."""
CROP_MARGIN = 1.5
"""Side of the crop around a person, as a multiple of the longer side of their box."""
SEARCH_EVERY = 12
"""Frames from one search of the whole image to the next; in between people are followed."""
FOLLOW_LOST = 6
"""Frames for which someone who was not found again is still looked for where they were."""
MOST_PEOPLE = 20
"""How many people are followed at most."""


def find_people(detector: Detector, image: Image) -> list[Detection]:
    """Everybody in an image, largest first.

    Args:
        detector: finds the people.
        image: (H, W, 3) uint8 RGB.
    """
    if detector.finds_all:
        people = detector.detect(image, MOST_PEOPLE)
    else:
        height, width = image.shape[:2]
        seen = [person for square in tiles(width, height) for person in _look(detector, image, *square)]
        people = []
        for person in suppress_duplicates(seen):
            people += [again for again in look_again(detector, image, person) if is_duplicate(person, again)][:1]
    return sorted(suppress_duplicates(people), key=lambda person: -person.size)[:MOST_PEOPLE]


def tiles(width: int, height: int) -> Iterator[tuple[int, int, int]]:
    """Squares (x, y, side) in pixels that cover an image at several scales; they may reach over its edges."""
    for share in TILE_SIDES:
        side = round(share * max(width, height))
        for y in _starts(height, side):
            for x in _starts(width, side):
                yield x, y, side


def _starts(length: int, side: int) -> list[int]:
    if side >= length:
        return [(length - side) // 2]
    count = int(np.ceil((length - side) / (0.5 * side))) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def look_again(detector: Detector, image: Image, person: Detection, margin: float = CROP_MARGIN) -> list[Detection]:
    """The people on a square crop around a person, in pixels of the image."""
    centre = (person.box[:2] + person.box[2:]) / 2
    side = max(round(margin * float((person.box[2:] - person.box[:2]).max())), 32)
    x, y = (int(v) for v in np.round(centre - side / 2))
    return _look(detector, image, x, y, side)


def _look(detector: Detector, image: Image, x: int, y: int, side: int) -> list[Detection]:
    """The people on a square of the image, black where it reaches over the edges."""
    height, width = image.shape[:2]
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    if left >= right or top >= bottom:
        return []
    square = np.zeros((side, side, 3), np.uint8)
    square[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    shift = np.array([x, y], np.float64)
    return [
        Detection(person.keypoints + shift, person.scores, person.box + np.tile(shift, 2))
        for person in detector.detect(square, MOST_PEOPLE)
    ]


def follow_people(detector: Detector, frames: Iterable[Frame], fps: float) -> Tracker:
    """Everybody in a clip, through time.

    Every `SEARCH_EVERY` frames the whole image is searched; someone new is then also followed back in time through
    the frames since the last search, which are kept in memory.

    Args:
        detector: finds the people.
        frames: the clip.
        fps: frame rate, by which a person may be out of sight for a second and keep their identity.
    """
    tracker = Tracker(max_gap=max(1, round(fps)))
    recent: deque[Frame] = deque(maxlen=SEARCH_EVERY)
    for frame in frames:
        image = frame.image
        if detector.finds_all:
            tracker.update(frame.index, find_people(detector, image))
            continue
        people = [
            person
            for track in tracker.alive(frame.index)
            if track.gap(frame.index) <= FOLLOW_LOST
            for person in look_again(detector, image, track.nearest(frame.index))
        ]
        is_search = frame.index % SEARCH_EVERY == 0
        if is_search:
            people += find_people(detector, image)
        for track in tracker.update(frame.index, suppress_duplicates(people)[:MOST_PEOPLE]):
            _follow_back(detector, recent, tracker, track)
        recent.append(frame)
    return tracker


def _follow_back(detector: Detector, recent: Iterable[Frame], tracker: Tracker, track: Track) -> None:
    """Extend a new track backward in time, until its person is lost or turns out to be somebody known."""
    for frame in reversed(list(recent)):
        people = look_again(detector, frame.image, track.nearest(frame.index))
        person = max(people, key=lambda one: continuity(track, frame.index, one), default=None)
        if person is None or continuity(track, frame.index, person) < 0.1:
            return
        if known := tracker.holder(frame.index, person):
            if known.last == frame.index:
                tracker.merge(known, track)
            return
        track.add(frame.index, person)
