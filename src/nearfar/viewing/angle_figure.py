"""Figures of joint angles: curves through time, and over the stride where somebody walks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nearfar.angles import Leg, Walk, strides
from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.sequences import clips
from nearfar.viewing.figures import house_style, new_figure
from nearfar.viewing.style import LEFT, RIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["angle_figure"]

Array = npt.NDArray[Any]

_MIDDLE = "#5b6470"
_PANELS = (
    ("pelvis and trunk", {"pelvis tilt": "pelvis_tilt", "trunk flexion": "trunk_flexion"}),
    ("hip flexion", {"left": "left_hip_flexion", "right": "right_hip_flexion"}),
    ("knee flexion", {"left": "left_knee_flexion", "right": "right_knee_flexion"}),
    ("ankle dorsiflexion", {"left": "left_ankle_dorsiflexion", "right": "right_ankle_dorsiflexion"}),
    ("shoulder flexion", {"left": "left_shoulder_flexion", "right": "right_shoulder_flexion"}),
    ("elbow flexion", {"left": "left_elbow_flexion", "right": "right_elbow_flexion"}),
)
_STYLES: dict[str, dict[str, Any]] = {
    "left": {"color": LEFT},
    "right": {"color": RIGHT},
    "pelvis tilt": {"color": _MIDDLE},
    "trunk flexion": {"color": _MIDDLE, "linestyle": (0, (4, 1.5))},
}
_MOST_PEOPLE = 4


def angle_figure(
    poses: PoseSet,
    angles: Mapping[str, Array],
    walks: Sequence[Walk] = (),
    *,
    title: str | None = None,
    fps: float = 30.0,
) -> Figure:
    """Curves of the main joint angles of up to four people of a clip, in degrees.

    A person takes a column through time, left and right in their colours, and where they walk another over the stride:
    from strike to strike of the leg's own foot, each stride thin, their mean thick, toe-off dotted. In the first, a
    small mark below the curves is a strike of the left or right foot.

    Args:
        poses: poses of one clip.
        angles: what `nearfar.angles.pose_angles` gave for them.
        walks: what `nearfar.angles.gait` found in them.
        title: line above the panels.
        fps: frames a second that `frame_index` counts, where there is no `time`.

    Raises:
        InputError: several clips, nobody through time, more than four people, or matplotlib is missing.
    """
    if poses.sequence is not None and len(np.unique(poses.sequence.codes)) > 1:
        raise InputError("a figure of angles shows one clip, and these poses are of several: choose a sequence")
    people: dict[int, list[Array]] = {}
    for clip in clips(poses, fps):
        person = 0 if poses.person is None else int(poses.person[clip.rows[0]])
        people.setdefault(person, []).append(clip.rows)
    if not people or len(people) > _MOST_PEOPLE:
        raise InputError(
            f"a figure of angles shows 1 to {_MOST_PEOPLE} people through time, got {len(people)}: choose one"
        )
    time = np.asarray(poses.time if poses.time is not None else np.asarray(poses.frame_index) / fps, dtype=np.float64)
    panels = [(name, lines) for name, lines in _PANELS if any(angle in angles for angle in lines.values())]
    of_person = {person: [walk for walk in walks if walk.person == person] for person in people}
    columns = [
        (person, kind) for person in people for kind in ("time", "stride") if kind == "time" or of_person[person]
    ]
    with house_style():
        widths = [3.2 if kind == "time" else 1.5 for _, kind in columns]
        figure = new_figure(1.2 + 1.65 * sum(widths), 0.9 + 1.55 * len(panels))
        axes = figure.subplots(
            len(panels), len(columns), squeeze=False, sharex="col", sharey="row", width_ratios=widths
        )
        for column, (person, kind) in enumerate(columns):
            for row, (name, lines) in enumerate(panels):
                ax = axes[row, column]
                for label, angle in lines.items():
                    if angle not in angles:
                        continue
                    if kind == "time":
                        for i, rows in enumerate(people[person]):
                            ax.plot(time[rows], angles[angle][rows], label="" if i else label, **_STYLES[label])
                    else:
                        rows = np.concatenate(people[person])
                        _draw_strides(ax, time[rows], angles[angle][rows], label, of_person[person])
                if not column:
                    ax.set_ylabel(name.replace(" ", "\n", 1) + ", °")
                if kind == "time" and len(lines) == 2:
                    _mark_strikes(ax, of_person[person], lines)
            top = f"Person {person}" if len(people) > 1 else ""
            axes[0, column].set_title(top if kind == "time" else _said(of_person[person]))
            axes[-1, column].set_xlabel("s" if kind == "time" else "% of the stride")
        named = {label: line for ax in axes[:2, 0] for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        where = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0}
        axes[0, 0].legend(named.values(), named.keys(), ncols=4, columnspacing=1.0, handlelength=1.6, **where)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        return figure


def _leg(walk: Walk, label: str) -> Leg:
    """The leg that an angle is shown over the stride of: its own, the left one's in the middle."""
    return walk.right if label == "right" else walk.left


def _draw_strides(ax: Axes, time: Array, values: Array, label: str, walks: Sequence[Walk]) -> None:
    cycles = np.concatenate([strides(time, values, _leg(walk, label).strikes) for walk in walks])
    if not len(cycles):
        return
    style, share = _STYLES[label], np.linspace(0, 100, cycles.shape[1])
    for cycle in cycles:
        ax.plot(share, cycle, linewidth=0.7, alpha=0.45, **style)
    ax.plot(share, cycles.mean(axis=0), linewidth=2.4, **style)
    stance = np.array([_leg(walk, label).stance for walk in walks])
    if label in ("left", "right") and np.isfinite(stance).any():
        ax.axvline(100 * np.nanmean(stance), color=style["color"], linewidth=1.2, linestyle=":")
    ax.set_xlim(0, 100)


def _mark_strikes(ax: Axes, walks: Sequence[Walk], lines: Mapping[str, str]) -> None:
    for walk in walks:
        for label in set(lines) & {"left", "right"}:
            at = _leg(walk, label).strikes
            ax.plot(at, np.zeros(len(at)), "|", color=_STYLES[label]["color"], markersize=9, markeredgewidth=1.6,
                    transform=ax.get_xaxis_transform(), clip_on=False)  # fmt: skip


def _said(walks: Sequence[Walk]) -> str:
    return f"{np.median([walk.cadence for walk in walks]):.0f} steps/min"
