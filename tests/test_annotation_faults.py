"""The server is killed and cut off while people answer: the benchmark of the load, in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import postgresql
import pytest

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "annotation_load.py"
FAULTS = ("lost", "altered", "unknown", "doubled", "counters_wrong", "leases_stuck")


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_answer_is_lost_or_doubled(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    command = [
        sys.executable, BENCHMARK, "--out", tmp_path, "--annotators", "8", "--seconds", "15", "--think", "0.2",
        "--images", "80", "--answers", "6", "--kills", "2", "--cuts", "0.02",
    ]  # fmt: skip
    if database == "postgresql":
        command += ["--database", postgresql.new_database(request.getfixturevalue("postgresql_server"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    result = json.loads((tmp_path / "load.json").read_text("utf-8"))
    assert result["database"] == database
    assert {name: result[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert result["acknowledged"] == result["sent"] > 30
    assert sum(result["sent_again"].values()) > 0, "no connection was ever cut"
