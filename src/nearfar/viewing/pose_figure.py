"""Poses in a figure: rows are samples, columns the 2D input and what methods make of it in 3D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton
from nearfar.viewing.clip import to_scene
from nearfar.viewing.figures import house_style, new_figure
from nearfar.viewing.style import limb_sides

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bare", "draw_limbs", "pose_grid"]

Array = npt.NDArray[Any]

INK = {"left": "#1f8fd6", "right": "#e2650c", "centre": "#3a424d"}
MOST_ROWS = 12
FLOOR_MM = 700.0


def pose_grid(
    poses: Mapping[str, PoseSet],
    *,
    rows: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    turn: float = 40.0,
    tilt: float = 12.0,
) -> Figure:
    """Draw the same samples as several methods see them.

    The first column is the 2D input, of the first pose set that has keypoints; the others are the 3D poses, root on
    root and to one scale, turned so that depth shows.

    Args:
        poses: pose sets by title; row n of each is the same sample.
        rows: which rows to draw; by default at most 4, evenly chosen.
        names: what to call the drawn rows.
        turn: degrees by which 3D poses are turned about the vertical.
        tilt: degrees from which they are seen from above.

    Raises:
        InputError: nothing to draw, pose sets of different lengths, or too many rows.
    """
    length = _common_length(poses)
    chosen = np.unique(np.linspace(0, length - 1, min(4, length)).astype(int)) if rows is None else np.asarray(rows)
    if not 1 <= len(chosen) <= MOST_ROWS:
        raise InputError(f"pose grid: expected 1..{MOST_ROWS} rows, got {len(chosen)}")
    if chosen.min() < 0 or chosen.max() >= length:
        raise InputError(f"pose grid: rows must lie in 0..{length - 1}, got {int(chosen.min())}..{int(chosen.max())}")
    source = next((p for p in poses.values() if p.keypoints is not None), None)
    solid = {title: p for title, p in poses.items() if p.joints is not None}
    columns = (source is not None) + len(solid)
    with house_style():
        figure = new_figure(2.5 * columns, 2.5 * len(chosen) + 0.3)
        axes = figure.subplots(len(chosen), columns, squeeze=False)
        for line, row in zip(axes, chosen, strict=True):
            cells = iter(line)
            if source is not None and source.keypoints is not None:
                _draw_flat(next(cells), source.keypoints[row], source.skeleton)
            turned = {title: _turned(p, int(row), turn, tilt) for title, p in solid.items()}
            reach = _reach([points for points, _ in turned.values()])
            for title, (points, floor) in turned.items():
                _draw_solid(next(cells), points, floor, solid[title].skeleton, reach)
        for ax, title in zip(axes[0], [*(["2D input"] if source is not None else []), *solid], strict=True):
            ax.set_title(title, loc="center")
        for ax, name in zip(axes[:, 0], names or [], strict=False):
            ax.set_ylabel(name)
        return figure


def _common_length(poses: Mapping[str, PoseSet]) -> int:
    lengths = {title: len(p) for title, p in poses.items()}
    if not lengths or 0 in lengths.values():
        raise InputError("pose grid: nothing to draw")
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{title!r} {n}" for title, n in lengths.items())
        raise InputError(f"pose grid: pose sets of different lengths ({listed})")
    return next(iter(lengths.values()))


def _turned(poses: PoseSet, row: int, turn: float, tilt: float) -> tuple[Array, Array]:
    """(J, 3) a pose around its middle, to the right, up and near, and (4, 3) the corners of the ground below it."""
    scene = to_scene(np.asarray(poses.joints)[row], world=poses.frame == "world")
    seen = np.isfinite(scene).all(axis=1)
    if not seen.any():
        return scene, np.full((4, 3), np.nan)
    root = scene[poses.skeleton.root_index]
    scene = scene - (root if np.isfinite(root).all() else scene[seen].mean(axis=0))
    low = scene[seen][:, 1].min()
    corners = np.array([[x, low, z] for x, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))]) * [FLOOR_MM, 1, FLOOR_MM]
    a, b = np.deg2rad([turn, tilt])
    about = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    over = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return scene @ (over @ about).T, corners @ (over @ about).T


def _reach(turned: Sequence[Array]) -> tuple[float, float]:
    """Lowest and highest value to show, so that all poses of a row are drawn to one scale."""
    points = np.concatenate(turned)
    heights = points[np.isfinite(points).all(axis=1)][:, 1]
    return (float(heights.min()) - 220, float(heights.max()) + 120) if len(heights) else (-1000.0, 1000.0)


def _draw_flat(ax: Axes, points: Array, skeleton: Skeleton) -> None:
    draw_limbs(ax, points, skeleton, range(len(skeleton.limbs)))
    seen = points[np.isfinite(points).all(axis=1)]
    if len(seen):
        middle, half = (seen.max(axis=0) + seen.min(axis=0)) / 2, 0.58 * max(np.ptp(seen, axis=0).max(), 1)
        ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half))
    ax.set_aspect("equal")
    ax.set_facecolor("#f1f3f6")
    bare(ax)


def _draw_solid(ax: Axes, points: Array, floor: Array, skeleton: Skeleton, reach: tuple[float, float]) -> None:
    ax.fill(floor[:, 0], floor[:, 1], color="#eceff3", zorder=0)
    for part in np.linspace(0, 1, 5):
        for i in range(2):
            start = floor[i] + part * (floor[i + 1] - floor[i])
            end = floor[(i + 3) % 4] + part * (floor[i + 2] - floor[(i + 3) % 4])
            ax.plot([start[0], end[0]], [start[1], end[1]], color="#d5dae1", linewidth=0.8, zorder=1)
    depth = points[skeleton.limb_joints, 2].mean(axis=1)
    draw_limbs(ax, points[:, :2], skeleton, [int(i) for i in np.argsort(depth)])
    half = (reach[1] - reach[0]) / 2
    ax.set(xlim=(-half, half), ylim=reach, aspect="equal")
    bare(ax)


def draw_limbs(ax: Axes, points: Array, skeleton: Skeleton, order: Sequence[int], *, width: float = 3.0) -> None:
    """Draw the limbs of (J, 2) points in the given order, each with a white edge so that crossings read."""
    sides = limb_sides(skeleton)
    for rank, i in enumerate(order):
        ends = points[skeleton.limb_joints[i]]
        for wide, colour in ((width * 5 / 3, "white"), (width, INK[sides[i]])):
            ax.plot(*ends.T, color=colour, linewidth=wide, solid_capstyle="round", zorder=2 + rank)
    ax.plot(*points.T, "o", color="#20262d", markersize=width * 0.87, zorder=2 + len(sides))


def bare(ax: Axes) -> None:
    """Take ticks, grid and frame away."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
