"""What every picture of ours has in common: colours and which side of the body a limb belongs to.

Colours are from the palette of Okabe and Ito (2008), told apart under every common form of colour blindness: the
person's left is blue, the right is vermilion, the middle line carries the colour of the person.
"""

from __future__ import annotations

from typing import Literal

from nearfar.skeleton import Skeleton

__all__ = ["CYCLE", "LEFT", "PEOPLE", "RIGHT", "Side", "joint_sides", "limb_sides", "spoken"]

Side = Literal["left", "right", "centre"]

LEFT = "#56b4e9"
"""The person's left."""

RIGHT = "#e8751a"
"""The person's right."""

PEOPLE = ("#f4f4f4", "#f0e442", "#2bd4a0", "#f29ad0", "#b8a4ff", "#c2c2c2")
"""The middle line of the first, second, ... person; later people start over."""

CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b6b6b")
"""Colours of methods in figures."""


def joint_sides(skeleton: Skeleton) -> tuple[Side, ...]:
    """Side of each joint: of a mirror pair, the joint whose name says "left" or begins with "l" is the left one."""
    sides: dict[str, Side] = dict.fromkeys(skeleton.joints, "centre")
    for first, second in skeleton.mirror_pairs:
        swapped = "left" in second.lower() or ("left" not in first.lower() and second.lower().startswith("l"))
        sides[first], sides[second] = ("right", "left") if swapped else ("left", "right")
    return tuple(sides[name] for name in skeleton.joints)


def limb_sides(skeleton: Skeleton) -> tuple[Side, ...]:
    """Side of each limb: that of its ends, "centre" where they lie on both sides or on none."""
    sides = joint_sides(skeleton)
    found: list[Side] = []
    for limb in skeleton.limbs:
        ends = {sides[limb.parent], sides[limb.child]} - {"centre"}
        found.append(ends.pop() if len(ends) == 1 else "centre")
    return tuple(found)


def spoken(name: str) -> str:
    """A joint's name as people read it: ``left_wrist`` becomes ``left wrist``."""
    return name.replace("_", " ")
