"""``nearfar data info``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.datasets.source import Source
    from nearfar.labels import RelativeLabels
    from nearfar.poses import PoseSet

MOST_NAMES = 12


@dataclass(frozen=True)
class Info:
    """Say what a file of poses or labels holds, or what a published data set is; draw a contact sheet of poses."""

    file: Annotated[Path, tyro.conf.Positional]
    """Any file of poses or labels that nearfar reads, or the name of a data set in `nearfar data list`."""
    labels: bool = False
    """The file holds labels, not poses; Parquet tables and pickled answers always do."""
    skeleton: str | None = None
    """Skeleton, where the file does not say."""
    image_size: str | None = None
    """WIDTHxHEIGHT in pixels, where the file does not say."""
    joint_map: str | None = None
    """For motion files (BVH, C3D, AMC): the map of their joints, by name or a .toml file."""
    sheet: Path | None = None
    """Contact sheet of random poses to draw: .png, .svg or .pdf."""
    count: int = 12
    """Poses on the sheet."""
    images: Path | None = None
    """Folder of the image files that the sequences are called after, to show behind the keypoints on the sheet."""
    seed: int = 0
    """Other seeds put other poses on the sheet."""

    def run(self) -> None:
        """Read, print, draw."""
        from nearfar.cli.inputs import image_size
        from nearfar.datasets import load_labels, load_poses
        from nearfar.datasets.catalogue import SOURCES
        from nearfar.datasets.keypoint_files import sniff
        from nearfar.viewing.figures import check_suffix, save_figure

        named = None if self.file.exists() else str(self.file)
        source = next((source for source in SOURCES if source.name == named), None)
        labels = source is None and (self.labels or sniff(self.file) in ("parquet", "pickle"))
        if self.sheet is not None:
            check_suffix(self.sheet)
            if source is not None or labels:
                raise InputError(f"{self.file}: a contact sheet is drawn of a file of poses")
        elif self.images is not None:
            raise InputError("--images is for the contact sheet: say --sheet too")
        if source is not None:
            _print_source(source)
        elif labels:
            _print_labels(load_labels(self.file, skeleton=self.skeleton))
        else:
            size = None if self.image_size is None else image_size(self.image_size)
            poses = load_poses(self.file, skeleton=self.skeleton, image_size=size, joint_map=self.joint_map)
            _print_poses(poses, self.file)
            if self.sheet is not None:
                from nearfar.viewing.contact_sheet import contact_sheet

                figure = contact_sheet(
                    poses, count=self.count, seed=self.seed, images=self.images, title=self.file.name
                )
                save_figure(figure, self.sheet)
                print(self.sheet)


def _print_source(source: Source) -> None:
    print(f"{source.title}\n{source.homepage}\n\nLicence: {source.licence}\n")
    print("Files:", source.layout.strip(), "", sep="\n")
    if source.steps.strip():
        print("By hand:", source.steps.strip(), "", sep="\n")
    if source.downloads:
        print(f"Download: nearfar data get {source.name} --out FOLDER")
        for item in source.downloads:
            print(f"  {item.path}: {item.urls[0]}")


def _print_labels(labels: RelativeLabels) -> None:
    import numpy as np

    skeleton, n = labels.skeleton, len(labels)
    print(f"{n} labels ({labels.kind}) of skeleton {skeleton.name} ({skeleton.num_joints} joints)")
    print(f"poses: {len(np.unique(labels.pose))}, pairs: {len(np.unique(np.sort(labels.pair, axis=1), axis=0))}")
    for relation, meaning in ((-1, "a is nearer"), (1, "b is nearer"), (0, "equal")):
        count = int((labels.relation == relation).sum())
        print(f"{meaning}: {count} ({100 * count / max(n, 1):.1f} %)")
    if labels.annotator is not None:
        print(f"annotators: {len(np.unique(labels.annotator))}")
    if labels.probability is not None:
        print(f"probability that b is nearer: {_range(labels.probability)}")
    _print_provenance(labels.provenance)


def _print_poses(poses: PoseSet, path: Path) -> None:
    import numpy as np

    print(f"{len(poses)} poses of skeleton {poses.skeleton.name} ({poses.skeleton.num_joints} joints)")
    if path.is_file():
        print(f"file: {path.stat().st_size / 1e6:.1f} MB")
    for name, unit in (("keypoints", "pixels"), ("joints", f"mm, frame {poses.frame}")):
        points = getattr(poses, name)
        if points is not None:
            seen = np.isfinite(points).all(axis=-1)
            present = 100 * seen.mean() if seen.size else 0.0
            print(f"{name}: {unit}, {present:.1f} % present ({points.dtype})")
            missing = 100 - 100 * seen.mean(axis=0) if len(seen) else np.zeros(poses.skeleton.num_joints)
            if gaps := [f"{poses.skeleton.joints[j]} {missing[j]:.1f} %" for j in np.flatnonzero(missing)]:
                print(f"  missing: {', '.join(gaps)}")
    if poses.scores is not None:
        print(f"scores: {_range(poses.scores)}")
    for name in ("sequence", "subject", "action"):
        if (column := getattr(poses, name)) is not None:
            codes, counts = np.unique(column.codes, return_counts=True)
            print(f"{name}s: {len(codes)}" + _listed([column.names[c] for c in codes], counts))
    if poses.person is not None:
        print(f"persons: {len(np.unique(poses.person))}")
    if poses.image_size is not None:
        sizes, counts = np.unique(poses.image_size, axis=0, return_counts=True)
        print(f"image sizes: {len(sizes)}" + _listed([f"{w:g}x{h:g}" for w, h in sizes.tolist()], counts))
    if poses.intrinsics is not None and len(poses):
        print(f"focal lengths: {_range(poses.intrinsics[:, :2])} pixels")
    if poses.time is not None:
        print(f"time: {_range(poses.time)} s")
    _print_provenance(poses.provenance)


def _print_provenance(provenance: Any) -> None:
    for key, value in provenance.items():
        print(f"{key}: {value}")


def _listed(names: list[str], counts: Any) -> str:
    """The names with their counts, where they are few."""
    if len(names) > MOST_NAMES:
        return ""
    return " (" + ", ".join(f"{name} {count}" for name, count in zip(names, counts.tolist(), strict=True)) + ")"


def _range(values: Any) -> str:
    import numpy as np

    known = np.asarray(values)[np.isfinite(values)]
    return f"{known.min():g} to {known.max():g}" if known.size else "none known"
