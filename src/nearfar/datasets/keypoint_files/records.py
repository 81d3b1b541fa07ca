"""What all keypoint files have in common: records of one person in one image, and how they become a `PoseSet`."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.tracking import Detection, follow_detections

__all__ = [
    "NORMALISED_LIMIT",
    "Options",
    "Record",
    "as_points",
    "clean_points",
    "default_skeleton",
    "item",
    "listed",
    "number",
    "poses_from_records",
]

FloatArray = npt.NDArray[np.floating[Any]]

NORMALISED_LIMIT = 1.5
"""Coordinates that all lie within this cannot be pixels: they are normalised."""


MOST_NUMBER = 2**31 - 1
"""No frame, person or image size of a file is larger."""


@dataclass(frozen=True)
class Options:
    """What the caller says about a file.

    Attributes:
        skeleton: skeleton of the file's joints, where the format leaves it open or the file departs from it.
        image_size: width and height in pixels, where the file does not say it.
        person: keep this identity only.
        fps: frames a second, by which people are followed where the file does not say who is who.
        one_clip: the file's images are the frames of one clip, also where the format does not say so.
    """

    skeleton: Skeleton | None = None
    image_size: tuple[int, int] | None = None
    person: int | None = None
    fps: float = 30.0
    one_clip: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"fps: expected a positive number of frames a second, got {self.fps}")


@dataclass(frozen=True)
class Record:
    """One person in one image.

    Attributes:
        where: what error messages call it: the file and the record.
        points: (J, 3) x and y in pixels, and the score; as the file has them.
        sequence: name of the clip or of the photo.
        person: identity within the clip, or None where the file does not know who is who.
        frame: number of the frame in its clip; None for photos.
        time: seconds, where the file says it.
        image_size: width and height in pixels, where the file says it.
        occluded: (J,) bool, hidden joints, where the file says it.
    """

    where: str
    points: FloatArray
    sequence: str
    person: int | None = None
    frame: int | None = None
    time: float | None = None
    image_size: tuple[int, int] | None = None
    occluded: npt.NDArray[np.bool_] | None = None


def item(entry: Any, key: str, where: str) -> Any:
    """``entry[key]`` of a JSON object.

    Raises:
        InputError: it is not an object, or has no such key.
    """
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object with {key!r}, got {type(entry).__name__}")
    if key not in entry:
        raise InputError(f"{where}: no {key!r}; its keys are {sorted(map(str, entry))}")
    return entry[key]


def listed(value: Any, where: str) -> list[Any]:
    """The value, which must be a JSON list.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, got {type(value).__name__}")
    return value


def number(value: Any, where: str) -> float:
    """The value, which must be a finite JSON number.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e18:
        raise InputError(f"{where}: expected a number, got {str(value)[:40]!r}")
    return value


def as_points(values: Any, where: str) -> FloatArray:
    """A flat list x, y, score, x, y, score, … as (J, 3); null is NaN.

    Raises:
        InputError: not a list of numbers, or not a multiple of three.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: expected a flat list of numbers x, y, score, …") from None
    if array.ndim != 1 or array.size == 0 or array.size % 3:
        raise InputError(f"{where}: expected a flat list x, y, score, … of 3 numbers a joint, got shape {array.shape}")
    return array.reshape(-1, 3)


def default_skeleton(joints: int, known: Mapping[int, str], options: Options, where: str) -> Skeleton:
    """The skeleton of a file of a format that tells skeletons apart by their number of joints.

    Args:
        joints: number of joints in the file.
        known: the format's skeletons by number of joints in the file (which may have more, after the skeleton's).
        options: the caller's own skeleton goes first.
        where: what error messages call the file.

    Raises:
        InputError: a number of joints that is not the caller's skeleton's, or unknown to the format.
    """
    usual = get_skeleton(known[joints]) if joints in known else None
    if options.skeleton is None:
        if usual is None:
            described = ", ".join(f"{count} ({name})" for count, name in known.items())
            raise InputError(f"{where}: {joints} joints: the format has {described}; for others say the skeleton")
        return usual
    if options.skeleton.num_joints not in (joints, usual and usual.num_joints):
        name, expected = options.skeleton.name, options.skeleton.num_joints
        raise InputError(f"{where}: {joints} joints, but skeleton {name!r} has {expected}")
    return options.skeleton


def clean_points(
    points: FloatArray, where: Sequence[str], *, normalised: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Check points as a file has them and mark the missing ones.

    A joint is missing where x or y is NaN, and where it is at (0, 0) with score 0: both become NaN with score 0.
    Scores beyond 1, which some detectors' heatmaps give, become 1, and scores below 0 become 0.

    Args:
        points: (N, J, 3) x, y, score.
        where: (N,) what error messages call each row.
        normalised: the format's coordinates are fractions of the image.

    Returns:
        (N, J, 2) coordinates and (N, J) scores in 0..1, float32.

    Raises:
        InputError: infinite numbers, or pixels where fractions of the image belong, or the other way round.
    """
    with np.errstate(over="ignore"):
        bad = np.isinf(points.astype(np.float32))
    if bad.any():
        row, joint, _ = np.argwhere(bad)[0]
        raise InputError(f"{where[row]}: joint {joint} is infinite (a missing joint is NaN or null)")
    xy, scores = points[..., :2], np.nan_to_num(points[..., 2])
    missing = np.isnan(xy).any(axis=-1) | ((xy == 0).all(axis=-1) & (scores == 0))
    xy = np.where(missing[..., None], np.nan, xy)
    seen = np.abs(xy[~missing])
    if seen.size and not normalised and seen.max() <= NORMALISED_LIMIT:
        raise InputError(
            f"{where[0]}: the coordinates look normalised already (all within {seen.max():.3g}): expected pixels; "
            "multiply them by the image's size first"
        )
    if seen.size and normalised and np.median(seen) > NORMALISED_LIMIT:
        raise InputError(f"{where[0]}: expected coordinates as fractions of the image, got {np.median(seen):.4g}")
    return xy.astype(np.float32), np.where(missing, 0, scores.clip(0, 1)).astype(np.float32)


def poses_from_records(
    records: Iterable[Record],
    skeleton: Skeleton,
    path: Path,
    options: Options,
    provenance: Mapping[str, Any],
    *,
    normalised: bool = False,
) -> PoseSet:
    """Put records together: ordered by sequence, person and frame.

    Where the file does not say who is who, the people of a clip are followed through it (`nearfar.tracking`), person 0
    being the one seen longest, and the people of a photo are counted through.

    Args:
        records: what the file has, in its order.
        skeleton: skeleton of the joints; further joints of the records are left out.
        path: the file, for error messages.
        options: image size where records have none, and the person to keep.
        provenance: what to say about the origin.
        normalised: x and y are fractions of the image's width and height, to be multiplied by them.

    Raises:
        InputError: nobody in the file, records of different numbers of joints, the same person twice in a frame,
            no such person, no image size where one is needed, or numbers that cannot be keypoints.
    """
    records = list(records)
    if not records:
        raise InputError(f"{path}: nobody in it: not one person with keypoints")
    for record in records:
        if len(record.points) != len(records[0].points):
            raise InputError(
                f"{record.where}: {len(record.points)} joints, but {records[0].where} has {len(records[0].points)}"
            )
    if options.one_clip:
        records = _as_one_clip(records, path.stem)
    points = np.stack([record.points[: skeleton.num_joints] for record in records])
    keypoints, scores = clean_points(points, [record.where for record in records], normalised=normalised)
    for record in records:
        numbers = (record.person, record.frame, *(record.image_size or ()))
        if any(value is not None and abs(value) > MOST_NUMBER for value in numbers):
            raise InputError(f"{record.where}: person, frame or image size: a number beyond {MOST_NUMBER}")
    sizes = [record.image_size or options.image_size for record in records]
    image_size = None if None in sizes else np.array(sizes, dtype=np.int32)
    if image_size is not None and (image_size <= 0).any():
        raise InputError(f"{path}: image size: expected positive width and height")
    if normalised:
        if image_size is None:
            raise InputError(f"{path}: its coordinates are fractions of the image: say the image size in pixels")
        keypoints *= image_size[:, None]
    person = _persons(records, keypoints, scores, options.fps)
    sequences = {name: i for i, name in enumerate(dict.fromkeys(record.sequence for record in records))}
    hidden = [record.occluded[: skeleton.num_joints] for record in records if record.occluded is not None]
    frames = [record.frame for record in records]
    times = [record.time for record in records]
    keys = [
        (sequences[r.sequence], int(p), -1 if r.frame is None else r.frame)
        for r, p in zip(records, person, strict=True)
    ]
    order = sorted(range(len(records)), key=keys.__getitem__)
    for one, two in itertools.pairwise(order):
        if keys[one] == keys[two]:
            raise InputError(
                f"{records[two].where}: person {person[two]} is twice in one image (also {records[one].where})"
            )
    poses = PoseSet(
        skeleton=skeleton,
        keypoints=keypoints,
        scores=scores,
        occluded=np.stack(hidden) if len(hidden) == len(records) else None,
        image_size=image_size,
        time=None if None in times else np.array(times, dtype=np.float64),
        frame_index=None if None in frames else np.array(frames, dtype=np.int64),
        person=person,
        sequence=Category.of([record.sequence for record in records]),
        provenance={"file": path.name, **provenance},
    ).select(order)
    if options.person is None:
        return poses
    if options.person not in person:
        raise InputError(f"{path}: no person {options.person}; it has {_shortened(sorted(set(person.tolist())))}")
    return poses.select(poses.person == options.person)


def _as_one_clip(records: Sequence[Record], name: str) -> list[Record]:
    """Records of photos as those of the frames of a clip, in natural order of the photos' names.

    A name that ends in a number says which frame it is, so that photos in which nobody was found are a gap.
    """
    if any(record.frame is not None for record in records):
        return list(records)
    photos = list(dict.fromkeys(record.sequence for record in records))
    numbers = [re.search(r"(\d{1,9})\D*$", Path(photo).stem) for photo in photos]
    if all(numbers) and len({int(number[1]) for number in numbers if number}) == len(photos):
        frame = {photo: int(number[1]) for photo, number in zip(photos, numbers, strict=True) if number}
    else:
        frame = {photo: i for i, photo in enumerate(sorted(photos))}
    return [dataclasses.replace(record, sequence=name, frame=frame[record.sequence]) for record in records]


def _persons(records: Sequence[Record], keypoints: FloatArray, scores: FloatArray, fps: float) -> npt.NDArray[np.int64]:
    """(N,) identities: the file's own, or else found by following people through a clip; photos are counted through."""
    persons = np.array([0 if record.person is None else record.person for record in records], dtype=np.int64)
    sequences: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        sequences.setdefault(record.sequence, []).append(row)
    for rows in sequences.values():
        if all(records[row].person is not None for row in rows):
            continue
        frames: dict[int, list[int]] = {}
        for row in rows:
            frame = records[row].frame
            frames.setdefault(-1 if frame is None else frame, []).append(row)
        alone = all(len(together) == 1 for together in frames.values())
        if len(frames) == 1:
            persons[rows] = range(len(rows))
        else:
            persons[rows] = 0 if alone else _followed(frames, rows, keypoints, scores, fps)
    return persons


def _followed(
    frames: Mapping[int, Sequence[int]], rows: Sequence[int], keypoints: FloatArray, scores: FloatArray, fps: float
) -> list[int]:
    """Identities of the people of one clip, 0 for who is seen longest.

    Args:
        frames: number of the frame -> rows of the people in it.
        rows: all rows of the clip.
        keypoints: (N, J, 2) pixels.
        scores: (N, J).
        fps: frames a second.
    """
    found = {frame: [_detection(keypoints[row], scores[row]) for row in frames[frame]] for frame in frames}
    row_of = {id(one): row for frame in frames for one, row in zip(found[frame], frames[frame], strict=True)}
    number: dict[int, int] = {}
    for i, track in enumerate(follow_detections(found, fps)):
        number |= {row_of[id(person)]: i for person in track.found.values()}
    return [number[row] for row in rows]


def _detection(keypoints: FloatArray, scores: FloatArray) -> Detection:
    seen = keypoints[np.isfinite(keypoints).all(axis=-1)]
    box = np.concatenate([seen.min(axis=0), seen.max(axis=0)]) if len(seen) else np.zeros(4)
    return Detection(keypoints, scores, box)


def _shortened(values: Sequence[int], most: int = 12) -> str:
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown}, … ({len(values)} in all)"
