"""An image or a video to 2D keypoints through time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nearfar.ahead import ahead
from nearfar.detection.base import Detector, get_detector
from nearfar.detection.boxes import Boxes, follow_boxes, load_boxes
from nearfar.detection.remembering import RememberingDetector
from nearfar.detection.search import follow_people
from nearfar.detection.sides import steady_sides
from nearfar.errors import InputError
from nearfar.interrupts import postponed_interrupt
from nearfar.media import Frame, media_info, read_frames
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton
from nearfar.tracking import Track, link_tracks, overlap

__all__ = ["detect_media", "track_rows"]

MARGIN = 0.1
"""A keypoint may lie this far outside of the image, as a share of its width or height."""
SHORTEST_TRACK = 5
"""Someone found in fewer frames of a clip than this is taken for a false alarm."""


def detect_media(
    path: str | Path,
    detector: str | Detector = "mediapipe",
    *,
    people: int | None = None,
    person: int | None = None,
    box: Sequence[float] | None = None,
    boxes: str | Path | None = None,
    remember: str | Path | None = None,
    progress: bool | Callable[[int, int | None], None] = True,
) -> PoseSet:
    """Find people in an image or a video and follow them through it.

    People are numbered from 0 by how many frames they were found in, most first (in a still image: by size, largest
    first); those of boxes that have identities keep them. Where the detector takes left for right in some frames, they
    are exchanged (see `nearfar.detection.sides`).

    Args:
        path: an image or a video.
        detector: a detector's name (see `nearfar.detection.detector_names`) or a detector; one that is passed in
            stays open.
        people: how many people to give, at most: by default 1, and all of `boxes`.
        person: give the one of this number instead.
        box: (x0, y0, x1, y1) pixels: give the person instead who overlaps this box best in the first frame in which
            someone does.
        boxes: a file of boxes, frame by frame (`nearfar.detection.load_boxes`): people are looked for in these only.
        remember: a file that keeps what the detector finds, as it finds it; what is there already is not looked for
            again (`nearfar.detection.RememberingDetector`).
        progress: show a progress bar on stderr; or a function that is told before each frame how many were looked at,
            and how many there are, as far as the file says. What it raises ends the search.

    Returns:
        Keypoints (pixels) and scores on the detector's skeleton: one row for every decoded frame and person, all
        frames of one person after the other. NaN with score 0 where the person was not found, and for joints
        outside of the image by more than a tenth of its width or height.

    Raises:
        InputError: the file cannot be read, nobody is in it, no such person, boxes that cannot be read, or the detector
            cannot be had.
    """
    path = Path(path)
    _check(people, person, box)
    given = None if boxes is None else load_boxes(boxes)
    info = media_info(path)
    frames: list[tuple[float, int, int]] = []
    with ExitStack() as stack:
        found_by = get_detector(detector)
        if isinstance(detector, str):
            stack.enter_context(found_by)
        if remember is not None:
            found_by = stack.enter_context(RememberingDetector(found_by, remember))
        seen = _noting(ahead(read_frames(path)), frames, info.frames, progress)
        tracks = _tracks(found_by, seen, given, info.fps or 30.0)
    if given is None or given.person is None:
        shortest = min(SHORTEST_TRACK, len(frames))
        lasting = sorted(filter(lambda track: len(track) >= shortest, tracks.values()), key=_prominence)
        tracks = dict(enumerate(lasting))
    if not tracks:
        where = "it" if len(frames) == 1 else f"any of {len(frames)} frames"
        raise InputError(f"{path}: no person found in {where}" + (f", in the boxes of {boxes}" if boxes else ""))
    if box is not None:
        chosen = [_at_box(path, tracks, np.asarray(box, np.float64), len(frames))]
    elif person is not None:
        if person not in tracks:
            known = "numbered from 0" if given is None else f"numbered {', '.join(map(str, sorted(tracks)[:12]))}"
            raise InputError(f"{path}: no person {person}: {len(tracks)} found, {known}")
        chosen = [person]
    else:
        most = (1 if given is None else len(tracks)) if people is None else people
        chosen = sorted(sorted(tracks, key=lambda number: _prominence(tracks[number]))[:most])
    keypoints, scores = track_rows([tracks[i] for i in chosen], frames, found_by.skeleton)
    times, widths, heights = np.array(frames).T
    n = len(chosen)
    from_boxes: dict[str, str] = {} if given is None else {"boxes": given.path.name}
    return PoseSet(
        skeleton=found_by.skeleton,
        keypoints=keypoints,
        scores=scores,
        image_size=np.tile(np.stack([widths, heights], axis=-1).astype(np.int32), (n, 1)),
        time=np.tile(times, n),
        frame_index=np.tile(np.arange(len(frames), dtype=np.int32), n),
        person=np.repeat(np.array(chosen, np.int32), len(frames)),
        sequence=Category.of([path.name] * (n * len(frames))),
        provenance={"media": path.name, "fps": info.fps, "detector": found_by.name, **from_boxes},
    )


def _check(people: int | None, person: int | None, box: Sequence[float] | None) -> None:
    if people is not None and people < 1:
        raise InputError(f"people must be at least 1, got {people}")
    if person is not None and person < 0:
        raise InputError(f"person must be 0 or more, got {person}")
    if person is not None and box is not None:
        raise InputError("give a person or a box, not both")
    if box is not None and not (len(box) == 4 and np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
        raise InputError(f"box must be x0, y0, x1, y1 in pixels with x0 < x1 and y0 < y1, got {list(box)}")


def _tracks(detector: Detector, frames: Iterable[Frame], boxes: Boxes | None, fps: float) -> Mapping[int, Track]:
    """The people of a clip by number."""
    if boxes is not None:
        return follow_boxes(detector, frames, boxes, fps)
    tracker = follow_people(detector, frames, fps)
    return dict(enumerate(link_tracks(tracker.tracks, tracker.fps)))


def _noting(
    frames: Iterator[Frame],
    seen: list[tuple[float, int, int]],
    total: int | None,
    progress: bool | Callable[[int, int | None], None],
) -> Iterator[Frame]:
    """The frames as they come, noting time, width and height of each; Ctrl-C waits for the end of a frame."""
    from tqdm import tqdm

    shown = tqdm(frames, desc="finding people", unit="frame", total=total, disable=progress is not True, leave=False)
    with postponed_interrupt() as interrupted:
        for frame in shown:
            if callable(progress):
                progress(len(seen), total)
            seen.append((frame.time_s, frame.image.shape[1], frame.image.shape[0]))
            yield frame
            if interrupted.is_set():
                raise KeyboardInterrupt


def _prominence(track: Track) -> tuple[float, float]:
    """Sorts who is found in most frames first, and among equals who is largest."""
    return -len(track), -float(np.mean([person.size for person in track.found.values()]))


def _at_box(path: Path, tracks: Mapping[int, Track], box: npt.NDArray[np.float64], frames: int) -> int:
    for frame in range(frames):
        shared = {i: overlap(track.found[frame].box, box) for i, track in tracks.items() if frame in track.found}
        if max(shared.values(), default=0.0) > 0:
            return max(shared, key=shared.__getitem__)
    raise InputError(f"{path}: nobody was found in the box {[float(v) for v in box]} in any frame")


def track_rows(
    tracks: list[Track], frames: list[tuple[float, int, int]], skeleton: Skeleton
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What tracks say of a clip, a row for every frame, person by person.

    Left and right are steadied (`nearfar.detection.sides`), and keypoints far outside of the image left out.

    Args:
        tracks: of people, by number of frame from 0.
        frames: seconds, width and height (pixels) of each frame.
        skeleton: skeleton of the J keypoints.

    Returns:
        (N, J, 2) keypoints and (N, J) scores.
    """
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
