"""``nearfar annotate serve``."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from nearfar.cli.annotate.common import OfProject
from nearfar.cli.listening import address, certificate_options, free_port, host_names
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.annotation.projects.project import Project

MOST_PROCESSES = 256


@dataclass(frozen=True)
class Serve(OfProject):
    """Serve a project until Ctrl-C."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this machine's (then say --public-url)."""
    port: int = 8000
    """Port; 0 for any that is free."""
    public_url: str | None = None
    """Where people reach the server: https://annotate.example.org."""
    trusted_proxy: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Address or network of a reverse proxy whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    certificate: Path | None = None
    """TLS certificate, where no proxy does it."""
    key: Path | None = None
    """Its private key."""
    language: str = "en"
    """Of the texts that people read."""
    processes: int = 1
    """Processes that serve; about one a core, and PostgreSQL behind them."""
    access_log: bool = False
    """Log every request."""

    def run(self) -> None:
        """Print where, invite the first admin, serve."""
        from nearfar.annotation.database import missing_connections
        from nearfar.annotation.projects.applying import apply_settings
        from nearfar.annotation.web.serving import AT_ONCE, serve
        from nearfar.web.protection import Protection

        if not 1 <= self.processes <= MOST_PROCESSES:
            raise InputError(f"--processes: expected 1..{MOST_PROCESSES}, got {self.processes}")
        options: dict[str, Any] = certificate_options(self.certificate, self.key)
        port = free_port(self.host, self.port)
        protection = Protection(
            hosts=host_names(self.host, self.public_url), trusted_proxies=self.trusted_proxy, at_once=AT_ONCE
        )
        with self.opened() as project:
            apply_settings(project.engine, project.settings)
            if not project.images.is_dir():
                print(f"there is no folder {project.images}: no images can be shown until it is back", file=sys.stderr)
            if (few := missing_connections(project.engine, self.processes)) is not None:
                print(
                    f"PostgreSQL lets in {few[0]} connections; up to {few[1]} may be wanted: raise max_connections",
                    file=sys.stderr,
                )
            url = address(self.host, port, self.public_url, encrypted=bool(options))
            print(f"{project.title}: {url}")
            if (link := first_admin_link(project, url, time.time())) is not None:
                print(f"admin's link, for one use within a week:\n{link}")
            print("Ctrl-C stops the server", flush=True)
            options |= {"access_log": self.access_log, "log_level": "info" if self.access_log else "warning"}
            with suppress(KeyboardInterrupt):
                serve(
                    project,
                    self.host,
                    port,
                    protection=protection,
                    language=self.language,
                    processes=self.processes,
                    **options,
                )
            print("stopped; all answers are stored")


def first_admin_link(project: Project, url: str, now: float) -> str | None:
    """A link for the first admin; None where there is one already. Earlier such links stop working."""
    from sqlalchemy import Connection, select

    from nearfar.annotation import schema
    from nearfar.annotation.database import with_retries
    from nearfar.annotation.invitations import invite, list_invitations, revoke

    def work(connection: Connection) -> str | None:
        if connection.execute(select(schema.person.c.id).where(schema.person.c.role == "admin")).first() is not None:
            return None
        for old in list_invitations(connection, now):
            if old.role == "admin" and old.created_by is None and old.name is None:
                revoke(connection, old.id, now)
        return f"{url}/join#{invite(connection, None, 'admin', now).token}"

    return with_retries(project.engine, work)
