"""Photos of noise with people's keypoints on them, for projects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nearfar import PoseSet, get_skeleton
from nearfar.annotation.projects.project import Project, init_project
from nearfar.poses import Category

SKELETON = get_skeleton("h36m17")
SIZE = (200, 160)


def make_photos(folder: Path, names: list[str], size: tuple[int, int] = SIZE) -> Path:
    """Images of smooth colours, no two alike."""
    for i, name in enumerate(names):
        x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
        pixels = np.stack([x % 256, y % 256, np.full_like(x, 17 * i % 256)], axis=-1).astype(np.uint8)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def make_poses(names: list[str], **changes: Any) -> PoseSet:
    """People somewhere in images of SIZE, one in each."""
    rng = np.random.default_rng(1)
    fields: dict[str, Any] = {
        "skeleton": SKELETON,
        "keypoints": rng.uniform([20, 20], [SIZE[0] - 20, SIZE[1] - 20], (len(names), 17, 2)).astype(np.float32),
        "scores": np.ones((len(names), 17), np.float32),
        "sequence": Category.of(names),
    }
    return PoseSet(**(fields | changes))


def project_of(folder: Path, count: int = 4, **options: Any) -> Project:
    """A project of `count` photos; without lessons unless they are asked for."""
    names = [f"{i}.png" for i in range(count)]
    images = make_photos(folder / "images", names)
    options = {"keypoints": make_poses(names), "lessons": False, **options}
    return init_project(folder / "project", images=images, **options)
