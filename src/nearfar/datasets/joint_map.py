"""Joint maps: which joints or markers of a motion file become the joints of a skeleton. A map is a TOML file.

```toml
skeleton = "h36m17"      # the skeleton that poses are read into
up = "y"                 # which of the file's axes is up: x, y, z, -x, -y, -z
unit_mm = 10.0           # mm in one of the file's units

[joints]                 # every joint of the skeleton
right_knee = "RightLeg"                               # a joint or marker of the file
right_hip = { mean = ["RASI", "RPSI"] }               # the middle of some
right_wrist = { weights = { RRAD = 1.3, RHUM = -0.3 } }   # a weighted sum; weights sum to one
neck = ["TRXP", { mean = ["C7", "CLAV"] }]            # the first of these whose parts the file has
```

Further keys: ``absent``, joints of the skeleton that such files do not have (they are missing in every pose);
``skip_frames``, how many frames at the start are no motion (a T-pose); ``source``, in words; and for BVH a table
``zero_offsets``, joints whose OFFSET is zero in the file for no good reason, with the joint whose OFFSET they take.
Names are those of the file; a subject in front (``Anna:RASI``) need not be written.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from nearfar.datasets.checks import coordinates
from nearfar.datasets.motion import Axis, to_z_up
from nearfar.errors import InputError
from nearfar.files import read_text
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["JointMap", "get_joint_map", "joint_map_names", "motion_poses"]

Array = npt.NDArray[Any]
Weights = Mapping[str, float]

_FRAMES_AT_ONCE = 4096  # bounds the memory that forward kinematics takes


@dataclass(frozen=True, eq=False)
class JointMap:
    """From the names of a motion file to the joints of a skeleton.

    Attributes:
        name: of the map.
        skeleton: what poses are read into.
        joints: for each joint of the skeleton that files have, alternatives: weights of the file's names, which sum to
            one. The first alternative whose names the file has is used.
        up: the file's axis that is up, or None where the files say it.
        unit_mm: mm in the file's unit, or None where the files say it.
        skip_frames: frames at the start of each file that are no motion.
        zero_offsets: for BVH: joints whose OFFSET is wrongly zero -> the joint whose OFFSET they take.
        source: where the naming was published.
    """

    name: str
    skeleton: Skeleton
    joints: Mapping[str, tuple[Weights, ...]]
    up: Axis | None = None
    unit_mm: float | None = None
    skip_frames: int = 0
    zero_offsets: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def weights(self, names: Sequence[str], where: str) -> Array:
        """(J, N) weights of a file's N names for the J joints of the skeleton; rows of NaN for absent joints.

        Args:
            names: the file's joints or markers.
            where: what the error message calls the file.

        Raises:
            InputError: the file lacks names that the map needs, or has two that may be meant; the message lists all.
        """
        known = _by_name(names)
        out = np.full((self.skeleton.num_joints, len(names)), np.nan)
        missing: dict[str, None] = {}
        for joint, alternatives in self.joints.items():
            usable = (parts for parts in alternatives if all(part in known for part in parts))
            if (parts := next(usable, None)) is None:
                missing |= dict.fromkeys(part for part in alternatives[-1] if part not in known)
                continue
            if unclear := [part for part in parts if len(known[part]) > 1]:
                several = [names[i] for i in known[unclear[0]]]
                raise InputError(f"{where}: joint map {self.name!r}: {unclear[0]!r} may be any of {several}")
            row = out[self.skeleton.index(joint)]
            row[:] = 0
            for part, weight in parts.items():
                row[known[part][0]] += weight
        if missing:
            raise InputError(
                f"{where}: joint map {self.name!r} needs {', '.join(missing)}, which the file does not have; "
                f"it has {_shortened(names)}"
            )
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> JointMap:
        """Build a map from the content of its TOML file.

        Args:
            data: see the module's text.
            where: the map's name, and what error messages call it.

        Raises:
            InputError: keys missing or unknown, unknown joints, joints left out, or values of another kind.
        """
        optional = {"up", "unit_mm", "skip_frames", "absent", "zero_offsets", "source"}
        if missing := sorted({"skeleton", "joints"} - data.keys()):
            raise InputError(f"{where}: missing keys {missing}")
        if unknown := sorted(data.keys() - optional - {"skeleton", "joints"}):
            raise InputError(f"{where}: unknown keys {unknown}; expected {sorted(optional | {'skeleton', 'joints'})}")
        if not isinstance(data["skeleton"], str):
            raise InputError(f"{where}: skeleton: expected a name, got {data['skeleton']!r}")
        try:
            skeleton = get_skeleton(data["skeleton"])
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        joints = _table(data["joints"], f"{where}: joints")
        absent = data.get("absent", [])
        if not isinstance(absent, list) or not all(isinstance(joint, str) for joint in absent):
            raise InputError(f"{where}: absent: expected a list of joints, got {absent!r}")
        if unknown := [joint for joint in (*joints, *absent) if joint not in skeleton.joints]:
            raise InputError(
                f"{where}: {', '.join(unknown)}: no such joints in skeleton {skeleton.name!r}, "
                f"which has {', '.join(skeleton.joints)}"
            )
        if missing := [joint for joint in skeleton.joints if (joint in joints) + (joint in absent) != 1]:
            raise InputError(f"{where}: say where {', '.join(missing)} come from, or that they are absent (not both)")
        up, unit = data.get("up"), data.get("unit_mm")
        if up is not None and up not in get_args(Axis):
            raise InputError(f"{where}: up: expected one of {get_args(Axis)}, got {up!r}")
        if unit is not None and not (_is_number(unit) and 0 < unit <= 1e6):
            raise InputError(f"{where}: unit_mm: expected a positive number of up to 1e6, got {unit!r}")
        skip = data.get("skip_frames", 0)
        if isinstance(skip, bool) or not isinstance(skip, int) or skip < 0:
            raise InputError(f"{where}: skip_frames: expected a whole number, got {skip!r}")
        zero_offsets = _table(data.get("zero_offsets", {}), f"{where}: zero_offsets")
        if not all(isinstance(value, str) for value in zero_offsets.values()):
            raise InputError(f'{where}: zero_offsets: expected joint = "joint", got {zero_offsets!r}')
        return cls(
            name=Path(where).stem,
            skeleton=skeleton,
            joints={joint: _alternatives(value, f"{where}: {joint}") for joint, value in joints.items()},
            up=up,
            unit_mm=None if unit is None else float(unit),
            skip_frames=skip,
            zero_offsets=zero_offsets,
            source=str(data.get("source", "")),
        )


@cache
def joint_map_names() -> tuple[str, ...]:
    """Names of the joint maps that come with the package."""
    folder = resources.files("nearfar") / "datasets" / "joint_maps"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def get_joint_map(name: str | Path | JointMap) -> JointMap:
    """A joint map by name, or read from a TOML file.

    Args:
        name: one of `joint_map_names`, or the path of a file ending in ``.toml``; a `JointMap` is returned as it is.

    Raises:
        InputError: no such map or file, or the file is not a valid map.
    """
    if isinstance(name, JointMap):
        return name
    if str(name).endswith(".toml"):
        text = read_text(name)
    elif str(name) in joint_map_names():
        text = (resources.files("nearfar") / "datasets" / "joint_maps" / f"{name}.toml").read_text("utf-8")
    else:
        raise InputError(f"no joint map {str(name)!r}; known: {', '.join(joint_map_names())}, or a .toml file")
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also of a number of thousands of digits
        raise InputError(f"{name}: not a TOML file ({error})") from None
    return JointMap.from_dict(data, where=str(name))


def motion_poses(
    positions: Callable[[slice], Array],
    names: Sequence[str],
    frames: range,
    fps: float,
    joint_map: JointMap,
    path: Path,
    *,
    kind: str,
    up: Axis | None = None,
    unit_mm: float | None = None,
) -> PoseSet:
    """Poses of one motion file: joints picked, scaled to mm and turned z up; one sequence, named like the file.

    Args:
        positions: of a slice of frames: (F, N, 3), in the file's unit and axes.
        names: of the N joints or markers.
        frames: which frames, counted from 0.
        fps: frames a second of the file.
        joint_map: what becomes of the joints.
        path: of the file.
        kind: name of the format.
        up: the axis that is up as the file says it; the map's goes first.
        unit_mm: mm in the file's unit as the file says it; the map's must agree.

    Returns:
        World-frame joints (mm, float32), time (s) and frame_index, both 0 at the first of `frames`.

    Raises:
        InputError: joints are missing, or neither file nor map says the unit or the axis that is up.
    """
    weights = joint_map.weights(names, str(path))
    unit_mm = _agreed_unit(joint_map, unit_mm, path)
    axis = joint_map.up or up
    if axis is None:
        raise InputError(f"{path}: neither the file nor joint map {joint_map.name!r} says which axis is up")
    joints = np.empty((len(frames), len(weights), 3), np.float32)
    for at in range(0, len(frames), _FRAMES_AT_ONCE):
        some = frames[at : at + _FRAMES_AT_ONCE]
        points = positions(slice(some.start, some.stop, some.step))
        joints[at : at + len(some)] = coordinates(to_z_up(_weighted(weights, points), axis) * unit_mm, str(path))
    index = np.array(frames) - frames.start
    return PoseSet(
        skeleton=joint_map.skeleton,
        joints=joints,
        frame="world",
        time=index / fps,
        frame_index=index,
        sequence=Category(np.zeros(len(frames), np.int32), (path.stem,)),
        provenance={"source": kind, "file": path.name, "joint_map": joint_map.name, "fps": fps / frames.step},
    )


def _weighted(weights: Array, points: Array) -> Array:
    """(F, J, 3) weighted sums of (F, N, 3); only what has a weight can make a joint missing."""
    out = np.zeros((len(points), len(weights), 3))
    for joint, row in enumerate(weights):
        for part in np.flatnonzero(row):
            out[:, joint] += row[part] * points[:, part]
    return out


def _agreed_unit(joint_map: JointMap, unit_mm: float | None, path: Path) -> float:
    said = joint_map.unit_mm
    if said is None and unit_mm is None:
        raise InputError(f"{path}: neither the file nor joint map {joint_map.name!r} says the unit")
    if said is not None and unit_mm is not None and not np.isclose(said, unit_mm, rtol=1e-3):
        raise InputError(f"{path}: a unit is {unit_mm:g} mm in the file, {said:g} mm in joint map {joint_map.name!r}")
    return said if said is not None else float(unit_mm or 0)


def _by_name(names: Sequence[str]) -> dict[str, list[int]]:
    """Name -> where it stands; a name stands for itself first, else for all that have it after a subject."""
    exact: dict[str, list[int]] = {}
    short: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        exact.setdefault(name, []).append(i)
        if ":" in name:
            short.setdefault(name.rsplit(":", 1)[1], []).append(i)
    return short | exact


def _alternatives(value: Any, where: str) -> tuple[Weights, ...]:
    if not isinstance(value, list):
        return (_parts(value, where),)
    if not value:
        raise InputError(f"{where}: an empty list of alternatives")
    return tuple(_parts(entry, where) for entry in value)


def _parts(value: Any, where: str) -> Weights:
    match value:
        case str():
            return {value: 1.0}
        case {"mean": [*names], **rest} if names and not rest and all(isinstance(name, str) for name in names):
            return {name: names.count(name) / len(names) for name in names}
        case {"weights": {**weights}, **rest} if weights and not rest and all(map(_is_number, weights.values())):
            parts = {str(name): float(weight) for name, weight in value["weights"].items() if weight}
            if abs(sum(parts.values()) - 1) > 1e-6:
                raise InputError(f"{where}: weights must sum to one, got {sum(parts.values()):g}")
            return parts
        case _:
            raise InputError(
                f'{where}: expected a name, {{mean = ["name", …]}}, {{weights = {{name = number, …}}}} '
                f"or a list of these, got {value!r}"
            )


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected a table, got {value!r}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _shortened(names: Sequence[str], most: int = 40) -> str:
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
