"""The losses against hand-computed values, and their gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from nearfar import losses

JOINTS = torch.tensor([[[0.0, 0, 0], [0, 3, 4], [0, 3, 14]], [[1.0, 2, 2], [1, 2, 12], [1, 26, 22]]])


def test_depth_differences_are_a_minus_b() -> None:
    assert losses.depth_differences(JOINTS, torch.tensor([[0, 1], [2, 0]])).tolist() == [-4.0, 20.0]


def test_batch_normalised_order_loss_matches_the_paper() -> None:
    difference, relation = torch.tensor([10.0, -30.0, 20.0]), torch.tensor([1.0, 1.0, 0.0])
    d = [0.5, -1.5, 1.0]  # divided by the batch mean of 20
    expected = (math.log(1 + math.exp(-2.5 * d[0])) + math.log(1 + math.exp(-2.5 * d[1])) + d[2] ** 2) / 3
    assert losses.batch_normalised_order_loss(difference, relation).item() == pytest.approx(expected, rel=1e-6)


def test_batch_normalised_order_loss_survives_extreme_differences() -> None:
    difference = torch.tensor([1e9, 0.0, 0.0, 0.0] * 50, requires_grad=True)
    loss = losses.batch_normalised_order_loss(difference, -torch.ones(200))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(difference.grad).all()


def bradley_terry(difference: float, relation: float, scale: float) -> tuple[float, float]:
    """The negative log likelihood of one answer, and its slope, by the formula as it stands in books."""
    nearer = 1 / (1 + math.exp(-difference / scale))  # P(b nearer)
    q = (1 + relation) / 2
    return -q * math.log(nearer) - (1 - q) * math.log(1 - nearer), (nearer - q) / scale


@pytest.mark.parametrize("scale", [30.0, 150.0])
def test_the_order_likelihood_and_its_gradient_are_bradley_and_terrys(scale: float) -> None:
    cases = [(200.0, 1.0), (-200.0, 1.0), (40.0, -1.0), (0.0, -1.0), (90.0, 0.0), (-35.0, 0.4), (120.0, -0.9)]
    difference, relation = torch.tensor(cases, dtype=torch.float64).unbind(1)
    difference.requires_grad_()
    loss = losses.order_likelihood_loss(difference, relation, scale)
    loss.backward()
    values, slopes = zip(*(bradley_terry(d, r, scale) for d, r in cases), strict=True)
    assert loss.item() == pytest.approx(sum(values) / len(cases), rel=1e-9)
    assert difference.grad.tolist() == pytest.approx([slope / len(cases) for slope in slopes], rel=1e-9)


def test_the_order_likelihood_survives_what_is_impossible() -> None:
    difference = torch.tensor([1e6, -1e6, 1e6, -1e6, 1e6], requires_grad=True)
    loss = losses.order_likelihood_loss(difference, torch.tensor([1.0, 1.0, -1.0, -1.0, 0.0]), 100.0)
    loss.backward()
    assert loss.item() == pytest.approx((0 + 1e4 + 1e4 + 0 + 0.5e4) / 5)
    slopes = [0, -1 / 500, 1 / 500, 0, 1 / 1000]  # no answer pulls harder than 1 / scale; "the same" pulls together
    assert difference.grad.tolist() == pytest.approx(slopes, abs=1e-9)


def test_answers_of_one_noise_are_likeliest_at_the_true_difference() -> None:
    """Answers of which 73 % say "b nearer", one by one or merged, put the pair one scale apart."""
    share = 1 / (1 + math.exp(-1))
    for relation in (torch.tensor([2 * share - 1]), torch.tensor([1.0] * 731 + [-1.0] * 269)):
        difference = torch.tensor(150.0, requires_grad=True)
        losses.order_likelihood_loss(difference.expand(len(relation)), relation, 150.0).backward()
        assert difference.grad.item() == pytest.approx(0, abs=2e-6)


def test_scaled_orthographic_reprojection() -> None:
    pixels = torch.zeros(2, 3, 2)
    scale = torch.tensor([1.0, 0.5])
    expected = ((0 + 3 + 3) + 0.5 * (math.sqrt(5) + math.sqrt(5) + math.hypot(1, 26))) / 6
    got = losses.scaled_orthographic_reprojection_loss(JOINTS, scale, pixels)
    assert got.item() == pytest.approx(expected, rel=1e-6)


def test_inverse_distance_reprojection_is_perspective() -> None:
    joints = torch.tensor([[[0.0, 0, 0], [300, -200, 500]]])
    distance = 4000.0
    focal = torch.tensor([[1000.0, 1100.0]])
    pixels = torch.tensor([[[0.0, 0.0], [1000 * 300 / 4500, -1100 * 200 / 4500]]])
    loss = losses.inverse_distance_reprojection_loss(joints, torch.tensor([1 / distance]), pixels, focal)
    assert loss.item() == pytest.approx(0, abs=1e-4)


def test_a_missing_keypoint_takes_no_part_and_leaves_no_nan_in_the_gradient() -> None:
    joints = JOINTS.clone().requires_grad_()
    pixels = torch.zeros(2, 3, 2)
    pixels[0, 1] = torch.nan
    loss = losses.scaled_orthographic_reprojection_loss(joints, torch.ones(2), pixels)
    loss.backward()
    assert torch.isfinite(joints.grad).all()
    assert (joints.grad[0, 1] == 0).all()


def test_limb_losses() -> None:
    limbs, unit = torch.tensor([[0, 1], [1, 2]]), torch.tensor([[0, 1]])
    # lengths: 5 and 10; 10 and 26
    assert losses.limb_proportion_loss(JOINTS, limbs, unit, torch.tensor([1.0, 2.0])).item() == pytest.approx(0.6 / 4)
    expected = (0 + 0 + math.log(2) + math.log(2.6)) / 4
    assert losses.limb_length_loss(JOINTS, limbs, torch.tensor([5.0, 10.0])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", ["lengths", "proportions"])
def test_limbs_of_unknown_length_take_no_part(loss: str) -> None:
    limbs, unit = torch.tensor([[0, 1], [0, 2]]), torch.tensor([[0, 1]])
    joints = JOINTS.clone().requires_grad_()

    def of(limbs: torch.Tensor, reference: list[list[float]]) -> torch.Tensor:
        if loss == "lengths":
            return losses.limb_length_loss(joints, limbs, torch.tensor(reference))
        return losses.limb_proportion_loss(joints, limbs, unit, torch.tensor(reference))

    nan = float("nan")
    rows = len(JOINTS)
    some = of(limbs, [[nan, 7.0]] * rows)
    assert some.item() == pytest.approx(of(limbs[1:], [[7.0]] * rows).item())
    some.backward()
    assert torch.isfinite(joints.grad).all()
    assert of(limbs, [[nan, nan]] * rows).item() == 0


def test_joint_losses_leave_missing_targets_out() -> None:
    target = JOINTS + 2
    target[0, 0, 0] = torch.nan
    assert losses.joint_mse_loss(JOINTS, target).item() == pytest.approx(4)
    assert losses.joint_l1_loss(JOINTS, target).item() == pytest.approx(2)


def test_root_loss() -> None:
    assert losses.root_loss(JOINTS, 0).item() == pytest.approx(1.5)
