"""Biovision hierarchy files (.bvh): a skeleton of offsets, and angles frame after frame.

The text has a HIERARCHY of ROOT, JOINT and End Site blocks, each with an OFFSET from its parent and CHANNELS in any
order, and a MOTION part: ``Frames:``, ``Frame Time:``, and one line of channel values a frame. Angles are degrees about
the axes of the moving frame, the first channel outermost. Position channels take the place of the OFFSET, on the root
as on other joints, which is what Blender's importer and the reader of the LaFAN1 data set do. The file says neither
its unit nor which way is up: the joint map does (`nearfar.datasets.joint_map`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.joint_map import JointMap, get_joint_map, motion_poses
from nearfar.datasets.motion import MOST_NUMBER, euler_to_rotmat, parse_numbers
from nearfar.errors import InputError
from nearfar.files import read_text
from nearfar.poses import PoseSet

__all__ = ["Bvh", "is_bvh", "load_bvh", "read_bvh"]

Array = npt.NDArray[Any]

_CHANNELS = {f"{axis}{kind}": kind[0] + axis for axis in "xyz" for kind in ("position", "rotation")}
_STILL_NODES = 32  # beyond the moving ones and their ends; keeps the work in proportion to the file


@dataclass(frozen=True, eq=False)
class Bvh:
    """What a BVH file holds, in its own unit and axes.

    Attributes:
        names: N nodes, parents before children. The end site of joint ``Head`` is called ``Head_end``.
        parents: (N,) node, -1 for the root.
        offsets: (N, 3) from the parent.
        channels: for each node "px", "py", "pz" for positions and "rx", "ry", "rz" for rotations, in the file's order.
        frame_time: seconds from frame to frame.
        motion: (F, C) values of all channels, node after node.
    """

    names: tuple[str, ...]
    parents: Array
    offsets: Array
    channels: tuple[tuple[str, ...], ...]
    frame_time: float
    motion: Array

    def __len__(self) -> int:
        return len(self.motion)

    def positions(self, frames: slice = slice(None)) -> Array:
        """(F, N, 3) positions of the nodes in some of the frames, by forward kinematics."""
        motion = self.motion[frames]
        out = np.empty((len(motion), len(self.names), 3))
        turns: list[Array] = []
        at = 0
        for node, (parent, channels) in enumerate(zip(self.parents, self.channels, strict=True)):
            values = motion[:, at : at + len(channels)]
            at += len(channels)
            place = np.broadcast_to(self.offsets[node], (len(motion), 3)).copy()
            for i, channel in enumerate(channels):
                if channel[0] == "p":
                    place[:, "xyz".index(channel[1])] = values[:, i]
            axes = [i for i, channel in enumerate(channels) if channel[0] == "r"]
            turn = euler_to_rotmat("".join(channels[i][1] for i in axes), values[:, axes])
            if parent < 0:
                out[:, node] = place
                turns.append(turn)
            else:
                out[:, node] = out[:, parent] + (turns[parent] @ place[..., None])[..., 0]
                turns.append(turns[parent] @ turn if axes else turns[parent])
        return out

    def mended(self, zero_offsets: Mapping[str, str], where: str) -> Bvh:
        """The same with the OFFSETs of some joints, zero in the file, set to those of others.

        Args:
            zero_offsets: joint -> joint whose OFFSET it takes, as in a joint map.
            where: what error messages call the file.

        Raises:
            InputError: no such joint.
        """
        offsets = self.offsets.copy()
        for name, source in zero_offsets.items():
            for needed in (name, source):
                if needed not in self.names:
                    raise InputError(f"{where}: no joint {needed!r}, whose OFFSET the joint map speaks of")
            if not self.offsets[self.names.index(name)].any():
                offsets[self.names.index(name)] = self.offsets[self.names.index(source)]
        return dataclasses.replace(self, offsets=offsets)


def is_bvh(text: str) -> bool:
    """Whether a text is that of a BVH file."""
    return text.lstrip()[:9].upper() == "HIERARCHY"


def load_bvh(path: str | Path, joint_map: str | Path | JointMap) -> PoseSet:
    """Read a BVH file as world-frame poses, mm, z up; one sequence, named like the file.

    Args:
        path: the file.
        joint_map: which joints become which, the unit and the axis that is up.

    Raises:
        InputError: not a BVH file, damaged, joints that the map needs are missing, or the map leaves the unit or the
            axis that is up open.
    """
    path, chosen = Path(path), get_joint_map(joint_map)
    if chosen.unit_mm is None or chosen.up is None:
        raise InputError(f"{path}: BVH files do not say their unit or which way is up: joint map {chosen.name!r} must")
    bvh = read_bvh(path).mended(chosen.zero_offsets, str(path))
    if len(bvh) <= chosen.skip_frames:
        raise InputError(f"{path}: {len(bvh)} frames, of which the first {chosen.skip_frames} are no motion")
    return motion_poses(
        bvh.positions, bvh.names, range(chosen.skip_frames, len(bvh)), 1 / bvh.frame_time, chosen, path, kind="BVH"
    )


def read_bvh(path: str | Path) -> Bvh:
    """Read a BVH file as it is.

    Raises:
        InputError: no such file, not a BVH file, cut off, or damaged; the message says where.
    """
    text = read_text(path)
    if not is_bvh(text):
        raise InputError(f"{path}: not a BVH file: expected HIERARCHY first, got {text.split(None, 1)[0][:20]!r}")
    divide = re.search(r"[\s}]MOTION(?=\s+Frames:)", text, re.IGNORECASE)
    if divide is None:
        raise InputError(f"{path}: cut off: no MOTION with 'Frames:' after the HIERARCHY")
    names, parents, offsets, channels = _hierarchy(_Words(text[: divide.start() + 1], str(path)))
    frames, frame_time, values = _motion_header(text[divide.end() :], str(path))
    count = sum(map(len, channels))
    motion = parse_numbers(values)
    if motion is None:
        raise InputError(f"{path}: MOTION: {_not_a_number(values)!r} is not a number of up to {MOST_NUMBER:g}")
    if motion.size != frames * count:
        raise InputError(
            f"{path}: MOTION: {frames} frames of {count} channels need {frames * count} numbers, got {motion.size}"
        )
    if not motion.size:
        raise InputError(f"{path}: no motion in it ({frames} frames, {count} channels)")
    return Bvh(names, np.array(parents), np.array(offsets), channels, frame_time, motion.reshape(frames, count))


class _Words:
    """The words of the HIERARCHY, one after the other."""

    def __init__(self, text: str, where: str) -> None:
        self._words = iter(text.replace("{", " { ").replace("}", " } ").split())
        self.where = where

    def __iter__(self) -> Iterator[str]:
        return self._words

    def take(self, context: str) -> str:
        for word in self._words:
            return word
        raise InputError(f"{self.where}: HIERARCHY cut off in {context}")

    def expect(self, word: str, context: str) -> None:
        if (got := self.take(context)).upper() != word:
            raise InputError(f"{self.where}: {context}: expected {word}, got {got!r}")

    def numbers(self, count: int, context: str) -> list[float]:
        words = [self.take(context) for _ in range(count)]
        values = parse_numbers(words)
        if values is None or len(values) != count:
            raise InputError(f"{self.where}: {context}: expected {count} numbers, got {' '.join(words)}")
        return [float(value) for value in values]


def _hierarchy(words: _Words) -> tuple[tuple[str, ...], list[int], list[list[float]], tuple[tuple[str, ...], ...]]:
    """Names, parents, offsets and channels of the nodes."""
    names: dict[str, int] = {}
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    open_nodes: list[str] = []
    moving = 0
    words.expect("HIERARCHY", "HIERARCHY")
    for word in words:
        match word.upper():
            case "}" if open_nodes:
                open_nodes.pop()
                continue
            case "ROOT" if not names:
                name = _name(words, "ROOT")
            case "JOINT" if open_nodes:
                name = _name(words, "JOINT")
            case "END" if open_nodes:
                name = f"{open_nodes[-1]}_end"
                words.expect("SITE", f"end of {open_nodes[-1]}")
                words.expect("{", name)
            case "ROOT":
                raise InputError(f"{words.where}: HIERARCHY: a second ROOT; one skeleton a file is read")
            case _:
                raise InputError(f"{words.where}: HIERARCHY: did not expect {word[:40]!r} after node {len(names)}")
        if name in names:
            raise InputError(f"{words.where}: HIERARCHY: two nodes are called {name!r}")
        words.expect("OFFSET", name)
        names[name] = len(names)
        parents.append(names[open_nodes[-1]] if open_nodes else -1)
        offsets.append(words.numbers(3, f"OFFSET of {name}"))
        channels.append(() if word.upper() == "END" else _node_channels(words, name))
        open_nodes.append(name)
        moving += len(channels[-1]) > 0
        if len(names) > 2 * moving + _STILL_NODES:
            raise InputError(f"{words.where}: HIERARCHY: more than {_STILL_NODES} nodes that do not move")
    if open_nodes or not names:
        raise InputError(f"{words.where}: HIERARCHY cut off: {'no ROOT' if not names else 'a } is missing'}")
    return tuple(names), parents, offsets, tuple(channels)


def _name(words: _Words, kind: str) -> str:
    """The words up to the brace; some programs write names with spaces."""
    parts = []
    while (word := words.take(f"the name of a {kind}")) != "{":
        parts.append(word)
    if not parts:
        raise InputError(f"{words.where}: HIERARCHY: a {kind} without a name")
    return " ".join(parts)


def _node_channels(words: _Words, name: str) -> tuple[str, ...]:
    words.expect("CHANNELS", name)
    count = words.take(f"CHANNELS of {name}")
    if count not in tuple("0123456"):
        raise InputError(f"{words.where}: CHANNELS of {name}: expected 0 to 6, got {count!r}")
    given = [words.take(f"CHANNELS of {name}") for _ in range(int(count))]
    channels = tuple(_CHANNELS.get(channel.lower(), "") for channel in given)
    if "" in channels or len(set(channels)) != len(channels):
        raise InputError(f"{words.where}: CHANNELS of {name}: expected different ones of {[*_CHANNELS]}, got {given}")
    return channels


def _motion_header(tail: str, where: str) -> tuple[int, float, str]:
    """Number of frames, frame time, and the text after them."""
    words = tail.split(None, 5)[:5]
    try:
        frames_key, frames, frame_key, time_key, frame_time = words
        keys = f"{frames_key} {frame_key} {time_key}".lower()
        count, seconds = int(frames), float(frame_time)
    except ValueError:
        keys, count, seconds = "", 0, 0.0
    if keys != "frames: frame time:" or count < 0 or not 0 < seconds < np.inf:
        raise InputError(
            f"{where}: MOTION: expected 'Frames: N' and 'Frame Time: SECONDS', got {' '.join(words)[:80]!r}"
        )
    return count, seconds, (tail.split(None, 5) + [""] * 6)[5]


def _not_a_number(values: str) -> str:
    """The first word that is no number."""
    return next((word[:40] for word in values.split() if parse_numbers(word) is None), "")
