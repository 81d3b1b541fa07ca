"""`Lifter`: a trained network with its skeleton and normalisation inside; keypoints go in, 3D comes out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open

from nearfar.camera import (
    DEFAULT_FIELD_OF_VIEW,
    DEFAULT_RAY_RMS,
    as_numbers,
    assumed_intrinsics,
    check_intrinsics,
    fit_translation,
    keypoints_to_rays,
)
from nearfar.errors import InputError
from nearfar.files import write_safetensors
from nearfar.lifting.hub import read_folder, write_folder
from nearfar.lifting.network import MIN_JOINTS, LiftingNetwork, RayDepthNetwork, build_network
from nearfar.lifting.temporal import TemporalConfig, TemporalNetwork, refine
from nearfar.poses import PoseSet
from nearfar.presets import NetworkConfig
from nearfar.sequences import clips
from nearfar.skeleton import Skeleton, get_skeleton
from nearfar.skeleton_maps import remap

__all__ = ["Lifter", "default_weights", "load", "predict", "resolve_device", "weight_names"]

SCHEMA = "nearfar-lifter-1"
TEMPORAL = "temporal."
"""What names of the temporal network's tensors begin with."""

LARGEST_PIXEL = 1e7
SMALLEST_RAY = 1e-3
"""Smallest slope between the root's ray and the farthest joint's that is taken for a person (500 m away)."""

FloatArray = npt.NDArray[np.floating[Any]]


class Lifter:
    """Lifts 2D keypoints to 3D.

    Attributes:
        network: the network that lifts single frames, in evaluation mode.
        card: what is known about the weights: data, licence, acknowledgement, training, figures (JSON-safe).
        temporal: the network that refines sequences, in evaluation mode; or None.
    """

    def __init__(
        self, network: LiftingNetwork, card: Mapping[str, Any] | None = None, temporal: TemporalNetwork | None = None
    ) -> None:
        if temporal is not None and not isinstance(network, RayDepthNetwork):
            raise InputError(f"a temporal network refines ray depths, not the head {network.config.head!r}")
        self.network, self.temporal = network, temporal
        self.card: dict[str, Any] = dict(card or {})

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the lifted joints."""
        return self.network.skeleton

    def __repr__(self) -> str:
        networks = [self.network, *([] if self.temporal is None else [self.temporal])]
        parameters = sum(p.numel() for network in networks for p in network.parameters())
        head = self.network.config.head + (" through time" if self.temporal is not None else "")
        return f"Lifter({head}, skeleton={self.skeleton.name}, parameters={parameters})"

    def lift(
        self,
        keypoints: npt.ArrayLike,
        *,
        skeleton: str | Path | Skeleton,
        scores: npt.ArrayLike | None = None,
        intrinsics: npt.ArrayLike | None = None,
        image_size: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Lift keypoints to root-relative 3D.

        Camera parameters are not needed. Without intrinsics a field of view of 55 degrees along the longer image
        side is assumed, and without an image size a person about 4 m away: the pose's shape changes little with
        either, its distance does.

        Args:
            keypoints: (..., J, 2) pixels, origin at the top-left corner of the image; NaN where missing.
            skeleton: skeleton of the J keypoints; they are remapped to the lifter's own.
            scores: (..., J) detection scores; keypoints of score 0 are taken as missing.
            intrinsics: (4,) or (..., 4) fx, fy, cx, cy in pixels.
            image_size: (2,) or (..., 2) width and height in pixels, used where there are no intrinsics.

        Returns:
            (..., J', 3) mm, camera axes (x right, y down, z forward), the root at the origin, joints of
            `Lifter.skeleton`. A joint whose keypoint is missing is NaN; so is a pose without a root or with fewer than
            four keypoints.

        Raises:
            InputError: wrong joint count or skeleton, infinite or normalised coordinates, bad intrinsics.
        """
        points = self._to_own_skeleton(keypoints, skeleton, scores)
        return self._lift(points, intrinsics, image_size)[0]

    def lift_poses(self, poses: PoseSet, *, causal: bool = False, fps: float = 30.0) -> PoseSet:
        """Lift the keypoints of a pose set, using its intrinsics or image size where it has them.

        With a temporal network, rows that are clips (`nearfar.sequences.clips`) are lifted as such.

        Args:
            poses: the poses.
            causal: a frame of a clip sees no later ones, as in live use; without a temporal network it never does.
            fps: frames a second that `frame_index` counts, where the poses have no `time`.

        Returns:
            The same rows on the lifter's skeleton, with `joints` (mm, frame "root"), `root_position` (mm, camera frame)
            and the intrinsics that were used; ``provenance["intrinsics"]`` says whether they were assumed.

        Raises:
            InputError: the poses have no keypoints, or as for `lift`.
        """
        if poses.keypoints is None:
            raise InputError("lifting needs keypoints, and these poses have none")
        own = dataclasses.replace(poses, joints=None, root_position=None, frame="root").remap(self.skeleton)
        points = self._to_own_skeleton(poses.keypoints, poses.skeleton, poses.scores)
        joints, root, used = self._lift(points, poses.intrinsics, poses.image_size)
        if self.temporal is not None and isinstance(self.network, RayDepthNetwork):
            cameras = np.broadcast_to(used, (len(poses), 4))
            for clip in clips(poses, fps):
                refined = refine(self.temporal, self.network, clip, points, cameras, causal=causal)
                for single, better in zip((joints, root), refined, strict=True):
                    # What the single frames leave out (no keypoint, no person) stays out.
                    before = single[clip.rows]
                    single[clip.rows] = np.where(np.isnan(before) | np.isnan(better), before, better)
        source = poses.provenance.get("intrinsics", "given") if poses.intrinsics is not None else _assumption(poses)
        return dataclasses.replace(
            own,
            joints=joints,
            root_position=root,
            intrinsics=np.broadcast_to(used, (len(poses), 4)).astype(np.float32),
            provenance={**poses.provenance, "intrinsics": source, "lifter": self.card.get("name", repr(self))},
        )

    def _to_own_skeleton(
        self, keypoints: npt.ArrayLike, skeleton: str | Path | Skeleton, scores: npt.ArrayLike | None
    ) -> FloatArray:
        points = as_numbers(keypoints, "keypoints")
        source = get_skeleton(skeleton)
        if points.ndim < 2 or points.shape[-2:] != (source.num_joints, 2):
            raise InputError(
                f"keypoints: expected (..., {source.num_joints}, 2) pixels of skeleton {source.name!r}, "
                f"got shape {points.shape}"
            )
        if np.isinf(points).any():
            raise InputError("keypoints: infinite coordinates; a missing keypoint is NaN with score 0")
        if np.max(np.abs(points), initial=0.0, where=np.isfinite(points)) > LARGEST_PIXEL:
            raise InputError(f"keypoints: coordinates beyond {LARGEST_PIXEL:g} are not pixels of an image")
        if scores is not None:
            values = as_numbers(scores, "scores")
            if values.shape != points.shape[:-1]:
                raise InputError(f"scores: expected shape {points.shape[:-1]}, got {values.shape}")
            points[~(values > 0)] = np.nan
        points[np.isnan(points).any(axis=-1)] = np.nan
        return remap(source, self.skeleton).points(points)

    def _lift(
        self, points: FloatArray, intrinsics: npt.ArrayLike | None, image_size: npt.ArrayLike | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Joints (..., J, 3), root position (..., 3) and intrinsics used, for points on the lifter's own skeleton."""
        batch = points.shape[:-2]
        finite = np.abs(points[np.isfinite(points)])
        if intrinsics is None:
            if finite.size and finite.max() <= 2:
                raise InputError(
                    f"keypoints: coordinates within {-finite.max():.2g}..{finite.max():.2g} look normalised; "
                    "expected pixels (multiply by the image size first)"
                )
            used = assumed_intrinsics(image_size, points, self.skeleton.root_index)
        else:
            used = check_intrinsics(intrinsics)
        try:
            full = np.broadcast_to(used, (*batch, 4))
        except ValueError:
            name = "image size" if intrinsics is None else "intrinsics"
            raise InputError(f"{name}: rows of shape {used.shape[:-1]} do not fit keypoints {points.shape}") from None
        flat, k = points.reshape(-1, *points.shape[-2:]), full.reshape(-1, 4)
        self._check_apparent_size(flat, k)
        joints, root = predict(self.network, flat, k)
        present = np.all(np.isfinite(flat), axis=-1)
        usable = present[:, self.skeleton.root_index] & (np.sum(present, axis=1) >= MIN_JOINTS)
        joints = np.where((present & usable[:, None])[..., None], joints, np.nan)
        root = np.where(usable[:, None], root, np.nan)
        return joints.reshape(*batch, *joints.shape[1:]), root.reshape(*batch, 3), used

    def _check_apparent_size(self, points: FloatArray, intrinsics: FloatArray) -> None:
        """Refuse keypoints that their intrinsics cannot have seen: a person of a thousandth of a radian or less."""
        rays = keypoints_to_rays(points, intrinsics)
        offsets = np.linalg.norm(rays - rays[:, [self.skeleton.root_index]], axis=-1)
        largest = np.max(offsets[np.isfinite(offsets)], initial=0.0)
        if 0 < largest < SMALLEST_RAY:
            raise InputError(
                "keypoints and intrinsics do not belong together: the largest person fills "
                f"{largest:.1g} of the focal length; are the keypoints normalised, or the intrinsics of another image?"
            )

    def save(self, path: str | Path) -> None:
        """Write one ``.safetensors`` file: weights, and in its header configuration, skeleton and model card.

        With a temporal network, matrices are stored in half precision, so that the file stays below 10 MB.
        """
        write_safetensors(path, *self._stored())

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder as model hubs have it: ``config.json``, ``model.safetensors``, and a model card ``README.md``.

        `nearfar.load` and `from_pretrained` read it. ``model.safetensors`` is also a file as `save` writes it.

        Raises:
            InputError: the folder cannot be written.
        """
        write_folder(folder, *self._stored())

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, device: str = "cpu") -> Lifter:
        """Read the folder of `save_pretrained`, on this machine: `nearfar.load` of nothing but folders.

        Raises:
            InputError: no such folder, a file in it is missing or damaged, or no such device.
        """
        if not Path(folder).is_dir():
            raise InputError(f"{folder}: no such folder")
        return load(folder, device=device)

    def _stored(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Tensors and header of the lifter's file."""
        header = {
            "schema": SCHEMA,
            "network": dataclasses.asdict(self.network.config),
            "skeleton": self.skeleton.to_dict(),
            "card": self.card,
        }
        tensors = self.network.state_dict()
        if self.temporal is not None:
            header["temporal"] = dataclasses.asdict(self.temporal.config)
            tensors |= {TEMPORAL + name: value for name, value in self.temporal.state_dict().items()}
            tensors = {name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}
        return tensors, header


def predict(
    network: LiftingNetwork, keypoints: FloatArray, intrinsics: FloatArray, batch_size: int = 8192
) -> tuple[FloatArray, FloatArray]:
    """Run a network over many poses.

    Args:
        network: in evaluation mode.
        keypoints: (N, J, 2) pixels on the network's skeleton.
        intrinsics: (N, 4).
        batch_size: poses at a time.

    Returns:
        (N, J, 3) root-relative joints and (N, 3) root positions, mm, float32. Heads that do not place the root get the
        translation that reprojects best.
    """
    device = next(network.parameters()).device
    joints = np.empty((len(keypoints), network.skeleton.num_joints, 3), np.float32)
    root = np.empty((len(keypoints), 3), np.float32)
    with torch.inference_mode():
        for start in range(0, len(keypoints), batch_size):
            rows = slice(start, start + batch_size)
            points, k = (
                torch.from_numpy(np.array(array[rows], dtype=np.float32)).to(device)
                for array in (keypoints, intrinsics)
            )
            prediction = network.lift(points, k)
            placed = prediction.joints - prediction.joints[:, [network.skeleton.root_index]]
            joints[rows] = placed.cpu().numpy()
            if prediction.root is None:
                root[rows] = fit_translation(joints[rows], keypoints_to_rays(keypoints[rows], intrinsics[rows]))
            else:
                root[rows] = prediction.root.cpu().numpy()
    return joints, root


def with_camera(poses: PoseSet, purpose: str, *, needed: bool = True) -> PoseSet:
    """The poses, with intrinsics assumed from their image size where they have none.

    Where a camera is not `needed` (the paper's networks do not look at it), poses without image size get one that is
    assumed from the person's apparent size.

    Raises:
        InputError: they have no keypoints, or neither intrinsics nor image size; `purpose` says what needed them.
    """
    if poses.keypoints is None:
        raise InputError(f"{purpose}: needs keypoints, and these poses have none")
    if poses.intrinsics is not None:
        check_intrinsics(poses.intrinsics)
        return poses
    if poses.image_size is None and needed:
        raise InputError(f"{purpose}: needs intrinsics (fx, fy, cx, cy) or the image size of each pose")
    assumed = assumed_intrinsics(poses.image_size, poses.keypoints, poses.skeleton.root_index)
    assumed = np.broadcast_to(assumed, (len(poses), 4)).astype(np.float32)
    return dataclasses.replace(
        poses, intrinsics=assumed, provenance={**poses.provenance, "intrinsics": _assumption(poses)}
    )


def default_weights(poses: PoseSet) -> str:
    """Name of the package's weights for these poses: "default-video" where there is a clip among them."""
    return "default-video" if clips(poses) and "default-video" in weight_names() else "default"


def weight_names() -> tuple[str, ...]:
    """Names of the weights that come with the package."""
    folder = resources.files("nearfar") / "weights"
    if not folder.is_dir():
        return ()
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors")))


def resolve_device(name: str) -> torch.device:
    """The device that "auto", "cpu" or "cuda" means here.

    Raises:
        InputError: an unknown name, or CUDA asked for where there is none.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise InputError(f"device: expected auto, cpu or cuda, got {name!r}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device: cuda is not available here; use cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def load(name_or_path: str | Path = "default", *, device: str = "cpu") -> Lifter:
    """Load a lifter: weights of the package by name, a ``.safetensors`` file, or a folder of `Lifter.save_pretrained`.

    Args:
        name_or_path: name, file or folder.
        device: "cpu", "cuda", or "auto" for CUDA where it is there.

    Raises:
        InputError: no such weights, the file is not a lifter or damaged, or no such device.
    """
    place = resolve_device(device)
    name = str(name_or_path)
    if name in weight_names():
        with resources.as_file(resources.files("nearfar") / "weights" / f"{name}.safetensors") as path:
            return _read(path, place)
    if not Path(name).exists():
        raise InputError(f"no weights {name!r}: neither a file nor one of {', '.join(weight_names()) or '(none)'}")
    if Path(name).is_dir():
        weights, config = read_folder(Path(name))
        return _read(weights, place, config)
    return _read(Path(name), place)


def _read(path: Path, device: torch.device, header: dict[str, Any] | None = None) -> Lifter:
    """The lifter of a file, whose own header says what it is, or `header`."""
    try:
        with safe_open(path, framework="pt") as file:
            if header is None:
                header = json.loads((file.metadata() or {})["nearfar"])
            if header["schema"] != SCHEMA:
                raise InputError(f"{path}: not weights of a lifter (schema {header['schema']!r}, expected {SCHEMA!r})")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        skeleton = Skeleton.from_dict(header["skeleton"], where=str(path))
        network = build_network(NetworkConfig(**header["network"]), skeleton)
        temporal = None
        if "temporal" in header:
            temporal = TemporalNetwork(TemporalConfig(**header["temporal"]), skeleton)
            names = [name for name in tensors if name.startswith(TEMPORAL)]
            temporal.load_state_dict({name.removeprefix(TEMPORAL): tensors.pop(name) for name in names})
            temporal = temporal.eval().to(device)
        network.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a nearfar weights file, or a damaged one ({error})") from None
    except RuntimeError as error:
        raise InputError(f"{path}: the weights do not fit their own configuration ({error})") from None
    return Lifter(network.eval().to(device), header["card"], temporal)


def _assumption(poses: PoseSet) -> str:
    if poses.image_size is not None:
        return f"assumed: field of view {DEFAULT_FIELD_OF_VIEW:g} degrees along the longer image side"
    return f"assumed: apparent size {DEFAULT_RAY_RMS:g} (a person about 4 m away), no image size known"
