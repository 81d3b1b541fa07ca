"""An armature, what motion files hold instead of joints: nodes with fixed offsets that turn, parents first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.skeleton import Skeleton

__all__ = ["Armature", "armature_nodes", "children_of"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Armature:
    """The nodes of a skeleton's tree, and where they rest.

    A joint with one child is one node, whose rotation turns that limb. A joint with several children (a *hub*) is a
    node for itself, and at the same place one more for each limb that leaves it, so that every limb turns by itself:
    the shoulders can be raised, the spine can bend at the pelvis. Joints without children are nodes that do not turn.

    Attributes:
        names: (N,) those of the joints; the node of the limb from hub ``neck`` to ``left_shoulder`` is called
            ``neck_left_shoulder``.
        parents: (N,) node, -1 for the root, which comes first.
        joints: (N,) joint of the skeleton that lies where the node does.
        limbs: (N,) joint at the far end of the limb that the node turns, -1 for hubs and ends.
        offsets: (N, 3) mm from the parent node in the rest pose, and the same ever after; (0, 0, 0) for the root.
    """

    names: tuple[str, ...]
    parents: Array
    joints: Array
    limbs: Array
    offsets: Array

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ends(self) -> Array:
        """(N,) True for nodes that do not turn: the ends of the tree."""
        return ~np.isin(np.arange(len(self)), self.parents)

    def forward(self, rotations: npt.ArrayLike, root: npt.ArrayLike) -> tuple[Array, Array]:
        """Forward kinematics: G_n = G_parent R_n, p_n = p_parent + G_parent o_n.

        Args:
            rotations: (T, N, 3, 3) R, of each node in its parent's frame.
            root: (T, 3) mm, where the root node is.

        Returns:
            (T, N, 3) positions p and (T, N, 3, 3) orientations G.
        """
        local, place = np.asarray(rotations), np.asarray(root)
        turned, position = np.empty_like(local), np.empty((*local.shape[:2], 3))
        for node, parent in enumerate(self.parents):
            if parent < 0:
                turned[:, node], position[:, node] = local[:, node], place
            else:
                turned[:, node] = turned[:, parent] @ local[:, node]
                position[:, node] = position[:, parent] + turned[:, parent] @ self.offsets[node]
        return position, turned

    def rest_positions(self) -> Array:
        """(N, 3) mm of the nodes in the rest pose, the root at the origin."""
        identity = np.broadcast_to(np.eye(3), (1, len(self), 3, 3))
        return np.asarray(self.forward(identity, np.zeros((1, 3)))[0][0])


def children_of(skeleton: Skeleton) -> tuple[tuple[int, ...], ...]:
    """The child joints of each joint in the tree."""
    return tuple(tuple(np.flatnonzero(skeleton.parents == j).tolist()) for j in range(skeleton.num_joints))


def armature_nodes(skeleton: Skeleton, offsets: npt.ArrayLike) -> Armature:
    """The armature of a skeleton, whose joints rest at (J, 3) mm offsets from their parents."""
    o = np.asarray(offsets, dtype=np.float64)
    children = children_of(skeleton)
    names: list[str] = []
    rows: list[tuple[int, int, int]] = []  # parent node, joint, limb
    places: list[Array] = []
    waiting = [(skeleton.root_index, -1, -1)]  # joint, parent node, and for the limbs of a hub the child
    while waiting:
        joint, parent, child = waiting.pop()
        below, node = children[joint], len(names)
        if child >= 0:
            names.append(_unused(f"{skeleton.joints[joint]}_{skeleton.joints[child]}", skeleton.joints))
            rows.append((parent, joint, child))
            places.append(np.zeros(3))
            waiting.append((child, node, -1))
            continue
        names.append(skeleton.joints[joint])
        rows.append((parent, joint, below[0] if len(below) == 1 else -1))
        places.append(np.zeros(3) if parent < 0 else o[joint])
        waiting += [(below[0], node, -1)] if len(below) == 1 else [(joint, node, limb) for limb in reversed(below)]
    parents, joints, limbs = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Armature(tuple(names), parents, joints, limbs, np.array(places).reshape(-1, 3))


def _unused(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
