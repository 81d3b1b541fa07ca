"""The studio served, by one process or by several that share its port."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from nearfar.annotation.projects.project import Project, open_project
from nearfar.annotation.queue.upkeep import keeping_up
from nearfar.annotation.web.app import create_app
from nearfar.annotation.web.texts import load_texts
from nearfar.errors import InputError
from nearfar.web.protection import Protection
from nearfar.web.server import Server, raise_file_limit, server_config

__all__ = ["AT_ONCE", "serve"]

AT_ONCE = 200
"""Requests that one process answers at a time: what it does in a few seconds, well within what the page waits."""

ANSWER_SECONDS = 20
"""A process that does not answer its parent for so long is taken to hang, and replaced."""

OPEN_SECONDS = 20.0
"""A new process waits so long for a database that is away. Then it ends, and its parent starts another."""

log = logging.getLogger(__name__)


def serve(
    project: Project,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    protection: Protection | None = None,
    language: str = "en",
    processes: int = 1,
    **options: Any,
) -> None:
    """Serve a project until Ctrl-C or SIGTERM.

    Several processes listen on one port; the system gives each new connection to one that is free. All they know is in
    the database, but how often who asked, which they count together in a file. This process serves nothing then: it
    looks after the project, and starts a new process in the place of one that was killed or hangs.

    Args:
        project: an opened project.
        host: address to listen on.
        port: port.
        protection: what is let through.
        language: of the texts.
        processes: that serve.
        **options: uvicorn's, such as ``ssl_certfile`` and ``ssl_keyfile``.

    Raises:
        InputError: several processes on Windows, or no texts of that language.
    """
    raise_file_limit()
    protection = protection or Protection()
    if processes == 1:
        app = create_app(project, protection=protection, language=language)
        Server(server_config(app, host, port, **options), release=lambda: None).run_until_told()
        return
    if sys.platform == "win32":
        raise InputError("--processes: several need Linux or macOS")
    load_texts(language)
    options |= {"workers": processes, "factory": True, "timeout_worker_healthcheck": ANSWER_SECONDS}
    with TemporaryDirectory(prefix="nearfar-") as folder:
        address = project.engine.url.render_as_string(hide_password=False)
        make = _Served(project.folder, address, replace(protection, shared=Path(folder)), language)
        config = server_config(make, host, port, **options)
        with keeping_up(project.engine, project.settings):
            Multiprocess(config, [config.bind_socket()]).run()


@dataclass(frozen=True)
class _Served:
    """Makes the application in each process; travels there through a pipe, so that no address stands in a command."""

    folder: Path
    database: str = field(repr=False)
    protection: Protection
    language: str

    def __call__(self) -> FastAPI:
        """Open the project anew."""
        threading.Thread(target=_end_with_parent, daemon=True).start()
        project = self._opened()
        if project.settings.stop_risk is not None:
            import torch  # noqa: F401  answers are weighed as they come, and the first should not wait for it
        return create_app(project, protection=self.protection, language=self.language, upkeep=False)

    def _opened(self) -> Project:
        until = time.monotonic() + OPEN_SECONDS
        while True:
            try:
                return open_project(self.folder, self.database)
            except InputError as error:
                if time.monotonic() >= until:
                    log.error("%s", error)
                    sys.exit(1)
                time.sleep(1)


def _end_with_parent() -> None:
    """End in good order when the parent was killed, so that the port is free for the next one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
