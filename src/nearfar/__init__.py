"""nearfar: 3D pose from one kind of question: which of these two joints is nearer to the camera?

>>> import nearfar
>>> lifter = nearfar.load("default")
>>> joints = lifter.lift(keypoints, skeleton="coco17", image_size=(1920, 1080))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar import metrics
    from nearfar.datasets import load_labels, load_poses
    from nearfar.evaluation import evaluate
    from nearfar.labels import RelativeLabels
    from nearfar.lifting import Lifter, load
    from nearfar.pipeline import lift_media
    from nearfar.poses import PoseSet
    from nearfar.presets import PRESETS, TrainingConfig, preset
    from nearfar.skeleton import Skeleton, get_skeleton, skeleton_names
    from nearfar.skeleton_maps import remap
    from nearfar.synthetic import synthetic_poses
    from nearfar.training import train
    from nearfar.viewing import write_overlay, write_viewer

__version__ = "0.1.0"
__all__ = [
    "PRESETS",
    "InputError",
    "Lifter",
    "PoseSet",
    "RelativeLabels",
    "Skeleton",
    "TrainingConfig",
    "evaluate",
    "get_skeleton",
    "lift_media",
    "load",
    "load_labels",
    "load_poses",
    "metrics",
    "preset",
    "remap",
    "skeleton_names",
    "synthetic_poses",
    "train",
    "write_overlay",
    "write_viewer",
]

# Imported when it is first asked for: nobody waits for numpy, torch or an optional library that they do not use.
_LAZY = {
    "PoseSet": "nearfar.poses",
    "RelativeLabels": "nearfar.labels",
    "Skeleton": "nearfar.skeleton",
    "get_skeleton": "nearfar.skeleton",
    "remap": "nearfar.skeleton_maps",
    "skeleton_names": "nearfar.skeleton",
    "PRESETS": "nearfar.presets",
    "TrainingConfig": "nearfar.presets",
    "preset": "nearfar.presets",
    "Lifter": "nearfar.lifting",
    "load": "nearfar.lifting",
    "lift_media": "nearfar.pipeline",
    "evaluate": "nearfar.evaluation",
    "train": "nearfar.training",
    "load_poses": "nearfar.datasets",
    "load_labels": "nearfar.datasets",
    "synthetic_poses": "nearfar.synthetic",
    "write_overlay": "nearfar.viewing",
    "write_viewer": "nearfar.viewing",
}


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("nearfar.metrics")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'nearfar' has no attribute {name!r}")
