"""What Human3.6M's subjects, actions, cameras and joints are called, whatever the form of its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.skeleton_maps import remap

__all__ = [
    "ACTIONS",
    "CAMERAS",
    "SUBJECTS",
    "Split",
    "action_of",
    "clip_name",
    "clip_order",
    "select_joints",
    "subjects_of",
]

FloatArray = npt.NDArray[np.floating[Any]]
Split = Literal["train", "test"]

SUBJECTS = (1, 5, 6, 7, 8, 9, 11)
"""Those whose motion is published; S2, S3, S4 and S10 are held back by the authors."""

_SPLITS: dict[str, tuple[int, ...]] = {"train": (1, 5, 6, 7, 8), "test": (9, 11)}

ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip
"""The 15 actions, in the order of the field's tables. Each subject does each of them twice."""

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
"""The four video cameras, in the order of ``cameras.h5``, ``metadata.xml`` and the lists in VideoPose3D's files."""

_OTHER_NAMES = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
"""The names of subject 1's clips in the archive; the other subjects' clips, and all code since, have the latter."""

_CLIP = re.compile(r"([A-Za-z]+)(?: (\d+))?")

# The joints of human19 among the 32 of the files. The others repeat a joint, or are sites on hands, feet and spine.
_JOINTS_OF_32 = np.array([15, 14, 13, 25, 26, 27, 17, 18, 19, 12, 0, 1, 2, 3, 5, 6, 7, 8, 10])


def subjects_of(split: str, subjects: Sequence[int] | None = None) -> tuple[int, ...]:
    """The subjects of a split: 1, 5, 6, 7, 8 train and 9, 11 test; or those that the caller names instead.

    Raises:
        InputError: no such split or subject, or a subject named twice.
    """
    if split not in get_args(Split):
        raise InputError(f"Human3.6M: split: expected one of {get_args(Split)}, got {split!r}")
    if subjects is None:
        return _SPLITS[split]
    chosen = tuple(subjects)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(SUBJECTS):
        raise InputError(f"Human3.6M: subjects: expected some of {SUBJECTS}, each once, got {chosen}")
    return chosen


def clip_name(stem: str, where: str | Path) -> str | None:
    """The usual name of a clip from that of its file: action, and number of the take where it has one.

    Underscores become spaces (``Directions_1`` in the archive of fine-tuned detections), TakingPhoto becomes Photo and
    WalkingDog WalkDog. Clips called ``_ALL`` (calibration) have no action: None.

    Raises:
        InputError: no action of Human3.6M; `where` is the file.
    """
    if stem.startswith("_ALL"):
        return None
    match = _CLIP.fullmatch(stem.replace("_", " ").strip())
    action = "" if match is None else _OTHER_NAMES.get(match[1], match[1])
    if match is None or action not in ACTIONS:
        raise InputError(f"{where}: no action of Human3.6M is called {stem!r}; they are {', '.join(ACTIONS)}")
    return action if match[2] is None else f"{action} {int(match[2])}"


def action_of(clip: str) -> str:
    """The action of a clip: ``Eating 2`` is of Eating."""
    return clip.split(" ", maxsplit=1)[0]


def clip_order(clip: str) -> tuple[int, str]:
    """Sorts clips by action, in the order of `ACTIONS`."""
    return ACTIONS.index(action_of(clip)), clip


def select_joints(points: FloatArray, skeleton: Skeleton) -> FloatArray:
    """The joints of a skeleton from Human3.6M's 32: (N, 32, D) to (N, J, D).

    Joints 0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27 are skeleton ``h36m17``; 5 and 10 are the tips of
    the feet in ``human19``; ``h36m16`` and ``lsp14`` are part of them.

    Raises:
        InputError: the skeleton has joints that cannot be derived from those of ``human19``.
    """
    return remap(get_skeleton("human19"), skeleton).points(points[:, _JOINTS_OF_32])
