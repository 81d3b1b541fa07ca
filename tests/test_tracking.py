"""Who is who through time."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.poses import PoseSet
from nearfar.synthetic.crossing import crossing
from nearfar.tracking import (
    Detection,
    Tracker,
    follow_detections,
    is_duplicate,
    pose_similarity,
    suppress_duplicates,
    track_people,
)

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "tracking.py"
SHAPE = np.array([[0.5, 0.0], [0.2, 0.3], [0.8, 0.3], [0.3, 1.0], [0.7, 1.0]])


def person(x: float, y: float = 100.0, height: float = 100.0, score: float = 0.9) -> Detection:
    keypoints = np.array([x, y]) + SHAPE * [height / 2, height]
    return Detection(keypoints, np.full(5, score), np.array([x, y, x + height / 2, y + height]))


def starts(tracks: list) -> list[float]:
    return [float(track.found[track.first].box[0]) for track in tracks]


@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(20, 400), st.floats(0.2, 5), st.floats(-900, 900))
def test_similarity_does_not_depend_on_place_and_scale(x: float, dx: float, height: float, k: float, by: float) -> None:
    first, second = person(x, height=height), person(x + dx, height=height)

    def moved(one: Detection) -> Detection:
        return Detection(k * one.keypoints + by, one.scores, k * one.box + by)

    similarity = pose_similarity(first, second)
    assert 0 <= similarity <= 1
    assert pose_similarity(second, first) == pytest.approx(similarity)
    assert pose_similarity(first, first) == 1
    assert pose_similarity(moved(first), moved(second)) == pytest.approx(similarity, abs=1e-6)


def test_similarity_falls_with_distance_and_rises_with_tolerance() -> None:
    at = [pose_similarity(person(0), person(x)) for x in (0, 5, 10, 30)]
    assert at == sorted(at, reverse=True)
    assert at[-1] < 0.1 < at[1]
    assert pose_similarity(person(0), person(30), tolerance=0.5) > 0.3


def test_similarity_counts_the_joints_that_both_have() -> None:
    half = person(0)
    half.keypoints[3:] = np.nan
    assert pose_similarity(person(0), half) == 1
    half.keypoints[:] = np.nan
    assert pose_similarity(person(0), half) == 0


def test_one_person_seen_twice_is_one_person() -> None:
    mirrored = Detection(person(0).keypoints[[0, 2, 1, 4, 3]], np.full(5, 0.5), person(0).box)
    assert is_duplicate(person(0), mirrored)
    assert not is_duplicate(person(0), person(40))
    kept = suppress_duplicates([mirrored, person(2, score=0.6), person(0), person(200, score=0.3)])
    assert [one.confidence for one in kept] == pytest.approx([0.9, 0.3])


def test_two_people_crossing_keep_their_identities() -> None:
    frames = [[person(4 * i), person(400 - 4 * i, y=110, height=130)] for i in range(100)]
    frames = [pair[::-1] if i % 3 else pair for i, pair in enumerate(frames)]
    tracks = track_people(frames)
    assert [len(track) for track in tracks] == [100, 100]
    for track in tracks:
        assert np.ptp([one.size for one in track.found.values()]) == 0


def test_a_gap_is_bridged_and_left_empty() -> None:
    frames = [[] if 10 <= i < 25 else [person(3 * i)] for i in range(40)]
    (track,) = track_people(frames)
    assert sorted(track.found) == [*range(10), *range(25, 40)]
    assert (track.first, track.last, len(track)) == (0, 39, 25)


def test_someone_who_comes_back_keeps_their_identity_for_three_seconds() -> None:
    frames = [[] if 10 <= i < 60 else [person(100)] for i in range(70)]
    assert [len(track) for track in track_people(frames, fps=30)] == [20]
    assert [len(track) for track in track_people(frames, fps=15)] == [10, 10]


def test_who_hides_behind_somebody_comes_out_as_they_went_in() -> None:
    """Both are of one size; while they are close only the nearer one is found, and walking on tells who is who."""

    def found(i: int) -> list[Detection]:
        near, far = person(4 * i), person(400 - 4 * i)
        return [near] if abs(i - 50) < 12 else [far, near]

    tracks = track_people(map(found, range(100)))
    assert sorted(map(len, tracks)) == [77, 100]
    short = min(tracks, key=len)
    assert float(short.found[0].box[0]) == 400
    assert float(short.found[99].box[0]) == 4


def test_someone_who_turns_up_does_not_take_the_place_of_someone_lost() -> None:
    """A short miss of one person, while another appears nearby, of another size."""
    frames = [
        ([] if i in (20, 21) else [person(100, height=150)]) + ([person(130, y=130, height=80)] if i >= 20 else [])
        for i in range(50)
    ]
    tracks = track_people(frames)
    assert [len(track) for track in tracks] == [48, 30]
    assert all(len({round(one.extent) for one in track.found.values()}) == 1 for track in tracks)


def test_five_who_cross_keep_their_identities() -> None:
    poses = crossing(5, 4.0, seed=3)
    joints = np.random.default_rng(0).normal(poses.keypoints, 2)
    frames: dict[int, list[Detection]] = {}
    for row in np.random.default_rng(1).permutation(len(poses)):
        box = np.concatenate([joints[row].min(axis=0), joints[row].max(axis=0)])
        one = Detection(joints[row], np.full(17, 0.9), box)
        frames.setdefault(int(poses.frame_index[row]), []).append(one)
    who = {id(one): int(poses.person[row]) for row, one in _rows_of(frames, poses, joints)}
    tracks = follow_detections(frames, 30)
    assert [len(track) for track in tracks] == [120] * 5
    assert all(len({who[id(one)] for one in track.found.values()}) == 1 for track in tracks)


def _rows_of(frames: dict[int, list[Detection]], poses: PoseSet, joints: np.ndarray) -> list[tuple[int, Detection]]:
    row_of = {joints[row].tobytes(): row for row in range(len(poses))}
    return [(row_of[one.keypoints.tobytes()], one) for people in frames.values() for one in people]


def test_a_low_frame_rate_allows_longer_steps() -> None:
    frames = [[person(30 * i)] for i in range(10)]
    assert len(track_people(frames, fps=5)) == 1
    assert len(track_people(frames, fps=100)) == 10


def test_somebody_new_far_away_is_somebody_else() -> None:
    frames = [[person(0)] if i < 10 else [person(900)] for i in range(20)]
    assert sorted(starts(track_people(frames))) == [0, 900]


def test_tracks_can_be_held_and_merged() -> None:
    tracker = Tracker()
    (early,) = tracker.update(0, [person(0)])
    assert tracker.update(1, [person(500)], begin=False) == []
    (late,) = tracker.update(5, [person(500)])
    assert tracker.holder(5, person(501)) is late
    assert tracker.holder(5, person(0)) is None
    tracker.merge(early, late)
    assert tracker.tracks == [early]
    assert (early.first, early.last) == (0, 5)


@given(st.integers(0, 4), st.integers(1, 12))
def test_everyone_is_in_exactly_one_track(people: int, frames: int) -> None:
    rng = np.random.default_rng(people * 100 + frames)
    clip = [[person(200.0 * i + rng.uniform(-9, 9)) for i in range(people)] for _ in range(frames)]
    tracks = track_people(clip)
    assert sum(len(track) for track in tracks) == people * frames


def test_five_who_hide_one_another_by_the_fields_measures() -> None:
    """The benchmark's clips: jitter, missed people, and nobody seen behind others; measured by motmetrics."""
    pytest.importorskip("motmetrics")
    spec = importlib.util.spec_from_file_location("tracking_benchmark", BENCHMARK)
    benchmark = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = benchmark
    spec.loader.exec_module(benchmark)
    table = benchmark.Benchmark(clips=2, people=5).measure()
    overall = table.loc["OVERALL"]
    assert overall["num_unique_objects"] == 10
    assert overall["idf1"] > 0.8
    assert overall["mota"] > 0.99
    assert overall["num_switches"] <= 6
    alone = benchmark.Benchmark(clips=1, people=1, seconds=4).measure().loc["OVERALL"]
    assert (alone["idf1"], alone["num_switches"]) == (1, 0)
