"""A contact sheet: random poses of a set side by side, to see at a glance whether it was read rightly.

Each tile shows the 2D keypoints, over the image where there is one, and the 3D joints from the front and from the side,
all to one scale over a grid of half metres.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton
from nearfar.viewing.clip import to_scene
from nearfar.viewing.figures import house_style, new_figure
from nearfar.viewing.pose_figure import INK, bare, draw_limbs
from nearfar.viewing.style import joint_sides

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["contact_sheet"]

Array = npt.NDArray[Any]

MOST_POSES = 60
TILES_ACROSS = {1: 6, 2: 4, 3: 3}
CELL, CAPTION, GAP, HEADER = 1.75, 0.38, 0.24, 0.62
GRID_MM = 500.0
PAPER = "#f1f3f6"
FAINT = "#6b7480"


def contact_sheet(
    poses: PoseSet,
    *,
    count: int = 12,
    seed: int = 0,
    images: Path | None = None,
    title: str | None = None,
) -> Figure:
    """Draw random poses of a set.

    Poses of a camera are seen as it sees them, and from the side with depth to the right; poses in the world are turned
    to face the viewer, and from the side they face to the right.

    Args:
        poses: the set, with keypoints, joints or both.
        count: poses to draw, 60 at most; all of them where there are fewer.
        seed: others draw others.
        images: folder that the image files named by `PoseSet.sequence` lie in; they are drawn behind the keypoints.
        title: the heading's first words.

    Raises:
        InputError: no poses, a count out of bounds, an image that cannot be read, or matplotlib is missing.
    """
    if not len(poses):
        raise InputError("contact sheet: there are no poses")
    if not 1 <= count <= MOST_POSES:
        raise InputError(f"contact sheet: expected 1..{MOST_POSES} poses, got {count}")
    rows = np.sort(np.random.default_rng(seed).permutation(len(poses))[:count])
    names = [*(["2D keypoints"] if poses.keypoints is not None else [])]
    if poses.joints is not None:
        names += ["3D, front", "3D, side"] if poses.frame == "world" else ["3D, camera's view", "3D, side (depth →)"]
    across = min(TILES_ACROSS[len(names)], len(rows))
    down = -(-len(rows) // across)
    tile = len(names) * CELL
    width, height = across * (tile + GAP) + GAP, HEADER + down * (CELL + CAPTION + GAP)
    with house_style():
        figure = new_figure(max(width, 6.0), height)
        figure.set_layout_engine("none")
        solid = _scenes(poses, rows)
        reach = _reach(solid)
        for i, row in enumerate(rows.tolist()):
            left = GAP + (i % across) * (tile + GAP)
            top = HEADER + (i // across) * (CELL + CAPTION + GAP)
            cells = iter(_cells(figure, len(names), left, top))
            if poses.keypoints is not None:
                _draw_flat(next(cells), poses.keypoints[row], poses.skeleton, _image(poses, row, images))
            for side, cell in enumerate(cells):
                _draw_solid(cell, poses, solid[i], reach, side=bool(side))
            _write(figure, left, top + CELL + 0.16, _caption(poses, row), tile)
        _head(figure, poses, rows, names, title)
        return figure


def _cells(figure: Figure, count: int, left: float, top: float) -> list[Axes]:
    """Squares in a row, from a corner in inches from the top left of the figure."""
    width, height = figure.get_size_inches()
    return [
        figure.add_axes(((left + i * CELL) / width, 1 - (top + CELL) / height, CELL / width, CELL / height))
        for i in range(count)
    ]


def _text(figure: Figure, left: float, top: float, text: str, **style: Any) -> None:
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - top / height, text, va="baseline", **style)


def _head(figure: Figure, poses: PoseSet, rows: Array, names: list[str], title: str | None) -> None:
    what = f"{len(rows)} of {len(poses):,} poses, skeleton {poses.skeleton.name}"
    _text(figure, GAP, 0.28, f"{title}:  {what}" if title else what, fontsize=12, fontweight="bold")
    for i, name in enumerate(names):
        _text(figure, GAP + i * CELL + 0.04, HEADER - 0.07, name, fontsize=8, color=FAINT)
    right = figure.get_size_inches()[0] - GAP
    _text(figure, right, HEADER - 0.07, "right", fontsize=8, color=INK["right"], ha="right", fontweight="bold")
    _text(figure, right - 0.36, HEADER - 0.07, "left", fontsize=8, color=INK["left"], ha="right", fontweight="bold")
    if poses.joints is not None and len(rows) > 1:
        _text(figure, right - 0.72, HEADER - 0.07, "grid 500 mm", fontsize=8, color=FAINT, ha="right")


def _caption(poses: PoseSet, row: int) -> tuple[str, str]:
    """What is done, and where it is from."""
    action = "" if poses.action is None else poses.action.names[poses.action.codes[row]]
    place = [] if poses.sequence is None else [poses.sequence.names[poses.sequence.codes[row]]]
    if poses.frame_index is not None:
        place.append(f"frame {int(poses.frame_index[row])}")
    if poses.person is not None and len(np.unique(poses.person)) > 1:
        place.append(f"person {int(poses.person[row])}")
    return (action or f"row {row}"), "  ".join(place or ([f"row {row}"] if action else []))


def _write(figure: Figure, left: float, top: float, lines: tuple[str, str], room: float) -> None:
    most = int(room * 16)
    for i, line in enumerate(lines):
        half = (most - 1) // 2
        short = line if len(line) <= most else f"{line[:half]}…{line[-half:]}"
        _text(
            figure, left + 0.04, top + 0.15 * i, short, fontsize=7.5, color=FAINT if i else "#30363d", parse_math=False
        )


def _draw_flat(ax: Axes, keypoints: Array, skeleton: Skeleton, image: Array | None) -> None:
    points = np.array(keypoints, dtype=np.float64)
    seen = points[np.isfinite(points).all(axis=1)]
    if len(seen):
        middle, half = (seen.max(axis=0) + seen.min(axis=0)) / 2, 0.62 * max(np.ptp(seen, axis=0).max(), 1)
        ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half))
        if image is not None:
            _show(ax, image, middle - half, middle + half)
        draw_limbs(ax, points, skeleton, range(len(skeleton.limbs)), width=2.0)
    else:
        _say_nothing_is_there(ax)
    ax.set_aspect("equal")
    ax.set_facecolor(PAPER)
    bare(ax)


def _show(ax: Axes, image: Array, low: Array, high: Array) -> None:
    """The part of an image within bounds, in pixels."""
    size = np.array(image.shape[1::-1])
    x0, y0 = np.clip(np.floor(low), 0, size).astype(int)
    x1, y1 = np.clip(np.ceil(high), 0, size).astype(int)
    if x1 > x0 and y1 > y0:
        limits = ax.get_xlim(), ax.get_ylim()
        ax.imshow(image[y0:y1, x0:x1], extent=(x0, x1, y1, y0), zorder=0)
        ax.set(xlim=limits[0], ylim=limits[1])


def _image(poses: PoseSet, row: int, images: Path | None) -> Array | None:
    from nearfar.media import is_image, read_frames

    if images is None or poses.sequence is None:
        return None
    path = images / poses.sequence.names[poses.sequence.codes[row]]
    if not (is_image(path) and path.is_file()):
        return None
    return next(iter(read_frames(path))).image


def _scenes(poses: PoseSet, rows: Array) -> Array:
    """(n, J, 3) the drawn poses, to the right, up and near, their middle at the origin."""
    if poses.joints is None:
        return np.zeros((len(rows), 0, 3))
    scene = to_scene(poses.joints[rows], world=poses.frame == "world")
    seen = np.isfinite(scene).all(axis=-1, keepdims=True)
    low = np.where(seen, scene, np.inf).min(axis=1, keepdims=True, initial=1e9)
    high = np.where(seen, scene, -np.inf).max(axis=1, keepdims=True, initial=-1e9)
    scene = scene - (low + high) / 2
    return _facing(scene, poses.skeleton) if poses.frame == "world" else scene


def _facing(scene: Array, skeleton: Skeleton) -> Array:
    """Turned about the vertical until the person's left is the viewer's right, where both sides are there."""
    sides = np.array(joint_sides(skeleton))
    seen = np.isfinite(scene).all(axis=-1)
    middle = {}
    for side in ("left", "right"):
        mine = seen & (sides == side)
        count = mine.sum(axis=1, keepdims=True)
        middle[side] = np.where(mine[..., None], scene, 0).sum(axis=1) / np.where(count, count, np.nan)
    across = middle["left"] - middle["right"]
    length = np.hypot(across[:, 0], across[:, 2])
    turn = length > 0
    cos = np.divide(across[:, 0], length, out=np.ones(len(scene)), where=turn)[:, None]
    sin = np.divide(across[:, 2], length, out=np.zeros(len(scene)), where=turn)[:, None]
    x, y, z = np.moveaxis(scene, -1, 0)
    return np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=-1)


def _reach(scene: Array) -> float:
    """Half the side of a cell, mm: the largest pose, but a broken one must not make dots of the others."""
    extent = np.nan_to_num(np.abs(scene)).max(axis=(1, 2), initial=0.0)
    extent = extent[extent > 0]
    return 1.12 * float(min(extent.max(), 2.5 * np.median(extent))) if len(extent) else 1000.0


def _draw_solid(ax: Axes, poses: PoseSet, scene: Array, reach: float, *, side: bool) -> None:
    x, y, z = scene.T
    if side:  # of a camera with depth to the right; of the world with the person facing right
        x, z = (z, -x) if poses.frame == "world" else (-z, x)
    if not np.isfinite(scene).all(axis=1).any():
        _say_nothing_is_there(ax)
    for at in np.arange(-10, 11) * GRID_MM:
        if abs(at) < reach:
            ax.axhline(at, color="#e4e7eb", linewidth=0.6, zorder=0)
            ax.axvline(at, color="#e4e7eb", linewidth=0.6, zorder=0)
    depth = np.nan_to_num(z)[poses.skeleton.limb_joints].mean(axis=1)
    draw_limbs(ax, np.stack([x, y], axis=1), poses.skeleton, [int(i) for i in np.argsort(depth)], width=2.0)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    bare(ax)


def _say_nothing_is_there(ax: Axes) -> None:
    ax.text(0.5, 0.5, "all missing", transform=ax.transAxes, ha="center", va="center", fontsize=8, color=FAINT)
