"""Relative Depth LSP (Ronchi et al., BMVC 2018): merged answers to "which joint is nearer?" on the 2,000 images of LSP.

``relative_depth_lsp_v1.json`` is ``{"joint_names": [14 names], "images": [...]}``. An image is ``{"im_file":
"images/im0001.jpg", "is_train": true, "keypoints": [x0, y0, ...], "occluded": [0 or 1, ...], "anns": [...]}``, and an
annotation ``{"kp0": i, "kp1": j, "label": 0 or 1, "prob": p, "risk": q, "original_id": "0_3,5"}``. Joint numbers count
the file's own ``joint_names``, which come in another order than LSP's and call the top of the head "head". Label 0 says
that kp0 is nearer, 1 that kp1 is; ``prob`` is that of label 1 (`matteorr/rel_3d_pose`, ``paper_plots/fig_s3.py``, shows
1 - risk for label 0 and prob for label 1), and ``risk`` that of the label being wrong.

The form serves images, joints and labels of other people as well: of any skeleton whose joints ``joint_names`` are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.checks import complaints, coordinates
from nearfar.datasets.lsp import LSP_LICENCE
from nearfar.datasets.mturk import CITATION, STUDY_JOINTS, joint_numbers, load_study, load_study_images
from nearfar.datasets.records import Records
from nearfar.datasets.source import Download, Prepared, Source
from nearfar.errors import InputError
from nearfar.files import read_json, write_text
from nearfar.labels import RelativeLabels
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton, get_skeleton, skeleton_names
from nearfar.tables.table import plain

__all__ = [
    "SOURCE",
    "RelativeDepthLSP",
    "is_relative_depth_lsp",
    "load_relative_depth_lsp",
    "relative_depth_lsp_from_json",
    "write_relative_depth_lsp",
]

Array = npt.NDArray[Any]

_LSP = "lsp14"
_LSP_IMAGE = re.compile(r"images/im\d{4}\.jpg")


@dataclass(frozen=True, eq=False)
class RelativeDepthLSP:
    """The content of the file.

    Attributes:
        poses: (N) keypoints in pixels, `occluded`, and the image files as `sequence`; on ``lsp14`` in the published
            file.
        labels: merged labels with probability, risk and `source_id` (the file's original_id), on the same skeleton.
        is_train: (N,) bool.
        joint_names: what the file calls the joints, in its order.
    """

    poses: PoseSet
    labels: RelativeLabels
    is_train: Array
    joint_names: tuple[str, ...] = STUDY_JOINTS[:14]

    @classmethod
    def of(cls, poses: PoseSet, labels: RelativeLabels) -> RelativeDepthLSP:
        """Any poses and merged labels, all of them to train on, with the joints as their skeleton has them."""
        return cls(poses, labels, np.ones(len(poses), dtype=bool), poses.skeleton.joints)

    def parts(self, skeleton: str | Path | Skeleton | None = None) -> Iterator[Prepared]:
        """The images to train on and those to test on ("train", "test"), with their labels, perhaps remapped."""
        target = self.poses.skeleton if skeleton is None else skeleton
        for name, rows in (("train", self.is_train), ("test", ~self.is_train)):
            yield Prepared(name, self.poses.select(rows).remap(target), self.labels.of_poses(rows).remap(target))


def is_relative_depth_lsp(data: Any) -> bool:
    """Whether parsed JSON is such a file."""
    return isinstance(data, dict) and "joint_names" in data and "images" in data


def load_relative_depth_lsp(path: str | Path, skeleton: str | Path | Skeleton | None = None) -> RelativeDepthLSP:
    """Read ``relative_depth_lsp_v1.json``, or a file of that form. `write_relative_depth_lsp` writes all of it again.

    Args:
        path: the file.
        skeleton: skeleton of the joints; by default lsp14, or the one of nearfar's own that has just these joints.

    Raises:
        InputError: no such file, not JSON, or an image or annotation that is wrong; the message says which.
    """
    return relative_depth_lsp_from_json(read_json(path), path, skeleton)


def relative_depth_lsp_from_json(
    data: Any, path: str | Path, skeleton: str | Path | Skeleton | None = None
) -> RelativeDepthLSP:
    """`load_relative_depth_lsp` for data parsed already; `path` is for error messages."""
    if not is_relative_depth_lsp(data):
        raise InputError(f"{path}: expected relative depth labels: an object with joint_names and images")
    names = data["joint_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: joint_names: expected a list of names, got {short(names)}")
    skeleton = _skeleton_of(names) if skeleton is None else get_skeleton(skeleton)
    joints = skeleton.num_joints
    number = joint_numbers(names, skeleton, f"{path}: joint_names")
    place = np.argsort(number)  # where each joint of the skeleton stands in the file

    images = Records(data["images"], f"{path}: images", lambda i: f"{path}: image {i}")
    keypoints = images.numbers("keypoints", 2 * joints).reshape(-1, joints, 2)
    coordinates(keypoints, f"{path}: keypoints")
    occluded = images.whole("occluded", 1, joints)
    found = images.column("anns")
    for i, part in enumerate(found):
        if not isinstance(part, list):
            images.refuse(i, "anns", "a list", part)
    counts = [len(part) for part in found]
    pose = np.repeat(np.arange(len(found)), counts)
    first = np.cumsum([0, *counts])
    anns = Records(
        list(chain.from_iterable(found)),
        f"{path}: annotations",
        lambda k: f"{path}: image {pose[k]}, annotation {k - first[pose[k]]}",
    )
    pair = np.stack([anns.whole(name, joints - 1) for name in ("kp0", "kp1")], axis=1)
    files = images.texts("im_file")
    provenance = {"file": Path(path).name}
    if skeleton.name == _LSP and all(map(_LSP_IMAGE.fullmatch, files)):
        provenance |= {"source": "Relative Depth LSP", "licence": LSP_LICENCE, "citation": CITATION}
    poses = PoseSet(
        skeleton=skeleton,
        keypoints=keypoints[:, place],
        occluded=occluded[:, place] == 1,
        sequence=Category.of(files),
        provenance=provenance,
    )
    try:
        labels = RelativeLabels(
            skeleton=skeleton,
            pose=pose,
            pair=number[pair],
            relation=(2 * anns.whole("label", 1) - 1).astype(np.int8),
            probability=anns.numbers("prob"),
            risk=anns.numbers("risk"),
            source_id=np.array(anns.texts("original_id"), dtype=np.str_),
            kind="merged",
            provenance=provenance,
        )
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    return RelativeDepthLSP(poses, labels, images.whole("is_train", 1) == 1, tuple(names))


def _skeleton_of(names: Sequence[str]) -> Skeleton:
    """The skeleton of nearfar's own that has just these joints, in this order if several have them; else lsp14."""
    known = [get_skeleton(name) for name in skeleton_names()]
    same = [skeleton for skeleton in known if sorted(skeleton.joints) == sorted(names)]
    return min(same, key=lambda skeleton: skeleton.joints != tuple(names), default=get_skeleton(_LSP))


def write_relative_depth_lsp(path: str | Path, data: RelativeDepthLSP) -> None:
    """Write such a file, whole or not at all; also of other people's images, joints and labels.

    Labels without risk get the lesser of probability and its complement; those without `source_id` the number of the
    image and those of the joints.

    Raises:
        InputError: poses or labels that the form has no place for (missing joints, raw answers, "equally far", labels
            without probability), or the file cannot be written.
    """
    poses, labels = data.poses, data.labels
    number = joint_numbers(data.joint_names, poses.skeleton, "joint_names")
    if poses.keypoints is None or not np.isfinite(poses.keypoints).all():
        raise InputError(f"{path}: expected poses with all keypoints")
    if labels.kind != "merged" or labels.probability is None or not labels.relation.all():
        raise InputError(f"{path}: expected merged labels with probability, none of them 'equally far'")
    if data.is_train.shape != (len(poses),) or poses.sequence is None:
        raise InputError(f"{path}: expected the file and the split of each of the {len(poses)} images")
    labels.check_poses(poses)
    order = np.argsort(labels.pose, kind="stable")
    pose = labels.pose[order]
    pair = np.argsort(number)[labels.pair[order]]
    probability = labels.probability[order]
    risk = np.minimum(probability, 1 - probability) if labels.risk is None else labels.risk[order]
    if labels.source_id is None:
        names = [f"{i}_{a},{b}" for i, (a, b) in zip(pose.tolist(), pair.tolist(), strict=True)]
    else:
        names = labels.source_id[order].tolist()
    columns = {
        "kp0": pair[:, 0].tolist(),
        "kp1": pair[:, 1].tolist(),
        "label": ((labels.relation[order] + 1) // 2).tolist(),
        "prob": plain(probability),
        "risk": plain(risk),
        "original_id": names,
    }
    anns = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    begin = np.searchsorted(pose, np.arange(len(poses) + 1)).tolist()
    hidden = np.zeros(poses.keypoints.shape[:2], bool) if poses.occluded is None else poses.occluded
    rows = zip(
        poses.sequence.values().tolist(),
        data.is_train.tolist(),
        plain(poses.keypoints[:, number].reshape(-1, 2 * poses.skeleton.num_joints)),
        hidden[:, number].astype(np.int8).tolist(),
        strict=True,
    )
    images = ",\n".join(
        json.dumps(
            {
                "im_file": image,
                "is_train": is_train,
                "keypoints": points,
                "occluded": occluded,
                "anns": anns[begin[i] : begin[i + 1]],
            }
        )
        for i, (image, is_train, points, occluded) in enumerate(rows)
    )
    write_text(path, f'{{"joint_names": {json.dumps(data.joint_names)},\n"images": [\n{images}\n]}}\n')


_MERGED, _STUDY_IMAGES = "relative_depth_lsp_v1.json", "relative_depth_human36m_gt.json"
_HOMEPAGE = "http://www.vision.caltech.edu/~mronchi/projects/RelativePose/"
_ARCHIVES = (
    _MERGED,
    "relative_depth_lsp_mturk.pkl",
    "relative_depth_lsp_authors.pkl",
    "relative_depth_human36m_user_study.pkl",
    _STUDY_IMAGES,
)


def _answers(path: Path, merged: RelativeDepthLSP) -> Prepared:
    """The raw answers of one file, with the poses that they speak of."""
    study = load_study(path)
    if study.of_lsp:
        return Prepared(path.stem, merged.poses, study.labels(joint_names=merged.joint_names))
    if not (path.parent / _STUDY_IMAGES).is_file():
        raise InputError(f"{path}: answers on Human3.6M, which need {path.parent / _STUDY_IMAGES}")
    images = load_study_images(path.parent / _STUDY_IMAGES)
    return Prepared(path.stem, images.poses, study.labels(images=images.ids, joint_names=images.joint_names))


def _problems(folder: Path) -> list[str]:
    try:
        merged = load_relative_depth_lsp(folder / _MERGED)
    except InputError as error:
        return [str(error)]
    return complaints(sorted(folder.glob("*.pkl")), lambda path: _answers(path, merged), "check answers")


def _prepare(folder: Path, skeleton: str | None) -> Iterator[Prepared]:
    merged = load_relative_depth_lsp(folder / _MERGED)
    yield from merged.parts(skeleton)
    for path in sorted(folder.glob("*.pkl")):
        part = _answers(path, merged)
        target = skeleton or part.poses.skeleton
        labels = None if part.labels is None else part.labels.remap(target)
        yield Prepared(part.name, part.poses.remap(target), labels)


SOURCE = Source(
    name="relative_depth_lsp",
    title="Relative Depth LSP, and the study's raw answers",
    homepage=f"{_HOMEPAGE}#dataset",
    licence=f"The authors state no licence for the labels. For LSP: {LSP_LICENCE} Cite: {CITATION}",
    steps=(
        f"Open {_HOMEPAGE} and download {_MERGED}.zip.\n"
        "If you want the raw answers too, download the .pkl.zip files that mturk_data/readme.md of "
        "https://github.com/matteorr/rel_3d_pose lists, and for those on Human3.6M "
        f"{_STUDY_IMAGES}.zip.\n"
        "Unpack them all into one folder."
    ),
    layout=(
        f"{_MERGED}\n*.pkl (raw answers, of the crowd or the authors; may be left out)\n"
        f"{_STUDY_IMAGES} (for answers on Human3.6M)"
    ),
    problems=_problems,
    prepare=_prepare,
    downloads=tuple(Download(f"{name}.zip", (f"{_HOMEPAGE}Dataset/{name}.zip",), unpack=True) for name in _ARCHIVES),
)
