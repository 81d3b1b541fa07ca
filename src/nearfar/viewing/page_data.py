"""What the viewer holds of the poses: their data, packed small, in the axes of a scene.

docs/viewing.md describes the format.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.answer_noise import AnswerNoise
from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton
from nearfar.viewing.certainty import CERTAINTY_NOTE, order_certainty, weights_certainty
from nearfar.viewing.clip import Clip, clip_of
from nearfar.viewing.embed import EmbeddedMedia
from nearfar.viewing.style import joint_sides, limb_sides, spoken

__all__ = ["clip_data", "packed", "viewer_data", "viewer_template"]

Array = npt.NDArray[Any]

SCHEMA = "nearfar-viewer-3"
MISSING = -(2**31)
"""int32 code of a missing number."""

MILLIMETRES, PIXELS, SECONDS, SHARES = 1 / 8, 1 / 8, 1e-5, 1 / 255
"""Steps that the numbers of a page are rounded to."""


def viewer_data(
    poses: PoseSet,
    *,
    name: str = "prediction",
    compare: PoseSet | Mapping[str, PoseSet] | None = None,
) -> dict[str, Any]:
    """What the viewer shows of poses: the JSON-safe object that ``showClip`` takes in a page of your own.

    Args:
        poses: one clip or image, with joints (or only keypoints, shown in 2D).
        name: what they are called beside others.
        compare: other poses of the same frames, one set or several by name.

    Raises:
        InputError: no poses, several clips in one pose set, or others that cannot be compared.
    """
    return clip_data(clip_of(poses), poses, name, compare)


def viewer_template(skeleton: Skeleton, lifter: str | None = None) -> dict[str, Any]:
    """What a page that makes poses itself must know to show them: ``clipData`` of web/make.js adds the numbers.

    Args:
        skeleton: skeleton of the poses.
        lifter: name of the package's weights that make them, whose certainty is known; None for others.
    """
    return {
        "format": SCHEMA,
        "skeleton": _skeleton(skeleton),
        "certainty": _certainty(weights_certainty(lifter, skeleton)),
        "certaintyNote": CERTAINTY_NOTE,
    }


def clip_data(
    clip: Clip,
    poses: PoseSet,
    name: str,
    compare: PoseSet | Mapping[str, PoseSet] | None,
    media: EmbeddedMedia | None = None,
) -> dict[str, Any]:
    """As `viewer_data`, for poses that are laid out already, and media that travel with the page."""
    others = {"comparison": compare} if isinstance(compare, PoseSet) else dict(compare or {})
    sets = [] if clip.scene is None else [_set(name, clip.scene, poses)]
    for other_name, other in others.items():
        sets.append(_set(other_name, _beside(clip, other, other_name), other))
    time = clip.time if clip.timed or media is None or media.time is None else media.time
    size = media.size if media is not None else _frame_size(clip)
    return {
        "format": SCHEMA,
        "skeleton": _skeleton(clip.skeleton),
        "people": [int(person) for person in clip.person],
        "frameIndex": packed(clip.frame_index, 1),
        "time": packed(time, SECONDS),
        "mediaTime": None if media is None or media.time is None else packed(media.time - media.time[0], SECONDS),
        "sets": sets,
        "camera": clip.camera,
        "placed": clip.placed,
        "certaintyNote": CERTAINTY_NOTE,
        "keypoints": None if clip.keypoints is None else packed(clip.keypoints, PIXELS),
        "scores": None if clip.scores is None else packed(np.clip(np.nan_to_num(clip.scores), 0, 1), SHARES),
        "size": None if size is None else [float(v) for v in size],
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


def _skeleton(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "name": skeleton.name,
        "joints": [spoken(joint) for joint in skeleton.joints],
        "sides": list(joint_sides(skeleton)),
        "limbs": [
            [limb.parent, limb.child, side] for limb, side in zip(skeleton.limbs, limb_sides(skeleton), strict=True)
        ],
        "root": skeleton.root_index,
    }


def _set(name: str, scene: Array, poses: PoseSet) -> dict[str, Any]:
    return {"name": name, "position": packed(scene, MILLIMETRES), "certainty": _certainty(order_certainty(poses))}


def _certainty(models: Mapping[tuple[int, int], AnswerNoise]) -> list[list[float]]:
    return [[a, b, model.scale_mm, model.lapse] for (a, b), model in models.items()]


def _notes(clip: Clip, poses: PoseSet) -> list[str]:
    """What a careful reader should know about the picture."""
    notes = []
    if clip.camera and clip.scene is not None:
        notes.append(
            "Camera tilt unknown: the ground is drawn level with the image, below the lowest point of the clip."
        )
        if not clip.placed:
            notes.append("Where people stand is unknown: each is drawn around their own root.")
    if "level" in poses.provenance:
        notes.append("The camera's tilt and the floor are estimated from people who stand.")
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


def _frame_size(clip: Clip) -> Array | None:
    """Width and height to draw keypoints in: the image's, or room for all of them."""
    if clip.image_size is not None or clip.keypoints is None:
        return clip.image_size
    points = clip.keypoints[np.isfinite(clip.keypoints).all(axis=-1)]
    return np.ceil(np.maximum(points.max(axis=0) * 1.05, 1)) if len(points) else None
