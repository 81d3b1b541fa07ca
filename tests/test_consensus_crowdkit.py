"""Our methods beside crowd-kit's, on the ones that both have."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar.consensus import Glad, Majority, SkillModel, merge
from nearfar.labels import RelativeLabels
from nearfar.skeleton import get_skeleton

pytest.importorskip("crowdkit", reason="needs crowd-kit (the dependency group `oracle`)")

import pandas as pd
from crowdkit.aggregation import GLAD, DawidSkene, MajorityVote, OneCoinDawidSkene

pytestmark = pytest.mark.filterwarnings("ignore")  # crowd-kit's, of its pandas

H36M = get_skeleton("h36m17")
NO_PRIOR = 1e-9
FIRST, SECOND = "first", "second"


@pytest.fixture(scope="module")
def answers():
    """Workers of two skills each, and the same crowd in the mirror.

    The mirror keeps either side as likely as the other, which is what we assume and crowd-kit fits.
    """
    rng = np.random.default_rng(0)
    tasks, workers = 60, 12
    skill = rng.uniform(0.55, 0.95, size=(workers, 2))
    truth = rng.integers(0, 2, size=tasks)
    task, worker = np.divmod(np.arange(tasks * workers), workers)
    asked = rng.random(len(task)) < 0.5
    task, worker = task[asked], worker[asked]
    right = rng.random(len(task)) < skill[worker, truth[task]]
    relation = np.where(right == (truth[task] == 1), 1, -1).astype(np.int8)
    return RelativeLabels(
        H36M,
        np.concatenate([task, task + tasks]),
        np.tile([3, 7], (2 * len(task), 1)),
        np.concatenate([relation, -relation]),
        annotator=np.concatenate([np.char.mod("w%02d", worker), np.char.mod("m%02d", worker)]),
    )


@pytest.fixture(scope="module")
def frame(answers):
    label = np.where(answers.relation > 0, SECOND, FIRST)
    return pd.DataFrame({"task": answers.pose, "worker": answers.annotator, "label": label})


def test_majority(answers, frame):
    theirs = MajorityVote()
    labels = theirs.fit_predict(frame)
    ours = merge(answers, Majority()).labels
    probability = theirs.probas_[SECOND].loc[ours.pose].to_numpy()
    np.testing.assert_allclose(ours.probability, probability)
    decided = ours.relation != 0
    assert decided.mean() > 0.8
    np.testing.assert_array_equal(ours.relation[decided] > 0, (labels.loc[ours.pose] == SECOND).to_numpy()[decided])


def test_one_coin_dawid_skene(answers, frame):
    theirs = OneCoinDawidSkene(n_iter=2000, tol=1e-12).fit(frame)
    ours = merge(answers, SkillModel(1, (1.0,), prior_answers=NO_PRIOR, tolerance=1e-10, iterations=3000))
    np.testing.assert_allclose(ours.labels.probability, theirs.probas_[SECOND].loc[ours.labels.pose], atol=1e-4)
    np.testing.assert_allclose(ours.skill.skill[:, 0], theirs.skills_.loc[ours.skill.workers], atol=1e-4)


def test_two_coin_dawid_skene(answers, frame):
    theirs = DawidSkene(n_iter=2000, tol=1e-12).fit(frame)
    ours = merge(answers, SkillModel(2, (1.0,), prior_answers=NO_PRIOR, tolerance=1e-10, iterations=3000))
    np.testing.assert_allclose(ours.labels.probability, theirs.probas_[SECOND].loc[ours.labels.pose], atol=1e-4)
    said = theirs.errors_.reset_index().set_index("worker")
    for side, label in enumerate((FIRST, SECOND)):
        right = said[said["label"] == label][label].loc[ours.skill.workers].to_numpy()
        np.testing.assert_allclose(ours.skill.skill[:, side], right, atol=1e-4)


def test_glad(answers, frame):
    # crowd-kit's own loop stops once the expected log likelihood falls, here after 2 steps; its steps lead farther.
    theirs = GLAD(m_step_max_iter=30, m_step_tol=1e-8)
    theirs._init(frame)
    data = theirs._join_all(frame, theirs.alphas_, theirs.betas_, theirs.priors_)
    for _ in range(25):
        data = theirs._m_step(theirs._e_step(data))
    theirs._e_step(data)
    ours = merge(answers, Glad(iterations=5000, tolerance=1e-9))
    np.testing.assert_allclose(ours.labels.probability, theirs.probas_[SECOND].loc[ours.labels.pose], atol=1e-4)
    np.testing.assert_allclose(ours.fit.ability, theirs.alphas_.loc[ours.fit.workers], atol=1e-4)
    np.testing.assert_allclose(np.log(ours.fit.easiness), theirs.betas_.loc[ours.labels.pose], atol=1e-4)
