"""How far raters agree: experts with each other, and with the crowd."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.consensus import Votes, votes_of
from nearfar.errors import InputError
from nearfar.labels import RelativeLabels
from nearfar.skeleton import Skeleton
from nearfar.study.measures import cohen_kappa, finite, fleiss_kappa, share

__all__ = ["agreement", "crowd_kappa", "relations_of"]

Array = npt.NDArray[Any]
CROWD = "crowd"


def agreement(experts: RelativeLabels, crowd: RelativeLabels | None = None) -> dict[str, Any]:
    """Share of the pairs that two raters both ordered alike, and Cohen's kappa, for every two raters.

    Kappa does not depend on which joint was asked first, and is of the order low joint number, high joint number.
    Answers of 0 take no part. An expert who answered a pair more than once counts with the majority.

    Args:
        experts: answers with annotators.
        crowd: merged labels of the same poses, one rater more; or None.

    Returns:
        ``raters`` (names, the crowd last), ``agreement`` (a record with answers, accuracy, interval for every two, rows
        by columns; None on the diagonal), ``kappa`` likewise, ``experts_fleiss_kappa``; and with a crowd
        ``crowd_with_agreed_experts``: how often it says what all experts say, where they agree.

    Raises:
        InputError: experts without annotators, labels of another skeleton or kind.
    """
    if experts.annotator is None:
        raise InputError("agreement: expert answers need annotators")
    if crowd is not None and (crowd.kind != "merged" or crowd.skeleton.joints != experts.skeleton.joints):
        raise InputError("agreement: the crowd's labels must be merged, and of the experts' skeleton")
    votes = votes_of(experts)
    opinions = [_opinions(votes, worker) for worker in range(len(votes.workers))]
    raters = votes.workers.tolist()
    if crowd is not None:
        raters.append(CROWD)
        opinions.append(relations_of(crowd, votes.pose, votes.pair))
    pairs = [[_two(a, b) if i != j else None for j, b in enumerate(opinions)] for i, a in enumerate(opinions)]
    result: dict[str, Any] = {
        "raters": raters,
        "pairs": votes.items,
        "agreement": [[None if two is None else two[0] for two in row] for row in pairs],
        "kappa": [[None if two is None else two[1] for two in row] for row in pairs],
        "experts_fleiss_kappa": finite(crowd_kappa(votes)),
    }
    if crowd is not None:
        said = np.stack(opinions[:-1])
        agreed = np.where((said == said[0]).all(axis=0), said[0], 0)
        both = (agreed != 0) & (opinions[-1] != 0)
        result["crowd_with_agreed_experts"] = share(agreed[both] == opinions[-1][both])
    return result


def crowd_kappa(votes: Votes) -> float:
    """Fleiss' kappa of all answers that are not 0."""
    sides = [votes.per_item((votes.relation == side).astype(float)) for side in (-1, 1)]
    return fleiss_kappa(np.stack(sides, axis=1))


def relations_of(labels: RelativeLabels, pose: Array, pair: Array) -> Array:
    """(I,) what merged labels say of other pairs, the way round that those have it; 0 where nothing.

    Args:
        labels: merged labels.
        pose: (I,) rows of the same poses.
        pair: (I, 2) joints.
    """
    if not len(labels):
        return np.zeros(len(pose), dtype=np.int8)
    known, wanted = _keys(labels.skeleton, labels.pose, labels.pair), _keys(labels.skeleton, pose, pair)
    order = np.argsort(known, kind="stable")
    relation = np.where(labels.pair[:, 0] > labels.pair[:, 1], -labels.relation, labels.relation)[order]
    place = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
    found = np.where(known[order][place] == wanted, relation[place], 0)
    return np.where(pair[:, 0] > pair[:, 1], -found, found)


def _keys(skeleton: Skeleton, pose: Array, pair: Array) -> Array:
    """(I,) a number for each pair of each pose, whichever way round it is written."""
    joints = skeleton.num_joints
    return np.asarray((pose.astype(np.int64) * joints + pair.min(axis=1)) * joints + pair.max(axis=1))


def _opinions(votes: Votes, worker: int) -> Array:
    """(I,) -1, +1, or 0 where the worker said nothing, or nothing clear."""
    return np.sign(votes.per_item(votes.relation * (votes.worker == worker)))


def _two(first: Array, second: Array) -> tuple[dict[str, Any], float | None]:
    both = (first != 0) & (second != 0)
    return share(first[both] == second[both]), finite(cohen_kappa(first[both], second[both]))
