"""The pictures of README and docs: what the bundled weights make of motion that they have not seen.

python benchmarks/pictures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import nearfar
from nearfar.viewing.figures import save_figure
from nearfar.viewing.pose_figure import pose_grid

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
ACTIONS = ("kick", "reach", "sit")


def main() -> None:
    """Lift one held-out synthetic frame of a few actions, and draw it beside the truth."""
    truth = nearfar.synthetic_poses(20_000, seed=77)
    if truth.action is None:
        raise SystemExit("synthetic poses without actions")
    actions = truth.action.values()
    rng = np.random.default_rng(5)
    rows = np.array([rng.choice(np.flatnonzero(actions == action)) for action in ACTIONS])
    chosen = truth.select(rows)
    lifted = nearfar.load("default").lift_poses(chosen)
    figure = pose_grid({"lifted, no 3D in training": lifted, "truth": chosen}, names=ACTIONS)
    IMAGES.mkdir(exist_ok=True)
    save_figure(figure, IMAGES / "result.png")


if __name__ == "__main__":
    main()
