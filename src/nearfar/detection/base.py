"""What a 2D keypoint detector is to the rest of the package."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.skeleton import Skeleton
from nearfar.tracking import Detection

__all__ = ["Detection", "Detector", "detector_names", "get_detector"]

Image = npt.NDArray[np.uint8]


@runtime_checkable
class Detector(Protocol):
    """Finds people and their keypoints in one image. A context manager; `close` frees what it holds.

    Attributes:
        name: name and version, for the provenance of its results.
        skeleton: skeleton of its keypoints.
        finds_all: whether one look at a whole image finds everybody in it. Where not, people are searched for in
            tiles and followed from frame to frame on crops (`nearfar.detection.search`).
    """

    name: str
    skeleton: Skeleton
    finds_all: bool

    def detect(self, image: Image, max_people: int) -> list[Detection]:
        """People in one image, at most `max_people`, largest first.

        Args:
            image: (H, W, 3) uint8 RGB.
            max_people: how many at most.

        Returns:
            Keypoints in pixels of the image. They may lie outside of it: the caller decides how far is too far.
        """
        ...

    def close(self) -> None:
        """Free the model."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def detector_names() -> tuple[str, ...]:
    """Names that `get_detector` knows."""
    return ("mediapipe", "rtmlib")


def get_detector(name: str | Detector) -> Detector:
    """A detector by name; a `Detector` is returned as it is.

    Raises:
        InputError: no such detector, its library is not installed, or its model cannot be had.
    """
    if not isinstance(name, str):
        return name
    if name == "mediapipe":
        from nearfar.detection.mediapipe import MediaPipeDetector

        return MediaPipeDetector()
    if name == "rtmlib":
        from nearfar.detection.rtmlib import RTMLibDetector

        return RTMLibDetector()
    raise InputError(f"no detector {name!r}; known: {', '.join(detector_names())}")


class Closing:
    """`with` for a class that has `close`."""

    def close(self) -> None:
        """Free what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
