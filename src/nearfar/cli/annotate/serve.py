"""``nearfar annotate serve``."""

from __future__ import annotations

import ipaddress
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import tyro

from nearfar.cli.annotate.common import OfProject
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.annotation.projects.project import Project


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
    access_log: bool = False
    """Log every request."""

    def run(self) -> None:
        """Print where, invite the first admin, serve."""
        from nearfar.annotation.projects.applying import apply_settings
        from nearfar.annotation.web.app import serve
        from nearfar.web.protection import Protection

        if (self.certificate is None) != (self.key is None):
            raise InputError("--certificate and --key go together")
        for file in (self.certificate, self.key):
            if file is not None and not file.is_file():
                raise InputError(f"{file}: no such file")
        port = free_port(self.host, self.port)
        protection = Protection(hosts=self._hosts(), trusted_proxies=self.trusted_proxy)
        with self.opened() as project:
            apply_settings(project.engine, project.settings)
            if not project.images.is_dir():
                print(f"there is no folder {project.images}: no images can be shown until it is back", file=sys.stderr)
            scheme = "https" if self.certificate is not None else "http"
            shown = f"[{self.host}]" if ":" in self.host else self.host
            url = (self.public_url or f"{scheme}://{shown}:{port}").rstrip("/")
            print(f"{project.title}: {url}")
            if (link := first_admin_link(project, url, time.time())) is not None:
                print(f"admin's link, for one use within a week:\n{link}")
            print("Ctrl-C stops the server", flush=True)
            options: dict[str, Any] = {
                "access_log": self.access_log,
                "log_level": "info" if self.access_log else "warning",
            }
            if self.certificate is not None:
                options |= {"ssl_certfile": str(self.certificate), "ssl_keyfile": str(self.key)}
            with suppress(KeyboardInterrupt):
                serve(project, self.host, port, protection=protection, language=self.language, **options)
            print("stopped; all answers are stored")

    def _hosts(self) -> tuple[str, ...]:
        """Names under which the server may be asked for."""
        local = ("localhost", "127.0.0.1", "[::1]")
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
                raise InputError(f"--public-url: expected https://NAME, got {self.public_url!r}")
            name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            return (*local, name)
        try:
            unspecified = ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            unspecified = False
        if unspecified:
            raise InputError(f"--host {self.host}: say --public-url, too: the address under which people reach it")
        return (*local, f"[{self.host}]" if ":" in self.host else self.host)


def free_port(host: str, port: int) -> int:
    """The port, or one that is free for 0.

    Raises:
        InputError: it is in use, or there is no such address here.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            number: int = probe.getsockname()[1]
            return number
    except (OSError, OverflowError) as error:
        raise InputError(f"{host}:{port}: cannot listen there ({getattr(error, 'strerror', None) or error})") from None


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
