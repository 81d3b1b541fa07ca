"""Biovision hierarchy files (.bvh): centimetres, y up, one person facing +z in a T-pose at rest.

The ROOT has three position channels, which stand for its OFFSET, and every node three angles in degrees, by default in
the order Zrotation Xrotation Yrotation: R = R_z R_x R_y about the axes of the moving frame, the first outermost. Of the
orders possible this is the one whose middle angle stays farthest from 90 degrees, where angles become ambiguous, for
arms that hang (about z) and elbows that bend (about y) from a T-pose. Angles do not jump from frame to frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearfar.errors import InputError
from nearfar.export.motion import Motion, motions
from nearfar.export.rotations import continuous_euler
from nearfar.files import write_text
from nearfar.poses import PoseSet

__all__ = ["bvh_text", "write_bvh"]

_CM = 0.1  # of a millimetre


def write_bvh(
    poses: PoseSet, path: str | Path, *, fps: float | None = None, person: int | None = None, order: str = "zxy"
) -> tuple[str, ...]:
    """Write one person of a clip as a BVH file, whole or not at all.

    Args:
        poses: one clip.
        path: the file.
        fps: frames a second; by default the clip's own.
        person: which, where there are several.
        order: of the angles, outermost first: three different letters of "xyz".

    Returns:
        What was done on the way: gaps filled, resampled.

    Raises:
        InputError: as `nearfar.export.motion.motions`, several people, or no such order.
    """
    people = motions(poses, fps, person)
    if len(people) > 1:
        names = ", ".join(motion.name for motion in people)
        raise InputError(f"{path}: a BVH file holds one person, and these poses have {len(people)} ({names})")
    write_text(path, bvh_text(people[0], order))
    return people[0].notes


def bvh_text(motion: Motion, order: str = "zxy") -> str:
    """The file's text (`write_bvh`)."""
    if sorted(order.lower()) != ["x", "y", "z"]:
        raise InputError(f"order of angles: expected three different letters of xyz, such as zxy, got {order!r}")
    armature = motion.armature
    ends = armature.ends if len(armature) > 1 else np.zeros(1, dtype=bool)
    turns = " ".join(f"{axis}rotation" for axis in order.upper())
    lines, depth = ["HIERARCHY"], [0] * len(armature)
    for node, (parent, name) in enumerate(zip(armature.parents, armature.names, strict=True)):
        depth[node] = 0 if parent < 0 else depth[parent] + 1
        lines += _closed(depth[node - 1] if node else -1, depth[node])
        inside = "\t" * depth[node]
        lines += [inside + ("End Site" if ends[node] else f"{'JOINT' if node else 'ROOT'} {name}"), inside + "{"]
        lines.append(inside + "\tOFFSET " + " ".join(f"{value:.5f}" for value in armature.offsets[node] * _CM + 0.0))
        if not ends[node]:
            places = "" if node else "Xposition Yposition Zposition "
            lines.append(inside + f"\tCHANNELS {6 if not node else 3} {places}{turns}")
    lines += _closed(depth[-1], 0)
    angles = continuous_euler(motion.rotations[:, ~ends], order)
    values = np.concatenate([motion.root * _CM, angles.reshape(len(angles), -1)], axis=1) + 0.0  # no "-0"
    row = " ".join(["%.5f"] * values.shape[1])
    lines += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {1 / motion.fps:.9f}"]
    return "\n".join([*lines, *(row % tuple(frame) for frame in values.tolist())]) + "\n"


def _closed(inner: int, outer: int) -> list[str]:
    """Braces from a node at one depth to before a node at another."""
    return ["\t" * level + "}" for level in range(inner, outer - 1, -1)]
