"""Acclaim skeleton and motion files (.asf, .amc), the original form of CMU's motion capture database.

The skeleton (ASF) is a tree of bones without gaps: each begins where its parent ends, and ends `length` along its
`direction`, given in the world's axes at rest. ``axis`` is the frame, by three angles, in which the bone's degrees of
freedom (``dof``) turn it. The motion (AMC) gives each bone its degrees of freedom frame after frame, relative to the
parent. Angles are applied in the order listed, about fixed axes (Acclaim Skeleton File Definition 1.10 and the notes on
it at graphics.cs.cmu.edu/nsp/course/cs229/info/ACCLAIMdef.html):

    R_bone = R_parent C M C⁻¹,   end_bone = end_parent + R_bone (length · direction)

with C the axis frame and M the motion. Lengths and root positions of CMU's files are in inches times the ``length`` of
``:units``, 0.45: ``(1.0/0.45)*2.54/100.0`` makes metres of them (mocap.cs.cmu.edu/faqs.php). Files of others may mean
another unit; their joint map says so. The files know no frame rate: CMU recorded at 120 frames a second, some subjects
at 60.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.joint_map import JointMap, get_joint_map, motion_poses
from nearfar.datasets.motion import euler_to_rotmat, parse_numbers
from nearfar.errors import InputError
from nearfar.files import read_text
from nearfar.poses import PoseSet

__all__ = ["AcclaimSkeleton", "Bone", "find_asf", "is_amc", "joint_positions", "load_amc", "read_amc", "read_asf"]

Array = npt.NDArray[Any]

INCH_MM = 25.4
CMU_FPS = 120.0
_MOST_BONES = 256
_TRANSLATIONS, _ROTATIONS = ("tx", "ty", "tz"), ("rx", "ry", "rz")


@dataclass(frozen=True, eq=False)
class Bone:
    """One bone of an Acclaim skeleton; the root is one of no length.

    Attributes:
        name: as in the file.
        parent: index of the bone that it begins at; -1 for the root.
        offset: (3,) length times direction: from the bone's beginning to its end, at rest, in the file's unit.
        axis: (3, 3) C, the frame in which its degrees of freedom turn it.
        dof: names of its degrees of freedom in the file's order, of "rx", "ry", "rz"; "tx", "ty", "tz" for the root.
        limits: (D, 2) degrees, lower and upper limit of each degree of freedom; None where the file has none.
    """

    name: str
    parent: int
    offset: Array
    axis: Array
    dof: tuple[str, ...]
    limits: Array | None = None


@dataclass(frozen=True, eq=False)
class AcclaimSkeleton:
    """What an ASF file holds.

    Attributes:
        bones: the root first, parents before children.
        unit_mm: mm in the file's unit, if that is CMU's: inches times the ``length`` of ``:units``.
        degrees: whether the file's angles are degrees (else radians).
        position: (3,) of the root at rest, in the file's unit.
    """

    bones: tuple[Bone, ...]
    unit_mm: float
    degrees: bool
    position: Array

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bones, "root" first. In joint maps a bone's name stands for its end."""
        return tuple(bone.name for bone in self.bones)


def is_amc(text: str) -> bool:
    """Whether a text is that of an AMC file: keywords, then the number of the first frame, then the root."""
    lines = (line for _, line in _lines(text[:100_000]))
    words = (line for line in lines if not line.startswith(":"))
    return re.fullmatch(r"\d+", next(words, "")) is not None and next(words, "").startswith("root ")


def load_amc(
    path: str | Path,
    joint_map: str | Path | JointMap = "cmu_asf",
    *,
    asf: str | Path | AcclaimSkeleton | None = None,
    fps: float = CMU_FPS,
    step: int = 1,
) -> PoseSet:
    """Read an AMC file as world-frame poses, mm, z up; one sequence, named like the file.

    Args:
        path: the ``.amc`` file.
        joint_map: which bones' ends become which joint.
        asf: its skeleton; None looks for it beside the file (`find_asf`).
        fps: frames a second of the file, which does not say it.
        step: read every so many frames only.

    Raises:
        InputError: files missing or damaged, a motion of another skeleton, or bones that the map needs are missing.
    """
    path, chosen = Path(path), get_joint_map(joint_map)
    if not 0 < fps < np.inf or step < 1:
        raise InputError(f"{path}: expected a positive frame rate and step, got {fps} and {step}")
    skeleton = asf if isinstance(asf, AcclaimSkeleton) else read_asf(find_asf(path) if asf is None else asf)
    motion = read_amc(path, skeleton)
    if chosen.up is None:
        raise InputError(f"{path}: AMC files do not say which way is up: joint map {chosen.name!r} must")
    count = len(motion["root"])
    if count <= chosen.skip_frames:
        raise InputError(f"{path}: {count} frames, of which the first {chosen.skip_frames} are no motion")
    return motion_poses(
        lambda frames: joint_positions(skeleton, {name: values[frames] for name, values in motion.items()}),
        skeleton.names,
        range(chosen.skip_frames, count, step),
        fps,
        chosen,
        path,
        kind="ASF/AMC",
        unit_mm=chosen.unit_mm or skeleton.unit_mm,
    )


def find_asf(path: str | Path) -> Path:
    """The skeleton of an AMC file: ``01.asf`` beside ``01_01.amc``, or the only ASF file in its folder.

    Raises:
        InputError: there is none, or several that may be meant.
    """
    path = Path(path)
    skeletons = sorted(entry for entry in path.parent.glob("*") if entry.suffix.lower() == ".asf")
    fitting = [entry for entry in skeletons if path.stem == entry.stem or path.stem.startswith(f"{entry.stem}_")]
    if fitting:
        return max(fitting, key=lambda entry: len(entry.stem))
    if len(skeletons) != 1:
        raise InputError(f"{path}: expected its skeleton (.asf) beside it, found {[s.name for s in skeletons]}")
    return skeletons[0]


def joint_positions(skeleton: AcclaimSkeleton, motion: Mapping[str, Array]) -> Array:
    """(F, B, 3) ends of all bones (the root: its position), in the file's unit and axes.

    Args:
        skeleton: with B bones.
        motion: for each bone with degrees of freedom their values (F, D), angles in degrees.
    """
    frames = len(motion["root"])
    ends = np.empty((frames, len(skeleton.bones), 3))
    turns: list[Array] = []
    for i, bone in enumerate(skeleton.bones):
        values = motion[bone.name] if bone.dof else np.zeros((frames, 0))
        angles = [(name[1], k) for k, name in enumerate(bone.dof) if name in _ROTATIONS][::-1]
        turn = euler_to_rotmat("".join(axis for axis, _ in angles), values[:, [k for _, k in angles]])
        turn = bone.axis @ turn @ bone.axis.T
        if bone.parent < 0:
            ends[:, i] = skeleton.position
            for k, name in enumerate(bone.dof):
                if name in _TRANSLATIONS:
                    ends[:, i, _TRANSLATIONS.index(name)] += values[:, k]
            turns.append(turn)
        else:
            turns.append(turns[bone.parent] @ turn if bone.dof else turns[bone.parent])
            ends[:, i] = ends[:, bone.parent] + turns[i] @ bone.offset
    return ends


def read_asf(path: str | Path) -> AcclaimSkeleton:
    """Read an Acclaim skeleton.

    Raises:
        InputError: no such file, not an ASF file, cut off, or damaged; the message says where.
    """
    sections = _sections(read_text(path), str(path))
    if missing := [name for name in ("root", "bonedata", "hierarchy") if name not in sections]:
        raise InputError(f"{path}: not an ASF file, or cut off: no {', '.join(':' + name for name in missing)}")
    units = {words[0].lower(): words[1:] for _, words in sections.get("units", [])}
    degrees = _angle_unit(units.get("angle", ["deg"]), f"{path}: :units angle")
    length = _values(units.get("length", ["1"]), 1, f"{path}: :units length")[0]
    if not 0 < length < np.inf:
        raise InputError(f"{path}: :units length: expected a positive number, got {length:g}")
    root = {words[0].lower(): words[1:] for _, words in sections["root"]}
    position = _values(root.get("position", ["0", "0", "0"]), 3, f"{path}: :root position")
    order = tuple(word.lower() for word in root.get("order", [*_TRANSLATIONS, *_ROTATIONS]))
    if sorted(order) != sorted((*_TRANSLATIONS, *_ROTATIONS)):
        raise InputError(f"{path}: :root order: expected TX TY TZ RX RY RZ in some order, got {' '.join(order)}")
    if _values(root.get("orientation", ["0", "0", "0"]), 3, f"{path}: :root orientation").any():
        raise InputError(f"{path}: :root orientation: only 0 0 0 can be read; the format leaves open what others mean")
    bones = [Bone("root", -1, np.zeros(3), np.eye(3), order)]
    blocks = _bone_blocks(sections["bonedata"], str(path))
    for name, parent in _parents(sections["hierarchy"], str(path)):
        if name not in blocks:
            raise InputError(f"{path}: :hierarchy: bone {name!r} is not in :bonedata")
        bones.append(_bone(name, parent, blocks[name], degrees, f"{path}: bone {name!r}"))
    if unused := sorted(blocks.keys() - {bone.name for bone in bones}):
        raise InputError(f"{path}: :hierarchy: no parent is given for {', '.join(unused)}")
    return AcclaimSkeleton(tuple(bones), INCH_MM / length, degrees, position)


def read_amc(path: str | Path, skeleton: AcclaimSkeleton) -> dict[str, Array]:
    """Read an Acclaim motion: bone -> values (F, D) of its degrees of freedom, angles in degrees.

    Raises:
        InputError: no such file, not an AMC file, cut off, or not of this skeleton; the message says where.
    """
    numbered = list(_lines(read_text(path)))
    keywords = [line.lower() for _, line in numbered if line.startswith(":")]
    degrees = True if ":degrees" in keywords else False if ":radians" in keywords else skeleton.degrees
    lines = [(number, line) for number, line in numbered if not line.startswith(":")]
    begins = [i for i, (_, line) in enumerate(lines) if line.isascii() and line.isdigit()]
    if not begins or begins[0] != 0:
        raise InputError(f"{path}: not an AMC file: expected a frame number after the keywords")
    moving = {bone.name: bone for bone in skeleton.bones if bone.dof}
    block = begins[1] if len(begins) > 1 else len(lines)
    names = [line.split(None, 1)[0] for _, line in lines[1:block]]
    if unknown := sorted(set(names) - moving.keys()):
        raise InputError(f"{path}: {', '.join(unknown[:8])}: no such bones, or none that move, in its skeleton")
    if missing := [name for name in moving if name not in names]:
        raise InputError(f"{path}: cut off, or of another skeleton: frame 1 lacks {', '.join(missing)}")
    if len(names) != len(moving):
        raise InputError(f"{path}: frame 1 has a bone twice")
    frames = len(begins)
    if begins != list(range(0, len(lines), block)) or frames * block != len(lines):
        number = next((i for i, at in enumerate(begins) if at != i * block), frames)
        raise InputError(f"{path}: cut off or damaged: frame {number} (of {frames}) has not {block - 1} bones")
    motion = {}
    for row, name in enumerate(names, start=1):
        dof = moving[name].dof
        column = lines[row::block]
        values = None
        if all(line.startswith(f"{name} ") for _, line in column):
            values = parse_numbers([line[len(name) :] for _, line in column])
        if values is None or values.size != frames * len(dof):
            raise InputError(f"{path}: {_bad_line(column, name, len(dof))}")
        motion[name] = values.reshape(frames, len(dof))
        if not degrees:
            motion[name][:, [k for k, freedom in enumerate(dof) if freedom in _ROTATIONS]] *= 180 / np.pi
    return motion


def _bad_line(column: list[tuple[int, str]], name: str, count: int) -> str:
    for number, line in column:
        values = parse_numbers(line.partition(" ")[2])
        if line.split(None, 1)[0] != name or values is None or len(values) != count:
            return f"line {number}: expected {name!r} and {count} numbers, got {line[:60]!r}"
    return f"expected {name!r} and {count} numbers a frame"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, without comments and what is empty."""
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.partition("#")[0].replace("\t", " ").strip()
        if content:
            yield number, content


def _sections(text: str, where: str) -> dict[str, list[tuple[int, list[str]]]]:
    """Keyword -> numbered lines of words; commas and parentheses count as white space."""
    sections: dict[str, list[tuple[int, list[str]]]] = {}
    current: list[tuple[int, list[str]]] = []
    for number, line in _lines(text):
        words = re.sub(r"[(),]", " ", line).split()
        if line.startswith(":"):
            keyword = words[0][1:].lower()
            if keyword in sections:
                raise InputError(f"{where}: line {number}: a second :{keyword}")
            current = sections[keyword] = [(number, words[1:])] if words[1:] else []
        elif words:
            current.append((number, words))
    return sections


def _bone_blocks(lines: list[tuple[int, list[str]]], where: str) -> dict[str, dict[str, list[str]]]:
    """Bone -> its entries; numbers on lines of their own belong to the entry before (limits)."""
    blocks: dict[str, dict[str, list[str]]] = {}
    entries: dict[str, list[str]] | None = None
    key = ""
    for number, words in lines:
        word = words[0].lower()
        if word == "begin":
            entries, key = {}, ""
        elif entries is None:
            raise InputError(f"{where}: line {number}: expected begin, got {words[0][:40]!r}")
        elif word == "end":
            name = " ".join(entries.get("name", []))
            if not name or name in blocks or name == "root":
                raise InputError(f"{where}: line {number}: a bone without a name of its own ({name!r})")
            blocks[name], entries = entries, None
        elif word[0].isalpha() and word not in ("inf", "nan"):
            key = word
            entries[key] = words[1:]
        elif key == "limits":
            entries[key] += words
        else:
            raise InputError(f"{where}: line {number}: did not expect {' '.join(words)[:40]!r}")
    if entries is not None:
        raise InputError(f"{where}: cut off: a bone without end")
    return blocks


def _parents(lines: list[tuple[int, list[str]]], where: str) -> Iterator[tuple[str, int]]:
    """Each bone with the index of its parent, in an order that has parents first; the root is 0."""
    children: dict[str, list[str]] = {}
    for _, words in lines:
        if words[0].lower() not in ("begin", "end"):
            children.setdefault(words[0], []).extend(words[1:])
    index = {"root": 0}
    waiting = ["root"]
    while waiting:
        parent = waiting.pop()
        for child in children.pop(parent, []):
            if child in index:
                raise InputError(f"{where}: :hierarchy: bone {child!r} has two parents")
            if len(index) >= _MOST_BONES:
                raise InputError(f"{where}: :hierarchy: more than {_MOST_BONES} bones")
            index[child] = len(index)
            waiting.append(child)
            yield child, index[parent]
    if children:
        raise InputError(f"{where}: :hierarchy: {', '.join(sorted(children)[:8])} do not lead to the root")


def _bone(name: str, parent: int, entries: Mapping[str, list[str]], degrees: bool, where: str) -> Bone:
    for key in ("direction", "length"):
        if key not in entries:
            raise InputError(f"{where}: no {key}")
    direction = _values(entries["direction"], 3, f"{where}: direction")
    length = _values(entries["length"], 1, f"{where}: length")[0]
    norm = math.hypot(*direction) if length else 1.0
    if not 0 < norm < np.inf or length < 0:
        raise InputError(f"{where}: expected a direction and a length that is not negative")
    dof = tuple(word.lower() for word in entries.get("dof", []))
    if not set(dof) <= set(_ROTATIONS) or len(set(dof)) != len(dof):
        raise InputError(f"{where}: dof: only rx, ry and rz can be read, got {' '.join(dof)}")
    limits = None
    if dof and "limits" in entries:
        # Half the files write "-inf" and "inf" for no limit; angles stay in degrees.
        limits = np.array([_limit(word, f"{where}: limits") for word in entries["limits"]])
        if limits.size != 2 * len(dof):
            raise InputError(f"{where}: limits: expected {2 * len(dof)} numbers for {len(dof)} dof, got {limits.size}")
        limits = limits.reshape(-1, 2) * (1 if degrees else 180 / np.pi)
    frame = _axis_frame(entries.get("axis", ["0", "0", "0", "XYZ"]), degrees, f"{where}: axis")
    return Bone(name, parent, length * direction / norm, frame, dof, limits)


def _axis_frame(words: list[str], degrees: bool, where: str) -> Array:
    """(3, 3) from three angles and the order of their axes."""
    order = words[3].lower() if len(words) == 4 else ""
    if sorted(order) != ["x", "y", "z"]:
        raise InputError(f"{where}: expected three angles and an order such as XYZ, got {' '.join(words)[:60]!r}")
    angles = dict(zip("xyz", _values(words[:3], 3, where) * (1 if degrees else 180 / np.pi), strict=True))
    return euler_to_rotmat(order[::-1], [angles[axis] for axis in order[::-1]])


def _angle_unit(words: list[str], where: str) -> bool:
    unit = "".join(words).lower()
    if unit not in ("deg", "rad"):
        raise InputError(f"{where}: expected deg or rad, got {unit[:40]!r}")
    return unit == "deg"


def _values(words: list[str], count: int, where: str) -> Array:
    values = parse_numbers(words)
    if values is None or len(values) != count:
        raise InputError(f"{where}: expected {count} numbers, got {' '.join(words)[:60]!r}")
    return values


def _limit(word: str, where: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise InputError(f"{where}: expected a number, got {word[:40]!r}") from None
