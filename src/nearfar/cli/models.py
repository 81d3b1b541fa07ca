"""``nearfar models``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Fetch:
    """Get the MediaPipe pose model once, from the published wheel, through your own pip; `lift` does it by itself."""

    file: Path | None = None
    """Take this .task file, downloaded already, instead."""

    def run(self) -> None:
        """Fetch or install."""
        from nearfar.detection import fetch_model

        print(fetch_model(self.file))


@dataclass(frozen=True)
class List:
    """List the weights that come with nearfar, and where the detector's model is."""

    def run(self) -> None:
        """Print."""
        from nearfar.detection import model_path
        from nearfar.lifting import load, weight_names

        for name in weight_names():
            lifter = load(name)
            print(f"{name}: {lifter!r}; licence: {lifter.card.get('licence', 'not stated')}")
        path = model_path()
        print(f"detector: {path}" + ("" if path.exists() else " (not fetched yet)"))


@dataclass(frozen=True)
class Card:
    """Print the model card of weights: data, licence, acknowledgement, training, figures."""

    weights: Annotated[str, tyro.conf.Positional] = "default"
    """Weights by name, or a .safetensors file."""

    def run(self) -> None:
        """Print."""
        import json

        from nearfar.lifting import load

        print(json.dumps(load(self.weights).card, indent=2))


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.extras.subcommand_cli_from_dict(
        {"fetch": Fetch, "list": List, "card": Card}, prog="nearfar models", args=argv
    ).run()
