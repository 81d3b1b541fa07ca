"""Joint angles of a `PoseSet`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.angles.joint_angles import joint_angles, segment_frames
from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.sequences import clips

__all__ = ["checked_joints", "pose_angles", "upwards"]

Array = npt.NDArray[Any]


def pose_angles(poses: PoseSet, *, up: npt.ArrayLike | None = None, fps: float = 30.0) -> dict[str, Array]:
    """Joint angles of every pose, in degrees; see `nearfar.angles.joint_angles` for what is NaN.

    The pelvis's rotation is measured from its mean heading within a clip (`nearfar.sequences.clips`); rows in no clip
    have none.

    Args:
        poses: N poses with 3D joints in any frame.
        up: (3,) upwards in the axes of the joints; by default `upwards(poses)`.
        fps: frames a second that `frame_index` counts, where there is no `time`.

    Returns:
        Angle -> (N,) degrees.

    Raises:
        InputError: the poses have no joints, or the skeleton has no joint angles.
    """
    joints = checked_joints(poses)
    vertical = upwards(poses) if up is None else np.asarray(up, dtype=np.float64)
    forward = np.full((len(poses), 3), np.nan)
    if (pelvis := segment_frames(joints, poses.skeleton).get("pelvis")) is not None:
        for clip in clips(poses, fps):
            ahead = np.cross(vertical, pelvis[clip.rows, :, 2])  # horizontal
            known = np.isfinite(ahead).all(axis=-1)
            if known.any():
                forward[clip.rows] = ahead[known].mean(axis=0)
    return joint_angles(joints, poses.skeleton, up=vertical, forward=forward)


def upwards(poses: PoseSet) -> Array:
    """(3,) upwards in the axes of the joints: z of the world; before a camera its -y, as if the camera were level."""
    return np.array([0.0, 0.0, 1.0] if poses.frame == "world" else [0.0, -1.0, 0.0])


def checked_joints(poses: PoseSet) -> Array:
    """The (N, J, 3) joints.

    Raises:
        InputError: there are none.
    """
    if poses.joints is None:
        raise InputError("joint angles need 3D joints, and these poses have none: lift them first")
    return np.asarray(poses.joints, dtype=np.float64)
