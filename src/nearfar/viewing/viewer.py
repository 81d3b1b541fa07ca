"""`write_viewer`: one HTML file that opens offline, with people in 3D beside the frames they were lifted from.

The page holds everything: markup, style, our own script (``web/``), the poses and a small copy of the media. Its
content security policy allows exactly that script and no request of any kind. docs/viewing.md describes the data.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import write_text
from nearfar.poses import PoseSet
from nearfar.viewing.clip import Clip, clip_of
from nearfar.viewing.embed import EmbeddedMedia, embed_media
from nearfar.viewing.page import content_hash, content_policy, fill, resource
from nearfar.viewing.style import joint_sides, limb_sides, spoken

__all__ = ["viewer_html", "write_viewer"]

Array = npt.NDArray[Any]

SCHEMA = "nearfar-viewer-1"
MISSING = -32768
"""int16 code of a missing coordinate."""

GROUND_SECONDS = 0.35
"""Seconds before and after a frame whose lowest joint the ground of that frame lies below: the flight of a jump."""

SCRIPTS = ("data.js", "scene.js", "source.js", "player.js", "viewer.js")
"""The page's modules, in the order in which they are joined into one."""


def write_viewer(
    poses: PoseSet,
    out_path: str | Path,
    *,
    media: str | Path | None = None,
    compare: PoseSet | Mapping[str, PoseSet] | None = None,
    title: str | None = None,
    name: str = "prediction",
) -> None:
    """Write one self-contained HTML file that shows a clip's frames and its people in 3D, and opens offline.

    Args:
        poses: one clip or image, with joints (or only keypoints, shown in 2D).
        out_path: the ``.html`` file to write.
        media: the image or video that the poses were found in; without it the keypoints are drawn alone.
        compare: other poses of the same frames, one set or several by name (another model's, the truth). They are
            drawn in the same place, root on root, so that shapes can be compared; people go by their order.
        title: heading of the page.
        name: what `poses` are called beside `compare`.

    Raises:
        InputError: several clips in one pose set, a comparison on a skeleton that cannot be brought to that of
            `poses`, unreadable media, media without the poses' frames, or a file that cannot be written.
    """
    write_text(out_path, viewer_html(poses, media=media, compare=compare, title=title, name=name))


def viewer_html(
    poses: PoseSet,
    *,
    media: str | Path | None = None,
    compare: PoseSet | Mapping[str, PoseSet] | None = None,
    title: str | None = None,
    name: str = "prediction",
) -> str:
    """The page of `write_viewer` as text, for embedding (a report, an ``iframe srcdoc``)."""
    clip = clip_of(poses)
    others = {"comparison": compare} if isinstance(compare, PoseSet) else dict(compare or {})
    embedded = None if media is None else embed_media(media, clip.frame_index)
    heading = title or (Path(media).name if media is not None else "3D poses")
    data = _page_data(clip, poses, name, others, embedded)
    script, style = viewer_script(), resource("viewer.css")
    return fill(
        resource("viewer.html"),
        {
            "TITLE": html.escape(heading),
            "POLICY": html.escape(content_policy(scripts=[content_hash(script)], styles=[content_hash(style)])),
            "STYLE": style,
            "DATA": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
            "MEDIA": "" if embedded is None else base64.b64encode(embedded.data).decode("ascii"),
            "SCRIPT": script,
        },
    )


def viewer_script() -> str:
    """The page's modules joined into one: imports from each other and the word ``export`` fall away."""
    joined = "\n".join(resource(name) for name in SCRIPTS)
    joined = re.sub(r'^import [^;]*? from "\./[a-z]+\.js";\n', "", joined, flags=re.MULTILINE)
    return re.sub(r"^export (?=(class|const|function) )", "", joined, flags=re.MULTILINE)


def _page_data(
    clip: Clip,
    poses: PoseSet,
    name: str,
    others: Mapping[str, PoseSet],
    embedded: EmbeddedMedia | None,
) -> dict[str, Any]:
    skeleton = clip.skeleton
    sets = [] if clip.scene is None else [_encode_joints(name, clip.scene, clip.roots)]
    for other_name, other in others.items():
        scene = _beside(clip, other, other_name)
        sets.append(_encode_joints(other_name, scene, scene[:, :, skeleton.root_index]))
    time = clip.time
    if not clip.timed and embedded is not None and embedded.time is not None:
        time = embedded.time
    size = embedded.size if embedded is not None else _frame_size(clip)
    return {
        "format": SCHEMA,
        "skeleton": skeleton.name,
        "joints": [spoken(joint) for joint in skeleton.joints],
        "jointSides": list(joint_sides(skeleton)),
        "limbs": [
            [limb.parent, limb.child, side] for limb, side in zip(skeleton.limbs, limb_sides(skeleton), strict=True)
        ],
        "people": [int(person) for person in clip.person],
        "frameIndex": [int(number) for number in clip.frame_index],
        "time": [round(float(t), 6) for t in time],
        "mediaTime": None if embedded is None or embedded.time is None else (embedded.time - embedded.time[0]).tolist(),
        "sets": sets,
        **_ground(clip.scene, clip.time),
        "camera": clip.camera,
        "placed": clip.placed,
        "keypoints": None if clip.keypoints is None else _quantise(clip.keypoints),
        "scores": None if clip.scores is None else _encode_scores(clip.scores),
        "size": None if size is None else [float(v) for v in size],
        "media": None if embedded is None else {"kind": embedded.kind, "mime": embedded.mime},
        "notes": _notes(clip, poses),
    }


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
    people = min(clip.scene.shape[1], theirs.scene.shape[1])
    scene = np.full(clip.scene.shape, np.nan)
    scene[ours_at, :people] = theirs.scene[theirs_at, :people]
    offset = _filled(clip.roots) - scene[:, :, clip.skeleton.root_index]
    return np.asarray(scene + offset[:, :, None])


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
        return {"ground": 0.0, "groundAt": []}
    lowest = np.where(np.isfinite(scene[..., 1]), scene[..., 1], np.inf).min(axis=2)
    level = float(np.percentile(lowest.min(axis=1)[np.isfinite(lowest).any(axis=1)], 1))
    first, last = (np.searchsorted(time, time + reach) for reach in (-GROUND_SECONDS, GROUND_SECONDS))
    moments = [slice(i, max(j, i + 1)) for i, j in zip(first, last, strict=True)]
    below = np.stack([lowest[rows].min(axis=0) for rows in moments])
    below = np.where(np.isfinite(below), below, level)
    smooth = np.stack([below[rows].mean(axis=0) for rows in moments])
    return {"ground": round(level, 1), "groundAt": np.round(smooth.T, 1).tolist()}


def _frame_size(clip: Clip) -> Array | None:
    """Width and height to draw keypoints in: the image's, or room for all of them."""
    if clip.image_size is not None or clip.keypoints is None:
        return clip.image_size
    points = clip.keypoints[np.isfinite(clip.keypoints).all(axis=-1)]
    return np.ceil(np.maximum(points.max(axis=0) * 1.05, 1)) if len(points) else None


def _encode_joints(name: str, scene: Array, roots: Array) -> dict[str, Any]:
    """A scene as float32 roots (F, P, 3) and int16 offsets (F, P, J, 3) from them."""
    return {
        "name": name,
        "roots": _base64(roots.astype("<f4")),
        "offsets": _quantise(scene - roots[:, :, None]),
    }


def _quantise(values: Array) -> dict[str, Any]:
    """int16 codes and the step that multiplies them; `MISSING` where a value is NaN."""
    finite = np.isfinite(values)
    largest = float(np.abs(values[finite]).max()) if finite.any() else 1.0
    step = max(largest, 1e-6) / 32767
    codes = np.where(finite, np.round(np.where(finite, values, 0) / step), MISSING)
    return {"step": step, "codes": _base64(codes.astype("<i2"))}


def _encode_scores(scores: Array) -> str:
    return _base64(np.round(np.clip(np.nan_to_num(scores), 0, 1) * 255).astype(np.uint8))


def _base64(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
