"""Blender's part of ``blender.py``, run by a Python that has bpy: import, look through the camera, render.

Reads the task from standard input. Writes ``bvh_N.png``, ``glb_N.png`` for frame N, and ``joints.npz``: where the bones
begin, in world axes (z up), mm.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy
import numpy as np

GREY, GROUND = (0.55, 0.57, 0.6, 1), (0.32, 0.34, 0.36, 1)
COLOURS = {"left": (0.0, 0.25, 0.6, 1), "right": (0.75, 0.15, 0.0, 1), "centre": (0.85, 0.85, 0.85, 1)}


def scene(task: dict) -> None:
    """An empty scene with ground, light, and the video's camera: y up is z up here, and -z is +y."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    made = bpy.context.scene
    render = made.render
    render.fps, render.fps_base = round(task["fps"]), round(task["fps"]) / task["fps"]
    render.resolution_x, render.resolution_y = task["size"]
    import addon_utils  # there once bpy is

    addon_utils.enable("cycles")
    render.engine, made.cycles.device, made.cycles.samples = "CYCLES", "CPU", 12
    made.cycles.use_denoising = False
    made.view_settings.view_transform = "Standard"
    x, y, z = task["camera"]
    camera = bpy.data.cameras.new("video")
    camera.sensor_fit, camera.sensor_width, camera.lens = "HORIZONTAL", 36, 36 * task["focal"]
    eye = bpy.data.objects.new("video", camera)
    eye.location, eye.rotation_euler = (x, -z, y), (np.pi / 2, 0, 0)
    made.collection.objects.link(eye)
    made.camera = eye
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.data.angle, sun.rotation_euler = 3, 0.2, (0.6, 0.35, 0)
    made.collection.objects.link(sun)
    made.world = bpy.data.worlds.new("world")
    made.world.use_nodes = True
    made.world.node_tree.nodes["Background"].inputs[0].default_value = GREY
    bpy.ops.mesh.primitive_plane_add(size=40)
    bpy.context.object.data.materials.append(material("ground", GROUND))


def material(name: str, colour: tuple[float, ...]) -> bpy.types.Material:
    """A dull surface."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    surface = made.node_tree.nodes["Principled BSDF"]
    surface.inputs["Base Color"].default_value, surface.inputs["Roughness"].default_value = colour, 0.8
    return made


def sticks(armature: bpy.types.Object) -> None:
    """A cone on every bone of an armature that has no mesh of its own, moved by the bone; none where limbs fan out."""
    surfaces = {side: material(f"{armature.name}_{side}", colour) for side, colour in COLOURS.items()}
    for bone in armature.data.bones:
        if bone.children and min((child.head_local - bone.tail_local).length for child in bone.children) > 1e-3:
            continue
        bpy.ops.mesh.primitive_cone_add(vertices=8, radius1=max(0.09 * bone.length, 0.015), depth=bone.length)
        cone = bpy.context.object
        side = next((side for side in ("left", "right") if side in bone.name), "centre")
        cone.data.materials.append(surfaces[side])
        cone.parent, cone.parent_type, cone.parent_bone = armature, "BONE", bone.name
        cone.rotation_euler = (-np.pi / 2, 0, 0)  # along the bone's y; children of bones stand at their tail
        cone.location = (0, -bone.length / 2, 0)


def armatures() -> list[bpy.types.Object]:
    """Those in the scene."""
    return [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]


def shoot(task: dict, kind: str, person: dict[str, str], found: dict) -> None:
    """Render the frames, and note where bones begin. `person`: armature -> whose it is."""
    for name in person.values():
        found[f"{kind}/{name}"] = []
    for number, frame in zip(task["numbers"], task["frames"], strict=True):
        bpy.context.scene.frame_set(frame)
        for armature in armatures():
            places = [armature.matrix_world @ bone.head * 1000 for bone in armature.pose.bones]
            found[f"{kind}/{person[armature.name]}"].append([list(place) for place in places])
            found[f"{kind}/{person[armature.name]}/bones"] = [bone.name for bone in armature.pose.bones]
        bpy.context.scene.render.filepath = str(Path(task["out"]) / f"{kind}_{number}.png")
        bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    task = json.loads(sys.stdin.read())
    found = {"numbers": task["numbers"]}
    scene(task)
    bpy.ops.import_scene.gltf(filepath=task["glb"])
    bpy.context.scene.camera = next(
        o for o in bpy.data.objects if o.type == "CAMERA" and o.name != "video"
    )  # the file's
    shoot(task, "glb", {armature.name: armature.name for armature in armatures()}, found)
    scene(task)
    person = {}
    for name, (file, start) in task["bvh"].items():
        bpy.ops.import_anim.bvh(filepath=file, global_scale=0.01, frame_start=start)
        person[bpy.context.object.name] = name
        sticks(bpy.context.object)
    shoot(task, "bvh", person, found)
    np.savez(Path(task["out"]) / "joints.npz", **{key: np.array(value) for key, value in found.items()})
