"""Figure 1d: error against the bytes of supervision."""

from __future__ import annotations

import math
from pathlib import Path

from nearfar.reproduce.experiment import Experiment, Outcome, Plan, Settings, measured, ours, supervised
from nearfar.reproduce.material import material
from nearfar.reproduce.runs import LabelOptions
from nearfar.reproduce.writing import Table, write_result
from nearfar.viewing.figures import house_style, new_figure
from nearfar.viewing.style import CYCLE

__all__ = ["FIG1D"]

SHARES = (0.000625, 0.00125, 0.0025, 0.05, 0.25, 1.0)
PAIRS = ((0.25, 1), (0.5, 1), (1.0, 1), (1.0, 17), (1.0, 0))
FEWEST_STEPS = 400
"""The paper's smallest share, 975 frames for 25 epochs of batches of 64, makes about so many steps."""


def plan(settings: Settings) -> Plan:
    """Supervised with shares of the frames; ours with shares of the frames, 17 pairs, all pairs."""
    runs = {
        _supervised_name(s): supervised(_epochs(settings, s), data_share=s) if s < 1 else supervised(settings.epochs)
        for s in SHARES
    }
    for share, pairs in PAIRS:
        runs[_ours_name(share, pairs)] = ours(settings.epochs, LabelOptions(pairs=pairs), data_share=share)
    return {name: measured(run, settings) for name, run in runs.items()}


def draw(outcome: Outcome, folder: Path) -> None:
    """Write figure 1d."""
    place = outcome.settings.place
    train = material(place.data, place.every).train
    joints, poses = train.skeleton.num_joints, len(train)
    stored, labelled = {}, {}
    for share in SHARES:
        stored[_supervised_name(share)] = share * poses * 3 * joints * 4.0
    for share, pairs in PAIRS:
        labelled[_ours_name(share, pairs)] = share * poses * (pairs or joints * (joints - 1) // 2) / 8
    caption = outcome.settings.caption(
        "Error against the size of the supervision, after figure 1d of Ronchi et al. (BMVC 2018): "
        f"{3 * joints} numbers of 4 bytes a pose under full supervision, 1 bit a labelled pair for ours. Small shares "
        f"are trained for more epochs, so that every run makes at least {FEWEST_STEPS} steps"
    )
    with house_style():
        figure = new_figure(6.4, 4.2)
        ax = figure.subplots()
        for title, sizes, colour, marker in (
            ("supervised", stored, CYCLE[0], "o"),
            ("ours", labelled, CYCLE[1], "s"),
        ):
            heights, bars = zip(
                *((outcome.mean(n, "pa_mpjpe"), outcome.spread(n, "pa_mpjpe")) for n in sizes), strict=True
            )
            ax.errorbar(list(sizes.values()), heights, bars, color=colour, marker=marker, capsize=3, label=title)
            for name, size in sizes.items():
                note = name.removeprefix(f"{title}, ")
                at = (size, outcome.mean(name, "pa_mpjpe"))
                ax.annotate(note, at, xytext=(4, 6), textcoords="offset points", fontsize=8, color=colour)
        ax.set_xscale("log")
        ax.margins(x=0.1)
        ax.set_xlabel("bytes of supervision")
        ax.set_ylabel("PA-MPJPE, mm")
        ax.legend()
    sizes = {**stored, **labelled}
    rows = [[name, f"{sizes[name]:,.0f}", outcome.text(name, "pa_mpjpe")] for name in outcome.plan]
    data = {"bytes": sizes, "pa_mpjpe": outcome.data("pa_mpjpe")}
    table = Table(["", "bytes", "PA-MPJPE, mm"], rows)
    write_result(folder, "fig1d", caption, data, table=table, figure=figure)


def _supervised_name(share: float) -> str:
    return f"supervised, {100 * share:g} %"


def _ours_name(share: float, pairs: int) -> str:
    if share < 1:
        return f"ours, {100 * share:g} %"
    return {0: "ours, all pairs", 1: "ours, 1 pair"}.get(pairs, f"ours, {pairs} pairs")


def _epochs(settings: Settings, share: float) -> int:
    poses = share * len(material(settings.place.data, settings.place.every).train)
    return max(settings.epochs, math.ceil(FEWEST_STEPS / math.ceil(poses / 64)))


FIG1D = Experiment("fig1d", plan, draw)
