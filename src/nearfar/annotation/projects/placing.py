"""Which joints of a pose can be asked about, and the part of its image that is shown: the person, with room around."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import PoseSet

__all__ = ["crop_boxes", "place_poses", "usable_joints"]

Array = npt.NDArray[Any]

MARGIN = 0.25
"""Room around the joints, as a share of the longer side of their box: joints lie inside of the body, below the hair."""

SMALLEST = 96
"""Pixels of a crop's sides, at least, where the image has as many."""


def crop_boxes(keypoints: Array, usable: Array, sizes: Array) -> Array:
    """Boxes around people.

    Args:
        keypoints: (N, J, 2) pixels.
        usable: (N, J) joints that count; at least one of each pose.
        sizes: (N, 2) width and height of the images.

    Returns:
        (N, 4) x, y, width, height in whole pixels, within the image.
    """
    points = np.asarray(keypoints, np.float64)
    low = np.where(usable[..., None], points, np.inf).min(axis=1)
    high = np.where(usable[..., None], points, -np.inf).max(axis=1)
    side = (high - low).max(axis=1, keepdims=True)
    wanted = np.maximum(high - low + 2 * MARGIN * side, SMALLEST)
    centre = (low + high) / 2
    start = np.floor(np.clip(centre - wanted / 2, 0, np.maximum(sizes - wanted, 0)))
    end = np.ceil(np.minimum(start + wanted, sizes))
    # A wide margin on one side must not push the joints of the other out.
    start, end = np.minimum(start, np.floor(low)), np.maximum(end, np.minimum(np.floor(high) + 1, sizes))
    return np.concatenate([start, end - start], axis=1).astype(np.int64)


def usable_joints(poses: PoseSet, sizes: Array) -> Array:
    """(N, J) joints that can be asked about: found, with a score above 0, within the image of (N, 2) pixels."""
    if poses.keypoints is None:
        raise InputError("keypoints: the poses have none")
    points = np.asarray(poses.keypoints)
    usable = np.isfinite(points).all(axis=-1)
    with np.errstate(invalid="ignore"):
        usable &= ((points >= 0) & (points < sizes[:, None])).all(axis=-1)
    if poses.scores is not None:
        usable &= np.asarray(poses.scores) > 0
    return np.asarray(usable)


def place_poses(poses: PoseSet, names: tuple[str, ...], image: Array, sizes: Array) -> tuple[PoseSet, Array, Array]:
    """The poses with their images' sizes, (N, J) usable joints and (N, 4) crops; `image` becomes -1 where too few are.

    Raises:
        InputError: keypoints that were found in images of another size.
    """
    seen = np.flatnonzero(image >= 0)
    if not len(seen):
        raise InputError("images: none of the poses was seen in one of them")
    size = np.zeros((len(poses), 2), np.int32)
    size[seen] = sizes[image[seen], 0]
    if poses.image_size is not None and (wrong := seen[(poses.image_size[seen] != size[seen]).any(axis=1)]).size:
        row = int(wrong[0])
        (width, height), said = sizes[image[row], 1], poses.image_size[row]
        hint = ""
        if (said == (width, height)).all():
            hint = ": they were found before it was turned upright by its EXIF orientation; turn the file itself first"
        raise InputError(
            f"{names[image[row]]}: is {size[row, 0]}x{size[row, 1]}, but its keypoints were found in an image of "
            f"{int(said[0])}x{int(said[1])}{hint} ({len(wrong)} of {len(seen)} poses)"
        )
    usable = np.zeros((len(poses), poses.skeleton.num_joints), bool)
    usable[seen] = usable_joints(poses.select(seen), size[seen])
    found = np.isfinite(np.asarray(poses.keypoints)[seen]).all(axis=-1)
    if poses.scores is not None:
        found &= np.asarray(poses.scores)[seen] > 0
    if not usable.any():
        raise InputError("keypoints: not one joint was found within its image")
    if usable.sum() < found.sum() / 2:
        raise InputError(
            f"keypoints: {found.sum() - usable.sum()} of {found.sum()} lie outside of their images: are they of images "
            "of another size?"
        )
    image[usable.sum(axis=1) < 2] = -1
    usable[image < 0] = False
    seen = np.flatnonzero(image >= 0)
    boxes = np.zeros((len(poses), 4), np.int64)
    boxes[seen] = crop_boxes(np.asarray(poses.keypoints)[seen], usable[seen], size[seen])
    if poses.image_size is None and (size > 0).all():
        poses = dataclasses.replace(poses, image_size=size)
    return poses, usable, boxes
