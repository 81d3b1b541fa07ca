"""Every reader of the package on damaged files: a result or `InputError`; no other exception, no hang, no code run.

The readers run in a process with a bound on its memory, a watchdog, and an audit hook (tests/fuzz_worker.py). What a
damaged file must do beyond that, each reader's own tests say. More examples: ``NEARFAR_FUZZ=2000 pytest tests/test_fuzz_readers.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from fuzz_mutations import mutate
from fuzz_samples import SAMPLES
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("NEARFAR_FUZZ", "15"))
HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bounds memory as Linux does")


class Worker:
    """A process that reads; a new one after it died."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def ask(self, name: str, folder: Path) -> tuple[str, str]:
        if self.process is None or self.process.poll() is not None:
            environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                [sys.executable, HERE / "fuzz_worker.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        self.process.stdin.write(f"{name}\t{folder}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return "died", f"exit code {self.process.wait()}: see stderr"
        return tuple(json.loads(line))

    def stop(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait(60)


@pytest.fixture(scope="module")
def worker():
    worker = Worker()
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """Folders of valid files, each made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            SAMPLES[name].make(made[name])
        return made[name]

    return folder


@pytest.mark.parametrize("name", SAMPLES)
def test_the_valid_file_is_read(worker, valid, name):
    assert worker.ask(name, valid(name)) == ("read", "")


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_files(worker, valid, tmp_path, name):
    outcomes = set()

    @seed(
        zlib.crc32(name.encode()) if EXAMPLES <= 100 else None
    )  # the same examples each time, unless many are asked for
    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def damaged(data: st.DataObject) -> None:
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(valid(name), folder)
        files = SAMPLES[name].files(folder)
        for times in range(data.draw(st.integers(1, 2))):
            mutate(data.draw(st.sampled_from(files)), data.draw, sound=times == 0)
        outcome, said = worker.ask(name, folder)
        assert outcome in ("read", "refused"), said
        outcomes.add(outcome)

    damaged()
    assert "refused" in outcomes
