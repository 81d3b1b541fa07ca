"""Gaps filled on request, and clips at even moments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar import InputError, PoseSet, get_skeleton
from nearfar.poses import Category
from nearfar.resampling import fill_gaps, observed, resample

SKELETON = get_skeleton("h36m17")


def moving(time: np.ndarray, person: int = 0, frame: np.ndarray | None = None) -> PoseSet:
    """Joints that move evenly: whatever is interpolated is right."""
    n = len(time)
    joints = np.arange(51.0).reshape(17, 3) + 100 * time[:, None, None] * [1.0, 2.0, -1.0]
    return PoseSet(
        SKELETON,
        keypoints=joints[..., :2].astype(np.float32),
        scores=np.full((n, 17), 0.8, np.float32),
        joints=joints,
        frame="root",
        root_position=np.array([0, 0, 4000.0]) + time[:, None],
        time=time,
        frame_index=np.arange(n) if frame is None else frame,
        person=np.full(n, person),
        sequence=Category.of(["a"] * n),
        intrinsics=np.tile([1000.0, 1000, 500, 500], (n, 1)),
    )


def lose(poses: PoseSet, rows: slice, joint: slice = slice(None)) -> PoseSet:
    for name in ("joints", "keypoints"):
        getattr(poses, name)[rows, joint] = np.nan
    poses.scores[rows, joint] = 0
    return poses


def test_gaps_are_filled_up_to_a_length_and_marked() -> None:
    whole = moving(np.arange(60) / 30)
    gappy = lose(lose(moving(np.arange(60) / 30), slice(5, 10), slice(3, 4)), slice(20, 50))
    filled = fill_gaps(gappy, 0.5)
    np.testing.assert_allclose(filled.joints[:20], whole.joints[:20])
    assert np.isnan(filled.joints[20:50]).all()
    np.testing.assert_array_equal(observed(filled), observed(gappy))
    assert not observed(filled)[5:10, 3].any()
    np.testing.assert_allclose(fill_gaps(gappy, 1.1).joints, whole.joints)
    assert filled.provenance["gaps_filled_s"] == 0.5


def test_nothing_is_made_up_before_the_first_sight_and_after_the_last() -> None:
    gappy = lose(lose(moving(np.arange(30) / 30), slice(0, 4)), slice(25, 30))
    filled = fill_gaps(gappy, 9.0)
    np.testing.assert_array_equal(np.isnan(filled.joints), np.isnan(gappy.joints))


@given(st.floats(5, 240), st.integers(0, 100))
def test_resampling_is_even_and_right(rate: float, seed: int) -> None:
    time = np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.06, 40)) - 0.02
    new = resample(moving(time), rate)
    np.testing.assert_allclose(np.diff(new.time), 1 / rate)
    np.testing.assert_allclose(new.joints, moving(new.time).joints, atol=1e-6)
    np.testing.assert_allclose(new.keypoints, moving(new.time).keypoints, atol=1e-2)
    assert (new.scores > 0.79).all()
    assert new.time[0] == time[0]
    assert time[-1] - new.time[-1] <= 1 / rate + 1e-6


def test_the_same_rate_changes_nothing() -> None:
    poses = moving(np.arange(20) / 25)
    same = resample(poses, 25)
    np.testing.assert_allclose(same.joints, poses.joints)
    np.testing.assert_array_equal(same.frame_index, poses.frame_index)


def test_gaps_stay_gaps_unless_asked() -> None:
    gappy = lose(moving(np.arange(40) / 20), slice(10, 16))
    there = np.isfinite(resample(gappy, 40).joints[:, 0, 0])
    assert not there[19:32].any()
    assert there[:19].all()
    filled = resample(gappy, 40, longest=1.0)
    assert np.isfinite(filled.joints).all()
    np.testing.assert_array_equal(observed(filled)[:, 0], there)


def test_rows_that_are_not_there_are_a_gap() -> None:
    """As in other programs' files: no row where nobody was found."""
    frame = np.array([0, 1, 2, 3, 10, 11, 12])
    new = resample(moving(frame / 20, frame=frame), 20)
    assert len(new) == 13
    assert np.isnan(new.joints[4:10]).all()
    assert np.isfinite(resample(moving(frame / 20, frame=frame), 20, longest=0.5).joints).all()


def test_a_variable_frame_rate_is_not_a_gap() -> None:
    time = np.array([0, 1, 2, 3, 10, 11, 12]) / 30
    assert np.isfinite(resample(moving(time), 30).joints).all()


def test_people_of_a_sequence_keep_step() -> None:
    one, two = moving(np.arange(20) / 30), moving(np.arange(7, 20) / 30, person=1)
    both = PoseSet(
        SKELETON,
        joints=np.concatenate([one.joints, two.joints]),
        time=np.concatenate([one.time, two.time]),
        person=np.concatenate([one.person, two.person]),
    )
    new = resample(both, 20)
    first, second = (new.select(new.person == who) for who in (0, 1))
    assert set(np.round(second.time, 9)) <= set(np.round(first.time, 9))
    np.testing.assert_array_equal(second.frame_index, np.round(second.time * 20))


def test_a_short_stay_between_two_moments_gives_no_row() -> None:
    frame = np.concatenate([np.arange(3), np.arange(40, 43), np.arange(80, 83), np.arange(150, 210)])
    new = resample(moving(frame / 30, frame=frame), 0.2)  # every five seconds
    np.testing.assert_array_equal(new.frame_index, [0, 1])
    np.testing.assert_allclose(new.joints, moving(np.array([0.0, 5.0])).joints, atol=1e-6)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), 1e9])
def test_rates_that_cannot_be(rate: float) -> None:
    with pytest.raises(InputError, match="rate"):
        resample(moving(np.arange(3.0) / 10), rate)


def test_photos_cannot_be_resampled() -> None:
    with pytest.raises(InputError, match="needs a clip"):
        resample(moving(np.zeros(1)), 30)
    with pytest.raises(InputError, match="above 0"):
        fill_gaps(moving(np.arange(3.0)), 0)
    with pytest.raises(InputError, match="3D joints"):
        fill_gaps(PoseSet(SKELETON, keypoints=np.zeros((1, 17, 2))))
