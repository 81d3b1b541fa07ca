"""Servers are killed and cut off while people answer: the benchmark of the load, in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import postgresql
import pytest

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ("lost", "altered", "unknown", "doubled", "counters_wrong", "leases_stuck")


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param("--kills 2", id="sqlite"),
        pytest.param("--kills 1 --restarts 1 --processes 2 --postgresql", id="postgresql"),
    ],
)
def test_no_answer_is_lost_or_doubled(trouble: str, tmp_path: Path) -> None:
    if "postgresql" in trouble and postgresql.binaries() is None:
        pytest.skip("needs PostgreSQL (Debian: postgresql)")
    command = [
        sys.executable, "-m", "benchmarks.annotation_load", "--out", tmp_path, "--annotators", "8", "--seconds", "15",
        "--think", "0.2", "--questions", "400", "--answers", "6", "--cuts", "0.02", *trouble.split(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    result = json.loads((tmp_path / "load.json").read_text("utf-8"))
    assert {name: result[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert result["acknowledged"] == result["sent"] > 30
    assert sum(result["sent_again"].values()) > 0, "no connection was ever cut"
    assert result["processes_replaced"] >= 1, "the process that was killed has no successor"
