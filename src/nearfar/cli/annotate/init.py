"""``nearfar annotate init``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nearfar.annotation.settings import Settings

if TYPE_CHECKING:
    from nearfar.annotation.projects.project import Project


@dataclass(frozen=True)
class Init:
    """Make a project from images and keypoints.

    The images stay where they are. Joints that were not found, or lie outside of their image, are not asked about.
    """

    project: Annotated[Path, tyro.conf.Positional]
    """Folder of the project; a new one."""
    images: Path
    """Folder of the images, or of the frames of a video with their numbers in their names."""
    keypoints: Path
    """Keypoints in any form that nearfar reads: poses.npz of `nearfar lift`, COCO, OpenPose, AlphaPose, CSV, ..."""
    skeleton: str | None = None
    """Skeleton that is asked about; by default that of the keypoints."""
    pairs: str = "random:5"
    """random:M or informative:M pairs of each pose, or a file of pairs (labels, or CSV: pose or image, joint_a,
    joint_b)."""
    gold: Path | None = None
    """Labels with known answers: hidden among the questions; where there are enough, for practice and test, too."""
    database: str | None = None
    """postgresql://USER:PASSWORD@HOST/NAME, an empty one; by default SQLite in the project's folder."""
    lifter: str = "default"
    """Weights whose uncertainty chooses informative pairs: a name, or a .safetensors file."""
    title: str | None = None
    """Shown to people; by default the folder's name."""
    seed: int = 0
    """Of random pairs and their order."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = Settings()  # noqa: RUF009 (frozen)

    def run(self) -> None:
        """Make it, and say what is in it."""
        from nearfar.annotation.projects.project import init_project

        with init_project(
            self.project,
            images=self.images,
            keypoints=self.keypoints,
            skeleton=self.skeleton,
            pairs=self.pairs,
            gold=self.gold,
            database=self.database,
            settings=self.settings,
            title=self.title,
            lifter=self.lifter,
            seed=self.seed,
            progress=True,
        ) as project:
            print(_told(project))
        print(f"next: nearfar annotate serve {self.project}")


def _told(project: Project) -> str:
    from sqlalchemy import func, select

    from nearfar.annotation import schema

    pair, pose = schema.pair.c, schema.pose.c
    with project.engine.connect() as connection:
        grouped = connection.execute(select(pair.purpose, func.count()).group_by(pair.purpose))
        counts: dict[str, int] = {row[0]: row[1] for row in grouped}
        shown = select(func.count(), func.count(pose.image.distinct())).where(pose.lesson.is_(False))
        poses, images = connection.execute(shown).one()
    lines = [
        f"{project.folder}: {counts['work']} pairs of {poses} poses in {images} images, "
        f"{project.settings.answers} answers each"
    ]
    if (left_out := len(project.poses) - poses) > 0:
        lines.append(f"left out: {left_out} poses without an image or without two joints in it")
    lessons = [f"{counts[kind]} {kind}" for kind in ("tutorial", "practice", "test") if kind in counts]
    lines.append(f"lessons: {', '.join(lessons) or 'none'}")
    if project.settings.gold_share and "gold" not in counts:
        lines.append("no gold: nearfar annotate import --gold adds hidden pairs with known answers, to check people")
    elif "gold" in counts:
        lines.append(f"gold: {counts['gold']} hidden pairs")
    return "\n".join(lines)
