"""Poses in a notebook: what `PoseSet._repr_html_` shows."""

from __future__ import annotations

import html

import numpy as np

from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.viewing.viewer import viewer_html

__all__ = ["notebook_html"]

MOST_POSES = 1000
"""Poses that are drawn: a notebook keeps what it shows."""

HEIGHT = 540
"""Pixels of the viewer."""


def notebook_html(poses: PoseSet) -> str:
    """What the poses are, and the viewer of the first clip of them, in a frame that asks the network for nothing.

    Without JavaScript, and where a site removes frames from notebooks, the words remain.
    """
    lines = [_summary(poses)]
    shown = _first_clip(poses)
    try:
        page = viewer_html(shown, title="")
    except InputError as error:
        lines.append(f"Not drawn: {error}.")
        return _paragraphs(lines)
    if len(shown) < len(poses):
        lines.append(
            f"Drawn: the first {len(shown)}{_named(shown)}. write_viewer(poses, ...) makes a page of any clip."
        )
    frame = (
        f'<iframe sandbox="allow-scripts" title="Poses in 3D" srcdoc="{html.escape(page)}" '
        f'style="width: 100%; height: {HEIGHT}px; border: 1px solid #8888; border-radius: 6px"></iframe>'
    )
    return _paragraphs(lines) + frame


def _summary(poses: PoseSet) -> str:
    skeleton = poses.skeleton
    parts = [f"{_some(len(poses), 'pose', 'poses')} of {skeleton.num_joints} joints ({skeleton.name})"]
    if poses.person is not None:
        parts.append(_some(len(np.unique(poses.person)), "person", "people"))
    if poses.sequence is not None:
        parts.append(_some(len(np.unique(poses.sequence.codes)), "sequence", "sequences"))
    if poses.joints is not None:
        found = np.isfinite(poses.joints).all(axis=-1).mean() if len(poses) else 1.0
        parts.append(f"3D joints in mm, frame {poses.frame!r}, {found:.0%} of them present")
    if poses.keypoints is not None:
        parts.append("2D keypoints in pixels")
    return "PoseSet: " + "; ".join(parts) + "."


def _some(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _first_clip(poses: PoseSet) -> PoseSet:
    if poses.sequence is not None and len(poses):
        poses = poses.select(poses.sequence.codes == poses.sequence.codes[0])
    if len(poses) <= MOST_POSES:
        return poses
    if poses.frame_index is None:
        return poses.select(slice(0, MOST_POSES))
    last = np.sort(poses.frame_index)[MOST_POSES - 1]  # whole frames, whatever the order of rows
    rows = np.flatnonzero(poses.frame_index <= last)
    return poses.select(rows[:MOST_POSES])


def _named(poses: PoseSet) -> str:
    return "" if poses.sequence is None else f", of {poses.sequence.names[poses.sequence.codes[0]]!r}"


def _paragraphs(lines: list[str]) -> str:
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)
