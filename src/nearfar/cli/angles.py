"""``nearfar angles``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.angles import Leg, Walk
    from nearfar.poses import PoseSet


@dataclass(frozen=True)
class Angles:
    """Measure joint angles and gait: degrees in clinical terms, as a table, for OpenSim, and as a figure.

    Angles against the vertical (of the pelvis) take z of the world to be up, and a camera to be level.
    """

    poses: Annotated[Path, tyro.conf.Positional]
    """Poses, as `nearfar lift` writes them (poses.npz), or any other file of poses."""
    out: Path = Path("angles.csv")
    """Table to write, a row a pose (.csv)."""
    mot: Path | None = None
    """Coordinates for OpenSim to write (.mot), a file a person."""
    figure: Path | None = None
    """Figure to write: .png, .svg or .pdf."""
    gait: Path | None = None
    """Steps and figures of gait to write (.json); they are printed anyway."""
    smooth: float | None = None
    """Smooth joints first: seconds of the window (Savitzky-Golay); 0.3 keeps walking."""
    person: int | None = None
    """Only the person of this number."""
    sequence: str | None = None
    """Only this clip or image, where the poses are of several."""
    skeleton: str | None = None
    """Bring the poses to this skeleton first."""

    def run(self) -> None:
        """Load, measure, write, tell."""
        import json

        from nearfar.angles import angle_definitions, gait, gait_record, pose_angles
        from nearfar.export import export
        from nearfar.files import write_text
        from nearfar.tables import write_angles_csv
        from nearfar.viewing import angle_figure, save_figure
        from nearfar.viewing.figures import check_suffix

        for path, suffix in ((self.out, ".csv"), (self.mot, ".mot"), (self.gait, ".json")):
            if path is not None and path.suffix.lower() != suffix:
                raise InputError(f"{path}: expected a name that ends in {suffix}")
        if self.figure is not None:
            check_suffix(self.figure)
        poses = self._chosen()
        angles = pose_angles(poses)
        defined = angle_definitions(poses.skeleton)
        walks = gait(poses, angles) if {"left_ankle", "right_ankle"} <= set(defined.points) else []
        figure = None if self.figure is None else angle_figure(poses, angles, walks)
        notes = () if self.mot is None else export(poses, self.mot).notes
        if figure is not None and self.figure is not None:
            save_figure(figure, self.figure)
        write_angles_csv(poses, angles, self.out)
        if self.gait is not None:
            write_text(self.gait, json.dumps(gait_record(walks), ensure_ascii=False, indent=1) + "\n")
        for note in notes:
            print(note)
        for name, reason in defined.undefined.items():
            if not name.startswith("right_"):
                both = name.replace("left_", "left and right ").replace("_", " ")
                print(f"skeleton {poses.skeleton.name} has no {both}: it {reason}")
        for walk in walks:
            print(_walk_said(walk))
        print(f"{self.out}: {len(angles)} angles of {len(poses)} poses, degrees")

    def _chosen(self) -> PoseSet:
        from nearfar.cli.inputs import poses_of
        from nearfar.smoothing import SavitzkyGolay, smooth_poses

        poses = poses_of(self.poses, sequence=self.sequence, person=self.person)
        if not len(poses):
            raise InputError(f"{self.poses}: there are no poses in it")
        if self.skeleton is not None:
            poses = poses.remap(self.skeleton)
        return poses if self.smooth is None else smooth_poses(poses, SavitzkyGolay(window=self.smooth))


def _walk_said(walk: Walk) -> str:
    head = f"{walk.sequence or 'walk'}, person {walk.person}: {walk.steps} steps, {walk.cadence:.0f} a minute"
    return "; ".join([head, _leg_said("left", walk.left), _leg_said("right", walk.right)])


def _leg_said(side: str, leg: Leg) -> str:
    if leg.stride_time != leg.stride_time:  # NaN: no stride was seen in full
        return f"{side} no whole stride"
    return (
        f"{side} stride {leg.stride_time:.2f} s, stance {leg.stance:.0%}, knee to {leg.knee_swing:.0f}° in swing "
        f"(range {leg.knee_range:.0f}°), hip range {leg.hip_range:.0f}°"
    )


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Angles, prog="nearfar angles", args=argv).run()
