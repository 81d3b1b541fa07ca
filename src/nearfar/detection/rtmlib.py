"""RTMPose (https://arxiv.org/abs/2303.07399) through rtmlib: a person detector and a top-down pose network in ONNX."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nearfar.detection.base import Closing, Detection, Image
from nearfar.errors import InputError
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["RTMLibDetector"]


class RTMLibDetector(Closing):
    """Finds people with rtmlib's `Body` (17 COCO joints) or `BodyWithFeet` (26 Halpe joints).

    Implements `nearfar.detection.Detector`. rtmlib downloads its weights itself at the first use. The score of a
    keypoint is RTMPose's, cut to 0..1.

    Args:
        skeleton: ``coco17`` or ``halpe26``.
        mode: rtmlib's ``lightweight``, ``balanced`` or ``performance``.
        device: ``cpu``, ``cuda`` or another that rtmlib knows.
        confidence: people whose mean keypoint score is lower are left out.
        solution: an rtmlib solution (``solution(image_bgr) -> (keypoints, scores)``) to use instead of a new one.

    Raises:
        InputError: rtmlib is not installed, or its weights cannot be had.
    """

    finds_all = True

    def __init__(
        self,
        skeleton: Literal["coco17", "halpe26"] = "halpe26",
        mode: str = "balanced",
        device: str = "cpu",
        confidence: float = 0.3,
        solution: Any = None,
    ) -> None:
        if skeleton not in ("coco17", "halpe26"):
            raise InputError(f"rtmlib's body models give coco17 or halpe26, not {skeleton!r}")
        self.skeleton: Skeleton = get_skeleton(skeleton)
        self.confidence = confidence
        self.name = f"rtmlib RTMPose {mode}, {skeleton}"
        self._solution = solution if solution is not None else _solution(skeleton, mode, device)

    def detect(self, image: Image, max_people: int) -> list[Detection]:
        """People in one image, at most `max_people`, largest first; keypoints in pixels of the image."""
        keypoints, scores = self._solution(np.ascontiguousarray(image[..., ::-1]))
        people = [
            Detection(points, sure, np.concatenate([points.min(axis=0), points.max(axis=0)]))
            for points, sure in zip(
                np.asarray(keypoints, np.float64).reshape(-1, self.skeleton.num_joints, 2),
                np.clip(np.asarray(scores, np.float64), 0.0, 1.0).reshape(-1, self.skeleton.num_joints),
                strict=True,
            )
        ]
        sure_people = [person for person in people if person.confidence >= self.confidence]
        return sorted(sure_people, key=lambda person: -person.size)[:max_people]


def _solution(skeleton: str, mode: str, device: str) -> Any:
    try:
        import rtmlib
    except ImportError:
        raise InputError('the rtmlib detector needs rtmlib: pip install "nearfar[rtmlib]"') from None
    kind = rtmlib.Body if skeleton == "coco17" else rtmlib.BodyWithFeet
    try:
        return kind(mode=mode, backend="onnxruntime", device=device)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"rtmlib could not load its models: {str(error).splitlines()[0]}") from None
