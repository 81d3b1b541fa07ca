"""What several commands read from the user's words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.poses import PoseSet


def image_size(text: str) -> tuple[int, int]:
    """``1920x1080`` as (1920, 1080)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise InputError(f"image size: expected WIDTHxHEIGHT in pixels, such as 1920x1080, got {text!r}")
    return int(width), int(height)


def poses_of(file: Path, *, sequence: str | None = None, person: int | None = None) -> PoseSet:
    """The poses of a file, or of one clip or person in it."""
    from nearfar.datasets import load_poses
    from nearfar.export import select

    poses = load_poses(file)
    try:
        return select(poses, sequence=sequence, person=person)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
