"""Human3.6M as poses: every frame of every camera, joints in the camera's frame and keypoints in its image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.h36m.cameras import Camera, find_cameras
from nearfar.datasets.h36m.detections import BAD_VIEW, DETECTORS, Detector, View, find_detections
from nearfar.datasets.h36m.names import ACTIONS, CAMERAS, action_of, select_joints, subjects_of
from nearfar.datasets.h36m.positions import PATTERNS, Clip, Form, form_of, list_clips
from nearfar.datasets.progress import progress
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.skeleton_maps import remap

__all__ = ["CITATION", "LICENCE", "PROJECTED", "Detected", "Take", "clips_of", "load_h36m"]

FloatArray = npt.NDArray[np.floating[Any]]

LICENCE = (
    "Human3.6M: free for academic, non-commercial research after registration; "
    "neither the data nor what is made from them may be passed on."
)
CITATION = (
    "Ionescu, Papava, Olaru, Sminchisescu, Human3.6M: Large Scale Datasets and Predictive Methods for 3D Human Sensing "
    "in Natural Environments, IEEE PAMI 36(7), 2014; Ionescu, Li, Sminchisescu, ICCV 2011"
)
PROJECTED = "projected"
FRAMES_PER_SECOND = 50
_FORM_TITLES: dict[Form, str] = {
    "cdf": "the authors' archive (D3_Positions, .cdf)",
    "h5": "3d-pose-baseline's archive (3D_positions, .h5)",
    "npz": "VideoPose3D's file (data_3d_h36m.npz)",
}


def load_h36m(
    folder: str | Path,
    *,
    split: str,
    skeleton: str | Path | Skeleton | None = None,
    keypoints: str = PROJECTED,
    every: int = 1,
    subjects: Sequence[int] | None = None,
) -> PoseSet:
    """Read Human3.6M from any of its three published forms; all give the same poses.

    Rows go clip by clip (subject, action, take), each seen by the four cameras in turn. A sequence is one camera's view
    of a clip, named like its video: ``S9/Eating 1.54138969``. Both takes of an action bear the action's name, so that
    `nearfar.evaluation` averages over the 15 actions. `frame_index` counts the frames of the clip, 50 a second.

    Joints are turned from the world into each camera's frame. Projected keypoints pass through a lens with radial and
    tangential distortion as 3d-pose-baseline and Ronchi et al. (BMVC 2018) compute it: half of OpenCV's cross term
    (`nearfar.camera.distort_rays`). `intrinsics` are the camera's, without the distortion.

    Protocols: train on S1, 5, 6, 7, 8 and test on S9, 11, with all frames and cameras, is that of Martinez et al. (ICCV
    2017) and of the paper. ``every=64`` on the test split makes it the sparse one of Moon et al. (ICCV 2019), whose
    code (3DMPPE_POSENET_RELEASE, ``data/Human36M/Human36M.py``) keeps frames with a number divisible by 64 and calls it
    protocol 2; its protocol 1 is subjects 1, 5, 6, 7, 8, 9 against 11, with PA-MPJPE.

    Args:
        folder: the one that holds ``S1``, ``S5``, ... or ``data_3d_h36m.npz``, and one of `CAMERA_FILES`.
        split: "train" or "test".
        skeleton: of the result: ``h36m17``, ``h36m16``, ``lsp14``, ``human19`` or another that maps to; None takes that
            of the keypoints, ``h36m17`` where they are projected.
        keypoints: "projected", or detections that lie in the folder: "sh" and "sh_pt" (Stacked Hourglass, fine-tuned,
            on ``h36m16``, and as trained on MPII, on ``mpii16``), "cpn" (17 joints), "gt" (VideoPose3D's own
            projection: its code takes p₀ with x and p₁ with y, so it is a fraction of a pixel off ours). One damaged
            view, S11, Directions, camera 54138969, is not among detections. Detections that go on after the motion ends
            are cut there, as in VideoPose3D.
        every: keep the frames whose number is a multiple of this.
        subjects: read these instead of the split's own.

    Returns:
        Joints (N, J, 3) mm in the camera's frame and keypoints (N, J, 2) pixels, float32. The training split brings the
        mean limb lengths of the rows read, the test split none.

    Raises:
        InputError: nothing of Human3.6M in the folder, a file or detection missing or damaged, implausible numbers, or
            a bad argument.
    """
    folder = Path(folder)
    chosen = subjects_of(split, subjects)
    if every < 1:
        raise InputError(f"Human3.6M: every: expected 1 or more, got {every}")
    detected = None if keypoints == PROJECTED else Detected.find(folder, keypoints, chosen)
    source = get_skeleton("h36m17") if detected is None else detected.detector.skeleton
    target = source if skeleton is None else get_skeleton(skeleton)
    derived = remap(source, target).derived if detected is not None else ()
    form, clips = clips_of(folder, chosen)
    cameras = find_cameras(folder)
    takes = [Take.read(clip, target, every) for clip in progress(clips, f"read h36m {split}", "clip")]
    views = [(take, cameras.by_view[take.clip.subject, name]) for take in takes for name in CAMERAS]
    if detected is not None:
        views = detected.among(views)
    provenance = {
        "source": f"Human3.6M, {_FORM_TITLES[form]}",
        "split": split,
        "subjects": list(chosen),
        "every": every,
        "cameras": cameras.source,
        "intrinsics": "calibrated; the keypoints bear the lens's distortion, which they leave out",
        "keypoints": "projected, with distortion as in 3d-pose-baseline",
        "licence": LICENCE,
        "citation": CITATION,
    }
    if detected is not None:
        provenance |= {"keypoints": detected.detector.title, "derived_keypoints": list(derived)}
    return _assemble(
        views, target, detected, _mean_limb_lengths(takes, target) if split == "train" else None, provenance
    )


def clips_of(folder: Path, subjects: Sequence[int]) -> tuple[Form, list[Clip]]:
    """The form of a folder's files and the clips of some subjects in it, sorted.

    Raises:
        InputError: nothing of Human3.6M there, or nothing of one of the subjects.
    """
    form = form_of(folder)
    if form is None:
        raise InputError(f"{folder}: no Human3.6M here: expected one of {', '.join(PATTERNS.values())}")
    clips = [clip for clip in list_clips(folder, form) if clip.subject in subjects]
    if absent := sorted(set(subjects) - {clip.subject for clip in clips}):
        names = ", ".join(f"S{subject}" for subject in absent)
        raise InputError(f"{folder}: no motion of {names}: expected it in {PATTERNS[form]}")
    return form, sorted(clips, key=lambda clip: subjects.index(clip.subject))


@dataclass(frozen=True, eq=False)
class Take:
    """A clip, read.

    Attributes:
        clip: which.
        world: (n, J, 3) world-frame joints, mm, of every so manieth frame.
        frames: number of all its frames.
        every: distance between the frames read.
    """

    clip: Clip
    world: FloatArray
    frames: int
    every: int

    @classmethod
    def read(cls, clip: Clip, skeleton: Skeleton, every: int = 1) -> Take:
        """Read a clip's file."""
        joints = clip.read()
        return cls(clip, select_joints(joints[::every], skeleton), len(joints), every)


@dataclass(frozen=True, eq=False)
class Detected:
    """Detections of the views that have any."""

    folder: Path
    detector: Detector
    by_view: Mapping[View, Callable[[], FloatArray]]

    @classmethod
    def find(cls, folder: Path, name: str, subjects: Sequence[int]) -> Detected:
        """The detections of a name in a folder.

        Raises:
            InputError: no such detections, or files that are damaged.
        """
        if name not in DETECTORS:
            raise InputError(f"Human3.6M: keypoints: expected one of {(PROJECTED, *DETECTORS)}, got {name!r}")
        return cls(folder, DETECTORS[name], find_detections(folder, DETECTORS[name], subjects))

    def among(self, views: Sequence[tuple[Take, Camera]]) -> list[tuple[Take, Camera]]:
        """The views with detections.

        Raises:
            InputError: others than those of the damaged clip have none.
        """
        names = [(take.clip.subject, take.clip.name, camera.name) for take, camera in views]
        missing = [name for name in names if name not in self.by_view and name[:2] != BAD_VIEW[:2]]
        if missing:
            more = f", and of {len(missing) - 1} more views" if len(missing) > 1 else ""
            raise InputError(f"{self._where(missing[0])}: none{more}")
        return [view for view, name in zip(views, names, strict=True) if name in self.by_view]

    def read(self, take: Take, camera: Camera, skeleton: Skeleton) -> FloatArray:
        """The keypoints (n, J, 2) of a view's frames, pixels.

        Raises:
            InputError: fewer frames were detected than there are joints for, or a joint cannot be derived.
        """
        view = take.clip.subject, take.clip.name, camera.name
        keypoints = self.by_view[view]()
        if len(keypoints) < take.frames:
            raise InputError(f"{self._where(view)}: {len(keypoints)} frames, expected {take.frames}")
        return remap(self.detector.skeleton, skeleton).points(keypoints[: take.frames : take.every])

    def _where(self, view: View) -> str:
        subject, clip, camera = view
        return f"{self.folder}: detections {self.detector.name!r} of S{subject}, {clip}, camera {camera}"


def _mean_limb_lengths(takes: Sequence[Take], skeleton: Skeleton) -> FloatArray:
    """(L,) mm, over the frames read: every frame has the same limbs in all its views."""
    sums = [limb_lengths(take.world.astype(np.float64), skeleton).sum(axis=0) for take in takes]
    return np.asarray(np.sum(sums, axis=0) / sum(len(take.world) for take in takes))


def _assemble(
    views: Sequence[tuple[Take, Camera]],
    skeleton: Skeleton,
    detected: Detected | None,
    mean_limb_lengths: FloatArray | None,
    provenance: Mapping[str, Any],
) -> PoseSet:
    """One row a frame and camera. The arrays are made once, in full size: the train split has 1.5 million rows."""
    if not views:
        raise InputError("Human3.6M: no view is left: detections were asked for, and the only clip is the damaged one")
    counts = [len(take.world) for take, _ in views]
    joints = np.empty((sum(counts), skeleton.num_joints, 3), np.float32)
    keypoints = np.empty((sum(counts), skeleton.num_joints, 2), np.float32)
    begins = np.cumsum([0, *counts])
    for (take, camera), begin, end in zip(progress(views, "project", "view"), begins[:-1], begins[1:], strict=True):
        seen = camera.joints(take.world.astype(np.float64))
        joints[begin:end] = seen
        keypoints[begin:end] = camera.keypoints(seen) if detected is None else detected.read(take, camera, skeleton)
    frame_index = np.concatenate([np.arange(len(take.world), dtype=np.int32) * take.every for take, _ in views])
    sequences = [f"S{take.clip.subject}/{take.clip.name}.{camera.name}" for take, camera in views]
    return PoseSet(
        skeleton=skeleton,
        keypoints=keypoints,
        joints=joints,
        frame="camera",
        intrinsics=np.repeat(np.array([camera.intrinsics for _, camera in views], np.float32), counts, axis=0),
        image_size=np.repeat(np.array([camera.image_size for _, camera in views], np.int32), counts, axis=0),
        time=frame_index / FRAMES_PER_SECOND,
        frame_index=frame_index,
        sequence=_column(sequences, counts, sequences),
        subject=_column([f"S{take.clip.subject}" for take, _ in views], counts),
        action=_column([action_of(take.clip.name) for take, _ in views], counts, ACTIONS),
        mean_limb_lengths=mean_limb_lengths,
        provenance=provenance,
    )


def _column(values: Sequence[str], counts: Sequence[int], order: Sequence[str] | None = None) -> Category:
    """A name for each row from the names of the views; numbered in the given order, which is that of tables."""
    present = dict.fromkeys(values)
    names = tuple(present if order is None else (name for name in order if name in present))
    number = {name: i for i, name in enumerate(names)}
    return Category(np.repeat(np.array([number[value] for value in values], np.int32), counts), names)
