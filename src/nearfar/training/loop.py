"""The training loop: whole tensors, one device or several processes alike, resumable bit for bit on a CPU.

Every random number is a function of the seed and of the step (or epoch), so a run that was killed goes on from its
last checkpoint exactly as if it had never stopped.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from nearfar.errors import InputError
from nearfar.evaluation import check_validation, evaluate_network, order_accuracy
from nearfar.interrupts import postponed_interrupt
from nearfar.labels import RelativeLabels
from nearfar.lifting.lifter import Lifter, resolve_device
from nearfar.lifting.network import LiftingNetwork, build_network
from nearfar.losses import joint_l1_loss
from nearfar.poses import PoseSet
from nearfar.presets import TrainingConfig
from nearfar.training.augment import augment
from nearfar.training.checkpoint import optimiser_steps, save_checkpoint
from nearfar.training.companions import SyntheticSamples, Teacher
from nearfar.training.data import Batch, TrainingData
from nearfar.training.initial import read_start
from nearfar.training.limb_reference import LimbReference
from nearfar.training.log import RunLog
from nearfar.training.objective import objective
from nearfar.training.ranks import Ranks
from nearfar.training.run_folder import fingerprint_of, open_run_folder, starting_step
from nearfar.training.stepping import (
    denormals_as_zero,
    finite,
    learning_rate,
    resolve_precision,
    step_seed,
)
from nearfar.training.store import TrainingStore
from nearfar.training.streaming import StreamedData

__all__ = ["train"]

LOG_EVERY = 50


def train(
    poses: PoseSet | TrainingStore,
    labels: RelativeLabels | None,
    config: TrainingConfig,
    out: str | Path | None = None,
    *,
    val: PoseSet | None = None,
    val_labels: RelativeLabels | None = None,
    init: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    progress: bool = True,
    checkpoint_seconds: float = 60.0,
    card: Mapping[str, Any] | None = None,
) -> Lifter:
    """Train a lifter.

    Args:
        poses: training poses: keypoints, intrinsics and, under full supervision, joints; or a store of them, which is
            read in windows and need not fit into memory.
        labels: relative depth labels of those poses; None under full supervision, and for a store, which has its own.
        config: the run.
        out: folder for ``config.json``, ``log.jsonl``, ``tensorboard/``, ``checkpoint.safetensors`` and, at the end,
            ``weights.safetensors``; None keeps everything in memory.
        val: poses to measure after every epoch; their joints, if any, serve curves only.
        val_labels: labels of the val poses, for the accuracy that a labels-only method may be chosen by.
        init: weights to start from (fine-tuning): weights by name, a ``weights.safetensors``, or a run's
            ``checkpoint.safetensors``, whose optimiser state and learning-rate step are then carried over (PAPER.md
            4). Input statistics are taken from the new data; mean limb lengths from the weights where the data state
            none.
        device: "auto", "cpu" or "cuda".
        resume: continue the run in `out` from its last checkpoint.
        progress: show a progress bar on stderr.
        checkpoint_seconds: write a checkpoint after so many seconds, besides after every epoch.
        card: what is known about the data, for the model card inside the weights.

    In a torch process group (`nearfar.training.ranks`) the processes share the network's passes; the first one alone
    writes to `out`, which all must see, shows progress, and measures on val.

    Returns:
        The lifter after the last epoch.

    Raises:
        InputError: data and configuration do not fit, `out` holds another run, or the loss is not finite.
    """
    if val is not None:
        val = check_validation(val, val_labels)
    place = resolve_device(device)
    config = dataclasses.replace(config, precision=resolve_precision(config.precision, place))
    start = None if init is None else read_start(init, config.network, poses.skeleton)
    if start is not None and poses.mean_limb_lengths is None:
        poses = dataclasses.replace(poses, mean_limb_lengths=start.mean_limb_lengths)
    data: TrainingData | StreamedData
    if isinstance(poses, TrainingStore):
        data = StreamedData.of(poses, config, place)
    else:
        data = TrainingData.of(poses, labels, config, place)
    steps = config.epochs * data.steps(config.batch_size)
    if not steps:
        raise InputError("training: fewer than two poses to train on")
    reference = LimbReference.of(poses, config.loss, place)
    skeleton = poses.skeleton
    torch.manual_seed(config.seed)
    network = build_network(config.network, skeleton)
    network.initialise()
    network = network.to(place)
    network.fit_statistics(data.keypoints, data.joints)
    facts = {**(card or {}), "training": dataclasses.asdict(config)}
    if poses.mean_limb_lengths is not None:
        facts["mean_limb_lengths"] = np.asarray(poses.mean_limb_lengths, dtype=np.float64).tolist()
    lifter = Lifter(network.eval(), facts)
    ranks = Ranks.current()
    ranks.share(network)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.optimiser.learning_rate, weight_decay=config.optimiser.weight_decay, fused=True
    )
    if start is not None:
        start.put(network, optimiser)
        network.fit_input_statistics(data.keypoints)
    synthetic = SyntheticSamples.of(config.synthetic, skeleton, config.seed, steps, place)
    teacher = Teacher(network, config.turn, ranks) if config.turn.weight else None
    folder = None if out is None else Path(out)
    fingerprint = fingerprint_of(skeleton, data.tensors, reference)
    with open_run_folder(folder if ranks.first else None):
        step = starting_step(folder, _modules(network, teacher), optimiser, config, fingerprint, resume=resume)
        ranks.check_same("data", int(fingerprint[:15], 16), place)
        ranks.check_same("steps done", step, place)
        carried = optimiser_steps(optimiser) - step
        if not ranks.first:
            folder, val, progress = None, None, False
        with RunLog(folder, step) as log:
            run = _Run(
                network,
                ranks,
                teacher,
                optimiser,
                data,
                synthetic,
                reference,
                config,
                log,
                folder,
                fingerprint,
                checkpoint_seconds,
                carried,
            )
            run.go(step, progress=progress, val=val, val_labels=val_labels)
        network.eval()
        if folder is not None:
            lifter.save(folder / "weights.safetensors")
    return lifter


@dataclasses.dataclass(eq=False)
class _Run:
    network: LiftingNetwork
    ranks: Ranks
    teacher: Teacher | None
    optimiser: torch.optim.Optimizer
    data: TrainingData | StreamedData
    synthetic: SyntheticSamples | None
    reference: LimbReference | None
    config: TrainingConfig
    log: RunLog
    folder: Path | None
    fingerprint: str
    checkpoint_seconds: float
    carried_steps: int

    def go(self, step: int, *, progress: bool, val: PoseSet | None, val_labels: RelativeLabels | None) -> None:
        """From `step` to the end, saving a checkpoint every minute, every epoch and on Ctrl-C."""
        with postponed_interrupt() as interrupted, denormals_as_zero():
            self._go(step, interrupted, progress=progress, val=val, val_labels=val_labels)

    def _go(
        self,
        step: int,
        interrupted: threading.Event,
        *,
        progress: bool,
        val: PoseSet | None,
        val_labels: RelativeLabels | None,
    ) -> None:
        per_epoch = self.data.steps(self.config.batch_size)
        total = per_epoch * self.config.epochs
        bar = tqdm(total=total, initial=step, unit="step", disable=not progress, dynamic_ncols=True)
        saved_at = time.monotonic()
        try:
            while step < total:
                epoch = step // per_epoch
                order = torch.Generator().manual_seed(step_seed(self.config.seed, 1, epoch))
                for batch in self.data.batches(self.config.batch_size, order, first=step % per_epoch):
                    terms = self._step(batch, step, total)
                    step += 1
                    bar.update()
                    if step % LOG_EVERY == 0 or step % per_epoch == 0:
                        self._record(terms, step, epoch, bar)
                    if self.ranks.any(interrupted.is_set(), self.data.keypoints.device):
                        self._save(step)
                        raise KeyboardInterrupt
                    if time.monotonic() - saved_at > self.checkpoint_seconds:
                        self._save(step)
                        saved_at = time.monotonic()
                self._validate(step, epoch, val, val_labels)
                self._save(step)
                saved_at = time.monotonic()
        finally:
            bar.close()

    def _step(self, batch: Batch, step: int, total: int) -> dict[str, torch.Tensor]:
        config, network = self.config, self.network
        seed = step_seed(config.seed, 2, step)
        torch.manual_seed(seed)  # dropout draws from the global generator
        device = self.data.keypoints.device
        generator = torch.Generator(device=device).manual_seed(seed)
        root = network.skeleton.root_index
        half_precision = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
        batch = augment(batch, config, network.skeleton, generator)
        with half_precision:
            companions = {
                name: augment(other, config, network.skeleton, generator)
                for name, other in self._companions(batch, step, total, generator).items()
            }
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config.optimiser, step, total, self.carried_steps)
        network.train()
        together = [batch, *companions.values()]
        with half_precision:
            keypoints = torch.cat([b.keypoints for b in together])
            lifted = self.ranks.lift(network, keypoints, torch.cat([b.intrinsics for b in together]))
        predictions = lifted.split([len(b.keypoints) for b in together])
        terms = objective(predictions[0], batch, config.loss, self.reference, root)
        weights = {"synthetic": config.synthetic.weight, "turned": config.turn.weight}
        for (name, other), prediction in zip(companions.items(), predictions[1:], strict=True):
            if other.joints is not None:
                terms[name] = weights[name] * joint_l1_loss(prediction.joints, other.joints)
        loss = torch.stack(list(terms.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.sum_gradients(network)
        if config.optimiser.gradient_clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.gradient_clip)
        self.optimiser.step()
        if self.teacher is not None:
            self.teacher.follow(network, step)
        return terms

    def _companions(self, batch: Batch, step: int, total: int, generator: torch.Generator) -> dict[str, Batch]:
        """Samples with known 3D that this step adds, by name of their term."""
        companions = {}
        if self.synthetic is not None:
            companions["synthetic"] = self.synthetic.draw(self.config.synthetic.batch_size, generator)
        if self.teacher is not None and step >= self.config.turn.start * total:
            companions["turned"] = self.teacher.turned(batch, generator)
        return {name: other for name, other in companions.items() if len(other.keypoints)}

    def _record(self, terms: Mapping[str, torch.Tensor], step: int, epoch: int, bar: Any) -> None:
        values = finite(terms, step)
        total = sum(values.values())
        bar.set_postfix(epoch=epoch + 1, loss=f"{total:.4g}")
        rate = self.optimiser.param_groups[0]["lr"]
        self.log.write(step, {"epoch": epoch + 1, "loss": total, "learning_rate": rate}, values)

    def _validate(self, step: int, epoch: int, val: PoseSet | None, val_labels: RelativeLabels | None) -> None:
        if val is None:
            return
        self.network.eval()
        measured: dict[str, float] = {}
        if val_labels is not None:
            measured["label_accuracy"] = order_accuracy(self.network, val, val_labels)
        if val.joints is not None:
            measured |= evaluate_network(self.network, val)
        self.log.write(step, {"epoch": epoch + 1}, {f"val_{name}": value for name, value in measured.items()})
        shown = ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
        tqdm.write(f"epoch {epoch + 1}: val {shown}", file=sys.stderr)

    def _save(self, step: int) -> None:
        broken = [name for name, value in self.network.state_dict().items() if not torch.isfinite(value).all()]
        if broken:
            raise InputError(
                f"training: {broken[0]} is no longer finite at step {step}; the last good checkpoint is kept. "
                "Look at the data, or lower the learning rate"
            )
        if self.folder is not None:
            self.log.flush()
            path = self.folder / "checkpoint.safetensors"
            save_checkpoint(
                path, _modules(self.network, self.teacher), self.optimiser, step, self.config, self.fingerprint
            )


def _modules(network: LiftingNetwork, teacher: Teacher | None) -> dict[str, torch.nn.Module]:
    """What a checkpoint holds, by name."""
    return {"network": network} if teacher is None else {"network": network, "teacher": teacher.network}
