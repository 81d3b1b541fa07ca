"""Joint angles in clinical terms, and what they say of gait (docs/angles.md)."""

from __future__ import annotations

from nearfar.angles.definitions import Definitions, angle_definitions
from nearfar.angles.gait import Leg, Walk, gait, gait_record, strides
from nearfar.angles.joint_angles import joint_angles, segment_frames, z_x_y
from nearfar.angles.through_time import pose_angles, upwards

__all__ = [
    "Definitions",
    "Leg",
    "Walk",
    "angle_definitions",
    "gait",
    "gait_record",
    "joint_angles",
    "pose_angles",
    "segment_frames",
    "strides",
    "upwards",
    "z_x_y",
]
