"""The solid person of the lessons: balls and cones around the joints of the skeleton human19."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Part", "body_parts", "face_points", "unit"]

Array = npt.NDArray[Any]

SKIN, SHIRT, TROUSERS, SHOES, HAIR, EYES = (
    np.array(rgb) / 255
    for rgb in ((226, 178, 148), (70, 130, 180), (88, 84, 96), (60, 48, 42), (74, 52, 38), (30, 30, 30))
)


@dataclass(frozen=True, eq=False)
class Part:
    """The hull of two balls.

    Attributes:
        a, b: (3,) centres, mm.
        radius_a, radius_b: mm.
        colour: (3,) red, green, blue in 0..1.
        name: of the part of the body, for people.
    """

    a: Array
    b: Array
    radius_a: float
    radius_b: float
    colour: Array
    name: str


def body_parts(joints: Mapping[str, Array]) -> list[Part]:
    """A person's body around joints of the skeleton human19, (3,) mm each."""
    parts: list[Part] = []

    def add(name: str, a: Array, b: Array, radius_a: float, radius_b: float, colour: Array) -> None:
        parts.append(Part(a, b, radius_a, radius_b, colour, name))

    p = dict(joints)
    spine, neck = p["mid_spine"], p["neck"]
    for side in ("left", "right"):
        shoulder, elbow, wrist = (p[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        hip, knee, ankle, tip = (p[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot_tip"))
        along = unit(wrist - elbow)
        add(f"{side} upper arm", shoulder, elbow, 57, 46, SHIRT)
        add(f"{side} upper arm", elbow, elbow + 0.2 * (wrist - elbow), 46, 43, SHIRT)
        add(f"{side} forearm", elbow, wrist, 40, 28, SKIN)
        add(f"{side} hand", wrist + 25 * along, wrist + 95 * along, 33, 24, SKIN)
        add(f"{side} thigh", hip, knee, 88, 60, TROUSERS)
        add(f"{side} shin", knee, ankle, 60, 44, TROUSERS)
        add(f"{side} foot", ankle - 0.3 * (tip - ankle) + 37 * _down(ankle, knee, tip), tip, 36, 30, SHOES)
        add(f"{side} foot", ankle, tip, 40, 28, SHOES)
        waist = spine + 0.55 * (hip - p["mid_hip"])
        add("trunk", waist + 0.62 * (hip + p["mid_hip"] - 2 * spine) / 2, waist, 92, 86, SHIRT)
        add("trunk", waist, neck + 0.5 * (shoulder - neck) + 0.3 * (spine - neck), 86, 92, SHIRT)
        add("trunk", neck + 0.16 * (spine - neck), shoulder, 60, 56, SHIRT)
    add("trunk", spine, neck + 0.3 * (spine - neck), 92, 96, SHIRT)
    add("trunk", spine + 0.6 * (p["mid_hip"] - spine), spine, 96, 92, SHIRT)
    add("hips", p["left_hip"], p["right_hip"], 92, 92, TROUSERS)
    head = _head(p)
    add("neck", neck, head.base, 56, 50, SKIN)
    add("head", head.centre - 42 * head.up + 22 * head.front, head.centre + 8 * head.up, 72, 90, SKIN)
    add("head", head.centre - 4 * head.up - 14 * head.front, head.centre + 18 * head.up - 8 * head.front, 93, 95, HAIR)
    points = face_points(p)
    add("head", points["nose"] - 16 * head.front + 14 * head.up, points["nose"], 12, 17, SKIN)
    for side in ("left", "right"):
        add("head", points[f"{side}_eye"], points[f"{side}_eye"], 13, 13, EYES)
        add("head", points[f"{side}_ear"] + 12 * head.up, points[f"{side}_ear"] - 12 * head.up, 17, 13, SKIN)
    return parts


@dataclass(frozen=True, eq=False)
class _Head:
    centre: Array
    base: Array
    up: Array
    front: Array
    left: Array


def _head(p: Mapping[str, Array]) -> _Head:
    """Where the head is, and which way it looks: away from the neck's bend, or else where the trunk faces."""
    up = unit(p["head_top"] - p["chin"])
    left = p["left_shoulder"] - p["right_shoulder"]
    left = unit(left - up * (left @ up))
    front = np.cross(left, up)
    centre = p["head_top"] - 92 * up + 12 * front
    return _Head(centre, p["chin"] - 15 * up, up, front, left)


def face_points(joints: Mapping[str, Array]) -> dict[str, Array]:
    """Nose, eyes and ears of a person with joints of human19, (3,) mm each."""
    head = _head(joints)
    points = {"nose": head.centre + 100 * head.front - 22 * head.up}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        points[f"{side}_eye"] = head.centre + 83 * head.front + 33 * sign * head.left + 10 * head.up
        points[f"{side}_ear"] = head.centre + 90 * sign * head.left - 8 * head.up
    return points


def _down(ankle: Array, knee: Array, tip: Array) -> Array:
    """The direction of the sole, seen from the ankle."""
    along = unit(tip - ankle)
    away = ankle - knee
    return unit(away - along * (away @ along))


def unit(vector: Array) -> Array:
    """The vector, one long."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
