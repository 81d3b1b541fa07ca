"""The table of docs/results.md: every method on the CMU benchmark, same machine, same run, test split.

    python benchmarks/cmu.py --data BENCHMARK_FOLDER --out runs/cmu

BENCHMARK_FOLDER holds train.npz, train_labels.npz, val.npz and test.npz of the CMU benchmark. Each row is a
`nearfar train` and a `nearfar evaluate`, printed as they are run; finished runs are not repeated, and runs that
were broken off are resumed. Labels-only rows read train_labels.npz, which has no 3D in it. The test split is read
once a row, after the last epoch; there is no choice of epoch, and val serves curves only.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from nearfar.evaluation import report_markdown
from nearfar.files import write_text


@dataclass(frozen=True)
class Row:
    """One method: its name in the table, preset, flags and supervision."""

    name: str
    preset: str
    epochs: int
    supervision: str = "answer"
    data: str = "train_labels.npz"


ROWS = (
    Row("default, 8 epochs", "default", 8),
    Row("ceiling, 8 epochs", "ceiling", 8, supervision="3D", data="train.npz"),
    Row("paper, 8 epochs", "paper", 8),
    Row("supervised, 8 epochs", "supervised", 8, supervision="3D", data="train.npz"),
    Row("default, 24 epochs", "default", 24),
    Row("ceiling, 24 epochs", "ceiling", 24, supervision="3D", data="train.npz"),
    Row("crowd answers, default's loss, 8 epochs", "default", 8, supervision="crowd_answer"),
    Row("crowd answers, preset crowd, 8 epochs", "crowd", 8, supervision="crowd_answer"),
    Row("synthetic alone, labels, 8 epochs", "default", 8, data="synthetic"),
    Row("synthetic alone, 3D, 8 epochs", "ceiling", 8, supervision="3D", data="synthetic"),
)
SYNTHETIC = ("--frames", "115000", "--views", "2", "--fps", "3", "--seed", "2018")


@dataclass(frozen=True)
class Arguments:
    """Train and measure every row of the table."""

    data: Path
    """Folder of the CMU benchmark."""
    out: Path = Path("runs/cmu")
    """Folder of the runs."""
    seed: int = 0
    """Seed of every run."""
    only: str = ""
    """Only rows whose name contains this."""


def run(*command: str) -> float:
    """Run a nearfar command, and say how long it took in seconds."""
    print("$ nearfar " + shlex.join(command), flush=True)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "nearfar.cli", *command], check=True)
    return time.perf_counter() - started


def measure(row: Row, arguments: Arguments) -> dict[str, object]:
    """Train and evaluate one row, or read what it gave before."""
    folder = arguments.out / f"{row.name.replace(',', '').replace(chr(39), '').replace(' ', '_')}_seed{arguments.seed}"
    if (folder / "test.json").exists():
        return dict(json.loads((folder / "test.json").read_text("utf-8")))
    data, labels = arguments.data / row.data, row.supervision
    if row.data == "synthetic":
        data = arguments.out / "synthetic.npz"
        labels = str(data.with_suffix(".labels.parquet"))
        if not data.exists():
            run("data", "synthetic", str(data), *SYNTHETIC)
    flags = ["--preset", row.preset, "--epochs", str(row.epochs), "--seed", str(arguments.seed)]
    if row.supervision != "3D":
        flags += ["--labels", labels]
    if (folder / "checkpoint.safetensors").exists():
        flags += ["--resume"]
    val = str(arguments.data / "val.npz")
    seconds = run("train", "--data", str(data), "--val", val, *flags, "--out", str(folder))
    weights = str(folder / "weights.safetensors")
    for split in ("val", "test"):
        run("evaluate", "--weights", weights, "--data", str(arguments.data / f"{split}.npz"), "--json",
            str(folder / f"{split}.json"))  # fmt: skip
    report = {**json.loads((folder / "test.json").read_text("utf-8")), "train_seconds": seconds}
    write_text(folder / "test.json", json.dumps(report, indent=2))
    return report


def main() -> None:
    """Measure all rows and print the table."""
    arguments = tyro.cli(Arguments)
    reports = {row.name: measure(row, arguments) for row in ROWS if arguments.only in row.name}
    table = report_markdown(reports)
    write_text(arguments.out / f"table_seed{arguments.seed}.md", table)
    print(table)
    for name, report in reports.items():
        print(f"{name}: trained in {report.get('train_seconds', float('nan')):.0f} s")


if __name__ == "__main__":
    main()
