"""What the viewer's page holds of the poses: their data, packed small, in the axes of a scene.

docs/viewing.md describes the format.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.viewing.certainty import CERTAINTY_NOTE, order_certainty
from nearfar.viewing.clip import Clip, clip_of
from nearfar.viewing.embed import EmbeddedMedia
from nearfar.viewing.style import joint_sides, limb_sides, spoken

__all__ = ["packed", "page_data"]

Array = npt.NDArray[Any]

SCHEMA = "nearfar-viewer-2"
MISSING = -(2**31)
"""int32 code of a missing number."""

MILLIMETRES, PIXELS, SECONDS, SHARES = 1 / 8, 1 / 8, 1e-5, 1 / 255
"""Steps that the numbers of a page are rounded to."""

GROUND_SECONDS = 0.35
"""Seconds before and after a frame whose lowest joint the ground of that frame lies below: the flight of a jump."""


def page_data(
    clip: Clip,
    poses: PoseSet,
    name: str,
    others: Mapping[str, PoseSet],
    media: EmbeddedMedia | None,
) -> dict[str, Any]:
    """The object in the page (JSON-safe).

    Args:
        clip: the poses, laid out.
        poses: the same, as they came.
        name: what they are called beside others.
        others: poses of the same frames to compare with, by name.
        media: frames that travel with the page.

    Raises:
        InputError: others that cannot be compared.
    """
    skeleton = clip.skeleton
    sets = [] if clip.scene is None else [_set(name, clip.scene, poses)]
    for other_name, other in others.items():
        sets.append(_set(other_name, _beside(clip, other, other_name), other))
    time = clip.time if clip.timed or media is None or media.time is None else media.time
    size = media.size if media is not None else _frame_size(clip)
    return {
        "format": SCHEMA,
        "skeleton": skeleton.name,
        "joints": [spoken(joint) for joint in skeleton.joints],
        "jointSides": list(joint_sides(skeleton)),
        "root": skeleton.root_index,
        "limbs": [
            [limb.parent, limb.child, side] for limb, side in zip(skeleton.limbs, limb_sides(skeleton), strict=True)
        ],
        "people": [int(person) for person in clip.person],
        "frameIndex": packed(clip.frame_index, 1),
        "time": packed(time, SECONDS),
        "mediaTime": None if media is None or media.time is None else packed(media.time - media.time[0], SECONDS),
        "sets": sets,
        **_ground(clip.scene, clip.time),
        "camera": clip.camera,
        "placed": clip.placed,
        "certaintyNote": CERTAINTY_NOTE,
        "keypoints": None if clip.keypoints is None else packed(clip.keypoints, PIXELS),
        "scores": None if clip.scores is None else packed(np.clip(np.nan_to_num(clip.scores), 0, 1), SHARES),
        "size": None if size is None else [float(v) for v in size],
        "media": None if media is None else {"kind": media.kind, "mime": media.mime},
        "notes": _notes(clip, poses),
    }


def packed(values: Array, step: float) -> dict[str, Any]:
    """Numbers (F, ...) rounded to whole steps, as the page reads them.

    The int32 codes of each column are replaced by their changes from frame to frame (the first from 0, modulo 2^32),
    written as four planes of bytes, lowest first, each column by column, and deflated: motion changes little from one
    frame to the next, so most bytes are 0. A missing number is the code -2^31. Steps grow where numbers are too large.
    """
    flat = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    finite = np.isfinite(flat)
    step = max(step, float(np.abs(flat[finite]).max(initial=0)) / 2**30)
    codes = np.where(finite, np.round(np.where(finite, flat, 0) / step), MISSING).astype(np.int64)
    changes = np.diff(codes, axis=0, prepend=0).astype(np.uint32).astype("<u4").T
    planes = np.ascontiguousarray(changes).view(np.uint8).reshape(-1, 4).T
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(planes).tobytes(), 9)).decode("ascii")
    return {"shape": list(np.shape(values)), "step": step, "data": data}


def _set(name: str, scene: Array, poses: PoseSet) -> dict[str, Any]:
    certainty = [[a, b, model.scale_mm, model.lapse] for (a, b), model in order_certainty(poses).items()]
    return {"name": name, "position": packed(scene, MILLIMETRES), "certainty": certainty}


def _notes(clip: Clip, poses: PoseSet) -> list[str]:
    """What a careful reader should know about the picture."""
    notes = []
    if clip.camera and clip.scene is not None:
        notes.append(
            "Camera tilt unknown: the ground is drawn level with the image, below the lowest point of the clip."
        )
        if not clip.placed:
            notes.append("Where people stand is unknown: each is drawn around their own root.")
    if "intrinsics" in poses.provenance:
        notes.append(f"Intrinsics: {poses.provenance['intrinsics']}.")
    if clip.scores is not None:
        notes.append("Fainter joints have lower detection scores.")
    return notes


def _beside(clip: Clip, other: PoseSet, name: str) -> Array:
    """(F, P, J, 3) scene of another pose set on the frames and people of `clip`, root on root."""
    try:
        theirs = clip_of(other.remap(clip.skeleton))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    if theirs.scene is None or clip.scene is None:
        raise InputError(f"{name}: comparing needs 3D joints in both pose sets")
    _, ours_at, theirs_at = np.intersect1d(clip.frame_index, theirs.frame_index, return_indices=True)
    if not len(ours_at):
        raise InputError(f"{name}: it has no frame in common with the poses")
    people, others = _same_people(clip.person, theirs.person)
    scene = np.full(clip.scene.shape, np.nan)
    scene[np.ix_(ours_at, people)] = theirs.scene[np.ix_(theirs_at, others)]
    offset = _filled(clip.roots) - scene[:, :, clip.skeleton.root_index]
    return np.asarray(scene + offset[:, :, None])


def _same_people(ours: Array, theirs: Array) -> tuple[Array, Array]:
    """Which of our people is which of theirs: by identity where any is in both, else by order."""
    _, first, second = np.intersect1d(ours, theirs, return_indices=True)
    if len(first):
        return first, second
    common = np.arange(min(len(ours), len(theirs)))
    return common, common


def _filled(path: Array) -> Array:
    """(F, P, 3) paths with gaps filled in a straight line; NaN for people who never appear."""
    filled = path.copy()
    frames = np.arange(len(path))
    for person in range(path.shape[1]):
        seen = np.isfinite(path[:, person]).all(axis=1)
        if seen.any():
            for axis in range(3):
                filled[:, person, axis] = np.interp(frames, frames[seen], path[seen, person, axis])
    return filled


def _ground(scene: Array | None, time: Array) -> dict[str, Any]:
    """Height of the ground in mm: for the whole clip, just below its lowest joint, and below each person in each frame.

    The latter lies below the person's lowest joint of the moments around the frame, so that people who walk before a
    tilted camera keep their feet on it.
    """
    if scene is None or not np.isfinite(scene[..., 1]).any():
        return {"ground": 0.0, "groundAt": None}
    lowest = np.where(np.isfinite(scene[..., 1]), scene[..., 1], np.inf).min(axis=2)
    level = float(np.percentile(lowest.min(axis=1)[np.isfinite(lowest).any(axis=1)], 1))
    first, last = (np.searchsorted(time, time + reach) for reach in (-GROUND_SECONDS, GROUND_SECONDS))
    moments = [slice(i, max(j, i + 1)) for i, j in zip(first, last, strict=True)]
    below = np.stack([lowest[rows].min(axis=0) for rows in moments])
    below = np.where(np.isfinite(below), below, level)
    smooth = np.stack([below[rows].mean(axis=0) for rows in moments])
    return {"ground": round(level, 1), "groundAt": packed(smooth, 1)}


def _frame_size(clip: Clip) -> Array | None:
    """Width and height to draw keypoints in: the image's, or room for all of them."""
    if clip.image_size is not None or clip.keypoints is None:
        return clip.image_size
    points = clip.keypoints[np.isfinite(clip.keypoints).all(axis=-1)]
    return np.ceil(np.maximum(points.max(axis=0) * 1.05, 1)) if len(points) else None
