"""Fixtures shared by the tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import postgresql
import pytest
from chromium import chromium_browser

hypothesis.settings.register_profile("nearfar", deadline=None)  # no test judges by the clock
hypothesis.settings.load_profile("nearfar")

# Small networks run fastest on one thread, and tests must not fight each other (or their own children) for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(os.environ.get("NEARFAR_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of mocap and media that is not part of the repository (beside it, or $NEARFAR_SHARED)."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"needs the shared data folder, which is absent ({SHARED})")
    return SHARED


@pytest.fixture(scope="session")
def benchmark_folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CMU benchmark, built once a session: train.npz, val.npz, test.npz, train_labels.npz."""
    folder = tmp_path_factory.mktemp("cmu_benchmark")
    subprocess.run([sys.executable, shared / "tools" / "cmu_benchmark.py", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")  # not longer: while it runs, asyncio cannot
def browser() -> Iterator[Any]:
    """A browser for the tests of a module."""
    with chromium_browser() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server of the tests' own."""
    if postgresql.binaries() is None:
        pytest.skip("needs PostgreSQL (Debian: postgresql)")
    with postgresql.running_cluster() as cluster:
        yield cluster.address


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: a test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'annotation.db'}"
    return postgresql.new_database(request.getfixturevalue("postgresql_server"))


def pytest_sessionstart() -> None:
    """Tests send Ctrl-C to processes of their own; those of a shell's background job would be born deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail when a test was skipped for a reason that $NEARFAR_FAIL_ON_SKIP (a regular expression) does not allow."""
    forbidden = os.environ.get("NEARFAR_FAIL_ON_SKIP")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not forbidden or reporter is None:
        return
    reasons = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
    if wrong := [reason for reason in reasons if re.search(forbidden, reason)]:
        reporter.write_line(f"{len(wrong)} tests were skipped that must run here, the first: {wrong[0]}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
