"""Figures of a merge report, in the house style: calibration, risk, workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.study.figures import draw_chance, draw_points, draw_risk
from nearfar.viewing.figures import house_style, new_figure
from nearfar.viewing.style import CYCLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["calibration_figure", "draw_reliability", "merge_figures", "risk_figure", "workers_figure"]

PLAIN, FLAGGED, QUIET = CYCLE[0], CYCLE[1], CYCLE[6]
MOST_NAMED = 8
FEWEST = 10
"""Pairs or answers below which a bin of a reliability diagram is left out."""


def merge_figures(report: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures of a merge report by name: calibration and workers where there is something to show, and risk.

    Raises:
        InputError: matplotlib is missing.
    """
    figures = {"risk": risk_figure(report)}
    if report["calibration"]["number"]:
        figures["calibration"] = calibration_figure(report["calibration"])
    if any(record["agreement"]["answers"] for record in report["per_worker"] or []):
        figures["workers"] = workers_figure(report["per_worker"])
    return figures


def calibration_figure(calibration: Mapping[str, Any], title: str | None = None) -> Figure:
    """A reliability diagram with its counts.

    Args:
        calibration: as in `nearfar.study.merge_report.merge_report`.
        title: line above it.

    Raises:
        InputError: matplotlib is missing.
    """
    truth = calibration["against"] == "truth"
    with house_style():
        figure = new_figure(5.2, 5.6)
        top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3.4, 1]})
        draw_reliability(top, {"merged pairs" if truth else "hidden answers": calibration})
        top.set_ylabel("that are right, %" if truth else "hidden answers that say so, %")
        top.set_title("Merged probability against the truth" if truth else "Predicted answers against hidden ones")
        words = f"calibration error {100 * calibration['ece']:.1f} %\nBrier {calibration['brier']:.3f}\n"
        top.text(0.04, 0.96, words + f"log loss {calibration['log_loss']:.3f}", va="top", transform=top.transAxes)
        records = calibration["bins"]
        width = 100 * (records[0]["upper"] - records[0]["lower"])
        middles = [50 * (record["lower"] + record["upper"]) for record in records]
        bottom.bar(middles, [record["answers"] for record in records], width=0.9 * width, color=PLAIN, alpha=0.85)
        bottom.set(xlabel="probability of the likelier side, %", ylabel="pairs" if truth else "answers")
        bottom.margins(y=0.15)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def draw_reliability(ax: Axes, calibrations: Mapping[str, Mapping[str, Any]], colours: Sequence[str] = CYCLE) -> None:
    """Shares that came about by predicted probability, with 95 % intervals, of one method or of several by name."""
    ax.plot([50, 100], [50, 100], color=QUIET, linestyle="--", linewidth=1.3, zorder=1)
    for (name, calibration), colour in zip(calibrations.items(), colours, strict=False):
        found = [record for record in calibration["bins"] if record["answers"] >= FEWEST]
        draw_points(ax, np.array([100 * record["predicted"] for record in found]), found, colour, name)
    lowest = min((100 * r["interval"][0] for c in calibrations.values() for r in c["bins"] if r["answers"] >= FEWEST),
                 default=50)  # fmt: skip
    ax.set(xlim=(49, 101), ylim=(max(min(46.0, lowest - 2), -2), 102))


def risk_figure(report: Mapping[str, Any], title: str | None = None) -> Figure:
    """Merged labels from easy to hard, and risk by how many answers a pair has.

    Raises:
        InputError: matplotlib is missing.
    """
    with house_style():
        figure = new_figure(9.6, 3.9)
        left, right = figure.subplots(1, 2)
        draw_risk(left, report["easy_to_hard"], "right" if report["truth"] else None)
        _draw_by_answers(right, report["by_answers"], report["finished_risk"])
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def _draw_by_answers(ax: Axes, records: Sequence[Mapping[str, Any]], finished_risk: float) -> None:
    places = np.arange(len(records))
    pairs = np.array([record["pairs"] for record in records])
    finished = pairs * np.array([record["finished"] for record in records])
    ax.bar(places, pairs, width=0.72, color=PLAIN, alpha=0.3, label=f"risk {finished_risk:g} or more")
    ax.bar(places, finished, width=0.72, color=PLAIN, label=f"finished: risk below {finished_risk:g}")
    for place, record in zip(places, records, strict=True):
        ax.annotate(f"{100 * record['mean_risk']:.0f} %", (place, record["pairs"]), (0, 2), ha="center", fontsize=9,
                    textcoords="offset points", color="#30363d")  # fmt: skip
    ax.set_xticks(places, [str(record["answers"]) for record in records])
    ax.set(xlabel="answers a pair", ylabel="pairs")
    ax.margins(y=0.3)
    ax.grid(visible=False, axis="x")
    ax.legend(loc="upper right")
    ax.set_title("Pairs by answers (mean risk above)")


def workers_figure(records: Sequence[Mapping[str, Any]], title: str | None = None) -> Figure:
    """Who agrees with the others, who prefers a side, and who hurries; flagged workers are named.

    Args:
        records: as `nearfar.study.merge_report.worker_records` returns them.
        title: line above it.

    Raises:
        InputError: matplotlib is missing.
    """
    shown = [record for record in records if record["agreement"]["answers"]]
    timed = [record for record in shown if record["median_seconds"] is not None]
    with house_style():
        figure = new_figure(13.5 if timed else 9.6, 4.2)
        axes = figure.subplots(1, 3 if timed else 2, squeeze=False)[0]
        _draw_agreement(axes[0], shown)
        sided = [record for record in shown if record["first"] is not None]
        _scatter(axes[1], sided, [100 * record["first"] for record in sided], ("one-sided", "reversed"))
        axes[1].axvline(50, color=QUIET, linestyle=":", linewidth=1.3, zorder=1)
        axes[1].set(xlim=(-4, 104), xlabel="took the joint asked first, %", ylabel="agrees with the others, %")
        axes[1].set_title("Preference for a side")
        if timed:
            _scatter(axes[2], timed, [record["median_seconds"] for record in timed], ("hurried",))
            axes[2].set(xlabel="median time of an answer, s", ylabel="agrees with the others, %")
            axes[2].set_xlim(left=0)
            axes[2].set_title("Time")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def _draw_agreement(ax: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    ordered = sorted(records, key=lambda record: record["agreement"]["accuracy"])
    for flagged in (False, True):
        chosen = [(i + 1, r["agreement"]) for i, r in enumerate(ordered) if bool(r["flags"]) is flagged]
        places = [place for place, _ in chosen]
        colour = FLAGGED if flagged else PLAIN
        ends = np.array([agreement["interval"] for _, agreement in chosen]).reshape(-1, 2)
        ax.vlines(places, 100 * ends[:, 0], 100 * ends[:, 1], color=colour, alpha=0.45, linewidth=1.4)
        label = "remarked" if flagged else "the others"
        shares = [100 * agreement["accuracy"] for _, agreement in chosen]
        ax.scatter(places, shares, s=26, color=colour, edgecolors="white", linewidths=0.6, zorder=3, label=label)
    draw_chance(ax)
    ax.set(xlim=(0, len(ordered) + 1), ylim=(-2, 102), xlabel="workers", ylabel="agrees with the others, %")
    ax.grid(visible=False, axis="x")
    if any(record["flags"] for record in records):
        ax.legend(loc="lower right")
    ax.set_title("Agreement with the others' majority")


def _scatter(ax: Axes, records: Sequence[Mapping[str, Any]], x: Sequence[float], told: Collection[str]) -> None:
    """Agreement of each worker against something; those with a flag that is `told` by name."""
    y = [100 * record["agreement"]["accuracy"] for record in records]
    sizes = np.sqrt([record["answers"] for record in records])
    colours = [FLAGGED if record["flags"] else PLAIN for record in records]
    ax.scatter(x, y, s=10 + 60 * sizes / max(sizes.max(initial=1.0), 1.0), c=colours, alpha=0.75, edgecolors="white",
               linewidths=0.6, zorder=3)  # fmt: skip
    flagged = [(i, flag) for i, record in enumerate(records) for flag in record["flags"] if flag in told]
    for i, flag in flagged[:MOST_NAMED]:
        side = "left" if x[i] < (max(x) + min(x)) / 2 else "right"
        name = records[i]["annotator"]
        text = f"{name if len(name) < 18 else name[:17] + '…'}: {flag}"
        behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
        ax.annotate(text, (x[i], y[i]), (8 if side == "left" else -8, -3), textcoords="offset points", ha=side,
                    fontsize=8.5, color=FLAGGED, bbox=behind)  # fmt: skip
    draw_chance(ax)
    ax.set_ylim(-2, 102)
