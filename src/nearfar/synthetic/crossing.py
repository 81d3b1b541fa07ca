"""Several people who walk across one another's way before one camera: what a tracker has to cope with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.camera import assumed_intrinsics, project, world_to_camera
from nearfar.errors import InputError
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.skeleton_maps import remap
from nearfar.synthetic.body import COLUMNS, FULL, forward_kinematics, sample_bodies
from nearfar.synthetic.motion import Timeline, move
from nearfar.synthetic.stance import place_in_world, plant_legs
from nearfar.synthetic.tasks import TASKS

__all__ = ["crossing"]

Array = npt.NDArray[Any]

APART = 500.0
"""mm: standard deviation of where, about the middle, each person's way leads past."""
CAMERA = (0.0, -9000.0, 1600.0)
"""mm: a level camera that looks along y, across the middle."""
IMAGE_SIZE = (1920, 1080)
FIELD_OF_VIEW = 65.0


def crossing(
    people: int = 5,
    seconds: float = 8.0,
    *,
    seed: int = 0,
    fps: float = 30.0,
    skeleton: str | Path | Skeleton = "h36m17",
) -> PoseSet:
    """People who walk in all directions and all pass the same few square metres at about half time.

    They do not avoid one another. The same arguments always give the same people.

    Args:
        people: how many.
        seconds: how long.
        seed: another seed is other people and other ways.
        fps: frames a second.
        skeleton: h36m17, human19, or whatever can be derived from human19's joints.

    Returns:
        One row a person and frame, person after person: camera-frame joints (mm), exact keypoints (px; also of joints
        that others hide, and of joints out of the image), `person`, `frame_index`, `time`, intrinsics, image size.

    Raises:
        InputError: no people, no time, or a skeleton that human19's joints do not give.
    """
    if not (people >= 1 and math.isfinite(seconds) and fps > 0 and seconds * fps >= 1):
        raise InputError(f"crossing: expected people and time, got {people} people, {seconds} s at {fps} fps")
    rng = np.random.default_rng([seed, people])
    frames, target = round(seconds * fps), get_skeleton(skeleton)
    joints = _walkers(rng, people, frames, fps)
    rotation = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    seen = remap(FULL, target).points(world_to_camera(joints, rotation, np.array(CAMERA)))
    intrinsics = np.tile(assumed_intrinsics(IMAGE_SIZE, (), 0, FIELD_OF_VIEW), (len(seen), 1))
    frame = np.tile(np.arange(frames), people)
    return PoseSet(
        skeleton=target,
        keypoints=project(seen, intrinsics).astype(np.float32),
        joints=seen.astype(np.float32),
        frame="camera",
        intrinsics=intrinsics.astype(np.float32),
        image_size=np.tile(np.array(IMAGE_SIZE, np.int32), (len(seen), 1)),
        time=frame / fps,
        frame_index=frame,
        person=np.repeat(np.arange(people), frames),
        sequence=Category.of([f"crossing-{seed}"] * len(seen)),
        provenance={"source": "nearfar.synthetic.crossing", "intrinsics": "the camera's", "fps": fps},
    )


def _walkers(rng: np.random.Generator, people: int, frames: int, fps: float) -> Array:
    """(people * frames, 19, 3) mm, world: each way leads through the origin, more or less, at half time."""
    walk = next(i for i, task in enumerate(TASKS) if task.name == "walk")
    starts, clip = np.arange(people + 1) * frames, np.repeat(np.arange(people), frames)
    zeros = np.zeros(people)
    timeline = Timeline(
        starts, clip, np.tile(np.arange(frames) / fps, people), np.full(people, walk), np.arange(people), zeros
    )
    body = sample_bodies(rng, people).take(clip)
    pose = plant_legs(move(rng, timeline), body)
    # Half walk to the right and half to the left, most of them rather across the picture than along it.
    heading = np.where(np.arange(people) % 2 == 0, 0, 180) + rng.normal(0, 35, people)
    turned = np.cumsum(pose[:, COLUMNS["turn_rate"].start].reshape(people, frames), axis=1) / fps
    turned -= turned.mean(axis=1, keepdims=True)
    lift = pose[:, COLUMNS["lift"].start] * body.leg
    far = np.full(people, 50_000.0)
    joints = place_in_world(forward_kinematics(pose, body), lift, (heading[:, None] + turned).ravel(), starts, far, fps)
    past = np.concatenate([rng.normal(0, APART, (people, 2)), zeros[:, None]], axis=1)
    return np.asarray(joints + past[clip][:, None])
