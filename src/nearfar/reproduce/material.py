"""What the experiments are run on: training and test poses with their 3D, and ordinary photos with labels alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nearfar.consensus import SimulatedCrowd, SkillModel, merge, simulate_answers
from nearfar.datasets.cmu_benchmark import load_benchmark
from nearfar.datasets.h36m import find_cameras, load_h36m
from nearfar.datasets.mocap import CMU_ACKNOWLEDGEMENT
from nearfar.datasets.relative_depth_lsp import load_relative_depth_lsp
from nearfar.errors import InputError
from nearfar.geometry import limb_lengths
from nearfar.keypoint_noise import KeypointNoise
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import PoseSet
from nearfar.synthetic import synthetic_poses

__all__ = ["Material", "Photos", "material", "photos"]

FULL = "h36m17"
DETECTED = "h36m16"
PHOTO = "lsp14"
PHOTOS, PAIRS_A_PHOTO = 1000, 5


@dataclass(frozen=True, eq=False)
class Material:
    """Poses with known 3D.

    Attributes:
        title: what they are, for captions.
        train, test: keypoints (px), joints (mm, camera frame) and intrinsics; skeleton ``h36m17``.
        detect: gives the poses of "train" or "test" with detected keypoints, skeleton ``h36m16``.
        detections: what those detections are, for captions.
        acknowledgement: to be stated with every figure; or "".
        rotations: (N, 3, 3) world to camera, of the test poses, where the data tell; or None.
    """

    title: str
    train: PoseSet
    test: PoseSet
    detect: Callable[[str], PoseSet]
    detections: str
    acknowledgement: str
    rotations: np.ndarray | None = None

    def part(self, split: str, skeleton: str, *, detected: bool) -> PoseSet:
        """The poses of "train" or "test" on a skeleton, with the mean limb lengths of the training poses on it."""
        own = self.train if split == "train" else self.test
        reference = self.train.remap(skeleton)
        if reference.joints is None:
            raise InputError(f"{self.title}: has no 3D joints")
        poses = (self.detect(split) if detected else own).remap(skeleton)
        lengths = limb_lengths(np.asarray(reference.joints), reference.skeleton)
        return dataclasses.replace(poses, mean_limb_lengths=np.asarray(np.nanmean(lengths, axis=0, dtype=np.float64)))


@dataclass(frozen=True, eq=False)
class Photos:
    """Images with 2D keypoints and merged relative labels, no 3D; skeleton ``lsp14``.

    Attributes:
        title: what they are, for captions.
        train, test: keypoints.
        train_labels, test_labels: merged labels.
        truth: the test poses with their 3D where the photos are simulated; or None.
    """

    title: str
    train: PoseSet
    test: PoseSet
    train_labels: RelativeLabels
    test_labels: RelativeLabels
    truth: PoseSet | None


@lru_cache(maxsize=1)
def material(spec: str, every: int = 1) -> Material:
    """Load what ``--data`` names.

    Args:
        spec: ``cmu:FOLDER`` (the CMU benchmark), ``h36m:FOLDER`` (Human3.6M in any of its forms) or ``synthetic``.
        every: keep every n-th training row.

    Raises:
        InputError: another spec, or files that are missing or damaged.
    """
    kind, _, folder = spec.partition(":")
    if kind not in {"cmu", "h36m", "synthetic"} or (kind != "synthetic") != bool(folder):
        raise InputError(f"--data {spec}: expected cmu:FOLDER, h36m:FOLDER or synthetic")
    if every < 1:
        raise InputError(f"every: expected at least 1, got {every}")
    if kind == "h36m":
        train, test = (load_h36m(folder, split=split, every=n) for split, n in (("train", every), ("test", 1)))

        def detect(split: str) -> PoseSet:
            n = every if split == "train" else 1
            return load_h36m(folder, split=split, every=n, skeleton=DETECTED, keypoints="sh")

        turned = _h36m_rotations(test, Path(folder))
        return Material("Human3.6M", train, test, detect, "Stacked Hourglass, fine-tuned", "", turned)
    if kind == "cmu":
        train, test = (load_benchmark(Path(folder) / f"{split}.npz") for split in ("train", "test"))
        title, acknowledgement = "CMU motion seen by sampled cameras (benchmark cmu-4view)", CMU_ACKNOWLEDGEMENT
    else:
        train, test = (synthetic_poses(n, seed=seed, views=2, fps=3) for n, seed in ((60_000, 0), (6_000, 1)))
        title, acknowledgement = "synthetic motion of nearfar", ""
    train = train.select(slice(None, None, every))
    what = "simulated: normal, 5 px in x and y, and 25 px for one joint in twenty"
    return Material(
        title,
        train,
        test,
        lambda split: _simulated_detections(train if split == "train" else test, split),
        what,
        acknowledgement,
    )


def _h36m_rotations(poses: PoseSet, folder: Path) -> np.ndarray:
    """(N, 3, 3) of poses whose sequences are named ``S9/Eating 1.54138969``."""
    if poses.sequence is None:
        raise InputError(f"{folder}: poses without names of clips")
    views = find_cameras(folder).by_view
    of_sequence = [
        views[int(name.split("/")[0].removeprefix("S")), name.rpartition(".")[2]].rotation
        for name in poses.sequence.names
    ]
    return np.array(of_sequence)[poses.sequence.codes]


def _simulated_detections(poses: PoseSet, split: str) -> PoseSet:
    """A stand-in for a detector, 16 joints: most keypoints a little off, a few a lot."""
    own, rng = poses.remap(DETECTED), np.random.default_rng([3, split == "test"])
    keypoints = np.asarray(own.keypoints)
    far = rng.random(keypoints.shape[:2]) < 0.05
    near, astray = (KeypointNoise("normal", amount).add(keypoints, rng) for amount in (5.0, 25.0))
    return dataclasses.replace(own, keypoints=np.where(far[..., None], astray, near))


@lru_cache(maxsize=1)
def photos(folder: str | None) -> Photos:
    """LSP with its relative depth labels, or a stand-in.

    Args:
        folder: holds ``relative_depth_lsp_v1.json``; None simulates: synthetic people of another seed than any training
            data, 1,000 images each to train and to test, 5 random pairs an image, 5 answers a pair by a simulated
            crowd, merged.

    Raises:
        InputError: files that are missing or damaged.
    """
    if folder is not None:
        parts = {
            part.name: part for part in load_relative_depth_lsp(Path(folder) / "relative_depth_lsp_v1.json").parts()
        }
        train, test = parts["train"], parts["test"]
        if train.labels is None or test.labels is None:
            raise InputError(f"{folder}: has no labels")
        return Photos("Leeds Sports Pose", train.poses, test.poses, train.labels, test.labels, None)
    seen, labels = [], []
    for split in range(2):
        rng = np.random.default_rng([7, split])
        poses = synthetic_poses(40 * PHOTOS, seed=100 + split, views=1, fps=1, skeleton=PHOTO)
        poses = poses.select(np.sort(rng.permutation(len(poses))[:PHOTOS]))
        pairs = random_pairs(poses.skeleton, len(poses), PAIRS_A_PHOTO, rng)
        seen.append(poses)
        labels.append(merge(simulate_answers(poses, pairs, SimulatedCrowd(), rng), SkillModel()).labels)
    unseen = [dataclasses.replace(poses, joints=None, mean_limb_lengths=None) for poses in seen]
    title = "a stand-in for LSP: 1,000 + 1,000 synthetic poses, answers of a simulated crowd, merged"
    return Photos(title, unseen[0], unseen[1], labels[0], labels[1], seen[1])
