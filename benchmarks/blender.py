"""A lifted clip in Blender: BVH and GLB opened and seen through the video's camera, beside the video.

    nearfar lift walk.mp4 --people 2 --out lifted
    python benchmarks/blender.py --poses lifted/poses.npz --media walk.mp4 --frames 40 90 --out FOLDER

Exports both files, has a Python with bpy (`pip install bpy`; it may be another Python: ``--python``) import them as a
user does, and renders frames from where the camera was. Writes the renders; ``beside.png``, a row a frame: the video
with its keypoints, BVH, GLB; and ``motion.jpg``, the GLB renders alone, cut to the people. Prints how far Blender's
joints lie from the keypoints in the image, in pixels.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro
from PIL import Image

from nearfar.camera import project
from nearfar.datasets import load_poses
from nearfar.errors import InputError
from nearfar.export import export
from nearfar.export.motion import Motion, motions
from nearfar.media import read_frames
from nearfar.poses import PoseSet
from nearfar.viewing.clip import clip_of
from nearfar.viewing.overlay import draw_frame

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Arguments:
    """Export, render, lay side by side."""

    poses: Path
    """Lifted poses of one clip, with root positions, intrinsics and image size."""
    media: Path
    """The video."""
    out: Path
    """Folder for files and pictures."""
    frames: tuple[int, ...] = (20, 60, 100, 140)
    """Frames to render."""
    width: int = 640
    """Pixels of a render."""
    python: str = sys.executable
    """A Python that has bpy."""


def main(arguments: Arguments) -> None:
    """Export, render, lay side by side."""
    poses = load_poses(arguments.poses)
    if poses.intrinsics is None or poses.image_size is None or poses.frame_index is None:
        raise InputError(f"{arguments.poses}: needs intrinsics, image size and frame numbers")
    arguments.out.mkdir(parents=True, exist_ok=True)
    people = motions(poses)
    if (camera := people[0].camera) is None:
        raise InputError(f"{arguments.poses}: does not say where the camera was")
    bvh, glb = (export(poses, arguments.out / f"clip.{suffix}") for suffix in ("bvh", "glb"))
    for note in glb.notes:
        print(note)
    width, height = (int(v) for v in poses.image_size[0])
    first = int(poses.frame_index.min())
    task = {
        "bvh": {
            motion.name: (str(path), round(motion.start * motion.fps))
            for motion, path in zip(people, bvh.paths, strict=True)
        },
        "glb": str(glb.paths[0]),
        "fps": people[0].fps,
        "numbers": arguments.frames,
        "frames": [frame - first for frame in arguments.frames],
        "camera": (camera / 1000).tolist(),
        "focal": float(poses.intrinsics[0, 0]) / width,
        "size": [arguments.width, round(arguments.width * height / width)],
        "out": str(arguments.out),
    }
    script = Path(__file__).with_name("blender_render.py")
    done = subprocess.run([arguments.python, script], input=json.dumps(task), text=True, check=False, stdout=sys.stderr)
    if done.returncode:
        raise InputError(f"{arguments.python}: Blender failed (exit code {done.returncode}; is bpy installed?)")
    joints = np.load(arguments.out / "joints.npz")
    for kind in ("bvh", "glb"):
        for motion in people:
            print(f"{kind} {motion.name}: {_pixels(poses, motion, joints, f'{kind}/{motion.name}'):.1f} px")
    _beside(poses, arguments)


def _pixels(poses: PoseSet, motion: Motion, joints: Any, key: str) -> float:
    """Median distance in the image from Blender's joints to the keypoints, over the rendered frames."""
    keypoints, shown, intrinsics = (np.asarray(a) for a in (poses.keypoints, poses.frame_index, poses.intrinsics))
    person, away = int(motion.name.removeprefix("person")), []
    for frame, places in zip(joints["numbers"], joints[key], strict=True):
        rows = np.flatnonzero((shown == frame) & (True if poses.person is None else poses.person == person))
        if len(rows) and motion.camera is not None:
            bones = [motion.armature.names.index(name) for name in joints[f"{key}/bones"]]
            y_up = places[:, [0, 2, 1]] * [1, 1, -1] - motion.camera
            pixels = project(y_up * [1, -1, -1], intrinsics[rows[0]])
            away.append(np.linalg.norm(pixels - keypoints[rows[0], motion.armature.joints[bones]], axis=-1))
    return float(np.nanmedian(away)) if away else float("nan")


def _beside(poses: PoseSet, arguments: Arguments) -> None:
    clip = clip_of(poses)
    row_of = {int(number): row for row, number in enumerate(clip.frame_index)}
    rows, alone = [], []
    for frame in read_frames(arguments.media):
        if frame.index in arguments.frames:
            shown = draw_frame(frame.image, clip, row_of[frame.index], inset=False)
            renders = [
                Image.open(arguments.out / f"{kind}_{frame.index}.png").convert("RGB") for kind in ("bvh", "glb")
            ]
            rows.append(
                np.hstack([np.asarray(Image.fromarray(shown).resize(renders[0].size)), *map(np.asarray, renders)])
            )
            alone.append(np.asarray(renders[1]))
    Image.fromarray(np.vstack(rows)).save(arguments.out / "beside.png")
    coloured = np.max([np.ptp(image.astype(int), axis=-1) > 40 for image in alone], axis=0)
    (top, bottom), (left, right) = (np.flatnonzero(coloured.any(axis=axis))[[0, -1]] for axis in (1, 0))
    cut = [image[max(top - 30, 0) : bottom + 40, max(left - 30, 0) : right + 30] for image in alone]
    gap = np.full((len(cut[0]), 8, 3), 255, np.uint8)
    Image.fromarray(np.hstack([part for image in cut for part in (gap, image)][1:])).save(
        arguments.out / "motion.jpg", quality=90
    )
    print(arguments.out / "beside.png")


if __name__ == "__main__":
    try:
        main(tyro.cli(Arguments, description=__doc__))
    except InputError as error:
        sys.exit(f"{error}")
