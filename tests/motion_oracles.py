"""Readers of exported motion that share no code with the writers: glTF by its specification, and Blender."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

BLENDER_PYTHON = os.environ.get("NEARFAR_BLENDER_PYTHON") or (
    sys.executable if importlib.util.find_spec("bpy") else None
)
"""A Python that has bpy: this one, or another that the environment names."""


def blender(file: Path, fps: float, frames: list[int] | None = None) -> dict[str, np.ndarray]:
    """What Blender moves when it opens a file (`blender_oracle.py`)."""
    out = file.with_suffix(".blender.npz")
    task = json.dumps({"file": str(file), "fps": fps, "out": str(out), "frames": frames or []})
    script = Path(__file__).with_name("blender_oracle.py")
    told = {"input": task, "text": True, "capture_output": True}
    done = subprocess.run([BLENDER_PYTHON, script], check=False, **told)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return dict(np.load(out))


class Gltf:
    """A GLB file that plays: nodes, animation and skins after the specification (glTF 2.0, sections 3.5 to 3.11)."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, size, text_size, kind = struct.unpack_from("<IIIII", data)
        assert (magic, version, size, kind) == (0x46546C67, 2, len(data), 0x4E4F534A)
        self.json = json.loads(data[20 : 20 + text_size])
        self.binary = data[28 + text_size :]
        self.nodes = self.json["nodes"]
        self.names = [node["name"] for node in self.nodes]
        self.parents = np.full(len(self.nodes), -1)
        for number, node in enumerate(self.nodes):
            self.parents[node.get("children", [])] = number

    def array(self, accessor: int) -> np.ndarray:
        entry = self.json["accessors"][accessor]
        view = self.json["bufferViews"][entry["bufferView"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry["type"]]
        kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[entry["componentType"]]
        start = view["byteOffset"] + entry.get("byteOffset", 0)
        assert "byteStride" not in view
        return np.frombuffer(self.binary, kind, entry["count"] * width, start).reshape(entry["count"], width)

    def world(self, time: float) -> np.ndarray:
        """(N, 4, 4) of the nodes at a time of the first animation."""
        local, scale = [], np.ones(len(self.nodes))
        for node in self.nodes:
            matrix = np.eye(4)
            matrix[:3, 3] = node.get("translation", (0, 0, 0))
            matrix[:3, :3] = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1))).as_matrix()
            local.append(matrix)
        for channel in self.json["animations"][0]["channels"]:
            sampler = self.json["animations"][0]["samplers"][channel["sampler"]]
            times, values = self.array(sampler["input"])[:, 0].astype(float), self.array(sampler["output"])
            now, matrix = np.clip(time, times[0], times[-1]), local[channel["target"]["node"]]
            if channel["target"]["path"] == "translation":
                matrix[:3, 3] = [np.interp(now, times, column) for column in values.T]
            elif channel["target"]["path"] == "scale":
                assert sampler["interpolation"] == "STEP"
                scale[channel["target"]["node"]] = values[np.searchsorted(times, now, side="right") - 1, 0]
            elif len(times) == 1:
                matrix[:3, :3] = Rotation.from_quat(values[0]).as_matrix()
            else:
                matrix[:3, :3] = Slerp(times, Rotation.from_quat(values))(now).as_matrix()
        for number in self.order():
            local[number][:3, :3] *= scale[number]
            if self.parents[number] >= 0:
                local[number] = local[self.parents[number]] @ local[number]
        return np.array(local)

    def order(self) -> list[int]:
        waiting, out = [n for n in range(len(self.nodes)) if self.parents[n] < 0], []
        while waiting:
            out.append(waiting.pop())
            waiting += self.nodes[out[-1]].get("children", [])
        return out

    def joints(self, person: str, time: float) -> dict[str, np.ndarray]:
        """Node of the person's skin -> (4, 4) at a time."""
        skin = next(skin for skin in self.json["skins"] if skin["name"] == person)
        world = self.world(time)
        return {self.names[number]: world[number] for number in skin["joints"]}

    def skinned(self, person: str, time: float) -> np.ndarray:
        """(V, 3) corners of the person's mesh at a time."""
        node = self.nodes[self.names.index(f"{person}_mesh")]
        skin = self.json["skins"][node["skin"]]
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        matrices = self.world(time)[skin["joints"]] @ inverse
        out = []
        for primitive in self.json["meshes"][node["mesh"]]["primitives"]:
            attributes = {name: self.array(number) for name, number in primitive["attributes"].items()}
            corners = np.concatenate([attributes["POSITION"], np.ones((len(attributes["POSITION"]), 1))], axis=1)
            moving = np.einsum("vk,vkab->vab", attributes["WEIGHTS_0"], matrices[attributes["JOINTS_0"]])
            out.append(np.einsum("vab,vb->va", moving, corners)[:, :3])
        return np.concatenate(out)
