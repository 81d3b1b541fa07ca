from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotation_photos import SKELETON, project_of
from hypothesis import given
from hypothesis import strategies as st

from nearfar import PoseSet, get_skeleton
from nearfar.annotation.projects.informative import LifterUncertainty, choose_informative, expected_information
from nearfar.annotation.projects.pairs import draw_pairs
from nearfar.answer_noise import PAPER_CROWD, AnswerNoise
from nearfar.datasets import load_poses
from nearfar.labels import all_pairs
from nearfar.synthetic import synthetic_poses

SURE = AnswerNoise("line", 1e-3)
PAIRS = all_pairs(SKELETON)


@pytest.fixture(scope="module")
def lifter() -> LifterUncertainty:
    return LifterUncertainty.load("default")


class Fixed:
    """A scorer that is told what to say."""

    def __init__(self, score: np.ndarray) -> None:
        self.said = score

    def score(self, poses: PoseSet, pairs: np.ndarray) -> np.ndarray:
        assert pairs.tolist() == PAIRS.tolist()
        return np.broadcast_to(self.said, (len(poses), len(pairs)))


@given(st.floats(-2000, 2000), st.floats(1e-3, 500))
def test_information_is_a_share_of_a_bit(mean: float, deviation: float) -> None:
    bits = float(expected_information(np.array(mean), np.array(deviation)))
    assert 0 <= bits <= 1
    assert bits == pytest.approx(float(expected_information(np.array(-mean), np.array(deviation))), abs=1e-9)


def test_information_has_its_known_values() -> None:
    none = expected_information(np.array([1e4, 0.0]), np.array([1.0, 1e-6]))
    assert none == pytest.approx([0, 0], abs=1e-6)  # known already; nobody could see it
    assert expected_information(np.array(0.0), np.array(100.0), SURE) == pytest.approx(
        1, abs=1e-6
    )  # a coin, answered surely
    order = 0.5 + 1 / 3  # P(b nearer) where 20 of 24 equal shares of the belief say so
    mean = 100 * 0.9674215661017010  # Φ⁻¹(5/6)
    entropy = -(order * np.log2(order) + (1 - order) * np.log2(1 - order))
    assert expected_information(np.array(mean), np.array(100.0), SURE) == pytest.approx(entropy, abs=1e-6)


def test_most_is_learnt_where_the_order_is_open_and_can_be_seen() -> None:
    bits = expected_information(np.zeros(3), np.array([10.0, 100.0, 300.0]))
    assert bits[0] < bits[1] < bits[2]
    bits = expected_information(np.array([0.0, 100.0, 300.0]), np.full(3, 100.0))
    assert bits[0] > bits[1] > bits[2]


def test_the_best_pairs_are_chosen_first() -> None:
    score = np.linspace(0.1, 0.9, len(PAIRS))
    poses = synthetic_poses(3)
    usable = np.ones((3, 17), bool)
    usable[1, PAIRS[-1]] = False
    usable[2, 1:] = False
    chosen = choose_informative(Fixed(score), poses, usable, 4, np.random.default_rng(0))
    assert np.bincount(chosen.pose, minlength=3).tolist() == [4, 4, 0]
    assert usable[chosen.pose[:, None], chosen.joints].all()
    assert len(np.unique(chosen.keys(17))) == 8
    best = np.lexsort((-chosen.priority, chosen.pose))[0]
    assert chosen.joints[best].tolist() == PAIRS[-1].tolist()


def test_no_two_pairs_say_the_same() -> None:
    """Wrist against hip, and elbow against hip: most of the way between them is the same."""
    names = [("left_wrist", "right_hip"), ("left_elbow", "right_hip"), ("left_ankle", "right_knee")]
    row = {tuple(sorted(map(SKELETON.index, pair))): i for i, pair in enumerate(names)}
    score = np.zeros(len(PAIRS))
    for i, pair in enumerate(map(tuple, PAIRS.tolist())):
        if pair in row:
            score[i] = (0.9, 0.85, 0.5)[row[pair]]
    chosen = choose_informative(Fixed(score), synthetic_poses(1), np.ones((1, 17), bool), 2, np.random.default_rng(0))
    assert [row[tuple(pair)] for pair in chosen.joints.tolist()] == [0, 2]
    assert chosen.priority[1] < 0.5


def test_unknown_pairs_come_last_but_come() -> None:
    score = np.full(len(PAIRS), np.nan)
    score[5] = 0.1
    chosen = choose_informative(Fixed(score), synthetic_poses(2), np.ones((2, 17), bool), 200, np.random.default_rng(0))
    assert len(chosen) == 2 * len(PAIRS)
    firsts = [chosen.joints[chosen.pose == pose][0].tolist() for pose in (0, 1)]
    assert firsts == [PAIRS[5].tolist()] * 2
    assert (chosen.priority[chosen.pose == 0][1:] == 0).all()


def test_what_cannot_be_lifted_is_not_known(lifter: LifterUncertainty) -> None:
    poses = synthetic_poses(4)
    poses.keypoints[1] = np.nan
    poses.keypoints[2, SKELETON.index("left_wrist")] = np.nan
    scores = lifter.score(poses, PAIRS)
    wrist = (SKELETON.index("left_wrist") == PAIRS).any(axis=1)
    assert np.isfinite(scores[[0, 3]]).all()
    assert np.isnan(scores[1]).all()
    assert np.array_equal(np.isnan(scores[2]), wrist)
    assert np.array_equal(scores, lifter.score(poses, PAIRS), equal_nan=True)  # reproducible
    assert not any(module.training for module in lifter.lifter.network.modules())  # as it was before


def test_joints_that_the_lifter_has_not_are_not_known(lifter: LifterUncertainty) -> None:
    skeleton = get_skeleton("coco17")
    rng = np.random.default_rng(0)
    poses = PoseSet(skeleton, keypoints=rng.uniform(100, 400, (2, 17, 2)), image_size=np.full((2, 2), 500))
    pairs = all_pairs(skeleton)
    known = np.isfinite(lifter.score(poses, pairs))
    assert not known[:, (pairs == skeleton.index("nose")).any(axis=1)].any()
    assert known[:, (pairs >= 5).all(axis=1)].all()  # shoulders and below


def test_a_project_can_ask_informative_pairs(tmp_path: Path) -> None:
    import sqlalchemy as sa

    from nearfar.annotation import schema

    with project_of(tmp_path, 3, pairs="informative:4") as project, project.engine.connect() as connection:
        rows = connection.execute(sa.select(schema.pair.c.pose_id, schema.pair.c.priority)).all()
    assert len(rows) == 12
    assert len({row.priority for row in rows}) > 6


@pytest.mark.shared
def test_chosen_pairs_are_those_that_the_lifter_gets_wrong_and_people_see(
    benchmark_folder: Path, lifter: LifterUncertainty
) -> None:
    poses = load_poses(benchmark_folder / "val.npz")
    poses = poses.select(np.random.default_rng(0).choice(len(poses), 400, replace=False))
    depth = poses.joints[..., 2].astype(float)
    lifted = lifter.lifter.lift_poses(poses).joints[..., 2]
    usable = np.ones(depth.shape, bool)
    rng = np.random.default_rng(0)

    def measure(pose: np.ndarray, joints: np.ndarray) -> tuple[float, float, float]:
        true, said = (z[pose, joints[:, 0]] - z[pose, joints[:, 1]] for z in (depth, lifted))
        wrong = np.sign(true) != np.sign(said)
        return wrong.mean(), (wrong & (np.abs(true) > 100)).mean(), (np.abs(true) < 20).mean()

    chosen = choose_informative(lifter, poses, usable, 5, rng)
    best = np.argsort(-chosen.priority)[: len(chosen) // 5]
    drawn = draw_pairs(usable, 5, poses.skeleton, rng)
    wrong, visibly_wrong, invisible = measure(chosen.pose[best], chosen.joints[best])
    usual, usually_visible, usually_invisible = measure(drawn.pose, drawn.joints)
    assert wrong > 1.7 * usual
    assert visibly_wrong > 2.5 * usually_visible
    assert invisible < 1.5 * usually_invisible
    unsure = np.abs(lifted[:, PAIRS[:, 0]] - lifted[:, PAIRS[:, 1]]).argsort(axis=1)[:, :5]
    assert invisible < measure(np.repeat(np.arange(len(poses)), 5), PAIRS[unsure.ravel()])[2]


def test_noise_without_scale_is_the_papers(lifter: LifterUncertainty) -> None:
    assert lifter.noise == PAPER_CROWD
