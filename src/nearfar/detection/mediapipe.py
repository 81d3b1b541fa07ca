"""MediaPipe's PoseLandmarker (BlazePose, https://arxiv.org/abs/2006.10204): 33 landmarks a person."""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.detection.base import Closing, Detection, Image
from nearfar.detection.models import fetch_model, model_path
from nearfar.errors import InputError
from nearfar.skeleton import get_skeleton
from nearfar.tracking import suppress_duplicates

__all__ = ["MediaPipeDetector"]

MOST_PEOPLE = 8
"""How many poses the model is asked for in one look. It seldom finds more than two."""


class MediaPipeDetector(Closing):
    """Finds people with MediaPipe's PoseLandmarker, one image at a time. Implements `nearfar.detection.Detector`.

    The score of a keypoint is MediaPipe's visibility: how likely the joint is in the image and not hidden. Positions
    of hidden joints are the model's guess, and are kept.

    Args:
        model: a ``.task`` file; None: the one in the user's cache, fetched at the first use.
        confidence: least confidence in a person, both that one is there and that the landmarks fit.

    Raises:
        InputError: mediapipe is not installed, or the model cannot be had or read.
    """

    skeleton = get_skeleton("mediapipe33")
    finds_all = False

    def __init__(self, model: str | Path | None = None, confidence: float = 0.5) -> None:
        path = Path(model) if model is not None else _cached_model()
        if not path.is_file():
            raise InputError(f"{path}: no such model file")
        with _quiet():
            self._mediapipe = _import_mediapipe()
            self._landmarker = self._load(path, confidence)
        self._close = weakref.finalize(self, _close, self._landmarker)
        self.name = f"mediapipe {self._mediapipe.__version__}, {path.stem}"
        self._warm = False

    def _load(self, path: Path, confidence: float) -> Any:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            num_poses=MOST_PEOPLE,
            min_pose_detection_confidence=confidence,
            min_pose_presence_confidence=confidence,
        )
        try:
            return vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"{path}: MediaPipe cannot load this model ({str(error).splitlines()[0]})") from None

    def detect(self, image: Image, max_people: int) -> list[Detection]:
        """People in one image, at most `max_people` (and 8), largest first; keypoints in pixels of the image."""
        side = max(image.shape[:2])
        # MediaPipe turns a person upright as if the image were square; in another shape it slants them.
        square = np.zeros((side, side, 3), np.uint8)
        square[: image.shape[0], : image.shape[1]] = image
        packed = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=square)
        if self._warm:
            poses = self._landmarker.detect(packed).pose_landmarks
        else:
            with _quiet():  # both networks say something on their first run
                poses = self._landmarker.detect(packed).pose_landmarks
            self._warm = bool(poses)
        people = suppress_duplicates(_detection(landmarks, side) for landmarks in poses)
        return sorted(people, key=lambda person: -person.size)[:max_people]

    def close(self) -> None:
        """Free the model."""
        self._close()


def _close(landmarker: Any) -> None:
    with _quiet():
        landmarker.close()


def _cached_model() -> Path:
    path = model_path("pose")
    return path if path.is_file() else fetch_model()


def _import_mediapipe() -> Any:
    try:
        import mediapipe
    except ImportError:
        raise InputError('the mediapipe detector needs mediapipe: pip install "nearfar[mediapipe]"') from None
    return mediapipe


def _detection(landmarks: Any, side: int) -> Detection:
    values = np.array([[point.x, point.y, point.visibility] for point in landmarks], dtype=np.float64)
    keypoints = values[:, :2] * side
    box = np.concatenate([keypoints.min(axis=0), keypoints.max(axis=0)])
    return Detection(keypoints, np.clip(values[:, 2], 0.0, 1.0), box)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what native code writes to stderr (mostly about itself) off the user's terminal."""
    sys.stderr.flush()
    try:
        terminal = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
