"""Finding everybody with a detector that sees only one or two large people in an image.

An image is searched in overlapping square tiles of several sizes; whoever is found is looked at again on a crop
around them, and counts if found again. From frame to frame people are followed on such crops.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from nearfar.detection.base import Detection, Detector, Image
from nearfar.media import Frame
from nearfar.tracking import SAME_PERSON, TOLERANCE, Tracker, is_known, pose_similarity, suppress_duplicates

__all__ = ["find_people", "follow_known", "follow_people", "look_again", "look_at", "tiles"]

TILE_SIDES = (1.0, 0.6, 0.4)
"""Sides of the tiles, as shares of the image's longer side; neighbours overlap by half."""
CROP_MARGINS = (1.6, 1.25, 2.2)
"""Sides of the crops tried around a person, as multiples of the longer side of their box."""
AGREEMENT = 0.6
"""Least similarity of two looks at one person."""
SMALLEST_CROP = 32
"""Side of the smallest crop in pixels."""
SEARCH_EVERY = 12
"""Frames from one search of the whole image to the next; in between people are followed ..."""
SEARCH_SECONDS = 0.4
"""... or seconds, if they pass sooner: where frames are few, somebody may come and go within twelve of them."""
FOLLOW_LOST = 6
"""Frames for which someone who was not found again is still looked for where they were."""
MOST_PEOPLE = 20
"""How many people are followed at most."""


def find_people(
    detector: Detector,
    image: Image,
    known: Sequence[Detection] = (),
    squares: Iterable[tuple[int, int, int]] | None = None,
) -> list[Detection]:
    """Everybody in an image, largest first.

    Args:
        detector: finds the people.
        image: (H, W, 3) uint8 RGB.
        known: people who were found in this image already; they are given back among the others.
        squares: where to look, (x, y, side) in pixels; by default everywhere (`tiles`). A detector that finds everybody
            at once looks at all of the image.
    """
    if detector.finds_all:
        people = detector.detect(image, MOST_PEOPLE)
    else:
        height, width = image.shape[:2]
        squares = tiles(width, height) if squares is None else squares
        seen = [person for square in squares for person in look_at(detector, image, *square)]
        seen = suppress_duplicates(seen)
        confirmed = [_confirm(detector, image, person) for person in seen if not is_known(person, known)]
        people = [*known, *(person for person in confirmed if person is not None)]
    return sorted(suppress_duplicates(people), key=lambda person: -person.size)[:MOST_PEOPLE]


def _confirm(detector: Detector, image: Image, person: Detection) -> Detection | None:
    """The person as two further looks at them agree on, or None: a tile often holds but a part of someone."""
    first = look_again(detector, image, person)
    second = first and look_again(detector, image, first)
    return second if first and second and pose_similarity(first, second) >= AGREEMENT else None


def tiles(width: int, height: int) -> Iterator[tuple[int, int, int]]:
    """Squares (x, y, side) in pixels that cover an image at several scales; they may reach over its edges."""
    for share in TILE_SIDES:
        side = max(round(share * max(width, height)), 1)
        for y in _starts(height, side):
            for x in _starts(width, side):
                yield x, y, side


def _starts(length: int, side: int) -> list[int]:
    if side >= length:
        return [(length - side) // 2]
    count = int(np.ceil((length - side) / (0.5 * side))) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def look_again(detector: Detector, image: Image, person: Detection, tolerance: float = TOLERANCE) -> Detection | None:
    """A person looked for on a crop around where they were, or None.

    Crops of other sizes are tried until they are found: the detector often misses people at one scale and not at
    another.

    Args:
        detector: finds the people.
        image: (H, W, 3) uint8 RGB.
        person: as seen before.
        tolerance: how far the person may have moved, see `nearfar.tracking.pose_similarity`.
    """
    centre, longest = (person.box[:2] + person.box[2:]) / 2, float((person.box[2:] - person.box[:2]).max())
    for margin in CROP_MARGINS:
        side = max(round(margin * longest), SMALLEST_CROP)
        x, y = (int(v) for v in np.round(centre - side / 2))
        people = look_at(detector, image, x, y, side)
        similarities = [pose_similarity(person, other, tolerance) for other in people]
        if max(similarities, default=0.0) >= SAME_PERSON:
            return people[int(np.argmax(similarities))]
    return None


def look_at(detector: Detector, image: Image, x: int, y: int, side: int) -> list[Detection]:
    """The people on a square of the image, black where it reaches over the edges."""
    height, width = image.shape[:2]
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    if left >= right or top >= bottom:
        return []
    square = np.zeros((side, side, 3), np.uint8)
    square[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    shift = np.array([x, y], np.float32)
    return [
        Detection(person.keypoints + shift, person.scores, person.box + np.tile(shift, 2))
        for person in detector.detect(square, MOST_PEOPLE)
    ]


def follow_people(detector: Detector, frames: Iterable[Frame], fps: float) -> Tracker:
    """Everybody in a clip, through time.

    Every `SEARCH_EVERY` frames or `SEARCH_SECONDS`, and in the last frame, the whole image is searched; someone new, or
    found again, is then also followed back in time through the frames since the last search, which are kept in memory.

    Args:
        detector: finds the people.
        frames: the clip.
        fps: frame rate.

    Returns:
        Tracks that end where a person is out of sight; `nearfar.tracking.link_tracks` joins them.
    """
    tracker = Tracker(fps)
    recent: deque[Frame] = deque(maxlen=SEARCH_EVERY)
    searched = (-SEARCH_EVERY, 0.0)
    for frame, following in itertools.pairwise(itertools.chain(frames, [None])):
        assert frame is not None
        people = [] if detector.finds_all else follow_known(detector, tracker, frame)
        searching = detector.finds_all or following is None or _is_due(frame, searched)
        if searching:
            searched = (frame.index, frame.time_s)
            people = find_people(detector, frame.image, people)
        tracker.update(frame.index, suppress_duplicates(people)[:MOST_PEOPLE], begin=searching)
        if not detector.finds_all:
            _follow_back(detector, tracker, frame.index, recent)
            recent.append(frame)
    return tracker


def _is_due(frame: Frame, searched: tuple[int, float]) -> bool:
    """Whether a frame is to be searched, by number and time of the one that was searched last."""
    index, time_s = searched
    return frame.index - index >= SEARCH_EVERY or frame.time_s - time_s >= SEARCH_SECONDS - 1e-3


def follow_known(detector: Detector, tracker: Tracker, frame: Frame) -> list[Detection]:
    """The people of the tracks that came near a frame, where they are found in it."""
    people = []
    for track in tracker.alive(frame.index):
        if (lost := frame.index - track.last) <= FOLLOW_LOST:
            expected = track.expected(frame.index, tracker.fps).person
            people.append(look_again(detector, frame.image, expected, tracker.tolerance(lost)))
    return [person for person in people if person is not None]


def _follow_back(detector: Detector, tracker: Tracker, index: int, recent: Sequence[Frame]) -> None:
    """Extend the tracks that begin, or begin again, with a frame back in time through the frames before it.

    Each ends where its person is lost, was found already, or turns out to be somebody known.
    """
    for track in [track for track in tracker.tracks if track.last == index and index - 1 not in track.found]:
        person = track.found[index]
        for frame in reversed(recent):
            earlier = (
                None if frame.index in track.found else look_again(detector, frame.image, person, tracker.tolerance(1))
            )
            if earlier is None:
                break
            if known := tracker.holder(frame.index, earlier):
                if known.last == frame.index < track.first:
                    tracker.merge(known, track)
                break
            track.add(frame.index, earlier)
            person = earlier
