"""Intrinsics from what people and files say: a focal length, a field of view, EXIF, a video's metadata.

Who is believed, in this order: the caller; the poses' own intrinsics; the image's or video's metadata. Where none says
anything, lifting assumes a field of view (`nearfar.camera.assumed_intrinsics`). `PoseSet.provenance` says which it was.
The principal point is taken to be the middle of the image, and pixels to be square.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.camera import check_field_of_view, check_intrinsics
from nearfar.errors import InputError
from nearfar.media import Metadata, media_metadata
from nearfar.poses import PoseSet, with_field_of_view, with_intrinsics

__all__ = ["Focal", "check_camera", "choose_intrinsics", "media_focal", "parse_focal", "with_focal"]

FILM_DIAGONAL = math.hypot(36, 24)
"""mm. A 35 mm equivalent focal length has the same field of view over the diagonal (CIPA DCG-001, 2005; Exif 2.32)."""
PLAUSIBLE_MM = (5.0, 2000.0)
"""35 mm equivalents beyond these are not believed."""
CROPPED = 0.02
"""Difference in aspect ratio from that of the picture as it was taken beyond which an image has been cropped."""
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # Exif FocalPlaneResolutionUnit


@dataclass(frozen=True)
class Focal:
    """A focal length.

    Attributes:
        amount: pixels, or mm.
        is_film: whether it is the 35 mm equivalent in mm, rather than pixels.
        source: who says so.
    """

    amount: float
    is_film: bool = False
    source: str = "given"

    def pixels(self, image_size: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """In pixels (...,) of images of (..., 2) width and height."""
        size = np.asarray(image_size, dtype=np.float64)
        if not self.is_film:
            return np.full(size.shape[:-1], self.amount)
        return np.asarray(self.amount / FILM_DIAGONAL * np.hypot(size[..., 0], size[..., 1]))

    def __str__(self) -> str:
        unit = "mm (35 mm equivalent)" if self.is_film else "px"
        return f"{self.source}: focal length {self.amount:g} {unit}"


def parse_focal(text: str) -> Focal:
    """A focal length as a person types it: ``1400`` or ``1400px``, or ``28mm``, the 35 mm equivalent.

    Raises:
        InputError: something else, or mm that no lens has.
    """
    parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(px|mm)?\s*", text)
    if parts is None or not 0 < float(parts[1]) < 1e7:
        raise InputError(f"focal length: expected pixels (1400) or the 35 mm equivalent (28mm), got {text!r}")
    focal = Focal(float(parts[1]), parts[2] == "mm")
    if focal.is_film and not PLAUSIBLE_MM[0] <= focal.amount <= PLAUSIBLE_MM[1]:
        raise InputError(f"focal length: expected {PLAUSIBLE_MM[0]:g} to {PLAUSIBLE_MM[1]:g} mm, got {text!r}")
    return focal


def with_focal(poses: PoseSet, focal: Focal) -> PoseSet:
    """The poses, seen by cameras of this focal length.

    Raises:
        InputError: the poses state no image size.
    """
    if poses.image_size is None:
        raise InputError("focal length: the poses state no image size: say it too")
    size = np.asarray(poses.image_size, dtype=np.float64)
    pixels = focal.pixels(size)
    intrinsics = np.stack([pixels, pixels, size[:, 0] / 2, size[:, 1] / 2], axis=-1).astype(np.float32)
    return dataclasses.replace(poses, intrinsics=intrinsics, provenance={**poses.provenance, "intrinsics": str(focal)})


def media_focal(path: str | Path) -> Focal | None:
    """The focal length that an image or a video states about itself, or None.

    Images: EXIF's ``FocalLengthIn35mmFilm``, or else ``FocalLength`` with the sensor's resolution
    (``FocalPlaneXResolution``), unless the picture's shape says that it was cropped since. Videos: QuickTime's
    ``com.apple.quicktime.camera.focal_length.35mm_equivalent``.

    Raises:
        InputError: the file cannot be read.
    """
    facts = media_metadata(path)
    focal = _exif_focal(facts) if facts.is_image else _quicktime_focal(facts)
    if focal is None or not (math.isfinite(focal.amount) and focal.amount > 0):
        return None
    film = focal.amount if focal.is_film else focal.amount * FILM_DIAGONAL / math.hypot(facts.width, facts.height)
    return focal if PLAUSIBLE_MM[0] <= film <= PLAUSIBLE_MM[1] else None


def _exif_focal(facts: Metadata) -> Focal | None:
    values = facts.values
    taken = [_number(values.get(name)) for name in ("PixelXDimension", "PixelYDimension")]
    long, short = max(facts.width, facts.height), min(facts.width, facts.height)
    if min(taken) > 0 and abs(math.log(max(taken) / min(taken) / (long / short))) > CROPPED:
        return None
    if (film := _number(values.get("FocalLengthIn35mmFilm"))) > 0:
        return Focal(film, is_film=True, source="EXIF")
    unit = _UNIT_MM.get(int(_number(values.get("FocalPlaneResolutionUnit")) or 2))
    a_mm = 0.0 if unit is None else _number(values.get("FocalPlaneXResolution")) / unit  # pixels a mm of the sensor
    pixels = _number(values.get("FocalLength")) * a_mm * (long / max(taken) if max(taken) > 0 else 1.0)
    return Focal(round(pixels, 1), source="EXIF") if pixels > 0 else None


def _quicktime_focal(facts: Metadata) -> Focal | None:
    film = _number(facts.values.get("com.apple.quicktime.camera.focal_length.35mm_equivalent"))
    return Focal(film, is_film=True, source="video metadata") if film > 0 else None


def _number(value: Any) -> float:
    """The value as a number; 0 for whatever is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def check_camera(intrinsics: npt.ArrayLike | None, focal: str | Focal | None, field_of_view: float | None) -> None:
    """Refuse what `choose_intrinsics` would refuse, before any work is done.

    Raises:
        InputError: more than one of the three, or one that cannot be.
    """
    if sum(value is not None for value in (intrinsics, focal, field_of_view)) > 1:
        raise InputError("say one of intrinsics, focal length and field of view, not several")
    if intrinsics is not None:
        check_intrinsics(intrinsics)
    if isinstance(focal, str):
        parse_focal(focal)
    if field_of_view is not None:
        check_field_of_view(field_of_view)


def choose_intrinsics(
    poses: PoseSet,
    *,
    intrinsics: npt.ArrayLike | None = None,
    focal: str | Focal | None = None,
    field_of_view: float | None = None,
    media: str | Path | None = None,
) -> PoseSet:
    """The poses with the best intrinsics that are to be had; without any where nobody says anything.

    Args:
        poses: poses with keypoints.
        intrinsics: (4,) fx, fy, cx, cy in pixels, as the caller knows them.
        focal: or a focal length, see `parse_focal`.
        field_of_view: or degrees along the longer side of the image.
        media: the image or video that the poses were found in, asked where the caller and the poses say nothing.

    Raises:
        InputError: more than one of the first three, or one that cannot be.
    """
    check_camera(intrinsics, focal, field_of_view)
    if intrinsics is not None:
        return with_intrinsics(poses, check_intrinsics(intrinsics))
    if focal is not None:
        return with_focal(poses, parse_focal(focal) if isinstance(focal, str) else focal)
    if field_of_view is not None:
        seen = with_field_of_view(poses, field_of_view)
        said = f"given: field of view {field_of_view:g} degrees along the longer image side"
        return dataclasses.replace(seen, provenance={**seen.provenance, "intrinsics": said})
    if poses.intrinsics is None and media is not None and poses.image_size is not None:
        found = media_focal(media)
        return poses if found is None else with_focal(poses, found)
    return poses
