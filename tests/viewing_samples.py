"""People made up for the tests of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nearfar.camera import project
from nearfar.media import VideoWriter
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton

SKELETON = get_skeleton("h36m17")
SIZE = (640, 360)
STRIPES = 6

# A person facing the camera: x to the image's right (the person's left), y down, z forward; mm from the mid hip.
_STANDING = {
    "mid_hip": (0, 0, 0), "right_hip": (-130, 0, 0), "right_knee": (-140, 430, -40), "right_ankle": (-150, 850, 20),
    "left_hip": (130, 0, 0), "left_knee": (140, 430, -60), "left_ankle": (150, 850, 30), "mid_spine": (0, -230, 15),
    "neck": (0, -480, 10), "chin": (0, -560, -40), "head_top": (0, -680, -10), "left_shoulder": (180, -470, 20),
    "left_elbow": (230, -200, 40), "left_wrist": (300, -100, -240), "right_shoulder": (-180, -470, 25),
    "right_elbow": (-240, -200, 60), "right_wrist": (-260, 30, 120),
}  # fmt: skip


def standing() -> npt.NDArray[np.float32]:
    """(17, 3) mm, root-relative, camera axes: the left wrist is nearest to the camera, the right wrist farthest."""
    return np.array([_STANDING[name] for name in SKELETON.joints], dtype=np.float32)


def clip(frames: int = 24, people: int = 1, missing: tuple[int, ...] = ()) -> PoseSet:
    """People who walk to the right at 12 frames a second, absent from the `missing` frames."""
    number = np.repeat(np.arange(frames), people)
    person = np.tile(np.arange(people), frames)
    joints = np.repeat(standing()[None], frames * people, axis=0)
    swing = 200 * np.sin(number * 0.6)
    joints[:, SKELETON.index("left_ankle"), 2] += swing
    joints[:, SKELETON.index("right_ankle"), 2] -= swing
    root = np.stack([-900 + number * 1800 / max(frames, 2) + 700 * person, 100 + 0 * number, 4000 + 900 * person], 1)
    intrinsics = np.tile([520.0, 520.0, SIZE[0] / 2, SIZE[1] / 2], (len(number), 1))
    keypoints = project(joints + root[:, None], intrinsics)
    scores = np.ones(keypoints.shape[:2])
    gone = np.isin(number, missing)
    joints[gone], root[gone], keypoints[gone], scores[gone] = np.nan, np.nan, np.nan, 0
    return PoseSet(
        skeleton=SKELETON,
        keypoints=keypoints,
        scores=scores,
        joints=joints,
        frame="root",
        root_position=root,
        intrinsics=intrinsics,
        image_size=np.tile(np.array(SIZE, float), (len(number), 1)),
        time=number / 12,
        frame_index=number,
        person=person,
        provenance={"intrinsics": "made up"},
    )


def striped(index: int) -> npt.NDArray[np.uint8]:
    """A frame that says its number: vertical stripes, white for the ones of the binary digits, lowest first."""
    image = np.full((SIZE[1], SIZE[0], 3), 90, dtype=np.uint8)
    width = SIZE[0] // STRIPES
    for bit in range(STRIPES):
        image[:40, bit * width : (bit + 1) * width] = 255 if index >> bit & 1 else 0
    return image


def striped_video(path: Path, frames: int, fps: float = 12.0) -> Path:
    """A video whose frames say their numbers."""
    with VideoWriter(path, fps) as writer:
        for index in range(frames):
            writer.write(striped(index))
    return path
