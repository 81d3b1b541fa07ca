"""A detector of coloured rectangles that is as short-sighted as MediaPipe, and clips of such rectangles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nearfar.detection import Detection
from nearfar.detection.base import Closing
from nearfar.media import Frame
from nearfar.skeleton import Limb, Skeleton

CORNERS = Skeleton(
    name="corners",
    joints=("root", "left_top", "right_top", "left_bottom", "right_bottom"),
    root="root",
    limbs=(Limb(0, 1), Limb(0, 2), Limb(1, 3), Limb(2, 4)),
    mirror_pairs=(("left_top", "right_top"), ("left_bottom", "right_bottom")),
)
LEVELS = {0: 80, 1: 160, 2: 240}


class Rectangles(Closing):
    """Sees the largest bright rectangle of an image only, and only if it is higher than 0.3 of the image."""

    name = "rectangles"
    skeleton = CORNERS

    def __init__(self, finds_all: bool = False) -> None:
        self.finds_all = finds_all
        self.looks = 0
        self.closed = False

    def detect(self, image: np.ndarray, max_people: int) -> list[Detection]:
        self.looks += 1
        found = []
        for level in LEVELS.values():
            rows, columns = np.nonzero(abs(image[..., 0].astype(int) - level) < 40)
            if len(rows) < 12 or (not self.finds_all and np.ptp(rows) < 0.3 * len(image)):
                continue
            x0, y0, x1, y1 = (float(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            corners = np.array([[(x0 + x1) / 2, (y0 + y1) / 2], [x1, y0], [x0, y0], [x1, y1], [x0, y1]])
            found.append(Detection(corners, np.full(5, 0.9), np.array([x0, y0, x1, y1])))
        found.sort(key=lambda one: -one.size)
        return found[: max_people if self.finds_all else 1]

    def close(self) -> None:
        self.closed = True


def scene(boxes: dict[int, tuple[int, int, int, int]], width: int = 320, height: int = 180) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    for level, (x, y, w, h) in boxes.items():
        image[max(y, 0) : y + h, max(x, 0) : x + w] = LEVELS[level]
    return image


def clip(boxes: Callable[[int], dict[int, tuple[int, int, int, int]]], count: int) -> Iterator[Frame]:
    return (Frame(i, i / 30, scene(boxes(i))) for i in range(count))


def walkers(i: int) -> dict[int, tuple[int, int, int, int]]:
    """A large one from left to right, and from frame 20 on a small one from right to left."""
    people = {2: (10 + 3 * i, 40, 40, 100)}
    if i >= 20:
        people[0] = (300 - 3 * i, 5, 20, 45)
    return people
