"""Human3.6M's cameras, from ``metadata.xml``, ``cameras.h5`` or ``h36m_dataset.py`` in the folder.

Four cameras, whose lenses are the same for all subjects and whose places were calibrated anew for each.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from nearfar.camera import project_distorted, world_to_camera
from nearfar.datasets.h36m.names import CAMERAS, SUBJECTS
from nearfar.datasets.hdf5 import read_hdf5
from nearfar.errors import InputError
from nearfar.files import read_bytes, read_text

__all__ = [
    "CAMERA_FILES",
    "Camera",
    "Cameras",
    "cameras_from_code",
    "cameras_from_h5",
    "cameras_from_xml",
    "find_cameras",
]

FloatArray = npt.NDArray[np.floating[Any]]

_HEIGHTS = {"54138969": 1002, "55011271": 1000, "58860488": 1000, "60457274": 1002}
"""Pixels (VideoPose3D, ``common/h36m_dataset.py``); all images are 1000 wide."""

_SUBJECTS_IN_XML = 11
_PLACES, _LENSES = (len(CAMERAS), _SUBJECTS_IN_XML, 6), (len(CAMERAS), 9)
_NUMBERS = 300
_MOST_XML_BYTES, _MOST_W0_CHARACTERS = 1 << 25, 1 << 16
_MOST_CODE_BYTES = 1 << 17
_INTRINSIC, _EXTRINSIC = "h36m_cameras_intrinsic_params", "h36m_cameras_extrinsic_params"
_BAD_CODE = (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError)
"""What Python raises for source, and for literals in it, that it cannot read."""


@dataclass(frozen=True, eq=False)
class Camera:
    """One calibrated camera.

    Attributes:
        name: as in the file names, ``54138969``.
        rotation: (3, 3) R of p_cam = R (p_world − c).
        centre: (3,) c, its position in the world, mm.
        intrinsics: (4,) fx, fy, cx, cy, pixels.
        radial: (3,) k of `nearfar.camera.distort_rays`.
        tangential: (2,) p of the same.
    """

    name: str
    rotation: FloatArray
    centre: FloatArray
    intrinsics: FloatArray
    radial: FloatArray
    tangential: FloatArray

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return 1000, _HEIGHTS[self.name]

    def joints(self, world: npt.ArrayLike) -> FloatArray:
        """World points (..., J, 3) in the camera's frame, mm."""
        return world_to_camera(world, self.rotation, self.centre)

    def keypoints(self, joints: npt.ArrayLike) -> FloatArray:
        """Joints (..., J, 3) of the camera's frame as pixels (..., J, 2), bent by the lens as the field computes it."""
        return project_distorted(joints, self.intrinsics, self.radial, self.tangential, "h36m")


@dataclass(frozen=True, eq=False)
class Cameras:
    """The cameras by (subject, name), and where their numbers are from."""

    by_view: Mapping[tuple[int, str], Camera]
    source: str


def find_cameras(folder: Path) -> Cameras:
    """The cameras of a folder, from the first of `CAMERA_FILES` that is there.

    Raises:
        InputError: there is none, the file is damaged, or its numbers are not those of cameras.
    """
    for name, (read, _) in CAMERA_FILES.items():
        if (path := folder / name).exists():
            return read(path)
    expected = ", or ".join(f"{name} ({origin})" for name, (_, origin) in CAMERA_FILES.items())
    raise InputError(f"{folder}: no cameras: expected {expected}")


def cameras_from_xml(path: Path) -> Cameras:
    """Read ``metadata.xml`` of the authors' code: the 300 numbers of its element ``w0``.

    For each of the four cameras and eleven subjects six numbers, rotation angles about x, y and z (R = Rx·Ry·Rz) and
    the position in mm; then for each camera nine, f, c, k and p (3d-pose-baseline, ``src/cameras.py``).

    Raises:
        InputError: no such file, not XML, an entity declared in it, no ``w0``, or other numbers.
    """
    numbers = _w0(path)
    places = numbers[: np.prod(_PLACES)].reshape(_PLACES)
    lenses = numbers[np.prod(_PLACES) :].reshape(_LENSES)
    return _gather(
        (
            (subject, _camera(name, _euler_to_rotmat(place[:3]), place[3:], lens, f"{path}: subject {subject}"))
            for name, of_subjects, lens in zip(CAMERAS, places, lenses, strict=True)
            for subject in SUBJECTS
            for place in of_subjects[subject - 1 : subject]
        ),
        path.name,
    )


def cameras_from_h5(path: Path) -> Cameras:
    """Read ``cameras.h5`` of the first release of 3d-pose-baseline.

    ``subject{s}/camera{1-4}`` holds R (stored transposed), T (the position, mm), f, c, k, p and Name (codes of
    characters).

    Raises:
        InputError: no such file, not HDF5, damaged, an array missing or of another shape, or other cameras.
    """
    counts = {"R": 9, "T": 3, "f": 2, "c": 2, "k": 3, "p": 2, "Name": len(CAMERAS[0])}
    groups = {(s, i): f"subject{s}/camera{i + 1}" for s in SUBJECTS for i in range(len(CAMERAS))}
    arrays = read_hdf5(path, [f"{group}/{key}" for group in groups.values() for key in counts])
    cameras = []
    for (subject, i), group in groups.items():
        for key, count in counts.items():
            if (got := arrays[f"{group}/{key}"]).size != count:
                raise InputError(f"{path}: {group}/{key}: expected {count} numbers, got shape {got.shape}")
        R, T, f, c, k, p, codes = (arrays[f"{group}/{key}"].ravel() for key in counts)
        name = "".join(chr(int(code)) for code in codes if 0 <= code < 128)
        if name != CAMERAS[i]:
            raise InputError(f"{path}: {group}/Name: expected {CAMERAS[i]}, got {name!r}")
        lens = np.concatenate([f, c, k, p]).astype(np.float64)
        cameras.append((subject, _camera(name, R.reshape(3, 3).T, T, lens, f"{path}: {group}")))
    return _gather(cameras, path.name)


def cameras_from_code(path: Path) -> Cameras:
    """Read a copy of VideoPose3D's ``common/h36m_dataset.py``: what two of its assignments say; nothing of it is run.

    ``h36m_cameras_intrinsic_params`` lists the four cameras (``id``, ``focal_length``, ``center``,
    ``radial_distortion``, ``tangential_distortion``; pixels), ``h36m_cameras_extrinsic_params`` for each subject the
    four ``orientation`` (the quaternion w, x, y, z that turns the camera's axes into the world's) and ``translation``
    (the position, mm).

    Raises:
        InputError: no such file, no Python, an assignment missing or no literal, or other numbers.
    """
    literals = _literals(path, (_INTRINSIC, _EXTRINSIC))
    cameras = []
    for i, name in enumerate(CAMERAS):
        where = f"{path}: {_INTRINSIC}, {i}"
        lens = _part(literals[_INTRINSIC], i, where)
        if (got := _part(lens, "id", where)) != name:
            raise InputError(f"{where}: id: expected {name!r}, got {short(got)}")
        counts = {"focal_length": 2, "center": 2, "radial_distortion": 3, "tangential_distortion": 2}
        numbers = np.concatenate([_floats(lens, key, count, where) for key, count in counts.items()])
        for subject in SUBJECTS:
            where = f"{path}: {_EXTRINSIC}, S{subject}, {i}"
            place = _part(_part(literals[_EXTRINSIC], f"S{subject}", where), i, where)
            q, centre = _floats(place, "orientation", 4, where), _floats(place, "translation", 3, where)
            if not (np.abs(q) < 1.01).all() or not abs(np.linalg.norm(q) - 1) < 1e-3:
                raise InputError(f"{where}: orientation: expected a quaternion of length 1, got {q.tolist()}")
            cameras.append((subject, _camera(name, _quaternion_to_rotmat(q).T, centre, numbers, where)))
    return _gather(cameras, path.name)


CAMERA_FILES: Mapping[str, tuple[Callable[[Path], Cameras], str]] = {
    "metadata.xml": (cameras_from_xml, "of the authors' code"),
    "cameras.h5": (cameras_from_h5, "of 3d-pose-baseline"),
    "h36m_dataset.py": (cameras_from_code, "a copy of VideoPose3D's common/h36m_dataset.py"),
}
"""The files that cameras are read from, in the order in which they are looked for: their readers and origins."""


def _gather(cameras: Iterable[tuple[int, Camera]], source: str) -> Cameras:
    return Cameras({(subject, camera.name): camera for subject, camera in cameras}, source)


def _camera(name: str, rotation: FloatArray, centre: Any, lens: Any, where: str) -> Camera:
    """A camera from its numbers (lens: f, c, k, p), once they are those of a camera that can have seen the scene."""
    R, c, numbers = (np.asarray(values, dtype=np.float64) for values in (rotation, centre, lens))
    if not (np.isfinite(R).all() and np.isfinite(c).all() and np.isfinite(numbers).all()):
        raise InputError(f"{where}, camera {name}: expected finite numbers")
    if np.abs(R).max() > 1.001 or np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
        raise InputError(f"{where}, camera {name}: R is no rotation")
    if not (numbers[:4] > 100).all() or not (numbers[:4] < 10_000).all() or not 100 < np.abs(c).max() < 100_000:
        raise InputError(
            f"{where}, camera {name}: expected pixels and mm, got f, c {numbers[:4].round(3).tolist()} "
            f"and position {c.round(3).tolist()}"
        )
    return Camera(name, R, c, numbers[:4], numbers[4:7], numbers[7:])


def _quaternion_to_rotmat(q: FloatArray) -> FloatArray:
    """(4,) w, x, y, z to (3, 3)."""
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _euler_to_rotmat(angles: FloatArray) -> FloatArray:
    """(3,) angles about x, y and z, radians, to Rx·Ry·Rz (3, 3)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(rx @ ry @ rz)


def _w0(path: Path) -> FloatArray:
    """The 300 numbers of the first element ``w0``, which stand in square brackets."""
    data, reader = read_bytes(path, _MOST_XML_BYTES), _W0Reader()
    try:
        reader.parse(data)
        numbers = np.array(reader.text.strip().removeprefix("[").removesuffix("]").split(), dtype=np.float64)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (expat.ExpatError, LookupError) as error:
        raise InputError(f"{path}: not XML, or a damaged file ({error})") from None
    except ValueError as error:
        raise InputError(f"{path}: w0: expected numbers ({error})") from None
    if len(numbers) != _NUMBERS:
        raise InputError(f"{path}: w0: expected {_NUMBERS} numbers, got {len(numbers)}")
    return numbers


class _W0Reader:
    """Takes the text of the first ``w0`` out of an XML file, and refuses entities, which may unfold without end."""

    def __init__(self) -> None:
        self.depth, self.length, self.found = 0, 0, False
        self.parts: list[str] = []
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._entity

    @property
    def text(self) -> str:
        if not self.found:
            raise InputError("no element w0: expected metadata.xml of Human3.6M's code")
        return "".join(self.parts)

    def parse(self, data: bytes) -> None:
        self.parser.Parse(data, True)

    def _start(self, name: str, _: dict[str, str]) -> None:
        if self.depth or (name == "w0" and not self.found):
            self.depth, self.found = self.depth + 1, True

    def _end(self, _: str) -> None:
        self.depth = max(0, self.depth - 1)

    def _characters(self, text: str) -> None:
        if self.depth:
            self.parts.append(text)
            self.length += len(text)
            if self.length > _MOST_W0_CHARACTERS:
                raise InputError(f"w0: expected {_NUMBERS} numbers, got more than {_MOST_W0_CHARACTERS} characters")

    def _entity(self, name: str, *_: Any) -> None:
        raise InputError(f"it declares an entity ({name!r}), which metadata.xml does not")


def _literals(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """What a Python file assigns to some names, outside of functions and classes: literals, for nothing is run."""
    if path.is_file() and path.stat().st_size > _MOST_CODE_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes, more than the {_MOST_CODE_BYTES} that are read")
    text = read_text(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in its strings
            statements = ast.parse(text).body
    except _BAD_CODE as error:
        raise InputError(f"{path}: not Python, or damaged ({error})") from None
    found = {}
    for node in (statement for statement in statements if isinstance(statement, ast.Assign)):
        for name in [target.id for target in node.targets if isinstance(target, ast.Name) and target.id in names]:
            try:
                found[name] = ast.literal_eval(node.value)
            except _BAD_CODE:
                raise InputError(f"{path}: line {node.lineno}: {name}: expected plain numbers") from None
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{path}: no {' and no '.join(missing)}: expected VideoPose3D's common/h36m_dataset.py")
    return found


def _part(data: Any, key: str | int, where: str) -> Any:
    try:
        return data[key]
    except (KeyError, IndexError, TypeError):
        raise InputError(f"{where}: expected {key!r}, got {short(data)}") from None


def _floats(data: Any, key: str, count: int, where: str) -> FloatArray:
    values = _part(data, key, where)
    if type(values) is not list or len(values) != count or not {type(value) for value in values} <= {int, float}:
        raise InputError(f"{where}: {key}: expected {count} numbers, got {short(values)}")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise InputError(f"{where}: {key}: a number too large") from None
