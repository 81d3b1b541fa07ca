"""Training data on disk: a folder of rows in random order, which may be larger than memory (see `streaming`).

Rows are shuffled once, when they are packed: they are dealt out to buckets at random, and each bucket is shuffled. So
rows that lie together are a random sample, and the disk is read and written in long pieces.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nearfar.errors import InputError
from nearfar.files import read_json, write_text
from nearfar.geometry import root_relative
from nearfar.labels import RelativeLabels
from nearfar.lifting.lifter import with_camera
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton
from nearfar.training.data import expected_relation, trainable
from nearfar.training.run_folder import open_run_folder

__all__ = ["TrainingStore", "pack"]

Array = npt.NDArray[Any]
SCHEMA = "nearfar-store-1"
BUCKET_ROWS = 500_000
LABEL = np.dtype([("pair", "<u2", (2,)), ("probability", "<f4")])


@dataclass(frozen=True, eq=False)
class TrainingStore:
    """Packed training poses, each with one label or more, or with 3D.

    Attributes:
        folder: ``header.json``, ``rows.bin``, ``labels.bin`` and ``first_label.bin``.
        skeleton: of the poses.
        rows: number of poses.
        labels: number of labels; 0 under full supervision alone.
        has_joints: whether there is 3D.
        mean_limb_lengths: (L,) mm over the population, or None.
        provenance: where the poses came from.
        digest: of everything in it.
    """

    folder: Path
    skeleton: Skeleton
    rows: int
    labels: int
    has_joints: bool
    mean_limb_lengths: Array | None
    provenance: Mapping[str, Any]
    digest: str

    def __len__(self) -> int:
        return self.rows

    @staticmethod
    def is_store(path: str | Path) -> bool:
        """Whether a path is a store's folder."""
        return (Path(path) / "header.json").is_file() and (Path(path) / "rows.bin").is_file()

    @classmethod
    def open(cls, folder: str | Path) -> TrainingStore:
        """A store that `pack` made; nothing but its header is read.

        Raises:
            InputError: not a store, or files of it are cut off.
        """
        folder = Path(folder)
        header = read_json(folder / "header.json")
        try:
            if header["schema"] != SCHEMA:
                raise KeyError(f"schema {header['schema']!r}")
            lengths = header["mean_limb_lengths"]
            skeleton = Skeleton.from_dict(header["skeleton"])
            store = cls(
                folder,
                skeleton,
                int(header["rows"]),
                int(header["labels"]),
                bool(header["has_joints"]),
                None if lengths is None else np.array(lengths, dtype=np.float64),
                dict(header["provenance"]),
                str(header["digest"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder}: not a store of training data, or a damaged one ({error})") from None
        sizes = {"rows.bin": store.rows * store.row_type.itemsize, "labels.bin": store.labels * LABEL.itemsize}
        for name, size in (sizes | {"first_label.bin": 8 * (store.rows + 1)}).items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise InputError(f"{path}: expected {size} bytes; pack the store again")
        return store

    @property
    def row_type(self) -> np.dtype[Any]:
        """One pose on disk."""
        return _row_type(self.skeleton.num_joints, joints=self.has_joints)

    def read(self, first: int, count: int) -> tuple[PoseSet, RelativeLabels | None]:
        """Consecutive rows with their labels. They are read, not mapped: mapped pages count as the process's memory."""
        rows = np.fromfile(self.folder / "rows.bin", self.row_type, count, offset=first * self.row_type.itemsize)
        poses = PoseSet(
            self.skeleton,
            keypoints=rows["keypoints"],
            joints=rows["joints"] if self.has_joints else None,
            frame="root",
            intrinsics=rows["intrinsics"],
            mean_limb_lengths=self.mean_limb_lengths,
        )
        if not self.labels:
            return poses, None
        starts = np.fromfile(self.folder / "first_label.bin", "<i8", count + 1, offset=8 * first)
        labels = np.fromfile(
            self.folder / "labels.bin", LABEL, int(starts[-1] - starts[0]), offset=int(starts[0]) * LABEL.itemsize
        )
        return poses, RelativeLabels(
            self.skeleton,
            pose=np.repeat(np.arange(count), np.diff(starts)),
            pair=labels["pair"],
            relation=np.sign(labels["probability"] - 0.5).astype(np.int8),
            probability=labels["probability"],
        )


def pack(
    parts: Iterable[tuple[PoseSet, RelativeLabels | None]],
    out: str | Path,
    *,
    rows: int,
    seed: int = 0,
    progress: bool = True,
) -> TrainingStore:
    """Write poses and labels as a store, shuffled, whole or not at all.

    No more than one part is held in memory, or half a million rows.

    Poses that a network cannot learn from are left out, and, where there are labels, poses without a sure one.

    Args:
        parts: poses on one skeleton and their labels; with joints and labels in all parts, or in none.
        out: folder to make.
        rows: how many there are in all, or nearly: it decides how many buckets they are dealt out to.
        seed: other seeds shuffle otherwise.
        progress: show a progress bar on stderr.

    Raises:
        InputError: the folder is there already or cannot be written, the parts do not fit together, or nothing is left.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"{out}: is there already")
    making = out.with_name(f".{out.name}.packing")
    with open_run_folder(making, "packing"):
        try:
            for left in making.glob("*.bin"):  # by a process that was killed
                left.unlink()
            with tqdm(total=2 * rows, unit="pose", unit_scale=True, disable=not progress) as bar:
                buckets = max(1, -(-rows // BUCKET_ROWS))
                facts = _deal(parts, making, buckets, np.random.default_rng([seed, 0]), bar)
                digest = _shuffle(making, facts, buckets, np.random.default_rng([seed, 1]), bar)
            header = {"schema": SCHEMA, **facts, "digest": digest}
            write_text(making / "header.json", json.dumps(header, indent=1) + "\n")
            (making / ".lock").unlink()
            making.rename(out)
        except BaseException as error:
            shutil.rmtree(making, ignore_errors=True)
            if isinstance(error, OSError):
                raise InputError(f"{out}: cannot write ({error.strerror or error})") from error
            raise
    return TrainingStore.open(out)


def _row_type(joints_count: int, *, joints: bool) -> np.dtype[Any]:
    fields: list[Any] = [("keypoints", "<f4", (joints_count, 2)), ("intrinsics", "<f4", (4,))]
    return np.dtype([*fields, ("joints", "<f4", (joints_count, 3))] if joints else fields)


def _deal(
    parts: Iterable[tuple[PoseSet, RelativeLabels | None]],
    folder: Path,
    buckets: int,
    rng: np.random.Generator,
    bar: Any,
) -> dict[str, Any]:
    """Append every row, and its labels, to one of so many buckets at random; the facts of the header."""
    same: dict[str, Any] = {}
    rows = labels = 0
    for part in parts:
        poses, given = _learnable(*part)
        lengths = poses.mean_limb_lengths
        facts = {
            "skeleton": poses.skeleton.to_dict(),
            "has_joints": poses.joints is not None,
            "labelled": given is not None,
            "mean_limb_lengths": None if lengths is None else np.asarray(lengths, np.float64).tolist(),
        }
        same = same or {**facts, "provenance": dict(poses.provenance)}
        if differ := [name for name, value in facts.items() if value != same[name]]:
            raise InputError(f"pack: the parts differ in {', '.join(differ)}")
        records, told = _records(poses), _told(given, len(poses))
        for number, mine in _groups(rng.integers(buckets, size=len(poses)), buckets):
            _append(folder / f"rows{number}.bin", records[mine])
            if told is not None:
                count, start, all_labels = told
                _append(folder / f"count{number}.bin", count[mine])
                _append(folder / f"labels{number}.bin", all_labels[_ranges(start[mine], count[mine])])
        rows += len(poses)
        labels += 0 if told is None else len(told[2])
        bar.update(len(poses))
    if rows < 2:
        raise InputError(f"pack: {rows} poses to learn from; expected 2 or more")
    del same["labelled"]
    return {**same, "rows": rows, "labels": labels}


def _shuffle(folder: Path, facts: Mapping[str, Any], buckets: int, rng: np.random.Generator, bar: Any) -> str:
    """Join the buckets, each in random order, to the store's files; a digest of them."""
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16)
    row_type = _row_type(len(facts["skeleton"]["joints"]), joints=facts["has_joints"])
    written = 0

    def put(file: IO[bytes], array: Array) -> None:
        data = np.ascontiguousarray(array)
        data.tofile(file)
        digest.update(data.view(np.uint8).data)

    with (
        (folder / "rows.bin").open("wb") as rows_file,
        (folder / "labels.bin").open("wb") as labels_file,
        (folder / "first_label.bin").open("wb") as first_file,
    ):
        put(first_file, np.zeros(1, "<i8"))
        for number in range(buckets):
            rows = _take(folder / f"rows{number}.bin", row_type)
            order = rng.permutation(len(rows))
            put(rows_file, rows[order])
            count = _take(folder / f"count{number}.bin", np.dtype("<i8"))
            labels = _take(folder / f"labels{number}.bin", LABEL)
            if len(count) < len(rows):  # there are no labels
                count = np.zeros(len(rows), "<i8")
            start = np.cumsum(count) - count
            put(labels_file, labels[_ranges(start[order], count[order])])
            put(first_file, written + np.cumsum(count[order]))
            written += len(labels)
            bar.update(len(rows))
    return digest.hexdigest()


def _learnable(poses: PoseSet, labels: RelativeLabels | None) -> tuple[PoseSet, RelativeLabels | None]:
    """The poses that can be learnt from, all with intrinsics, and their sure labels."""
    poses = with_camera(poses, "pack")
    good = trainable(poses)
    if labels is not None:
        labels.check_poses(poses)
        labels = labels.sure()
        good &= np.bincount(labels.pose, minlength=len(poses)) > 0
    if good.all():
        return poses, labels
    return poses.select(good), None if labels is None else labels.of_poses(good)


def _records(poses: PoseSet) -> Array:
    """(N,) as they are on disk."""
    records = np.empty(len(poses), _row_type(poses.skeleton.num_joints, joints=poses.joints is not None))
    records["keypoints"], records["intrinsics"] = poses.keypoints, poses.intrinsics
    if poses.joints is not None:
        if poses.frame == "world":
            raise InputError("pack: joints must be in the camera's frame, and these are in the world's")
        records["joints"] = root_relative(poses.joints, poses.skeleton)
    return records


def _told(labels: RelativeLabels | None, rows: int) -> tuple[Array, Array, Array] | None:
    """Labels as they are on disk: how many each row has, where its first one is, and all of them by row."""
    if labels is None:
        return None
    order = np.argsort(labels.pose, kind="stable")
    told = np.empty(len(labels), LABEL)
    told["pair"] = labels.pair[order]
    told["probability"] = ((1 + expected_relation(labels)) / 2)[order]
    count = np.bincount(labels.pose, minlength=rows)
    return count, np.cumsum(count) - count, told


def _groups(number: Array, groups: int) -> Iterator[tuple[int, Array]]:
    """The rows of each group that has any."""
    order = np.argsort(number, kind="stable")
    ends = np.searchsorted(number[order], np.arange(groups + 1))
    for group in range(groups):
        if ends[group] < ends[group + 1]:
            yield group, order[ends[group] : ends[group + 1]]


def _ranges(start: Array, count: Array) -> Array:
    """start[0], start[0] + 1, ... (count[0] of them), start[1], ..."""
    before = np.cumsum(count) - count
    return np.repeat(start - before, count) + np.arange(int(count.sum()))


def _append(path: Path, array: Array) -> None:
    with path.open("ab") as file:
        array.tofile(file)


def _take(path: Path, dtype: np.dtype[Any]) -> Array:
    """What a bucket's file holds; the file is removed."""
    if not path.exists():
        return np.empty(0, dtype)
    array = np.fromfile(path, dtype)
    path.unlink()
    return array
