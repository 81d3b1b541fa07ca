"""Turn finished runs into the weights that come with the package, cards and all.

    python benchmarks/bundle_weights.py default RUN_FOLDER
    python benchmarks/bundle_weights.py default-video RUN_FOLDER REPORT

The first RUN_FOLDER is one of benchmarks/cmu.py, with weights.safetensors, val.json and test.json; the second one of
`nearfar train-video`, and REPORT is the report.json that benchmarks/video.py wrote of its weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

import nearfar
from nearfar import Lifter

FOLDER = Path(nearfar.__file__).resolve().parent / "weights"
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
VIDEO_LIMITS = ["Fast movement is smoothed a little; the root's distance from the camera is its least certain number."]
FIGURES = ("poses", "pa_mpjpe", "n_mpjpe", "mpjpe", "relative_depth_accuracy", "relative_depth_accuracy_100mm")
SEQUENCE_FIGURES = ("pa_mpjpe", "acceleration_error", "limb_length_variation")
KEPT = {"supervision", "poses", "data", "training", "mean_limb_lengths", "temporal_supervision", "temporal_training"}


@dataclass(frozen=True)
class Default:
    """Bundle the weights of single frames."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""

    def bundle(self) -> None:
        """Read the run, write the weights with their card."""
        reports = {split: json.loads((self.run / f"{split}.json").read_text("utf-8")) for split in ("val", "test")}
        figures = {
            f"CMU benchmark, {split}": {key: report[key] for key in FIGURES} for split, report in reports.items()
        }
        description = "Lifts 17 joints (h36m17) from 2D to 3D; trained from relative depth labels and synthetic people."
        save(nearfar.load(self.run / "weights.safetensors"), "default", description, figures, LIMITS)


@dataclass(frozen=True)
class DefaultVideo:
    """Bundle the weights of clips."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    report: Annotated[Path, tyro.conf.Positional]
    """report.json of benchmarks/video.py."""

    def bundle(self) -> None:
        """Read run and report, write the weights with their card."""
        report = json.loads(self.report.read_text("utf-8"))
        figures = {
            f"CMU benchmark, {report['split']}, {condition}, {method}": {
                key: methods[method][0][key] for key in SEQUENCE_FIGURES
            }
            for condition, methods in report["reports"].items()
            for method in ("single frames", "temporal, causal", "temporal, offline")
        }
        description = "Lifts clips of 17 joints (h36m17) through time; holds the weights `default` for single frames."
        save(
            nearfar.load(self.run / "weights.safetensors"),
            "default-video",
            description,
            figures,
            [*LIMITS, *VIDEO_LIMITS],
        )


def save(lifter: Lifter, name: str, description: str, figures: dict[str, Any], limits: list[str]) -> None:
    """Write weights with their card into the package."""
    lifter.card = {
        "name": name,
        "version": nearfar.__version__,
        "description": description,
        "licence": LICENCE,
        "acknowledgement": ACKNOWLEDGEMENT,
        "figures": figures,
        "limits": limits,
        **{key: value for key, value in lifter.card.items() if key in KEPT},
    }
    target = FOLDER / f"{name}.safetensors"
    lifter.save(target)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Bundle what is asked for."""
    commands = (
        Annotated[Default, tyro.conf.subcommand("default")]
        | Annotated[DefaultVideo, tyro.conf.subcommand("default-video")]
    )
    tyro.cli(commands).bundle()


if __name__ == "__main__":
    main()
