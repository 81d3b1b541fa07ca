"""From an image, a video or a file of keypoints to 3D: detection, tracking and lifting in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy.typing as npt

from nearfar.detection import Detector, detect_media
from nearfar.intrinsics import Focal, choose_intrinsics
from nearfar.lifting import Lifter, default_weights, load
from nearfar.poses import PoseSet
from nearfar.resampling import fill_gaps
from nearfar.smoothing import Smoother, smooth_poses

__all__ = ["lift_media", "refine"]


def lift_media(
    path: str | Path,
    lifter: str | Path | Lifter | None = None,
    detector: str | Detector = "mediapipe",
    *,
    people: int | None = None,
    person: int | None = None,
    box: Sequence[float] | None = None,
    boxes: str | Path | None = None,
    remember: str | Path | None = None,
    intrinsics: npt.ArrayLike | None = None,
    focal: str | Focal | None = None,
    field_of_view: float | None = None,
    causal: bool = False,
    progress: bool = True,
) -> PoseSet:
    """Find people in an image or a video and lift them to 3D.

    Args:
        path: an image or a video.
        lifter: weights by name or path, or a lifter; by default "default-video" for clips, "default" for images.
        detector: a detector's name, or a detector.
        people: how many people to give, at most: those who are found in most frames; by default 1, and all of `boxes`.
        person: give the one of this number instead (0 is found in most frames).
        box: (x0, y0, x1, y1) pixels: give the person who overlaps this box best instead.
        boxes: a file of boxes, frame by frame, in which people are looked for (`nearfar.detection.load_boxes`).
        remember: a file that keeps what the detector finds, so that it need not be found again.
        intrinsics: (4,) fx, fy, cx, cy in pixels.
        focal: or a focal length: "1400" (pixels) or "28mm" (35 mm equivalent).
        field_of_view: or degrees along the longer side of the image. Without any of the three the file is asked, and a
            field of view assumed where it does not say.
        causal: a frame of a video is lifted from itself and those before it, as in live use.
        progress: show a progress bar on stderr.

    Returns:
        One row for every decoded frame and person, person by person: `joints` (N, J, 3) mm, root-relative, camera axes;
        `root_position` (N, 3) mm; `keypoints` (N, J, 2) px; `scores` (N, J); on the lifter's skeleton. NaN where nobody
        is found.

    Raises:
        InputError: the file cannot be read, nobody is in it, or detector or weights cannot be had.
    """
    used = load(lifter) if isinstance(lifter, str | Path) else lifter
    found = detect_media(
        path, detector, people=people, person=person, box=box, boxes=boxes, remember=remember, progress=progress
    )
    found = choose_intrinsics(found, intrinsics=intrinsics, focal=focal, field_of_view=field_of_view, media=path)
    used = load(default_weights(found)) if used is None else used
    return used.lift_poses(found, causal=causal)


def refine(
    poses: PoseSet, smoother: Smoother | None = None, *, longest_gap: float | None = None, fps: float = 30.0
) -> PoseSet:
    """Smooth lifted poses, then bridge gaps: what is bridged leads from one smoothed pose to another.

    Args:
        poses: poses with joints.
        smoother: None: not smoothed.
        longest_gap: seconds; gaps up to this are bridged (`nearfar.resampling.fill_gaps`); None: none are.
        fps: frames a second that `frame_index` counts, where the poses have no `time`.

    Returns:
        The same rows. What was bridged has joints but no keypoints and scores of 0 (`nearfar.resampling.observed`).

    Raises:
        InputError: no joints, or not a length of time.
    """
    if smoother is not None:
        poses = smooth_poses(poses, smoother, fps=fps)
    return poses if longest_gap is None else fill_gaps(poses, longest_gap, fps=fps)
