"""Cameras around the synthetic people: distance, height, roll, lens, principal point and image size, all varied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Cameras", "sample_cameras"]

Array = npt.NDArray[Any]

DISTANCE = (2500.0, 8000.0)
HEIGHT = (300.0, 2600.0)
FIELD_OF_VIEW = (25.0, 75.0)

_IMAGE_SIZES = np.array([[1000, 1000], [1920, 1080], [1280, 720], [1080, 1920], [640, 480]])
_IMAGE_SHARE = (0.4, 0.2, 0.15, 0.15, 0.1)
_MUST_FIT = (1500.0, 2000.0)  # mm of the world, across and along the image, that a lens shows at the person


@dataclass(frozen=True)
class Cameras:
    """Cameras, one a row.

    Attributes:
        rotation: (N, 3, 3) R of p_cam = R (p_world − c).
        centre: (N, 3) c, mm.
        intrinsics: (N, 4) fx, fy, cx, cy in pixels.
        image_size: (N, 2) width, height in pixels.
    """

    rotation: Array
    centre: Array
    intrinsics: Array
    image_size: Array


def sample_cameras(rng: np.random.Generator, clips: int, views: int, aim_height: Array) -> Cameras:
    """Draw `views` cameras for each clip, spread evenly around the origin (within 20 degrees), row = clip, view.

    Distances are uniform over 2.5 to 8 m. Two thirds of the cameras are held at chest to eye height, the others
    anywhere from 0.3 to 2.6 m. The field of view is uniform from what shows the person to 75 degrees along the longer
    side (never under 25). The aim is within some 15 cm of the person's middle, the roll has a deviation of 3 degrees.

    Args:
        rng: source of randomness.
        clips: C.
        views: V.
        aim_height: (C,) mm above the floor that the cameras look at.
    """
    n = clips * views
    first = np.repeat(rng.uniform(0, 2 * np.pi, clips), views)
    azimuth = first + np.tile(np.arange(views), clips) * 2 * np.pi / views + np.deg2rad(rng.uniform(-20, 20, n))
    distance = rng.uniform(*DISTANCE, n)
    height = np.where(rng.random(n) < 0.65, np.clip(rng.normal(1400, 250, n), *HEIGHT), rng.uniform(*HEIGHT, n))
    centre = np.stack([distance * np.cos(azimuth), distance * np.sin(azimuth), height], axis=-1)
    aim = rng.normal(0, 120, (n, 3))
    aim[:, 2] += np.repeat(aim_height, views)
    forward = aim - centre
    forward /= np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(forward, right)
    roll = np.deg2rad(np.clip(rng.normal(0, 3, n), -10, 10))[:, None]
    rotation = np.stack(
        [np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right, forward], axis=1
    )
    image_size = _IMAGE_SIZES[rng.choice(len(_IMAGE_SIZES), n, p=_IMAGE_SHARE)].astype(np.float64)
    longest = distance * (image_size / _MUST_FIT).min(axis=-1)  # focal length in pixels that still shows the person
    side = image_size.max(axis=-1)
    narrow = np.clip(2 * np.rad2deg(np.arctan(side / 2 / longest)), *FIELD_OF_VIEW)
    focal = side / 2 / np.tan(np.deg2rad(rng.uniform(narrow, FIELD_OF_VIEW[1])) / 2)
    principal = image_size / 2 + 0.02 * side[:, None] * rng.uniform(-1, 1, (n, 2))
    intrinsics = np.concatenate([np.stack([focal, focal], axis=-1), principal], axis=-1)
    return Cameras(rotation, centre, intrinsics, image_size)
