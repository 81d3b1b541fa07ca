"""Leeds Sports Pose (Johnson and Everingham, BMVC 2010) and its extension (CVPR 2011): photos with 14 labelled joints.

Both come as ``joints.mat`` with one array ``joints`` and a folder ``images``, and differ in all the rest:

- LSP: (3, 14, 2000), rows x, y and a flag that is **1 where the joint is occluded**. Its page calls it visibility; the
  training scripts of Convolutional Pose Machines (Wei et al., CVPR 2016) turn it round for this data set alone:
  ``joints(3,:,:) = 1 - joints(3,:,:)``. Occluded joints are labelled too. The first 1,000 images are the training set,
  the last 1,000 the test set. ``images/im0001.jpg``.
- LSP Extended: (14, 3, 10000), columns x, y and a flag that is **1 where the joint is visible**. The others are not
  labelled; their coordinates mean nothing. All are training images. ``images/im00001.jpg``. HR-LSPET (Insafutdinov et
  al., ECCV 2016; 9,428 images ``im*.png``) has the same form, with gaps in the numbers of the images.

The authors do not say whether pixels count from 0 or, as Matlab's, from 1. Code that trains on the data takes the
numbers as they are (SPIN, for one; pytorch-pose has a subtraction of 1 commented out), and so does this reader.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.datasets.checks import check_array, complaints, coordinates
from nearfar.datasets.image_size import read_image_size
from nearfar.datasets.matlab import load_mat
from nearfar.datasets.progress import progress
from nearfar.datasets.source import Download, Prepared, Source
from nearfar.errors import InputError
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["EXTENDED_SOURCE", "LSP_LICENCE", "SOURCE", "Split", "load_lsp", "load_lsp_extended"]

Array = npt.NDArray[Any]
Split = Literal["train", "test"]
Prepare = Callable[[Path, str | None], Iterator[Prepared]]

LSP_LICENCE = "The authors state no licence; the photos are those of Flickr's users, who keep their rights."
_CITATION = (
    "Johnson and Everingham, Clustered Pose and Nonlinear Appearance Models for Human Pose Estimation, BMVC 2010."
)
_EXTENDED_CITATION = (
    "Johnson and Everingham, Learning Effective Human Pose Estimation from Inaccurate Annotation, CVPR 2011."
)
_IMAGES, _TRAIN, _EXTENDED_IMAGES = 2000, 1000, 10_000


def load_lsp(folder: str | Path, *, split: Split | None = None, skeleton: str | Path | Skeleton = "lsp14") -> PoseSet:
    """Read LSP: keypoints in pixels, and which of them are occluded.

    `sequence` is the image; without a split row i is image i + 1, as in the relative depth labels. `image_size` is read
    from the images, if there is a folder of them.

    Args:
        folder: holds ``joints.mat`` and perhaps ``images``.
        split: "train" (the first 1,000 images), "test" (the last) or None for all.
        skeleton: skeleton of the poses; the file's own is ``lsp14``.

    Raises:
        InputError: files that are missing or damaged, an array of another shape, or a skeleton that cannot be had.
    """
    if split not in (None, *get_args(Split)):
        raise InputError(f"LSP: split: expected one of {get_args(Split)}, got {split!r}")
    rows = {None: slice(None), "train": slice(_TRAIN), "test": slice(_TRAIN, None)}[split]
    return _with_sizes(_labelled(Path(folder)).select(rows), Path(folder)).remap(skeleton)


def load_lsp_extended(folder: str | Path, *, skeleton: str | Path | Skeleton = "lsp14") -> PoseSet:
    """Read LSP Extended (or HR-LSPET): keypoints in pixels, NaN with score 0 where they are not labelled.

    `sequence` is the image. `image_size` is read from the images, if there is a folder of them; HR-LSPET cannot be read
    without, since its file does not say which pose is whose.

    Args:
        folder: holds ``joints.mat`` and perhaps ``images``.
        skeleton: skeleton of the poses; the file's own is ``lsp14``.

    Raises:
        InputError: files that are missing or damaged, an array of another shape, or a skeleton that cannot be had.
    """
    return _with_sizes(_labelled_extended(Path(folder)), Path(folder)).remap(skeleton)


def _labelled(folder: Path) -> PoseSet:
    points, occluded = _joints(folder, (3, 14, _IMAGES), (2, 1, 0))
    return PoseSet(
        skeleton=get_skeleton("lsp14"),
        keypoints=points,
        occluded=occluded,
        sequence=_images([f"im{i:04d}.jpg" for i in range(1, _IMAGES + 1)]),
        provenance={"source": "Leeds Sports Pose", "licence": LSP_LICENCE, "citation": _CITATION},
    )


def _labelled_extended(folder: Path) -> PoseSet:
    points, visible = _joints(folder, (14, 3, None), (2, 0, 1))
    names = [f"im{i:05d}.jpg" for i in range(1, len(points) + 1)]
    if len(points) != _EXTENDED_IMAGES:
        names = sorted(path.name for path in (folder / "images").glob("im*.*"))
        if len(names) != len(points):
            raise InputError(
                f"{folder}: joints.mat has {len(points)} poses, but there are {len(names)} files images/im*"
            )
    return PoseSet(
        skeleton=get_skeleton("lsp14"),
        keypoints=np.where(visible[..., None], points, np.float32(np.nan)),
        scores=visible.astype(np.float32),
        sequence=_images(names),
        provenance={"source": "Leeds Sports Pose Extended", "licence": LSP_LICENCE, "citation": _EXTENDED_CITATION},
    )


def _joints(folder: Path, shape: tuple[int | None, ...], order: tuple[int, int, int]) -> tuple[Array, Array]:
    """Keypoints (N, 14, 2) and flags (N, 14) of ``joints.mat``, whose axes come in another order."""
    path = folder / "joints.mat"
    joints = load_mat(path, ["joints"]).get("joints")
    if not isinstance(joints, np.ndarray):
        raise InputError(f"{path}: no array called 'joints'")
    check_array(joints, f"{path}: joints", "fiu", shape)
    table = joints.transpose(order)
    if not np.isfinite(table).all():
        raise InputError(f"{path}: joints: expected finite numbers")
    if not np.isin(table[..., 2], (0, 1)).all():
        raise InputError(f"{path}: joints: expected 0 or 1 as the third number of each joint")
    return coordinates(table[..., :2], f"{path}: joints"), table[..., 2] == 1


def _images(names: Sequence[str]) -> Category:
    return Category(np.arange(len(names), dtype=np.int32), tuple(f"images/{name}" for name in names))


def _with_sizes(poses: PoseSet, folder: Path) -> PoseSet:
    """The poses with the sizes of their images, if there are images."""
    if not (folder / "images").is_dir() or poses.sequence is None:
        return poses
    names = progress(poses.sequence.values().tolist(), "read image sizes")
    sizes = [read_image_size(folder / name) for name in names]
    return dataclasses.replace(poses, image_size=np.array(sizes, dtype=np.int32).reshape(-1, 2))


def _problems(folder: Path, labelled: Callable[[Path], PoseSet]) -> list[str]:
    """What is wrong with ``joints.mat``, and with the images, if there is a folder of them."""
    try:
        poses = labelled(folder)
    except InputError as error:
        return [str(error)]
    if not (folder / "images").is_dir() or poses.sequence is None:
        return []
    names = poses.sequence.names
    missing = [name for name in names if not (folder / name).is_file()]
    found = (
        [f"{folder}: {len(missing)} of {len(names)} images are missing, the first is {missing[0]}"] if missing else []
    )
    present = sorted(set(names) - set(missing))
    return found + complaints([folder / name for name in present], read_image_size, "check images")


def _prepare(folder: Path, skeleton: str | None) -> Iterator[Prepared]:
    for split in get_args(Split):
        yield Prepared(split, load_lsp(folder, split=split, skeleton=skeleton or "lsp14"))


def _prepare_extended(folder: Path, skeleton: str | None) -> Iterator[Prepared]:
    yield Prepared("train", load_lsp_extended(folder, skeleton=skeleton or "lsp14"))


def _source(
    name: str, title: str, page: str, citation: str, images: str, labelled: Callable[[Path], PoseSet], prepare: Prepare
) -> Source:
    homepage, archive = f"https://sam.johnson.io/research/{page}.html", f"{page}_dataset.zip"
    return Source(
        name=name,
        title=title,
        homepage=homepage,
        licence=f"{LSP_LICENCE} Cite: {citation}",
        steps=(
            f"Open {homepage} and download {archive}.\n"
            "Unpack it into one folder, so that joints.mat and the folder images lie in it."
        ),
        layout=f"joints.mat\nimages/{images} (for pictures and the sizes of the images; may be left out)",
        problems=lambda folder: _problems(folder, labelled),
        prepare=prepare,
        downloads=(Download(archive, (f"https://sam.johnson.io/research/{archive}",), unpack=True),),
    )


SOURCE = _source("lsp", "Leeds Sports Pose", "lsp", _CITATION, "im0001.jpg to im2000.jpg", _labelled, _prepare)
EXTENDED_SOURCE = _source(
    "lsp_extended",
    "Leeds Sports Pose Extended",
    "lspet",
    _EXTENDED_CITATION,
    "im00001.jpg to im10000.jpg",
    _labelled_extended,
    _prepare_extended,
)
