"""Table 1: what each part of the method is worth. Table 2: errors by action."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.presets import PRESETS
from nearfar.reproduce.experiment import Experiment, Outcome, Plan, Settings, measured, ours, supervised
from nearfar.reproduce.material import DETECTED, material
from nearfar.reproduce.runs import LabelOptions
from nearfar.reproduce.writing import Table, write_result

__all__ = ["TABLE1", "TABLE2"]

ACTIONS = 15
"""Actions of the table: all of Human3.6M's; of data with more, those with the most test poses."""

COLUMNS = {
    "PA-MPJPE, mm": ("pa_mpjpe", 1),
    "MPJPE, mm": ("mpjpe", 1),
    "scaled, mm": ("scaled_mpjpe", 1),
    "N-MPJPE, mm": ("n_mpjpe", 1),
    "order right, > 100 mm": ("relative_depth_accuracy_100mm", 3),
    "limb proportions": ("limb_proportion_error", 3),
}


def plan_table1(settings: Settings) -> Plan:
    """The paper's seven rows, and two that its options allow: proportions of each sample, all pairs at once."""
    n = settings.epochs
    inverse = dataclasses.replace(PRESETS["paper"].network, scale_range=0.001)
    every_pair = LabelOptions(pairs=0)
    runs = {
        "supervised (3D)": supervised(n),
        "ours": ours(n),
        "known focal length": ours(n, reprojection="inverse_distance", network=inverse),
        "average-person proportions": ours(n, limb_reference="average_person"),
        "proportions of each sample": ours(n, limb_reference="sample"),
        "no proportion loss": ours(n, limbs="none"),
        "all pairs, one drawn an epoch": ours(n, every_pair),
        "all pairs at once": ours(n, every_pair, labels_used="all"),
        "tolerance 100 mm": ours(n, LabelOptions(tolerance=100.0)),
    }
    return {name: measured(run, settings) for name, run in runs.items()}


def draw_table1(outcome: Outcome, folder: Path) -> None:
    """Write table 1."""
    caption = outcome.settings.caption(
        "Errors of the supervised and the relative model and of the latter's variants, in the layout of table 1 of "
        "Ronchi et al. (BMVC 2018); PA-MPJPE is the paper's error, scaled is its Procrustes scale without the rotation"
    )
    rows = [[name, *(outcome.text(name, key, digits=d) for key, d in COLUMNS.values())] for name in outcome.plan]
    data = outcome.data(*(key for key, _ in COLUMNS.values()))
    write_result(folder, "table1", caption, {"rows": data}, table=Table(["", *COLUMNS], rows))


def plan_table2(settings: Settings) -> Plan:
    """Supervised, ours, ours from crowd answers: 17 joints from projected keypoints, 16 from detected ones."""
    n, crowd = settings.epochs, LabelOptions(crowd=True)
    plan = {}
    for title, seen in (("GT/GT", False), ("DT/DT", True)):
        where: dict[str, Any] = {"skeleton": DETECTED, "detected": True} if seen else {}
        plan[f"supervised {title}"] = measured(supervised(n, **where), settings, detected=seen)
        plan[f"ours {title}"] = measured(ours(n, **where), settings, detected=seen)
        plan[f"ours, crowd {title}"] = measured(ours(n, crowd, **where), settings, detected=seen)
    return plan


def draw_table2(outcome: Outcome, folder: Path) -> None:
    """Write table 2."""
    place = outcome.settings.place
    own = material(place.data, place.every)
    caption = outcome.settings.caption(
        "PA-MPJPE in mm by action, in the layout of table 2 of Ronchi et al. (BMVC 2018). GT/GT: 17 joints, projected; "
        f"DT/DT: 16 joints, trained and tested on detections ({own.detections}); crowd: labels of the paper's "
        "simulated crowd"
    )
    action = own.test.action
    names: list[str] = []
    if action is not None:
        counts = np.bincount(action.codes, minlength=len(action.names))
        most = [int(code) for code in np.argsort(-counts, kind="stable")[:ACTIONS] if counts[code]]
        names = sorted(action.names[code] for code in most)
        if len(most) < (counts > 0).sum():
            total = int((counts > 0).sum())
            caption += f" Of {total} actions the {ACTIONS} with the most poses are shown; means are over all."
    rows = [[name, *(outcome.text(m, "per_action", name, "pa_mpjpe") for m in outcome.plan)] for name in names]
    if names:
        means = (outcome.text(m, "mean_over_actions", "pa_mpjpe") for m in outcome.plan)
        rows.append(["mean over actions", *means])
    rows.append(["mean over poses", *(outcome.text(m, "pa_mpjpe") for m in outcome.plan)])
    by_action = {
        m: {name: outcome.values(m, "per_action", name, "pa_mpjpe").tolist() for name in names} for m in outcome.plan
    }
    data = {"pa_mpjpe": outcome.data("pa_mpjpe"), "by_action": by_action}
    write_result(folder, "table2", caption, data, table=Table(["", *outcome.plan], rows))


TABLE1 = Experiment("table1", plan_table1, draw_table1)
TABLE2 = Experiment("table2", plan_table2, draw_table2)
