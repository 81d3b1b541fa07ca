"""Figure 5: depth order on ordinary photos, before and after fine-tuning on their relative labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nearfar.reproduce.experiment import Experiment, Outcome, Plan, Settings, measured, ours, supervised
from nearfar.reproduce.material import PHOTO, photos
from nearfar.reproduce.runs import finished_lifter, with_statistics
from nearfar.reproduce.writing import Table, same_size, write_figure, write_result
from nearfar.viewing.figures import house_style, new_figure
from nearfar.viewing.pose_figure import pose_grid
from nearfar.viewing.style import CYCLE

__all__ = ["FIG5"]

TUNING_EPOCHS = 25
ALONE_EPOCHS = 100
PICTURES = 6


def plan(settings: Settings) -> Plan:
    """Supervised and relative on the poses with 3D; the latter tuned on the photos; the photos alone."""
    n = settings.epochs
    relative = ours(n, skeleton=PHOTO)
    on_photos: dict[str, Any] = {"skeleton": PHOTO, "photos": True, "labels_used": "each"}
    runs = {
        "supervised": supervised(n, skeleton=PHOTO),
        "ours": relative,
        "ours, fine-tuned": ours(TUNING_EPOCHS, init=relative, **on_photos),
        "photos alone": ours(ALONE_EPOCHS, limb_reference="average_person", **on_photos),
    }
    return {name: measured(run, settings, photos=True) for name, run in runs.items()}


def draw(outcome: Outcome, folder: Path) -> None:
    """Write figure 5 and the side-by-side pictures."""
    own = photos(outcome.settings.place.lsp)
    caption = outcome.settings.caption(
        f"Share of labelled pairs of test photos whose predicted depth order is wrong, after figure 5 of Ronchi et al. "
        f"(BMVC 2018); right: by fifths of the pairs from easy to hard (risk of the merged label). Photos: "
        f"{own.title}. Fine-tuning: {TUNING_EPOCHS} epochs; photos alone: {ALONE_EPOCHS}"
    )
    names = list(outcome.plan)
    with house_style():
        figure = new_figure(9.6, 3.8)
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.2])
        error = [100 * outcome.mean(name, "order_error") for name in names]
        spread = [100 * outcome.spread(name, "order_error") for name in names]
        left.bar(range(len(names)), error, yerr=spread if any(spread) else None, color=CYCLE, capsize=4)
        left.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names])
        left.set_ylabel("pairs in the wrong order, %")
        for name, colour in zip(names, CYCLE, strict=False):
            reports = [outcome.reports[m]["by_risk"] for m in outcome.plan[name] if "by_risk" in outcome.reports[m]]
            if reports:
                mean = 100 * np.mean([report["order_error"] for report in reports], axis=0)
                right.plot(range(1, len(mean) + 1), mean, color=colour, marker="o", label=name)
        right.set_xlabel("fifth of the pairs, from easy to hard")
        right.set_xticks(range(1, 6))
        right.set_ylabel("pairs in the wrong order, %")
        right.legend()
    keys = ["order_error"] + (["pa_mpjpe"] if own.truth is not None else [])
    rows = [
        [
            name,
            outcome.text(name, "order_error", digits=3),
            *([outcome.text(name, "pa_mpjpe")] if own.truth is not None else []),
        ]
        for name in names
    ]
    columns = ["", "wrong order"] + (["PA-MPJPE, mm"] if own.truth is not None else [])
    data = {"rows": outcome.data(*keys)}
    write_result(folder, "fig5", caption, data, table=Table(columns, rows), figure=figure)
    _draw_pictures(outcome, folder)


def _draw_pictures(outcome: Outcome, folder: Path) -> None:
    """Test photos as every method lifts them, side by side."""
    own = photos(outcome.settings.place.lsp)
    rows = np.linspace(0, len(own.test) - 1, PICTURES).astype(int)
    lifted = {}
    for name, tests in outcome.plan.items():
        lifter = with_statistics(finished_lifter(tests[0].run, outcome.settings.place), own.train)
        lifted[name] = same_size(lifter.lift_poses(own.test.select(rows)))
    if own.truth is not None:
        lifted["truth"] = same_size(own.truth.select(rows))
    write_figure(folder, "fig5_pictures", pose_grid(lifted, rows=range(PICTURES)))


FIG5 = Experiment("fig5", plan, draw)
