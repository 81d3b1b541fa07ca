"""Training from a store: nothing but two windows of its rows is ever in memory.

An epoch reads the windows in random order and shuffles the rows of each. The store's rows are in random order already,
so a window is a random sample of all; which rows share a window stays the same from epoch to epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar.ahead import ahead
from nearfar.errors import InputError
from nearfar.keypoint_noise import KeypointNoise
from nearfar.presets import TrainingConfig
from nearfar.training.data import Batch, TrainingData
from nearfar.training.store import TrainingStore

__all__ = ["StreamedData"]

WINDOW_ROWS = 1 << 20
"""Poses in memory at once, twice: one window is read while another is trained on."""

SAMPLE_ROWS = 1 << 16
"""Poses kept throughout, for the statistics of inputs and outputs; the store's first rows are a random sample."""


@dataclass(frozen=True, eq=False)
class StreamedData:
    """A store as the training loop sees it: `TrainingData`, window after window.

    Attributes:
        store: on disk.
        config: of the run.
        device: where batches are.
        window_rows: poses in a window, at most.
        keypoints, joints: of the first `SAMPLE_ROWS` poses, for the statistics of inputs and outputs.
    """

    store: TrainingStore
    config: TrainingConfig
    device: torch.device
    window_rows: int
    keypoints: Tensor
    joints: Tensor | None

    @classmethod
    def of(
        cls, store: TrainingStore, config: TrainingConfig, device: torch.device, window_rows: int = WINDOW_ROWS
    ) -> StreamedData:
        """Check that the configuration can be trained from a store.

        Raises:
            InputError: it asks for something that a store does not hold, or that needs all poses at once.
        """
        if config.loss.order != "none" and not store.labels:
            raise InputError(f"{store.folder}: training from relative depth needs labels, and the store has none")
        impossible = {
            "input_noise": config.input_noise != KeypointNoise(),
            "input_dropout": config.input_dropout > 0,
            "data_share": config.data_share < 1,
            "unlabelled": config.unlabelled > 0,
            "labels_used each": config.labels_used == "each",
        }
        if wrong := [name for name, asked in impossible.items() if asked]:
            raise InputError(f"{store.folder}: {', '.join(wrong)}: not from a store; train from a file of poses")
        rows = max(config.batch_size, window_rows // config.batch_size * config.batch_size)
        sample = TrainingData.of(*store.read(0, min(SAMPLE_ROWS, store.rows)), config, device)
        return cls(store, config, device, rows, sample.keypoints, sample.joints)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What is trained on, to tell data apart."""
        return (torch.tensor([*bytes.fromhex(self.store.digest), self.window_rows]),)

    def steps(self, batch_size: int) -> int:
        """Batches in an epoch; a last one of fewer than two poses is left out."""
        full, rest = divmod(self.store.rows, batch_size)
        return full + (rest >= 2)

    def batches(self, batch_size: int, generator: torch.Generator, first: int = 0) -> Iterator[Batch]:
        """One epoch in random order, from batch `first` on; the last window, which may be smaller, comes last."""
        whole, rest = divmod(self.store.rows, self.window_rows)
        numbers = [*torch.randperm(whole, generator=generator).tolist(), *([whole] if rest >= 2 else [])]
        seeds = torch.randint(2**62, (len(numbers),), generator=generator).tolist()
        per_window = self.window_rows // batch_size
        begun = first // per_window
        coming = ahead((self._window(number) for number in numbers[begun:]), most=1)
        for place, window in enumerate(coming, start=begun):
            order = torch.Generator().manual_seed(seeds[place])
            yield from window.batches(batch_size, order, first=first - begun * per_window if place == begun else 0)

    def _window(self, number: int) -> TrainingData:
        start = number * self.window_rows
        poses, labels = self.store.read(start, min(self.window_rows, self.store.rows - start))
        return TrainingData.of(poses, labels, self.config, self.device)
