"""The `paper` preset's loss against a plain re-statement of its formulas, gradients in closed form included.

The re-statement (PAPER.md 3) loops over poses, joints, pairs and limbs in plain Python and numpy and shares no code
with the package; gradients are derived by hand, so that autograd is checked and not asked.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from nearfar import losses
from nearfar.lifting.network import Prediction
from nearfar.presets import PRESETS, LossConfig
from nearfar.skeleton import get_skeleton
from nearfar.training.data import Batch
from nearfar.training.limb_reference import LimbReference
from nearfar.training.objective import objective

B = 7
SKELETON = get_skeleton("h36m17")
J, ROOT = SKELETON.num_joints, SKELETON.root_index


@pytest.fixture(params=range(5))
def drawn(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(request.param)
    pair = np.array([rng.permutation(J)[:2] for _ in range(B)])
    return {
        "joints": rng.normal(0, 300, (B, J, 3)),
        "scale": rng.uniform(0.05, 0.9, B),
        "pixels": rng.normal(500, 100, (B, J, 2)),
        "focal": rng.uniform(800, 1500, (B, 2)),
        "pair": pair,
        "relation": np.array([1, -1, 0, 1, -1, 1, 0])[:B],
        "mean_lengths": rng.uniform(100, 500, len(SKELETON.limbs)),
    }


def plain_order(drawn: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """Mean of log(1 + exp(-2.5 r d)) or d², d = (z_a - z_b) / mean |z_a - z_b|; and its gradient."""
    z = drawn["joints"][:, :, 2]
    x = [z[i, a] - z[i, b] for i, (a, b) in enumerate(drawn["pair"])]
    mean = sum(abs(value) for value in x) / B
    total, slope = 0.0, []
    for value, r in zip(x, drawn["relation"], strict=True):
        d = value / mean
        if r == 0:
            total += d * d
            slope.append(2 * d / B)
        else:
            total += math.log(1 + math.exp(min(-r * 2.5 * d, 85)))
            slope.append(-2.5 * r / (1 + math.exp(2.5 * r * d)) / B)
    gradient = np.zeros((B, J, 3))
    for j, (a, b) in enumerate(drawn["pair"]):
        # The batch mean is not detached: d_i depends on every x_j.
        through_mean = sum(s * -value * np.sign(x[j]) / (B * mean**2) for s, value in zip(slope, x, strict=True))
        dx = slope[j] / mean + through_mean
        gradient[j, a, 2] += dx
        gradient[j, b, 2] -= dx
    return total / B, gradient


def plain_orthographic(drawn: dict[str, np.ndarray]) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean over joints of |s (x, y) - (u, v)|, pixels relative to the root's."""
    total, gradient, by_scale = 0.0, np.zeros((B, J, 3)), np.zeros(B)
    for i in range(B):
        for j in range(J):
            target = drawn["pixels"][i, j] - drawn["pixels"][i, ROOT]
            off = drawn["scale"][i] * drawn["joints"][i, j, :2] - target
            length = math.hypot(*off)
            total += length
            gradient[i, j, :2] = drawn["scale"][i] * off / length / (B * J)
            by_scale[i] += off @ drawn["joints"][i, j, :2] / length / (B * J)
    return total / (B * J), gradient, by_scale


def plain_perspective(drawn: dict[str, np.ndarray], inverse: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean over joints of |f (x, y) / (z + 1/s) - (u, v)|."""
    total, gradient, by_inverse = 0.0, np.zeros((B, J, 3)), np.zeros(B)
    for i in range(B):
        for j in range(J):
            x, y, z = drawn["joints"][i, j]
            fx, fy = drawn["focal"][i]
            depth = z + 1 / inverse[i]
            target = drawn["pixels"][i, j] - drawn["pixels"][i, ROOT]
            off = np.array([fx * x / depth, fy * y / depth]) - target
            length = math.hypot(*off)
            total += length
            unit = off / length / (B * J)
            by_depth = unit @ np.array([-fx * x, -fy * y]) / depth**2
            gradient[i, j] = unit[0] * fx / depth, unit[1] * fy / depth, by_depth
            by_inverse[i] += by_depth * -1 / inverse[i] ** 2
    return total / (B * J), gradient, by_inverse


def plain_root(drawn: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """Mean of |predicted root|."""
    gradient = np.zeros((B, J, 3))
    lengths = [math.sqrt(sum(c * c for c in drawn["joints"][i, ROOT])) for i in range(B)]
    for i in range(B):
        gradient[i, ROOT] = drawn["joints"][i, ROOT] / lengths[i] / B
    return sum(lengths) / B, gradient


def plain_proportions(drawn: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """Mean over limbs of |l / l_unit - L / L_unit|; the unit limb is the right shin."""
    limbs = [(limb.parent, limb.child) for limb in SKELETON.limbs]
    unit = limbs.index((SKELETON.joints.index("right_knee"), SKELETON.joints.index("right_ankle")))
    reference = drawn["mean_lengths"] / drawn["mean_lengths"][unit]
    total, gradient = 0.0, np.zeros((B, J, 3))
    for i in range(B):
        p = drawn["joints"][i]
        length = [math.dist(p[a], p[b]) for a, b in limbs]
        u_a, u_b = limbs[unit]
        for k, (a, b) in enumerate(limbs):
            difference = length[k] / length[unit] - reference[k]
            total += abs(difference)
            sign = np.sign(difference) / (B * len(limbs))
            along = (p[b] - p[a]) / length[k] * sign / length[unit]
            gradient[i, b] += along
            gradient[i, a] -= along
            along_unit = (p[u_b] - p[u_a]) / length[unit] * sign * length[k] / length[unit] ** 2
            gradient[i, u_b] -= along_unit
            gradient[i, u_a] += along_unit
    return total / (B * len(limbs)), gradient


def terms_of(
    drawn: dict[str, np.ndarray], config: LossConfig, scale: np.ndarray
) -> tuple[dict, torch.Tensor, torch.Tensor]:
    joints = torch.tensor(drawn["joints"], requires_grad=True)
    predicted = torch.tensor(scale, requires_grad=True)
    pixels = torch.tensor(drawn["pixels"])
    intrinsics = torch.tensor(np.concatenate([drawn["focal"], np.full((B, 2), 500.0)], axis=1))
    pair, relation = torch.tensor(drawn["pair"]), torch.tensor(drawn["relation"], dtype=torch.float64)
    batch = Batch(pixels, intrinsics, pair, relation, torch.arange(B), None, pixels)
    limbs = torch.from_numpy(SKELETON.limb_joints)
    unit = SKELETON.unit_limb_index
    lengths = torch.tensor(drawn["mean_lengths"])
    reference = LimbReference(limbs, limbs[[unit]], lengths, lengths[[unit]])
    return objective(Prediction(joints, scale=predicted), batch, config, reference, ROOT), joints, predicted


def test_the_paper_presets_weights_are_the_papers() -> None:
    loss = PRESETS["paper"].loss
    assert (loss.order_weight, loss.reprojection_weight, loss.root_weight, loss.limb_weight) == (1.0, 0.1, 1.0, 1.0)
    assert (loss.order, loss.order_scale, loss.limb_reference) == ("batch_normalised", 2.5, "train_mean")


def test_every_term_and_its_gradient_in_closed_form(drawn: dict[str, np.ndarray]) -> None:
    value, by_joints, by_scale = plain_orthographic(drawn)
    expected = {
        "order": (*plain_order(drawn), None),
        "reprojection": (0.1 * value, 0.1 * by_joints, 0.1 * by_scale),
        "root": (*plain_root(drawn), None),
        "limbs": (*plain_proportions(drawn), None),
    }
    terms, joints, scale = terms_of(drawn, PRESETS["paper"].loss, drawn["scale"])
    assert set(terms) == set(expected)
    for name, (loss, gradient, scale_gradient) in expected.items():
        assert terms[name].item() == pytest.approx(loss, rel=1e-9), name
        found = torch.autograd.grad(terms[name], (joints, scale), retain_graph=True, allow_unused=True)
        np.testing.assert_allclose(found[0].numpy(), gradient, rtol=1e-7, atol=1e-12, err_msg=name)
        if scale_gradient is None:
            assert found[1] is None
        else:
            np.testing.assert_allclose(found[1].numpy(), scale_gradient, rtol=1e-7, atol=1e-12, err_msg=name)


def test_the_known_focal_length_in_closed_form(drawn: dict[str, np.ndarray]) -> None:
    inverse = drawn["scale"] / 1000  # the head's range is (0, 0.001)
    config = dataclasses.replace(PRESETS["paper"].loss, reprojection="inverse_distance")
    value, by_joints, by_inverse = plain_perspective(drawn, inverse)
    terms, joints, predicted = terms_of(drawn, config, inverse)
    assert terms["reprojection"].item() == pytest.approx(0.1 * value, rel=1e-9)
    found = torch.autograd.grad(terms["reprojection"], (joints, predicted))
    np.testing.assert_allclose(found[0].numpy(), 0.1 * by_joints, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(found[1].numpy(), 0.1 * by_inverse, rtol=1e-7)


def test_the_supervised_presets_loss_is_the_plain_mean_square(drawn: dict[str, np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(0, 300, (B, J, 3))
    joints = torch.tensor(drawn["joints"], requires_grad=True)
    loss = losses.joint_mse_loss(joints, torch.tensor(target))
    total = sum((drawn["joints"][i, j, k] - target[i, j, k]) ** 2 for i in range(B) for j in range(J) for k in range(3))
    assert loss.item() == pytest.approx(total / (B * J * 3), rel=1e-12)
    loss.backward()
    np.testing.assert_allclose(joints.grad.numpy(), 2 * (drawn["joints"] - target) / (B * J * 3), rtol=1e-9)
