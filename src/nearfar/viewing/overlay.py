"""2D skeletons drawn on the frames that they were found in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nearfar.ahead import ahead
from nearfar.errors import InputError
from nearfar.files import replacing
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton
from nearfar.viewing.clip import DEFAULT_RATE, Clip, clip_of
from nearfar.viewing.style import LEFT, PEOPLE, RIGHT, joint_sides, limb_sides

if TYPE_CHECKING:
    from PIL import Image as PillowImage
    from PIL import ImageDraw as PillowDraw

__all__ = ["draw_frame", "draw_overlay", "write_overlay"]

Array = npt.NDArray[Any]

SUPERSAMPLE = 3
FAINTEST = 0.2
"""Opacity of a joint of score 0 that has a place all the same."""

EDGE = "#101418"
INSET_HEIGHT_MM = 2000.0
INSET_TURN = np.deg2rad(55.0)
INSET_PEOPLE = 3


def draw_overlay(
    image: npt.NDArray[np.uint8],
    keypoints: npt.ArrayLike,
    scores: npt.ArrayLike | None,
    skeleton: Skeleton,
    *,
    labels: Sequence[str] | None = None,
    line_width: float | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw the skeletons of P people on an image: the person's left blue, the right vermilion, the middle by person.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        keypoints: (P, J, 2) pixels, or (J, 2) for one person; NaN joints are left out.
        scores: (P, J) or (J,) detection scores in 0..1: the lower, the fainter; None draws everything solid.
        skeleton: skeleton of the J joints.
        labels: P names written above the heads; by default 0, 1, ... when there are several people.
        line_width: pixels; by default from the image's size.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        InputError: an image, keypoints or scores of another shape.
    """
    frame = _checked_image(image)
    points, opacity = _checked_people(keypoints, scores, skeleton)
    width = line_width or max(2.0, np.hypot(*frame.shape[:2]) / 380)
    if labels is None and len(points) > 1:
        labels = [str(i) for i in range(len(points))]
    out = frame.copy()
    for i, (person, alpha) in enumerate(zip(points, opacity, strict=True)):
        seen = np.isfinite(person).all(axis=1)
        if seen.any():
            label = labels[i] if labels else None
            _draw_person(out, person, np.where(seen, alpha, 0), skeleton, PEOPLE[i % len(PEOPLE)], label, width)
    return out


def write_overlay(
    poses: PoseSet,
    media_path: str | Path,
    out_path: str | Path,
    *,
    inset: bool = True,
) -> None:
    """Draw the keypoints of a clip on its own frames: an MP4 for a video, a PNG or JPEG for an image.

    Frames without a pose pass through as they are. Where the poses have 3D joints, a small panel shows them turned
    sideways, so that depth can be seen.

    Args:
        poses: one clip, with keypoints; `frame_index` counts the frames of the media from 0.
        media_path: the image or video that the poses were found in.
        out_path: where to write; the suffix decides the format of an image.
        inset: draw the panel with the 3D poses.

    Raises:
        InputError: no keypoints, several clips, unreadable media, media without the poses' frames, or a file that
            cannot be written.
    """
    from tqdm import tqdm

    from nearfar.media import VideoWriter, is_image, media_info, read_frames

    if poses.keypoints is None:
        raise InputError("overlay: the poses have no 2D keypoints to draw")
    clip = clip_of(poses)
    if is_image(media_path):
        frame = next(iter(read_frames(media_path)))
        _save_image(out_path, draw_frame(frame.image, clip, 0, inset=inset))
        return
    row_of = {int(number): row for row, number in enumerate(clip.frame_index)}
    info, drawn = media_info(media_path), 0
    with VideoWriter(out_path, info.fps or DEFAULT_RATE) as writer:
        frames = ahead(read_frames(media_path))
        for frame in tqdm(frames, "overlay", info.frames, unit="frame", leave=False, disable=None):
            row = row_of.get(frame.index)
            drawn += row is not None
            image = frame.image if row is None else draw_frame(frame.image, clip, row, inset=inset)
            writer.write(image, frame.time_s)
        if not drawn:
            raise InputError(f"{media_path}: has none of the poses' frames ({min(row_of)}..{max(row_of)})")


def draw_frame(image: npt.NDArray[np.uint8], clip: Clip, row: int, *, inset: bool = True) -> npt.NDArray[np.uint8]:
    """Draw everybody in frame number `row` of a clip with keypoints, and the panel with their 3D poses."""
    if clip.keypoints is None:
        raise InputError("overlay: the poses have no 2D keypoints to draw")
    labels = [str(number) for number in clip.person] if len(clip.person) > 1 else None
    scores = None if clip.scores is None else clip.scores[row]
    out = draw_overlay(image, clip.keypoints[row], scores, clip.skeleton, labels=labels)
    if inset and clip.scene is not None:
        _draw_inset(out, clip.scene[row], clip.roots[row], clip.skeleton, labels)
    return out


def _checked_image(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    frame = np.asarray(image)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise InputError(f"overlay: expected an (H, W, 3) uint8 RGB image, got {frame.dtype} of shape {frame.shape}")
    return frame


def _checked_people(keypoints: npt.ArrayLike, scores: npt.ArrayLike | None, skeleton: Skeleton) -> tuple[Array, Array]:
    points = np.asarray(keypoints, dtype=np.float64)
    points = points[None] if points.ndim == 2 else points
    j = skeleton.num_joints
    if points.ndim != 3 or points.shape[1:] != (j, 2):
        raise InputError(f"overlay: expected (P, {j}, 2) keypoints of {skeleton.name!r}, got shape {points.shape}")
    if scores is None:
        return points, np.ones(points.shape[:2])
    opacity = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if opacity.shape != points.shape[:2]:
        raise InputError(f"overlay: expected scores of shape {points.shape[:2]}, got {opacity.shape}")
    return points, FAINTEST + (1 - FAINTEST) * np.clip(np.nan_to_num(opacity), 0, 1)


def _draw_person(
    image: npt.NDArray[np.uint8],
    points: Array,
    opacity: Array,
    skeleton: Skeleton,
    colour: str,
    label: str | None,
    width: float,
) -> None:
    """Draw one person in place, on an enlarged copy of the part of the image around them."""
    from PIL import Image

    height, full_width = image.shape[:2]
    seen = opacity > 0
    margin = width * (12 if label else 4)
    low = np.floor(np.clip(points[seen].min(axis=0) - margin, 0, None)).astype(int)
    high = np.ceil(np.minimum(points[seen].max(axis=0) + margin, (full_width, height))).astype(int)
    if (high <= low).any():
        return
    (x0, y0), (x1, y1) = low, high
    canvas, draw = _enlarged(Image.fromarray(image[y0:y1, x0:x1]))
    place = (points - low) * SUPERSAMPLE
    _strokes(draw, place, opacity, skeleton, colour, width * SUPERSAMPLE)
    if label:
        top = place[seen][np.argmin(place[seen][:, 1])]
        _tag(draw, (top[0], top[1] - 5 * width * SUPERSAMPLE), label, colour, width * SUPERSAMPLE)
    image[y0:y1, x0:x1] = np.asarray(canvas.reduce(SUPERSAMPLE))


def _enlarged(part: PillowImage.Image) -> tuple[PillowImage.Image, PillowDraw.ImageDraw]:
    from PIL import Image, ImageDraw

    canvas = part.resize((part.width * SUPERSAMPLE, part.height * SUPERSAMPLE), Image.Resampling.NEAREST)
    return canvas, ImageDraw.Draw(canvas, "RGBA")


@lru_cache(maxsize=8)  # the same in all frames of a clip with as many people
def _card(part: tuple[int, int], size: tuple[float, float]) -> PillowImage.Image:
    """How dark a panel is, of a part of an image and of this size enlarged: a rectangle with round corners."""
    from PIL import Image, ImageDraw

    mask = Image.new("L", (part[0] * SUPERSAMPLE, part[1] * SUPERSAMPLE))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), 0.04 * size[1], fill=round(0.72 * 255))
    return mask.reduce(SUPERSAMPLE)


def _strokes(
    draw: PillowDraw.ImageDraw,
    points: Array,
    opacity: Array,
    skeleton: Skeleton,
    colour: str,
    width: float,
    depth: Array | None = None,
) -> None:
    """Limbs with a dark edge, so that they show on any background, the farthest first; then the joints."""
    colours = {"left": LEFT, "right": RIGHT, "centre": colour}
    sides = limb_sides(skeleton)
    order = range(len(sides)) if depth is None else np.argsort(-depth[skeleton.limb_joints].mean(axis=1))
    for limb, side in ((skeleton.limbs[i], sides[i]) for i in order):
        alpha = min(opacity[limb.parent], opacity[limb.child])
        if alpha > 0:
            line = [tuple(points[limb.parent]), tuple(points[limb.child])]
            draw.line(line, fill=_rgba(EDGE, 0.55 * alpha), width=round(width * 1.7))
            draw.line(line, fill=_rgba(colours[side], alpha), width=round(width))
    for point, side, alpha in zip(points, joint_sides(skeleton), opacity, strict=True):
        if alpha > 0:
            _disc(draw, point, width * 1.15, _rgba(EDGE, 0.7 * alpha))
            _disc(draw, point, width * 0.85, _rgba(colours[side], alpha))


def _disc(draw: PillowDraw.ImageDraw, centre: Array, radius: float, fill: tuple[int, ...]) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _tag(draw: PillowDraw.ImageDraw, at: tuple[float, float], text: str, colour: str, width: float) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size=width * 4.5)
    x, y = at
    left, top, right, bottom = draw.textbbox((x, y), text, font=font, anchor="mm")
    pad = width
    draw.rounded_rectangle((left - 2 * pad, top - pad, right + 2 * pad, bottom + pad), 2 * pad, fill=_rgba(EDGE, 0.8))
    draw.text((x, y), text, font=font, anchor="mm", fill=_rgba(colour, 1))


def _draw_inset(
    image: npt.NDArray[np.uint8], scene: Array, roots: Array, skeleton: Skeleton, labels: Sequence[str] | None
) -> None:
    """Draw up to three people in 3D, turned about the vertical, in a panel at the corner with most room."""
    from PIL import Image

    height, width = image.shape[:2]
    present = [i for i in range(len(scene)) if np.isfinite(scene[i]).any()][:INSET_PEOPLE]
    card = np.array([0.24, 0.34]) * min(height, width)
    total = np.array([card[0] * len(present), card[1]])
    if not present or total[0] > 0.6 * width or card[0] < 40:
        return
    margin = 0.02 * min(height, width)
    x0, y0 = (int(v) for v in (width - margin - total[0], margin))
    x1, y1 = (int(v) for v in (width - margin, margin + total[1]))
    part = Image.fromarray(image[y0:y1, x0:x1])
    size = total * SUPERSAMPLE
    part.paste(EDGE, mask=_card(part.size, (float(size[0]), float(size[1]))))
    canvas, draw = _enlarged(part)
    scale = size[1] * 0.86 / INSET_HEIGHT_MM
    line = max(1.5, card[1] / 75) * SUPERSAMPLE
    for slot, i in enumerate(present):
        offset = scene[i] - roots[i]
        sideways = offset[:, 0] * np.cos(INSET_TURN) - offset[:, 2] * np.sin(INSET_TURN)
        depth = -offset[:, 0] * np.sin(INSET_TURN) - offset[:, 2] * np.cos(INSET_TURN)
        centre = np.array([(slot + 0.5) * card[0] * SUPERSAMPLE, size[1] * 0.48])
        points = centre + scale * np.stack([sideways, -offset[:, 1]], axis=1)
        opacity = np.isfinite(points).all(axis=1).astype(np.float64)
        colour = PEOPLE[i % len(PEOPLE)]
        _strokes(draw, points, opacity, skeleton, colour, line, depth)
        if labels:
            _tag(draw, (centre[0] - 0.38 * card[0] * SUPERSAMPLE, size[1] * 0.1), labels[i], colour, line)
    image[y0:y1, x0:x1] = np.asarray(canvas.reduce(SUPERSAMPLE))[: y1 - y0, : x1 - x0]


def _rgba(colour: str, opacity: float) -> tuple[int, int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue, round(255 * opacity)


def _save_image(path: str | Path, image: npt.NDArray[np.uint8]) -> None:
    from PIL import Image

    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{path}: an overlay image is written as .png or .jpg")
    picture: PillowImage.Image = Image.fromarray(image)
    with replacing(path) as temporary:
        # PNG is lossless and disregards the quality; level 3 takes a third of the time of the usual 6, for 2 % more.
        picture.save(temporary, quality=92, compress_level=3)
