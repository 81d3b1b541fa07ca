"""Figures of a study, in the house style: how right people are, and how sure their merged labels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from nearfar.answer_noise import PAPER_CROWD, AnswerNoise
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet
from nearfar.viewing.figures import house_style, new_figure
from nearfar.viewing.pose_figure import bare, draw_limbs
from nearfar.viewing.style import CYCLE, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "draw_chance",
    "draw_points",
    "draw_risk",
    "high_part",
    "merged_labels_figure",
    "response_time_figure",
    "user_study_figure",
]

Array = npt.NDArray[Any]

SINGLE, MERGED, NEARER, FARTHER, QUIET = CYCLE[0], CYCLE[1], CYCLE[2], CYCLE[3], CYCLE[6]
FEWEST = 8
"""Answers below which a cell of the joint matrix is left blank."""

LONGEST_MM = 850
SHORT = (("right ", "R "), ("left ", "L "), ("_", " "))


def user_study_figure(report: Mapping[str, Any], title: str | None = None) -> Figure:
    """A study at a glance (PAPER.md 7, figure 2).

    Accuracy of single and merged answers by true depth difference, with the tilt undone where that is known; noise
    models over the single answers; annotators; poses; pairs of joints; merged labels from easy to hard.

    Args:
        report: what `nearfar.study.study_answers` returns.
        title: line above the panels.

    Raises:
        InputError: matplotlib is missing.
    """
    with house_style():
        figure = new_figure(14.2, 8.4)
        axes = figure.subplots(2, 3, gridspec_kw={"width_ratios": [1, 1, 1.08]})
        _draw_accuracy(axes[0, 0], report)
        _draw_noise(axes[0, 1], report)
        _draw_joint_pairs(figure, axes[0, 2], report["per_pair"])
        _draw_annotators(axes[1, 0], report)
        _draw_poses(axes[1, 1], report["per_pose"])
        draw_risk(axes[1, 2], report["easy_to_hard"], "right")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def merged_labels_figure(
    report: Mapping[str, Any], labels: RelativeLabels, poses: PoseSet, *, examples: int = 8, title: str | None = None
) -> Figure:
    """Merged labels from easy to hard, and how raters agree (PAPER.md 7, figure 3).

    Args:
        report: ``easy_to_hard`` (`nearfar.study.by_risk`), ``compared_with`` (what its shares are shares of), and
            ``experts`` (`nearfar.study.agreement`) or None.
        labels: the merged labels, with risk or probability.
        poses: their poses, with keypoints; drawn as stick figures.
        examples: how many labels to draw, evenly from the least to the greatest risk.
        title: line above the panels.

    Raises:
        InputError: poses without keypoints, or matplotlib is missing.
    """
    if poses.keypoints is None:
        raise InputError("merged labels figure: needs poses with keypoints")
    experts = report.get("experts")
    with house_style():
        figure = new_figure(14.2, 6.9)
        parts: Any = figure.subfigures(2, 1, height_ratios=[1, 1.2])
        top, bottom = parts
        chosen = _examples(labels, poses, examples)
        for ax, row in zip(top.subplots(1, max(len(chosen), 1), squeeze=False)[0], chosen, strict=False):
            _draw_example(ax, labels, poses, row)
        top.supxlabel("easy  ⟶  hard:  which joint is nearer, as merged (disc nearer, square farther)", fontsize=9.5)
        axes = bottom.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1.05]})
        draw_risk(axes[0], report["easy_to_hard"], None)
        _draw_groups(axes[1], report["easy_to_hard"], str(report.get("compared_with", "right")))
        if experts:
            _draw_agreement(axes[2], experts)
        else:
            bare(axes[2])
            axes[2].text(0.5, 0.5, "no expert answers", ha="center", color=QUIET, transform=axes[2].transAxes)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def response_time_figure(report: Mapping[str, Any], title: str | None = None) -> Figure:
    """How long answers take by depth difference, and how right the quick and the slow are.

    Raises:
        InputError: the report has no response times, or matplotlib is missing.
    """
    times = report.get("response_time")
    if not times:
        raise InputError("response time figure: the answers have no response times")
    with house_style():
        figure = new_figure(9.5, 3.7)
        left, right = figure.subplots(1, 2)
        records = [record for record in times["by_difference"] if record["median_s"] is not None]
        left.plot([r["mean_mm"] for r in records], [r["median_s"] for r in records], "o-", color=SINGLE, markersize=5)
        left.set(xlabel="true depth difference, mm", ylabel="median time of an answer, s")
        left.set_ylim(0, 1.2 * max((r["median_s"] for r in records), default=1.0))
        left.set_title("Time by depth difference")
        groups = [group for group in times["by_speed"] if group["accuracy"] is not None]
        draw_points(right, np.array([g["median_s"] for g in groups]), groups, SINGLE, "single answers")
        right.set(xlabel="time of the answer, s (fifths)", ylabel="right, %", ylim=high_part(right))
        right.set_title("Accuracy by time taken")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def draw_points(
    ax: Axes, x: Array, records: Sequence[Mapping[str, Any]], colour: str, label: str, *, hollow: bool = False
) -> None:
    """Shares in % with their intervals."""
    share = 100 * np.array([record["accuracy"] for record in records])
    ends = 100 * np.array([record["interval"] for record in records])
    ax.errorbar(
        x, share, yerr=[share - ends[:, 0], ends[:, 1] - share], color=colour,
        label=label, marker="o", markersize=5, markerfacecolor="white" if hollow else colour, linewidth=1.6,
        elinewidth=1, linestyle="--" if hollow else "-",
    )  # fmt: skip


def _bins(record: Mapping[str, Any]) -> tuple[Array, list[Mapping[str, Any]]]:
    found = [entry for entry in record["by_difference"] if entry["accuracy"] is not None]
    return np.array([entry["mean_mm"] for entry in found]), found


def high_part(ax: Axes) -> tuple[float, float]:
    """Limits of a vertical axis in % that begin a little below chance, or lower where something is drawn there."""
    return min(42.0, float(ax.dataLim.y0) - 2), 102.0


def draw_chance(ax: Axes, side: Literal["left", "right"] = "right") -> None:
    """A line at 50 %, called chance at one of its ends."""
    ax.axhline(50, color=QUIET, linestyle=":", linewidth=1.3, zorder=1)
    ax.annotate("chance", (0 if side == "left" else 1, 50), (4 if side == "left" else -2, 3), ha=side, color=QUIET,
                fontsize=9, xycoords=ax.get_yaxis_transform(), textcoords="offset points")  # fmt: skip


def _best(merged: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    name = "skill" if "skill" in merged else "majority"
    return name, merged[name]


def _draw_accuracy(ax: Axes, report: Mapping[str, Any]) -> None:
    name, merged = _best(report["merged"])
    per_pair = report["answers"] / max(report["pairs"], 1)
    draw_points(ax, *_bins(report["single"]), SINGLE, "single answers")
    draw_points(ax, *_bins(merged), MERGED, f"{per_pair:.0f} answers merged, {name}")
    if report["tilt_undone"]:
        undone = report["tilt_undone"]
        draw_points(ax, *_bins(undone["single"]), SINGLE, "single, tilt undone", hollow=True)
        draw_points(ax, *_bins(undone["merged"][name]), MERGED, "merged, tilt undone", hollow=True)
    draw_chance(ax)
    ax.set(xlim=(0, LONGEST_MM), ylim=high_part(ax), xlabel="true depth difference, mm", ylabel="right, %")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 0.14))
    ax.set_title("Accuracy by depth difference")


def _draw_noise(ax: Axes, report: Mapping[str, Any]) -> None:
    x, records = _bins(report["single"])
    share = 100 * np.array([record["accuracy"] for record in records])
    ends = 100 * np.array([record["interval"] for record in records])
    ax.errorbar(x, share, yerr=[share - ends[:, 0], ends[:, 1] - share], fmt="o", color="#20262d", markersize=4.5,
                elinewidth=1, zorder=4, label="single answers")  # fmt: skip
    at = np.linspace(0, LONGEST_MM, 400)
    ax.plot(
        at, 100 * PAPER_CROWD.right(at), color=QUIET, linestyle="--", linewidth=1.6, label="the paper's line, 400 mm"
    )
    colours = {"line": CYCLE[1], "probit": CYCLE[0], "logit": CYCLE[2]}
    fits = report["noise"]["fits"]
    least, drawn = fits[0]["aic"], set()
    for fit in fits:  # of each link the better of the two
        link = fit["noise"]["link"]
        if link in drawn:
            continue
        drawn.add(link)
        noise = AnswerNoise(**fit["noise"])
        lapses = "" if fit["lapse"] is None else f", {100 * noise.lapse:.0f} % lapses"
        behind = "best" if fit["aic"] == least else f"AIC +{fit['aic'] - least:.0f}"
        label = f"{link}, {noise.scale_mm:.0f} mm{lapses} ({behind})"
        ax.plot(at, 100 * noise.right(at), color=colours[link], linewidth=1.8, label=label)
    draw_chance(ax)
    ax.set(xlim=(0, LONGEST_MM), ylim=high_part(ax), xlabel="true depth difference, mm", ylabel="right, %")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 0.14), fontsize=8.5)
    ax.set_title("Noise models of single answers")


def _draw_annotators(ax: Axes, report: Mapping[str, Any]) -> None:
    records = [record for record in report["per_annotator"] or [] if record["accuracy"] is not None]
    ax.set_title("Annotators, least to most often right")
    if not records:
        bare(ax)
        ax.text(0.5, 0.5, "nobody was named", ha="center", color=QUIET, transform=ax.transAxes)
        return
    records = records[::-1]
    share = 100 * np.array([record["accuracy"] for record in records])
    ends = 100 * np.array([record["interval"] for record in records])
    places = np.arange(1, len(records) + 1)
    ax.vlines(places, ends[:, 0], ends[:, 1], color=SINGLE, alpha=0.45, linewidth=1.4)
    sizes = np.array([record["counted"] for record in records])
    ax.scatter(
        places, share, s=8 + 60 * sizes / sizes.max(), color=SINGLE, edgecolors="white", linewidths=0.6, zorder=3
    )
    overall = 100 * report["single"]["accuracy"]
    ax.axhline(overall, color=MERGED, linewidth=1.4)
    ax.annotate(f"all answers {overall:.1f} %", (1, overall), (-2, -12), xycoords=ax.get_yaxis_transform(), ha="right",
                textcoords="offset points", color=MERGED, fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6})  # fmt: skip
    draw_chance(ax)
    ax.set(xlabel="annotator (area: number of answers)", ylabel="right, %", ylim=(min(20, ends[:, 0].min()), 102))
    ax.set_xlim(0, len(records) + 1)
    ax.grid(visible=False, axis="x")


def _draw_poses(ax: Axes, per_pose: Mapping[str, Any]) -> None:
    accuracy = 100 * np.array(per_pose["quantiles"])
    place = np.linspace(0, 100, len(accuracy))
    ax.fill_between(place, accuracy, color=SINGLE, alpha=0.13, linewidth=0)
    ax.plot(place, accuracy, color=SINGLE)
    for part in (10, 50, 90):
        at = float(np.interp(part, place, accuracy))
        ax.plot([part], [at], "o", color=MERGED, markersize=5)
        ax.annotate(f"{at:.0f} %", (part, at), (6, -12), textcoords="offset points", fontsize=9, color="#30363d")
    draw_chance(ax)
    ax.set(xlim=(0, 100), ylim=(0, 102), xlabel="images from hardest to easiest, %", ylabel="answers right, %")
    ax.set_title(f"Images ({per_pose['median_answers']:.0f} answers each)")


def _draw_joint_pairs(figure: Any, ax: Axes, per_pair: Mapping[str, Any]) -> None:
    accuracy = np.array([[np.nan if v is None else 100 * v for v in row] for row in per_pair["accuracy"]], dtype=float)
    accuracy[np.array(per_pair["answers"]) < FEWEST] = np.nan
    accuracy[np.triu_indices(len(accuracy))] = np.nan  # each pair once
    names = [_short(name) for name in per_pair["joints"]]
    shown = np.isfinite(accuracy)
    low = np.floor(accuracy[shown].min() / 5) * 5 if shown.any() else 50
    picture = ax.imshow(accuracy[1:, :-1], cmap="viridis", vmin=min(low, 60), vmax=100, aspect="auto")
    ax.set_xticks(np.arange(len(names) - 1), names[:-1], rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    ax.set_yticks(np.arange(len(names) - 1), names[1:], fontsize=8)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(picture, ax=ax, fraction=0.045, pad=0.02)
    bar.set_label("single answers right, %", fontsize=9)
    bar.outline.set_visible(False)
    ax.set_title("Pairs of joints")


def _short(name: str) -> str:
    words = spoken(name)
    for long, brief in SHORT:
        words = words.replace(long, brief)
    return words


def draw_risk(ax: Axes, easy_to_hard: Mapping[str, Any], measured: str | None) -> None:
    """Risk of the merged labels, sorted; with the share that is right in each tenth where that is measured."""
    quantiles = np.array(easy_to_hard["quantiles"])
    place, finished = np.linspace(0, 100, len(quantiles)), 100 * (easy_to_hard["finished"] or 0)
    ax.fill_between(place, 100 * quantiles, color=MERGED, alpha=0.14, linewidth=0)
    ax.plot(place, 100 * quantiles, color=MERGED, label="risk: expected share wrong")
    if finished:
        ax.axvline(finished, color=QUIET, linestyle=":", linewidth=1.3)
        side = "left" if finished < 60 else "right"
        ax.annotate(f"{finished:.0f} % below risk {easy_to_hard['finished_risk']:g}", (finished, 0.97),
                    (4 if side == "left" else -4, 0), xycoords=ax.get_xaxis_transform(), textcoords="offset points",
                    va="top", ha=side, fontsize=9, color=QUIET)  # fmt: skip
    if measured:
        x, records = _tenths(easy_to_hard)
        wrong = [
            {"accuracy": 1 - r["accuracy"], "interval": [1 - r["interval"][1], 1 - r["interval"][0]]} for r in records
        ]
        if wrong:
            draw_points(ax, x, wrong, SINGLE, "truly wrong")
    ax.set(xlim=(0, 100), ylim=(0, 62), xlabel="merged labels from easy to hard, %", ylabel="wrong, %")
    if not measured:
        ax.set_ylabel("risk: expected share wrong, %")
    else:
        ax.legend(loc="upper left", bbox_to_anchor=(0, 0.92))
    ax.set_title("Merged labels by risk")


def _tenths(easy_to_hard: Mapping[str, Any]) -> tuple[Array, list[Mapping[str, Any]]]:
    groups = easy_to_hard["groups"]
    middle = (np.arange(len(groups)) + 0.5) * 100 / len(groups)
    known = [i for i, group in enumerate(groups) if group["accuracy"] is not None]
    return middle[known], [groups[i] for i in known]


def _draw_groups(ax: Axes, easy_to_hard: Mapping[str, Any], compared_with: str) -> None:
    x, records = _tenths(easy_to_hard)
    if records:
        draw_points(ax, x, records, SINGLE, compared_with)
        expected = [100 * (1 - group["mean_risk"]) for group in records]
        ax.plot(x, expected, "--", color=MERGED, label="1 − risk: what merging claims")
        ax.legend(loc="upper right")
    draw_chance(ax, "left")
    ax.set(xlim=(0, 100), ylim=high_part(ax), xlabel="merged labels from easy to hard, %", ylabel="labels, %")
    ax.set_title("Worth of the labels from easy to hard")


def _draw_agreement(ax: Axes, experts: Mapping[str, Any]) -> None:
    names = experts["raters"]
    share = np.array([[np.nan if c is None or c["accuracy"] is None else 100 * c["accuracy"] for c in row]
                      for row in experts["agreement"]], dtype=float)  # fmt: skip
    share[np.triu_indices(len(names))] = np.nan
    shown = share[1:, :-1]
    ax.imshow(shown, cmap="Blues", vmin=40, vmax=110, aspect="auto")
    for i, j in np.argwhere(np.isfinite(shown)):
        kappa = experts["kappa"][i + 1][j]
        text = f"{shown[i, j]:.0f} %" + ("" if kappa is None else f"\nκ {kappa:.2f}")
        ax.text(j, i, text, ha="center", va="center", fontsize=9, color="white" if shown[i, j] > 82 else "#20262d")
    ax.set_xticks(range(len(names) - 1), names[:-1])
    ax.set_yticks(range(len(names) - 1), names[1:])
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title("Raters who order a pair alike")


def _examples(labels: RelativeLabels, poses: PoseSet, count: int) -> list[int]:
    """Rows of labels whose two joints are seen, evenly from the least to the greatest risk, each of another pose."""
    keypoints = np.asarray(poses.keypoints)
    seen = np.isfinite(keypoints[labels.pose[:, None], labels.pair]).all(axis=(1, 2)) & (labels.relation != 0)
    usable = np.flatnonzero(seen)
    order = usable[np.argsort(_risk(labels)[usable], kind="stable")]
    chosen: list[int] = []
    for target in np.linspace(0, 0.97 * max(len(order) - 1, 0), count).astype(int).tolist():
        taken = {int(labels.pose[row]) for row in chosen}
        near = sorted(range(len(order)), key=lambda i: abs(i - target))
        row = next((int(order[i]) for i in near if int(labels.pose[order[i]]) not in taken), None)
        if row is not None:
            chosen.append(row)
    return chosen


def _risk(labels: RelativeLabels) -> Array:
    risk = labels.merged_risk()
    if risk is None:
        raise InputError("merged labels figure: the labels have neither risk nor probability")
    return risk


def _draw_example(ax: Axes, labels: RelativeLabels, poses: PoseSet, row: int) -> None:
    """One pose with the two joints of a label: the nearer one a disc, the farther one a square."""
    points = np.asarray(poses.keypoints)[labels.pose[row]]
    draw_limbs(ax, points, poses.skeleton, range(len(poses.skeleton.limbs)), width=2.0)
    nearer, farther = labels.pair[row] if labels.relation[row] < 0 else labels.pair[row][::-1]
    ax.plot(*points[nearer], "o", color=NEARER, markersize=12, markeredgecolor="white", markeredgewidth=1.4, zorder=90)
    ax.plot(
        *points[farther], "s", color=FARTHER, markersize=10, markeredgecolor="white", markeredgewidth=1.4, zorder=90
    )
    seen = points[np.isfinite(points).all(axis=1)]
    middle, half = (seen.max(axis=0) + seen.min(axis=0)) / 2, 0.6 * max(float(np.ptp(seen, axis=0).max()), 1.0)
    ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half), aspect="equal")
    ax.set_facecolor("#f1f3f6")
    bare(ax)
    names = labels.skeleton.joints
    ax.set_title(f"{_short(names[nearer])}\nnearer than {_short(names[farther])}", loc="center", fontsize=8.5,
                 fontweight="normal")  # fmt: skip
    text = f"risk {_risk(labels)[row]:.3f}"
    if poses.joints is not None and poses.frame != "world":
        depth = np.asarray(poses.joints)[labels.pose[row], [farther, nearer], 2]
        text += f"\ntruly {depth[0] - depth[1]:+.0f} mm".replace("-", "−")
    ax.set_xlabel(text, fontsize=8.5)
