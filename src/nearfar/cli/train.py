"""``nearfar train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from nearfar.errors import InputError
from nearfar.presets import PRESETS, TrainingConfig, preset


@dataclass(frozen=True)
class Train:
    """Train a lifter from relative depth labels, or under full 3D supervision.

    The run goes to --out: config.json, log.jsonl, tensorboard/, checkpoint.safetensors and, at the end,
    weights.safetensors. A run that was stopped, or killed, goes on with --resume and ends with the same weights.
    """

    data: Path
    """Training poses: a nearfar .npz, or a file of the CMU benchmark."""
    out: Path
    """Folder of the run."""
    val: Path | None = None
    """Poses to measure after every epoch."""
    labels: str = "answer"
    """Labels: a label file (Parquet, CSV, JSON), or the column of a benchmark file: answer or crowd_answer."""
    preset: str = "default"
    """Configuration to start from: default, crowd, ceiling, paper or supervised; the flags below change it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    resume: bool = False
    """Continue the run in --out."""
    config: Annotated[TrainingConfig, tyro.conf.arg(name="")] = TrainingConfig()  # noqa: RUF009 (frozen)

    def run(self) -> None:
        """Load, train, save."""
        from nearfar.cli.inputs import labels_of, training_card
        from nearfar.datasets import load_poses
        from nearfar.training import train

        poses = load_poses(self.data)
        uses_labels = self.config.loss.order != "none"
        labels = labels_of(self.labels, self.data, poses) if uses_labels else None
        val = None if self.val is None else load_poses(self.val).remap(poses.skeleton)
        val_labels = None
        if self.val is not None and val is not None and uses_labels and self.labels in {"answer", "crowd_answer"}:
            val_labels = labels_of(self.labels, self.val, val)
        card = training_card(poses, labels, self.preset)
        train(
            poses,
            labels,
            self.config,
            self.out,
            val=val,
            val_labels=val_labels,
            device=self.device,
            resume=self.resume,
            card=card,
        )
        print(self.out / "weights.safetensors")


def main(argv: list[str]) -> None:
    """Parse and run; the preset decides the defaults of the other flags."""
    start = preset(_value_of(argv, "--preset", "default"))
    tyro.cli(
        Train,
        prog="nearfar train",
        args=[*argv],
        default=Train(data=tyro.MISSING, out=tyro.MISSING, config=start),
    ).run()


def _value_of(argv: list[str], flag: str, default: str) -> str:
    for i, argument in enumerate(argv):
        if argument.startswith(f"{flag}="):
            return argument.split("=", 1)[1]
        if argument == flag:
            if i + 1 == len(argv):
                raise InputError(f"{flag} needs a name: {', '.join(PRESETS)}")
            return argv[i + 1]
    return default
