"""Binary glTF 2.0 (.glb): all people of a clip as animated skins, metres, y up, facing +z.

The container and the few kinds of record needed are written here: trimesh exports no skins or animations, and there is
no other kept library that does. The specification is the Khronos Group's glTF 2.0 (ISO/IEC 12113:2022).

Each person is a tree of nodes (a skin's joints, by their names), and beside it a mesh of our own, an octahedron a limb,
that follows it. There is one animation. Before a person is first seen and after they are last seen, their node's scale
is 0, which is how the specification has visibility animated (section 3.5.3). Where the poses say how they were seen,
there is also the camera: looking through it, people are where the image has them (its principal point is taken to be
the middle).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.export.armature import Armature
from nearfar.export.motion import Motion, motions
from nearfar.export.rotations import continuous_quaternions
from nearfar.files import replacing
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton
from nearfar.viewing.style import LEFT, PEOPLE, RIGHT, Side, joint_sides

__all__ = ["glb_bytes", "write_glb"]

Array = npt.NDArray[Any]

_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_VERTICES = 34962  # ARRAY_BUFFER
_M = 0.001  # of a millimetre
_THICKNESS = 0.09  # half a limb's width, of its length
_THINNEST = 15.0  # mm


def write_glb(
    poses: PoseSet, path: str | Path, *, fps: float | None = None, person: int | None = None
) -> tuple[str, ...]:
    """Write the people of a clip as one GLB file, whole or not at all.

    Args:
        poses: one clip.
        path: the file.
        fps: frames a second; by default the clip's own.
        person: only this one.

    Returns:
        What was done on the way: gaps filled, resampled.

    Raises:
        InputError: as `nearfar.export.motion.motions`.
    """
    people = motions(poses, fps, person)
    content = glb_bytes(people, poses.skeleton, _camera(poses))
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return tuple(note for motion in people for note in motion.notes)


def glb_bytes(people: Sequence[Motion], skeleton: Skeleton, camera: Mapping[str, float] | None = None) -> bytes:
    """The file's bytes (`write_glb`): people of one clip, whose armatures are those of `skeleton`.

    Args:
        people: one or more.
        skeleton: theirs.
        camera: yfov (radians) and aspectRatio of the camera that saw them.
    """
    from nearfar import __version__

    file = _Buffer()
    nodes: list[dict[str, Any]] = []
    meshes, skins, roots = [], [], []
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    for number, motion in enumerate(people):
        armature, first = motion.armature, len(nodes) + 2  # after the mesh's node and the person's own
        bind = armature.rest_positions() + np.array([0, motion.rest_height, 0])
        joints = list(range(first, first + len(armature)))
        roots += [len(nodes), len(nodes) + 1]  # skinned meshes are roots: transforms above would not move them
        nodes.append({"name": f"{motion.name}_mesh", "mesh": number, "skin": number})
        nodes.append({"name": motion.name, "children": [first], "extras": _said(motion)})
        nodes += _armature_nodes(armature, bind[0], first)
        inverse = np.tile(np.eye(4), (len(armature), 1, 1))
        inverse[:, :3, 3] = -bind * _M
        matrices = file.add(np.swapaxes(inverse, 1, 2).reshape(-1, 16), "MAT4")  # column by column
        skins.append({"name": motion.name, "joints": joints, "skeleton": first, "inverseBindMatrices": matrices})
        meshes.append({"name": motion.name, "primitives": _mesh(file, armature, bind, joint_sides(skeleton), number)})
        time = file.add(motion.start + np.arange(len(motion.root)) / motion.fps, "SCALAR", bounds=True)
        moves = [(first, "translation", motion.root * _M, "VEC3")]
        turning = np.flatnonzero(~armature.ends) if len(armature) > 1 else [0]
        moves += [
            (joints[node], "rotation", continuous_quaternions(motion.rotations[:, node]), "VEC4") for node in turning
        ]
        played = [(node, kind, time, file.add(values, shape), "LINEAR") for node, kind, values, shape in moves]
        if (shown := _shown(motion, people)) is not None:
            when, scale = file.add(shown[0], "SCALAR", bounds=True), file.add(shown[1], "VEC3")
            played.append((first - 1, "scale", when, scale, "STEP"))
        for node, kind, times, values, interpolation in played:
            channels.append({"sampler": len(samplers), "target": {"node": node, "path": kind}})
            samplers.append({"input": times, "output": values, "interpolation": interpolation})
    seen: dict[str, Any] = {}
    if camera is not None and people[0].camera is not None:
        roots.append(len(nodes))
        nodes.append({"name": "camera", "camera": 0, "translation": (people[0].camera * _M).tolist()})
        seen["cameras"] = [{"type": "perspective", "perspective": {**camera, "znear": 0.01}}]
    content = {
        "asset": {"version": "2.0", "generator": f"nearfar {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": roots}],
        "nodes": nodes,
        "meshes": meshes,
        "materials": [_material("left", LEFT), _material("right", RIGHT)]
        + [_material(motion.name, PEOPLE[i % len(PEOPLE)]) for i, motion in enumerate(people)],
        "skins": skins,
        "animations": [{"name": "motion", "channels": channels, "samplers": samplers}],
        **seen,
        **file.records(),
    }
    return _container(content, bytes(file.data))


class _Buffer:
    """The binary chunk as it grows, with its views and accessors."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: Array, shape: str, kind: int = _FLOAT, *, bounds: bool = False, target: int = 0) -> int:
        """Append an array and return its accessor's number; single precision unless `kind` says integers."""
        types = {_FLOAT: "<f4", _USHORT: "<u2", _UINT: "<u4"}
        array = np.ascontiguousarray(values, dtype=types[kind])
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        self.views.append(view | ({"target": target} if target else {}))
        self.data += array.tobytes() + b"\0" * (-array.nbytes % 4)
        entry: dict[str, Any] = {"bufferView": len(self.views) - 1, "componentType": kind, "count": len(array)}
        entry["type"] = shape
        if bounds:
            flat = array.reshape(len(array), -1)
            entry |= {"min": flat.min(axis=0).tolist(), "max": flat.max(axis=0).tolist()}
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def records(self) -> dict[str, Any]:
        return {
            "buffers": [{"byteLength": len(self.data)}],
            "bufferViews": self.views,
            "accessors": self.accessors,
        }


def _armature_nodes(armature: Armature, root: Array, first: int) -> list[dict[str, Any]]:
    """One node a node, at rest, without rotation."""
    out = []
    for node, name in enumerate(armature.names):
        place = root if node == 0 else armature.offsets[node]
        entry: dict[str, Any] = {"name": name, "translation": (place * _M).tolist()}
        if below := np.flatnonzero(armature.parents == node).tolist():
            entry["children"] = [first + child for child in below]
        out.append(entry)
    return out


def _mesh(file: _Buffer, armature: Armature, bind: Array, sides: Sequence[Side], number: int) -> list[dict[str, Any]]:
    """An octahedron for every limb where it rests, moved by the node that turns it; one primitive a colour."""
    by_side: dict[str, list[tuple[Array, int]]] = {}
    for node, parent in enumerate(armature.parents):
        if parent >= 0 and armature.offsets[node].any():
            ends = {sides[armature.joints[parent]], sides[armature.joints[node]]} - {"centre"}
            side = ends.pop() if len(ends) == 1 else "centre"
            by_side.setdefault(side, []).append((_octahedron(bind[parent], bind[node]), int(parent)))
    if not by_side:
        by_side["centre"] = [(_octahedron(bind[0] - [0, _THINNEST, 0], bind[0] + [0, _THINNEST, 0]), 0)]
    material = {"left": 0, "right": 1, "centre": 2 + number}
    out = []
    for side, limbs in by_side.items():
        corners = np.concatenate([faces.reshape(-1, 3) for faces, _ in limbs])
        normal = np.concatenate([np.cross(f[:, 1] - f[:, 0], f[:, 2] - f[:, 0]) for f, _ in limbs])
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        joints = np.zeros((len(corners), 4))
        joints[:, 0] = np.repeat([joint for _, joint in limbs], [faces.shape[0] * 3 for faces, _ in limbs])
        attributes = {
            "POSITION": file.add(corners * _M, "VEC3", bounds=True, target=_VERTICES),
            "NORMAL": file.add(np.repeat(normal, 3, axis=0), "VEC3", target=_VERTICES),
            "JOINTS_0": file.add(joints, "VEC4", _USHORT, target=_VERTICES),
            "WEIGHTS_0": file.add(np.tile([1.0, 0, 0, 0], (len(corners), 1)), "VEC4", target=_VERTICES),
        }
        out.append({"attributes": attributes, "material": material[side]})
    return out


def _octahedron(start: Array, end: Array) -> Array:
    """(8, 3, 3) corners of triangles, counter-clockwise from outside: a limb, thickest near its start."""
    along = end - start
    length = float(np.linalg.norm(along))
    width = max(_THICKNESS * length, min(_THINNEST, length / 2))
    aside = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
    aside *= width / np.linalg.norm(aside)
    other = np.cross(along, aside) / length
    ring = start + 0.18 * along + np.stack([aside, other, -aside, -other])
    return np.stack(
        [triangle for i in range(4) for triangle in ((ring[i - 1], ring[i], end), (ring[i], ring[i - 1], start))]
    )


def _shown(motion: Motion, people: Sequence[Motion]) -> tuple[Array, Array] | None:
    """Times (K,) and scales (K, 3) that show a person while they are there; None if that is throughout."""
    half = 0.5 / motion.fps  # keys lie between frames, where rounding does no harm
    start, end = motion.start - half, motion.start + len(motion.root) / motion.fps - half
    last = max(other.start + (len(other.root) - 1) / other.fps for other in people)
    keys = [(0.0, 0.0), (start, 1.0)] if start > 0 else [(0.0, 1.0)]
    keys += [(end, 0.0)] if end < last else []
    if len(keys) == 1:
        return None
    times, scales = np.array(keys).T
    return times, np.repeat(scales[:, None], 3, axis=1)


def _camera(poses: PoseSet) -> dict[str, float] | None:
    """The glTF camera of poses that all have the same intrinsics and image size; else None."""
    if poses.intrinsics is None or poses.image_size is None:
        return None
    intrinsics, sizes = np.unique(poses.intrinsics, axis=0), np.unique(poses.image_size, axis=0)
    if len(intrinsics) != 1 or len(sizes) != 1 or not np.isfinite(intrinsics).all():
        return None
    (_, fy, _, _), (width, height) = intrinsics[0].tolist(), sizes[0].tolist()
    return {"yfov": 2 * math.atan2(height / 2, fy), "aspectRatio": width / height}


def _said(motion: Motion) -> dict[str, Any]:
    return {"fps": motion.fps, "notes": list(motion.notes)}


def _material(name: str, colour: str) -> dict[str, Any]:
    """A dull surface; glTF's colours are linear, ours sRGB."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return {
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorFactor": [*linear.round(4).tolist(), 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.8,
        },
    }


def _container(content: Mapping[str, Any], data: bytes) -> bytes:
    """Header, JSON chunk and binary chunk (glTF 2.0, section 4)."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    data += b"\0" * (-len(data) % 4)
    size = 12 + 8 + len(text) + 8 + len(data)
    if size >= 1 << 32:
        raise InputError(
            f"a GLB file holds up to 4 GiB, and this clip takes {size} bytes: choose fewer people or frames"
        )
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<III", 0x46546C67, 2, size) + chunks
