"""Human3.6M's motion in its three published forms, told apart by what the folder holds: 32 joints, world frame, mm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nearfar.datasets.cdf import read_cdf
from nearfar.datasets.h36m.names import ACTIONS, action_of, clip_name, clip_order
from nearfar.datasets.hdf5 import read_hdf5
from nearfar.errors import InputError
from nearfar.safe_pickle import open_pickled_npz

__all__ = ["PATTERNS", "Clip", "Form", "form_of", "list_clips", "missing_clips"]

FloatArray = npt.NDArray[np.floating[Any]]
Form = Literal["cdf", "h5", "npz"]

JOINTS_IN_FILES = 32
NPZ_NAME = "data_3d_h36m.npz"
PATTERNS: Mapping[Form, str] = {
    "cdf": "S*/MyPoseFeatures/D3_Positions/*.cdf",
    "h5": "S*/MyPoses/3D_positions/*.h5",
    "npz": NPZ_NAME,
}
"""The files of each form; the first two have one for each clip."""

_RIGHT_SHIN, _PLAUSIBLE_SHIN, _FARTHEST = (2, 3), (200.0, 700.0), 20_000.0


@dataclass(frozen=True, eq=False)
class Clip:
    """One take of one action.

    Attributes:
        subject: the performer's number.
        name: action and take, ``Eating 2``.
        where: file (and key) for messages.
        read: gives the (N, 32, 3) joints, world frame (z up), mm.
    """

    subject: int
    name: str
    where: str
    read: Callable[[], FloatArray]


def form_of(folder: Path) -> Form | None:
    """Which form a folder holds; the archive before HDF5 before ``.npz`` where it holds several, None for none."""
    return next((form for form, pattern in PATTERNS.items() if any(folder.glob(pattern))), None)


def list_clips(folder: Path, form: Form) -> list[Clip]:
    """All clips of a folder, sorted by subject, action and take. Files of single clips are not opened yet.

    Raises:
        InputError: a name that is no action's, two files of one clip, or (npz) a damaged file.
    """
    clips: dict[tuple[int, str], Clip] = {}
    for clip in _clips_of_npz(folder / NPZ_NAME) if form == "npz" else _clips_of_files(folder, form):
        if (other := clips.setdefault((clip.subject, clip.name), clip)) is not clip:
            raise InputError(f"{clip.where}: the same clip as {other.where} (S{clip.subject}, {clip.name})")
    return sorted(clips.values(), key=lambda clip: (clip.subject, clip_order(clip.name)))


def missing_clips(clips: Sequence[Clip], form: Form) -> list[str]:
    """Actions of which a subject has not two clips, one line each: ``S5: Eating: 1 of 2 clips``.

    VideoPose3D's file leaves out a clip of S11, Directions, whose video is damaged.
    """
    lines = []
    for subject in dict.fromkeys(clip.subject for clip in clips):
        for action in ACTIONS:
            count = sum(clip.subject == subject and action_of(clip.name) == action for clip in clips)
            expected = 1 if form == "npz" and (subject, action) == (11, "Directions") else 2
            if count != expected:
                lines.append(f"S{subject}: {action}: {count} of {expected} clips")
    return lines


def _clips_of_files(folder: Path, form: Form) -> Iterator[Clip]:
    read = {"cdf": _read_cdf, "h5": _read_h5}[form]
    for path in sorted(folder.glob(PATTERNS[form])):
        subject = path.relative_to(folder).parts[0].removeprefix("S")
        name = clip_name(path.stem, path)
        if subject.isascii() and subject.isdigit() and name is not None:
            yield Clip(int(subject), name, str(path), partial(read, path))


def _clips_of_npz(path: Path) -> Iterator[Clip]:
    positions = open_pickled_npz(path).get("positions_3d")
    if not isinstance(positions, dict) or not all(isinstance(actions, dict) for actions in positions.values()):
        raise InputError(f"{path}: expected 'positions_3d', a dict of dicts (subject, action)")
    for subject, actions in positions.items():
        if not (isinstance(subject, str) and subject[:1] == "S" and subject[1:].isascii() and subject[1:].isdigit()):
            raise InputError(f"{path}: positions_3d: expected subjects 'S1' to 'S11', got {subject!r}")
        for action, metres in actions.items():
            where = f"{path}: {subject}, {action}"
            if (name := clip_name(str(action), where)) is not None:
                yield Clip(int(subject[1:]), name, where, partial(_from_metres, metres, where))


def _read_cdf(path: Path) -> FloatArray:
    """The authors' archive: variable Pose, one record of N rows of 96 numbers (joint by joint x, y, z)."""
    values = read_cdf(path, "Pose")
    if values.shape[-1:] != (3 * JOINTS_IN_FILES,) or values.size % (3 * JOINTS_IN_FILES):
        raise InputError(f"{path}: Pose: expected shape (1, N, 96), got {values.shape}")
    return _checked(values.reshape(-1, JOINTS_IN_FILES, 3), str(path))


def _read_h5(path: Path) -> FloatArray:
    """3d-pose-baseline's archive: ``3D_positions``, 96 rows (joint by joint x, y, z) of N columns."""
    values = read_hdf5(path, ["3D_positions"])["3D_positions"]
    if values.ndim != 2 or len(values) != 3 * JOINTS_IN_FILES:
        raise InputError(f"{path}: 3D_positions: expected shape (96, N), got {values.shape}")
    return _checked(values.T.reshape(-1, JOINTS_IN_FILES, 3), str(path))


def _from_metres(values: Any, where: str) -> FloatArray:
    """VideoPose3D's file: (N, 32, 3) float32, in metres."""
    if not isinstance(values, np.ndarray) or values.shape[1:] != (JOINTS_IN_FILES, 3) or values.dtype.kind != "f":
        got = values.shape if isinstance(values, np.ndarray) else type(values).__name__
        raise InputError(f"{where}: expected an array of floats of shape (N, {JOINTS_IN_FILES}, 3), got {got}")
    return _checked(values * np.asarray(1000, values.dtype), where)


def _checked(joints: npt.NDArray[Any], where: str) -> FloatArray:
    """The joints, once they are numbers and of human size in mm."""
    if not len(joints) or joints.dtype.kind != "f" or not np.isfinite(joints).all():
        raise InputError(f"{where}: expected joints in every frame, all of them finite numbers")
    if (farthest := np.abs(joints).max()) > _FARTHEST:
        raise InputError(f"{where}: a joint is {farthest:.3g} mm out, expected {_FARTHEST:g} at most: another unit?")
    knee, ankle = (joints[:, joint].astype(np.float64) for joint in _RIGHT_SHIN)
    shin = float(np.median(np.linalg.norm(knee - ankle, axis=-1)))
    low, high = _PLAUSIBLE_SHIN
    if not low < shin < high:
        raise InputError(f"{where}: the right shin is {shin:.3g} mm long, expected {low:g} to {high:g}: another unit?")
    return joints
