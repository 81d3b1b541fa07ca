"""What several commands read from the user's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

from nearfar.datasets import load_labels
from nearfar.datasets.cmu_benchmark import LabelColumn
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet


def labels_of(name: str, data: Path, poses: PoseSet) -> RelativeLabels:
    """Labels by column of the benchmark file `data`, or from a label file of their own."""
    if name in get_args(LabelColumn):
        return load_labels(data, poses=poses, column=cast("LabelColumn", name))
    if not Path(name).exists():
        raise InputError(f"--labels {name}: neither a label file nor one of answer, crowd_answer")
    return load_labels(name, skeleton=poses.skeleton, poses=poses)


def training_card(poses: PoseSet, labels: RelativeLabels | None, preset: str) -> dict[str, Any]:
    """What the weights should say about where they come from."""
    supervision = "3D joints" if labels is None else f"{len(labels)} relative depth labels"
    return {
        "preset": preset,
        "supervision": supervision,
        "poses": len(poses),
        "data": dict(poses.provenance),
        "labels": {} if labels is None else dict(labels.provenance),
    }


def image_size(text: str) -> tuple[int, int]:
    """``1920x1080`` as (1920, 1080)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise InputError(f"image size: expected WIDTHxHEIGHT in pixels, such as 1920x1080, got {text!r}")
    return int(width), int(height)
