"""`PoseSet`: the one container that poses travel in, from loader to viewer.

On disk it is an uncompressed ``.npz`` file without pickled objects: any numpy reads it, and `PoseSet.load` maps it
into memory. The schema is in docs/formats.md.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.camera import assumed_intrinsics, check_field_of_view
from nearfar.errors import InputError
from nearfar.files import open_npz, write_npz
from nearfar.skeleton import Skeleton, mirror
from nearfar.skeleton_maps import Remap, remap

__all__ = ["Category", "Frame", "PoseSet", "with_field_of_view", "with_intrinsics"]

Array = npt.NDArray[Any]
Frame = Literal["camera", "root", "world"]
SCHEMA = "nearfar-poses-1"


@dataclass(frozen=True, eq=False)
class Category:
    """A column of names, stored as codes: ``names[codes[i]]`` is row i's name.

    Attributes:
        codes: (N,) integers.
        names: the names that the codes point at.
    """

    codes: Array
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        codes = np.asarray(self.codes)
        if codes.ndim != 1 or not np.issubdtype(codes.dtype, np.integer):
            raise InputError(f"category codes: expected (N,) integers, got {codes.dtype} of shape {codes.shape}")
        if not all(isinstance(name, str) for name in self.names):
            raise InputError("category names: expected text")
        if codes.size and (codes.min() < 0 or codes.max() >= len(self.names)):
            raise InputError(f"category codes: expected 0..{len(self.names) - 1}, got {codes.min()}..{codes.max()}")

    @classmethod
    def of(cls, values: npt.ArrayLike) -> Category:
        """Encode (N,) strings."""
        names, codes = np.unique(np.asarray(values, dtype=np.str_), return_inverse=True)
        return cls(codes.astype(np.int32), tuple(str(name) for name in names))

    def values(self) -> Array:
        """The (N,) names, as strings."""
        return np.array(self.names, dtype=np.str_)[self.codes]

    def select(self, rows: Any) -> Category:
        """Some of the rows."""
        return Category(self.codes[rows], self.names)


@dataclass(frozen=True, eq=False)
class PoseSet:
    """N poses of one skeleton, in 2D, 3D or both, with what is known about each.

    Every array has one row a pose. A missing joint is NaN with score 0. The rows of one person in one clip are in
    order of time.

    Attributes:
        skeleton: skeleton of the J joints.
        keypoints: (N, J, 2) pixels, origin at the top-left corner of the top-left pixel; or None.
        scores: (N, J) detection scores in 0..1; or None.
        occluded: (N, J) bool, the joint is hidden in the image, though its place may be known; or None where not said.
        joints: (N, J, 3) mm; or None.
        frame: what `joints` are relative to: "camera" (x right, y down, z forward), "root" (the camera's axes,
            the root joint at the origin), "world" (z up, right-handed).
        root_position: (N, 3) mm, the root joint in the camera frame, for root-relative poses; or None.
        intrinsics: (N, 4) fx, fy, cx, cy in pixels; or None. ``provenance["intrinsics"]`` says where they are from.
        image_size: (N, 2) width, height in pixels; or None.
        time: (N,) seconds; or None.
        frame_index: (N,) number of the frame within its clip; or None.
        person: (N,) identity within the clip; or None.
        sequence, subject, action: names of clip, performer and activity; or None.
        mean_limb_lengths: (L,) mm, mean lengths of the skeleton's limbs over a population, not the row's own; or None.
        provenance: where the poses came from and what was done to them (JSON-safe).
    """

    skeleton: Skeleton
    keypoints: Array | None = None
    scores: Array | None = None
    occluded: Array | None = None
    joints: Array | None = None
    frame: Frame = "camera"
    root_position: Array | None = None
    intrinsics: Array | None = None
    image_size: Array | None = None
    time: Array | None = None
    frame_index: Array | None = None
    person: Array | None = None
    sequence: Category | None = None
    subject: Category | None = None
    action: Category | None = None
    mean_limb_lengths: Array | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frame not in get_args(Frame):
            raise InputError(f"pose set: frame must be one of {get_args(Frame)}, got {self.frame!r}")
        if self.keypoints is None and self.joints is None:
            raise InputError("pose set: needs keypoints, joints or both")
        if not isinstance(self.provenance, Mapping):
            raise InputError(f"pose set: provenance: expected facts by name, got {type(self.provenance).__name__}")
        n = len(self)
        for name, shape in self._shapes(n).items():
            array = getattr(self, name)
            if array is None:
                continue
            if not isinstance(array, np.ndarray) or array.shape != shape:
                got = array.shape if isinstance(array, np.ndarray) else type(array).__name__
                raise InputError(f"pose set: {name}: expected an array of shape {shape}, got {got}")
            if array.dtype.kind not in ("b" if name == "occluded" else "fiu"):
                kind = "bool" if name == "occluded" else "numbers"
                raise InputError(f"pose set: {name}: expected {kind}, got {array.dtype}")
        for name in _CATEGORIES:
            column = getattr(self, name)
            if column is not None and len(column.codes) != n:
                raise InputError(f"pose set: {name}: expected {n} rows, got {len(column.codes)}")

    def _shapes(self, n: int) -> dict[str, tuple[int, ...]]:
        j = self.skeleton.num_joints
        return {
            "keypoints": (n, j, 2),
            "scores": (n, j),
            "occluded": (n, j),
            "joints": (n, j, 3),
            "root_position": (n, 3),
            "intrinsics": (n, 4),
            "image_size": (n, 2),
            "time": (n,),
            "frame_index": (n,),
            "person": (n,),
            "mean_limb_lengths": (len(self.skeleton.limbs),),
        }

    def __len__(self) -> int:
        array = self.keypoints if self.keypoints is not None else self.joints
        return 0 if array is None or not np.ndim(array) else len(array)

    def _repr_html_(self) -> str:
        """What a notebook shows: the poses in 3D, with no request to the network."""
        from nearfar.viewing.notebook import notebook_html

        return notebook_html(self)

    def select(self, rows: Any) -> PoseSet:
        """Some of the rows: a slice, a mask or an array of row numbers."""
        changes: dict[str, Any] = {}
        for name in (*_ROW_ARRAYS, *_CATEGORIES):
            column = getattr(self, name)
            if column is not None:
                changes[name] = column.select(rows) if isinstance(column, Category) else column[rows]
        return dataclasses.replace(self, **changes)

    def remap(self, target: str | Path | Skeleton) -> PoseSet:
        """The same poses on another skeleton.

        Derived joints are NaN where a joint that they are made of is missing, with the least of the parts' scores, and
        occluded where one of their parts is. Mean limb lengths do not carry over.

        Raises:
            InputError: some joints of the target cannot be derived.
        """
        mapping: Remap = remap(self.skeleton, target)
        if mapping.source == mapping.target:
            return self
        if self.frame == "root" and self.joints is not None and self.skeleton.root != mapping.target.root:
            raise InputError(
                f"poses relative to {self.skeleton.root!r} cannot become skeleton {mapping.target.name!r}, whose root "
                f"is {mapping.target.root!r}: use camera-frame poses"
            )
        return dataclasses.replace(
            self,
            skeleton=mapping.target,
            keypoints=None if self.keypoints is None else mapping.points(self.keypoints),
            joints=None if self.joints is None else mapping.points(self.joints),
            scores=None if self.scores is None else mapping.scores(self.scores),
            occluded=None if self.occluded is None else ~mapping.scores(~self.occluded).astype(bool),
            mean_limb_lengths=None,
        )

    def mirrored(self) -> PoseSet:
        """The poses seen in a mirror: left and right exchanged, x reflected (in the image about the principal point).

        Raises:
            InputError: there are keypoints but neither intrinsics nor image size, so no mirror line; or world poses.
        """
        changes: dict[str, Any] = {}
        if self.keypoints is not None:
            if self.intrinsics is None and self.image_size is None:
                raise InputError("pose set: mirroring keypoints needs intrinsics or image size")
            centre = self.intrinsics[:, 2] if self.intrinsics is not None else self.image_size[:, 0] / 2  # type: ignore[index]
            changes["keypoints"] = mirror(self.keypoints, self.skeleton, centre).astype(self.keypoints.dtype)
        if self.joints is not None:
            if self.frame == "world":
                raise InputError("pose set: mirroring is defined in the camera's frame, not in the world's")
            changes["joints"] = mirror(self.joints, self.skeleton)
        if self.scores is not None:
            changes["scores"] = self.scores[:, self.skeleton.mirror_permutation]
        if self.occluded is not None:
            changes["occluded"] = self.occluded[:, self.skeleton.mirror_permutation]
        if self.root_position is not None:
            changes["root_position"] = self.root_position * np.array([-1, 1, 1], self.root_position.dtype)
        return dataclasses.replace(self, **changes)

    def save(self, path: str | Path) -> None:
        """Write to an uncompressed ``.npz`` file, whole or not at all; numpy alone can read it.

        Raises:
            InputError: the name does not end in ``.npz``, or the file cannot be written.
        """
        if Path(path).suffix != ".npz":
            raise InputError(f"{path}: pose sets are saved as .npz files")
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        names: dict[str, list[str]] = {}
        for name in _CATEGORIES:
            if (column := getattr(self, name)) is not None:
                arrays[name], names[name] = column.codes, list(column.names)
        header = {
            "schema": SCHEMA,
            "skeleton": self.skeleton.to_dict(),
            "frame": self.frame,
            "unit": {"joints": "mm", "keypoints": "px", "time": "s"},
            "names": names,
            "provenance": dict(self.provenance),
        }
        write_npz(path, {"header": np.array(json.dumps(header)), **arrays})

    @classmethod
    def load(cls, path: str | Path) -> PoseSet:
        """Read what `save` wrote; arrays are mapped into memory, not copied.

        Raises:
            InputError: no such file, damaged, not a pose set, or of an unknown schema.
        """
        arrays = open_npz(path)
        if not cls.is_pose_set(arrays):
            raise InputError(f"{path}: not a pose set (no 'header' array); its arrays are {sorted(arrays)}")
        return cls._from_arrays(arrays, str(path))

    @staticmethod
    def is_pose_set(arrays: Mapping[str, Array]) -> bool:
        """Whether the arrays of an ``.npz`` file are those of a saved pose set."""
        return "header" in arrays and arrays["header"].dtype.kind == "U" and arrays["header"].ndim == 0

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, Array], where: str) -> PoseSet:
        try:
            header = json.loads(str(arrays["header"][()]))
            if header["schema"] != SCHEMA:
                raise InputError(f"schema {header['schema']!r}, expected {SCHEMA!r}")
            columns: dict[str, Any] = {name: arrays[name] for name in _ARRAYS if name in arrays}
            for name, labels in header["names"].items():
                columns[name] = Category(arrays[name], tuple(labels))
            return cls(
                skeleton=Skeleton.from_dict(header["skeleton"]),
                frame=header["frame"],
                provenance=header["provenance"],
                **columns,
            )
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
            raise InputError(f"{where}: damaged pose set header ({error!r})") from None


_CATEGORIES = ("sequence", "subject", "action")
_ROW_ARRAYS = (
    "keypoints", "scores", "occluded", "joints", "root_position", "intrinsics", "image_size", "time", "frame_index",
    "person",
)  # fmt: skip
_ARRAYS = (*_ROW_ARRAYS, "mean_limb_lengths")


def with_intrinsics(poses: PoseSet, intrinsics: Array) -> PoseSet:
    """The poses, all seen by a camera of (4,) fx, fy, cx, cy in pixels."""
    rows = np.broadcast_to(np.asarray(intrinsics, dtype=np.float32), (len(poses), 4))
    return dataclasses.replace(poses, intrinsics=rows, provenance={**poses.provenance, "intrinsics": "given"})


def with_field_of_view(poses: PoseSet, degrees: float) -> PoseSet:
    """The poses, seen by cameras of this field of view along the longer side of the image, whatever they were.

    The images are of the size that the poses state, or else twice as large as their principal point is far.

    Raises:
        InputError: not an angle between 1 and 179 degrees, or neither image size nor intrinsics.
    """
    check_field_of_view(degrees)
    size = poses.image_size
    if size is None and poses.intrinsics is not None:
        size = 2 * np.asarray(poses.intrinsics[:, 2:])
    if size is None:
        raise InputError("field of view: the poses state neither image size nor intrinsics")
    assumed = assumed_intrinsics(size, (), 0, degrees).astype(np.float32)
    provenance = {**poses.provenance, "intrinsics": f"assumed: field of view {degrees:g} degrees"}
    return dataclasses.replace(poses, intrinsics=assumed, provenance=provenance)
