"""Blender at work on an exported file, as a script of its own: bpy may need another Python and another numpy than ours.

Reads {"file", "fps", "out"} from standard input, opens a BVH or GLB file as a user does, and writes what Blender moves,
frame by frame, as arrays: where each bone begins, how far it has turned from rest, and the meshes' vertices.
"""

from __future__ import annotations

import json
import sys

import bpy
import numpy as np


def load(file: str, fps: float) -> None:
    """Open a file in an empty scene at its frame rate."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    render = bpy.context.scene.render
    render.fps, render.fps_base = max(1, round(fps)), max(1, round(fps)) / fps
    if file.endswith(".bvh"):
        bpy.ops.import_anim.bvh(filepath=file, global_scale=0.01, update_scene_duration=True)
    else:
        bpy.ops.import_scene.gltf(filepath=file)


def moved(name: str) -> dict[str, np.ndarray]:
    """Bones of an armature through the scene's frames, in world axes (z up), mm."""
    scene, armature = bpy.context.scene, bpy.data.objects[name]
    start, end = (round(v) for v in armature.animation_data.action.frame_range)
    heads, turns = [], []
    rest = np.array([bone.matrix_local.to_3x3() for bone in armature.data.bones])
    for frame in range(start, end + 1):
        scene.frame_set(frame)
        world = np.array(armature.matrix_world)
        bones = [armature.pose.bones[bone.name] for bone in armature.data.bones]
        pose = np.array([bone.matrix.to_3x3() for bone in bones])
        heads.append(np.array([bone.head for bone in bones]) @ world[:3, :3].T + world[:3, 3])
        turns.append(world[:3, :3] @ pose @ np.swapaxes(rest, 1, 2) @ world[:3, :3].T)
    return {
        "bones": np.array([bone.name for bone in armature.data.bones]),
        "start": np.array(start),
        "heads": np.array(heads) * 1000,
        "turns": np.array(turns),
    }


def vertices(frames: list[int]) -> np.ndarray:
    """Corners of the meshes that armatures move, in some frames, in world axes, mm."""
    scene, out = bpy.context.scene, []
    for frame in frames:
        scene.frame_set(frame)
        graph = bpy.context.evaluated_depsgraph_get()
        points = []
        for thing in (o for o in scene.objects if o.find_armature() and o.type == "MESH"):
            shown = thing.evaluated_get(graph)
            at = np.array([v.co for v in shown.to_mesh().vertices])
            world = np.array(shown.matrix_world)
            points.append(at @ world[:3, :3].T + world[:3, 3])
        out.append(np.concatenate(points) if points else np.zeros((0, 3)))
    return np.array(out) * 1000


if __name__ == "__main__":
    task = json.loads(sys.stdin.read())
    load(task["file"], task["fps"])
    answer = {"names": np.array([o.name for o in bpy.data.objects if o.type == "ARMATURE"])}
    for name in answer["names"]:
        answer |= {f"{name}/{key}": value for key, value in moved(str(name)).items()}
    answer["fps"] = np.array(bpy.context.scene.render.fps / bpy.context.scene.render.fps_base)
    answer["vertices"] = vertices(task.get("frames", []))
    np.savez(task["out"], **answer)
