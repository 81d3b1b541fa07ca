"""``nearfar train``."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import tyro

from nearfar.datasets.cmu_benchmark import LabelColumn
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet
from nearfar.presets import PRESETS, TrainingConfig, preset
from nearfar.skeleton import Skeleton, get_skeleton

if TYPE_CHECKING:
    from nearfar.training import TrainingStore


@dataclass(frozen=True)
class Train:
    """Train a lifter from relative depth labels, or under full 3D supervision.

    The run goes to --out: config.json, log.jsonl, tensorboard/, checkpoint.safetensors and, at the end,
    weights.safetensors. A run that was stopped, or killed, goes on with --resume and ends with the same weights.
    """

    data: Path
    """Training poses: a nearfar .npz, a file of the CMU benchmark, or a store with its labels (nearfar data pack)."""
    out: Path
    """Folder of the run."""
    val: Path | None = None
    """Poses to measure after every epoch."""
    labels: str = "answer"
    """Labels: a label file (Parquet, CSV, JSON), or the column of a benchmark file: answer or crowd_answer."""
    val_labels: str | None = None
    """Labels of --val, likewise; by default the same column as --labels, where that is a column."""
    init: str | None = None
    """Start from these weights (fine-tuning): a name, a weights.safetensors, or a finished run's
    checkpoint.safetensors, whose optimiser state is carried over. The network's configuration is then theirs."""
    skeleton: str | None = None
    """Skeleton to remap the poses to; with --init it is that of the weights. Labels must be on it."""
    preset: str = "default"
    """Configuration to start from: default, crowd, ceiling, paper, supervised, robust or robust_ceiling; the flags
    below change it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    resume: bool = False
    """Continue the run in --out."""
    checkpoint_seconds: float = 60.0
    """Write a checkpoint after so many seconds, besides after every epoch and on Ctrl-C."""
    config: Annotated[TrainingConfig, tyro.conf.arg(name="")] = TrainingConfig()  # noqa: RUF009 (frozen)

    def run(self) -> None:
        """Load, train, save."""
        from nearfar.training.ranks import joined_ranks

        with joined_ranks(self.device) as ranks:
            self._run()
        if ranks.first:
            print(self.out / "weights.safetensors")

    def _run(self) -> None:
        from nearfar.datasets import load_poses
        from nearfar.training import TrainingStore, train

        poses: PoseSet | TrainingStore
        labels = val_labels = val = None
        if TrainingStore.is_store(self.data):
            poses = TrainingStore.open(self.data)
            skeleton = self._skeleton()
            if skeleton is not None and get_skeleton(skeleton).joints != poses.skeleton.joints:
                raise InputError(f"{self.data}: the store is on skeleton {poses.skeleton.name}, and is not remapped")
        else:
            poses = load_poses(self.data)
            if (skeleton := self._skeleton()) is not None:
                poses = poses.remap(skeleton)
            if self.config.loss.order != "none":
                labels = read_labels(self.labels, self.data, poses)
            poses, labels = _learnable(poses, labels)
        if self.val is not None:
            val = load_poses(self.val).remap(poses.skeleton)
            named = self.val_labels or (self.labels if self.labels in get_args(LabelColumn) else None)
            if labels is not None and named is not None:
                val_labels = read_labels(named, self.val, val)
        train(
            poses,
            labels,
            self.config,
            self.out,
            val=val,
            val_labels=val_labels,
            init=self.init,
            device=self.device,
            resume=self.resume,
            checkpoint_seconds=self.checkpoint_seconds,
            card=self._card(poses, labels),
        )

    def _card(self, poses: PoseSet | TrainingStore, labels: RelativeLabels | None) -> dict[str, Any]:
        """What the weights should say about where they come from."""
        count = len(labels or ()) if isinstance(poses, PoseSet) else poses.labels
        return {
            "preset": self.preset,
            "supervision": "3D joints" if self.config.loss.order == "none" else f"{count} relative depth labels",
            "poses": len(poses),
            "data": dict(poses.provenance),
            "labels": {} if labels is None else dict(labels.provenance),
        }

    def _skeleton(self) -> str | Skeleton | None:
        if self.init is None:
            return self.skeleton
        from nearfar.training import initial_network

        skeleton = initial_network(self.init)[1]
        if self.skeleton is not None and get_skeleton(self.skeleton).joints != skeleton.joints:
            raise InputError(f"--skeleton {self.skeleton}: the weights of --init are for {skeleton.name}")
        return skeleton


def read_labels(name: str, data: Path, poses: PoseSet) -> RelativeLabels:
    """Labels by column of the benchmark file `data`, or from a label file of their own."""
    from nearfar.datasets import load_labels
    from nearfar.datasets.cmu_benchmark import is_benchmark
    from nearfar.files import open_npz

    if name in get_args(LabelColumn):
        if data.suffix != ".npz" or not is_benchmark(open_npz(data)):
            raise InputError(f"{data}: holds no labels of its own: name a label file with --labels (or --val-labels)")
        return load_labels(data, poses=poses, column=cast("LabelColumn", name))
    if not Path(name).is_file():
        raise InputError(f"--labels {name}: neither a label file nor one of {', '.join(get_args(LabelColumn))}")
    return load_labels(name, skeleton=poses.skeleton, poses=poses)


def _learnable(poses: PoseSet, labels: RelativeLabels | None) -> tuple[PoseSet, RelativeLabels | None]:
    """Without the labelled poses that cannot be learnt from, as detections of half a person cannot; says how many."""
    from nearfar.training import trainable

    if labels is None:
        return poses, None
    good = trainable(poses)
    lost = ~good[labels.pose]
    if not lost.any():
        return poses, labels
    root = poses.skeleton.root
    print(
        f"left out: {len(set(labels.pose[lost].tolist()))} poses without {root} or with too few keypoints, "
        f"and their {int(lost.sum())} labels",
        file=sys.stderr,
    )
    return poses.select(good), labels.of_poses(good)


def main(argv: list[str]) -> None:
    """Parse and run; the preset decides the defaults of the other flags."""
    name = _value_of(argv, "--preset") or "default"
    start = preset(name)
    if init := _value_of(argv, "--init"):
        from nearfar.training import initial_network

        network = initial_network(init)[0]
        try:
            start = dataclasses.replace(start, network=network)
        except InputError as error:
            raise InputError(
                f"--init {init}: not a network of --preset {name} ({error}): name the preset that it was trained with"
            ) from None
    tyro.cli(
        Train,
        prog="nearfar train",
        args=[*argv],
        default=Train(data=tyro.MISSING, out=tyro.MISSING, config=start),
    ).run()


def _value_of(argv: list[str], flag: str) -> str | None:
    for i, argument in enumerate(argv):
        if argument.startswith(f"{flag}="):
            return argument.split("=", 1)[1]
        if argument == flag:
            if i + 1 == len(argv):
                known = f": {', '.join(PRESETS)}" if flag == "--preset" else ""
                raise InputError(f"{flag} needs a name{known}")
            return argv[i + 1]
    return None
