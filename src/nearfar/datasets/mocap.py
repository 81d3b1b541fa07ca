"""Motion capture as 17 joints: one compressed ``.npz`` a source, many trials in it, world frame.

The layout: ``pos`` (N, 17, 3) float32 mm, z up; ``trial_start`` (T + 1,): trial i is ``pos[trial_start[i]:trial_start[i
+ 1]]``; ``trial``, ``subject``, ``action`` (T,) names; ``fps`` (T,); ``valid`` (N,) False near glitches (a joint faster
than 13 m/s); ``split`` (T,) train, val or test, where there is one; ``joints`` (17,) names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.datasets.checks import check_array
from nearfar.errors import InputError
from nearfar.files import open_npz
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton

__all__ = ["CMU_ACKNOWLEDGEMENT", "CMU_LICENCE", "Invalid", "is_mocap", "load_mocap", "mocap_from_arrays"]

Array = npt.NDArray[Any]
Invalid = Literal["drop", "nan", "keep"]

CMU_ACKNOWLEDGEMENT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. "
    "The database was created with funding from NSF EIA-0196217."
)
"""To be stated wherever weights or figures come from the CMU Graphics Lab Motion Capture Database."""

CMU_LICENCE = (
    "CMU Graphics Lab Motion Capture Database: free for all uses, commercial products included; "
    "the data itself may not be resold, even in converted form."
)

_REQUIRED = ("pos", "trial_start", "trial", "subject", "action", "fps", "valid", "joints")
_OTHER_NAMES = {"nose": "chin"}
"""The file's "nose" lies on the neck's axis: it is Human3.6M's joint 9, which the skeletons call the chin."""


def is_mocap(arrays: Mapping[str, Array]) -> bool:
    """Whether the arrays of an ``.npz`` file are those of a mocap file."""
    return all(name in arrays for name in ("pos", "trial_start", "joints"))


def load_mocap(path: str | Path, *, split: str | None = None, invalid: Invalid = "drop") -> PoseSet:
    """Read a mocap file as world-frame poses of skeleton ``h36m17``, mm, z up.

    The names of sequences and subjects get the source in front (``cmu/01_01``), as in the CMU benchmark; time runs
    from the start of each trial and `frame_index` counts its frames, dropped ones included.

    Args:
        path: the ``.npz`` file.
        split: read the trials of this split only ("train", "val", "test"); None reads all.
        invalid: what becomes of frames marked as glitches: "drop" leaves them out, "nan" keeps the rows with all
            joints missing (the frames stay evenly spaced), "keep" keeps the joints as they are.

    Raises:
        InputError: no such file, damaged, not a mocap file, other joints, no such split.
    """
    return mocap_from_arrays(open_npz(path), Path(path), split=split, invalid=invalid)


def mocap_from_arrays(
    arrays: Mapping[str, Array], path: Path, *, split: str | None = None, invalid: Invalid = "drop"
) -> PoseSet:
    """`load_mocap` for a file whose arrays are open already."""
    if missing := [name for name in _REQUIRED if name not in arrays]:
        raise InputError(f"{path}: not a mocap file: missing arrays {missing}; its arrays are {sorted(arrays)}")
    if invalid not in get_args(Invalid):
        raise InputError(f"invalid frames: expected one of {get_args(Invalid)}, got {invalid!r}")
    skeleton = get_skeleton("h36m17")
    check_array(arrays["joints"], f"{path}: joints", "U", (None,))
    joints = tuple(_OTHER_NAMES.get(name, name) for name in arrays["joints"].tolist())
    if joints != skeleton.joints:
        raise InputError(f"{path}: joints: expected {list(skeleton.joints)} in this order, got {list(joints)}")
    for name in ("trial", "subject", "action", "split"):
        if name in arrays:
            check_array(arrays[name], f"{path}: {name}", "U", (len(arrays["trial"]) if arrays["trial"].ndim else None,))
    check_array(arrays["pos"], f"{path}: pos", "fiu", (None, len(joints), 3))
    n, trials = len(arrays["pos"]), len(arrays["trial"])
    check_array(arrays["trial_start"], f"{path}: trial_start", "iu", (trials + 1,))
    check_array(arrays["valid"], f"{path}: valid", "b", (n,))
    check_array(arrays["fps"], f"{path}: fps", "fiu", (trials,))
    position, start, valid = arrays["pos"], arrays["trial_start"].astype(np.int64), arrays["valid"]
    if start[0] != 0 or start[-1] != n or (np.diff(start) < 0).any():
        raise InputError(f"{path}: trial_start: expected rising row numbers from 0 to {n}")
    if not ((arrays["fps"] > 0) & np.isfinite(arrays["fps"])).all():
        raise InputError(f"{path}: fps: expected positive frame rates")

    trial = np.repeat(np.arange(trials), np.diff(start))
    frame = np.arange(n) - start[trial]
    chosen = _trials_of(arrays, split, path)[trial]
    if invalid == "drop":
        chosen &= valid
    rows = np.flatnonzero(chosen)
    joints_mm = position[rows]
    if invalid == "nan":
        joints_mm[~valid[rows]] = np.nan
    source = path.stem.removesuffix(f"_{skeleton.name}")
    trial = trial[rows]
    return PoseSet(
        skeleton=skeleton,
        joints=joints_mm,
        frame="world",
        time=frame[rows] / arrays["fps"][trial].astype(np.float64),
        frame_index=frame[rows],
        sequence=_column(arrays["trial"], trial, f"{source}/"),
        subject=_column(arrays["subject"], trial, f"{source}/"),
        action=_column(arrays["action"], trial),
        provenance=_provenance(arrays, path, source, split, invalid),
    )


def _trials_of(arrays: Mapping[str, Array], split: str | None, path: Path) -> Array:
    """(T,) which trials belong to the split."""
    if split is None:
        return np.ones(len(arrays["trial"]), dtype=bool)
    known = sorted(set(arrays["split"].tolist())) if "split" in arrays else []
    if split not in known:
        raise InputError(f"{path}: no split {split!r}; " + (f"it has {known}" if known else "the file has no splits"))
    return np.asarray(arrays["split"] == split)


def _column(names: Array, trial: Array, prefix: str = "") -> Category:
    """A name for each row from the names of the trials."""
    unique, codes = np.unique(names, return_inverse=True)
    return Category(codes[trial].astype(np.int32), tuple(f"{prefix}{name}" for name in unique))


def _provenance(
    arrays: Mapping[str, Array], path: Path, source: str, split: str | None, invalid: Invalid
) -> dict[str, Any]:
    facts: dict[str, Any] = {"source": source, "file": path.name, "split": split, "invalid_frames": invalid}
    if "skeleton" in arrays:
        facts["limbs"] = "motions on a substitute or retargeted skeleton: limb lengths are not the subject's"
    if source.startswith("cmu"):
        facts |= {"acknowledgement": CMU_ACKNOWLEDGEMENT, "licence": CMU_LICENCE}
    return facts
