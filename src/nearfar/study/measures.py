"""Shares with intervals, by depth difference and by group; kappas. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError

__all__ = [
    "EDGES_MM",
    "accuracy_by_difference",
    "accuracy_by_group",
    "cohen_kappa",
    "finite",
    "fleiss_kappa",
    "share",
    "share_of",
    "wilson_interval",
]

Array = npt.NDArray[Any]

EDGES_MM = (0, 25, 50, 75, 100, 150, 200, 250, 300, 350, 400, 500, 600, 800)
"""Lower edges of the bins of depth difference; the last bin is open."""

NORMAL_95 = 1.959963984540054


def wilson_interval(right: npt.ArrayLike, total: npt.ArrayLike) -> tuple[Array, Array]:
    """95 % interval of a share (Wilson 1927), of `right` out of `total`; NaN where the total is 0.

    It takes the answers as independent.
    """
    k, n = np.asarray(right, dtype=np.float64), np.asarray(total, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, z2 = k / n, NORMAL_95**2 / n
        middle = (p + z2 / 2) / (1 + z2)
        half = np.sqrt(p * (1 - p) * z2 + z2**2 / 4) / (1 + z2)
    return np.clip(middle - half, 0, p), np.clip(middle + half, p, 1)  # rounding aside, p is always within


def finite(value: float) -> float | None:
    """A number for JSON: None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def share(right: npt.ArrayLike) -> dict[str, Any]:
    """How many answers, the share that is right, and its 95 % Wilson interval.

    Args:
        right: (M,) whether each is right.
    """
    hit = np.asarray(right, dtype=bool)
    return share_of(int(hit.sum()), len(hit))


def accuracy_by_difference(
    difference_mm: npt.ArrayLike, right: npt.ArrayLike, edges_mm: Sequence[float] = EDGES_MM
) -> list[dict[str, Any]]:
    """Share of right answers in bins of true depth difference.

    Args:
        difference_mm: (M,) true depth differences; their sign does not matter.
        right: (M,) whether each answer was right.
        edges_mm: rising lower edges of the bins; the last bin is open.

    Returns:
        A record for each bin: lower_mm, upper_mm (None: open), mean_mm, answers, accuracy, interval; None where a bin
        is empty.
    """
    size, hit = np.abs(np.asarray(difference_mm, dtype=np.float64)), np.asarray(right, dtype=bool)
    if size.shape != hit.shape:
        raise InputError(f"accuracy by difference: {size.shape} differences, but {hit.shape} answers")
    edges = np.asarray(edges_mm, dtype=np.float64)
    bin_ = np.searchsorted(edges, size, side="right") - 1
    records = []
    for i, lower in enumerate(edges.tolist()):
        inside = bin_ == i
        upper = float(edges[i + 1]) if i + 1 < len(edges) else None
        mean = float(size[inside].mean()) if inside.any() else None
        records.append({"lower_mm": lower, "upper_mm": upper, "mean_mm": mean, **share(hit[inside])})
    return records


def accuracy_by_group(group: Array, right: Array, groups: int) -> list[dict[str, Any]]:
    """`share` of each of so many groups; group: (M,) numbers from 0."""
    total = np.bincount(group, minlength=groups)
    hits = np.bincount(group, np.asarray(right, dtype=np.float64), groups)
    return [share_of(int(k), int(n)) for k, n in zip(hits, total, strict=True)]


def share_of(right: int, total: int) -> dict[str, Any]:
    """`share` of what is counted already."""
    if not total:
        return {"answers": 0, "accuracy": None, "interval": None}
    low, high = wilson_interval(right, total)
    return {"answers": total, "accuracy": right / total, "interval": [float(low), float(high)]}


def cohen_kappa(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Cohen's kappa (1960) of two raters' categories of the same items: agreement beyond chance, 1 at best.

    NaN where chance alone would agree always, or nothing was rated.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"Cohen's kappa: expected two ratings of the same items, got {a.shape} and {b.shape}")
    if not len(a):
        return float("nan")
    by_chance = sum(float((a == value).mean() * (b == value).mean()) for value in np.union1d(a, b))
    return (float((a == b).mean()) - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")


def fleiss_kappa(counts: npt.ArrayLike) -> float:
    """Fleiss' kappa (1971) of many raters; items with fewer than two ratings are left out.

    The number of ratings may differ between items; each pair of ratings of an item counts 1 / (pairs of that item).

    Args:
        counts: (I, K) how many raters put each item into each category.
    """
    table = np.asarray(counts, dtype=np.float64)
    ratings = table.sum(axis=1)
    table, ratings = table[ratings > 1], ratings[ratings > 1]
    if not len(table):
        return float("nan")
    agreed = ((table * (table - 1)).sum(axis=1) / (ratings * (ratings - 1))).mean()
    by_chance = float(((table.sum(axis=0) / table.sum()) ** 2).sum())
    return (float(agreed) - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")
