"""The way out: `save_labels` writes labels in every form that `load_labels` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from nearfar import tables
from nearfar.datasets.relative_depth_lsp import RelativeDepthLSP, write_relative_depth_lsp
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet

__all__ = ["LabelForm", "label_form", "save_labels"]

LabelForm = Literal["parquet", "csv", "json", "jsonl", "crowd-kit", "relative-depth-lsp"]

_OWN = ("parquet", "csv", "json", "jsonl")


def label_form(path: str | Path, form: LabelForm | None = None) -> LabelForm:
    """The form that is said, or else what the ending of the name says: .parquet, .csv, .json or .jsonl.

    Raises:
        InputError: neither says one.
    """
    if form is not None:
        if form not in get_args(LabelForm):
            raise InputError(f"labels: no form {form!r}; known are {', '.join(get_args(LabelForm))}")
        return form
    for own in get_args(LabelForm):
        if own in _OWN and Path(path).suffix.lower() == f".{own}":
            return own  # type: ignore[no-any-return]
    raise InputError(f"{path}: expected a name ending in {', '.join(f'.{own}' for own in _OWN)}")


def save_labels(
    labels: RelativeLabels, path: str | Path, *, form: LabelForm | None = None, poses: PoseSet | None = None
) -> None:
    """Write labels, whole or not at all.

    Args:
        labels: raw answers or merged labels.
        path: the file.
        form: "parquet", "csv", "json" or "jsonl", by default as the name ends; "crowd-kit"
            (`nearfar.tables.write_crowdkit_csv`); or "relative-depth-lsp" (`write_relative_depth_lsp`, merged labels
            only, with all images to train on).
        poses: the poses that the labels speak of, with keypoints and image files; for "relative-depth-lsp".

    Raises:
        InputError: labels that the form has no place for, or the file cannot be written.
    """
    match label_form(path, form):
        case "parquet":
            labels.save(path)
        case "csv":
            tables.write_labels_csv(labels, path)
        case "json":
            tables.write_labels_json(labels, path)
        case "jsonl":
            tables.write_labels_jsonl(labels, path)
        case "crowd-kit":
            tables.write_crowdkit_csv(labels, path)
        case "relative-depth-lsp":
            if poses is None:
                raise InputError(
                    f"{path}: the form of relative_depth_lsp_v1.json holds the poses too, which were not given"
                )
            write_relative_depth_lsp(path, RelativeDepthLSP.of(poses, labels))
