"""The fixed benchmark "cmu-4view": real CMU motion seen by four sampled cameras a trial, one row a frame and camera.

Each of ``train.npz``, ``val.npz`` and ``test.npz`` holds keypoints (pixels, no distortion), joints (mm, camera frame),
intrinsics, one pair of joints a row with its exact answer and that of a simulated crowd worker, and codes of subject,
trial and action. ``train_labels.npz`` is the train split without joints, with the mean limb lengths (mm) instead: what
a method that learns from relative labels alone may see. The images are 1000 x 1000 pixels, and imaginary.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.datasets.checks import check_array
from nearfar.datasets.mocap import CMU_ACKNOWLEDGEMENT, CMU_LICENCE
from nearfar.errors import InputError
from nearfar.files import open_npz
from nearfar.labels import RelativeLabels
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton

__all__ = ["LabelColumn", "benchmark_from_arrays", "benchmark_labels", "is_benchmark", "load_benchmark"]

Array = npt.NDArray[Any]
LabelColumn = Literal["answer", "crowd_answer"]

_IMAGE_SIZE = np.array([1000, 1000], dtype=np.int32)
FRAMES_A_SECOND = 15.0
_NAMED = ("subject", "trial", "action")
_REQUIRED = (
    "keypoints",
    "intrinsics",
    "frame",
    "pair",
    "answer",
    "crowd_answer",
    *_NAMED,
    *(f"{n}_names" for n in _NAMED),
)


def is_benchmark(arrays: Mapping[str, Array]) -> bool:
    """Whether the arrays of an ``.npz`` file are those of a benchmark file."""
    return all(name in arrays for name in ("keypoints", "intrinsics", "pair", "answer"))


def load_benchmark(path: str | Path) -> PoseSet:
    """Read a split of the benchmark as poses of skeleton ``h36m17``; the arrays are mapped into memory, not copied.

    Keypoints are pixels, joints (absent in ``train_labels.npz``) mm in the camera frame. A sequence is one camera's
    view of a trial: ``cmu/01_01 camera 0`` to ``camera 3``. `frame_index` counts the frames of the original motion;
    frames are 1/15 s apart where none was dropped, which is where `time` comes from.

    Raises:
        InputError: no such file, damaged, or not a benchmark file.
    """
    return benchmark_from_arrays(_open(path), Path(path))


def benchmark_labels(path: str | Path, column: LabelColumn = "answer") -> RelativeLabels:
    """The one label a row of a benchmark file: row i of the labels speaks of row i of the poses.

    The file's answers are -1 where the pair's first joint is nearer and +1 where the second is, which is just what
    `RelativeLabels.relation` means.

    Args:
        path: ``train.npz``, ``val.npz``, ``test.npz`` or ``train_labels.npz``.
        column: "answer" is exact; "crowd_answer" is a simulated crowd worker's, right with probability
            min(1, 0.5 + 0.0125·|Δz in cm|).

    Raises:
        InputError: no such file, damaged, not a benchmark file, or no such column.
    """
    if column not in get_args(LabelColumn):
        raise InputError(f"benchmark labels: expected one of {get_args(LabelColumn)}, got {column!r}")
    arrays = _open(path)
    try:
        return RelativeLabels(
            skeleton=get_skeleton("h36m17"),
            pose=np.arange(len(arrays["pair"])),
            pair=arrays["pair"],
            relation=arrays[column],
            provenance=_provenance(Path(path)) | {"column": column},
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def benchmark_from_arrays(arrays: Mapping[str, Array], path: Path) -> PoseSet:
    """`load_benchmark` for a file whose arrays are open already."""
    _check(arrays, path)
    skeleton = get_skeleton("h36m17")
    views = _views(arrays)
    try:
        return PoseSet(
            skeleton=skeleton,
            keypoints=arrays["keypoints"],
            joints=arrays.get("joints"),
            frame="camera",
            intrinsics=arrays["intrinsics"],
            image_size=np.broadcast_to(_IMAGE_SIZE, (len(arrays["keypoints"]), 2)),
            time=_time(arrays["frame"], views.codes),
            frame_index=arrays["frame"],
            sequence=views,
            subject=Category(arrays["subject"], tuple(arrays["subject_names"].tolist())),
            action=Category(arrays["action"], tuple(arrays["action_names"].tolist())),
            mean_limb_lengths=arrays.get("mean_limb_lengths"),
            provenance=_provenance(path),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _open(path: str | Path) -> dict[str, Array]:
    arrays = open_npz(path)
    _check(arrays, path)
    return arrays


def _check(arrays: Mapping[str, Array], path: str | Path) -> None:
    """Check that all arrays are there, and those that are no part of a `PoseSet` as they are."""
    if missing := [name for name in _REQUIRED if name not in arrays]:
        raise InputError(f"{path}: not a benchmark file: missing arrays {missing}; its arrays are {sorted(arrays)}")
    check_array(arrays["keypoints"], f"{path}: keypoints", "f", (None, None, 2))
    check_array(arrays["pair"], f"{path}: pair", "iu", (None, 2))
    rows = (len(arrays["pair"]),)
    for name in ("frame", "answer", "crowd_answer", *_NAMED):
        check_array(arrays[name], f"{path}: {name}", "iu", rows)
    for name in _NAMED:
        check_array(arrays[f"{name}_names"], f"{path}: {name}_names", "U", (None,))


def _views(arrays: Mapping[str, Array]) -> Category:
    """One name for each camera's view of a trial. The file has no camera number: a view ends where time turns back."""
    trial, frame = arrays["trial"], arrays["frame"]
    names = Category(trial, tuple(arrays["trial_names"].tolist())).names
    if not len(trial):
        return Category(np.zeros(0, np.int32), ())
    begins = np.concatenate([[True], (np.diff(trial) != 0) | (np.diff(frame) <= 0)])
    trial_of_view = trial[begins]
    first_of_trial = np.concatenate([[True], np.diff(trial_of_view) != 0])
    number = np.arange(len(trial_of_view))
    camera = number - number[first_of_trial][np.cumsum(first_of_trial) - 1]
    views = tuple(f"{names[t]} camera {c}" for t, c in zip(trial_of_view.tolist(), camera.tolist(), strict=True))
    return Category((np.cumsum(begins) - 1).astype(np.int32), views)


def _time(frame: Array, view: Array) -> Array:
    """(N,) seconds since the first frame of each view; the smallest step of a view is 1/15 s."""
    first = np.concatenate([[True], np.diff(view) != 0])[: len(view)]
    step = np.where(first[1:], np.iinfo(np.int64).max, np.diff(frame.astype(np.int64)))
    smallest = np.full(len(view), np.iinfo(np.int64).max)
    np.minimum.at(smallest, view[1:], step)
    begin = np.maximum.accumulate(np.where(first, np.arange(len(view)), 0))
    return (frame - frame[begin]) / (FRAMES_A_SECOND * smallest[view])


def _provenance(path: Path) -> dict[str, Any]:
    return {
        "source": "cmu-4view benchmark, made from CMU motion with sampled cameras",
        "file": path.name,
        "intrinsics": "exact",
        "acknowledgement": CMU_ACKNOWLEDGEMENT,
        "licence": CMU_LICENCE,
    }
