"""The synthetic people: degrees of freedom with their limits, segment lengths, and forward kinematics.

Body frame: x to the person's front, y to the person's left, z up. Angles are degrees in anatomical terms, so that
left and right share one table. A pose is a row of `DOFS` columns; paired ones hold (left, right).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["COLUMNS", "DOFS", "LIMITS", "Bodies", "Dof", "clamp", "forward_kinematics", "mirror_pose", "sample_bodies"]

Array = npt.NDArray[Any]

SIDES = np.array([1.0, -1.0])
"""Sign of the y axis for (left, right)."""


class Dof(NamedTuple):
    """One degree of freedom.

    Attributes:
        name: what moves, and which way is positive.
        low: least value (degrees, or leg lengths or mm where docs/synthetic.md says so).
        high: greatest value.
        paired: two columns, left and right.
        odd: changes sign in a mirror (unpaired only).
    """

    name: str
    low: float
    high: float
    paired: bool = False
    odd: bool = False


# Ranges of motion: AAOS (1965), Norkin & White (2016) for limbs and neck; Kapandji (2008) for the two trunk segments;
# deep squatting and kneeling to 130 degrees of hip and 155 of knee flexion (Hemmerich et al. 2006); the collar bone
# after Ludewig et al. (2009).
DOFS = (
    Dof("clavicle_elevation", -10, 40, paired=True),
    Dof("clavicle_protraction", -25, 30, paired=True),
    Dof("shoulder_flexion", -60, 175, paired=True),
    Dof("shoulder_abduction", -45, 175, paired=True),
    Dof("shoulder_rotation", -90, 80, paired=True),  # internal is positive
    Dof("elbow_flexion", 0, 150, paired=True),
    Dof("hip_flexion", -30, 130, paired=True),
    Dof("hip_abduction", -30, 45, paired=True),
    Dof("hip_rotation", -45, 45, paired=True),  # internal is positive
    Dof("knee_flexion", 0, 155, paired=True),
    Dof("ankle_dorsiflexion", -50, 35, paired=True),
    Dof("pelvis_tilt", -180, 180),  # forward is positive; -90 is lying on the back
    Dof("pelvis_roll", -60, 60, odd=True),  # to the right is positive
    Dof("pelvis_turn", -180, 180, odd=True),  # about the body's long axis, relative to the heading
    Dof("lumbar_flexion", -30, 60),
    Dof("lumbar_bend", -25, 25, odd=True),
    Dof("lumbar_twist", -10, 10, odd=True),
    Dof("thorax_flexion", -25, 45),
    Dof("thorax_bend", -25, 25, odd=True),
    Dof("thorax_twist", -35, 35, odd=True),
    Dof("neck_flexion", -30, 40),
    Dof("neck_bend", -25, 25, odd=True),
    Dof("neck_twist", -35, 35, odd=True),
    Dof("head_flexion", -20, 20),
    Dof("head_bend", -15, 15, odd=True),
    Dof("head_twist", -35, 35, odd=True),
    # How the body stands in the world.
    Dof("planted", 0, 1, paired=True),  # 1: the leg reaches for its place on the floor; 0: by its angles alone
    Dof("foot_forward", -0.6, 0.8, paired=True),  # places of the feet, in leg lengths from the point between them
    Dof("foot_out", -0.1, 0.6, paired=True),
    Dof("pelvis_height", 0.12, 0.995),  # hips above ankles, in leg lengths, over planted feet
    Dof("balance", 0, 1),  # 1: the centre of mass is kept over the feet; 0: something else carries (a chair)
    Dof("sway_forward", -0.5, 0.5),
    Dof("sway_side", -0.5, 0.5, odd=True),
    Dof("lift", 0, 0.8),  # flight, in leg lengths
    Dof("turn_rate", -240, 240, odd=True),  # of the heading, degrees a second, to the left
)

_WIDTH = np.array([1 + dof.paired for dof in DOFS])
_START = np.cumsum(_WIDTH) - _WIDTH
COLUMNS = {dof.name: slice(int(a), int(a + w)) for dof, a, w in zip(DOFS, _START, _WIDTH, strict=True)}
"""Columns of a pose by name: two where paired, (left, right)."""
LIMITS = np.repeat(np.array([(dof.low, dof.high) for dof in DOFS], float), _WIDTH, axis=0).T
"""(2, D) least and greatest value of every column."""
_MIRROR_FROM = np.concatenate([np.arange(a, a + w)[::-1] for a, w in zip(_START, _WIDTH, strict=True)])
_MIRROR_SIGN = np.repeat([-1.0 if dof.odd else 1.0 for dof in DOFS], _WIDTH)
_SHOULDER = slice(COLUMNS["shoulder_flexion"].start, COLUMNS["shoulder_abduction"].stop)
_MAX_ELEVATION = 175.0


def mirror_pose(pose: Array) -> Array:
    """(..., D) poses with left and right exchanged."""
    return np.asarray(pose[..., _MIRROR_FROM] * _MIRROR_SIGN)


def clamp(pose: Array) -> Array:
    """(..., D) poses brought inside the joint limits; the arm's elevation is limited as a whole, too."""
    out: Array = np.clip(pose, LIMITS[0], LIMITS[1])
    arms: Array = out[..., _SHOULDER].reshape(*out.shape[:-1], 2, 2)  # (flexion, abduction) x (left, right)
    elevation = np.linalg.norm(arms, axis=-2, keepdims=True)
    arms = arms * np.minimum(1, _MAX_ELEVATION / np.maximum(elevation, 1e-9))
    out[..., _SHOULDER] = arms.reshape(*out.shape[:-1], 4)
    return out


@dataclass(frozen=True)
class Bodies:
    """Segment lengths (mm) and resting posture (degrees) of N people, each (N,)."""

    thigh: Array
    shank: Array
    ankle_height: Array
    foot: Array
    hip_half: Array
    spine_low: Array
    spine_high: Array
    neck: Array
    head: Array
    shoulder_half: Array
    shoulder_drop: Array
    upper_arm: Array
    forearm: Array
    lumbar_rest: Array
    thorax_rest: Array
    neck_rest: Array

    @property
    def leg(self) -> Array:
        """Hip to ankle, straight."""
        return np.asarray(self.thigh + self.shank)

    def take(self, rows: Array) -> Bodies:
        """Some of the people, or one a row."""
        return Bodies(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def sample_bodies(rng: np.random.Generator, n: int) -> Bodies:
    """Draw n adults: stature by sex (ANSUR II), segments as shares of it (Drillis & Contini, Winter), each varied.

    The hips and shoulders range from the joints' centres to where annotators and detectors tend to put them.
    """
    woman = rng.random(n) < 0.5
    stature = np.where(woman, rng.normal(1629, 64, n), rng.normal(1756, 69, n))

    def share(of_stature: float, variation: float) -> Array:
        return np.asarray(
            stature * of_stature * np.clip(rng.normal(1, variation, n), 1 - 3 * variation, 1 + 3 * variation)
        )

    trunk = share(0.288, 0.04)
    waist = np.clip(rng.normal(0.48, 0.025, n), 0.42, 0.54)
    head = share(0.139, 0.06)
    chin = np.clip(rng.normal(0.47, 0.05, n), 0.35, 0.6)
    lumbar = rng.normal(2, 4, n)
    return Bodies(
        thigh=share(0.245, 0.035),
        shank=share(0.246, 0.035),
        ankle_height=share(0.039, 0.08),
        foot=share(0.115, 0.06),
        hip_half=stature * rng.uniform(0.05, 0.078, n),
        spine_low=trunk * waist,
        spine_high=trunk * (1 - waist),
        neck=head * chin,
        head=head * (1 - chin),
        shoulder_half=stature * np.where(woman, 0.095, 0.1) * np.clip(rng.normal(1, 0.08, n), 0.8, 1.2),
        shoulder_drop=stature * rng.uniform(-0.005, 0.02, n),
        upper_arm=share(0.172, 0.045),
        forearm=share(0.146, 0.045),
        lumbar_rest=lumbar,
        thorax_rest=rng.normal(2, 4, n) - lumbar,
        neck_rest=rng.normal(15, 8, n),
    )


def rotation(axis: int, degrees: Array) -> Array:
    """(..., 3, 3) rotation about a coordinate axis, right-handed."""
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    out = np.zeros((*angle.shape, 3, 3))
    out[..., axis, axis] = 1
    out[..., a, a] = out[..., b, b] = c
    out[..., b, a], out[..., a, b] = s, -s
    return out


def _swing(flexion: Array, outward: Array) -> Array:
    """(..., 3, 3) rotation that raises a hanging arm by a horizontal rotation vector, without twist (degrees)."""
    x, y = np.deg2rad(outward), np.deg2rad(-flexion)
    angle = np.hypot(x, y)
    x, y = x / np.maximum(angle, 1e-12), y / np.maximum(angle, 1e-12)
    c, s = np.cos(angle), np.sin(angle)
    rows = [
        [c + x * x * (1 - c), x * y * (1 - c), y * s],
        [x * y * (1 - c), c + y * y * (1 - c), -x * s],
        [-y * s, x * s, c],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def pelvis_rotation(pose: Array) -> Array:
    """(N, 3, 3) pelvis to heading frame."""
    tilt, roll, turn = (pose[:, COLUMNS[f"pelvis_{name}"].start] for name in ("tilt", "roll", "turn"))
    return np.asarray(rotation(1, tilt) @ rotation(0, roll) @ rotation(2, turn))


def _spine_rotation(pose: Array, segment: str, rest: Array | float = 0.0) -> Array:
    flexion, bend, twist = (pose[:, COLUMNS[f"{segment}_{name}"].start] for name in ("flexion", "bend", "twist"))
    return np.asarray(rotation(2, twist) @ rotation(1, flexion + rest) @ rotation(0, bend))


FULL: Skeleton = get_skeleton("human19")
"""The skeleton that the kinematics fill."""


def forward_kinematics(pose: Array, body: Bodies) -> Array:
    """Joints of N poses: (N, 19, 3) mm on the skeleton human19, the middle of the hips at the origin, heading along x.

    The thorax and its arms hang on two bending trunk segments, the head on two more. An arm's direction is that of
    the upper arm against the thorax; the collar bone follows it (scapulohumeral rhythm, about a fifth of the elevation;
    Ludewig et al. 2009). Every limb keeps its length.
    """
    joints = np.zeros((len(pose), FULL.num_joints, 3))

    def put(name: str, value: Array) -> Array:
        joints[:, FULL.index(name)] = value
        return value

    def both(name: str, value: Array) -> Array:
        put(f"left_{name}", value[:, 0])
        put(f"right_{name}", value[:, 1])
        return value

    def pair(name: str) -> Array:
        return np.asarray(pose[:, COLUMNS[name]])

    pelvis = pelvis_rotation(pose)
    lumbar = pelvis @ _spine_rotation(pose, "lumbar", body.lumbar_rest)
    thorax = lumbar @ _spine_rotation(pose, "thorax", body.thorax_rest)
    neck = thorax @ _spine_rotation(pose, "neck", body.neck_rest)
    head = neck @ _spine_rotation(pose, "head", -0.6 * body.neck_rest)
    spine = put("mid_spine", lumbar[..., 2] * body.spine_low[:, None])
    collar = put("neck", spine + thorax[..., 2] * body.spine_high[:, None])
    chin = put("chin", collar + neck[..., 2] * body.neck[:, None])
    put("head_top", chin + head[..., 2] * body.head[:, None])

    flexion, abduction = pair("shoulder_flexion"), pair("shoulder_abduction")
    raised = np.maximum(0, np.hypot(flexion, abduction) - 30)
    elevation = np.minimum(pair("clavicle_elevation") + 0.2 * raised, 45)
    protraction = np.clip(pair("clavicle_protraction") + 0.12 * flexion, -30, 35)
    collar_bone = rotation(2, -SIDES * protraction) @ rotation(0, SIDES * elevation)
    reach = np.stack([0 * body.thigh, body.shoulder_half, -body.shoulder_drop], axis=-1)[:, None] * np.stack(
        [SIDES**2, SIDES, SIDES**2], axis=-1
    )
    thorax_both = thorax[:, None]
    shoulder = both("shoulder", collar[:, None] + (thorax_both @ collar_bone @ reach[..., None])[..., 0])
    upper = thorax_both @ _swing(flexion, SIDES * abduction) @ rotation(2, -SIDES * pair("shoulder_rotation"))
    elbow = both("elbow", shoulder - upper[..., 2] * body.upper_arm[:, None, None])
    both("wrist", elbow - _bent(upper, -pair("elbow_flexion")) * body.forearm[:, None, None])

    hip = both("hip", pelvis[:, None, :, 1] * (SIDES * body.hip_half[:, None])[..., None])
    thigh = pelvis[:, None] @ rotation(1, -pair("hip_flexion")) @ rotation(0, SIDES * pair("hip_abduction"))
    thigh = thigh @ rotation(2, -SIDES * pair("hip_rotation"))
    knee = both("knee", hip - thigh[..., 2] * body.thigh[:, None, None])
    shank = thigh @ rotation(1, pair("knee_flexion"))
    ankle = both("ankle", knee - shank[..., 2] * body.shank[:, None, None])
    foot = shank @ rotation(1, -_flat_ankle(pair("planted"), pair("ankle_dorsiflexion"), shank))
    sole = np.stack([body.foot, 0 * body.foot, 25.0 - body.ankle_height], axis=-1)
    both("foot_tip", ankle + (foot @ sole[:, None, :, None])[..., 0])
    return joints


def _bent(rotations: Array, degrees: Array) -> Array:
    """The z axis of ``rotations @ rotation(1, degrees)``."""
    angle = np.deg2rad(degrees)[..., None]
    return np.asarray(rotations[..., 0] * np.sin(angle) + rotations[..., 2] * np.cos(angle))


def _flat_ankle(planted: Array, dorsiflexion: Array, shank: Array) -> Array:
    """Ankle angle: as given, or as far as planted, such that the foot lies flat on the floor."""
    flat = np.rad2deg(np.arctan2(-shank[..., 2, 0], shank[..., 2, 2]))
    low, high = LIMITS[:, COLUMNS["ankle_dorsiflexion"].start]
    return np.asarray(dorsiflexion + planted * (np.clip(flat, low, high) - dorsiflexion))
