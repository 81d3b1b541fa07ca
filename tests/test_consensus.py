"""Merging answers: votes by pair, majority, skill and difficulty, and the crowd that is simulated to check them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.answer_noise import AnswerNoise
from nearfar.consensus import (
    METHOD_NAMES,
    DepthModel,
    Glad,
    Majority,
    SimulatedCrowd,
    SkillModel,
    merge,
    method,
    posterior,
    simulate_answers,
    votes_of,
)
from nearfar.consensus.methods import name_of
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton

H36M = get_skeleton("h36m17")
PLAIN = SkillModel(visibility=(1.0,))


def majority(answers):
    return merge(answers, Majority())


def answers_of(rows, annotators=True):
    """Answers from (pose, a, b, relation, annotator)."""
    pose, a, b, relation, annotator = zip(*rows, strict=True)
    return RelativeLabels(
        H36M,
        np.array(pose),
        np.stack([a, b], axis=1),
        np.array(relation, np.int8),
        annotator=np.array(annotator) if annotators else None,
    )


def crowd_answers(crowd, poses=300, pairs=5, seed=0):
    rng = np.random.default_rng(seed)
    shown = PoseSet(H36M, joints=rng.normal(size=(poses, 17, 3)) * 250 + [0, 0, 4000])
    return shown, simulate_answers(shown, random_pairs(H36M, poses, pairs, rng), crowd, rng)


def truth_of(poses, labels):
    depth = poses.joints[..., 2]
    return np.sign(depth[labels.pose, labels.pair[:, 0]] - depth[labels.pose, labels.pair[:, 1]])


def same_labels(first, second):
    np.testing.assert_array_equal(first.labels.pose, second.labels.pose)
    np.testing.assert_array_equal(first.labels.pair, second.labels.pair)
    np.testing.assert_array_equal(first.labels.relation, second.labels.relation)
    np.testing.assert_array_equal(first.labels.probability, second.labels.probability)


def test_votes_bring_both_ways_round_together():
    votes = votes_of(answers_of([(3, 5, 2, 1, "b"), (3, 2, 5, -1, "a"), (0, 1, 0, 0, "a")]))
    assert votes.pose.tolist() == [0, 3]
    assert votes.pair.tolist() == [[0, 1], [2, 5]]
    assert votes.workers.tolist() == ["a", "b"]
    assert votes.item.tolist() == [0, 1, 1]
    assert votes.relation.tolist() == [0, -1, -1]  # "5 or 2: the second is nearer" is "2 or 5: the first"
    assert votes.row.tolist() == [2, 1, 0]


def test_majority():
    rows = [(0, 1, 2, 1, "a"), (0, 2, 1, -1, "b"), (0, 1, 2, -1, "c")]  # two say that 2 is nearer, one that 1 is
    rows += [(1, 1, 2, 1, "a"), (1, 1, 2, -1, "b")]  # a tie
    rows += [(2, 1, 2, 0, "a"), (2, 1, 2, -1, "b")]  # one unsure
    rows += [(0, 2, 1, 0, "d")]
    answers = answers_of(rows, annotators=False)
    answers = dataclasses.replace(answers, unsure=np.arange(len(rows)) == len(rows) - 1)  # "can't tell" never counts
    merged = majority(answers)
    assert merged.labels.kind == "merged"
    assert merged.labels.pose.tolist() == [0, 1, 2]
    assert merged.labels.relation.tolist() == [1, 0, -1]
    np.testing.assert_allclose(merged.labels.probability, [2 / 3, 1 / 2, 1 / 4])
    np.testing.assert_allclose(merged.labels.risk, [1 / 3, 1 / 2, 1 / 4])
    assert not merged.finished().any()


def test_one_answer_is_believed_as_far_as_the_crowd_is():
    merged = merge(answers_of([(0, 1, 2, 1, "a")]), PLAIN)
    assert merged.labels.relation.tolist() == [1]
    assert 0.7 < merged.labels.probability[0] < 0.95


@pytest.mark.parametrize("coins", [1, 2])
def test_unsure_answers_say_nothing_of_the_order(coins):
    rows = [(p, 1, 2, 1 if (p + w) % 7 else -1, f"w{w}") for p in range(20) for w in range(4)]
    unsure = [(p, 2, 1, 0, "w9") for p in range(20)] + [(30, 4, 3, 0, "w1"), (30, 3, 4, 0, "w9")]
    model = SkillModel(coins=coins)
    without, with_unsure = merge(answers_of(rows), model), merge(answers_of(rows + unsure), model)
    np.testing.assert_allclose(with_unsure.labels.probability[:-1], without.labels.probability, atol=0.02)
    assert with_unsure.labels.probability[-1] == pytest.approx(0.5)
    assert with_unsure.labels.relation[-1] == 0
    record = with_unsure.workers()[-1]
    assert (record["annotator"], record["same"], record["agrees"]) == ("w9", 1.0, None)
    assert record["expected_right"] is None
    json.dumps(with_unsure.workers(), allow_nan=False)


@st.composite
def some_answers(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m = draw(st.integers(1, 60))
    relation = rng.integers(-1, 2, size=m).astype(np.int8)
    return RelativeLabels(
        H36M, rng.integers(3, size=m), np.argsort(rng.random((m, 4)), axis=1)[:, :2], relation,
        annotator=rng.choice(["a", "b", "c", "d"], size=m), unsure=(relation == 0) & (rng.random(m) < 0.5),
    )  # fmt: skip


@pytest.mark.parametrize("name", METHOD_NAMES)
@settings(max_examples=15)
@given(answers=some_answers(), data=st.data())
def test_what_must_not_matter_does_not(name, answers, data):
    model = DepthModel(iterations=25) if name == "depth" else method(name)
    merged = merge(answers, model)
    order = np.array(data.draw(st.permutations(range(len(answers)))))
    same_labels(merge(answers.select(order), model), merged)
    p, atol = merged.labels.probability, 1e-4 if name == "depth" else 1e-6
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(merged.labels.risk, np.minimum(p, 1 - p))
    turned = dataclasses.replace(answers, pair=answers.pair[:, ::-1], relation=-answers.relation)
    np.testing.assert_allclose(merge(turned, model).labels.probability, p, atol=atol)
    new_names = {"a": "zoe", "b": "d", "c": "a", "d": "yan"}
    renamed = dataclasses.replace(answers, annotator=np.array([new_names[x] for x in answers.annotator]))
    np.testing.assert_allclose(merge(renamed, model).labels.probability, p, atol=atol)
    # Telling every answer the other way mirrors every probability.
    opposite = dataclasses.replace(answers, relation=-answers.relation)
    np.testing.assert_allclose(merge(opposite, model).labels.probability, 1 - p, atol=atol)
    json.dumps(merged.workers(), allow_nan=False)
    json.dumps(dict(merged.labels.provenance), allow_nan=False)


def test_methods_by_name():
    assert [name_of(method(name)) for name in METHOD_NAMES] == list(METHOD_NAMES)
    answers = answers_of([(0, 1, 2, 1, "a"), (0, 2, 3, -1, "b")])
    for name in METHOD_NAMES:
        merged = merge(answers, method(name))
        assert merged.labels.provenance["merged"]["method"] == name
        assert merged.model == method(name)
    with pytest.raises(InputError, match="merging method 'median': expected one of majority"):
        method("median")


@pytest.mark.parametrize("coins", [1, 2])
def test_known_skills_score_new_answers(coins):
    _, answers = crowd_answers(SimulatedCrowd(workers=12, spammers=0.25), poses=200)
    merged = merge(answers, SkillModel(coins=coins))
    np.testing.assert_allclose(posterior(merged.votes, merged.skill), merged.labels.probability, atol=1e-9)
    # Workers are found by name, whoever else answered.
    good, bad = (merged.skill.workers[i(merged.skill.right)] for i in (np.argmax, np.argmin))
    new = answers_of([(0, 1, 2, 1, good), (1, 1, 2, 1, bad), (2, 1, 2, 1, "nobody"), (3, 1, 2, 0, good)])
    trust = posterior(votes_of(new), merged.skill)
    assert trust[0] > trust[2] > trust[1]
    assert trust[1] == pytest.approx(0.5, abs=0.06)
    assert trust[3] == pytest.approx(0.5)
    nobody = merge(answers.select(slice(0, 0)), SkillModel(coins=coins)).skill
    assert posterior(votes_of(new), nobody)[2] > 0.6


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_more_answers_come_near_to_a_full_fit(name):
    crowd = SimulatedCrowd(workers=30, spammers=0.1, reversed=0.05, noise=AnswerNoise("probit", 150))
    _, answers = crowd_answers(crowd, poses=300)
    rng = np.random.default_rng(1)
    model = method(name)
    full = merge(answers, model).labels
    # New workers, new poses and new answers to old pairs, in turn.
    first = (answers.pose < 280) & (answers.annotator < "worker 28") & (rng.random(len(answers)) < 0.9)
    merged = merge(answers.select(first), model)
    for part in np.array_split(np.flatnonzero(~first), 3):
        merged = merged.update(answers.select(part))
    if merged.fit is not None:
        assert merged.fitted == first.sum()  # nothing was fitted anew as a whole
    np.testing.assert_array_equal(merged.labels.pose, full.pose)
    np.testing.assert_array_equal(merged.labels.pair, full.pair)
    off = np.abs(merged.labels.probability - full.probability)
    assert off.mean() < 0.015
    assert np.quantile(off, 0.99) < 0.1
    assert len(merged.votes) == len(answers)
    assert [record["annotator"] for record in merged.workers()] == sorted(set(answers.annotator))
    if merged.fit is not None:
        right, whole = merged.fit.columns()["expected_right"], merge(answers, model).fit.columns()["expected_right"]
        np.testing.assert_allclose(right, whole, atol=0.05)
    # The answers that were there stand where they stood, whatever row they have.
    np.testing.assert_array_equal(np.sort(merged.votes.row), np.arange(len(answers)))


def test_old_answers_do_not_rule_new_ones():
    _, answers = crowd_answers(SimulatedCrowd(workers=30), poses=60)
    merged = merge(answers.select(answers.pose < 10), SkillModel())
    for pose in range(10, 60):
        merged = merged.update(answers.select(answers.pose == pose))
    assert merged.fitted > len(answers) / 1.5  # everything was fitted again when there was much more
    np.testing.assert_allclose(merged.labels.probability, merge(answers, SkillModel()).labels.probability, atol=0.1)
    nothing = merge(answers.select(slice(0, 0)), SkillModel()).update(answers)
    same_labels(nothing, merge(answers, SkillModel()))
    same_labels(merged.update(answers.select(slice(0, 0))), merged)
    with pytest.raises(InputError, match="cannot take in answers on 'lsp14'"):
        merged.update(RelativeLabels(get_skeleton("lsp14"), answers.pose[:1], np.array([[0, 1]]), answers.relation[:1]))
    with pytest.raises(InputError, match="needs to know who answered"):
        merged.update(dataclasses.replace(answers, annotator=None))


def test_glad_finds_ability_and_easiness():
    rng = np.random.default_rng(0)
    ability, easiness = np.linspace(-1, 3, 15), np.exp(rng.normal(1, 0.8, size=1000))
    item, worker = np.divmod(np.arange(1000 * 15), 15)
    right = rng.random(len(item)) < 1 / (1 + np.exp(-ability[worker] * easiness[item]))
    truth = rng.choice([-1, 1], size=1000)
    relation = np.where(right, truth[item], -truth[item]).astype(np.int8)
    answers = RelativeLabels(
        H36M, item, np.tile([1, 2], (len(item), 1)), relation, annotator=np.char.mod("w%02d", worker)
    )
    merged = merge(answers, Glad())
    assert merged.fit.converged
    np.testing.assert_allclose(merged.fit.ability[:11], ability[:11], atol=0.35)
    assert np.corrcoef(merged.fit.ability, ability)[0, 1] > 0.98
    assert np.corrcoef(np.log(merged.fit.easiness), np.log(easiness))[0, 1] > 0.6
    assert (merged.labels.relation == truth).mean() > 0.97


def test_skills_are_recovered():
    rng = np.random.default_rng(0)
    skill = np.linspace(0.1, 0.95, 12)  # the worst are wrong more often than not
    truth = rng.choice([-1, 1], size=800)
    item, worker = np.divmod(np.arange(800 * 12), 12)
    keep = rng.random(len(item)) < 0.5
    item, worker = item[keep], worker[keep]
    relation = np.where(rng.random(len(item)) < skill[worker], truth[item], -truth[item])
    answers = RelativeLabels(
        H36M, item, np.tile([1, 2], (len(item), 1)), relation.astype(np.int8), annotator=np.char.mod("w%02d", worker)
    )
    shown = np.bincount(worker, relation == truth[item]) / np.bincount(worker)  # what was drawn of each skill
    for model in (PLAIN, SkillModel(coins=2, visibility=(1.0,))):
        merged = merge(answers, model)
        assert merged.skill.converged
        np.testing.assert_allclose(merged.skill.skill.mean(axis=1), shown, atol=0.05)
        np.testing.assert_allclose(merged.skill.right, shown, atol=0.03)
        assert (merged.labels.relation == truth).mean() > 0.9
        assert (merged.labels.relation == truth).mean() > (majority(answers).labels.relation == truth).mean()


def test_two_coins_see_the_one_who_always_takes_the_first():
    _, answers = crowd_answers(SimulatedCrowd(workers=20, one_sided=0.1, spammers=0, noise=AnswerNoise("probit", 60)))
    lazy = answers.provenance["crowd"]["one_sided"]
    assert len(lazy) == 2
    records = {record["annotator"]: record for record in merge(answers, SkillModel(coins=2)).workers()}
    for name, record in records.items():
        if name in lazy:
            assert record["skill_first_nearer"] > 0.9
            assert record["skill_second_nearer"] < 0.25
        else:
            assert min(record["skill_first_nearer"], record["skill_second_nearer"]) > 0.75


@pytest.mark.parametrize("noise", [AnswerNoise("line", 400), AnswerNoise("probit", 120, 0.05)], ids=str)
def test_with_difficulty_the_probabilities_mean_what_they_say(noise):
    poses, answers = crowd_answers(SimulatedCrowd(noise=noise, spammers=0.1), poses=800)
    score = {}
    for name, merged in {"plain": merge(answers, PLAIN), "levels": merge(answers, SkillModel())}.items():
        right = merged.labels.relation == truth_of(poses, merged.labels)
        sure = 1 - merged.labels.risk
        score[name] = -np.log(np.where(right, sure, 1 - sure)).mean()
        if name == "levels":
            for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1)):
                bin_ = (sure >= low) & (sure < high)
                assert abs(right[bin_].mean() - sure[bin_].mean()) < 0.06
    assert score["levels"] < 0.95 * score["plain"]  # log loss


def test_skill_beats_majority_where_workers_are_careless():
    poses, answers = crowd_answers(
        SimulatedCrowd(workers=40, spammers=0.15, reversed=0.1, noise=AnswerNoise("probit", 100))
    )
    share = {
        name: (merged.labels.relation == truth_of(poses, merged.labels)).mean()
        for name, merged in {"majority": majority(answers), "skill": merge(answers, SkillModel())}.items()
    }
    assert 1 - share["skill"] < 0.75 * (1 - share["majority"])  # a quarter of its mistakes fewer


def test_merged_labels_are_saved_and_read(tmp_path):
    _, answers = crowd_answers(SimulatedCrowd(workers=8), poses=20)
    labels = merge(answers, SkillModel()).labels
    labels.save(tmp_path / "merged.parquet")
    read = RelativeLabels.load(tmp_path / "merged.parquet")
    np.testing.assert_array_equal(read.relation, labels.relation)
    np.testing.assert_allclose(read.probability, labels.probability, rtol=1e-6)
    assert read.kind == "merged"
    assert read.provenance["merged"]["method"] == "lean"


def test_what_cannot_be_merged_is_refused():
    answers = answers_of([(0, 1, 2, 1, "a")])
    with pytest.raises(InputError, match="expected raw answers, got labels that are merged already"):
        merge(dataclasses.replace(majority(answers).labels, annotator=np.array(["a"])), SkillModel())
    with pytest.raises(InputError, match="needs to know who answered"):
        merge(answers_of([(0, 1, 2, 1, "a")], annotators=False), SkillModel())
    for changes, message in (
        ({"coins": 3}, "coins must be 1 or 2"),
        ({"visibility": ()}, "visibility must be levels"),
        ({"visibility": (1.5,)}, "visibility must be levels"),
        ({"prior_answers": 0}, "prior_answers must be above 0"),
        ({"prior_pairs": np.nan}, "prior_pairs must be above 0"),
        ({"iterations": 0}, "iterations must be at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            SkillModel(**changes)


def test_no_answers_make_no_labels():
    empty = answers_of([(0, 1, 2, 1, "a")]).select(slice(0, 0))
    assert len(majority(empty).labels) == len(merge(empty, SkillModel()).labels) == 0


def test_the_simulated_crowd_is_as_it_was_asked_to_be():
    crowd = SimulatedCrowd(workers=30, spammers=0.1, one_sided=0.1, reversed=0.1, answers_per_pair=4)
    poses, answers = crowd_answers(crowd, poses=400)
    assert len(answers) == 400 * 5 * 4
    votes = votes_of(answers)
    assert (np.bincount(votes.item) == 4).all()
    once = np.stack([votes.item, votes.worker], axis=1)
    assert len(np.unique(once, axis=0)) == len(once)  # nobody answers a pair twice
    assert abs(votes.swapped.mean() - 0.5) < 0.03
    right = (
        votes.relation
        == truth_of(poses, RelativeLabels(H36M, votes.pose, votes.pair, np.zeros(votes.items, np.int8)))[votes.item]
    )
    kinds = answers.provenance["crowd"]
    assert [len(kinds[kind]) for kind in ("spammers", "one_sided", "reversed")] == [3, 3, 3]
    for kind, low, high in (("spammers", 0.4, 0.6), ("one_sided", 0.4, 0.6), ("reversed", 0.1, 0.4)):
        of_kind = np.isin(votes.workers[votes.worker], kinds[kind])
        assert low < right[of_kind].mean() < high
    diligent = ~np.isin(votes.workers[votes.worker], [name for names in kinds.values() for name in names])
    assert right[diligent].mean() > 0.7
    assert (votes.vote[np.isin(votes.workers[votes.worker], kinds["one_sided"])] == -1).all()
    json.dumps(answers.provenance, allow_nan=False)


def test_diligent_workers_follow_the_noise_model():
    noise = AnswerNoise("probit", 150, 0.04)
    poses, answers = crowd_answers(SimulatedCrowd(noise=noise, spread=0, spammers=0), poses=1000)
    depth = poses.joints[..., 2]
    difference = depth[answers.pose, answers.pair[:, 0]] - depth[answers.pose, answers.pair[:, 1]]
    right = answers.relation * difference > 0
    for low, high in ((0, 50), (50, 200), (200, 500), (500, 2000)):
        bin_ = (np.abs(difference) >= low) & (np.abs(difference) < high)
        expected = noise.right(difference[bin_])
        assert abs(right[bin_].mean() - expected.mean()) < 4 * np.sqrt((expected * (1 - expected)).sum()) / bin_.sum()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 3}, "3 workers can give 1..3 answers a pair, got 5"),
        ({"answers_per_pair": 0}, "can give 1..60 answers a pair, got 0"),
        ({"poses_per_task": 0}, "poses_per_task must be at least 1"),
        ({"spread": -1}, "spread must be 0 or more"),
        ({"spammers": 0.7, "reversed": 0.6}, "add up to 1"),
        ({"one_sided": -0.1}, "must be 0 or more"),
    ],
)
def test_crowds_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        SimulatedCrowd(**changes)
