"""Training by several processes at once (`torchrun`), with the result of one.

Every process draws the same batch, lifts its part of the rows, and gets the others' predictions; the loss, which may
couple rows in any way, is then computed by all alike. So the loss, the statistics of batch normalisation and the random
numbers are those of the whole batch, whatever the number of processes, and only rounding tells a run by two from one
by one. The network's passes are what is shared; what is not (drawing, augmentation, loss) is a small part of a step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nearfar.errors import InputError
from nearfar.lifting.network import Prediction, part_of_batch

__all__ = ["Ranks", "joined_ranks"]

Lift = Callable[[Tensor, Tensor], Prediction]

PATIENCE = timedelta(minutes=30)
"""How long one process waits for another, which may be measuring on the val split."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a run.

    Attributes:
        rank: number of this process, counted from 0; the first one writes the run's files.
        count: of processes.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """Those of torch's process group; one, where there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, rows: int) -> slice:
        """The rows of a batch that this process lifts."""
        return slice(self.rank * rows // self.count, (self.rank + 1) * rows // self.count)

    def share(self, network: nn.Module) -> None:
        """Let the batch normalisations of a network see the rows of all processes; weights and state stay theirs."""
        if self.count > 1:
            for module in network.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.__class__ = _WholeBatchNorm

    def lift(self, lift: Lift, keypoints: Tensor, intrinsics: Tensor) -> Prediction:
        """Lift (B, J, 2) pixels seen with (B, 4) intrinsics, each process its part; every one gets all predictions."""
        if self.count == 1:
            return lift(keypoints, intrinsics)
        rows, part = len(keypoints), self.part(len(keypoints))
        with part_of_batch(rows, part):
            mine = lift(keypoints[part], intrinsics[part])
        whole = [None if field is None else _Gathered.apply(field, self, rows) for field in mine]  # type: ignore[no-untyped-call]
        return Prediction(*whole)  # type: ignore[arg-type]

    def sum_gradients(self, network: nn.Module) -> None:
        """Add up the gradients of a network over all processes, each of which has those of its part of the batch."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        whole = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(whole)
        parts = whole.split([one.numel() for one in gradients])  # type: ignore[no-untyped-call]
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, mine: bool, device: torch.device) -> bool:
        """Whether it is so in any process."""
        if self.count == 1:
            return mine
        told = torch.tensor(int(mine), device=device)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told)

    def check_same(self, what: str, number: int, device: torch.device) -> None:
        """Make sure that all processes hold the same number.

        Raises:
            InputError: they do not.
        """
        if self.count == 1:
            return
        told = torch.zeros(self.count, dtype=torch.int64, device=device)
        told[self.rank] = number
        dist.all_reduce(told)
        if len(found := sorted(set(told.tolist()))) > 1:
            raise InputError(
                f"training: the processes of this run differ in {what}: {', '.join(map(str, found))}; "
                "all must see the same data and the same --out folder"
            )


@contextmanager
def joined_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started beside this one, if it did.

    Args:
        device: "cpu", "cuda" or "auto"; each process of a machine takes a GPU of its own.

    Raises:
        InputError: they cannot be joined, or one was lost on the way.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield Ranks()
        return
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"training by several processes: they cannot find one another ({_line(error)})") from None
    ranks = Ranks.current()
    try:
        yield ranks
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in ("gloo", "nccl", "connection", "process group")):
            raise
        raise InputError(
            f"training: process {ranks.rank} of {ranks.count} lost another ({_line(error)}); "
            "start all again with --resume to go on from the last checkpoint"
        ) from None
    finally:
        dist.destroy_process_group()


class _Gathered(torch.autograd.Function):
    """The rows of all processes, in order; backwards, the gradient of one's own, since all compute the same loss."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, ranks: Ranks, rows: int) -> Tensor:
        ctx.ranks, ctx.rows = ranks, rows
        most = -(-rows // ranks.count)
        padded = torch.zeros((most, *mine.shape[1:]), dtype=mine.dtype, device=mine.device)
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in range(ranks.count)]
        dist.all_gather(parts, padded)
        slices = [Ranks(rank, ranks.count).part(rows) for rank in range(ranks.count)]
        return torch.cat([part[: one.stop - one.start] for part, one in zip(parts, slices, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.ranks.part(ctx.rows)], None, None


class _Summed(torch.autograd.Function):
    """The sum over all processes; backwards likewise, since each holds a part of what depends on it."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:  # noqa: ARG004
        whole = mine.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        whole = gradient.contiguous().clone()
        dist.all_reduce(whole)
        return whole


class _WholeBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the rows of all processes, on any device (torch's own synchronised one needs GPUs)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, width), of which this process holds a part."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        values = x.float()
        summed = _sum(torch.cat([values.sum(0), values.new_tensor([len(values)])]))
        count = summed[-1].detach()
        mean = summed[:-1] / count
        centred = values - mean
        variance = _sum(centred.square().sum(0)) / count
        with torch.no_grad():
            share = self.momentum or 0.0
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (count / (count - 1)), share)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scaled = centred * (torch.rsqrt(variance + self.eps) * self.weight) + self.bias
        return scaled.to(x.dtype)


def _sum(value: Tensor) -> Tensor:
    """Over all processes; gradients pass."""
    return cast("Tensor", _Summed.apply(value))  # type: ignore[no-untyped-call]


def _line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
