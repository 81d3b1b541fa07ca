"""The certainty of an answer: measured models of the package's weights, by the poses' provenance."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib import resources

import numpy as np
import pytest
import viewing_samples as samples

from nearfar.viewing.certainty import CERTAINTY_FILE, order_certainty

WEIGHTS = resources.files("nearfar") / "weights"


def lifted(by: str):
    return dataclasses.replace(samples.clip(2), provenance={"lifter": by})


@pytest.mark.parametrize("lifter", ["default", "default-video"])
def test_every_pair_of_joints_has_a_model_and_mirrored_pairs_the_same(lifter):
    models = order_certainty(lifted(lifter))
    joints = len(samples.SKELETON)
    assert set(models) == {(a, b) for a in range(joints) for b in range(a + 1, joints)}
    mirror = samples.SKELETON.mirror_permutation
    for (a, b), model in models.items():
        assert models[tuple(sorted((mirror[a], mirror[b])))] == model
        right = model.right(np.array([0, 30, 100, 300, 3000]))
        assert right[0] == pytest.approx(0.5)
        assert (np.diff(right) >= 0).all()
        assert right[-1] <= 1


def test_distant_joints_need_more_than_near_ones():
    models = order_certainty(lifted("default"))
    index = samples.SKELETON.index
    hips, wrists = (models[tuple(sorted((index(f"left_{j}"), index(f"right_{j}"))))] for j in ("hip", "wrist"))
    assert hips.right(30) > 0.75 > wrists.right(30) > 0.5


def test_nothing_is_claimed_for_poses_from_elsewhere():
    assert order_certainty(lifted("my own weights")) == {}
    assert order_certainty(dataclasses.replace(samples.clip(2), provenance={})) == {}
    assert order_certainty(dataclasses.replace(samples.clip(2), provenance={"lifter": {"not": "a name"}})) == {}


def test_models_go_by_joint_names():
    poses = lifted("default").remap("mpii16")
    models = order_certainty(poses)
    other = poses.skeleton
    assert 0 < len(models) < len(other) * (len(other) - 1) / 2
    pair = tuple(sorted((other.index("left_wrist"), other.index("right_wrist"))))
    own = tuple(sorted((samples.SKELETON.index("left_wrist"), samples.SKELETON.index("right_wrist"))))
    assert models[pair] == order_certainty(lifted("default"))[own]


def test_the_models_were_measured_on_these_weights():
    measured = json.loads((WEIGHTS / CERTAINTY_FILE).read_text("utf-8"))
    assert measured["measured_on"]["split"] != "test"
    sha256 = hashlib.sha256((WEIGHTS / "default.safetensors").read_bytes()).hexdigest()
    assert measured["weights"]["default"]["sha256"] == sha256, "run benchmarks/order_certainty.py again"
