"""Which lessons a project needs: what gold gives, what is to be drawn, and why an answer is right, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.annotation.projects.pairs import Pairs
from nearfar.annotation.schema import Purpose
from nearfar.annotation.settings import Settings
from nearfar.annotation.web.texts import Texts, load_texts
from nearfar.errors import InputError
from nearfar.skeleton import Skeleton
from nearfar.skeleton_maps import remap
from nearfar.synthetic.body import FULL

__all__ = ["can_render", "drawn_joints", "explain", "explained", "plan_lessons"]

Array = npt.NDArray[Any]

EXAMPLES = 6
"""Worked examples of the tutorial."""

_FEWEST_JOINTS = 8


def can_render(skeleton: Skeleton) -> bool:
    """Whether the rendered person has enough of a skeleton's joints."""
    return int((drawn_joints(skeleton) != 0).any(axis=1).sum()) >= _FEWEST_JOINTS


def explain(texts: Texts, subject: str, names: tuple[str, str], truth: int, kind: str = "gold", **words: object) -> str:
    """Why an answer is right: the text `kind` of the section "lessons" about two joints.

    Args:
        texts: of a language.
        subject: whose joints.
        names: of the two joints.
        truth: -1 the first is nearer, +1 the second, 0 the same.
        kind: of explanation.
        words: what else the text has places for.
    """
    first, second = (texts.joint_of(name, subject) for name in names)
    near, far = (first, second) if truth <= 0 else (second, first)
    kind = f"{kind}_same" if kind == "gold" and truth == 0 else kind
    text = texts(f"lessons.{kind}", near=near, far=far, subject=subject, **words)
    return text[:1].upper() + text[1:]


def explained(pairs: Pairs, skeleton: Skeleton, settings: Settings, language: str = "en") -> Pairs:
    """Pairs with known answers, with their explanations."""
    texts, names = load_texts(language), skeleton.joints
    truth = [0] * len(pairs) if pairs.truth is None else pairs.truth.tolist()
    why = (
        explain(texts, settings.subject, (names[a], names[b]), true)
        for (a, b), true in zip(pairs.joints.tolist(), truth, strict=True)
    )
    return replace(pairs, explanation=tuple(why))


def plan_lessons(
    gold: Pairs | None, skeleton: Skeleton, settings: Settings, rng: np.random.Generator
) -> tuple[dict[Purpose, Pairs], tuple[Purpose, ...]]:
    """Share pairs with known answers out: to practice and test where there are enough, the others stay hidden.

    Args:
        gold: all of them; None for none.
        skeleton: of the project.
        settings: how many questions practice and test have; a test can be tried again with other questions.
        rng: source of randomness.

    Returns:
        Which gold pairs serve for what, and the purposes that pictures are to be drawn for.

    Raises:
        InputError: pictures cannot be drawn for the skeleton, and gold is too little for practice and test.
    """
    drawable = can_render(skeleton)
    wanted: dict[Purpose, int] = {"practice": settings.practice_questions, "test": 2 * settings.test_questions}
    wanted = {purpose: count for purpose, count in wanted.items() if count}
    if not drawable:
        wanted = {"tutorial": EXAMPLES, **wanted}
    least = 2 * sum(wanted.values())
    if gold is None or len(gold) < least:
        if not drawable and len(wanted) > 1:
            raise InputError(
                f"lessons: pictures for practice and test cannot be drawn for skeleton {skeleton.name!r}, whose joints "
                f"are not a person's: give {least} pairs or more with known answers (--gold; there are "
                f"{0 if gold is None else len(gold)}), or set practice_questions and test_questions to 0"
            )
        return {} if gold is None else {"gold": gold}, ("tutorial", *wanted) if drawable else ()
    order, at = rng.permutation(len(gold)), 0
    shared: dict[Purpose, Pairs] = {}
    for purpose, count in wanted.items():
        shared[purpose] = gold.select(np.sort(order[at : at + count]))
        at += count
    return {**shared, "gold": gold.select(np.sort(order[at:]))}, ("tutorial",) if drawable else ()


def drawn_joints(skeleton: Skeleton) -> Array:
    """(J, 19) how the rendered body's joints make those of a skeleton; rows of zeros where they do not."""
    rows = np.zeros((skeleton.num_joints, FULL.num_joints))
    for row, joint in enumerate(skeleton.joints):
        try:
            rows[row] = remap(FULL, Skeleton("joint", (joint,), joint, (), ())).weights[0]
        except InputError:
            continue
    return rows
