"""The tables on real photos and a real clip: docs/detection.md and "A real video" of docs/results.md.

    python benchmarks/real_media.py --photos COCO_FOLDER --annotations COCO.json --clip street_walk.mp4

The photos are those that the COCO annotation file names. Prints two Markdown tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import tyro

import nearfar
from nearfar.detection import Detection, find_people, get_detector
from nearfar.media import read_frames
from nearfar.metrics import limb_length_variation

# Spread of COCO's annotators per joint (keypoint evaluation of the COCO API).
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
FEWEST_JOINTS = 8

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arguments:
    """Measure detection on annotated photos, and lifting on a clip."""

    photos: Path
    """Folder of the photos."""
    annotations: Path
    """COCO keypoint annotations of the photos."""
    clip: Path
    """Video with two people."""
    weights: tuple[str, ...] = ("default", "default-video")
    """Weights to lift it with, by name or file."""


def object_keypoint_similarity(found: Array, truth: Array, area: float) -> float:
    """OKS of (17, 2) keypoints against (17, 3) annotated ones (x, y, visibility) of a person of `area` px²."""
    labelled = truth[:, 2] > 0
    square = ((found - truth[:, :2]) ** 2).sum(axis=-1)
    similarity = np.exp(-square / (2 * area * (2 * SIGMAS) ** 2 + np.spacing(1)))
    return float(np.nan_to_num(similarity[labelled]).mean())


def photo_rows(arguments: Arguments) -> None:
    """How many annotated people are found, on the whole photo and by `find_people`."""
    data = json.loads(arguments.annotations.read_text("utf-8"))
    to_coco = nearfar.remap("mediapipe33", "coco17")
    best: dict[str, list[float]] = {"MediaPipe on the whole photo": [], "`find_people`": []}
    returned = dict.fromkeys(best, 0)
    with get_detector("mediapipe") as detector:
        for photo in data["images"]:
            image = next(iter(read_frames(arguments.photos / photo["file_name"]))).image
            answers: dict[str, Sequence[Detection]] = {
                "MediaPipe on the whole photo": detector.detect(image, 10),
                "`find_people`": find_people(detector, image),
            }
            people = [a for a in data["annotations"] if a["image_id"] == photo["id"]]
            people = [a for a in people if a["num_keypoints"] >= FEWEST_JOINTS and not a.get("iscrowd")]
            for name, found in answers.items():
                returned[name] += len(found)
                for person in people:
                    truth = np.array(person["keypoints"], dtype=np.float64).reshape(17, 3)
                    scores = [
                        object_keypoint_similarity(to_coco.points(d.keypoints), truth, person["area"]) for d in found
                    ]
                    best[name].append(max(scores, default=0.0))
    print("| | people returned | OKS > 0.5 | mean OKS |\n|---|---|---|---|")
    for name, scores in best.items():
        print(
            f"| {name} | {returned[name]} | {sum(s > 0.5 for s in scores)} of {len(scores)} | {np.mean(scores):.2f} |"
        )


def clip_rows(path: Path, weights: Sequence[str]) -> None:
    """Steadiness, uprightness and direction of the two people of a clip, as several weights lift them."""
    print("\n| weights | person | found | limb variation, median / worst | upright | faces where they move |"
          " hip turns > 60° | ankle exchanges |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    with TemporaryDirectory() as folder:
        for name in weights:
            person_rows(name, nearfar.lift_media(path, name, people=2, remember=Path(folder) / "detections.bin"))


def person_rows(weights: str, poses: nearfar.PoseSet) -> None:
    """A row for each person."""
    joint = {name: i for i, name in enumerate(poses.skeleton.joints)}
    for person in np.unique(poses.person):
        rows = poses.select(poses.person == person)
        there = np.flatnonzero(np.isfinite(rows.joints).all(axis=(1, 2)))
        p, root = rows.joints, rows.root_position
        variation = limb_length_variation(p, rows.skeleton)
        ankles = p[there][:, [joint["left_ankle"], joint["right_ankle"]], 1]
        heights = p[there][:, joint["head_top"], 1], p[there][:, joint["mid_hip"], 1], ankles.min(axis=1)
        upright = (heights[0] < heights[1]) & (heights[1] < heights[2])
        hips = p[:, joint["left_hip"]] - p[:, joint["right_hip"]]
        facing = np.cross(hips, [0, -1, 0])[:, 0]  # left × up = forward; its part along the image
        moved = np.full(len(p), np.nan)
        moved[10:-10] = (root[20:] - root[:-20])[:, 0]
        moving = np.abs(np.nan_to_num(moved)) > 200
        agree = (np.sign(facing) == np.sign(moved))[moving]
        turn = np.abs(np.diff(np.unwrap(np.arctan2(hips[there, 2], hips[there, 0]))))
        swaps = exchanges(rows.keypoints[there], joint["left_ankle"], joint["right_ankle"])
        found = f"{len(there)} of {np.ptp(there) + 1}"
        steady = f"{np.median(variation):.3f} / {variation.max():.3f}"
        direction = f"{agree.sum()} of {len(agree)}"
        turns = int((turn > np.pi / 3).sum())
        print(f"| {weights} | {person} | {found} | {steady} | {upright.mean():.0%} | {direction} | {turns} | {swaps} |")


def exchanges(keypoints: Array, left: int, right: int) -> int:
    """Frames in which two joints seem to have changed places: exchanged, they would have moved less than half."""
    now, before = keypoints[1:, [left, right]], keypoints[:-1, [left, right]]
    kept, swapped = (np.linalg.norm(now - other, axis=-1).sum(axis=1) for other in (before, before[:, ::-1]))
    return int((swapped < kept / 2).sum())


def main() -> None:
    """Print both tables."""
    arguments = tyro.cli(Arguments)
    photo_rows(arguments)
    clip_rows(arguments.clip, arguments.weights)


if __name__ == "__main__":
    main()
