"""Figures of results, with matplotlib: one style, colours that colour-blind readers tell apart, readable when small.

Figures are made without pyplot, so that nothing global changes and no window is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.errors import InputError
from nearfar.files import replacing
from nearfar.viewing.style import CYCLE, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison_figure", "evaluation_figure", "house_style", "new_figure", "save_figure", "training_figure"]

MOST_ACTIONS = 20
MOST_LABELLED = 4
FORMATS = (".pdf", ".png", ".svg")

ERRORS = {
    "pa_mpjpe": "PA-MPJPE",
    "n_mpjpe": "N-MPJPE",
    "mpjpe": "MPJPE",
    "scaled_mpjpe": "scaled",
}
SHARES = {
    "relative_depth_accuracy": "order right,\nall pairs",
    "relative_depth_accuracy_100mm": "order right,\n> 100 mm",
    "pck_150mm": "PCK\n@150 mm",
    "auc": "AUC",
}
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8a929c",
    "axes.grid": True,
    "axes.labelcolor": "#30363d",
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "figure.dpi": 110,
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": "#e4e7eb",
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "savefig.dpi": 160,
    "svg.hashsalt": "nearfar",
    "xtick.color": "#4a525c",
    "ytick.color": "#4a525c",
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
}


def house_style() -> AbstractContextManager[None]:
    """A context in which matplotlib draws in our style.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise InputError('drawing figures needs matplotlib: pip install "nearfar[figures]"') from None
    context: AbstractContextManager[None] = matplotlib.rc_context(_STYLE)
    return context


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches, that fits its content; use within `house_style`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def check_suffix(path: str | Path) -> None:
    """Refuse a name that no figure can be written under (InputError)."""
    if Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"{path}: figures are written as {', '.join(FORMATS)}")


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as .png, .svg or .pdf, whole or not at all.

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    check_suffix(path)
    with house_style(), replacing(path) as temporary:
        figure.savefig(temporary, metadata={"Date": None} if Path(path).suffix.lower() == ".svg" else None)


def evaluation_figure(report: Mapping[str, Any], title: str | None = None) -> Figure:
    """One evaluation report at a glance: errors per joint and per action, PCK, depth order by depth difference.

    Args:
        report: what `nearfar.evaluation.evaluate` returns; parts that it lacks are left out. Of more than 20 actions
            the 10 best and the 10 worst are shown.
        title: line above the panels; by default the headline figures.

    Raises:
        InputError: the report has none of the parts, or matplotlib is missing.
    """
    actions = report.get("per_action") or {}
    panels = [
        (name, draw)
        for name, draw in (
            ("per_joint", _draw_joints),
            ("per_action", _draw_actions),
            ("pck_curve", _draw_pck),
            ("order_by_difference", _draw_order),
        )
        if report.get(name)
    ]
    if not panels:
        raise InputError("evaluation figure: the report has no per_joint, per_action, pck_curve or order_by_difference")
    with house_style():
        bars = max(len(report.get("per_joint") or {}), min(len(actions), MOST_ACTIONS + 1))
        rows = (len(panels) + 1) // 2
        figure = new_figure(11 if len(panels) > 1 else 6, (1.4 + 0.21 * max(bars, 9)) + 3.2 * (rows - 1))
        ratios = {"height_ratios": [1.4 + 0.21 * max(bars, 9), 3.2][:rows]}
        axes = figure.subplots(rows, min(2, len(panels)), squeeze=False, gridspec_kw=ratios).ravel()
        for (name, draw), ax in zip(panels, axes, strict=False):
            draw(ax, report[name])
        if axes[0].get_legend_handles_labels()[0]:  # one legend serves both panels of bars
            axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.1, columnspacing=1.2)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        figure.suptitle(title or _headline(report), x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def comparison_figure(reports: Mapping[str, Mapping[str, Any]], title: str | None = None) -> Figure:
    """Headline figures of several evaluation reports side by side: errors in mm, and shares of right answers.

    Args:
        reports: evaluation reports by the name of the method.
        title: line above the panels.

    Raises:
        InputError: no report, or no headline figure that all of them have.
    """
    groups = [
        {key: label for key, label in group.items() if all(_number(report.get(key)) for report in reports.values())}
        for group in (ERRORS, SHARES)
    ]
    groups = [group for group in groups if group]
    if not reports or not groups:
        raise InputError("comparison figure: needs reports with headline figures in common (pa_mpjpe, ...)")
    with house_style():
        figure = new_figure(10.5 if len(reports) < 4 else 13, 3.9)
        axes = figure.subplots(1, len(groups), squeeze=False)[0]
        for ax, group in zip(axes, groups, strict=True):
            _draw_groups(ax, group, reports, errors="pa_mpjpe" in group or "mpjpe" in group)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(reports), 5))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def training_figure(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> Figure:
    """Curves of a training run: its loss terms, and what was measured on the validation set.

    Args:
        rows: records of a run's ``log.jsonl`` (`nearfar.training.log.read_log`); each holds "step", and any of
            "epoch", "learning_rate", "loss" and its terms, and measures whose names begin with "val_".
        title: line above the panels.

    Raises:
        InputError: no row has a step and a value.
    """
    state = {"step", "epoch", "learning_rate"}
    names = list(
        dict.fromkeys(key for row in rows for key, value in row.items() if key not in state and _number(value))
    )
    measured = [name for name in names if name.startswith("val_")]
    panels = [
        ("Training loss", [name for name in names if name not in measured], "loss"),
        ("Validation error", [name for name in measured if "accuracy" not in name], "mm"),
        ("Validation depth order", [name for name in measured if "accuracy" in name], "share of pairs right"),
    ]
    panels = [panel for panel in panels if panel[1]]
    if not panels or not any("step" in row for row in rows):
        raise InputError("training figure: no row has a step and a value (expected the lines of log.jsonl)")
    with house_style():
        figure = new_figure(4.6 * len(panels), 3.5)
        for ax, (heading, keys, unit) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for i, key in enumerate(keys):
                points = [(row["step"], row[key]) for row in rows if "step" in row and _number(row.get(key))]
                _draw_curve(ax, np.array(points, dtype=np.float64), _label(key), CYCLE[i % len(CYCLE)])
            ax.set_title(heading)
            ax.set_xlabel("step")
            ax.set_ylabel(unit)
            if heading == "Training loss" and all(_all_positive(rows, key) for key in keys):
                ax.set_yscale("log")
            ax.legend()
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _all_positive(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    return all(row[key] > 0 for row in rows if _number(row.get(key)))


def _label(key: str) -> str:
    name = key.removeprefix("val_")
    return ERRORS.get(name) or SHARES.get(name, spoken(name)).replace("\n", " ")


def _headline(report: Mapping[str, Any]) -> str:
    parts = [f"{label} {report[key]:.1f} mm" for key, label in ERRORS.items() if _number(report.get(key))][:3]
    if _number(report.get("relative_depth_accuracy_100mm")):
        parts.append(f"order right {report['relative_depth_accuracy_100mm']:.1%} (pairs > 100 mm)")
    return "   ".join(parts)


def _draw_joints(ax: Axes, per_joint: Mapping[str, Mapping[str, float]]) -> None:
    _draw_bars(ax, {spoken(name): entry for name, entry in per_joint.items()})
    ax.set_title("Error per joint")


def _draw_actions(ax: Axes, per_action: Mapping[str, Mapping[str, float]]) -> None:
    """All actions from the best to the worst, or only both ends where there are many."""
    ranked = sorted(per_action.items(), key=lambda item: item[1].get("pa_mpjpe", np.nan))
    half = MOST_ACTIONS // 2
    if len(ranked) > MOST_ACTIONS:
        between = f"... {len(ranked) - MOST_ACTIONS} between ..."
        ranked = [*ranked[:half], (between, {}), *ranked[-half:]]
        ax.set_title(f"Error per action: {half} best, {half} worst of {len(per_action)}")
    else:
        ax.set_title("Error per action")
    _draw_bars(ax, {_shortened(name): entry for name, entry in ranked})


def _shortened(name: str, most: int = 34) -> str:
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def _draw_bars(ax: Axes, entries: Mapping[str, Mapping[str, float]]) -> None:
    """Horizontal bars of PA-MPJPE, with MPJPE as a mark beyond them."""
    places = np.arange(len(entries))
    aligned = np.array([entry.get("pa_mpjpe", np.nan) for entry in entries.values()], dtype=np.float64)
    raw = np.array([entry.get("mpjpe", np.nan) for entry in entries.values()], dtype=np.float64)
    ax.barh(places, aligned, height=0.66, color=CYCLE[0], label="PA-MPJPE")
    ax.plot(raw, places, "o", markersize=4.5, color=CYCLE[1], label="MPJPE")
    ax.set_yticks(places, list(entries))
    ax.set_ylim(len(entries) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.set_xlabel("mm")
    ax.grid(visible=False, axis="y")


def _draw_pck(ax: Axes, curve: Mapping[str, Sequence[float]]) -> None:
    thresholds, share = np.asarray(curve["threshold_mm"], float), 100 * np.asarray(curve["pck"], float)
    ax.plot(thresholds, share, color=CYCLE[0])
    ax.fill_between(thresholds, share, color=CYCLE[0], alpha=0.12, linewidth=0)
    if thresholds.min() <= 150 <= thresholds.max():
        at = float(np.interp(150, thresholds, share))
        ax.plot([150], [at], "o", color=CYCLE[1])
        ax.annotate(f"{at:.1f} % at 150 mm", (150, at), (8, -14), textcoords="offset points", color="#30363d")
    ax.set(xlim=(0, thresholds.max()), ylim=(0, 101), xlabel="threshold, mm", ylabel="joints within, %")
    ax.set_title("PCK")


def _draw_order(ax: Axes, table: Mapping[str, Sequence[float | None]]) -> None:
    """Accuracy of the depth order, a bar for each range of true depth differences."""
    upper = table["upper_mm"]
    accuracy = np.array([np.nan if value is None else 100 * value for value in table["accuracy"]])
    lower = [0.0, *[edge for edge in upper[:-1] if edge is not None]]
    names = [f"> {low:g}" if high is None else f"{low:g}–{high:g}" for low, high in zip(lower, upper, strict=True)]
    places = np.arange(len(names))
    ax.bar(places, accuracy, width=0.72, color=CYCLE[0])
    for place, value in zip(places, accuracy, strict=True):
        if np.isfinite(value):
            ax.annotate(f"{value:.0f}", (place, value), (0, 2), textcoords="offset points", ha="center", fontsize=9)
    ax.axhline(50, color=CYCLE[1], linestyle="--", linewidth=1.4)
    ax.text(1.01, 50, "chance", transform=ax.get_yaxis_transform(), va="center", color=CYCLE[1])
    ax.set_xticks(places, names, rotation=28, ha="right", rotation_mode="anchor", fontsize=9)
    ax.set(ylim=(0, 108), xlabel="true depth difference, mm", ylabel="order right, %")
    ax.grid(visible=False, axis="x")
    ax.set_title("Which joint is nearer?")


def _draw_groups(ax: Axes, group: Mapping[str, str], reports: Mapping[str, Mapping[str, Any]], *, errors: bool) -> None:
    width = 0.8 / len(reports)
    scale, form = (1.0, "{:.0f}") if errors else (100.0, "{:.1f}")
    for i, (name, report) in enumerate(reports.items()):
        values = np.array([scale * report[key] for key in group])
        places = np.arange(len(group)) + (i - (len(reports) - 1) / 2) * width
        bars = ax.bar(places, values, width=0.92 * width, color=CYCLE[i % len(CYCLE)], label=name)
        if len(reports) <= MOST_LABELLED:
            ax.bar_label(bars, [form.format(value) for value in values], padding=2, fontsize=8)
    ax.set_xticks(np.arange(len(group)), list(group.values()))
    ax.grid(visible=False, axis="x")
    ax.margins(y=0.12)
    ax.set_ylabel("mm" if errors else "%")
    ax.set_title("Error (less is better)" if errors else "Share right (more is better)")


def _draw_curve(ax: Axes, points: Any, label: str, colour: str) -> None:
    """A curve; a long noisy one is drawn faint beneath its running mean."""
    steps, values = points.T
    if len(values) < 80:
        ax.plot(steps, values, color=colour, label=label, marker="o" if len(values) < 25 else None, markersize=3.5)
        return
    ax.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
    window = max(5, len(values) // 40)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    ax.plot(steps[window // 2 : window // 2 + len(mean)], mean, color=colour, label=label)
