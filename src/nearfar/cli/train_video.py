"""``nearfar train-video``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from nearfar.cli.train import read_labels
from nearfar.datasets.cmu_benchmark import LabelColumn
from nearfar.training.temporal import TemporalTrainingConfig


@dataclass(frozen=True)
class TrainVideo:
    """Train a lifter of clips around a lifter of single frames, which stays as it is.

    From clips with the labels that the single frames were learnt from, and synthetic motion; no 3D of the clips is
    looked at. --out/weights.safetensors holds both networks; --out/checkpoint.safetensors is where --resume goes on.
    """

    data: Path
    """Clips: a nearfar .npz with time stamps or frame numbers, or a file of the CMU benchmark."""
    out: Path
    """Folder of the run."""
    weights: str = "default"
    """Weights of the lifter of single frames: a name, or a weights.safetensors."""
    labels: str = "answer"
    """Labels: a label file, the column of a benchmark file (answer or crowd_answer), or none."""
    val: Path | None = None
    """Clips with 3D joints to measure half-way and at the end."""
    name: str = "video"
    """Name of the weights, for their model card."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    config: Annotated[TemporalTrainingConfig, tyro.conf.arg(name="")] = TemporalTrainingConfig()  # noqa: RUF009 (frozen)

    def run(self) -> None:
        """Load, train, save."""
        from nearfar.datasets import load_poses
        from nearfar.lifting import load
        from nearfar.training import train_temporal

        lifter = load(self.weights)
        poses = load_poses(self.data)
        labels = None
        if self.labels != "none":
            if self.labels not in get_args(LabelColumn):  # a benchmark's columns speak of its own skeleton
                poses = poses.remap(lifter.skeleton)
            labels = read_labels(self.labels, self.data, poses)
        made = ", synthetic motion" if self.config.synthetic_moments else ""
        card = {
            "name": self.name,
            "single_frame": self.weights,
            "temporal_supervision": f"{0 if labels is None else len(labels)} relative depth labels{made}",
            "temporal_data": dict(poses.provenance),
        }
        val = None if self.val is None else load_poses(self.val).remap(lifter.skeleton)
        train_temporal(
            lifter, poses, labels, self.config, self.out, val=val, device=self.device, resume=self.resume, card=card
        )
        print(self.out / "weights.safetensors")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(TrainVideo, prog="nearfar train-video", args=argv).run()
