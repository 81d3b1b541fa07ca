"""Cameras of MPI-INF-3DHP: the text files of the training set, and the two cameras of the test set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.camera import check_intrinsics
from nearfar.errors import InputError
from nearfar.files import read_text

__all__ = ["TEST_CAMERAS", "Calibration", "SensorCamera", "read_calibration"]

FloatArray = npt.NDArray[np.floating[Any]]

_TITLE = "Skeletool Camera Calibration File V1.0"
_COUNTS = {"size": 2, "intrinsic": 16, "extrinsic": 16}
"""The lines of a camera that are used, and how many numbers each has."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """The cameras of one training sequence.

    Attributes:
        intrinsics: camera number -> (4,) fx, fy, cx, cy in pixels.
        image_size: camera number -> (2,) width and height in pixels.
        rotation: camera number -> (3, 3) R of p_cam = R (p_world − c).
        centre: camera number -> (3,) c in mm. The world's y axis points up, as published.
    """

    intrinsics: Mapping[int, FloatArray]
    image_size: Mapping[int, FloatArray]
    rotation: Mapping[int, FloatArray]
    centre: Mapping[int, FloatArray]


def read_calibration(path: str | Path) -> Calibration:
    """Read a ``camera.calibration`` file, a block of lines (name, sensor, size, …, radial) for each camera.

    Intrinsics and extrinsics are 4 x 4 matrices, row after row; the latter are R and t of p_cam = R p + t, in mm. The
    published files say "radial 0": the images have no distortion.

    Raises:
        InputError: no such file, not such a file, or a camera without one of the lines.
    """
    path = Path(path)
    title, *lines = read_text(path).splitlines()
    if title.strip() != _TITLE:
        raise InputError(f"{path}: line 1: expected {_TITLE!r}, got {title[:60]!r}")
    cameras: dict[int, dict[str, FloatArray]] = {}
    current: dict[str, FloatArray] | None = None
    for number, line in enumerate(lines, start=2):
        key, *words = line.split() or [""]
        where = f"{path}: line {number}: {key}"
        if key == "name":
            if len(words) != 1 or not words[0].isdecimal() or len(words[0]) > 4 or int(words[0]) in cameras:
                raise InputError(f"{where}: expected a new camera number, got {' '.join(words)[:60]!r}")
            current = cameras[int(words[0])] = {}
        elif key in _COUNTS:
            if current is None:
                raise InputError(f"{where}: expected the name of a camera first")
            current[key] = _numbers(words, _COUNTS[key], where)
    for name, camera in cameras.items():
        if missing := sorted(_COUNTS.keys() - camera.keys()):
            raise InputError(f"{path}: camera {name}: missing {missing}")
    matrices = {name: camera["extrinsic"].reshape(4, 4) for name, camera in cameras.items()}
    for name, matrix in matrices.items():
        if not np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-3):
            raise InputError(f"{path}: camera {name}: extrinsic: expected a rotation")
    try:
        intrinsics = {name: check_intrinsics(camera["intrinsic"][[0, 5, 2, 6]]) for name, camera in cameras.items()}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Calibration(
        intrinsics=intrinsics,
        image_size={name: camera["size"] for name, camera in cameras.items()},
        rotation={name: matrix[:3, :3] for name, matrix in matrices.items()},
        centre={name: -matrix[:3, :3].T @ matrix[:3, 3] for name, matrix in matrices.items()},
    )


def _numbers(words: list[str], count: int, where: str) -> FloatArray:
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        numbers = np.array([np.nan])
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(f"{where}: expected {count} numbers, got {' '.join(words)[:60]!r}")
    return numbers


@dataclass(frozen=True)
class SensorCamera:
    """A camera of the test set, as its ``test_util/camera_calibration/*.calib`` files state it.

    Attributes:
        image_size: width and height in pixels.
        sensor: width and height in mm.
        focal_length: mm.
        pixel_aspect: height of a pixel in the focal length's measure.
        centre_offset: of the principal point from the middle of the sensor, mm.
    """

    image_size: tuple[int, int]
    sensor: tuple[float, float]
    focal_length: float
    pixel_aspect: float
    centre_offset: tuple[float, float]

    @property
    def intrinsics(self) -> FloatArray:
        """(4,) fx, fy, cx, cy in pixels; the aspect concerns fy alone."""
        scale = np.array(self.image_size) / np.array(self.sensor)
        centre = np.array(self.sensor) / 2 + np.array(self.centre_offset)
        return np.concatenate([scale * self.focal_length * np.array([1.0, self.pixel_aspect]), scale * centre])


_STUDIO = SensorCamera((2048, 2048), (10.0, 10.0), 7.32506, 1.00044, (-0.0322884, 0.0929296))
_OUTDOORS = SensorCamera((1920, 1080), (10.0, 5.625), 8.770747185, 0.993236423, (-0.104908645, 0.104899704))

TEST_CAMERAS: Mapping[str, SensorCamera] = {f"TS{i}": _STUDIO if i <= 4 else _OUTDOORS for i in range(1, 7)}
"""By test sequence. That of TS5 and TS6 has a lens distortion, which the annotations are used without."""
