"""Which joints make which joint angle: ``definitions.toml``, looked up for a skeleton by the names of its joints."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from nearfar.skeleton import Skeleton

__all__ = ["SIDES", "Ball", "Definitions", "Foot", "Grounded", "Hinge", "Segment", "Stacked", "angle_definitions"]

SIDES = ("left", "right")

Point = tuple[int, ...]
"""Joint numbers whose middle it is."""
Line = tuple[Point, Point]


@dataclass(frozen=True)
class Segment:
    """A part of the body with a frame: x forward, y up, z to the person's right.

    Attributes:
        right: from and to; the z axis, or what of it is at right angles to y.
        up: from and to; the y axis, or what of it is at right angles to z.
        upright: y is the exact one.
    """

    right: Line
    up: Line
    upright: bool


@dataclass(frozen=True)
class Grounded:
    """A segment against the ground: ``names`` of tilt, obliquity and rotation."""

    segment: str
    names: Mapping[str, str]


@dataclass(frozen=True)
class Stacked:
    """A segment on another: ``names`` of flexion, lateral and rotation, those that are defined."""

    lower: str
    upper: str
    names: Mapping[str, str]


@dataclass(frozen=True)
class Ball:
    """A limb in a segment, and the limb after it, which bends forward or backward.

    ``names`` are of flexion, adduction or abduction, rotation, and perhaps elevation and its plane. On the ``left``
    they are those of the right limb of the person in the mirror.
    """

    segment: str
    limb: Line
    next: Line
    forward: bool
    left: bool
    names: Mapping[str, str]


@dataclass(frozen=True)
class Hinge:
    """Two limbs that meet in the middle one of three points."""

    points: tuple[Point, Point, Point]
    name: str


@dataclass(frozen=True)
class Foot:
    """The foot on the shank."""

    shank: Line
    foot: Line
    name: str


@dataclass(frozen=True)
class Definitions:
    """The joint angles of a skeleton.

    Attributes:
        points: joint numbers of every point that the skeleton has.
        segments: by name.
        parts: what is measured, in order.
        undefined: the angles that the skeleton does not have, and why.
    """

    points: Mapping[str, Point]
    segments: Mapping[str, Segment]
    parts: tuple[Grounded | Stacked | Ball | Hinge | Foot, ...]
    undefined: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the angles that the skeleton has, in order."""
        found: list[str] = []
        for part in self.parts:
            found += [part.name] if isinstance(part, Hinge | Foot) else part.names.values()
        return tuple(found)


def angle_definitions(skeleton: Skeleton) -> Definitions:
    """The joint angles that are defined on a skeleton, by the names of its joints; there may be none."""
    return _definitions(skeleton.joints)


@cache
def _definitions(joints: tuple[str, ...]) -> Definitions:
    data = tomllib.loads((resources.files("nearfar.angles") / "definitions.toml").read_text("utf-8"))
    points: dict[str, Point] = {}
    absent: dict[str, str] = {}
    for entry in _sides([{"name": name, "from": value} for name, value in data["points"].items()]):
        fitting = (names for names in entry["from"] if set(names) <= set(joints))
        if (names := next(fitting, None)) is not None:
            points[entry["name"]] = tuple(joints.index(joint) for joint in names)
        else:
            absent[entry["name"]] = " or ".join(" and ".join(names) for names in entry["from"])
    segments: dict[str, Segment] = {}
    for name, ends in data["segments"].items():
        if lacking := [point for point in (*ends["right"], *ends["up"]) if point in absent]:
            absent[name] = absent[lacking[0]]
        else:
            lines = _line(ends["right"], points), _line(ends["up"], points)
            segments[name] = Segment(*lines, ends["exact"] == "up")
    parts: list[Grounded | Stacked | Ball | Hinge | Foot] = []
    undefined: dict[str, str] = {}
    for kind in ("grounded", "stacked", "ball", "hinge", "foot"):
        for entry in _sides(data[kind]):
            if lacking := [need for need in _needs(entry) if need in absent]:
                undefined |= dict.fromkeys(_names(entry), f"needs {absent[lacking[0]]}")
                continue
            part = _part(kind, entry, points)
            if isinstance(part, Stacked) and segments[part.lower].up == segments[part.upper].up:
                # Their y axes are one line: what is left between them is the twist about it.
                lost = [part.names[which] for which in ("flexion", "lateral")]
                undefined |= dict.fromkeys(lost, f"needs a joint of the spine below the {part.upper}")
                part = Stacked(part.lower, part.upper, {"rotation": part.names["rotation"]})
            parts.append(part)
    return Definitions(points, segments, tuple(parts), undefined)


def _sides(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The entries, those with ``{side}`` in them once a side."""
    for entry in entries:
        if "{side}" not in str(entry):
            yield entry
            continue
        for side in SIDES:
            yield {"left": side == "left", **_with_side(entry, side)}


def _with_side(value: Any, side: str) -> Any:
    match value:
        case str():
            return value.replace("{side}", side)
        case list():
            return [_with_side(entry, side) for entry in value]
        case dict():
            return {key: _with_side(entry, side) for key, entry in value.items()}
    return value


def _names(entry: Mapping[str, Any]) -> list[str]:
    return list(entry["names"].values()) if "names" in entry else [entry["name"]]


def _needs(entry: Mapping[str, Any]) -> list[str]:
    """Points and segments that an entry is made of."""
    lines = [entry.get(key, []) for key in ("limb", "next", "points", "shank", "foot")]
    segments = [entry[key] for key in ("segment", "lower", "upper") if key in entry]
    return [*segments, *(point for line in lines for point in line)]


def _line(ends: list[str], points: Mapping[str, Point]) -> Line:
    return points[ends[0]], points[ends[1]]


def _part(kind: str, entry: Mapping[str, Any], points: Mapping[str, Point]) -> Grounded | Stacked | Ball | Hinge | Foot:
    match kind:
        case "grounded":
            return Grounded(entry["segment"], entry["names"])
        case "stacked":
            return Stacked(entry["lower"], entry["upper"], entry["names"])
        case "ball":
            lines = _line(entry["limb"], points), _line(entry["next"], points)
            return Ball(entry["segment"], *lines, entry["bends"] == "forward", entry["left"], entry["names"])
        case "hinge":
            first, middle, last = (points[name] for name in entry["points"])
            return Hinge((first, middle, last), entry["name"])
    return Foot(_line(entry["shank"], points), _line(entry["foot"], points), entry["name"])
