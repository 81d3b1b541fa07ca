"""A small project on disk: four images of noise, and people's keypoints on them drawn at random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from nearfar import PoseSet, get_skeleton
from nearfar.annotation.project import Project, init_project
from nearfar.annotation.settings import Settings
from nearfar.poses import Category


def make_project(folder: Path, settings: Settings, pairs: str = "random:4") -> Project:
    """Make the project ``folder/project`` and its images in ``folder/images``."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    names = [f"{i}.png" for i in range(4)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(folder / "images" / name)
    poses = PoseSet(
        skeleton=get_skeleton("h36m17"),
        keypoints=rng.uniform([60, 40], [340, 260], (4, 17, 2)),
        scores=np.ones((4, 17)),
        sequence=Category.of(names),
    )
    return init_project(folder / "project", images=folder / "images", keypoints=poses, pairs=pairs, settings=settings)
