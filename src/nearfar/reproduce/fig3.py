"""Figure 3: merged labels from easy to hard by risk; agreement of experts with each other and with the crowd."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.answer_noise import AnswerNoise
from nearfar.consensus import Majority, SimulatedCrowd, SkillModel, merge, simulate_answers
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import PoseSet
from nearfar.reproduce.fig2 import IMAGES, PAIRS, some_poses
from nearfar.reproduce.writing import Table, acknowledgement, write_result
from nearfar.study import agreement, by_risk
from nearfar.study.agreement import relations_of
from nearfar.study.figures import merged_labels_figure
from nearfar.study.markdown import agreement_rows, risk_rows

__all__ = ["fig3"]

EXPERTS = SimulatedCrowd(workers=3, answers_per_pair=3, spread=0.0, spammers=0.0, noise=AnswerNoise("line", 200.0))
EXPERT_IMAGES = 100
SKELETON = "lsp14"


def fig3(
    poses: PoseSet,
    labels: RelativeLabels | None,
    out: Path,
    *,
    experts: RelativeLabels | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write fig3.json, .md, .tex, .pdf and .png.

    Args:
        poses: of the images, with keypoints; joints where they are known.
        labels: merged labels of them, or raw answers, which are merged. None lets a simulated crowd answer about 1,000
            of the poses, in LSP's 14 joints, and three simulated experts about 100 of them.
        out: folder.
        experts: answers of experts, or None.
        seed: of the simulation.

    Returns:
        What fig3.json holds.

    Raises:
        InputError: labels without risk or of other poses, or poses without keypoints.
    """
    simulated, who = labels is None, "merged labels of people"
    if labels is None:
        rng = np.random.default_rng([3, seed])
        poses = poses.remap(SKELETON)
        poses = poses.select(some_poses(poses, IMAGES, rng))
        pairs = random_pairs(poses.skeleton, len(poses), PAIRS, rng)
        labels = simulate_answers(poses, pairs, SimulatedCrowd(), rng)
        shown = slice(0, EXPERT_IMAGES)
        experts = _renamed(simulate_answers(poses.select(shown), pairs[shown], EXPERTS, rng))
        who = (
            f"a simulated crowd, no people ({SimulatedCrowd().answers_per_pair} answers a pair, merged), and three "
            f"simulated experts, certain from {EXPERTS.noise.scale_mm:g} mm, on {EXPERT_IMAGES} images"
        )
    labels.check_poses(poses)
    merged = merge(labels, SkillModel()).labels if labels.kind == "answers" else labels
    right, compared_with = _worth(merged, poses, experts)
    report: dict[str, Any] = {
        "simulated": simulated,
        "compared_with": compared_with,
        "easy_to_hard": by_risk(merged, right),
        "experts": None if experts is None else agreement(experts, merged),
    }
    source = poses.provenance.get("source", "images with keypoints")
    caption = (
        f"{len(merged):,} merged labels from easy to hard by risk, and the agreement of experts with each other and "
        f"with the crowd. Labels: {who}. Poses: {source}; stick figures in place of images." + acknowledgement(poses)
    )
    rows = [[*row, ""] for row in risk_rows(report["easy_to_hard"])]
    rows += agreement_rows(report["experts"]) if report["experts"] else []
    table = Table(["", "pairs", f"{compared_with}, or alike", "95 %", "Cohen's kappa"], rows)
    write_result(out, "fig3", caption, report, table=table, figure=merged_labels_figure(report, merged, poses))
    return {"caption": caption, **report}


def _worth(merged: RelativeLabels, poses: PoseSet, experts: RelativeLabels | None) -> tuple[Any, str]:
    """(I,) whether each label is right, NaN where unknown, and by what: the true depth, or what experts say."""
    if poses.joints is not None and poses.frame != "world":
        depth = np.asarray(poses.joints, dtype=np.float64)[merged.pose[:, None], merged.pair, 2]
        difference = depth[:, 0] - depth[:, 1]
        known, right = np.isfinite(difference) & (difference != 0), merged.relation * difference > 0
        return np.where(known, right, np.nan), "in the true order"
    if experts is None:
        return np.full(len(merged), np.nan), "compared with nothing"
    said = relations_of(merge(experts, Majority()).labels, merged.pose, merged.pair)
    return np.where(said != 0, merged.relation * said, np.nan), "as most experts say"


def _renamed(answers: RelativeLabels) -> RelativeLabels:
    """The answers of experts, named so."""
    names = np.char.replace(np.asarray(answers.annotator), "worker", "expert")
    return dataclasses.replace(answers, annotator=names)
