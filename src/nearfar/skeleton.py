"""Skeletons as data: joints, limbs, mirror pairs and limb proportions.

A skeleton is a TOML file (`skeletons/*.toml`, or one of the user's own). Nothing else in the package knows
how many joints there are or what they are called.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError

__all__ = ["Limb", "Skeleton", "get_skeleton", "mirror", "skeleton_names"]

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Limb:
    """One limb (bone) between two joints.

    Attributes:
        parent: index of the joint nearer to the root.
        child: index of the joint farther from the root.
        length: reference length of an average person, in the skeleton's own unit; None where there is none.
        closes_loop: the limb is not part of the tree of parents (a pelvis drawn between two hips).
        rigid: False for trunk segments that bend and take no part in the limb proportions.
    """

    parent: int
    child: int
    length: float | None = None
    closes_loop: bool = False
    rigid: bool = True


@dataclass(frozen=True)
class Skeleton:
    """A named set of joints, connected by limbs.

    Attributes:
        name: short name, e.g. ``h36m17``.
        joints: joint names in order. "Left" is the person's left.
        root: name of the joint that becomes the origin of root-relative poses.
        limbs: limbs, tree limbs first.
        mirror_pairs: pairs of joint names that change places when the pose is mirrored.
        unit_limb: (parent, child) names of the limb whose length is the unit of proportions, or None.
        unit_limb_mm: length in mm of an average person's unit limb, or None.
        source: where the joint order was published.
        proportions_source: where the limbs' reference lengths come from ("" where there are none).
    """

    name: str
    joints: tuple[str, ...]
    root: str
    limbs: tuple[Limb, ...]
    mirror_pairs: tuple[tuple[str, str], ...]
    unit_limb: tuple[str, str] | None = None
    unit_limb_mm: float | None = None
    source: str = ""
    proportions_source: str = ""

    def __post_init__(self) -> None:
        known = set(self.joints)
        if len(known) != len(self.joints):
            raise InputError(f"skeleton {self.name!r}: joint names must be unique")
        named = [self.root, *(name for pair in self.mirror_pairs for name in pair), *(self.unit_limb or ())]
        if unknown := sorted({name for name in named if name not in known}):
            raise InputError(f"skeleton {self.name!r}: unknown joints {unknown}; its joints are {list(self.joints)}")
        paired = [name for pair in self.mirror_pairs for name in pair]
        if len(set(paired)) != len(paired):
            raise InputError(f"skeleton {self.name!r}: a joint stands in two mirror pairs")
        children = [limb.child for limb in self.limbs if not limb.closes_loop]
        if sorted([*children, self.root_index]) != list(range(self.num_joints)):
            raise InputError(f"skeleton {self.name!r}: every joint but the root needs exactly one parent")
        reached = {self.root_index}
        for _ in self.limbs:
            reached |= {limb.child for limb in self.limbs if limb.parent in reached}
        if cut_off := sorted(set(range(self.num_joints)) - reached):
            names = [self.joints[i] for i in cut_off]
            raise InputError(f"skeleton {self.name!r}: no limbs lead from the root {self.root!r} to {names}")
        if self.unit_limb is not None:
            self._limb_index(self.unit_limb)

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def num_joints(self) -> int:
        """Number of joints J."""
        return len(self.joints)

    @property
    def root_index(self) -> int:
        """Index of the root joint."""
        return self.joints.index(self.root)

    def index(self, joint: str) -> int:
        """Index of a joint by name.

        Raises:
            InputError: the skeleton has no such joint.
        """
        try:
            return self.joints.index(joint)
        except ValueError:
            raise InputError(
                f"skeleton {self.name!r} has no joint {joint!r}; its joints are {', '.join(self.joints)}"
            ) from None

    def _limb_index(self, names: tuple[str, str]) -> int:
        ends = {self.index(names[0]), self.index(names[1])}
        for i, limb in enumerate(self.limbs):
            if {limb.parent, limb.child} == ends:
                return i
        raise InputError(f"skeleton {self.name!r}: no limb joins {names[0]!r} and {names[1]!r}")

    @property
    def unit_limb_index(self) -> int | None:
        """Position of the unit limb in `limbs`, or None."""
        return None if self.unit_limb is None else self._limb_index(self.unit_limb)

    @cached_property
    def parents(self) -> IntArray:
        """(J,) parent joint of each joint, -1 for the root."""
        parents = np.full(self.num_joints, -1)
        for limb in self.limbs:
            if not limb.closes_loop:
                parents[limb.child] = limb.parent
        return parents

    @cached_property
    def limb_joints(self) -> IntArray:
        """(L, 2) parent and child joint of each limb."""
        return np.array([[limb.parent, limb.child] for limb in self.limbs], dtype=np.int64)

    @cached_property
    def mirror_permutation(self) -> IntArray:
        """(J,) such that ``joints[..., mirror_permutation, :]`` exchanges left and right."""
        order = np.arange(self.num_joints)
        for first, second in self.mirror_pairs:
            a, b = self.index(first), self.index(second)
            order[[a, b]] = b, a
        return order

    @cached_property
    def reference_lengths(self) -> FloatArray | None:
        """(L,) reference limb lengths of an average person (unit of their source), or None."""
        lengths = [limb.length for limb in self.limbs]
        return None if any(length is None for length in lengths) else np.array(lengths, dtype=np.float64)

    @cached_property
    def rigid_limbs(self) -> npt.NDArray[np.bool_]:
        """(L,) True for limbs that take part in the limb proportions."""
        return np.array([limb.rigid for limb in self.limbs])

    def to_dict(self) -> dict[str, Any]:
        """The skeleton as plain data, as in its TOML file (JSON-safe)."""
        limbs = []
        for limb in self.limbs:
            entry: dict[str, Any] = {"parent": self.joints[limb.parent], "child": self.joints[limb.child]}
            if limb.length is not None:
                entry["length"] = limb.length
            if limb.closes_loop:
                entry["closes_loop"] = True
            if not limb.rigid:
                entry["rigid"] = False
            limbs.append(entry)
        data: dict[str, Any] = {
            "name": self.name,
            "joints": list(self.joints),
            "root": self.root,
            "mirror_pairs": [list(pair) for pair in self.mirror_pairs],
            "limbs": limbs,
            "source": self.source,
            "proportions_source": self.proportions_source,
        }
        if self.unit_limb is not None:
            data["unit_limb"] = list(self.unit_limb)
        if self.unit_limb_mm is not None:
            data["unit_limb_mm"] = self.unit_limb_mm
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "skeleton") -> Skeleton:
        """Build a skeleton from plain data, the inverse of `to_dict`.

        Args:
            data: the content of a skeleton TOML file.
            where: what the error messages call the data (a file name).

        Raises:
            InputError: a key is missing or unknown, or the limbs do not form a tree.
        """
        if not isinstance(data, Mapping):
            raise InputError(f"{where}: expected a table, got {type(data).__name__}")
        required = {"name", "joints", "root", "mirror_pairs", "limbs"}
        optional = {"unit_limb", "unit_limb_mm", "source", "proportions_source"}
        if missing := sorted(required - data.keys()):
            raise InputError(f"{where}: missing keys {missing}")
        if unknown := sorted(data.keys() - required - optional):
            raise InputError(f"{where}: unknown keys {unknown}; expected {sorted(required | optional)}")
        for key in ("name", "root"):
            if not isinstance(data[key], str):
                raise InputError(f"{where}: {key}: expected a name, got {data[key]!r}")
        joints = _names(data["joints"], None, f"{where}: joints")
        limbs = []
        for i, entry in enumerate(_list(data["limbs"], f"{where}: limbs")):
            if not isinstance(entry, Mapping):
                raise InputError(f"{where}: limb {i}: expected a table with parent and child, got {entry!r}")
            if extra := sorted(entry.keys() - {"parent", "child", "length", "closes_loop", "rigid"}):
                raise InputError(f"{where}: limb {i} has unknown keys {extra}")
            for end in ("parent", "child"):
                if entry.get(end) not in joints:
                    raise InputError(f"{where}: limb {i}: {end} {entry.get(end)!r} is not one of the joints")
            length = entry.get("length")
            if length is not None and not (isinstance(length, int | float) and 0 < length < np.inf):
                raise InputError(f"{where}: limb {i}: length: expected a positive number, got {length!r}")
            limbs.append(
                Limb(
                    parent=joints.index(entry["parent"]),
                    child=joints.index(entry["child"]),
                    length=length,
                    closes_loop=entry.get("closes_loop", False),
                    rigid=entry.get("rigid", True),
                )
            )
        pairs = _list(data["mirror_pairs"], f"{where}: mirror_pairs")
        mirror_pairs = [_names(pair, 2, f"{where}: mirror pair {i}") for i, pair in enumerate(pairs)]
        unit = None if data.get("unit_limb") is None else _names(data["unit_limb"], 2, f"{where}: unit_limb")
        try:
            return cls(
                name=data["name"],
                joints=joints,
                root=data["root"],
                limbs=tuple(limbs),
                mirror_pairs=tuple((pair[0], pair[1]) for pair in mirror_pairs),
                unit_limb=None if unit is None else (unit[0], unit[1]),
                unit_limb_mm=data.get("unit_limb_mm"),
                source=data.get("source", ""),
                proportions_source=data.get("proportions_source", ""),
            )
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, got {value!r}")
    return value


def _names(value: Any, count: int | None, where: str) -> tuple[str, ...]:
    """A list of `count` names (of any number, but not none, for None)."""
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise InputError(f"{where}: expected a list of names, got {value!r}")
    if count not in (None, len(value)):
        raise InputError(f"{where}: expected {count} names, got {value!r}")
    return tuple(value)


@cache
def skeleton_names() -> tuple[str, ...]:
    """Names of the skeletons that come with the package."""
    folder = resources.files("nearfar") / "skeletons"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def get_skeleton(name: str | Path | Skeleton) -> Skeleton:
    """A skeleton by name, or read from a TOML file.

    Args:
        name: one of `skeleton_names`, or the path of a skeleton file ending in ``.toml``; a `Skeleton` is
            returned as it is.

    Raises:
        InputError: no such skeleton or file, or the file is not a valid skeleton.
    """
    if isinstance(name, Skeleton):
        return name
    if not str(name).endswith(".toml"):
        return _bundled_skeleton(str(name))
    try:
        text = Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot read the skeleton file ({error})") from None
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also of a number of thousands of digits
        raise InputError(f"{name}: not a TOML file ({error})") from None
    return Skeleton.from_dict(data, where=str(name))


@cache
def _bundled_skeleton(name: str) -> Skeleton:
    if name not in skeleton_names():
        raise InputError(f"no skeleton {name!r}; known: {', '.join(skeleton_names())}, or a .toml file of your own")
    text = (resources.files("nearfar") / "skeletons" / f"{name}.toml").read_text("utf-8")
    return Skeleton.from_dict(tomllib.loads(text), where=name)


def mirror(
    points: npt.ArrayLike, skeleton: Skeleton, axis_centre: float | Sequence[float] | FloatArray = 0.0
) -> FloatArray:
    """Mirror points left to right: exchange the mirror pairs and reflect x about `axis_centre`.

    Args:
        points: (..., J, D) positions, x first (pixels or mm).
        skeleton: skeleton of the J joints.
        axis_centre: x of the mirror line, a scalar or (...,): 0 for rays and camera-frame joints, cx for pixels.

    Returns:
        (..., J, D); mirroring twice gives the input back. NaN stays NaN, on the mirrored joint.
    """
    out = np.array(np.asarray(points)[..., skeleton.mirror_permutation, :])
    out[..., 0] = 2 * np.asarray(axis_centre)[..., None] - out[..., 0]
    return out
