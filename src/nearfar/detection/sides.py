"""Left and right through time: a detector that takes one for the other, for some frames, is put right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.skeleton import Skeleton

__all__ = ["steady_sides"]

Array = npt.NDArray[np.floating[Any]]

TRUST = 0.5
"""What it costs to overrule the detector for a second, in sizes of the person that joints would have to jump."""
LONGEST_JUMP = 0.5
"""A joint that jumps farther than this (in sizes) was misplaced rather than mistaken for its mirror image."""
LONGEST_GAP = 0.2
"""Seconds without the person after which their sides are no longer compared."""


def steady_sides(keypoints: Array, sizes: Array, time: Array, skeleton: Skeleton) -> npt.NDArray[np.int64]:
    """Which joint is which, so that left and right do not change places from one frame to the next.

    For the whole body, then for each limb with its mirror image, every frame is kept or mirrored (left and right
    names exchanged) so that joints jump least between frames, with a cost for every mirrored frame: the shortest path
    through two states a frame (Viterbi). Short exchanges are undone; the detector is believed about long ones.

    Args:
        keypoints: (F, J, 2) pixels, the frames in which one person was found, in order of time; NaN where missing.
        sizes: (F,) pixels, the person's apparent size.
        time: (F,) seconds.
        skeleton: skeleton of the J joints.

    Returns:
        (F, J) such that ``np.take_along_axis(scores, order, axis=1)`` puts scores right, and likewise keypoints.
    """
    frames, joints = keypoints.shape[:2]
    order = np.tile(np.arange(joints), (frames, 1))
    mirrored = skeleton.mirror_permutation
    paired = np.flatnonzero(mirrored != np.arange(joints))
    for group in (paired, *_limbs(skeleton, paired)):
        current = np.take_along_axis(keypoints, order[..., None], axis=1)
        flips = _flips(current[:, group], current[:, mirrored[group]], sizes, time)
        order[np.ix_(flips, group)] = order[np.ix_(flips, mirrored[group])]
    return order


def _limbs(skeleton: Skeleton, paired: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """The joints with a mirror image, in groups that hang together by rigid limbs, each with its mirror image."""
    label = np.arange(skeleton.num_joints)
    links = [(limb.parent, limb.child) for limb in skeleton.limbs if limb.rigid and not limb.closes_loop]
    links += [(joint, int(skeleton.mirror_permutation[joint])) for joint in paired]
    for first, second in links:
        label[label == label[first]] = label[second]
    return [paired[label[paired] == name] for name in np.unique(label[paired])]


def _flips(own: Array, mirrored: Array, sizes: Array, time: Array) -> npt.NDArray[np.bool_]:
    """(F,) whether to mirror each frame; `own` and `mirrored` are (F, G, 2) joints of a group both ways round."""
    frames = len(own)
    states = np.stack([own, mirrored])
    # moved[t, a, b]: mean jump from frame t in state a to frame t + 1 in state b
    jumps = np.linalg.norm(states[:, None, :-1] - states[None, :, 1:], axis=-1) / sizes[1:, None]
    seen = np.isfinite(jumps)
    moved = np.where(seen, np.minimum(jumps, LONGEST_JUMP), 0.0).sum(axis=-1) / np.maximum(seen.sum(axis=-1), 1)
    step = np.diff(time)
    moved = np.where(step > LONGEST_GAP, 0.0, moved).transpose(2, 0, 1)
    price = TRUST * np.minimum(step, LONGEST_GAP)
    cost, came_from = np.zeros(2), np.zeros((frames, 2), np.int64)
    for t in range(1, frames):
        total = cost[:, None] + moved[t - 1]
        came_from[t] = total.argmin(axis=0)
        cost = total.min(axis=0) + np.array([0.0, price[t - 1]])
    flips = np.zeros(frames, np.bool_)
    state = int(cost.argmin())
    for t in reversed(range(frames)):
        flips[t] = state == 1
        state = int(came_from[t, state])
    return flips
