from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from annotation_photos import SKELETON, project_of
from hypothesis import given
from hypothesis import strategies as st

from nearfar import PoseSet, get_skeleton
from nearfar.annotation.projects.informative import LifterUncertainty, choose_informative, explained_share
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
def test_an_answer_explains_a_share_of_the_variance(mean: float, deviation: float) -> None:
    share = float(explained_share(np.array(mean), np.array(deviation)))
    assert 0 <= share <= 2 / np.pi * 1.04
    assert share == pytest.approx(float(explained_share(np.array(-mean), np.array(deviation))), abs=1e-9)


def test_the_explained_share_has_its_known_values() -> None:
    nothing = explained_share(np.array([1e4, 0.0]), np.array([1.0, 1e-6]))
    assert nothing == pytest.approx([0, 0], abs=1e-6)  # known already; nobody could see it
    normal = NormalDist()
    below = np.array([12, 16, 20]) / 24  # Φ(t), where the sign of d ~ N(t, 1) explains φ² / (Φ (1 − Φ))
    t = np.array([normal.inv_cdf(share) for share in below])
    expected = np.array([normal.pdf(at) for at in t]) ** 2 / (below * (1 - below))
    assert explained_share(100 * t, np.full(3, 100.0), SURE) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 150.0), (80.0, 60.0), (-300.0, 200.0)])
def test_the_explained_share_is_what_answers_take_from_the_variance(mean: float, deviation: float) -> None:
    rng = np.random.default_rng(0)
    difference = rng.normal(mean, deviation, 400_000)
    right = rng.random(len(difference)) < PAPER_CROWD.right(difference)
    answer = np.where(difference > 0, right, ~right)
    left = sum(difference[answer == said].var() * np.mean(answer == said) for said in (False, True))
    share = float(explained_share(np.array(mean), np.array(deviation)))
    assert share == pytest.approx(1 - left / difference.var(), abs=0.02)


def test_pairs_are_drawn_in_proportion_to_their_scores() -> None:
    score = np.zeros(len(PAIRS))
    score[[3, 50, 100]] = 1.0, 3.0, 6.0
    poses = synthetic_poses(2000)
    usable = np.ones((2000, 17), bool)
    usable[:500, PAIRS[100, 0]] = False
    usable[500:600, 1:] = False
    chosen = choose_informative(Fixed(score), poses, usable, 1, np.random.default_rng(0))
    assert np.bincount(chosen.pose, minlength=2000).tolist() == [1] * 500 + [0] * 100 + [1] * 1400
    assert usable[chosen.pose[:, None], chosen.joints].all()
    late = chosen.keys(17)[chosen.pose >= 600]
    of = [np.mean(late % 289 == a * 17 + b) for a, b in PAIRS[[3, 50, 100]].tolist()]
    assert of == pytest.approx([0.1, 0.3, 0.6], abs=0.04)
    first = np.argsort(-chosen.priority)[:200]  # poses with more to tell come first
    assert np.mean(chosen.pose[first] >= 600) > 1.15 * np.mean(chosen.pose >= 600)


def test_no_two_pairs_say_the_same() -> None:
    """Wrist against hip, and elbow against hip: most of the way between them is the same."""
    names = [("left_wrist", "right_hip"), ("left_elbow", "right_hip"), ("left_ankle", "right_knee")]
    rows = [PAIRS.tolist().index(sorted(map(SKELETON.index, pair))) for pair in names]
    score = np.zeros(len(PAIRS))
    score[rows] = 1e6, 1.0, 1.0
    poses = synthetic_poses(500)
    chosen = choose_informative(Fixed(score), poses, np.ones((500, 17), bool), 2, np.random.default_rng(0))
    second = chosen.joints[500:]
    assert (chosen.joints[:500] == PAIRS[rows[0]]).all(axis=1).mean() > 0.99
    assert (second == PAIRS[rows[2]]).all(axis=1).mean() > 0.6  # alone it would be a half


def test_unknown_pairs_come_last_but_come() -> None:
    score = np.full(len(PAIRS), np.nan)
    score[5] = 0.1
    chosen = choose_informative(Fixed(score), synthetic_poses(2), np.ones((2, 17), bool), 200, np.random.default_rng(0))
    assert len(chosen) == 2 * len(PAIRS)
    firsts = [chosen.joints[chosen.pose == pose][0].tolist() for pose in (0, 1)]
    assert firsts == [PAIRS[5].tolist()] * 2
    assert (chosen.priority[chosen.pose == 0][1:] < 1e-4 * chosen.priority[chosen.pose == 0][0]).all()


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
def test_drawn_pairs_are_more_often_wrong_by_far_and_can_be_seen(
    benchmark_folder: Path, lifter: LifterUncertainty
) -> None:
    poses = load_poses(benchmark_folder / "val.npz")
    poses = poses.select(np.random.default_rng(0).choice(len(poses), 1500, replace=False))
    depth = poses.joints[..., 2].astype(float)
    lifted = lifter.lifter.lift_poses(poses).joints[..., 2]
    usable = np.ones(depth.shape, bool)
    rng = np.random.default_rng(0)

    def measure(pose: np.ndarray, joints: np.ndarray) -> tuple[float, float]:
        true, said = (z[pose, joints[:, 0]] - z[pose, joints[:, 1]] for z in (depth, lifted))
        return ((np.sign(true) != np.sign(said)) & (np.abs(true) > 100)).mean(), (np.abs(true) < 20).mean()

    chosen = choose_informative(lifter, poses, usable, 5, rng)
    best = np.argsort(-chosen.priority)[: len(chosen) // 5]
    drawn = draw_pairs(usable, 5, poses.skeleton, rng)
    wrong, invisible = measure(chosen.pose[best], chosen.joints[best])
    usually_wrong, usually_invisible = measure(drawn.pose, drawn.joints)
    assert wrong > 1.5 * usually_wrong
    assert invisible < 0.85 * usually_invisible


def test_noise_without_scale_is_the_papers(lifter: LifterUncertainty) -> None:
    assert lifter.noise == PAPER_CROWD
