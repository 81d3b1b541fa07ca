"""People looked for in boxes that are given: of another program's detector, or of its tracker.

Two forms of file are read:

- MOTChallenge's text (Leal-Taixé et al., 2015, https://arxiv.org/abs/1504.01942, table 2), which trackers write:
  ``frame, id, left, top, width, height`` and up to four more numbers, of which the first is a confidence; frames are
  numbered from 1, an id of -1 is not known, and rows of confidence 0 are not to be considered;
- a table with a header: ``frame`` (from 0), ``x0``, ``y0``, ``x1``, ``y1`` and perhaps ``person``, in any order; other
  columns are left out.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.detection.base import Detection, Detector, Image
from nearfar.detection.search import CROP_MARGINS, MOST_PEOPLE, SMALLEST_CROP, look_at
from nearfar.errors import InputError
from nearfar.files import read_text
from nearfar.matching import assign
from nearfar.media import Frame
from nearfar.tracking import Track, Tracker, link_tracks, overlap, suppress_duplicates

__all__ = ["Boxes", "find_in_boxes", "follow_boxes", "load_boxes"]

Array = npt.NDArray[Any]

LEAST_OVERLAP = 0.2
"""Least intersection over union of a box with that of the keypoints found for it: other programs draw boxes closer or
wider, and around what can be seen of a person only."""
LARGEST = 1e6
"""No pixel, frame or identity is beyond this."""

_FORMS = (
    "expected MOTChallenge's 'frame, id, left, top, width, height, ...' (6 to 10 numbers, frames from 1), or a header "
    "with frame (from 0), x0, y0, x1, y1 and perhaps person"
)


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of people in a clip.

    Attributes:
        path: the file that they are from.
        frame: (N,) numbers of frames from 0, ascending.
        box: (N, 4) x0, y0, x1, y1 pixels.
        person: (N,) identities, or None where they are not known.
    """

    path: Path
    frame: Array
    box: Array
    person: Array | None

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, frame: int) -> slice:
        """Rows of a frame."""
        return slice(*np.searchsorted(self.frame, (frame, frame + 1)))


def load_boxes(path: str | Path) -> Boxes:
    """Read boxes in either form (see the module).

    Raises:
        InputError: no such file, no boxes, other columns, numbers that are missing, not finite, or no box; or one
            person twice in a frame.
    """
    path = Path(path)
    lines = [(i, cells) for i, cells in enumerate(csv.reader(io.StringIO(read_text(path))), 1) if any(cells)]
    header = [cell.strip().lower() for cell in lines[0][1]]
    if _is_number(header[0]):
        rows = _motchallenge(lines, path)
    elif {"frame", "x0", "y0", "x1", "y1"} <= set(header):
        rows = _table(lines[1:], header, path)
    else:
        raise InputError(f"{path}: line {lines[0][0]}: columns {', '.join(header)[:80]}: {_FORMS}")
    if not rows:
        raise InputError(f"{path}: no boxes in it")
    table = np.array(rows, np.float64)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    frame, person = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    known = bool((person >= 0).all())
    if known and len(again := np.flatnonzero((np.diff(frame) == 0) & (np.diff(person) == 0))):
        raise InputError(f"{path}: person {person[again[0]]} has two boxes in frame {frame[again[0]]} (counted from 0)")
    return Boxes(path, frame, table[:, 2:], person if known else None)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _motchallenge(lines: Sequence[tuple[int, list[str]]], path: Path) -> list[list[float]]:
    rows = []
    for line, cells in lines:
        if not 6 <= len(cells) <= 10:
            raise InputError(f"{path}: line {line}: {len(cells)} columns: {_FORMS}")
        where = f"{path}: line {line}"
        frame, person, x, y, width, height, *rest = (_number(cell, where) for cell in cells)
        if not rest or rest[0] != 0:
            rows.append(_row(frame - 1, person, (x, y, x + width, y + height), where))
    return rows


def _table(lines: Sequence[tuple[int, list[str]]], header: list[str], path: Path) -> list[list[float]]:
    rows = []
    for line, cells in lines:
        where = f"{path}: line {line}"
        if len(cells) != len(header):
            raise InputError(f"{where}: expected {len(header)} cells, got {len(cells)}")
        named = dict(zip(header, cells, strict=True))
        frame, *box = (_number(named[name], where) for name in ("frame", "x0", "y0", "x1", "y1"))
        rows.append(_row(frame, _number(named["person"], where) if "person" in named else -1, box, where))
    return rows


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise InputError(f"{where}: expected a number, got {cell.strip()[:40]!r}") from None
    if not (math.isfinite(value) and abs(value) <= LARGEST):
        raise InputError(f"{where}: expected a number within {LARGEST:g}, got {cell.strip()[:40]}")
    return value


def _row(frame: float, person: float, box: Sequence[float], where: str) -> list[float]:
    if frame < 0 or frame % 1 or person % 1:
        raise InputError(f"{where}: expected whole numbers for frame and person, the frame not before the first")
    x0, y0, x1, y1 = box
    if not (x0 < x1 and y0 < y1):
        raise InputError(f"{where}: a box without area: from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g})")
    return [frame, person, x0, y0, x1, y1]


def find_in_boxes(detector: Detector, image: Image, boxes: Array) -> list[Detection | None]:
    """Who is in each of some boxes; nobody is in two of them.

    Args:
        detector: finds the people, on a crop around each box unless it finds everybody at once.
        image: (H, W, 3) uint8 RGB.
        boxes: (B, 4) x0, y0, x1, y1 pixels.

    Returns:
        A person or None for each box: together those who overlap their boxes most.
    """
    seen: list[Detection] = []
    if not len(boxes):
        return []
    if detector.finds_all:
        seen = detector.detect(image, max(MOST_PEOPLE, len(boxes)))
    else:
        for box in boxes:
            for margin in sorted(CROP_MARGINS):
                side = max(round(margin * float((box[2:] - box[:2]).max())), SMALLEST_CROP)
                x, y = (int(v) for v in np.round((box[:2] + box[2:] - side) / 2))
                people = look_at(detector, image, x, y, side)
                seen += people
                if any(overlap(person.box, box) >= LEAST_OVERLAP for person in people):
                    break
    seen = suppress_duplicates(seen)
    shared = np.array([[overlap(person.box, box) for person in seen] for box in boxes]).reshape(len(boxes), len(seen))
    found = dict(assign(np.where(shared >= LEAST_OVERLAP, -shared, np.inf), 0.0))
    return [seen[found[i]] if i in found else None for i in range(len(boxes))]


def follow_boxes(detector: Detector, frames: Iterable[Frame], boxes: Boxes, fps: float) -> Mapping[int, Track]:
    """The people of a clip's boxes through time, by number.

    Boxes that say whose they are keep their numbers; others are joined (`nearfar.tracking`), and numbered from 0 by
    the length of their tracks.

    Raises:
        InputError: there is no box in any frame of the clip.
    """
    tracks: dict[int, Track] = {}
    tracker = Tracker(fps)
    index = -1
    for index, image in ((frame.index, frame.image) for frame in frames):
        rows = boxes.rows(index)
        people = find_in_boxes(detector, image, boxes.box[rows])
        if boxes.person is None:
            tracker.update(index, [person for person in people if person is not None])
            continue
        for number, person in zip(boxes.person[rows].tolist(), people, strict=True):
            if person is not None and number in tracks:
                tracks[number].add(index, person)
            elif person is not None:
                tracks[number] = Track.begin(index, person)
    if boxes.frame[0] > index:
        first = f"the first box is in frame {boxes.frame[0]}, counted from 0"
        raise InputError(f"{boxes.path}: {first}, and there are {index + 1} frames")
    return tracks if boxes.person is not None else dict(enumerate(link_tracks(tracker.tracks, fps)))
