"""How often people answer right: the models' formulas, their files, and fits that find what was simulated."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.answer_noise import PAPER_CROWD, AnswerNoise, compare_noise, fit_noise, log_likelihood
from nearfar.errors import InputError

MODELS = st.builds(
    AnswerNoise,
    st.sampled_from(["line", "probit", "logit"]),
    st.floats(1, 5000),
    st.floats(0, 1, allow_subnormal=False),
)


def simulate(noise, answers=6000, workers=40, seed=0, spread=0.0):
    rng = np.random.default_rng(seed)
    difference = rng.normal(size=answers) * 250
    worker = rng.integers(workers, size=answers)
    eye = np.exp(spread * rng.normal(size=workers))
    return difference, rng.random(answers) >= noise.wrong(difference / eye[worker]), worker


def test_the_papers_line():
    # P(correct) = min(1, 0.5 + 0.0125 |dz in cm|): chance at 0 cm, certain from 40 cm.
    np.testing.assert_allclose(PAPER_CROWD.wrong([0, 100, -200, 400, 1000]), [0.5, 0.375, 0.25, 0, 0])
    cm = np.linspace(-60, 60, 25)
    np.testing.assert_allclose(PAPER_CROWD.right(10 * cm), np.minimum(1, 0.5 + 0.0125 * np.abs(cm)))


def test_the_other_links():
    # Phi(1) and the logistic function of 2, from tables.
    assert AnswerNoise("probit", 150).right(150) == pytest.approx(0.841344746)
    assert AnswerNoise("logit", 50).right(-100) == pytest.approx(0.880797078)
    assert AnswerNoise("line", 400, lapse=0.1).right([0, 1000]).tolist() == pytest.approx([0.5, 0.95])


@given(MODELS, st.lists(st.floats(0, 1e5), min_size=2, max_size=20))
def test_every_model_starts_at_chance_and_rises(noise, sizes):
    sizes = np.sort(sizes)
    wrong = noise.wrong(sizes)
    assert noise.wrong(0) == pytest.approx(0.5)
    assert ((wrong >= 0) & (wrong <= 0.5 + 1e-12)).all()
    assert (np.diff(wrong) <= 1e-12).all()
    np.testing.assert_array_equal(noise.wrong(-sizes), wrong)
    np.testing.assert_allclose(noise.right(sizes) + wrong, 1)
    assert noise.wrong(np.zeros((0,))).shape == (0,)


def test_small_chances_keep_their_digits():
    assert AnswerNoise("probit", 1).wrong(10) == pytest.approx(7.619853024e-24)  # 1 - Phi(10)
    assert AnswerNoise("logit", 1).wrong(50) == pytest.approx(math.exp(-50))


@given(MODELS)
def test_files(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "noise.json"
    noise.save(path)
    assert AnswerNoise.load(path) == noise


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "nearfar-answer-noise-9"}, "not an answer noise file"),
        ({"link": "cauchy"}, "link must be one of"),
        ({"link": ["line"]}, "link must be one of"),
        ({"scale_mm": 0}, "scale_mm must be above 0, got 0"),
        ({"scale_mm": 10**400}, "noise.json"),
        ({"scale_mm": "400"}, "expected numbers"),
        ({"lapse": True}, "expected numbers"),
        ({"lapse": 1.5}, "lapse must be within 0..1, got 1.5"),
        ({"more": 1}, "not an answer noise file"),
    ],
)
def test_wrong_files_are_refused_in_one_line(tmp_path, changes, message):
    path = tmp_path / "noise.json"
    PAPER_CROWD.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=message) as error:
        AnswerNoise.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=50)
@given(st.data())
def test_damaged_files_are_refused_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("noise") / "noise.json"
    PAPER_CROWD.save(path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content)[: data.draw(st.integers(0, len(content)))])
    try:
        AnswerNoise.load(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "noise",
    [PAPER_CROWD, AnswerNoise("line", 300, 0.1), AnswerNoise("probit", 150), AnswerNoise("logit", 90, 0.08)],
    ids=str,
)
def test_a_fit_finds_what_was_simulated(noise):
    difference, right, _ = simulate(noise)
    fit = fit_noise(difference, right, noise.link, lapse=noise.lapse > 0, bootstrap=60)
    for estimate, truth in ((fit.scale_mm, noise.scale_mm), (fit.lapse, noise.lapse)):
        if estimate is None:
            continue
        assert abs(estimate.value - truth) < 3.5 * estimate.standard_error
        assert estimate.interval[0] < estimate.value < estimate.interval[1]
        width, resampled = np.diff(estimate.interval)[0], np.diff(estimate.bootstrap_interval)[0]
        assert 0.6 < resampled / width < 1.6  # answers are independent here: both must say the same
    assert fit.log_likelihood == pytest.approx(log_likelihood(fit.noise, difference, right))
    for factor in (0.97, 1.03):  # nothing beside the estimate is likelier
        beside = dataclasses.replace(fit.noise, scale_mm=fit.noise.scale_mm * factor)
        assert log_likelihood(beside, difference, right) < fit.log_likelihood


def test_the_stated_intervals_hold_the_truth_about_as_often_as_they_say():
    noise, held = AnswerNoise("probit", 200), 0
    for seed in range(60):
        difference, right, _ = simulate(noise, 600, seed=seed)
        low, high = fit_noise(difference, right, "probit", bootstrap=0).scale_mm.interval
        held += low < 200 < high
    assert held >= 51  # 95 % of 60 is 57; fewer than 51 has a chance of 0.2 %


def test_the_bootstrap_sees_that_workers_differ():
    difference, right, worker = simulate(AnswerNoise("probit", 200), 8000, workers=16, spread=0.6)
    fit = fit_noise(difference, right, "probit", worker=worker)
    assert fit.clusters == 16
    assert np.diff(fit.scale_mm.bootstrap_interval) > 1.5 * np.diff(fit.scale_mm.interval)
    alone = fit_noise(difference, right, "probit", worker=np.zeros(8000, int))
    assert alone.scale_mm.bootstrap_interval is None  # one worker cannot be resampled


@pytest.mark.parametrize("noise", [AnswerNoise("line", 300, 0.05), AnswerNoise("logit", 100)], ids=str)
def test_comparison_puts_the_true_model_first(noise):
    difference, right, worker = simulate(noise, 20_000)
    fits = compare_noise(difference, right, worker=worker, bootstrap=0)
    assert len(fits) == 6
    assert fits[0].noise.link == noise.link
    assert (fits[0].lapse is not None) == (noise.lapse > 0)
    assert [fit.aic for fit in fits] == sorted(fit.aic for fit in fits)
    json.dumps([fit.to_dict() for fit in fits], allow_nan=False)


def test_a_line_without_lapses_must_allow_the_worst_mistake():
    difference, right = np.array([50.0, -900, 400, 20, 30]), np.array([True, False, True, True, True])
    assert log_likelihood(PAPER_CROWD, difference, right) == -math.inf
    fit = fit_noise(difference, right, "line")
    assert fit.noise.scale_mm > 900
    assert math.isfinite(fit.log_likelihood)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(InputError, match=r"expected \(M,\) differences and answers, got \(0,\) and \(0,\)"):
        fit_noise([], [])
    with pytest.raises(InputError, match="differences must be finite"):
        fit_noise([1, np.nan], [True, False])
    with pytest.raises(InputError, match=r"worker: expected shape \(2,\), got \(1,\)"):
        fit_noise([1, 2], [True, False], worker=["a"])
