"""An image or a video to 2D keypoints through time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nearfar.detection.base import Detection, Detector, get_detector
from nearfar.detection.search import follow_people
from nearfar.detection.sides import steady_sides
from nearfar.errors import InputError
from nearfar.media import Frame, media_info, read_frames
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton
from nearfar.tracking import Track, link_tracks

__all__ = ["detect_media"]

MARGIN = 0.1
"""A keypoint may lie this far outside of the image, as a share of its width or height."""
SHORTEST_TRACK = 5
"""Someone found in fewer frames of a clip than this is taken for a false alarm."""


def detect_media(
    path: str | Path,
    detector: str | Detector = "mediapipe",
    *,
    people: int = 1,
    person: int | None = None,
    box: Sequence[float] | None = None,
    progress: bool = True,
) -> PoseSet:
    """Find people in an image or a video and follow them through it.

    People are numbered from 0 by how many frames they were found in, most first (in a still image: by size, largest
    first). Where the detector takes left for right in some frames, they are exchanged (see
    `nearfar.detection.sides`).

    Args:
        path: an image or a video.
        detector: a detector's name (see `nearfar.detection.detector_names`) or a detector; one that is passed in
            stays open.
        people: how many people to give, at most.
        person: give the one of this number instead.
        box: (x0, y0, x1, y1) pixels: give the person instead who overlaps this box best in the first frame in which
            someone does.
        progress: show a progress bar on stderr.

    Returns:
        Keypoints (pixels) and scores on the detector's skeleton: one row for every decoded frame and person, all
        frames of one person after the other. NaN with score 0 where the person was not found, and for joints
        outside of the image by more than a tenth of its width or height.

    Raises:
        InputError: the file cannot be read, nobody is in it, no such person, or the detector cannot be had.
    """
    path = Path(path)
    _check(people, person, box)
    info = media_info(path)
    frames: list[tuple[float, int, int]] = []
    with ExitStack() as stack:
        found_by = get_detector(detector)
        if isinstance(detector, str):
            stack.enter_context(found_by)
        tracker = follow_people(found_by, _noting(read_frames(path), frames, info.frames, progress), info.fps or 30.0)
    tracks = link_tracks(tracker.tracks, tracker.fps)
    tracks = [track for track in tracks if len(track) >= min(SHORTEST_TRACK, len(frames))]
    tracks.sort(key=lambda track: (-len(track), -_mean_size(track)))
    if not tracks:
        raise InputError(f"{path}: no person found in {'it' if len(frames) == 1 else f'any of {len(frames)} frames'}")
    if box is not None:
        chosen = [_at_box(path, tracks, np.asarray(box, np.float64), len(frames))]
    elif person is not None:
        if person >= len(tracks):
            raise InputError(f"{path}: no person {person}: {len(tracks)} found, numbered from 0")
        chosen = [person]
    else:
        chosen = list(range(len(tracks)))[:people]
    keypoints, scores = _rows([tracks[i] for i in chosen], frames, found_by.skeleton)
    times, widths, heights = np.array(frames).T
    n = len(chosen)
    return PoseSet(
        skeleton=found_by.skeleton,
        keypoints=keypoints,
        scores=scores,
        image_size=np.tile(np.stack([widths, heights], axis=-1).astype(np.int32), (n, 1)),
        time=np.tile(times, n),
        frame_index=np.tile(np.arange(len(frames), dtype=np.int32), n),
        person=np.repeat(np.array(chosen, np.int32), len(frames)),
        sequence=Category.of([path.name] * (n * len(frames))),
        provenance={"media": path.name, "fps": info.fps, "detector": found_by.name},
    )


def _check(people: int, person: int | None, box: Sequence[float] | None) -> None:
    if people < 1:
        raise InputError(f"people must be at least 1, got {people}")
    if person is not None and person < 0:
        raise InputError(f"person must be 0 or more, got {person}")
    if person is not None and box is not None:
        raise InputError("give a person or a box, not both")
    if box is not None and not (len(box) == 4 and np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
        raise InputError(f"box must be x0, y0, x1, y1 in pixels with x0 < x1 and y0 < y1, got {list(box)}")


def _noting(
    frames: Iterator[Frame], seen: list[tuple[float, int, int]], total: int | None, progress: bool
) -> Iterator[Frame]:
    """The frames as they come, noting time, width and height of each."""
    from tqdm import tqdm

    for frame in tqdm(frames, desc="finding people", unit="frame", total=total, disable=not progress, leave=False):
        seen.append((frame.time_s, frame.image.shape[1], frame.image.shape[0]))
        yield frame


def _mean_size(track: Track) -> float:
    return float(np.mean([person.size for person in track.found.values()]))


def _at_box(path: Path, tracks: list[Track], box: npt.NDArray[np.float64], frames: int) -> int:
    for frame in range(frames):
        overlaps = [_overlap(track.found[frame], box) if frame in track.found else 0.0 for track in tracks]
        if max(overlaps) > 0:
            return int(np.argmax(overlaps))
    raise InputError(f"{path}: nobody was found in the box {[float(v) for v in box]} in any frame")


def _overlap(person: Detection, box: npt.NDArray[np.float64]) -> float:
    """Intersection over union of a person's box and another."""
    sides = np.minimum(person.box[2:], box[2:]) - np.maximum(person.box[:2], box[:2])
    shared = float(np.prod(np.maximum(sides, 0.0)))
    return shared / (person.size**2 + float(np.prod(box[2:] - box[:2])) - shared)


def _rows(
    tracks: list[Track], frames: list[tuple[float, int, int]], skeleton: Skeleton
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(N, J, 2) keypoints and (N, J) scores of tracks, person by person."""
    joints = skeleton.num_joints
    times, *sizes = np.array(frames).T
    keypoints = np.full((len(tracks), len(frames), joints, 2), np.nan, np.float32)
    scores = np.zeros((len(tracks), len(frames), joints), np.float32)
    for row, track in enumerate(tracks):
        rows = np.array(sorted(track.found))
        people = [track.found[frame] for frame in rows]
        points, sure = np.stack([one.keypoints for one in people]), np.stack([one.scores for one in people])
        order = steady_sides(points, np.array([one.size for one in people]), times[rows], skeleton)
        points = np.take_along_axis(points, order[..., None], axis=1)
        limits = np.stack(sizes, axis=-1)[rows, None]
        there = np.all((points >= -MARGIN * limits) & (points <= (1 + MARGIN) * limits), axis=-1)  # False for NaN
        keypoints[row, rows] = np.where(np.expand_dims(there, -1), points, np.nan)
        scores[row, rows] = np.where(there, np.take_along_axis(sure, order, axis=1), 0.0)
    return keypoints.reshape(-1, joints, 2), scores.reshape(-1, joints)
