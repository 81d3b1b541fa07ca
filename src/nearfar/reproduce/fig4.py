"""Figure 4: how errors are spread (a), by joint (b), under noise on keypoints (c) and on labels (d)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.keypoint_noise import KeypointNoise
from nearfar.reproduce.experiment import Experiment, Outcome, Plan, Settings, measured, ours, supervised
from nearfar.reproduce.material import DETECTED, material
from nearfar.reproduce.runs import LabelOptions, joint_errors_of
from nearfar.reproduce.writing import Table, write_result
from nearfar.viewing.figures import house_style, new_figure
from nearfar.viewing.style import CYCLE, spoken

__all__ = ["FIG4A", "FIG4B", "FIG4C", "FIG4D"]

VARIANCES = (0.0, 5.0, 10.0, 15.0, 20.0)
FLIPS = (0.0, 0.25, 0.5, 0.75, 1.0)
HIGHEST_MM = 250.0


def plan_two(settings: Settings) -> Plan:
    """Supervised and ours."""
    return {
        "supervised": measured(supervised(settings.epochs), settings),
        "ours": measured(ours(settings.epochs), settings),
    }


def draw_4a(outcome: Outcome, folder: Path) -> None:
    """Histogram of the errors of the test poses."""
    caption = outcome.settings.caption(
        "Share of test poses by PA-MPJPE, ours against supervised, after figure 4a of Ronchi et al. (BMVC 2018); "
        "dotted: medians"
    )
    edges = np.arange(0, HIGHEST_MM + 5, 5.0)
    data: dict[str, Any] = {"edges_mm": edges.tolist(), "share": {}, "median_mm": {}, "beyond_last_edge": {}}
    with house_style():
        figure = new_figure(6.4, 3.8)
        ax = figure.subplots()
        for (name, tests), colour in zip(outcome.plan.items(), CYCLE, strict=False):
            errors = np.concatenate([np.nanmean(joint_errors_of(t, outcome.settings.place), axis=1) for t in tests])
            share = np.histogram(errors, edges)[0] / len(errors)
            median = float(np.median(errors))
            ax.stairs(share, edges, color=colour, fill=True, alpha=0.35)
            ax.stairs(share, edges, color=colour, label=f"{name} (median {median:.1f} mm)")
            ax.axvline(median, color=colour, linestyle=":", linewidth=1)
            data["share"][name], data["median_mm"][name] = share.tolist(), median
            data["beyond_last_edge"][name] = float((errors > edges[-1]).mean())
        ax.set_xlabel("PA-MPJPE of a pose, mm")
        ax.set_ylabel("share of test poses")
        ax.set_xlim(0, HIGHEST_MM)
        ax.legend()
    write_result(folder, "fig4a", caption, data, figure=figure)


def draw_4b(outcome: Outcome, folder: Path) -> None:
    """Errors by joint."""
    caption = outcome.settings.caption(
        "Mean error by joint after Procrustes alignment, ours against supervised, after figure 4b of Ronchi et al. "
        "(BMVC 2018)"
    )
    place = outcome.settings.place
    skeleton = material(place.data, place.every).test.skeleton
    joints = sorted(skeleton.joints, key=lambda joint: outcome.mean("ours", "per_joint", joint, "pa_mpjpe"))
    with house_style():
        figure = new_figure(6.4, 0.27 * len(joints) + 1.2)
        ax = figure.subplots()
        for k, (name, colour) in enumerate(zip(outcome.plan, CYCLE, strict=False)):
            width = [outcome.mean(name, "per_joint", joint, "pa_mpjpe") for joint in joints]
            spread = [outcome.spread(name, "per_joint", joint, "pa_mpjpe") for joint in joints]
            where = np.arange(len(joints)) + 0.4 * (0.5 - k)
            ax.barh(where, width, 0.38, xerr=spread, color=colour, label=name, error_kw={"elinewidth": 1})
        ax.set_yticks(np.arange(len(joints)), [spoken(joint) for joint in joints])
        ax.set_xlabel("error after alignment, mm")
        ax.legend(loc="lower right")
    rows = [
        [spoken(j), *(outcome.text(name, "per_joint", j, "pa_mpjpe") for name in outcome.plan)]
        for j in reversed(joints)
    ]
    data = {
        name: {joint: outcome.values(name, "per_joint", joint, "pa_mpjpe").tolist() for joint in joints}
        for name in outcome.plan
    }
    write_result(folder, "fig4b", caption, data, table=Table(["joint", *outcome.plan], rows), figure=figure)


def plan_4c(settings: Settings) -> Plan:
    """Noise of five variances and detections: at test only, and at training and test."""
    n = settings.epochs
    plan = {}
    for variance in VARIANCES:
        noise = KeypointNoise("normal_variance", variance) if variance else KeypointNoise()
        plan[f"supervised, test, {variance:g}"] = measured(supervised(n), settings, noise=noise)
        plan[f"ours, test, {variance:g}"] = measured(ours(n), settings, noise=noise)
        plan[f"ours, training and test, {variance:g}"] = measured(ours(n, input_noise=noise), settings, noise=noise)
    for title, method in (("supervised", supervised), ("ours", ours)):
        if title == "ours":
            plan["ours, test, detections"] = measured(ours(n, skeleton=DETECTED), settings, detected=True)
        run = method(n, skeleton=DETECTED, detected=True)
        plan[f"{title}, training and test, detections"] = measured(run, settings, detected=True)
    return plan


def draw_4c(outcome: Outcome, folder: Path) -> None:
    """Errors under noise on the keypoints."""
    place = outcome.settings.place
    caption = outcome.settings.caption(
        "Error under normal noise on the keypoints (the amount is the variance in px², as in the paper's code) and on "
        f"detections of 16 joints ({material(place.data, place.every).detections}), after figure 4c of Ronchi et al. "
        "(BMVC 2018)"
    )
    places = [f"{v:g}" for v in VARIANCES] + ["detections"]
    lines = ("supervised, test", "ours, test", "ours, training and test", "supervised, training and test")
    _draw_lines(outcome, folder, "fig4c", caption, "variance of the noise, px²", lines, places)


def plan_4d(settings: Settings) -> Plan:
    """Labels turned round with five probabilities, and the paper's crowd."""
    n = settings.epochs
    plan = {f"ours, {p:g}": measured(ours(n, LabelOptions(flip=p)), settings) for p in FLIPS}
    plan["ours, crowd"] = measured(ours(n, LabelOptions(crowd=True)), settings)
    return plan


def draw_4d(outcome: Outcome, folder: Path) -> None:
    """Errors under noise on the labels."""
    caption = outcome.settings.caption(
        "Error by the probability that a training label is turned round, and with the paper's simulated crowd (right "
        "with probability min(1, 0.5 + 0.0125 |depth difference in cm|)), after figure 4d of Ronchi et al. (BMVC 2018)"
    )
    places = [f"{p:g}" for p in FLIPS] + ["crowd"]
    _draw_lines(outcome, folder, "fig4d", caption, "share of labels turned round", ("ours",), places)


def _draw_lines(
    outcome: Outcome, folder: Path, name: str, caption: str, label: str, lines: tuple[str, ...], places: list[str]
) -> None:
    """Errors of several series over the same places; a word among the places stands apart."""
    found: Mapping[str, list[str]] = {
        line: [place for place in places if f"{line}, {place}" in outcome.plan] for line in lines
    }
    with house_style():
        figure = new_figure(6.4, 4.0)
        ax = figure.subplots()
        for line, colour, marker in zip(lines, CYCLE, "osD^", strict=False):
            keys = [f"{line}, {place}" for place in found[line]]
            mean = np.array([outcome.mean(key, "pa_mpjpe") for key in keys])
            spread = [outcome.spread(key, "pa_mpjpe") for key in keys]
            x = np.array([places.index(place) for place in found[line]])
            number = np.array([place[0].isdigit() for place in found[line]])
            ax.errorbar(x, mean, spread, color=colour, marker=marker, capsize=3, linestyle="none", label=line)
            ax.plot(x[number], mean[number], color=colour)
        ax.set_xticks(range(len(places)), places)
        ax.set_xlabel(label)
        ax.set_ylabel("PA-MPJPE, mm")
        ax.legend()
    rows = [
        [line, *(outcome.text(f"{line}, {p}", "pa_mpjpe") if p in found[line] else "–" for p in places)]
        for line in lines
    ]
    data = {"pa_mpjpe": outcome.data("pa_mpjpe")}
    write_result(folder, name, caption, data, table=Table([label, *places], rows), figure=figure)


FIG4A = Experiment("fig4a", plan_two, draw_4a)
FIG4B = Experiment("fig4b", plan_two, draw_4b)
FIG4C = Experiment("fig4c", plan_4c, draw_4c)
FIG4D = Experiment("fig4d", plan_4d, draw_4d)
