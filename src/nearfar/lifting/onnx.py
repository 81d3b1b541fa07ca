"""Lifters as ONNX files for any runtime: pixels in, millimetres out, normalisation and missing joints inside."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from nearfar.errors import InputError
from nearfar.files import replacing
from nearfar.lifting.lifter import Lifter
from nearfar.lifting.network import MIN_JOINTS, LiftingNetwork, RayDepthNetwork
from nearfar.lifting.temporal import TemporalNetwork

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["ONNX_SCHEMA", "Precision", "save_onnx"]

ONNX_SCHEMA = "nearfar-onnx-1"
OPSET = 18

Precision = Literal["float32", "int8"]


class _Frames(nn.Module):
    """What a file of a lifter of single frames computes: as `Lifter.lift_poses`, frame by frame."""

    def __init__(self, network: LiftingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, keypoints: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
        root = self.network.skeleton.root_index
        present = ~torch.isnan(keypoints).any(-1)
        keypoints = torch.where(present[..., None], keypoints, torch.nan)
        prediction = self.network.lift(keypoints, intrinsics)
        joints = prediction.joints - prediction.joints[:, root : root + 1]
        rays = (keypoints - intrinsics[:, None, 2:]) / intrinsics[:, None, :2]
        place = _translation(joints, rays, present) if prediction.root is None else prediction.root
        usable = present[:, root] & (present.sum(1) >= MIN_JOINTS)
        joints = torch.where((present & usable[:, None])[..., None], joints, torch.nan)
        return joints, torch.where(usable[:, None], place, torch.nan)


class _Clip(nn.Module):
    """What a file of a lifter of clips computes: as `Lifter.lift_poses` of one person at equal steps of time."""

    def __init__(self, frames: RayDepthNetwork, temporal: TemporalNetwork) -> None:
        super().__init__()
        self.single, self.frames, self.temporal = _Frames(frames), frames, temporal

    def forward(self, keypoints: Tensor, intrinsics: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        before = self.single(keypoints, intrinsics)
        refined = self.temporal.lift(self.frames, keypoints[None], intrinsics[None], step)
        if refined.root is None:
            raise ValueError("lifters of clips place the root")
        joints, root = (
            # What single frames leave out (no keypoint, no person) stays out.
            torch.where(torch.isnan(single) | torch.isnan(better[0]), single, better[0])
            for single, better in zip(before, (refined.joints, refined.root), strict=True)
        )
        return joints, root


def save_onnx(lifter: Lifter, path: str | Path, *, precision: Precision = "float32") -> None:
    """Write a lifter as one ONNX file.

    Inputs: ``keypoints`` (N, J, 2) float32 pixels on the lifter's skeleton, the origin at the top-left corner of the
    top-left pixel, NaN where missing; ``intrinsics`` (N, 4) float32 fx, fy, cx, cy in pixels. Outputs: ``joints``
    (N, J, 3) float32 mm, root-relative, in the camera's axes (x right, y down, z forward), and ``root`` (N, 3) float32
    mm, the root joint in the camera frame; NaN for missing joints, and for poses without a root or with fewer than four
    keypoints. N is free.

    For a lifter with a temporal network the N poses are one person, one clip, at equal steps of time (a frame without
    the person is all NaN), and there is a third input ``step`` (1,) float32, seconds from frame to frame.

    The metadata property ``nearfar`` holds JSON: schema, skeleton, units, licence, and the model card.

    Args:
        lifter: any; its networks stay as they are.
        path: the .onnx file.
        precision: "int8" stores matrices in 8 bits, a scale a column, in about a quarter of the size; sums are still
            done in float32.

    Raises:
        InputError: a file that is not called .onnx or cannot be written, no such precision, or the extra ``onnx`` is
            not installed.
    """
    target = Path(path)
    if target.suffix != ".onnx":
        raise InputError(f"{target}: ONNX files are called .onnx")
    if precision not in get_args(Precision):
        raise InputError(f"precision: expected one of {', '.join(get_args(Precision))}, got {precision!r}")
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter is built on it)
    except ImportError:
        raise InputError('ONNX files need the extra "onnx": pip install "nearfar[onnx]"') from None
    model = _traced(lifter)
    if precision == "int8":
        model = _eight_bits(model)
    model.producer_name = "nearfar"
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = "nearfar", json.dumps(_metadata(lifter, precision))
    onnx.checker.check_model(model)
    with replacing(target) as temporary:
        onnx.save(model, temporary)


def _metadata(lifter: Lifter, precision: Precision) -> dict[str, Any]:
    """What the file says of itself (JSON-safe)."""
    return {
        "schema": ONNX_SCHEMA,
        "skeleton": lifter.skeleton.to_dict(),
        "unit": {"keypoints": "px", "intrinsics": "px", "joints": "mm", "root": "mm", "step": "s"},
        "axes": "camera: x right, y down, z forward; joints are relative to the root joint",
        "min_joints": MIN_JOINTS,
        "clip": lifter.temporal is not None,
        "precision": precision,
        "licence": lifter.card.get("licence", "not stated"),
        "acknowledgement": lifter.card.get("acknowledgement", ""),
        "card": lifter.card,
    }


def _traced(lifter: Lifter) -> ModelProto:
    """The lifter's graph, by torch's exporter."""
    network, temporal = copy.deepcopy(lifter.network), copy.deepcopy(lifter.temporal)
    # Several poses, since the exporter takes a size of one for a constant.
    poses = 64
    keypoints = torch.rand(poses, lifter.skeleton.num_joints, 2) * 400 + 100
    example: tuple[Tensor, ...] = (keypoints, torch.tensor([[1000.0, 1000, 500, 500]] * poses))
    if temporal is not None and isinstance(network, RayDepthNetwork):
        graph: nn.Module = _Clip(network, temporal)
        example = (*example, torch.tensor([1 / 15]))
        # What the exporter can promise; with one or two frames the file runs, too (tests/test_lifting_onnx.py).
        free = {0: torch.export.Dim("frames", min=3)}
    else:
        graph, free = _Frames(network), {0: torch.export.Dim("poses")}
    with warnings.catch_warnings(), _silent("torch.onnx", "onnxscript", "onnx_ir"):
        warnings.simplefilter("ignore")  # the exporter's notes on itself
        program = torch.onnx.export(
            graph.cpu().eval(),
            example,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["keypoints", "intrinsics", "step"][: len(example)],
            output_names=["joints", "root"],
            dynamic_shapes=(free, free, {})[: len(example)],
        )
    if program is None:
        raise ValueError("torch.onnx.export gives a program where dynamo is asked for")
    return program.model_proto


@contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Loggers that say errors only."""
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    try:
        for logger in levels:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _eight_bits(model: ModelProto) -> ModelProto:
    """The model with the matrices of its linear layers in int8, each output's weights scaled by their largest.

    Activations stay as they are: with those in 8 bits too (`onnxruntime.quantization.quantize_dynamic`) errors are five
    times as large and the file is no smaller (docs/portable.md).
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    added = []
    for entry in list(graph.initializer):
        name = entry.name
        if not name.endswith(".weight") or len(entry.dims) != 2:
            continue
        values = numpy_helper.to_array(entry)  # torch's linear layers: (outputs, inputs)
        scale = np.abs(values).max(axis=1) / 127
        scale[scale == 0] = 1
        codes = np.rint(values / scale[:, None]).astype(np.int8)
        graph.initializer.remove(entry)
        graph.initializer.append(numpy_helper.from_array(codes, f"{name}.codes"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        added.append(helper.make_node("DequantizeLinear", [f"{name}.codes", f"{name}.scale"], [name], axis=0))
    for place, node in enumerate(added):
        graph.node.insert(place, node)
    return model


def _translation(joints: Tensor, rays: Tensor, present: Tensor) -> Tensor:
    """(B, 3) `nearfar.camera.fit_translation` of joints (B, J, 3) and rays (B, J, 2), in closed form.

    With t_z known, t_x and t_y are the means of r (z + t_z) - (x, y), so t_z is a regression of centred values.
    """
    weight = present[..., None].float()
    count = weight.sum(1, keepdim=True)
    rays, joints = torch.where(present[..., None], rays, 0.0), torch.where(present[..., None], joints, 0.0)
    ahead = joints[..., :2] - rays * joints[..., 2:]
    centred = (rays - (weight * rays).sum(1, keepdim=True) / count) * weight
    spread = centred.square().sum((1, 2))
    distance = (centred * ahead).sum((1, 2)) / spread
    aside = (rays * distance[:, None, None] - ahead).sum(1) / count[:, 0]
    place = torch.cat([aside, distance[:, None]], dim=1)
    return torch.where((spread * count[:, 0, 0].square() > 1e-9)[:, None], place, torch.nan)
