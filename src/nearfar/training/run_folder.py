"""The folder of a run: one process at a time, one configuration, one set of data; begun or continued."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nearfar.errors import InputError
from nearfar.files import locked, write_text
from nearfar.skeleton import Skeleton
from nearfar.training.checkpoint import load_checkpoint, read_progress
from nearfar.training.limb_reference import LimbReference

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["fingerprint_of", "open_run_folder", "starting_step"]


def fingerprint_of(skeleton: Skeleton, tensors: Iterable[Tensor | None], reference: LimbReference | None) -> str:
    """A digest of everything that is trained on, to refuse resuming on other data."""
    digest = hashlib.blake2b(json.dumps(skeleton.to_dict()).encode(), digest_size=16)
    for tensor in (*tensors, None if reference is None else reference.lengths):
        if tensor is not None:
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def starting_step(
    folder: Path | None,
    modules: Mapping[str, torch.nn.Module],
    optimiser: torch.optim.Optimizer,
    config: DataclassInstance,
    fingerprint: str,
    *,
    resume: bool,
) -> int:
    """The step to begin with: 0 in a new folder, or where the checkpoint left off."""
    if folder is None:
        if resume:
            raise InputError("nothing to resume: no output folder was given")
        return 0
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        write_text(folder / "config.json", json.dumps(dataclasses.asdict(config), indent=2) + "\n")
        return 0
    if not resume:
        raise InputError(f"{folder}: holds a training run already; continue it with --resume, or choose another --out")
    progress = read_progress(path)
    if progress.data != fingerprint:
        raise InputError(f"{folder}: that run trains on other data; resume it with the same --data and --labels")
    mine = json.loads(json.dumps(dataclasses.asdict(config)))
    if changed := sorted(key for key in mine if mine[key] != progress.config.get(key)):
        raise InputError(f"{folder}: that run has another configuration (different: {', '.join(changed)})")
    load_checkpoint(path, modules, optimiser)
    return progress.step


@contextmanager
def open_run_folder(folder: Path | None, work: str = "training") -> Iterator[None]:
    """Make the folder, and keep other processes from doing such work in it at the same time."""
    if folder is None:
        yield
        return
    with locked(folder / ".lock", f"{folder}: another process is {work} there"):
        yield
