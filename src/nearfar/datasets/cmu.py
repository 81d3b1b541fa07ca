"""The CMU Graphics Lab Motion Capture Database, in its own form (ASF/AMC) and as cgspeed's BVH files.

CMU's archive ``allasfamc.zip`` unpacks to ``all_asfamc/subjects/01/01.asf``, ``01_01.amc``, ``01_02.amc`` and so on,
for subject numbers up to 144. B. Hahne (cgspeed.com) converted the motions to BVH, in archives
``cmuconvert-mb2-01-09.zip`` and so on. Both are found at any depth of a folder.

Quirks. AMC files state no frame rate; CMU's site lists 60 frames a second for the motions of some subjects and 120 for
all others, and cgspeed's files state 120 for all, which is overruled here. CMU's own files have no descriptions; the
text file that came with the BVH files (``cmu-mocap-index-text.txt``) has them, and is read where it lies in the folder.
The same person may appear under several subject numbers (mocap.cs.cmu.edu).
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.asf_amc import AcclaimSkeleton, find_asf, is_amc, load_amc, read_asf
from nearfar.datasets.bvh import is_bvh, load_bvh
from nearfar.datasets.joining import join_poses
from nearfar.datasets.joint_map import get_joint_map
from nearfar.datasets.mocap import CMU_ACKNOWLEDGEMENT, CMU_LICENCE
from nearfar.datasets.progress import progress
from nearfar.datasets.source import Download, Prepared, Source
from nearfar.errors import InputError
from nearfar.files import read_bytes
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import get_skeleton

__all__ = ["BVH_SOURCE", "SOURCE", "load_cmu", "load_cmu_bvh", "trial_fps"]

Array = npt.NDArray[Any]

MAX_SPEED = 13_000.0
"""mm a second; frames beside a joint that seems to move faster are glitches."""
TEST_SUBJECTS = frozenset({"03", "11", "17", "35", "49", "86", "88", "90", "113", "131", "143"})
"""Subjects of the test split; those of the benchmark "cmu-4view"."""
VALIDATION_SUBJECTS = frozenset({"07", "09", "16", "39", "45", "46", "127", "136", "144"})
"""Subjects of the validation split; those of the benchmark "cmu-4view"."""

_SLOW_SUBJECTS = frozenset({"33", "34", "42", "60", "61", "62", "74", "75", "77", "79", "80", "87", "88", "89"})
_SLOW_TRIALS = frozenset({"136_19"})
_LEFT_OUT = {"141": "the hips of its skeleton are 354 mm apart"}
_SPLITS = ("train", "val", "test")
_HEAD = 16_384


@dataclass(frozen=True)
class _Trial:
    """One motion file: ``01_02.amc`` is the second of subject 01."""

    path: Path
    subject: str

    @property
    def name(self) -> str:
        return self.path.stem


def trial_fps(name: str) -> float:
    """Frames a second of a motion by its name ("01_01"), as CMU's site lists them: 60 for some, 120 for most."""
    return 60.0 if name in _SLOW_TRIALS or name.partition("_")[0] in _SLOW_SUBJECTS else 120.0


def load_cmu(folder: str | Path, *, fps: float = 30.0, subjects: Collection[str] | None = None) -> PoseSet:
    """Read a folder of CMU's ASF/AMC files as world-frame poses of skeleton ``h36m17``, mm, z up.

    Args:
        folder: with ``01.asf``, ``01_01.amc`` and so on, at any depth.
        fps: frames a second to keep, or the nearest rate that keeps every second, third, … frame; nothing is filtered.
        subjects: read these only ("01"); None reads all but 141, whose skeleton is not a person's.

    Returns:
        One sequence a motion (``cmu/01_01``), with subject (``cmu/01``), description (action) where the index file is
        there, time, and the number of the frame in the file, from 0. Frames beside a joint faster than 13 m/s are left
        out. ``provenance["left_out"]`` says which motions could not be read, and why.

    Raises:
        InputError: no such folder, no motions in it, or none that can be read.
    """
    skeletons: dict[Path, AcclaimSkeleton] = {}

    def read(trial: _Trial, step: int) -> PoseSet:
        asf = find_asf(trial.path)
        if asf not in skeletons:
            skeletons[asf] = read_asf(asf)
        return load_amc(trial.path, "cmu_asf", asf=skeletons[asf], fps=trial_fps(trial.name), step=step)

    return _load(Path(folder), ".amc", read, fps, subjects)


def load_cmu_bvh(folder: str | Path, *, fps: float = 30.0, subjects: Collection[str] | None = None) -> PoseSet:
    """Read a folder of cgspeed's BVH files (MotionBuilder-friendly); see `load_cmu` for what comes out.

    The legs are those of the ASF/AMC files to a hundredth of a millimetre. The upper body is shifted by a constant few
    millimetres, since the conversion lost the length of one bone of the back (joint map ``cgspeed``).

    Raises:
        InputError: as `load_cmu`.
    """

    def read(trial: _Trial, step: int) -> PoseSet:
        poses = load_bvh(trial.path, "cgspeed").select(slice(None, None, step))
        return dataclasses.replace(poses, time=np.asarray(poses.frame_index) / trial_fps(trial.name))

    return _load(Path(folder), ".bvh", read, fps, subjects)


def _load(
    folder: Path,
    suffix: str,
    read: Callable[[_Trial, int], PoseSet],
    fps: float,
    subjects: Collection[str] | None,
) -> PoseSet:
    from tqdm import tqdm

    if not 0 < fps <= 120:
        raise InputError(f"CMU motions: expected a frame rate of up to 120, got {fps:g}")
    trials = _trials(folder, suffix)
    if subjects is None:
        subjects = {trial.subject for trial in trials} - _LEFT_OUT.keys()
    if unknown := sorted(set(subjects) - {trial.subject for trial in trials}):
        raise InputError(f"{folder}: no motions of subjects {', '.join(unknown)}")
    descriptions = _descriptions(folder)
    parts: list[PoseSet] = []
    left_out: dict[str, str] = {}
    glitches = 0
    chosen = [trial for trial in trials if trial.subject in subjects]
    for trial in progress(chosen, "read cmu", "motion"):
        try:
            poses = read(trial, max(1, round(trial_fps(trial.name) / fps)))
        except InputError as error:
            left_out[trial.name] = str(error)
            tqdm.write(f"left out: {error}", file=sys.stderr)
            continue
        usable = _usable(poses)
        glitches += int((~usable).sum())
        parts.append(_named(poses, trial, descriptions).select(usable))
    if not parts:
        raise InputError(f"{folder}: no motion can be read; the first: {next(iter(left_out.values()), 'none')}")
    provenance = {
        "source": "CMU Graphics Lab Motion Capture Database",
        "files": f"{len(parts)} {suffix} files",
        "joint_map": parts[0].provenance["joint_map"],
        "fps": fps,
        "left_out": left_out,
        "glitches": f"{glitches} frames beside a joint faster than {MAX_SPEED / 1000:g} m/s left out",
        "acknowledgement": CMU_ACKNOWLEDGEMENT,
        "licence": CMU_LICENCE,
    }
    return join_poses(parts, provenance)


def _trials(folder: Path, suffix: str) -> list[_Trial]:
    """The motion files of a folder, by subject and number.

    Raises:
        InputError: no such folder, no such files, or one of them twice.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[tuple[int, int], _Trial] = {}
    for path in sorted(folder.rglob("*")):
        match = re.fullmatch(r"(\d{2,3})_(\d{2,3})", path.stem, re.ASCII)
        if match is None or path.suffix.lower() != suffix or not path.is_file():
            continue
        key = int(match[1]), int(match[2])
        if key in found:
            raise InputError(f"{folder}: motion {path.stem} is there twice: {found[key].path} and {path}")
        found[key] = _Trial(path, match[1])
    if not found:
        raise InputError(f"{folder}: no {suffix} files named like 01_01{suffix}, at any depth")
    return [found[key] for key in sorted(found)]


def _descriptions(folder: Path) -> dict[str, str]:
    """Motion -> description, from the index file that comes with the BVH files; nothing where it is missing."""
    path = next(iter(sorted(folder.rglob("cmu-mocap-index-*.txt"))), None)
    if path is None:
        return {}
    text = read_bytes(path).decode("utf-8", errors="replace")
    lines = (re.match(r"\s*(\d{2,3}_\d{2,3})\s+(\S.*)", line) for line in text.splitlines())
    return {match[1]: match[2].strip() for match in lines if match is not None}


def _named(poses: PoseSet, trial: _Trial, descriptions: Mapping[str, str]) -> PoseSet:
    def column(name: str) -> Category:
        return Category(np.zeros(len(poses), np.int32), (name,))

    action = column(descriptions.get(trial.name, "unknown")) if descriptions else None
    return dataclasses.replace(
        poses, sequence=column(f"cmu/{trial.name}"), subject=column(f"cmu/{trial.subject}"), action=action
    )


def _usable(poses: PoseSet) -> Array:
    """(N,) False beside joints that move faster than people do."""
    joints, time = poses.joints, poses.time
    usable = np.ones(len(poses), bool)
    if joints is not None and time is not None and len(poses) > 1:
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(axis=1) / np.diff(time)
        fast = speed > MAX_SPEED
        usable[1:] &= ~fast
        usable[:-1] &= ~fast
    return usable


def _prepare(folder: Path, skeleton: str | None, suffix: str, load: Callable[..., PoseSet]) -> Iterator[Prepared]:
    target = get_skeleton(skeleton or "h36m17")
    subjects = {trial.subject for trial in _trials(folder, suffix)} - _LEFT_OUT.keys()
    of_split = {"test": subjects & TEST_SUBJECTS, "val": subjects & VALIDATION_SUBJECTS}
    of_split["train"] = subjects - of_split["test"] - of_split["val"]
    for split in _SPLITS:
        if of_split[split]:
            yield Prepared(split, load(folder, subjects=of_split[split]).remap(target))


def _problems(folder: Path) -> list[str]:
    try:
        trials = _trials(folder, ".amc")
    except InputError as error:
        return [str(error)]
    found: dict[str, None] = {}  # in order, each once
    needed = get_joint_map("cmu_asf")
    checked: set[Path] = set()
    for trial in trials:
        try:
            asf = find_asf(trial.path)
            if asf not in checked:
                checked.add(asf)
                needed.weights(read_asf(asf).names, str(asf))
        except InputError as error:
            found[str(error)] = None
        if not is_amc(_head(trial.path)):
            found[f"{trial.path}: not an AMC file: expected :DEGREES, a frame number, and the root"] = None
    return list(found)


def _bvh_problems(folder: Path) -> list[str]:
    try:
        trials = _trials(folder, ".bvh")
    except InputError as error:
        return [str(error)]
    found = []
    for trial in trials:
        head = _head(trial.path)
        if not is_bvh(head):
            found.append(f"{trial.path}: not a BVH file: expected HIERARCHY first")
        elif not re.search(r"\bLeftUpLeg\b", head):
            found.append(f"{trial.path}: no joint LeftUpLeg: not of cgspeed's MotionBuilder-friendly release")
    return found


def _head(path: Path) -> str:
    """The first bytes of a file as text; of one that cannot be read, nothing."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD).decode("utf-8", errors="replace")
    except OSError:
        return ""


_TERMS = f"{CMU_LICENCE} To be stated with results: {CMU_ACKNOWLEDGEMENT}"
_INDEX = Download(
    "cmu-mocap-index-text.txt",
    ("https://raw.githubusercontent.com/una-dinosauria/cmu-mocap/master/cmu-mocap-index-text.txt",),
)

SOURCE = Source(
    name="cmu",
    title="CMU Graphics Lab Motion Capture Database (ASF/AMC)",
    homepage="http://mocap.cs.cmu.edu",
    licence=_TERMS,
    steps=(
        "Download http://mocap.cs.cmu.edu/allasfamc.zip (about 1.1 GB; linked on http://mocap.cs.cmu.edu/faqs.php).\n"
        "Unpack it in a folder.\n"
        "For descriptions of the motions, put cmu-mocap-index-text.txt of the BVH conversion beside it."
    ),
    layout="**/01.asf\n**/01_01.amc\ncmu-mocap-index-text.txt (may be missing)",
    problems=_problems,
    prepare=lambda folder, skeleton: _prepare(folder, skeleton, ".amc", load_cmu),
    downloads=(
        Download(
            "allasfamc.zip",
            ("http://mocap.cs.cmu.edu/allasfamc.zip", "https://mocap.cs.cmu.edu/allasfamc.zip"),
            unpack=True,
        ),
        _INDEX,
    ),
)
"""CMU's motions as CMU publishes them, for ``nearfar data``."""

# Digests of two archives stand in the records of a public repository; of the others none are stated.
_BVH_DIGESTS = {
    "01-09": "8822d96dac5694cb5df35e017fa7df174a051249d48d70d6732a7b68953016d9",
    "86-94": "b35e3c0e47ddfe32a58600f57e552a2387a9acbcbde1ad5d35b69277a25829d4",
}
_BVH_ARCHIVES = (
    "01-09", "10-14", "15-19", "20-29", "30-34", "35-39", "40-45", "46-56", "60-75", "76-80", "81-85", "86-94",
    "102-111", "113-128", "131-135", "136-140", "141-144",
)  # fmt: skip

BVH_SOURCE = Source(
    name="cmu_bvh",
    title="CMU Graphics Lab Motion Capture Database (cgspeed's BVH conversion, MotionBuilder-friendly, 2010)",
    homepage="https://sites.google.com/a/cgspeed.com/cgspeed/motion-capture",
    licence=_TERMS + " The conversion's author, B. Hahne, adds no restrictions.",
    steps=(
        "Follow the links of cgspeed.com's motion capture section to the MotionBuilder-friendly release.\n"
        "Unpack the archives cmuconvert-mb2-01-09.zip to cmuconvert-mb2-141-144.zip, each in a folder of its own."
    ),
    layout="**/01_01.bvh\n**/cmu-mocap-index-text.txt (may be missing)",
    problems=_bvh_problems,
    prepare=lambda folder, skeleton: _prepare(folder, skeleton, ".bvh", load_cmu_bvh),
    downloads=(
        *(
            Download(
                f"cmuconvert-mb2-{subjects}/cmuconvert-mb2-{subjects}.zip",
                (f"https://codewelt.com/dl/cmuconvert/cmuconvert-mb2-{subjects}.zip",),
                sha256=_BVH_DIGESTS.get(subjects),
                unpack=True,
            )
            for subjects in _BVH_ARCHIVES
        ),
        _INDEX,
    ),
)
"""CMU's motions as BVH files, for ``nearfar data``."""
