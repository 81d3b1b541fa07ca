"""Files of the study on LSP and Human3.6M in their published forms, small, for the tests."""

from __future__ import annotations

import json
import pickle

import numpy as np

JOINT_NAMES = (
    "head", "neck", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


def merged(images=6, pairs=5, seed=0):
    """The content of ``relative_depth_lsp_v1.json`` for the first images; the last third tests."""
    rng = np.random.default_rng(seed)
    entries = []
    for i in range(images):
        anns = []
        for k in rng.choice(91, size=pairs if i != 3 else 0, replace=False):  # an image without labels
            a, b = np.array(np.triu_indices(14, 1)).T[k].tolist()
            label, certain = int(rng.integers(2)), float(rng.uniform(0.5, 1))
            prob = certain if label else 1 - certain
            anns.append(
                {"kp0": a, "kp1": b, "label": label, "prob": prob, "risk": 1 - certain, "original_id": f"{i}_{a},{b}"}
            )
        entries.append(
            {
                "im_file": f"images/im{i + 1:04d}.jpg",
                "is_train": i < images * 2 // 3,
                "keypoints": [*rng.uniform(0, 200, 27).tolist(), 31],  # some numbers are whole
                "occluded": rng.integers(0, 2, 14).tolist(),
                "anns": anns,
            }
        )
    return {"joint_names": list(JOINT_NAMES), "images": entries}


def write_merged(path, data=None):
    path.write_text(json.dumps(merged() if data is None else data))
    return path


def study(kind="lsp", images=(0, 1, 2, 3, 4), workers=("A1", "A2", "A3"), joints=None):
    """The content of a pickle of answers: each worker answers five pairs on each image; the second is flagged.

    Keys are as Python 2's dicts had them, in no order. On Human3.6M new workers also have the tutorial image.
    """
    rng = np.random.default_rng(0)
    joints = joints or (14 if kind == "lsp" else 17)
    lists = {f"_{name}_assignments": [] for name in ("all", "good", "flagged", "rejected", "error")}
    for hit, worker in enumerate(workers):
        trials = []
        for image in [*images, *([279782] if kind == "human" and hit == 0 else [])]:
            results = {}
            for _ in range(5):
                a, b = rng.choice(joints, 2, replace=False).tolist()
                results[f"{a},{b}"] = int(rng.choice([-1, 1, 0], p=[0.45, 0.45, 0.1]))
            unsure = [key for key, answer in results.items() if answer == 0][:1]
            depth = {"keypoint_comparisons_res": results, "keypoint_comparisons_unsure": unsure}
            trials.append({"img_id": image, f"{kind}_subj_id": image, "response_time": 9000 + hit, "depth": depth})
        entry = {
            "worker_id": worker,
            "worker_exp": hit,
            "assignment_id": f"3AQF{hit}",
            "hit_id": 17 + hit,
            "response_time": 61_500,
            "hit_it": 31_000,
            "hit_comment": "Pretty fun! é",
            "gui_rating": "" if hit == 2 else 9,
            f"{kind}_subj_ids": list(images),
            "trials": trials,
        }
        lists["_all_assignments"].append(entry)
        lists[("_good_assignments", "_flagged_assignments", "_rejected_assignments")[hit % 3]].append(entry)
    return lists


def write_study(path, data, protocol=0):
    """Protocol 0, as Python 2's ``pickle.dump`` wrote without being asked for another."""
    path.write_bytes(pickle.dumps(data, protocol))
    return path


def study_images(ids=(305_001, 12, 7)):
    """The content of ``relative_depth_human36m_gt.json``."""
    rng = np.random.default_rng(0)
    return {
        "pose": [{"keypoints": [*JOINT_NAMES, "mid_hip", "mid_spine", "chin"]}],
        "actions": [],
        "images": [
            {
                "id": key,
                "s_id": 1 + 4 * i,
                "video": ["TakingPhoto 1.54138969.mp4", "Eating.55011271.mp4", "WalkDog.60457274.mp4"][i],
                "frame": 100 * i,
                "filename": f"human36m_train_{key:010d}.jpg",
                "width": 1000,
                "height": 1002,
            }
            for i, key in enumerate(ids)
        ],
        "annotations": [
            {"id": key, "i_id": key, "kpts_2d": rng.uniform(0, 1000, 34).tolist(), "kpts_3d": [0.0] * 51}
            for key in reversed(ids)
        ],
    }
