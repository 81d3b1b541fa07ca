"""A PostgreSQL server of the tests' own: a new cluster in a temporary folder, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

UNPRIVILEGED = "nobody"
"""Who runs the server where the tests run as root, which PostgreSQL refuses."""


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`; None where there is none."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        candidates.append(Path(found).parent)
    return next((folder for folder in candidates if (folder / "initdb").is_file()), None)


@dataclass(frozen=True)
class Cluster:
    """A running server.

    Attributes:
        address: without a database's name: ``postgresql://postgres@127.0.0.1:PORT``.
        home: folder of its data and its log.
        port: of this machine.
    """

    address: str
    home: Path
    port: int

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return int((self.home / "data" / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = f"-p {self.port} -k {self.home} -c listen_addresses=127.0.0.1 -c max_connections=200"
        # The server keeps what it inherits open: with pipes, we would wait for its end.
        self._run("pg_ctl", "-l", self.home / "log", "-o", options, "-w", "start", output=subprocess.DEVNULL)

    def stop(self) -> None:
        """Cut everybody off, as when the machine loses its power."""
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def initialise(self) -> None:
        """Make the empty data."""
        self._run("initdb", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8")

    def _run(self, name: str, *arguments: str | Path, output: int = subprocess.PIPE) -> None:
        folder = binaries()
        if folder is None:
            raise FileNotFoundError(name)
        root = os.geteuid() == 0
        prefix = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={_group()}", "--clear-groups"] if root else []
        command = [*prefix, folder / name, "-D", self.home / "data", *arguments]
        environment = {**os.environ, "LC_ALL": "C", "HOME": str(self.home)}
        subprocess.run(command, check=True, env=environment, cwd=self.home, stdout=output, stderr=output)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A new server, until the block ends."""
    home = Path(mkdtemp(prefix="nearfar-postgresql-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(home, UNPRIVILEGED)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster = Cluster(f"postgresql://postgres@127.0.0.1:{port}", home, port)
    try:
        cluster.initialise()
        cluster.start()
        yield cluster
    finally:
        with suppress(subprocess.CalledProcessError):
            cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


def new_database(server: str) -> str:
    """The address of a new, empty database of the server."""
    import psycopg

    name = f"nearfar_{uuid4().hex[:12]}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"


def _group() -> str:
    import grp
    import pwd

    return grp.getgrgid(pwd.getpwnam(UNPRIVILEGED).pw_gid).gr_name
