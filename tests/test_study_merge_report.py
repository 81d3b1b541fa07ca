"""The report on merged answers: calibration, hidden answers, workers and what is remarked of them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.answer_noise import AnswerNoise
from nearfar.consensus import SimulatedCrowd, merge, method, simulate_answers
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.study.calibration import calibration, held_out_answers
from nearfar.study.markdown import markdown_table
from nearfar.study.merge_figures import merge_figures
from nearfar.study.merge_markdown import merge_markdown, summary_markdown
from nearfar.study.merge_report import FLAGS, merge_report, merge_summary, worker_records, worker_table
from nearfar.viewing.figures import save_figure

H36M = get_skeleton("h36m17")
LEAN = method("lean")


def crowd_answers(poses=200, seed=0, **settings):
    rng = np.random.default_rng(seed)
    shown = PoseSet(H36M, joints=rng.normal(size=(poses, 17, 3)) * 250 + [0, 0, 4000])
    crowd = SimulatedCrowd(**({"workers": 20, "answers_per_pair": 5, "spammers": 0.0} | settings))
    return shown, simulate_answers(shown, random_pairs(H36M, poses, 5, rng), crowd, rng)


def answers_of(rows, **columns):
    """Answers from (pose, a, b, relation, annotator)."""
    pose, a, b, relation, annotator = zip(*rows, strict=True)
    pair = np.stack([a, b], axis=1)
    return RelativeLabels(
        H36M, np.array(pose), pair, np.array(relation, np.int8), annotator=np.array(annotator), **columns
    )


def test_calibration_by_hand():
    found = calibration([0.9, 0.9, 0.1, 0.1, 0.62, 1.0], [True, True, False, True, False, True])
    bins = {round(record["lower"], 2): record for record in found["bins"]}
    assert (found["number"], len(found["bins"])) == (6, 10)
    assert bins[0.9]["answers"] + bins[0.85]["answers"] == 4  # 0.9 and 0.1 are equally sure
    sure = next(record for record in found["bins"] if record["answers"] == 4)
    assert (sure["accuracy"], sure["predicted"]) == (0.75, pytest.approx(0.9))
    assert bins[0.95]["accuracy"] == 1
    assert bins[0.6]["accuracy"] == 0
    assert found["ece"] == pytest.approx((4 * 0.15 + 0.62 + 0) / 6)
    assert found["brier"] == pytest.approx((3 * 0.01 + 0.81 + 0.62**2) / 6)
    log = -(3 * np.log(0.9) + np.log(0.1) + np.log(0.38) + np.log(0.999)) / 6  # cut to 0.999
    assert found["log_loss"] == pytest.approx(log)


@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_calibration_does_not_depend_on_the_way_round(m, seed):
    rng = np.random.default_rng(seed)
    p, came, turned = rng.random(m), rng.random(m) < 0.5, rng.random(m) < 0.5
    first, second = calibration(p, came), calibration(np.where(turned, 1 - p, p), came != turned)
    for name in ("ece", "brier", "log_loss"):
        assert first[name] == pytest.approx(second[name])
    assert sum(record["answers"] for record in first["bins"]) == m


def test_calibration_tells_the_honest_from_the_boastful():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    came = rng.random(20_000) < p
    assert calibration(p, came)["ece"] < 0.015
    boast = np.where(p > 0.5, 0.99, 0.01)
    assert calibration(boast, came)["ece"] > 0.2
    assert calibration(boast, came)["log_loss"] > calibration(p, came)["log_loss"]


def test_calibration_of_nothing_and_of_nonsense():
    nothing = calibration([], [])
    assert (nothing["number"], nothing["ece"], nothing["brier"], nothing["log_loss"]) == (0, None, None, None)
    for p, came in (([0.5, 0.5], [True]), ([1.5], [True]), ([np.nan], [True]), ([[0.5]], [[True]])):
        with pytest.raises(InputError, match="calibration: expected"):
            calibration(p, came)


@pytest.mark.parametrize("name", ["dawid-skene-1", "dawid-skene-2", "glad", "lean", "depth"])
def test_hidden_answers_are_predicted_as_often_as_is_claimed(name):
    noise = AnswerNoise("logit", 120.0)
    _, answers = crowd_answers(500, noise=noise, spammers=0.1, one_sided=0.05, reversed=0.05, answers_per_pair=4)
    p, said = held_out_answers(answers, method(name), np.random.default_rng(0), folds=4)
    assert len(p) == len(said) > 1000
    assert ((p > 0.5) == said).mean() > 0.6
    measured = calibration(p, said)
    if name == "glad":  # which takes one difficulty of a pair for certain, and boasts
        assert measured["ece"] > 0.06
    else:
        assert measured["ece"] < 0.06
        assert measured["log_loss"] < np.log(2)


def test_nothing_is_hidden_where_each_pair_has_one_answer():
    answers = answers_of([(p, 0, 1, 1, "a") for p in range(30)])
    p, said = held_out_answers(answers, LEAN, np.random.default_rng(0))
    assert (len(p), len(said)) == (0, 0)
    report = merge_report(answers, merge(answers, LEAN), LEAN)
    assert report["calibration"]["number"] == 0
    assert "No pair has several answers" in merge_markdown(report)
    assert set(merge_figures(report)) == {"risk"}


def test_hidden_answers_are_not_seen():
    """Workers who toss coins cannot be predicted, whatever the pairs look like afterwards."""
    rng = np.random.default_rng(0)
    rows = [(p, 0, 1, int(rng.choice([-1, 1])), f"w{w}") for p in range(600) for w in range(3)]
    p, said = held_out_answers(answers_of(rows), method("majority"), rng, folds=3)
    assert len(p) == 1800
    assert abs(((p > 0.5) == said)[p != 0.5].mean() - 0.5) < 0.06


def test_summary():
    rows = [(0, 1, 2, 1, "a"), (0, 2, 1, -1, "b"), (0, 1, 2, 0, "c"), (3, 1, 2, 0, "a"), (3, 1, 2, 0, "a")]
    answers = answers_of(rows, unsure=np.array([False, False, True, False, False]))
    summary = merge_summary(merge(answers, method("majority")), 0.3)
    assert summary | {"mean_risk": None, "finished_risk": None} == {
        "answers": 5, "unsure": 1, "same": 2, "repeated": 1, "workers": 3, "poses": 2, "pairs": 2,
        "answers_a_pair": {"2": 1, "3": 1}, "decided": 0.5, "mean_risk": None, "finished": 0.5, "finished_risk": None,
    }  # fmt: skip
    assert summary["mean_risk"] == pytest.approx((0 + 1 / 2) / 2)
    text = summary_markdown(summary)
    assert "| answers | 5 (2 same depth, 1 can't tell) |" in text
    assert "| pairs | 2 of 2 poses, 2 to 3 answers each |" in text


def test_report_against_the_truth():
    poses, answers = crowd_answers(300, spammers=0.1)
    consensus = merge(answers, LEAN)
    report = merge_report(answers, consensus, LEAN, truth=poses, finished_risk=0.1)
    json.dumps(report, allow_nan=False)
    depth = poses.joints[..., 2]
    labels = consensus.labels
    truth = np.sign(depth[labels.pose, labels.pair[:, 0]] - depth[labels.pose, labels.pair[:, 1]])
    assert report["truth"]["right"] == pytest.approx((labels.relation == truth).mean())
    assert report["truth"]["by_difference"][-1]["accuracy"] > report["truth"]["by_difference"][0]["accuracy"]
    assert (report["calibration"]["against"], report["calibration"]["number"]) == ("truth", len(labels))
    assert report["calibration"]["ece"] < 0.08
    assert report["easy_to_hard"]["finished_risk"] == 0.1
    (by_answers,) = report["by_answers"]
    assert (by_answers["answers"], by_answers["pairs"]) == (5, 1500)
    assert by_answers["right"] == report["truth"]["right"]
    text = merge_markdown(report, ["calibration.png", "workers.png"])
    assert "![calibration](calibration.png)" in text
    assert "Against the truth (1500)" in text


def test_truth_must_be_known_and_of_these_poses():
    poses, answers = crowd_answers(20)
    consensus = merge(answers, LEAN)
    for wrong, message in (
        (dataclasses.replace(poses, frame="world"), "joints in the camera's frame"),
        (poses.select(slice(5)), "the pose set has rows 0..4"),
        (PoseSet(get_skeleton("coco17"), joints=poses.joints), "made for skeleton 'h36m17'"),
    ):
        with pytest.raises(InputError, match=message):
            merge_report(answers, consensus, LEAN, truth=wrong)
    hidden = dataclasses.replace(poses, joints=np.where(np.arange(20)[:, None, None] == 3, np.nan, poses.joints))
    report = merge_report(answers, consensus, LEAN, truth=hidden)
    assert report["truth"]["pairs"] == 19 * 5


def test_workers_are_held_against_the_others():
    crowd = {"workers": 24, "spammers": 0.1, "one_sided": 0.05, "reversed": 0.05, "spread": 0.1}
    _, answers = crowd_answers(600, noise=AnswerNoise("line", 150.0), **crowd)
    rng = np.random.default_rng(0)
    names = answers.provenance["crowd"]
    careless = [name for kind in names.values() for name in kind]
    seconds = rng.lognormal(1, 0.3, len(answers))
    hurried = np.unique(answers.annotator)[np.isin(np.unique(answers.annotator), careless, invert=True)][0]
    seconds = np.where(answers.annotator == hurried, 0.2, seconds)
    answers = dataclasses.replace(answers, response_time=seconds)
    records = {record["annotator"]: record for record in worker_records(merge(answers, LEAN), answers)}
    assert sum(record["answers"] for record in records.values()) == len(answers)
    often = {name: record for name, record in records.items() if record["agreement"]["answers"] > 150}
    for kind, flag in (("spammers", "at chance"), ("one_sided", "one-sided"), ("reversed", "reversed")):
        for name in names[kind]:
            if name in often:
                assert flag in often[name]["flags"], (kind, often[name])
    assert "hurried" in records[hurried]["flags"]
    diligent = [r for name, r in often.items() if name not in careless and name != hurried]
    assert len(diligent) > 8
    assert not [record for record in diligent if record["flags"]]
    assert all(set(record["flags"]) <= set(FLAGS) for record in records.values())
    assert records[hurried]["median_seconds"] == 0.2


def test_agreement_leaves_out_the_workers_own_answer():
    """Two against one: the one disagrees with the majority of the others, each of the two has a tie."""
    answers = answers_of([(0, 1, 2, 1, "a"), (0, 1, 2, 1, "b"), (0, 1, 2, -1, "c")])
    records = {r["annotator"]: r for r in worker_records(merge(answers, method("majority")), answers)}
    assert records["c"]["agreement"]["accuracy"] == 0
    assert records["a"]["agreement"] == {"answers": 0, "accuracy": None, "interval": None}
    assert records["c"]["first"] == 1
    assert records["a"]["first"] == 0


def test_median_times():
    rows = [(p, 0, 1, 1, "a" if p < 4 else "b") for p in range(6)] + [(9, 0, 1, 1, "c")]
    times = np.array([4.0, 1, np.nan, 3, 2, 6, np.nan])
    answers = answers_of(rows, response_time=times)
    records = {r["annotator"]: r for r in worker_records(merge(answers, method("majority")), answers)}
    assert [records[name]["median_seconds"] for name in "abc"] == [3.0, 4.0, None]


def test_table_of_workers_has_a_cell_for_everything(tmp_path):
    _, answers = crowd_answers(30)
    records = worker_records(merge(answers, LEAN), answers)
    table = worker_table(records)
    assert set(map(len, table.values())) == {len(records)}
    assert {"annotator", "answers", "agreement", "agreement_low", "expected_right", "flags"} <= set(table)
    assert table["median_seconds"] == [""] * len(records)
    assert worker_table([]) == {}


def test_names_of_strangers_do_no_harm():
    _, answers = crowd_answers(30)
    names = np.where(answers.annotator == answers.annotator[0], "=1+1|<script>\n#", answers.annotator)
    answers = dataclasses.replace(answers, annotator=names)
    report = merge_report(answers, merge(answers, LEAN), LEAN)
    assert "<script>" not in merge_markdown(report)
    assert "=1+1/&lt;script> #" in merge_markdown(report)
    assert "'=1+1|<script>\n#" in worker_table(report["per_worker"])["annotator"]
    assert markdown_table(["a"], [["x\ny|z<b>"]]).endswith("| x y/z&lt;b> |\n")


@pytest.mark.parametrize("truth", [True, False])
def test_figures_are_drawn(tmp_path, truth):
    poses, answers = crowd_answers(60, spammers=0.2)
    answers = dataclasses.replace(answers, response_time=np.full(len(answers), 2.0))
    report = merge_report(answers, merge(answers, LEAN), LEAN, truth=poses if truth else None)
    figures = merge_figures(report)
    assert set(figures) == {"calibration", "risk", "workers"}
    for name, figure in figures.items():
        save_figure(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
