"""What every experiment has: settings, a plan of measurements by name and seed, and the outcome with its spread."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.presets import PRESETS, TrainingConfig
from nearfar.reproduce.material import material
from nearfar.reproduce.runs import LabelOptions, Measurement, Place, Run

__all__ = ["Experiment", "Outcome", "Plan", "Settings", "measured", "ours", "supervised"]

Plan = Mapping[str, tuple[Measurement, ...]]
"""For each row of a table (or point of a figure) one measurement a seed."""


@dataclass(frozen=True)
class Settings:
    """How large the study is.

    Attributes:
        place: data and output.
        epochs: of every full training run (the paper: 25).
        seeds: number of seeds, 0 to seeds - 1.
    """

    place: Place
    epochs: int
    seeds: int

    def caption(self, text: str) -> str:
        """A caption that says what was measured, on which data, how long it was trained and with which seeds."""
        own = material(self.place.data, self.place.every)
        kept = "all" if self.place.every == 1 else f"every {self.place.every}th of the"
        seeds = "seed 0" if self.seeds == 1 else f"mean and standard deviation over seeds 0 to {self.seeds - 1}"
        sentences = [
            text.rstrip("."),
            f"Data: {own.title}, {kept} training poses ({len(own.train):,}) and {len(own.test):,} test poses",
            f"{self.epochs} {'epoch' if self.epochs == 1 else 'epochs'} (the paper: 25), batch 64, {seeds}",
            own.acknowledgement.rstrip("."),
        ]
        return ". ".join(sentence for sentence in sentences if sentence) + "."


@dataclass(frozen=True, eq=False)
class Outcome:
    """The reports of a plan.

    Attributes:
        settings: of the study.
        plan: what was asked.
        reports: what was found, by measurement.
    """

    settings: Settings
    plan: Plan
    reports: Mapping[Measurement, Mapping[str, Any]]

    def values(self, name: str, *keys: str) -> np.ndarray:
        """(seeds,) one figure of the reports, found along `keys`; NaN where it could not be measured."""
        found = []
        for measurement in self.plan[name]:
            value: Any = self.reports[measurement]
            for key in keys:
                value = value[key]
            found.append(math.nan if value is None else float(value))
        return np.array(found)

    def mean(self, name: str, *keys: str) -> float:
        """Mean over seeds."""
        return float(self.values(name, *keys).mean())

    def spread(self, name: str, *keys: str) -> float:
        """Standard deviation over seeds (of a sample); 0 for one seed."""
        values = self.values(name, *keys)
        return float(values.std(ddof=1)) if len(values) > 1 else 0.0

    def text(self, name: str, *keys: str, digits: int = 1) -> str:
        """Mean, with the spread where there are several seeds."""
        mean = f"{self.mean(name, *keys):.{digits}f}"
        return mean if self.settings.seeds == 1 else f"{mean} ± {self.spread(name, *keys):.{digits}f}"

    def data(self, *keys: str) -> dict[str, Any]:
        """The figures named, of every row, as plain data: values by seed."""
        return {name: {key: self.values(name, key).tolist() for key in keys} for name in self.plan}


@dataclass(frozen=True)
class Experiment:
    """One table or figure.

    Attributes:
        name: as on the command line.
        plan: the measurements that it needs.
        draw: writes its files into a folder.
    """

    name: str
    plan: Callable[[Settings], Plan]
    draw: Callable[[Outcome, Path], None]


def ours(epochs: int, labels: LabelOptions = LabelOptions(), **changes: Any) -> Run:  # noqa: B008 (frozen)
    """The paper's relative model; `changes` are fields of `Run` or of its configuration or loss."""
    return _run("paper", epochs, labels, changes)


def supervised(epochs: int, **changes: Any) -> Run:
    """The paper's supervised model, likewise."""
    return _run("supervised", epochs, LabelOptions(), changes)


def _run(preset: str, epochs: int, labels: LabelOptions, changes: dict[str, Any]) -> Run:
    run_fields = {field.name for field in dataclasses.fields(Run)}
    config_fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    config = PRESETS[preset]
    of_run = {name: changes.pop(name) for name in list(changes) if name in run_fields}
    of_config = {name: changes.pop(name) for name in list(changes) if name in config_fields}
    if changes:
        of_config["loss"] = dataclasses.replace(config.loss, **changes)
    return Run(dataclasses.replace(config, epochs=epochs, **of_config), labels, **of_run)


def measured(run: Run, settings: Settings, **how: Any) -> tuple[Measurement, ...]:
    """A run, measured for every seed; `how` are fields of `Measurement`."""
    return tuple(Measurement(_seeded(run, seed), **how) for seed in range(settings.seeds))


def _seeded(run: Run, seed: int) -> Run:
    init = None if run.init is None else _seeded(run.init, seed)
    return dataclasses.replace(run, config=dataclasses.replace(run.config, seed=seed), init=init)
