"""Maps between skeletons: joints of the same name are copied, others follow declared derivations."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["Remap", "remap"]

FloatArray = npt.NDArray[np.floating[Any]]


@cache
def _derivations() -> dict[str, tuple[dict[str, float], ...]]:
    """Declared derived joints: name -> alternatives, each a weighted mean of other joints."""
    text = (resources.files("nearfar") / "skeletons" / "derived" / "derived.toml").read_text("utf-8")
    return {name: tuple(entry["from"]) for name, entry in tomllib.loads(text).items()}


def _weights_for(joint: str, source: Skeleton, visiting: tuple[str, ...] = ()) -> FloatArray | None:
    """(J_source,) weights that give `joint` as a weighted sum of the source's joints, or None."""
    if joint in source.joints:
        return np.asarray(np.eye(source.num_joints)[source.index(joint)])
    if joint in visiting:
        return None
    for alternative in _derivations().get(joint, ()):
        parts = [(w, _weights_for(part, source, (*visiting, joint))) for part, w in alternative.items()]
        if all(weights is not None for _, weights in parts):
            return np.asarray(sum(w * weights for w, weights in parts if weights is not None))
    return None


@dataclass(frozen=True)
class Remap:
    """A linear map from the joints of one skeleton to those of another.

    Attributes:
        source: skeleton of the input.
        target: skeleton of the output.
        weights: (J_target, J_source); each row sums to one.
    """

    source: Skeleton
    target: Skeleton
    weights: FloatArray

    @property
    def derived(self) -> tuple[str, ...]:
        """Target joints that are computed from several source joints."""
        is_copy = ((self.weights != 0).sum(axis=1) == 1) & (self.weights.max(axis=1) == 1)
        return tuple(name for name, copy in zip(self.target.joints, is_copy, strict=True) if not copy)

    def points(self, points: npt.ArrayLike) -> FloatArray:
        """Map positions (..., J_source, D) to (..., J_target, D).

        A derived joint is NaN where any joint that it is made of is NaN.

        Raises:
            InputError: the input does not have the source's number of joints.
        """
        array = np.asarray(points)
        if array.ndim < 2 or array.shape[-2] != self.source.num_joints:
            raise InputError(
                f"expected (..., {self.source.num_joints}, D) points of skeleton {self.source.name!r}, "
                f"got shape {array.shape}"
            )
        dtype = array.dtype if np.issubdtype(array.dtype, np.floating) else np.dtype(np.float64)
        out = np.zeros((*array.shape[:-2], self.target.num_joints, array.shape[-1]), dtype)
        for row, weights in enumerate(self.weights):
            for joint in np.flatnonzero(weights):
                out[..., row, :] += weights[joint].astype(dtype) * array[..., joint, :]
        return out

    def scores(self, scores: npt.ArrayLike) -> FloatArray:
        """Map scores (..., J_source) to (..., J_target): a derived joint is as sure as its least sure part."""
        array = np.asarray(scores)
        if array.ndim < 1 or array.shape[-1] != self.source.num_joints:
            raise InputError(
                f"expected (..., {self.source.num_joints}) scores of skeleton {self.source.name!r}, "
                f"got shape {array.shape}"
            )
        return np.stack([array[..., np.flatnonzero(weights)].min(axis=-1) for weights in self.weights], axis=-1)


def remap(source: str | Path | Skeleton, target: str | Path | Skeleton) -> Remap:
    """The map from one skeleton's joints to another's.

    Joints of the same name are copied. Others follow the declared derivations
    (``skeletons/derived/derived.toml``: the pelvis is the middle of the hips, and so on).

    Raises:
        InputError: some target joints can neither be copied nor derived; the message lists them all.
    """
    source, target = get_skeleton(source), get_skeleton(target)
    rows = [_weights_for(joint, source) for joint in target.joints]
    if missing := [joint for joint, row in zip(target.joints, rows, strict=True) if row is None]:
        raise InputError(
            f"cannot map skeleton {source.name!r} to {target.name!r}: no way to derive {', '.join(missing)}"
        )
    return Remap(source, target, np.array(rows))
