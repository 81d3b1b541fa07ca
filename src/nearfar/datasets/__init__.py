"""Readers of files in their published formats, one module a source.

`load_poses` and `load_labels` are the doors to them all, and `save_labels` the way back.
"""

from nearfar.datasets.cmu_benchmark import benchmark_labels, load_benchmark
from nearfar.datasets.keypoint_files import load_keypoints
from nearfar.datasets.loading import load_labels, load_poses, load_poses_to_lift
from nearfar.datasets.mocap import load_mocap
from nearfar.datasets.saving import save_labels

__all__ = [
    "benchmark_labels",
    "load_benchmark",
    "load_keypoints",
    "load_labels",
    "load_mocap",
    "load_poses",
    "load_poses_to_lift",
    "save_labels",
]
