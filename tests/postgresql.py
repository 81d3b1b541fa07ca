"""A PostgreSQL server of the tests' own: a new cluster in a temporary folder, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def running_server() -> Iterator[str]:
    """The address of a running server without its database's name: ``postgresql://postgres@127.0.0.1:PORT``."""
    folder = binaries()
    if folder is None:
        raise FileNotFoundError("initdb")
    home = Path(mkdtemp(prefix="nearfar-postgresql-", dir="/tmp"))
    root = os.geteuid() == 0
    prefix = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={_group()}", "--clear-groups"] if root else []
    if root:
        shutil.chown(home, UNPRIVILEGED)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, log = home / "data", home / "log"
    environment = {**os.environ, "LC_ALL": "C", "HOME": str(home)}

    def run(*command: str | Path) -> None:
        subprocess.run([*prefix, *command], check=True, env=environment, cwd=home, capture_output=True)

    try:
        run(folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8")
        options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c max_connections=200"
        server = [*prefix, folder / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start"]
        # The server keeps what it inherits open: with pipes, we would wait for its end.
        subprocess.run(
            server, check=True, env=environment, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        yield f"postgresql://postgres@127.0.0.1:{port}"
    finally:
        stop = [*prefix, folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"]
        subprocess.run(stop, check=False, env=environment, cwd=home, capture_output=True)
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
