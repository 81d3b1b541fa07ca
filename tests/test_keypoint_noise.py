"""The paper's noises on keypoints, by what they should look like."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.keypoint_noise import KeypointNoise

POINTS = np.zeros((4000, 17, 2), np.float32)


def noise(kind: str, amount: float) -> np.ndarray:
    return KeypointNoise(kind, amount).add(POINTS, np.random.default_rng(0))


def test_the_amount_is_a_variance_as_coded_or_a_deviation_under_another_name() -> None:
    assert noise("normal_variance", 20).std() == pytest.approx(np.sqrt(20), rel=0.01)
    assert noise("normal", 20).std() == pytest.approx(20, rel=0.01)


def test_uniform_noise_is_whole_and_never_negative_as_coded() -> None:
    offset = noise("uniform", 5)
    assert set(np.unique(offset)) == {0, 1, 2, 3, 4, 5}
    assert np.allclose(np.bincount(offset.astype(int).ravel()) / offset.size, 1 / 6, atol=0.01)


def test_radial_noise_has_every_direction_and_a_largest_distance() -> None:
    offset = noise("radial", 8)
    distance = np.linalg.norm(offset, axis=-1)
    assert distance.max() <= 8
    assert distance.mean() == pytest.approx(4, rel=0.02)
    assert np.abs(offset.mean(axis=(0, 1))).max() < 0.1


def test_no_noise_is_no_copy_and_missing_stays_missing() -> None:
    assert KeypointNoise().add(POINTS, np.random.default_rng(0)) is POINTS
    points = POINTS[:2].copy()
    points[0, 3] = np.nan
    noisy = KeypointNoise("normal", 3).add(points, np.random.default_rng(0))
    assert np.array_equal(np.isnan(noisy), np.isnan(points))
    assert noisy.dtype == np.float32


@pytest.mark.parametrize(("kind", "amount"), [("gaussian", 1.0), ("normal", -1.0), ("normal", float("nan"))])
def test_what_is_no_noise_is_refused(kind: str, amount: float) -> None:
    with pytest.raises(InputError, match="keypoint noise: expected"):
        KeypointNoise(kind, amount)
