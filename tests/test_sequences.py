"""Which rows are a clip."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar import InputError, PoseSet, get_skeleton
from nearfar.poses import Category
from nearfar.sequences import clips, most_seen

SKELETON = get_skeleton("h36m17")


def poses(n: int, **columns: object) -> PoseSet:
    return PoseSet(SKELETON, keypoints=np.zeros((n, 17, 2)), **columns)


def test_rows_of_one_person_in_one_clip_are_a_clip() -> None:
    found = clips(
        poses(
            9,
            sequence=Category.of(["b", "b", "a", "a", "a", "a", "a", "a", "photo"]),
            person=np.array([0, 0, 0, 1, 0, 1, 0, 1, 0]),
            time=np.array([0, 0.1, 0, 0, 0.1, 0.1, 0.2, 0.4, 7]),
        )
    )
    assert [clip.rows.tolist() for clip in found] == [[2, 4, 6], [3, 5, 7], [0, 1]]
    assert [clip.place.tolist() for clip in found[::2]] == [[0, 1, 2], [0, 1]]


def test_a_clip_ends_where_time_turns_back_or_stops() -> None:
    time = np.array([0, 1, 2, 0, 1, 2, 3, 50, 51]) / 10
    assert [clip.rows.tolist() for clip in clips(poses(9, time=time))] == [[0, 1, 2], [3, 4, 5, 6], [7, 8]]


def test_rows_that_are_not_there_leave_a_hole() -> None:
    (clip,) = clips(poses(5, frame_index=np.array([10, 11, 12, 15, 16])), fps=25)
    assert clip.place.tolist() == [0, 1, 2, 5, 6]
    assert clip.step == pytest.approx(1 / 25)
    assert clip.length == 7
    grid = clip.spread(np.arange(5.0)[:, None])
    assert grid[[0, 1, 2, 5, 6], 0].tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(grid[3:5]).all()
    assert np.allclose(clip.time, np.array([0, 1, 2, 5, 6]) / 25)


def test_time_stamps_that_jitter_are_still_a_grid() -> None:
    rng = np.random.default_rng(0)
    (clip,) = clips(poses(50, time=np.arange(50) / 30 + rng.uniform(-0.007, 0.007, 50)))
    assert clip.place.tolist() == list(range(50))


def test_a_causal_grid_knows_the_past_only() -> None:
    time = np.cumsum(np.concatenate([[0.0], np.full(20, 1 / 30), [3 / 30], np.full(30, 1 / 10)]))
    (whole,) = clips(poses(52, time=time))
    clip, step = whole.causal()
    assert whole.step == pytest.approx(1 / 10)
    assert clip.place[:22].tolist() == [*range(21), 23]
    assert len(step) == clip.length
    np.testing.assert_allclose(step[:24], 1 / 30)
    assert step[-1] == pytest.approx(1 / 10)
    for rows in (2, 15, 16, 22, 40):
        (start,) = clips(poses(rows, time=time[:rows]))
        earlier, steps = start.causal()
        np.testing.assert_array_equal(earlier.place, clip.place[:rows])
        np.testing.assert_array_equal(steps, step[: len(steps)])


def test_poses_that_do_not_say_when_they_were_are_no_clips() -> None:
    assert clips(poses(4)) == []
    assert clips(poses(4, time=np.full(4, np.nan))) == []
    assert clips(poses(4, sequence=Category.of(list("abcd")), frame_index=np.arange(4))) == []
    assert clips(poses(0, time=np.zeros(0))) == []


def test_a_frame_rate_is_a_positive_number() -> None:
    with pytest.raises(InputError, match="fps"):
        clips(poses(2, time=np.arange(2.0)), fps=0)


def test_the_people_who_are_seen_most() -> None:
    keypoints = np.zeros((9, 17, 2))
    keypoints[0:2] = np.nan
    poses = PoseSet(
        SKELETON,
        keypoints=keypoints,
        person=np.array([0, 0, 0, 1, 1, 5, 0, 1, 1]),
        sequence=Category.of(["a"] * 6 + ["b"] * 3),
    )
    assert most_seen(poses, 1).person.tolist() == [1, 1, 1, 1]
    assert most_seen(poses, 2).person.tolist() == [0, 0, 0, 1, 1, 0, 1, 1]
    assert len(most_seen(poses, 10**9)) == 9
    with pytest.raises(InputError, match="people must be at least 1, got 0"):
        most_seen(poses, 0)
