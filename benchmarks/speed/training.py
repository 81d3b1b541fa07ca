"""Training on one machine: against a plain loop in the style of the field, and against the network alone."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.speed.section import Curve, Figure, Section, Setting, in_turns, rate
from nearfar import PoseSet, RelativeLabels, evaluate, synthetic_poses, train
from nearfar.datasets.cmu_benchmark import load_benchmark
from nearfar.geometry import root_relative
from nearfar.labels import labels_from_joints, random_pairs
from nearfar.lifting.lifter import Lifter
from nearfar.lifting.network import Dropout, LiftingNetwork, build_network
from nearfar.losses import joint_l1_loss
from nearfar.presets import PRESETS, TrainingConfig
from nearfar.training.stepping import denormals_as_zero, learning_rate, resolve_precision

CPU = torch.device("cpu")
CEILING, DEFAULT = PRESETS["ceiling"], PRESETS["default"]
THEIR_BATCH = 64
SEEDS = (0, 1, 2)


class PlainDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """A Python object a sample: keypoints, intrinsics and joints, mirrored half of the time."""

    def __init__(self, poses: PoseSet) -> None:
        self.keypoints = np.asarray(poses.keypoints, np.float32)
        self.intrinsics = np.asarray(poses.intrinsics, np.float32)
        self.joints = np.asarray(root_relative(np.asarray(poses.joints), poses.skeleton), np.float32)
        self.mirror = poses.skeleton.mirror_permutation

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        keypoints, intrinsics, joints = self.keypoints[i].copy(), self.intrinsics[i].copy(), self.joints[i].copy()
        if np.random.rand() < 0.5:
            keypoints, joints = keypoints[self.mirror], joints[self.mirror]
            keypoints[:, 0] *= -1
            joints[:, 0] *= -1
            intrinsics[2] *= -1
        return torch.from_numpy(keypoints), torch.from_numpy(intrinsics), torch.from_numpy(joints)


def plain_loop(poses: PoseSet, batch_size: int, epochs: int, workers: int, seed: int = 0) -> LiftingNetwork:
    """Train the network of `ceiling` as most code of the field does: 32-bit floats, torch's own dropout and AdamW."""
    torch.manual_seed(seed)
    network = build_network(CEILING.network, poses.skeleton)
    network.initialise()
    for block in network.modules():
        for name, layer in block.named_children():
            if isinstance(layer, Dropout):
                setattr(block, name, nn.Dropout(layer.p))
    loader = DataLoader(
        PlainDataset(poses),
        batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
    )
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=CEILING.optimiser.weight_decay)
    network.train()
    step = 0
    for _ in range(epochs):
        for keypoints, intrinsics, joints in loader:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(CEILING.optimiser, step, epochs * len(loader))
            loss = joint_l1_loss(network(keypoints, intrinsics).joints, joints)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()
            step += 1
    return network.eval()


def measure(setting: Setting) -> Section:
    """Rates in turns, accuracy of both loops, and the roofline of a step."""
    count = 2_048 if setting.quick else 16_384
    poses, val = _data(setting)
    part = poses.select(slice(0, count))
    labels = labels_from_joints(part, random_pairs(part.skeleton, count, 1, np.random.default_rng(0)))
    figures = [*_rates(part, labels, setting), *_accuracy(poses, val, setting)]
    roofline, parts = _roofline(part, setting)
    return Section(
        "Training, one process",
        (*figures, *parts),
        (roofline,),
        (
            f"The plain loop makes a Python object a sample (batch {THEIR_BATCH}, 32-bit floats, torch's dropout and "
            f"AdamW, no cached anything); ours trains with batch {CEILING.batch_size}, in "
            f"{resolve_precision('auto', CPU)} here. Both train the network of `ceiling` with its learning rates, "
            f"on {torch.get_num_threads()} threads. Rates are of whole runs, less those of short runs.",
            "`default` passes, besides a batch of 256, 128 synthetic and 256 turned poses forwards and backwards and "
            "512 forwards through its teacher; its limit is those passes.",
            "Of the roofline, memory is copying 256 MB; what fits into the caches, as weights and moments nearly do, "
            "may pass its roof.",
            "Accuracy: PA-MPJPE in mm on val poses after the same few epochs with the same batch; mean of three seeds, "
            "least to greatest.",
        ),
    )


def _data(setting: Setting) -> tuple[PoseSet, PoseSet]:
    rows = 2_048 if setting.quick else 32_768
    if setting.benchmark is None:
        return synthetic_poses(rows, seed=1), synthetic_poses(4_096, seed=2)
    whole, given, val = (load_benchmark(setting.benchmark / f"{name}.npz") for name in ("train", "train_labels", "val"))
    whole = dataclasses.replace(whole, mean_limb_lengths=given.mean_limb_lengths)
    chosen = np.sort(np.random.default_rng(0).permutation(len(whole))[:rows])
    return whole.select(chosen), val.select(slice(None, None, 8))


def _rates(poses: PoseSet, labels: RelativeLabels, setting: Setting) -> Iterator[Figure]:
    rows, more = len(poses), 1 if setting.quick else 3
    network = build_network(CEILING.network, poses.skeleton)
    network.initialise()
    keypoints, intrinsics = (torch.from_numpy(np.array(a, np.float32)) for a in (poses.keypoints, poses.intrinsics))

    def passes(batch: int, steps: int, precision: str, lifted: int = 0) -> Callable[[], None]:
        """The limit: the network forwards and backwards on what is in memory, and nothing else."""

        def run() -> None:
            for _ in range(steps):
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                    if lifted:
                        with torch.no_grad():
                            network.eval()(keypoints[:lifted], intrinsics[:lifted])
                    joints = network.train()(keypoints[:batch], intrinsics[:batch]).joints
                joints.abs().mean().backward()
                network.zero_grad()

        return run

    def ours(config: TrainingConfig, epochs: int) -> Callable[[], object]:
        config = dataclasses.replace(config, epochs=epochs, turn=dataclasses.replace(config.turn, start=0.0))
        config = dataclasses.replace(
            config, synthetic=dataclasses.replace(config.synthetic, poses=min(config.synthetic.poses, 4_000))
        )
        given = labels if config.loss.order != "none" else None
        return lambda: train(poses, given, config, progress=False)

    single = dataclasses.replace(CEILING, precision="float32")
    auto = resolve_precision("auto", CPU)
    kinds: dict[str, Callable[[int], Callable[[], object]]] = {
        "plain": lambda n: lambda: plain_loop(poses, THEIR_BATCH, n, 0),
        "plain, workers": lambda n: lambda: plain_loop(poses, THEIR_BATCH, n, 2),
        "ceiling": lambda n: ours(CEILING, n),
        "ceiling, float32": lambda n: ours(single, n),
        "default": lambda n: ours(DEFAULT, n),
    }
    limits = {
        "ceiling": passes(256, rows // 256, auto),
        "ceiling, float32": passes(256, rows // 256, "float32"),
        "default": passes(640, rows // 256, auto, 512),
    }
    work = {f"limit of {name}": one for name, one in limits.items()}
    for name, make in kinds.items():
        work |= {name: make(1 + more), f"{name} once": make(1)}
    with denormals_as_zero():
        taken = in_turns(work, 1 if setting.quick else max(3, setting.repetitions // 2))
    seconds = {
        name: [(long - short) / more for long, short in zip(taken[name], taken[f"{name} once"], strict=True)]
        for name in kinds
    }
    best = min(("plain", "plain, workers"), key=lambda name: statistics.median(seconds[name]))
    unit = "samples/s"
    yield rate("plain loop, loading in the same process", seconds["plain"], rows, unit)
    yield rate("plain loop, loading in two processes", seconds["plain, workers"], rows, unit)
    for name, goal in (("ceiling", 10.0), ("ceiling, float32", None)):
        yield rate(name, seconds[name], rows, unit, "the better plain loop", seconds[best], goal=goal)
    for name in limits:
        yield rate(f"{name}, again", seconds[name], rows, unit, "the network's passes alone",
                   taken[f"limit of {name}"], goal=0.85)  # fmt: skip


def _accuracy(poses: PoseSet, val: PoseSet, setting: Setting) -> Iterator[Figure]:
    """Both loops, same recipe, same batch: what speed costs."""
    epochs, seeds = (1, SEEDS[:1]) if setting.quick else (4, SEEDS)
    recipe = dataclasses.replace(CEILING, epochs=epochs)

    def by_plain_loop(seed: int) -> Lifter:
        return Lifter(plain_loop(poses, recipe.batch_size, epochs, 0, seed), {})

    def by_ours(seed: int) -> Lifter:
        return train(poses, None, dataclasses.replace(recipe, seed=seed), progress=False)

    for name, make in (("plain loop", by_plain_loop), ("our loop", by_ours)):
        errors = [float(evaluate(make(seed), val)["pa_mpjpe"]) for seed in seeds]
        yield Figure(f"{name}: PA-MPJPE", statistics.mean(errors), "mm", min(errors), max(errors))


def _roofline(poses: PoseSet, setting: Setting) -> tuple[Curve, list[Figure]]:
    """What a step's parts reach, and what the machine allows: operations a second against operations a byte."""
    dtype = torch.bfloat16 if resolve_precision("auto", CPU) == "bfloat16" else torch.float32
    size, width, batch, wide = dtype.itemsize, CEILING.network.width, CEILING.batch_size, 2048
    big, copied = torch.randn(wide, wide, dtype=dtype), torch.randn(64 << 20)
    target = torch.empty_like(copied)
    x = torch.randn(batch, width, dtype=dtype)
    weight = torch.randn(width, width, dtype=dtype)
    rest = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), Dropout(CEILING.network.dropout)).train()
    network = build_network(CEILING.network, poses.skeleton)
    parameters = sum(one.numel() for one in network.parameters())
    for one in network.parameters():
        one.grad = torch.randn_like(one)
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    activations = batch * width
    # Operations and bytes that each must move, read and written once.
    work: dict[str, tuple[Callable[[], Any], float, float]] = {
        "large matrix product": (lambda: big @ big, 2 * wide**3, 3 * wide**2 * size),
        "copy": (lambda: target.copy_(copied), 1e-3, 8 * copied.numel()),
        "layer, forwards": (lambda: x @ weight, 2 * batch * width**2, (2 * activations + width**2) * size),
        "layer, gradient of weights": (lambda: x.T @ x, 2 * batch * width**2, (2 * activations + width**2) * size),
        "normalisation, ReLU, dropout": (lambda: rest(x.float()), 12 * activations, 3 * activations * size),
        "AdamW": (optimiser.step, 12 * parameters, 7 * 4 * parameters),
    }
    repetitions = 3 if setting.quick else 40
    median = {}
    for name, (run, _, _) in work.items():
        run()
        median[name] = statistics.median(_seconds(run) for _ in range(repetitions))
    peak = work["large matrix product"][1] / median["large matrix product"] / 1e9
    bandwidth = work["copy"][2] / median["copy"] / 1e9
    points = {
        name: (operations / moved, operations / median[name] / 1e9)
        for name, (_, operations, moved) in work.items()
        if name != "copy"
    }
    ridge = peak / bandwidth
    roof = [(0.2, 0.2 * bandwidth), (ridge, peak), (1000.0, peak)]
    figures = [
        Figure("roof: large matrix product", peak, "GFLOP/s", peak, peak),
        Figure("roof: memory", bandwidth, "GB/s", bandwidth, bandwidth),
    ]
    for name, (intensity, reached) in points.items():
        allowed = min(peak, intensity * bandwidth)
        figures.append(
            Figure(
                f"{name} ({intensity:.1f} FLOP/byte)",
                reached,
                "GFLOP/s",
                reached,
                reached,
                "its roof",
                reached / allowed,
            )
        )
    lines = {"roof": roof} | {name: [point] for name, point in points.items()}
    return Curve("Roofline of a training step", "operations a byte", "GFLOP/s", lines), figures


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
