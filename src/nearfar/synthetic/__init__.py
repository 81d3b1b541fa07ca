"""The embedded data set: human motion made by nearfar itself, with no third-party data (docs/synthetic.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.camera import project, world_to_camera
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.skeleton_maps import remap
from nearfar.synthetic.body import COLUMNS, FULL, forward_kinematics, sample_bodies
from nearfar.synthetic.cameras import sample_cameras
from nearfar.synthetic.motion import Timeline, clip_lengths, move
from nearfar.synthetic.stance import place_in_world, plant_legs
from nearfar.synthetic.tasks import TASKS

__all__ = ["ACTIONS", "synthetic_motion", "synthetic_poses"]

Array = npt.NDArray[Any]

ACTIONS = tuple(task.name for task in TASKS)
"""Names of the tasks, the actions of the rows."""

_CLIPS_A_PERSON = 2
_CLIPS_AT_ONCE = 64 * _CLIPS_A_PERSON  # bounds the memory; whole people only


@dataclass(frozen=True)
class _Scene:
    """Clips of motion in the world: joints (N, 19, 3), task (N,), and (C + 1,) first rows."""

    joints: Array
    task: Array
    starts: Array


def _stage(rng: np.random.Generator, lengths: Array, fps: float) -> _Scene:
    """Move some people through clips of the given numbers of frames; each performs a few clips in a row."""
    timeline = Timeline.sample(rng, lengths, fps)
    performer = np.arange(len(lengths)) // _CLIPS_A_PERSON
    body = sample_bodies(rng, int(performer[-1]) + 1).take(performer[timeline.clip])
    pose = plant_legs(move(rng, timeline), body)
    turned = np.cumsum(pose[:, COLUMNS["turn_rate"].start]) / fps
    heading = rng.uniform(0, 360, len(lengths)) - turned[timeline.starts[:-1]]
    lift = pose[:, COLUMNS["lift"].start] * body.leg
    reach = rng.uniform(200, 800, len(lengths))
    joints = place_in_world(
        forward_kinematics(pose, body), lift, heading[timeline.clip] + turned, timeline.starts, reach, fps
    )
    return _Scene(joints, timeline.tasks(), timeline.starts)


def synthetic_motion(frames: int, *, seed: int = 0, fps: float = 15.0) -> PoseSet:
    """Motion as that of `synthetic_poses`, before any camera: skeleton human19, world frame, the floor at z = 0.

    Args:
        frames: moments of motion, 1 or more.
        seed: another seed is other people, doing other things.
        fps: frames a second.

    Returns:
        One row a moment: joints (mm), time, names of clip (sequence) and task (action).
    """
    rng = np.random.default_rng([seed, 0])
    lengths = clip_lengths(rng, frames, fps)
    scene = _stage(rng, lengths, fps)
    clip = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return PoseSet(
        skeleton=FULL,
        joints=scene.joints.astype(np.float32),
        frame="world",
        time=_ranges(np.zeros(len(lengths), np.int64), lengths) / fps,
        sequence=Category(clip, tuple(f"s{seed}-{i:05d}" for i in range(len(lengths)))),
        action=Category(scene.task.astype(np.int32), ACTIONS),
        provenance={"source": "nearfar.synthetic"},
    )


def synthetic_poses(
    frames: int,
    *,
    seed: int = 0,
    views: int = 1,
    fps: float = 15.0,
    skeleton: str | Path | Skeleton = "h36m17",
) -> PoseSet:
    """Make a data set of human motion seen by sampled cameras; the same arguments always give the same one.

    Args:
        frames: moments of motion. There are ``frames * views`` rows.
        seed: another seed is other people, doing other things, before other cameras.
        views: cameras around each clip.
        fps: frames a second.
        skeleton: h36m17, human19, or whatever can be derived from human19's joints.

    Returns:
        Camera-frame joints (mm), keypoints (px, no distortion), intrinsics, image sizes, and names of clip and view
        (sequence), person (subject) and task (action). Rows stand clip after clip, view after view, in order of time;
        a sequence is one view of one clip of 4 to 20 seconds. All joints are there, also those out of the image.
        `mean_limb_lengths` are the means over the set.

    Raises:
        InputError: frames, views, seed or fps out of range, or a skeleton that human19's joints do not give.
    """
    for name, value, least in (("frames", frames, 1), ("views", views, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"synthetic poses: {name}: expected a whole number of at least {least}, got {value!r}")
    if not (isinstance(fps, int | float) and 1 <= fps <= 1000):
        raise InputError(f"synthetic poses: fps: expected 1 to 1000 frames a second, got {fps!r}")
    target = get_skeleton(skeleton)
    try:
        mapping = remap(FULL, target)
    except InputError as error:
        raise InputError(
            f"synthetic motion is that of people, and gives no skeleton {target.name!r} ({error})"
        ) from None
    lengths = clip_lengths(np.random.default_rng([seed, 0]), frames, fps)
    rows, j = frames * views, target.num_joints
    joints, keypoints = np.empty((rows, j, 3), np.float32), np.empty((rows, j, 2), np.float32)
    intrinsics, image_size = np.empty((rows, 4), np.float32), np.empty((rows, 2), np.float32)
    action, done = np.empty(rows, np.int32), 0
    for block, at in enumerate(range(0, len(lengths), _CLIPS_AT_ONCE)):
        rng = np.random.default_rng([seed, 1 + block])
        some = lengths[at : at + _CLIPS_AT_ONCE]
        scene = _stage(rng, some, fps)
        root_height = scene.joints[:, FULL.root_index, 2]
        middle = np.add.reduceat(root_height, scene.starts[:-1]) / some
        cameras = sample_cameras(rng, len(some), views, middle)
        # Rows clip after clip, view after view: each view of a clip repeats the clip's moments.
        camera = np.repeat(np.arange(len(some) * views), np.repeat(some, views))
        moment = _ranges(np.repeat(scene.starts[:-1], views), np.repeat(some, views))
        part = slice(done, done + len(camera))
        seen = world_to_camera(scene.joints[moment], cameras.rotation[camera], cameras.centre[camera])
        joints[part] = mapping.points(seen)
        intrinsics[part], image_size[part] = cameras.intrinsics[camera], cameras.image_size[camera]
        keypoints[part] = project(joints[part], intrinsics[part])
        action[part] = scene.task[moment]
        done = part.stop
    sequence_length = np.repeat(lengths, views)
    sequence = np.repeat(np.arange(len(sequence_length), dtype=np.int32), sequence_length)
    frame_index = _ranges(np.zeros(len(sequence_length), np.int64), sequence_length)
    clip = sequence // views
    people = -(-len(lengths) // _CLIPS_A_PERSON)
    return PoseSet(
        skeleton=target,
        keypoints=keypoints,
        joints=joints,
        frame="camera",
        intrinsics=intrinsics,
        image_size=image_size,
        time=frame_index / fps,
        frame_index=frame_index,
        sequence=Category(
            sequence, tuple(f"s{seed}-{i // views:05d}-view{i % views}" for i in range(len(sequence_length)))
        ),
        subject=Category((clip // _CLIPS_A_PERSON).astype(np.int32), tuple(f"s{seed}-{i:05d}" for i in range(people))),
        action=Category(action, ACTIONS),
        mean_limb_lengths=limb_lengths(joints, target).mean(axis=0, dtype=np.float64),
        provenance={
            "source": "nearfar.synthetic",
            "arguments": {"frames": int(frames), "seed": int(seed), "views": int(views), "fps": float(fps)},
            "intrinsics": "the sampled camera's",
            "licence": "made by the program; holds no third-party data, and no licence is needed to use it",
        },
    )


def _ranges(start: Array, length: Array) -> Array:
    """start[0] … start[0] + length[0] - 1, start[1] …, one after the other."""
    return np.asarray(np.arange(length.sum()) + np.repeat(start - (np.cumsum(length) - length), length))
