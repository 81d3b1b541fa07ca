"""Turn a finished run of benchmarks/cmu.py into the weights `default` that come with the package, card and all.

    python benchmarks/bundle_default.py RUN_FOLDER

RUN_FOLDER holds weights.safetensors, val.json and test.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

import nearfar

TARGET = Path(nearfar.__file__).resolve().parent / "weights" / "default.safetensors"
LICENCE = (
    "Apache-2.0. The motion that the labels were made from is free for all uses (mocap.cs.cmu.edu); the weights may be "
    "used by anyone for anything, commercial use included."
)
ACKNOWLEDGEMENT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from "
    "NSF EIA-0196217."
)
LIMITS = [
    "Everybody is given limbs of about average length: scale and distance are those of an average adult.",
    "A limb towards the camera and one away from it can look alike; depth order is wrong for some pairs.",
    "head_top and chin follow CMU's markers: the middle of the head and of the neck, not the crown and the face.",
    "Trained on exact 2D keypoints; a detector's noise adds to the error.",
    "Mostly upright motion of adults; unusual poses (lying, acrobatics), children and animals are less certain.",
]
FIGURES = ("poses", "pa_mpjpe", "n_mpjpe", "mpjpe", "relative_depth_accuracy", "relative_depth_accuracy_100mm")


@dataclass(frozen=True)
class Arguments:
    """Bundle the weights of a run."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""


def main() -> None:
    """Read the run, write the weights with their card."""
    folder = tyro.cli(Arguments).run
    lifter = nearfar.load(folder / "weights.safetensors")
    reports = {split: json.loads((folder / f"{split}.json").read_text("utf-8")) for split in ("val", "test")}
    lifter.card = {
        "name": "default",
        "version": nearfar.__version__,
        "description": "Lifts 17 joints (h36m17) from 2D to 3D; trained from relative depth labels, without 3D.",
        "licence": LICENCE,
        "acknowledgement": ACKNOWLEDGEMENT,
        "figures": {
            f"CMU benchmark, {split}": {key: report[key] for key in FIGURES} for split, report in reports.items()
        },
        "limits": LIMITS,
        **{key: value for key, value in lifter.card.items() if key in {"supervision", "poses", "data", "training"}},
    }
    lifter.save(TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
