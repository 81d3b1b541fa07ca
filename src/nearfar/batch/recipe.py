"""Lifting one input: what shards and Ray's workers do, the same in both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nearfar.batch.inputs import DISK_FULL, fetched, plain
from nearfar.errors import InputError
from nearfar.media import is_image, is_video
from nearfar.poses import PoseSet

if TYPE_CHECKING:
    from nearfar.detection import Detector
    from nearfar.lifting import Lifter

__all__ = ["FailedError", "InputLifter", "Recipe", "slices"]

SLICE = 32_768
"""Poses at a time, where clips allow: what bounds memory, and a row group of the results."""


class FailedError(Exception):
    """This input cannot be lifted, and others can; the message is one line."""


@dataclass(frozen=True)
class Recipe:
    """How inputs are lifted: the options of ``nearfar lift`` of the same names.

    Attributes:
        weights: of the lifter; None: the package's for clips, and for images.
        detector: of keypoints in images and videos.
        people, person: who is lifted.
        causal: a frame of a clip sees no later ones.
        smooth: how clips are smoothed, as `nearfar.smoothing.smoother_of` reads it.
        bridge_gaps: seconds of gaps that are bridged.
        intrinsics: fx, fy, cx, cy in pixels of all inputs.
        focal: or their focal length.
        fov: or their field of view, degrees.
        skeleton, image_size, input_fps, one_clip: of keypoint files that do not say it.
    """

    weights: str | None = None
    detector: str = "mediapipe"
    people: int | None = None
    person: int | None = None
    causal: bool = False
    smooth: str | None = None
    bridge_gaps: float | None = None
    intrinsics: tuple[float, float, float, float] | None = None
    focal: str | None = None
    fov: float | None = None
    skeleton: str | None = None
    image_size: tuple[int, int] | None = None
    input_fps: float = 30.0
    one_clip: bool = False


class InputLifter:
    """Lifts one input after the other. Networks are loaded with the first that needs them, and kept.

    Args:
        recipe: how.

    Raises:
        InputError: the recipe's weights cannot be read.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._detector: Detector | None = None
        self._lifters: dict[str, Lifter] = {}
        if recipe.weights is not None:
            self._lifter(recipe.weights)

    def lift(self, name: str, place: str) -> Iterator[PoseSet]:
        """The poses of one input, at most `SLICE` at a time where its clips are not longer.

        Args:
            name: what messages call it.
            place: path, or address that fsspec reads.

        Raises:
            FailedError: it cannot be had, read or lifted, or nobody is in it.
            InputError: nothing could be lifted: the detector or weights cannot be had.
            OSError: the disk for temporary files is full.
        """
        detector = self._detect_with() if is_image(plain(place)) or is_video(plain(place)) else None
        try:
            with fetched(place) as path:
                try:
                    yield from self._lift_file(path, detector)
                except InputError as error:
                    raise InputError(str(error).replace(str(path), name)) from error
        except Exception as error:  # whatever a file of a million does to a library, the others go on
            raise _failed(name, place, error) from error

    def _lift_file(self, path: Path, detector: Detector | None) -> Iterator[PoseSet]:
        found = self._read(path) if detector is None else self._find(path, detector)
        if not len(found):
            raise InputError(f"{path}: no poses in it")
        parts = slices(found)
        lifter = self._lifter(self.recipe.weights or _weights_for(parts))
        for part in parts:
            yield self._lift(part, lifter)

    def _detect_with(self) -> Detector:
        if self._detector is None:
            from nearfar.detection import get_detector

            self._detector = get_detector(self.recipe.detector)
        return self._detector

    def _lifter(self, name: str) -> Lifter:
        if name not in self._lifters:
            from nearfar.lifting import load

            self._lifters[name] = load(name)
        return self._lifters[name]

    def _find(self, path: Path, detector: Detector) -> PoseSet:
        from nearfar.detection import detect_media
        from nearfar.intrinsics import choose_intrinsics

        recipe = self.recipe
        found = detect_media(path, detector, people=recipe.people, person=recipe.person, progress=False)
        return choose_intrinsics(
            found, intrinsics=recipe.intrinsics, focal=recipe.focal, field_of_view=recipe.fov, media=path
        )

    def _read(self, path: Path) -> PoseSet:
        from nearfar.datasets import load_poses_to_lift
        from nearfar.intrinsics import choose_intrinsics

        recipe = self.recipe
        found = load_poses_to_lift(
            path,
            skeleton=recipe.skeleton,
            image_size=recipe.image_size,
            person=recipe.person,
            people=recipe.people,
            fps=recipe.input_fps,
            one_clip=recipe.one_clip,
        )
        return choose_intrinsics(found, intrinsics=recipe.intrinsics, focal=recipe.focal, field_of_view=recipe.fov)

    def _lift(self, poses: PoseSet, lifter: Lifter) -> PoseSet:
        from nearfar.pipeline import refine
        from nearfar.smoothing import smoother_of

        recipe = self.recipe
        lifted = lifter.lift_poses(poses, causal=recipe.causal, fps=recipe.input_fps)
        smoother = None if recipe.smooth is None else smoother_of(recipe.smooth)
        return refine(lifted, smoother, longest_gap=recipe.bridge_gaps, fps=recipe.input_fps)


def slices(poses: PoseSet, most: int = SLICE) -> list[PoseSet]:
    """The poses in pieces of at most `most` rows, and more only where a sequence is longer: clips stay whole."""
    n = len(poses)
    if n <= most:
        return [poses]
    cuts = np.arange(1, n)
    if poses.time is not None or poses.frame_index is not None:
        codes = np.zeros(n, np.int64) if poses.sequence is None else poses.sequence.codes
        last = np.zeros(codes.max() + 1, np.int64)
        last[codes] = np.arange(n)  # of each sequence, the last row stays
        cuts = np.flatnonzero(np.maximum.accumulate(last[codes]) <= np.arange(n))[:-1] + 1
    ends = [0]
    while ends[-1] + most < n and len(cuts := cuts[cuts > ends[-1]]):
        within = int(np.searchsorted(cuts, ends[-1] + most, side="right"))
        ends.append(int(cuts[max(within - 1, 0)]))
    return [poses.select(slice(*rows)) for rows in pairwise([*ends, n])]


def _weights_for(parts: list[PoseSet]) -> str:
    """The package's weights: those for clips where there is one in any part."""
    from nearfar.lifting import default_weights

    names = map(default_weights, parts)
    return next((name for name in names if name != "default"), "default")


def _failed(name: str, place: str, error: Exception) -> FailedError:
    """One line that says what was wrong with an input, under its name.

    Raises:
        OSError: the disk is full, which is not the input's fault.
    """
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        raise error
    said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    said = said.replace(place, name)
    return FailedError(" ".join((said if name in said else f"{name}: {said}").split()))
