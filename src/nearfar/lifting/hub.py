"""Lifters as folders in the layout of model hubs: ``config.json``, ``model.safetensors``, a ``README.md`` model card.

Nothing here uses a network: a hub's own client brings the folder here or takes it away.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nearfar.errors import InputError
from nearfar.files import read_json, write_safetensors, write_text

__all__ = ["CONFIG", "WEIGHTS", "read_folder", "write_folder"]

CONFIG, WEIGHTS, README = "config.json", "model.safetensors", "README.md"
LICENCES = ("Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0", "BSD-3-Clause")
"""Licences by their SPDX names, which hubs write in lower case; any other is "other" there, and named in the card."""


def write_folder(folder: str | Path, tensors: dict[str, Any], header: dict[str, Any]) -> None:
    """Write the three files, each whole or not at all.

    Args:
        folder: made where it is not there; other files in it stay.
        tensors: the weights.
        header: what `Lifter.save` puts into its file: schema, network, skeleton, card and perhaps temporal.

    Raises:
        InputError: the folder cannot be written.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: not a folder")
    write_safetensors(target / WEIGHTS, tensors, header)
    config = {"model_type": "nearfar", "architectures": ["Lifter"], **header}
    write_text(target / CONFIG, json.dumps(config, indent=2) + "\n")
    write_text(target / README, model_card(header))


def read_folder(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The weights' file of a folder, and the configuration, which counts where the two differ.

    Raises:
        InputError: a file is missing, or the configuration is none of ours.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: not a lifter's folder, it has no {name}")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or config.get("model_type") != "nearfar":
        raise InputError(f"{folder / CONFIG}: expected the configuration of a lifter (model_type nearfar)")
    return folder / WEIGHTS, config


def model_card(header: dict[str, Any]) -> str:
    """The README of a folder: YAML that hubs read, then what the weights' own card says."""
    card, skeleton = header["card"], header["skeleton"]
    name = str(card.get("name", "lifter"))
    licence = str(card.get("licence", "not stated"))
    spdx = next((known.lower() for known in LICENCES if licence.startswith(known)), "other")
    head = ["library_name: nearfar", f"license: {spdx}"]
    if spdx == "other":
        head += ["license_name: see-below"]
    head += ["tags:", *(f"- {tag}" for tag in ("3d-human-pose", "pose-lifting", "relative-depth", skeleton["name"]))]
    parts = [
        "---\n" + "\n".join(head) + "\n---",
        f"# {name}",
        str(card.get("description", "")),
        "```python\nimport nearfar\n\nlifter = nearfar.load(FOLDER)\n"
        'joints = lifter.lift(keypoints, skeleton="coco17", image_size=(1920, 1080))  # (..., J, 3) mm\n```',
        f"Skeleton {skeleton['name']}, root {skeleton['root']}: " + ", ".join(skeleton["joints"]) + ".\n"
        "Keypoints in pixels, NaN where missing; joints in mm, root-relative, x right, y down, z forward.",
        f"## Licence\n\n{licence}",
        f"## Acknowledgement\n\n{card['acknowledgement']}" if card.get("acknowledgement") else "",
        _limits(card),
        _figures(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _limits(card: dict[str, Any]) -> str:
    limits = card.get("limits")
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits) if isinstance(limits, list) and limits else ""


def _figures(card: dict[str, Any]) -> str:
    """Tables of the figures: one line each of what is measured on one set of poses."""
    figures = card.get("figures")
    if not isinstance(figures, dict) or not figures:
        return ""
    lines = ["## Figures", "", "| data | figure | value |", "|---|---|---|"]
    for data, values in figures.items():
        for name, value in values.items() if isinstance(values, dict) else (("", values),):
            lines.append(f"| {data} | {name} | {f'{value:.4g}' if isinstance(value, float) else value} |")
    return "\n".join(lines)
