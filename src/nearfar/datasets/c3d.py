"""C3D files (.c3d): marker positions, the binary format of biomechanics.

Read as described at c3d.org (the C3D user guide): a 512-byte header, a section of groups with parameters, and frames of
points and analog samples, as 16-bit integers times ``POINT:SCALE`` or as floats, in Intel, DEC or MIPS byte order. The
analog samples are skipped. The file is read here and not with ezc3d because that library ends the process on damaged
files; the tests hold one against the other.

Quirks: a negative residual (the fourth word of a point) says that the point was not seen. Frame counts are unsigned,
and beyond 65534 stand in ``POINT:FRAMES`` as a float, in ``POINT:LONG_FRAMES`` or in ``TRIAL:ACTUAL_START_FIELD`` and
``ACTUAL_END_FIELD``. More than 255 labels go on in ``LABELS2``, ``LABELS3``. The format does not say which axis is up;
``POINT:Y_SCREEN`` is the axis that the writing program draws upwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nearfar.datasets.joint_map import JointMap, get_joint_map, motion_poses
from nearfar.datasets.motion import AXES, Axis
from nearfar.errors import InputError
from nearfar.files import check_file
from nearfar.poses import PoseSet

__all__ = ["C3d", "is_c3d", "load_c3d", "read_c3d"]

Array = npt.NDArray[Any]
Parameters = Mapping[tuple[str, str], Array | list[str]]

_BLOCK = 512
_UNIT_MM = {"mm": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "meters": 1000.0, "in": 25.4, "inches": 25.4}
Order = Literal["<", ">", "dec"]

_PROCESSORS: dict[int, Order] = {84: "<", 85: "dec", 86: ">"}  # Intel, DEC, MIPS


@dataclass(frozen=True, eq=False)
class C3d:
    """What a C3D file says of its points.

    Attributes:
        labels: (P,) names of the points, with a subject in front where the file has one ("Anna:RASI").
        points: (F, P, 3) in the file's unit and axes; NaN where a point was not seen.
        rate: frames a second.
        first_frame: number of the first frame.
        unit_mm: mm in the file's unit, or None where it does not say it.
        up: the axis drawn upwards (``POINT:Y_SCREEN``), or None where it does not say it.
    """

    labels: tuple[str, ...]
    points: Array
    rate: float
    first_frame: int
    unit_mm: float | None
    up: Axis | None


def is_c3d(head: bytes) -> bool:
    """Whether a file that begins so is a C3D file."""
    return len(head) > 1 and head[1] == 0x50 and head[0] > 1 and b"\0" in head


def load_c3d(path: str | Path, joint_map: str | Path | JointMap) -> PoseSet:
    """Read a C3D file as world-frame poses, mm, z up; one sequence, named like the file. Unseen points give NaN.

    Args:
        path: the file.
        joint_map: which markers become which joint. What it says of the axis that is up goes before the file; z is up
            where neither says it, as usual in biomechanics. A unit that it says must be the file's.

    Raises:
        InputError: not a C3D file, damaged, or markers that the map needs are missing.
    """
    path = Path(path)
    c3d = read_c3d(path)
    return motion_poses(
        lambda frames: c3d.points[frames],
        c3d.labels,
        range(len(c3d.points)),
        c3d.rate,
        get_joint_map(joint_map),
        path,
        kind="C3D",
        up=c3d.up or "z",
        unit_mm=c3d.unit_mm,
    )


def read_c3d(path: str | Path) -> C3d:
    """Read the points of a C3D file.

    Raises:
        InputError: no such file, not a C3D file, cut off, or damaged; sizes that the file states are held against its
            own size before anything is read.
    """
    path = check_file(path)
    try:
        data = np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot read ({error.strerror or error})") from None
    if len(data) < _BLOCK or not is_c3d(data[:_BLOCK].tobytes()):
        raise InputError(f"{path}: not a C3D file, or cut off in its header")
    order = _byte_order(data, path)
    parameters = _parameters(data, order, path)
    header = data[:_BLOCK]
    _, points, analog, first, last = (int(word) for word in _decode(header[:10], "u2", order))
    count = _frame_count(parameters, last - first + 1, path)
    start = (int(_decode(header[16:18], "u2", order)[0]) - 1) * _BLOCK
    scale = float(_number(parameters, "POINT", "SCALE", _decode(header[12:16], "f4", order)[0]))
    rate = float(_number(parameters, "POINT", "RATE", _decode(header[20:24], "f4", order)[0]))
    if not (np.isfinite(scale) and scale) or not 0 < rate < np.inf:
        raise InputError(
            f"{path}: POINT: expected a scale other than 0 and a positive rate, got {scale:g} and {rate:g}"
        )
    if points < 1 or count < 1:
        raise InputError(f"{path}: no points in it ({points} points, {count} frames)")
    kind = "f4" if scale < 0 else "i2"
    width = points * 4 + analog
    size = count * width * int(kind[1])
    if start < _BLOCK or start + size > len(data):
        raise InputError(
            f"{path}: cut off or damaged: {count} frames of {points} points and {analog} analog samples from byte "
            f"{start} need {size} bytes; the file has {len(data)}"
        )
    words = data[start : start + size].reshape(count, -1)[:, : points * 4 * int(kind[1])]
    values = _decode(words, kind, order).reshape(count, points, 4)
    with np.errstate(invalid="ignore"):  # any bytes may be a NaN, and one that signals
        xyz = values[..., :3].astype(np.float64) * (scale if kind == "i2" else 1)
    seen = (values[..., 3] >= 0) & np.isfinite(xyz).all(axis=-1)
    return C3d(
        labels=_labels(parameters, points, path),
        points=np.where(seen[..., None], xyz, np.nan),
        rate=rate,
        first_frame=first,
        unit_mm=_unit(parameters, path),
        up=_up(parameters),
    )


def _byte_order(data: Array, path: Path) -> Order:
    """The order of bytes ("<", ">" or "dec"), from the parameter section's own header."""
    at = (int(data[0]) - 1) * _BLOCK
    if at + 4 > len(data):
        raise InputError(f"{path}: cut off: no parameters at block {data[0]}")
    if (processor := int(data[at + 3])) not in _PROCESSORS:
        raise InputError(f"{path}: damaged: processor type {processor}, expected one of {list(_PROCESSORS)}")
    return _PROCESSORS[processor]


def _decode(raw: Array, kind: str, order: Order) -> Array:
    """Numbers from bytes (..., n) in the file's byte order, of kind "i1", "u1", "i2", "u2" or "f4"."""
    raw = np.ascontiguousarray(raw)
    if kind == "f4" and order == "dec":
        # DEC's F_floating: the words change places, and the exponent is greater by two.
        swapped = raw.view("<u2").reshape(*raw.shape[:-1], -1, 2)[..., ::-1]
        return np.asarray(np.ascontiguousarray(swapped).view("<f4")[..., 0] / 4)
    return raw.view(np.dtype(kind).newbyteorder("<" if order == "dec" else order))


def _parameters(data: Array, order: Order, path: Path) -> Parameters:
    """(group, parameter) -> numbers, or a list of texts; names in capitals."""
    at = (int(data[0]) - 1) * _BLOCK
    blocks = int(data[at + 2]) or 255  # some writers leave the number 0
    section = data[at : at + blocks * _BLOCK].tobytes()
    groups: dict[int, str] = {}
    found: list[tuple[int, str, Array | list[str]]] = []
    at = 4
    while at + 2 <= len(section):
        length, group = (int(byte) for byte in np.frombuffer(section[at : at + 2], np.int8))
        length = abs(length)  # negative: locked
        if length == 0 or group == 0:
            break
        body = at + 2 + length
        if body + 2 > len(section):
            raise InputError(f"{path}: damaged: the parameters are cut off at byte {at}")
        name = section[at + 2 : body].decode("latin-1").strip().upper()
        step = int(_decode(np.frombuffer(section[body : body + 2], np.uint8), "u2", order)[0])
        if group < 0:
            groups[-group] = name
        else:
            found.append((group, name, _parameter(section[body + 2 :], order, f"{path}: parameter {name!r}")))
        if step == 0:
            break
        if step < 2:
            raise InputError(f"{path}: damaged: parameter {name!r} has a length of {step} bytes")
        at = body + step
    return {(groups.get(group, ""), name): value for group, name, value in found}


def _parameter(body: bytes, order: Order, where: str) -> Array | list[str]:
    """The value of one parameter: text, or numbers."""
    kinds = {-1: "u1", 1: "i1", 2: "u2", 4: "f4"}
    kind = kinds.get(int(np.frombuffer(body[:1], np.int8)[0])) if len(body) > 1 else None
    if kind is None or len(body) < 2 + body[1]:
        raise InputError(f"{where}: damaged (unknown type, or cut off)")
    shape = [int(size) for size in body[2 : 2 + body[1]]]
    start = 2 + body[1]
    size = int(kind[1])
    for length in shape:
        size *= length  # Python's integers do not overflow
    if start + size > len(body):
        raise InputError(f"{where}: damaged: {size} bytes declared, {len(body) - start} left")
    if body[0] == 255:
        width = shape[0] if shape else 1
        text = body[start : start + size].decode("latin-1")
        return [text[i : i + width].strip() for i in range(0, len(text), width)] if width else []
    return _decode(np.frombuffer(body[start : start + size], np.uint8), kind, order)


def _number(parameters: Parameters, group: str, name: str, default: float) -> float:
    """The first number of a parameter."""
    value = parameters.get((group, name))
    return float(value[0]) if isinstance(value, np.ndarray) and value.size else float(default)


def _texts(parameters: Parameters, group: str, name: str) -> list[str]:
    value = parameters.get((group, name))
    return value if isinstance(value, list) else []


def _frame_count(parameters: Parameters, by_header: int, path: Path) -> int:
    """Frames in the file; see the module's text for where they are stated."""
    count = _number(parameters, "POINT", "FRAMES", by_header)
    if count >= 65535:
        count = _number(parameters, "POINT", "LONG_FRAMES", count)
        start, end = (parameters.get(("TRIAL", f"ACTUAL_{which}_FIELD")) for which in ("START", "END"))
        if count == 65535 and isinstance(start, np.ndarray) and isinstance(end, np.ndarray):
            if start.size != 2 or end.size != 2:
                raise InputError(f"{path}: TRIAL: ACTUAL_START_FIELD and ACTUAL_END_FIELD: expected two words each")
            count = float((end.astype(np.float64) - start.astype(np.float64)) @ [1, 65536] + 1)
    if not (np.isfinite(count) and count == int(count)):
        raise InputError(f"{path}: POINT:FRAMES: expected a whole number, got {count:g}")
    return int(count)


def _labels(parameters: Parameters, points: int, path: Path) -> tuple[str, ...]:
    labels = list(_texts(parameters, "POINT", "LABELS"))
    more = 2
    while ("POINT", f"LABELS{more}") in parameters:
        labels += _texts(parameters, "POINT", f"LABELS{more}")
        more += 1
    if len(labels) < points:
        raise InputError(f"{path}: POINT:LABELS: {len(labels)} labels for {points} points")
    return tuple(labels[:points])


def _unit(parameters: Parameters, path: Path) -> float | None:
    unit = next(iter(_texts(parameters, "POINT", "UNITS")), "")
    if not unit:
        return None
    if unit.lower() not in _UNIT_MM:
        raise InputError(f"{path}: POINT:UNITS: expected one of {', '.join(_UNIT_MM)}, got {unit!r}")
    return _UNIT_MM[unit.lower()]


def _up(parameters: Parameters) -> Axis | None:
    """The axis drawn upwards: "+Z" is z."""
    axis = next(iter(_texts(parameters, "POINT", "Y_SCREEN")), "").lower().removeprefix("+")
    return next((known for known in AXES if known == axis), None)
