"""Which image each pose was seen in, and how large it is."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from nearfar.errors import InputError
from nearfar.media import is_image
from nearfar.poses import PoseSet

__all__ = ["ImageFolder", "image_sizes", "match_images", "path_within"]

Array = npt.NDArray[Any]

LONGEST_NAME = 1000
ORIENTATION = 0x0112
SIDEWAYS = frozenset({5, 6, 7, 8})
"""Values of EXIF's orientation that exchange width and height (JEITA CP-3451, 4.6.4)."""

UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, UnidentifiedImageError,
    Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for damaged images."""


def path_within(folder: Path, name: str) -> Path:
    """The file of that name below a folder.

    Raises:
        InputError: the name leads out of the folder, by ``..``, as an absolute path, or through a symbolic link.
    """
    root = folder.resolve()
    try:
        path = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):  # a NUL in the name, a loop of links
        raise InputError(f"image {name!r}: not a file name") from None
    if not path.is_relative_to(root) or path == root:
        raise InputError(f"image {name!r}: leads out of the folder of images")
    return path


@dataclass(frozen=True)
class ImageFolder:
    """The images below a folder, by what they may be called.

    Attributes:
        folder: the folder.
        names: of all images, as paths below the folder with ``/``.
        by_name, by_stem: file name, with and without its ending -> paths.
    """

    folder: Path
    names: frozenset[str]
    by_name: Mapping[str, Sequence[str]]
    by_stem: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, folder: str | Path) -> ImageFolder:
        """List a folder and those in it.

        Raises:
            InputError: no such folder, or no image in it.
        """
        root = Path(folder)
        if not root.is_dir():
            raise InputError(f"{root}: no such folder of images")
        names: set[str] = set()
        by_name: dict[str, list[str]] = defaultdict(list)
        by_stem: dict[str, list[str]] = defaultdict(list)
        for place, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            below = Path(place).relative_to(root)
            for file in sorted(files):
                if is_image(file) and not file.startswith("."):
                    name = (below / file).as_posix()
                    names.add(name)
                    by_name[file].append(name)
                    by_stem[Path(file).stem].append(name)
        if not names:
            raise InputError(f"{root}: no images in this folder")
        return cls(root, frozenset(names), by_name, by_stem)

    def find(self, said: str) -> str | None:
        """The image that a file of keypoints calls so; None where there is none.

        Raises:
            InputError: several images may be meant.
        """
        plain = str(PurePosixPath(said.replace("\\", "/")))
        if plain in self.names:
            return plain
        last = plain.rpartition("/")[2]
        meant = self.by_name.get(last) or self.by_stem.get(last) or ()
        below = [name for name in meant if f"/{name}".endswith(f"/{plain}") or f"/{plain}".endswith(f"/{name}")]
        meant = below if len(below) == 1 else meant
        if len(meant) > 1:
            raise InputError(
                f"{self.folder}: {said!r} may be {meant[0]} or {meant[1]} (of {len(meant)} images so called)"
            )
        return meant[0] if meant else None

    def frames(self, clip: str, *, only: bool) -> dict[int, str]:
        """The numbered frames of a clip: below a folder of its name, called after it, or (`only` clip) all there are.

        Raises:
            InputError: two images of one number.
        """
        stem = Path(clip).stem
        inside = [name for name in self.names if name.startswith((f"{clip}/", f"{stem}/"))]
        called = re.compile(rf"{re.escape(stem)}[-_. ]?(?:frame[-_. ]?)?\d+")
        named = [name for name in self.names if called.fullmatch(Path(name).stem)]
        frames: dict[int, str] = {}
        for name in sorted(inside or named or (self.names if only else ())):
            number = re.search(r"(\d+)\D*$", Path(name).stem)
            if number is None:
                continue
            frame = int(number[1][-18:])
            if frame in frames:
                raise InputError(f"{self.folder}: {frames[frame]} and {name}: both are frame {frame} of {clip!r}")
            frames[frame] = name
        return frames


def match_images(poses: PoseSet, folder: ImageFolder) -> tuple[tuple[str, ...], Array]:
    """Find the image of each pose.

    The pose's sequence names its image: as a path below the folder, or by its file name, with or without its ending.
    Where it names a clip instead, the images are the clip's frames, and the last number in their names is the number of
    the frame, from 0; from 1 where the images are all frames, numbered from 1, as ffmpeg does it. Of a clip, some
    frames may be missing: their poses have no image.

    Returns:
        Names of images, below the folder, and (N,) which of them each pose was seen in, -1 for none.

    Raises:
        InputError: an image that is named is not there, or it cannot be told which image is meant.
    """
    if poses.sequence is None and poses.frame_index is None:
        raise InputError(
            "keypoints: they do not say which images they were found in: name the image of each pose in `sequence`"
        )
    codes = np.zeros(len(poses), np.int64) if poses.sequence is None else poses.sequence.codes.astype(np.int64)
    clips = ("",) if poses.sequence is None else poses.sequence.names
    used = np.unique(codes)
    names: dict[str, int] = {}
    image = np.full(len(poses), -1, np.int64)
    by_name = {int(code): folder.find(clips[code]) if clips[code] else None for code in used}
    is_clip = poses.frame_index is not None and _many_frames(codes, poses.frame_index, len(clips))
    if is_clip or all(found is None for found in by_name.values()):
        if poses.frame_index is None:
            raise InputError(f"{folder.folder}: no image {clips[used[0]]!r}, which the keypoints name")
        order = np.argsort(codes, kind="stable")
        for code, rows in zip(used, np.split(order, np.flatnonzero(np.diff(codes[order])) + 1), strict=True):
            frames = folder.frames(clips[code], only=len(used) == 1)
            index = poses.frame_index[rows].astype(np.int64)
            shift = _first_number(frames, index, clips[code], folder.folder)
            for row, frame in zip(rows.tolist(), index.tolist(), strict=True):
                if (name := frames.get(frame + shift)) is not None:
                    image[row] = names.setdefault(name, len(names))
    else:
        if missing := [clips[code] for code in by_name if by_name[code] is None]:
            raise InputError(
                f"{folder.folder}: no image {missing[0]!r}, which the keypoints name "
                f"({len(missing)} of {len(used)} are missing)"
            )
        number = np.full(len(clips), -1, np.int64)
        for code, found in by_name.items():
            number[code] = names.setdefault(str(found), len(names))
        image = number[codes]
    if too_long := [name for name in names if len(name) > LONGEST_NAME]:
        raise InputError(f"{folder.folder}: {too_long[0][:60]}...: a name of more than {LONGEST_NAME} characters")
    return tuple(names), image


def _many_frames(codes: Array, frame_index: Array, clips: int) -> bool:
    """Whether some sequence has poses of several frames."""
    low = np.full(clips, np.iinfo(np.int64).max)
    high = np.full(clips, -1)
    np.minimum.at(low, codes, frame_index)
    np.maximum.at(high, codes, frame_index)
    return bool((high > low).any())


def _first_number(frames: Mapping[int, str], index: Array, clip: str, folder: Path) -> int:
    """The number of frame 0 in the names of the images: 0, or 1."""
    where = f"{folder}: frames of {clip!r}" if clip else f"{folder}: frames"
    if not frames:
        raise InputError(
            f"{where}: none found; expected images with the number of the frame in their names, such as frame_0000.jpg"
        )
    first, last, count = min(frames), max(frames), int(index.max()) + 1
    if first == 1 and last == len(frames) and index.min() == 0:
        if last == count:
            return 1
        if last < count:
            raise InputError(
                f"{where}: images 1..{last}, but the clip has {count} frames, so that it is not clear which they are: "
                "extract all frames, or number the images by their frame from 0"
            )
    if not set(frames).intersection(index.tolist()):
        raise InputError(
            f"{where}: images {first}..{last}, but the keypoints are of frames {index.min()}..{index.max()}"
        )
    return 0


def image_sizes(folder: Path, names: Sequence[str], *, progress: bool = False) -> Array:
    """(I, 2, 2) width and height of images in pixels: upright (by EXIF's orientation), and as stored.

    Raises:
        InputError: an image that cannot be read, or that lies outside of the folder.
    """
    sizes = np.empty((len(names), 2, 2), np.int32)
    for row, name in enumerate(tqdm(names, desc="looking at images", unit="image", leave=False, disable=not progress)):
        path = path_within(folder, name)
        try:
            with Image.open(path) as image:
                stored = image.size
                turned = image.getexif().get(ORIENTATION) in SIDEWAYS
        except UNREADABLE as error:
            raise InputError(f"{path}: not an image that can be read, or a damaged one ({error})") from None
        sizes[row] = stored[::-1] if turned else stored, stored
    return sizes
