"""``nearfar models``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

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
    """Weights by name, a .safetensors file, or a folder of `nearfar models pack`."""

    def run(self) -> None:
        """Print."""
        import json

        from nearfar.lifting import load

        print(json.dumps(load(self.weights).card, indent=2))


@dataclass(frozen=True)
class Pack:
    """Write weights as a folder in the layout of model hubs, with a model card; nearfar reads it like a file."""

    weights: Annotated[str, tyro.conf.Positional]
    """Weights by name, or a .safetensors file."""

    out: Annotated[Path, tyro.conf.Positional]
    """The folder to write."""

    def run(self) -> None:
        """Write."""
        from nearfar.lifting import load

        load(self.weights).save_pretrained(self.out)
        print(f"{self.out}: {', '.join(sorted(entry.name for entry in self.out.iterdir()))}")


@dataclass(frozen=True)
class Export:
    """Write weights as an ONNX file for other runtimes: pixels in, millimetres out, normalisation inside."""

    weights: Annotated[str, tyro.conf.Positional]
    """Weights by name, a .safetensors file, or a folder of `nearfar models pack`."""

    out: Annotated[Path, tyro.conf.Positional]
    """The .onnx file to write."""

    precision: Literal["float32", "int8"] = "float32"
    """int8: matrices in 8 bits, about a quarter of the size."""

    def run(self) -> None:
        """Write."""
        from nearfar.lifting import load
        from nearfar.lifting.onnx import save_onnx

        save_onnx(load(self.weights), self.out, precision=self.precision)
        print(f"{self.out}: {self.out.stat().st_size / 1e6:.1f} MB")


@dataclass(frozen=True)
class Web:
    """Write a folder of static files: a page that lifts keypoint files and photos in the browser, where they stay."""

    out: Annotated[Path, tyro.conf.Positional]
    """The folder to write; an older one of ours is replaced."""

    weights: str = "default"
    """Weights by name, a .safetensors file, or a folder of `nearfar models pack`."""

    photos: bool = True
    """Find people in photos and video frames, too, with MediaPipe (23 MB more)."""

    def run(self) -> None:
        """Write."""
        from nearfar.lifting import load
        from nearfar.web_lifter import write_site

        write_site(load(self.weights), self.out, photos=self.photos)
        size = sum(file.stat().st_size for file in self.out.rglob("*") if file.is_file())
        print(f"{self.out}: {size / 1e6:.0f} MB; serve it with any web server, or: python -m http.server -d {self.out}")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.extras.subcommand_cli_from_dict(
        {"fetch": Fetch, "list": List, "card": Card, "pack": Pack, "export": Export, "web": Web},
        prog="nearfar models",
        args=argv,
    ).run()
