"""The page and the figures of benchmarks/crowd.py."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.study.merge_figures import draw_reliability
from nearfar.viewing.figures import house_style, new_figure
from nearfar.viewing.style import CYCLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figures", "markdown"]

COLOURS = {
    "majority": CYCLE[6], "dawid-skene-1": CYCLE[4], "dawid-skene-2": CYCLE[5], "glad": CYCLE[3], "lean": CYCLE[0],
    "depth": CYCLE[1], "crowd-kit MajorityVote": CYCLE[6], "crowd-kit OneCoinDawidSkene": CYCLE[4],
    "crowd-kit DawidSkene": CYCLE[5], "crowd-kit GLAD": CYCLE[3],
}  # fmt: skip
"""crowd-kit's methods have the colours of ours of the same kind."""

SHOWN = ("majority", "crowd-kit OneCoinDawidSkene", "lean", "depth")
"""In the figure of calibration."""

DRAWN_THRESHOLD = 0.1


def figures(results: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures by the name of their files."""
    return {
        "crowd_accuracy": _panels(results, _draw_accuracy, "answers a pair", "clear pairs right, %", 4),
        "crowd_queue": _panels(results, _draw_queue, "answers a pair, on average", "clear pairs right, %", 3),
        "crowd_calibration": _panels(
            results, _draw_calibration, "probability of the likelier side, %", "that are right, %", 2
        ),
    }


def _panels(results: Mapping[str, Any], draw: Any, x: str, y: str, columns: int) -> Figure:
    """One panel for each layout (rows) and crowd (columns), with one legend."""
    layouts, crowds = [layout["name"] for layout in results["layouts"]], list(results["crowds"])
    with house_style():
        figure = new_figure(10.4, 4.1 * len(layouts) + 0.5)
        axes = figure.subplots(len(layouts), len(crowds), squeeze=False, sharey=draw is not _draw_calibration)
        for i, layout in enumerate(layouts):
            for j, crowd in enumerate(crowds):
                draw(axes[i, j], results, layout, crowd)
                axes[i, j].set_title(f"{crowd} crowd, {layout}")
                axes[i, j].set(xlabel=x, ylabel=y if j == 0 else "")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)
        return figure


def _draw_accuracy(ax: Axes, results: Mapping[str, Any], layout: str, crowd: str) -> None:
    for name, colour in COLOURS.items():
        counts, mean, spread = _series(results, layout, crowd, name, "clear")
        theirs = name.startswith("crowd-kit")
        ax.plot(
            counts, mean, "--" if theirs else "-", color=colour, label=name, marker=None if theirs else "o",
            markersize=3.5, linewidth=2.4 if name in ("lean", "depth") else 1.4, zorder=3 if theirs else 2,
        )  # fmt: skip
        if not theirs:
            ax.fill_between(counts, mean - spread, mean + spread, color=colour, alpha=0.1, linewidth=0)
    ax.set_xticks(counts)
    ax.set_ylim(top=101)


def _draw_queue(ax: Axes, results: Mapping[str, Any], layout: str, crowd: str) -> None:
    for method, threshold in _queue_kinds(results):
        if threshold not in (None, DRAWN_THRESHOLD):
            continue
        runs = _queue_runs(results, layout, crowd, method, threshold)
        # Runs end at different times, past the target: each keeps its last share, and the mean is of all.
        x = np.linspace(1, max(*(run["answers"][-1] for run in runs), 1.5), 200)
        y = np.mean([np.interp(x, run["answers"], run["clear"]) for run in runs], axis=0)
        label = f"{method}, as many of each" if threshold is None else f"{method}, until risk < {threshold:g}"
        ax.plot(x, 100 * y, ":" if threshold is None else "-", color=COLOURS[method], label=label)
    ax.axhline(100 * results["target"], color=CYCLE[6], linewidth=1, zorder=1)
    ax.set_xticks(range(0, results["most_answers"] + 1, 5))
    ax.set_xlim(0, results["most_answers"])


def _draw_calibration(ax: Axes, results: Mapping[str, Any], layout: str, crowd: str) -> None:
    found = {
        record["method"]: record["calibration"]
        for record in results["reliability"]
        if (record["layout"], record["crowd"]) == (layout, crowd)
    }
    draw_reliability(ax, {name: found[name] for name in SHOWN}, [COLOURS[name] for name in SHOWN])


def _series(results: Mapping[str, Any], layout: str, crowd: str, method: str, key: str) -> tuple[Any, Any, Any]:
    """Numbers of answers, mean over the seeds, standard deviation; %."""
    wanted = (layout, crowd, method)
    found = [r for r in results["accuracy"] if (r["layout"], r["crowd"], r["method"]) == wanted]
    counts = sorted({record["answers"] for record in found})
    values = [[100 * record[key] for record in found if record["answers"] == count] for count in counts]
    return np.array(counts), np.mean(values, axis=1), np.std(values, axis=1)


def _queue_kinds(results: Mapping[str, Any]) -> list[tuple[str, float | None]]:
    return list(dict.fromkeys((record["method"], record["threshold"]) for record in results["queue"]))


def _queue_runs(
    results: Mapping[str, Any], layout: str, crowd: str, method: str, threshold: float | None
) -> list[Mapping[str, Any]]:
    wanted = (layout, crowd, method, threshold)
    return [r for r in results["queue"] if (r["layout"], r["crowd"], r["method"], r["threshold"]) == wanted]


def markdown(results: Mapping[str, Any]) -> str:
    """The page."""
    parts = [_head(results)]
    parts.append("## Right by answers a pair\n\n![accuracy](crowd_accuracy.png)\n")
    for layout in results["layouts"]:
        for crowd in results["crowds"]:
            parts.append(f"{crowd.capitalize()} crowd, {layout['name']}; clear pairs right, %\n")
            parts.append(_accuracy_table(results, layout["name"], crowd))
    parts.append(_queue_section(results))
    parts.append(_calibration_section(results))
    return "\n".join(map(_wrapped, parts))


def _wrapped(text: str) -> str:
    """Prose in lines of up to 120 characters; code, tables, lists, headings and pictures as they are."""
    paragraphs = re.split(r"(\n{2,})", text)
    plain = [not p.strip() or p.lstrip()[0] in "`|#!-" for p in paragraphs]
    return "".join(
        p if keep else textwrap.fill(p, 120, break_long_words=False, break_on_hyphens=False) + "\n" * p.endswith("\n")
        for p, keep in zip(paragraphs, plain, strict=True)
    )


def _head(results: Mapping[str, Any]) -> str:
    scale = results["crowds"]["clean"]["noise"]["scale_mm"]
    clear = ", ".join(f"{100 * share:.0f} % ({name})" for name, share in results["clear_share"].items())
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    command = results["command"].replace("--poses ", "--poses BENCHMARK_FOLDER/")
    return f"""# Merging a simulated crowd's answers

```sh
{command} --out docs/results
```

Took {results["wall_s"] / 60:.0f} minutes, {results["cpu_s"] / 60:.0f} of CPU time
({results["machine"]}, with other work on it; {versions}).

Random poses of the CMU benchmark's {results["poses"].removesuffix(".npz")} split, about {results["pairs"]} pairs of
joints a crowd, {results["seeds"]} crowds of each kind (seeds 0 to {results["seeds"] - 1}), each with poses, pairs,
workers and answers of its own. Everything merges the same answers; ± is the standard deviation over the crowds.

- **noisy crowd**: the paper's noise, P(right) = min(1, 0.5 + 0.0125·|Δz in cm|); of its 40 workers 4 toss a coin, one
  always takes the first joint, one answers the wrong way round;
- **clean crowd**: 40 workers who all look, P(right) = 1 / (1 + exp(−|Δz| / {scale:.0f} mm)), the logit that fits the
  paper's line best.

In both, a worker's eye differs from the average by a factor exp(0.25·normal) on the scale of depth, and which joint is
asked first is drawn anew for every answer. Some workers do more tasks than others. A task has 25 questions (5 poses of
5 pairs), or all pairs of one pose. Mistakes are independent: nobody sees a whole arm on the wrong side, as real people
may, so what is won by reading the answers on a pose together is an upper bound for people.

Many pairs are too close for anybody to call: {results["clear_mm"]} mm apart or more are {clear}. **Clear pairs** are
those. A pair that is left undecided counts half. crowd-kit's methods run with their default settings and are told which
joint of a pair, in the skeleton's order, was called nearer.
"""


def _accuracy_table(results: Mapping[str, Any], layout: str, crowd: str) -> str:
    methods = list(dict.fromkeys(record["method"] for record in results["accuracy"]))
    series = {name: _series(results, layout, crowd, name, "clear") for name in methods}
    counts = series[methods[0]][0].tolist()
    best = np.max([mean for _, mean, _ in series.values()], axis=0)
    lines = [["answers a pair", *map(str, counts)], ["---"] * (len(counts) + 1)]
    for name, (_, mean, spread) in series.items():
        cells = [
            f"**{m:.1f}** ± {s:.1f}" if round(m, 1) == round(top, 1) else f"{m:.1f} ± {s:.1f}"
            for m, s, top in zip(mean, spread, best, strict=True)
        ]
        lines.append([name, *cells])
    return _rows(lines)


def _queue_section(results: Mapping[str, Any]) -> str:
    few = round(results["pairs"] / max(layout["per_pose"] for layout in results["layouts"]))
    text = f"""## Answers needed for {100 * results["target"]:.0f} % of the clear pairs

![queue](crowd_queue.png)

Either every pair gets as many answers (fixed), or the queue asks one answer a round of every pair whose risk, after
merging all answers so far, is still at the threshold or above: easy pairs are closed early, disputed ones get more, at
most {results["most_answers"]}. The queue does not know which pairs are clear, and what it spends on those too close to
call counts. Answers a pair, on average over all pairs and over the crowds that got there (in brackets how many, where
some did not). A majority's risk cannot tell when to stop: after one answer it is 0.

With all pairs of a pose in one task a crowd has few tasks ({few} here). Where one who answers the wrong way round does
many of them, often alone, merging by depth may follow that one, surely, and the queue asks nobody else: have
each pair answered by three people before it is closed.
"""
    kinds = _queue_kinds(results)
    thresholds = sorted({threshold for _, threshold in kinds if threshold is not None})
    lines = [["crowd", "pairs", "method", "fixed", *[f"risk < {t:g}" for t in thresholds]]]
    lines.append(["---"] * len(lines[0]))
    for layout in results["layouts"]:
        for crowd in results["crowds"]:
            for method in dict.fromkeys(method for method, _ in kinds):
                cells = [
                    _amount(_queue_runs(results, layout["name"], crowd, method, threshold))
                    for threshold in (None, *thresholds)
                ]
                lines.append([crowd, layout["name"], method, *cells])
    return f"{text}\n{_rows(lines)}"


def _amount(runs: Sequence[Mapping[str, Any]]) -> str:
    """Mean and standard deviation of the answers needed; and how many crowds got there, where some did not."""
    needed = [run["needed"] for run in runs if run["needed"] is not None]
    if not needed:
        return "–"
    some = "" if len(needed) == len(runs) else f" ({len(needed)} of {len(runs)})"
    return f"{np.mean(needed):.1f} ± {np.std(needed):.1f}{some}"


def _calibration_section(results: Mapping[str, Any]) -> str:
    text = f"""## What the probabilities are worth

![calibration](crowd_calibration.png)

All pairs with {results["calibrated_at"]} answers, those of all crowds of a kind together. ECE: expected calibration
error, the mean distance of what is claimed from what is right, in ten bins from 50 to 100 %; the log loss cuts
probabilities to 0.001..0.999.
"""
    lines = [["crowd", "pairs", "method", "right, %", "ECE, %", "Brier", "log loss"], ["---"] * 7]
    for record in results["reliability"]:
        c, where = record["calibration"], (record["layout"], record["crowd"], record["method"])
        counts, mean, _ = _series(results, *where, "all")
        right = mean[counts.tolist().index(results["calibrated_at"])]
        scores = [f"{right:.1f}", f"{100 * c['ece']:.1f}", f"{c['brier']:.3f}", f"{c['log_loss']:.3f}"]
        lines.append([record["crowd"], record["layout"], record["method"], *scores])
    return f"{text}\n{_rows(lines)}"


def _rows(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
