"""The drawings of docs/method.md: what an answer and a limb say of a joint, and a pose turned before the same camera.

    python benchmarks/method_figures.py --out docs/images

The person is a synthetic one; lifted by the weights `default` for the second drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import tyro

from nearfar import load, synthetic_poses
from nearfar.camera import keypoints_to_rays
from nearfar.lifting.turning import random_turns, turned_view
from nearfar.poses import PoseSet
from nearfar.viewing.figures import house_style, new_figure, save_figure
from nearfar.viewing.style import CYCLE, LEFT, RIGHT, limb_sides

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[Any]
COLOURS = {"left": LEFT, "right": RIGHT, "centre": "#30363d"}


@dataclass(frozen=True)
class Arguments:
    """Draw."""

    out: Path = Path("docs/images")
    """Folder of the pictures."""
    weights: str = "default"
    """What lifts the person."""
    seed: int = 165
    """Of person, camera and turns."""
    row: int = 108
    """Which pose of 400."""


def draw_person(ax: Axes, poses: PoseSet, points: Array) -> None:
    """Limbs between points (J, 2), the person's left and right in their colours."""
    for limb, side in zip(poses.skeleton.limbs, limb_sides(poses.skeleton), strict=True):
        ax.plot(*points[[limb.parent, limb.child]].T, color=COLOURS[side], linewidth=3, solid_capstyle="round")
    ax.plot(*points.T, "o", color="#30363d", markersize=3.5)
    ax.set_aspect("equal")


def answer_figure(poses: PoseSet, path: Path) -> None:
    """The picture, and from above: the elbow's ray and the wrist's, and the two places that the forearm allows."""
    joints, keypoints = _of(poses.joints)[0], _of(poses.keypoints)[0]
    name = poses.skeleton.joints.index
    elbow, wrist = name("left_elbow"), name("left_wrist")
    length = np.linalg.norm(joints[wrist] - joints[elbow])
    ray = np.array([*keypoints_to_rays(keypoints[None], _of(poses.intrinsics))[0, wrist], 1.0])
    # |t ray - elbow| = length: two depths t.
    a, b, c = ray @ ray, -2 * ray @ joints[elbow], joints[elbow] @ joints[elbow] - length**2
    depths = (-b + np.array([-1, 1]) * np.sqrt(max(b * b - 4 * a * c, 0))) / (2 * a)
    with house_style():
        figure = new_figure(9.0, 4.2)
        picture, above = figure.subplots(1, 2, width_ratios=(1, 1.5))
        draw_person(picture, poses, keypoints)
        picture.plot(*keypoints[elbow], "o", color=CYCLE[0], markersize=11, label="A, the elbow")
        picture.plot(*keypoints[wrist], "s", color=CYCLE[4], markersize=10, label="B, the wrist")
        picture.invert_yaxis()
        picture.set(title="The picture", xticks=[], yticks=[])
        picture.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0))
        middle = np.array([joints[elbow, 0], joints[elbow, 2]])
        near, far = middle[1] + 1.6 * length * np.array([-1, 1])
        for joint, colour in ((elbow, CYCLE[0]), (wrist, CYCLE[4])):
            slope = joints[joint, 0] / joints[joint, 2]
            above.plot([slope * near, slope * far], [near, far], color=colour, linewidth=1.2, linestyle=":")
        above.plot(joints[elbow, 0], joints[elbow, 2], "o", color=CYCLE[0], markersize=11)
        truth = int(np.argmin(np.abs(depths - joints[wrist, 2])))
        for number, depth in enumerate(depths):
            place = depth * ray
            right = number == truth
            above.plot(
                [joints[elbow, 0], place[0]], [joints[elbow, 2], place[2]],
                color="#30363d", linewidth=2.5 if right else 1.2, linestyle="-" if right else "--",
            )  # fmt: skip
            above.plot(place[0], place[2], "s", color=CYCLE[4], markersize=10, alpha=1.0 if right else 0.45)
            words = "B, if the answer is right" if right else "B otherwise: as long a\nforearm, the same picture"
            above.annotate(
                words,
                (place[0], place[2]),
                xytext=(-12 if ray[0] < middle[0] / middle[1] else 12, 0),
                textcoords="offset points",
                va="center",
                ha="right" if ray[0] < middle[0] / middle[1] else "left",
                fontsize=9.5,
            )
        above.set_aspect("equal")
        above.set(xlim=middle[0] + 1.9 * length * np.array([-1, 1]), ylim=(near, far))
        above.set(title="From above", xlabel="x, mm", ylabel="z, mm (the camera is below)")
        save_figure(figure, path)


def turning_figure(poses: PoseSet, arguments: Arguments, path: Path) -> None:
    """The keypoints, and the pose that they are lifted to before the same camera, turned."""
    network = load(arguments.weights).network
    keypoints, intrinsics = (torch.from_numpy(_of(array).copy()) for array in (poses.keypoints, poses.intrinsics))
    with torch.no_grad():
        lifted = network.lift(keypoints, intrinsics)
    turns = random_turns(4, 6.0, torch.Generator().manual_seed(arguments.seed))
    views = [turned_view(lifted, turn[None], intrinsics)[0][0].numpy() for turn in turns]
    with house_style():
        figure = new_figure(9.0, 2.6)
        axes = figure.subplots(1, 1 + len(views))
        size = 0.55 * np.ptp(_of(poses.keypoints)[0], axis=0).max()
        for ax, points in zip(axes, [_of(poses.keypoints)[0], *views], strict=True):
            draw_person(ax, poses, points)
            middle = (points.min(0) + points.max(0)) / 2
            ax.set(xlim=middle[0] + size * np.array([-1, 1]), ylim=middle[1] + size * np.array([1, -1]))
            ax.set(xticks=[], yticks=[])
        axes[0].set_title("seen, and lifted")
        axes[1].set_title("turned: samples whose 3D is known")
        save_figure(figure, path)


def _of(array: Array | None) -> Array:
    if array is None:
        raise ValueError("synthetic poses have joints, keypoints and intrinsics")
    return np.asarray(array)


def main() -> None:
    """Make the person, draw."""
    arguments = tyro.cli(Arguments)
    poses = synthetic_poses(400, seed=arguments.seed).select(slice(arguments.row, arguments.row + 1))
    answer_figure(poses, arguments.out / "method_answer.png")
    turning_figure(poses, arguments, arguments.out / "method_turned.png")


if __name__ == "__main__":
    main()
