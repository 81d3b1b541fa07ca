"""Detected keypoints of Human3.6M: Stacked Hourglass in HDF5 files, and those that VideoPose3D collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.h36m.names import CAMERAS, clip_name
from nearfar.datasets.hdf5 import read_hdf5
from nearfar.errors import InputError
from nearfar.safe_pickle import open_pickled_npz
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["BAD_VIEW", "DETECTORS", "Detector", "View", "find_detections"]

FloatArray = npt.NDArray[np.floating[Any]]
View = tuple[int, str, str]
"""Subject, clip and camera."""

BAD_VIEW: View = (11, "Directions", "54138969")
"""Its video is damaged: 3d-pose-baseline has no detections for it (issue 34), copies that have some are not to be
trusted, and VideoPose3D leaves the clip out whole."""


@dataclass(frozen=True)
class Detector:
    """A published set of keypoints.

    Attributes:
        name: as in `load_h36m`.
        title: what detected them.
        skeleton_name: skeleton of its keypoints.
        npz: VideoPose3D's file.
        folder: where 3d-pose-baseline's archives have a file for each view, within a subject's folder; or None.
    """

    name: str
    title: str
    skeleton_name: str
    npz: str
    folder: str | None = None

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of its keypoints."""
        return get_skeleton(self.skeleton_name)

    def is_in(self, folder: Path) -> bool:
        """Whether a data set's folder holds it."""
        in_files = self.folder is not None and any(folder.glob(f"S*/{self.folder}/*.h5"))
        return in_files or (folder / self.npz).exists()


DETECTORS: Mapping[str, Detector] = {
    detector.name: detector
    for detector in (
        Detector(
            "sh", "Stacked Hourglass, fine-tuned on Human3.6M (3d-pose-baseline)", "h36m16",
            "data_2d_h36m_sh_ft_h36m.npz", "StackedHourglassFineTuned240",
        ),
        Detector(
            "sh_pt", "Stacked Hourglass, trained on MPII (3d-pose-baseline)", "mpii16",
            "data_2d_h36m_sh_pt_mpii.npz", "StackedHourglass",
        ),
        Detector(
            "cpn", "Cascaded Pyramid Network, fine-tuned on Human3.6M (VideoPose3D)", "h36m17",
            "data_2d_h36m_cpn_ft_h36m_dbb.npz",
        ),
        Detector("gt", "VideoPose3D's own projection of the joints", "h36m17", "data_2d_h36m_gt.npz"),
    )
}  # fmt: skip


def find_detections(folder: Path, detector: Detector, subjects: Sequence[int]) -> dict[View, Callable[[], FloatArray]]:
    """What reads the (M, J, 2) keypoints, pixels, of each view that was detected; the bad view is left out.

    Raises:
        InputError: the folder has no such detections, two files of one view, a name that is no action's or camera's, or
            (npz) a damaged file.
    """
    if not detector.is_in(folder):
        places = [detector.npz, *([] if detector.folder is None else [f"S*/{detector.folder}/*.h5"])]
        raise InputError(f"{folder}: no detections {detector.name!r}: expected {' or '.join(places)}")
    found: dict[View, Callable[[], FloatArray]] = {}
    from_files = detector.folder is not None and any(folder.glob(f"S*/{detector.folder}/*.h5"))
    views = _views_of_files if from_files else _views_of_npz
    for view, read, where in views(folder, detector, subjects):
        if view in found:
            raise InputError(f"{where}: a second file of S{view[0]}, {view[1]}, camera {view[2]}")
        if view != BAD_VIEW:
            found[view] = read
    return found


_Found = Iterator[tuple[View, Callable[[], FloatArray], str]]


def _views_of_files(folder: Path, detector: Detector, subjects: Sequence[int]) -> _Found:
    """3d-pose-baseline's archives: ``Directions 1.54138969.h5``, or with an underscore in the fine-tuned one."""
    for subject in subjects:
        for path in sorted(folder.glob(f"S{subject}/{detector.folder}/*.h5")):
            action, _, camera = path.stem.rpartition(".")
            if camera not in CAMERAS:
                raise InputError(f"{path}: expected a name like 'Directions 1.{CAMERAS[0]}.h5'")
            if (name := clip_name(action, path)) is not None:
                yield (subject, name, camera), partial(_read_h5, path, detector), str(path)


def _views_of_npz(folder: Path, detector: Detector, subjects: Sequence[int]) -> _Found:
    """VideoPose3D's files: for each subject and action a list, the four cameras' arrays in order."""
    path = folder / detector.npz
    positions = open_pickled_npz(path).get("positions_2d")
    if not isinstance(positions, dict):
        raise InputError(f"{path}: expected 'positions_2d', a dict of dicts (subject, action)")
    for subject in subjects:
        actions = positions.get(f"S{subject}", {})
        if not isinstance(actions, dict):
            raise InputError(f"{path}: positions_2d: S{subject}: expected a dict of actions")
        for action, views in actions.items():
            where = f"{path}: S{subject}, {action}"
            name = clip_name(str(action), where)
            if not isinstance(views, list | tuple | np.ndarray) or len(views) != len(CAMERAS):
                raise InputError(f"{where}: expected a list of {len(CAMERAS)} arrays, one a camera")
            for camera, keypoints in zip(CAMERAS, views, strict=True):
                at = f"{where}, camera {camera}"
                if name is not None and keypoints is not None:
                    yield (subject, name, camera), partial(_checked, keypoints, detector, at), at


def _read_h5(path: Path, detector: Detector) -> FloatArray:
    return _checked(read_hdf5(path, ["poses"])["poses"], detector, f"{path}: poses")


def _checked(keypoints: Any, detector: Detector, where: str) -> FloatArray:
    shape = (detector.skeleton.num_joints, 2)
    if not isinstance(keypoints, np.ndarray) or keypoints.shape[1:] != shape or keypoints.dtype.kind not in "iuf":
        got = keypoints.shape if isinstance(keypoints, np.ndarray) else type(keypoints).__name__
        raise InputError(f"{where}: expected pixels of shape (N, {shape[0]}, 2), got {got}")
    if not np.isfinite(keypoints).all() or (len(keypoints) and not np.abs(keypoints).max() < 1e5):
        raise InputError(f"{where}: expected pixels, got {np.abs(keypoints).max():g}")
    return keypoints
