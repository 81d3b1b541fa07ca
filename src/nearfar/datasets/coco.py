"""COCO keypoints (Lin et al., ECCV 2014): the ground truth of train2017 and val2017, ``person_keypoints_*.json``.

`nearfar.datasets.keypoint_files` reads every file of this format; here it is held against what COCO publishes. A
keypoint is x, y (whole pixels counted from 0, kept as they are) and a flag: 0 not labelled, 1 labelled but hidden, 2
labelled and visible.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from nearfar.datasets.checks import complaints
from nearfar.datasets.keypoint_files import keypoints_from_json
from nearfar.datasets.keypoint_files.records import Options, item, listed
from nearfar.datasets.source import Download, Prepared, Source
from nearfar.errors import InputError
from nearfar.files import read_json
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton

__all__ = ["SOURCE", "load_coco"]

LICENCE = "COCO: annotations under CC BY 4.0 (COCO Consortium); the images are under the terms of Flickr."
CITATION = "Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014."

_FILES = {split: f"annotations/person_keypoints_{split}2017.json" for split in ("train", "val")}


def load_coco(path: str | Path) -> PoseSet:
    """Read the people of a ``person_keypoints_*.json`` file, on skeleton coco17.

    A row is a person with at least one labelled joint; `sequence` is the image's file name and `person` counts its
    people. Unlabelled joints are missing, labelled ones have score 1, and `occluded` says which of them are hidden.
    Crowds are left out.

    Raises:
        InputError: no such file, not COCO's keypoint ground truth, damaged, or an annotation of an unknown image.
    """
    path = Path(path)
    data = read_json(path)
    skeleton = get_skeleton("coco17")
    for key in ("images", "annotations", "categories"):
        listed(item(data, key, str(path)), f"{path}: {key}")
    joints = [category.get("keypoints") for category in data["categories"] if isinstance(category, dict)]
    if list(skeleton.joints) not in joints:
        raise InputError(f"{path}: categories: none has COCO's 17 keypoints")
    for i, image in enumerate(data["images"]):
        for key in ("file_name", "width", "height"):
            item(image, key, f"{path}: image {i}")
    poses = keypoints_from_json(data, path, Options(skeleton))
    facts = {"source": "COCO 2017 keypoints", "licence": LICENCE, "citation": CITATION}
    return dataclasses.replace(poses, provenance={**poses.provenance, **facts})


def _problems(folder: Path) -> list[str]:
    return complaints([folder / name for name in _FILES.values()], load_coco, "check coco")


def _prepare(folder: Path, skeleton: str | None) -> Iterator[Prepared]:
    for split, name in _FILES.items():
        yield Prepared(split, load_coco(folder / name).remap(skeleton or "coco17"))


SOURCE = Source(
    name="coco",
    title="COCO 2017 keypoints",
    homepage="https://cocodataset.org/#keypoints-2017",
    licence=f"{LICENCE} Cite: {CITATION}",
    steps=(
        "Download annotations_trainval2017.zip (253 MB) from https://cocodataset.org/#download; no images are needed.\n"
        "Unpack it, so that annotations/person_keypoints_train2017.json and …_val2017.json lie in the folder."
    ),
    layout="\n".join(_FILES.values()),
    problems=_problems,
    prepare=_prepare,
    downloads=(
        Download(
            path="annotations_trainval2017.zip",
            urls=(
                "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
                "https://s3.amazonaws.com/images.cocodataset.org/annotations/annotations_trainval2017.zip",
            ),
            # As TensorFlow Datasets records it; COCO itself publishes none.
            sha256="113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            unpack=True,
        ),
    ),
)
