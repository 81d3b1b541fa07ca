"""What nearfar knows of a published data set: where it comes from, how its files are checked, what they become.

Each module of a data set states one `Source`; `nearfar.datasets.catalogue` lists them for ``nearfar data``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nearfar.labels import RelativeLabels
from nearfar.poses import PoseSet

__all__ = ["Download", "Prepared", "Source"]


@dataclass(frozen=True)
class Download:
    """One file that may be downloaded without registration.

    Attributes:
        path: where it goes, relative to the data set's folder.
        urls: mirrors, the first one first.
        sha256: digest in hexadecimal; None where the publisher states none (then the digest is shown, not compared).
        unpack: whether it is a .zip or .tar archive to be unpacked beside itself.
    """

    path: str
    urls: tuple[str, ...]
    sha256: str | None = None
    unpack: bool = False


@dataclass(frozen=True, eq=False)
class Prepared:
    """One part of a data set, read.

    Attributes:
        name: of the part: "train", "test", a protocol.
        poses: its poses.
        labels: relative depth labels of those poses, where the data set has them.
    """

    name: str
    poses: PoseSet
    labels: RelativeLabels | None = None


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes:
        name: as on the command line.
        title: as its authors call it.
        homepage: where it is published.
        licence: its terms in a sentence or two, as far as they matter to a user, and what to cite.
        steps: how to get its files by hand, one step a line, exactly; for what needs registration.
        layout: the files expected in its folder, one pattern a line.
        downloads: what `nearfar data get` may fetch; empty where everything needs registration.
        problems: of a folder: what is missing or wrong, one line each (file, and what was expected); empty when ready.
        prepare: read a folder, part by part, on the named skeleton (None: the data set's usual one). Raises
            `InputError` where files are missing, damaged or of another kind.
    """

    name: str
    title: str
    homepage: str
    licence: str
    steps: str
    layout: str
    problems: Callable[[Path], list[str]]
    prepare: Callable[[Path, str | None], Iterator[Prepared]]
    downloads: tuple[Download, ...] = ()
