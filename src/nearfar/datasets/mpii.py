"""MPII Human Pose (Andriluka et al., CVPR 2014): 2D joints of people in photos, in the two forms that are in use.

The original is a Matlab struct, ``mpii_human_pose_v1_u12_1.mat``. The JSON that came with "Simple Baselines" and HRNet
(``annot/train.json``, ``valid.json``) splits its training images in two; it has a person a record, and its
``joints_vis`` says which joints are labelled, not which are visible. Both count pixels from 1, so that the middle of
the first one is (1, 1): half a pixel is taken off, since nearfar measures from the corner of the first pixel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.checks import check_array, complaints
from nearfar.datasets.image_size import read_image_size
from nearfar.datasets.keypoint_files.records import Options, Record, item, listed, number, poses_from_records
from nearfar.datasets.matlab import field, load_mat, structs
from nearfar.datasets.source import Download, Prepared, Source
from nearfar.errors import InputError
from nearfar.files import read_json
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton

__all__ = ["SOURCE", "load_mpii_json", "load_mpii_mat"]

LICENCE = (
    "MPII Human Pose: annotations for research; commercial use is not allowed, since the authors do not have the "
    "copyright of the images."
)
CITATION = "Andriluka et al., 2D Human Pose Estimation: New Benchmark and State of the Art Analysis, CVPR 2014."

_JOINTS = 16
_FIRST_PIXEL = 0.5
"""What is taken off coordinates that call the middle of the first pixel 1."""

_MAT = "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat"
_JSON = {"train": "annot/train.json", "valid": "annot/valid.json"}


def load_mpii_json(path: str | Path, *, images: str | Path | None = None) -> PoseSet:
    """Read the JSON form: ``[{"image": …, "joints": [[x, y], …], "joints_vis": [1, …], "center": …, "scale": …}, …]``.

    `sequence` is the image's file name and `person` counts its people. Joints whose ``joints_vis`` is 0 are missing
    (the files have (-1, -1) there), others have score 1; which are occluded the JSON does not say.

    Args:
        path: the file.
        images: folder of the images, to read `image_size` from them; without it there is none.

    Raises:
        InputError: no such file, not such JSON, damaged, or without joints, as ``test.json`` is: they are withheld; or
            an image that is not there.
    """
    path = Path(path)
    records = []
    for i, entry in enumerate(listed(read_json(path), str(path))):
        where = f"{path}: record {i}"
        image = item(entry, "image", where)
        xy = _array(item(entry, "joints", where), (_JOINTS, 2), f"{where}: joints")
        labelled = _array(item(entry, "joints_vis", where), (_JOINTS,), f"{where}: joints_vis")
        if not np.isin(labelled, (0, 1)).all():
            raise InputError(f"{where}: joints_vis: expected 0 or 1, got {labelled.tolist()}")
        if labelled.any():
            records.append(_record(xy, labelled > 0, _file_name(image, where), where))
    return _poses(records, path, images)


def load_mpii_mat(path: str | Path, *, images: str | Path | None = None) -> PoseSet:
    """Read the original Matlab form, the training images' people; joints of test images are withheld.

    As `load_mpii_json`, with two columns more: `occluded` is a point's ``is_visible`` = 0 (the points of the head have
    none), and `action` is the name of the image's activity ("" where it has none).

    Args:
        path: the file.
        images: folder of the images, to read `image_size` from them; without it there is none.

    Raises:
        InputError: no such file, not that Matlab file, or damaged; or an image that is not there.
    """
    path = Path(path)
    mat = load_mat(path, {"RELEASE"})
    if "RELEASE" not in mat:
        raise InputError(f"{path}: no variable RELEASE: not MPII's annotations")
    where = f"{path}: RELEASE"
    release = _one(mat["RELEASE"], where)
    shown, activities = (structs(field(release, name, where), f"{where}: {name}") for name in ("annolist", "act"))
    train = np.ravel(field(release, "img_train", where))
    check_array(train, f"{where}: img_train", "fiu", (None,))
    if not len(shown) == len(activities) == len(train):
        raise InputError(f"{path}: {len(shown)} images, but {len(activities)} activities and {len(train)} in img_train")
    records: list[Record] = []
    actions: dict[str, str] = {}
    for i in np.flatnonzero(train == 1):
        where = f"{path}: image {i + 1}"
        name = field(_one(field(shown[i], "image", where), where), "name", where)
        action = field(activities[i], "act_name", where)
        name = _file_name(name, where)
        actions[name] = action if isinstance(action, str) else ""
        records += _people(shown[i], name, where)
    poses = _poses(records, path, images)
    names = poses.sequence.values() if poses.sequence is not None else ()
    return dataclasses.replace(poses, action=Category.of([actions[name] for name in names]))


def _people(image: Mapping[str, Any], name: str, where: str) -> Iterator[Record]:
    """The people of one image who have joints."""
    for p, person in enumerate(structs(field(image, "annorect", where), where)):
        at = f"{where}: person {p + 1}"
        if not np.size(points := person.get("annopoints", ())):
            continue
        xy, labelled, hidden = np.zeros((_JOINTS, 2)), np.zeros(_JOINTS, bool), np.zeros(_JOINTS, bool)
        for point in structs(field(_one(points, at), "point", at), at):
            joint = _number(field(point, "id", at), at)
            if joint not in range(_JOINTS):
                raise InputError(f"{at}: joint id: expected 0 to {_JOINTS - 1}, got {joint:g}")
            xy[int(joint)] = [_number(field(point, axis, at), at) for axis in ("x", "y")]
            labelled[int(joint)] = True
            hidden[int(joint)] = _says_no(point.get("is_visible"))
        if labelled.any():
            yield _record(xy, labelled, name, at, hidden)


def _record(
    xy: npt.NDArray[Any], labelled: npt.NDArray[np.bool_], image: str, where: str, occluded: Any = None
) -> Record:
    points = np.concatenate([np.where(labelled[:, None], xy - _FIRST_PIXEL, np.nan), labelled[:, None]], axis=1)
    return Record(where, points, image, occluded=occluded)


def _poses(records: list[Record], path: Path, images: str | Path | None) -> PoseSet:
    if images is not None:
        sizes = {name: read_image_size(Path(images) / name) for name in dict.fromkeys(r.sequence for r in records)}
        records = [dataclasses.replace(record, image_size=sizes[record.sequence]) for record in records]
    facts = {"source": "MPII Human Pose", "licence": LICENCE, "citation": CITATION}
    return poses_from_records(records, get_skeleton("mpii16"), path, Options(), facts)


def _file_name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise InputError(f"{where}: image: expected a file name, got {value!r}")
    return value.replace("\\", "/")


def _array(value: Any, shape: tuple[int, ...], where: str) -> npt.NDArray[np.float64]:
    """Finite numbers of a shape, from JSON lists."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: expected numbers of shape {shape}") from None
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(f"{where}: expected numbers of shape {shape}, got shape {array.shape}")
    return array


def _one(value: Any, where: str) -> Mapping[str, Any]:
    """The struct of a 1 x 1 struct array."""
    found = structs(value, where)
    if len(found) != 1:
        raise InputError(f"{where}: expected one struct, got {len(found)}")
    return found[0]


def _says_no(visible: Any) -> bool:
    """Whether a point's ``is_visible`` is 0: it is a number, the text "0" or "1", empty, or not there at all."""
    if isinstance(visible, np.ndarray):
        return bool(visible.size == 1 and visible.dtype != object and visible.item() == 0)
    return bool(visible == "0")


def _number(value: Any, where: str) -> float:
    """A 1 x 1 array as a number."""
    if not isinstance(value, np.ndarray) or value.size != 1 or value.dtype == object:
        raise InputError(f"{where}: expected one number")
    return number(value.item(), where)


def _parts(folder: Path) -> Iterator[tuple[str, Callable[[], PoseSet]]]:
    """Names of the parts that the folder should have, and how to read each."""
    images = folder / "images" if (folder / "images").is_dir() else None
    if any((folder / name).exists() for name in _JSON.values()):
        for split, name in _JSON.items():
            yield split, partial(load_mpii_json, folder / name, images=images)
    elif (folder / _MAT).exists():
        yield "train", partial(load_mpii_mat, folder / _MAT, images=images)
    else:
        raise InputError(f"{folder}: neither {' and '.join(_JSON.values())} nor {_MAT}")


def _problems(folder: Path) -> list[str]:
    try:
        reads = [read for _, read in _parts(folder)]
    except InputError as error:
        return [str(error)]
    return complaints(reads, lambda read: read(), "check mpii")


def _prepare(folder: Path, skeleton: str | None) -> Iterator[Prepared]:
    for name, read in _parts(folder):
        yield Prepared(name, read().remap(skeleton or "mpii16"))


SOURCE = Source(
    name="mpii",
    title="MPII Human Pose",
    homepage="http://human-pose.mpi-inf.mpg.de/",
    licence=f"{LICENCE} Cite: {CITATION}",
    steps=(
        "Download mpii_human_pose_v1_u12_2.zip (12 MB) from http://human-pose.mpi-inf.mpg.de/ and unpack it.\n"
        "Or, for the usual split, put train.json and valid.json of HRNet's MPII annotations (the page "
        "https://github.com/leoxiaobin/deep-high-resolution-net.pytorch links to them) into annot/."
    ),
    layout="\n".join((*_JSON.values(), _MAT, "images/*.jpg (optional)")),
    problems=_problems,
    prepare=_prepare,
    downloads=(
        Download(
            path="mpii_human_pose_v1_u12_2.zip",
            urls=("https://datasets.d2.mpi-inf.mpg.de/andriluka14cvpr/mpii_human_pose_v1_u12_2.zip",),
            unpack=True,
        ),
    ),
)
