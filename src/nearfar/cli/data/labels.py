"""``nearfar data labels``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nearfar.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nearfar.answer_noise import AnswerNoise
    from nearfar.poses import PoseSet


@dataclass(frozen=True)
class Labels:
    """Make relative depth labels of poses whose 3D is known: exact, with a tolerance, or as noisy people answer."""

    poses: Annotated[Path, tyro.conf.Positional]
    """Any file of poses with joints in the camera's frame."""
    out: Path
    """The file to write: .parquet, .csv, .json or .jsonl."""
    pairs: str = "1"
    """Pairs of joints labelled a pose, drawn at random, or `all`."""
    tolerance: float = 0.0
    """Depth differences below this many mm are labelled equal."""
    noise: str = "none"
    """`none`; `crowd`: as the paper's crowd, chance at no difference, always right from 400 mm on; `flip:P`: each
    turned round with probability P; or a .json file of a noise model, as fitted to real answers."""
    seed: int = 0
    """Other seeds draw other pairs and other mistakes."""

    def run(self) -> None:
        """Read, draw, answer, write."""
        import dataclasses

        import numpy as np

        from nearfar.datasets import load_poses, save_labels
        from nearfar.datasets.saving import label_form
        from nearfar.labels import all_pairs, flip, labels_from_joints, random_pairs

        flips, model = _noise(self.noise)
        if self.tolerance and self.noise != "none":
            raise InputError("labels: tolerance and label noise exclude each other")
        form = label_form(self.out)
        poses = load_poses(self.poses)
        whole, rows = _whole(poses, self.poses)
        rng = np.random.default_rng(self.seed)
        every = len(all_pairs(poses.skeleton))
        count = every if self.pairs == "all" else int(self.pairs) if self.pairs.isdecimal() else 0
        if not 1 <= count <= every:
            raise InputError(
                f"pairs: expected 1..{every} for skeleton {poses.skeleton.name}, or all; got {self.pairs!r}"
            )
        pairs = random_pairs(poses.skeleton, len(whole), count, rng)
        labels = labels_from_joints(whole, pairs, tolerance=self.tolerance, noise=model, rng=rng)
        if flips:
            labels = flip(labels, flips, rng)
        facts = {"poses": self.poses.name, "pairs_a_pose": count, "noise": self.noise, "seed": self.seed}
        labels = dataclasses.replace(labels, pose=rows[labels.pose], provenance={**labels.provenance, **facts})
        save_labels(labels, self.out, form=form)
        left_out = f"; {len(poses) - len(whole)} poses with missing joints have none" if len(whole) < len(poses) else ""
        print(f"{self.out}: {len(labels)} labels of {len(whole)} poses{left_out}")


def _whole(poses: PoseSet, path: Path) -> tuple[PoseSet, npt.NDArray[np.int64]]:
    """The poses without missing joints, and their rows."""
    import numpy as np

    if poses.joints is None:
        raise InputError(f"{path}: no 3D joints to make labels from")
    rows = np.flatnonzero(np.isfinite(poses.joints).all(axis=(1, 2)))
    if not len(rows):
        raise InputError(f"{path}: no pose has all of its joints")
    return (poses if len(rows) == len(poses) else poses.select(rows)), rows


def _noise(text: str) -> tuple[float, AnswerNoise | None]:
    """The probability of a flip, and the model of what depends on depth."""
    from nearfar.answer_noise import PAPER_CROWD, AnswerNoise

    if text == "none":
        return 0.0, None
    if text == "crowd":
        return 0.0, PAPER_CROWD
    if text.endswith(".json"):
        return 0.0, AnswerNoise.load(text)
    kind, _, number = text.partition(":")
    try:
        probability = float(number)
    except ValueError:
        probability = -1.0
    if kind != "flip" or not 0 <= probability <= 1:
        raise InputError(f"noise: expected none, crowd, flip:P with P in 0..1, or a .json file, got {text!r}")
    return probability, None
