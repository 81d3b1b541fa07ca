"""How sure an answer to "which joint is nearer?" is: how often such answers are right where the truth is known.

The models are measured by benchmarks/order_certainty.py; docs/viewing.md says what the number means.
"""

from __future__ import annotations

import json
from importlib import resources

from nearfar.answer_noise import AnswerNoise
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

__all__ = ["CERTAINTY_FILE", "CERTAINTY_NOTE", "SCHEMA", "order_certainty", "weights_certainty"]

SCHEMA = "nearfar-order-certainty-1"
CERTAINTY_FILE = "order_certainty.json"
"""The measured models, beside the weights."""

CERTAINTY_NOTE = (
    "The percentage is how often these weights order this pair of joints rightly where they put it this far apart in "
    "depth. It was measured on motion capture of people whom they were not trained on, with a 2D detector's errors on "
    "the keypoints; postures, people and cameras unlike those are less certain."
)
"""What the number means, for the reader of a page."""


def order_certainty(poses: PoseSet) -> dict[tuple[int, int], AnswerNoise]:
    """How often the weights that lifted these poses order two joints of one person rightly.

    The models take the *predicted* depth difference, mm: ``order_certainty(poses)[a, b].right(z_a - z_b)`` is in 0..1.
    They are those of the package's weights that ``provenance["lifter"]`` names.

    Returns:
        One model for each pair of joints a < b of the skeleton; none for poses that come from elsewhere.
    """
    return weights_certainty(str(poses.provenance.get("lifter")), poses.skeleton)


def weights_certainty(name: str | None, skeleton: Skeleton) -> dict[tuple[int, int], AnswerNoise]:
    """As `order_certainty`, for the package's weights of this name and poses of this skeleton."""
    path = resources.files("nearfar") / "weights" / CERTAINTY_FILE
    weights = json.loads(path.read_text("utf-8"))["weights"]
    found = weights.get(name, {})
    found = weights[found] if isinstance(found, str) else found  # one file of weights may stand in for another
    known = {name: joint for joint, name in enumerate(skeleton.joints)}
    models = {}
    for first, second, scale_mm, lapse in found.get("pairs", ()):
        if first in known and second in known:
            a, b = sorted((known[first], known[second]))
            models[a, b] = AnswerNoise("logit", scale_mm, lapse)
    return models
