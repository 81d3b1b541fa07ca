"""The methods by name, as options of commands and columns of tables call them."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.consensus.depth import DepthModel
from nearfar.consensus.glad import Glad
from nearfar.consensus.skill import SkillModel
from nearfar.errors import InputError

__all__ = ["METHOD_NAMES", "Majority", "Model", "method", "name_of"]

METHOD_NAMES = ("majority", "dawid-skene-1", "dawid-skene-2", "glad", "lean", "depth")
"""Names that `method` knows."""


@dataclass(frozen=True)
class Majority:
    """A vote: every answer counts the same, and nobody needs to be known by name.

    The probability is the share of the answers, "same depth" counting half for either side and "can't tell" not at all;
    so a unanimous pair has risk 0, which is what a majority vote claims, not what is true.
    """


Model = Majority | SkillModel | Glad | DepthModel
"""What `merge` takes."""


def method(name: str) -> Model:
    """The model that a name of `METHOD_NAMES` stands for, with its default settings.

    Raises:
        InputError: another name.
    """
    match name:
        case "majority":
            return Majority()
        case "dawid-skene-1":
            return SkillModel(coins=1, visibility=(1.0,))
        case "dawid-skene-2":
            return SkillModel(coins=2, visibility=(1.0,))
        case "glad":
            return Glad()
        case "lean":
            return SkillModel()
        case "depth":
            return DepthModel()
        case _:
            raise InputError(f"merging method {name!r}: expected one of {', '.join(METHOD_NAMES)}")


def name_of(model: Model) -> str:
    """The name of `METHOD_NAMES` that a model, with whatever settings, goes by."""
    match model:
        case Majority():
            return "majority"
        case Glad():
            return "glad"
        case DepthModel():
            return "depth"
        case SkillModel():
            return f"dawid-skene-{model.coins}" if model.visibility == (1.0,) else "lean"
