"""Merging by depth: its parts against brute force, and what it finds in simulated answers."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from nearfar.answer_noise import AnswerNoise
from nearfar.consensus import DepthModel, Majority, SimulatedCrowd, SkillModel, merge, simulate_answers
from nearfar.consensus.incidence import Incidence, ranges
from nearfar.consensus.propagation import DepthPrior, Factors, beliefs, propagate
from nearfar.consensus.thurstone import HALF, NODES, WEIGHTS, Judges, cumulative
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import PoseSet
from nearfar.skeleton import Limb, Skeleton, get_skeleton

H36M = get_skeleton("h36m17")
CHAIN = Skeleton("chain", ("a", "b", "c"), "a", (Limb(0, 1), Limb(1, 2)), ())
UNIT_MM = 250.0


def shown(poses, seed=0):
    """Poses whose joints are a random walk along the limbs, seen from anywhere."""
    rng = np.random.default_rng(seed)
    prior = DepthPrior.of(H36M)
    joints = np.zeros((poses, 17, 3))
    joints[..., 2] = rng.normal(size=(poses, 16)) @ prior.root.T * UNIT_MM + 4000
    return PoseSet(H36M, joints=joints), rng


def asked(crowd, poses=300, pairs=5, seed=0):
    people, rng = shown(poses, seed)
    return people, simulate_answers(people, random_pairs(H36M, poses, pairs, rng), crowd, rng)


def differences(poses, pose, pair):
    depth = poses.joints[..., 2]
    return depth[pose, pair[:, 0]] - depth[pose, pair[:, 1]]


def right(poses, labels):
    return labels.relation * differences(poses, labels.pose, labels.pair) > 0


def table(rows, skeleton=CHAIN):
    """Answers from (pose, a, b, relation, annotator)."""
    pose, a, b, relation, annotator = zip(*rows, strict=True)
    return RelativeLabels(
        skeleton, np.array(pose), np.stack([a, b], axis=1), np.array(relation, np.int8), annotator=np.array(annotator)
    )


def test_ranges_leave_nothing_out():
    first = np.array([0, 3, 3, 10, 11, 12])
    assert list(ranges(first, 4)) == [(0, 2), (2, 3), (3, 5)]
    assert list(ranges(first, 100, 1, 4)) == [(1, 4)]
    assert list(ranges(np.array([0]), 4)) == []


def test_sums_over_answers_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    item, worker, kind = np.sort(rng.integers(6, size=50)), rng.integers(3, size=50), rng.integers(2, size=50)
    item[item == 2] = 3  # an item without answers
    answers = Incidence.of(item, worker, kind, 6, 3, 2)
    values, state = rng.normal(size=(3, 2, 4)), rng.normal(size=(6, 4))
    sums, counts = np.zeros((6, 4)), np.zeros((3, 2, 4))
    for i, w, k in zip(item, worker, kind, strict=True):
        sums[i] += values[w, k]
        counts[w, k] += state[i]
    np.testing.assert_allclose(answers.per_item(values), sums, atol=1e-12)
    np.testing.assert_allclose(answers.per_item(values, 2, 5), sums[2:5], atol=1e-12)
    np.testing.assert_allclose(answers.per_worker(state), counts, atol=1e-12)
    np.testing.assert_allclose(answers.per_worker(state[:3]) + answers.per_worker(state[3:], 3), counts, atol=1e-12)


def test_the_grid_integrates_normal_densities():
    for mean, deviation in itertools.product((0, 0.3, -1.7), (0.15, 0.5, 1)):
        weights = WEIGHTS * np.exp(-(((NODES - mean) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
        assert weights.sum() == pytest.approx(1, abs=1e-3)
        nearer = 0.5 * math.erfc(-mean / deviation / math.sqrt(2))
        assert weights[HALF:].sum() == pytest.approx(nearer, abs=3e-3)


def test_links():
    x = np.linspace(-6, 6, 201)
    exact = [0.5 * math.erfc(-v / math.sqrt(2)) for v in x]
    np.testing.assert_allclose(cumulative("probit", x)[0], exact, rtol=3e-7)
    np.testing.assert_allclose(cumulative("logit", x)[0], 1 / (1 + np.exp(-x)), rtol=1e-12)
    for link in ("probit", "logit"):
        value, density = cumulative(link, x)
        np.testing.assert_allclose(np.gradient(value, x)[1:-1], density[1:-1], atol=5e-4)
        assert np.isfinite(cumulative(link, np.array([-1e4, 1e4]))).all()


def test_answers_to_a_kind_of_question_are_certain_to_be_one_of_three():
    judges = dataclasses.replace(
        Judges.average("probit", 3, 0.1), sensitivity=np.array([2.0, 0, -1]), lean=np.array([0, -3.0, 0])
    )
    np.testing.assert_allclose(judges.chances.sum(axis=1), 1, atol=1e-9)
    first, _, second = judges.chances[:, :, -10].T[:, :, None]  # the first joint is much farther
    assert second[0] > 0.95
    assert first[1] > 0.95  # always takes the first
    assert first[2] > 0.95  # answers the wrong way round
    asked_swapped = judges.table()[:, 3:]
    np.testing.assert_allclose(asked_swapped, judges.table()[:, :3, ::-1])


def test_the_prior_is_a_random_walk_along_the_limbs():
    prior = DepthPrior.of(CHAIN)
    d = prior.covariance
    spread = np.diag(d)[:, None] + np.diag(d) - 2 * d
    np.testing.assert_allclose([spread[0, 1], spread[1, 2], spread[0, 2]], [0.75, 0.75, 1.5])
    np.testing.assert_allclose(prior.root @ prior.root.T, d, atol=1e-9)
    # Limbs count by their length.
    lengths = DepthPrior.of(H36M).covariance
    spread = np.diag(lengths)[:, None] + np.diag(lengths) - 2 * lengths
    hip, knee, ankle = (H36M.index(name) for name in ("right_hip", "right_knee", "right_ankle"))
    assert spread[hip, knee] / spread[knee, ankle] == pytest.approx((19 / 20) ** 2)


@pytest.mark.parametrize("pairs", [[[0, 1]], [[0, 1], [1, 2]], [[0, 1], [1, 2], [0, 2]]])
def test_propagation_agrees_with_integrals(pairs):
    """One pose of three joints, so that what its answers say can be integrated on a fine grid of (u1, u2)."""
    rng = np.random.default_rng(0)
    pairs = np.array(pairs)
    prior = dataclasses.replace(DepthPrior.of(CHAIN), mean=np.array([0.3, -0.2, -0.1]))
    judges = dataclasses.replace(
        Judges.average("probit", 4, 0.2), sensitivity=np.array([2.0, 1, 3, -0.5]), lean=np.array([0.1, -0.2, 0, 0])
    )
    item, worker = np.repeat(np.arange(len(pairs)), 4), np.tile(np.arange(4), len(pairs))
    kind = rng.integers(6, size=len(item))
    logs = Incidence.of(item, worker, kind, len(pairs), 4, 6).per_item(judges.table())
    factors, weights, moments = propagate(
        prior, Factors.none(np.zeros((1, len(pairs)), int), pairs[None]), logs[None], sweeps=30
    )
    # By brute force.
    u = np.linspace(-6, 6, 601)
    grid = np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1).reshape(-1, 2)
    z = prior.mean + grid @ prior.root.T
    density = -(grid**2).sum(axis=1) / 2
    for i, (a, b) in enumerate(pairs):
        density += np.interp(z[:, a] - z[:, b], NODES, logs[i])
    density = np.exp(density - density.max())
    density /= density.sum()
    for i, (a, b) in enumerate(pairs):
        nearer = density[z[:, a] - z[:, b] > 0].sum()
        assert weights[0, i, HALF:].sum() == pytest.approx(nearer, abs=0.01)
    np.testing.assert_allclose(moments.total, density @ grid, atol=0.02)
    np.testing.assert_allclose(moments.squares, (grid * density[:, None]).T @ grid, atol=0.03)
    believed = beliefs(prior, factors.chosen(0, np.zeros(len(pairs), int)), 1)
    np.testing.assert_allclose(believed.mean[0], moments.total, atol=1e-6)
    np.testing.assert_allclose(believed.covariance[0], moments.covariances, atol=1e-6)


def test_what_nobody_asked_follows():
    """Where a is nearer than b, and b than c, a is nearer than c."""
    rng = np.random.default_rng(0)
    rows = []
    for pose in range(60):
        sign = 1 if rng.random() < 0.5 else -1
        rows += [
            (pose, *pair, sign if rng.random() < 0.9 else -sign, f"w{w}") for w in range(5) for pair in ((0, 1), (1, 2))
        ]
    rows += [(100, 0, 1, -1, f"w{w}") for w in range(5)] + [(100, 1, 2, -1, f"w{w}") for w in range(5)]
    depth = merge(table(rows), DepthModel()).depth
    p = depth.probability_of([100, 100, 100, 100, 999], [[0, 2], [2, 0], [0, 1], [1, 2], [0, 2]])
    assert p[0] < 0.04
    assert p[1] == pytest.approx(1 - p[0])
    assert p[0] < min(p[2], p[3])  # the farther apart, the surer
    assert abs(p[4] - 0.5) < 0.2  # nobody was asked of this pose
    latent = depth.depths()
    nearest = latent.depth[latent.pose == 100][0]
    assert nearest[0] < nearest[1] < nearest[2]
    assert nearest.sum() == pytest.approx(0, abs=1e-6)
    assert (latent.deviation > 0).all()


def test_the_same_depth_is_told_as_such():
    rows = [(p, 0, 1, 1 if p % 2 else -1, f"w{w}") for p in range(40) for w in range(4)]
    rows += [(p, 0, 1, 0, f"w{w}") for p in range(40, 60) for w in range(4)]
    answers = table(rows)
    depth = merge(answers, DepthModel()).depth
    assert depth.judges.tie > 0.05
    mean, variance = depth.difference_of(np.arange(60), np.tile([0, 1], (60, 1)))
    assert np.abs(mean[40:]).max() < 0.3 * np.abs(mean[:40]).min()
    assert variance[40:].max() < 0.7 * depth.difference_of([99], [[0, 1]])[1][0]
    # "Can't tell" says nothing of that.
    unsure = merge(dataclasses.replace(answers, unsure=answers.relation == 0), DepthModel()).depth
    assert unsure.judges.tie == 0
    _, variance = unsure.difference_of([45, 99], [[0, 1], [0, 1]])
    assert variance[0] == pytest.approx(variance[1], rel=1e-3)


@pytest.fixture(scope="module")
def careless():
    """A crowd some of whom toss coins, always take the first, or answer the wrong way round."""
    crowd = SimulatedCrowd(
        workers=40, spammers=0.1, one_sided=0.05, reversed=0.05, noise=AnswerNoise("probit", 150), answers_per_pair=3
    )
    poses, answers = asked(crowd, poses=500, pairs=10)
    return poses, answers, merge(answers, DepthModel())


def test_it_is_right_more_often_than_methods_that_read_pairs_apart(careless):
    poses, answers, merged = careless
    wrong = {
        name: 1 - right(poses, labels).mean()
        for name, labels in {
            "depth": merged.labels,
            "lean": merge(answers, SkillModel()).labels,
            "majority": merge(answers, Majority()).labels,
        }.items()
    }
    assert wrong["depth"] < 0.9 * wrong["lean"]
    assert wrong["depth"] < 0.75 * wrong["majority"]


def test_probabilities_mean_what_they_say(careless):
    poses, _, merged = careless
    everything = np.array(list(itertools.combinations(range(17), 2)))
    pose, pair = np.repeat(np.arange(500), len(everything)), np.tile(everything, (500, 1))
    unasked = merged.depth.probability_of(pose, pair)
    for p, nearer, most in (
        (merged.labels.probability, differences(poses, merged.labels.pose, merged.labels.pair) > 0, 0.05),
        (unasked, differences(poses, pose, pair) > 0, 0.03),
    ):
        sure = np.maximum(p, 1 - p)
        hit = (p > 0.5) == nearer
        for low, high in ((0.5, 0.6), (0.6, 0.75), (0.75, 0.9), (0.9, 1)):
            bin_ = (sure >= low) & (sure < high)
            assert abs(hit[bin_].mean() - sure[bin_].mean()) < most
    assert ((unasked > 0.5) == (differences(poses, pose, pair) > 0)).mean() > 0.75


def test_workers_are_seen_through(careless):
    _, answers, merged = careless
    records = {record["annotator"]: record for record in merged.workers()}
    for name, record in records.items():
        kind = next((k for k, names in answers.provenance["crowd"].items() if name in names), "diligent")
        if record["answers"] < 60:
            continue
        s, b = record["sensitivity"], record["lean"]
        match kind:
            case "diligent":
                assert s > 0.6
                assert abs(b) < 0.5
            case "spammers":
                assert abs(s) < 0.4
                assert abs(b) < 0.5
            case "one_sided":
                assert b < -1.2
            case "reversed":
                assert s < -0.4


@pytest.mark.parametrize("link", ["probit", "logit"])
def test_the_link_is_found_in_millimetres(link):
    noise = AnswerNoise(link, 120 if link == "probit" else 70, 0.1)
    poses, answers = asked(SimulatedCrowd(20, noise, 0, spammers=0, answers_per_pair=12), poses=800)
    depth = merge(answers, DepthModel(link=link)).depth
    unit = depth.unit_mm(poses)
    assert unit == pytest.approx(UNIT_MM, rel=0.05)
    found = depth.answer_noise(unit)
    assert found.link == link
    difference = np.array([20, 50, 100, 200, 400])
    np.testing.assert_allclose(found.right(difference), noise.right(difference), atol=0.03)
    # Poses that nothing is known of are left out.
    joints = poses.joints.copy()
    joints[::2] = np.nan
    assert depth.unit_mm(PoseSet(H36M, joints=joints[:700])) == pytest.approx(unit, rel=0.1)


def test_the_prior_is_learned():
    """Joints that are always behind others, and joints that move together, are found out."""
    rng = np.random.default_rng(0)
    poses = 600
    z = rng.normal(size=(poses, 17)) * 100
    z[:, 16] = z[:, 13] + rng.normal(size=poses) * 10  # both wrists together
    z[:, 10] += 400  # the head far behind
    people = PoseSet(H36M, joints=np.stack([z * 0, z * 0, z], axis=-1))
    crowd = SimulatedCrowd(workers=20, spammers=0, noise=AnswerNoise("probit", 60))
    depth = merge(simulate_answers(people, random_pairs(H36M, poses, 6, rng), crowd, rng), DepthModel()).depth
    covariance = depth.prior.covariance
    spread = np.diag(covariance)[:, None] + np.diag(covariance) - 2 * covariance
    assert spread[13, 16] < 0.5 * np.median(spread)
    others = np.delete(depth.prior.mean, 10)
    assert depth.prior.mean[10] > others.max() + 5 * others.std()


def test_many_answers_are_begun_with_some():
    poses, answers = asked(SimulatedCrowd(workers=20, noise=AnswerNoise("probit", 150)), poses=600)
    whole, begun = merge(answers, DepthModel()), merge(answers, DepthModel(enough=3000))
    assert np.abs(whole.labels.probability - begun.labels.probability).mean() < 0.03
    assert abs(right(poses, whole.labels).mean() - right(poses, begun.labels).mean()) < 0.015


def test_all_pairs_of_a_pose():
    poses, rng = shown(25)
    crowd = SimulatedCrowd(workers=8, spammers=0, noise=AnswerNoise("probit", 150), answers_per_pair=2)
    answers = simulate_answers(poses, random_pairs(H36M, 25, 136, rng), crowd, rng)
    merged, apart = merge(answers, DepthModel()), merge(answers, SkillModel())
    assert np.isfinite(merged.labels.probability).all()
    assert 1 - right(poses, merged.labels).mean() < 0.6 * (1 - right(poses, apart.labels).mean())


def test_one_pose_alone_is_merged():
    """Its prior is learned from nothing but itself, and must not shrink to it."""
    poses, answers = asked(SimulatedCrowd(workers=20, spammers=0.0, answers_per_pair=9), poses=1, pairs=136)
    merged = merge(answers, DepthModel())
    assert np.isfinite(merged.labels.probability).all()
    assert right(poses, merged.labels).mean() > 0.9


def test_little_and_odd_answers():
    for rows in (
        [(5, 0, 1, 1, "a")],
        [(5, 0, 1, 0, "a")],
        [(5, 0, 1, 1, "a"), (5, 0, 1, -1, "a"), (5, 1, 0, -1, "b")],
        [(0, 0, 1, 1, "a")] * 500,
    ):
        merged = merge(table(rows), DepthModel())
        assert np.isfinite(merged.labels.probability).all()
        assert len(merged.labels) == 1
    unsure = dataclasses.replace(table([(5, 0, 1, 0, "a")]), unsure=np.array([True]))
    assert merge(unsure, DepthModel()).labels.probability[0] == pytest.approx(0.5, abs=1e-3)
    empty = merge(table([(5, 0, 1, 1, "a")]).select(slice(0, 0)), DepthModel())
    assert len(empty.labels) == 0
    assert empty.depth.probability_of([0], [[0, 1]]) == pytest.approx(0.5)
    assert empty.depth.depths().depth.shape == (0, 3)
    assert merge(table([(5, 0, 1, 1, "a")]), SkillModel()).depth is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"link": "line"}, "link must be 'probit' or 'logit'"),
        ({"prior_poses": 0}, "prior_poses must be above 0"),
        ({"enough": 0}, "enough must be at least 1"),
        ({"iterations": 0}, "iterations must be at least 1"),
    ],
)
def test_models_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        DepthModel(**changes)


def test_units_that_cannot_be_found_are_refused():
    poses, answers = asked(SimulatedCrowd(workers=8), poses=10)
    depth = merge(answers, DepthModel()).depth
    with pytest.raises(InputError, match="joints in the camera's frame"):
        depth.unit_mm(dataclasses.replace(poses, frame="world"))
    with pytest.raises(InputError, match="fitted on skeleton 'h36m17', but the poses are on 'chain'"):
        depth.unit_mm(PoseSet(CHAIN, joints=np.zeros((10, 3, 3))))
    with pytest.raises(InputError, match="3D of none of the pairs"):
        depth.unit_mm(PoseSet(H36M, joints=np.full((10, 17, 3), np.nan)))
    with pytest.raises(InputError, match="unit_mm must be above 0"):
        depth.answer_noise(0)
