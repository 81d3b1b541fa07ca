"""Where a server listens, and under which names it may be asked for."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nearfar.errors import InputError

__all__ = ["address", "certificate_options", "free_port", "host_names"]


def free_port(host: str, port: int) -> int:
    """The port, or one that is free for 0.

    Raises:
        InputError: it is in use, or there is no such address here.
    """
    if not 0 <= port < 1 << 16:  # some systems take 70000 for 4464
        raise InputError(f"{host}:{port}: cannot listen there (ports are numbers up to 65535)")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            number: int = probe.getsockname()[1]
            return number
    except (OSError, OverflowError) as error:
        raise InputError(f"{host}:{port}: cannot listen there ({getattr(error, 'strerror', None) or error})") from None


def host_names(host: str, public_url: str | None) -> tuple[str, ...]:
    """Names under which the server may be asked for.

    Raises:
        InputError: a public URL that is none, or a host that is all of this machine's addresses without one.
    """
    local = ("localhost", "127.0.0.1", "[::1]")
    if public_url is not None:
        parts = urlsplit(public_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise InputError(f"--public-url: expected https://NAME, got {public_url!r}")
        return (*local, _bracketed(parts.hostname))
    try:
        unspecified = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        unspecified = False
    if unspecified:
        raise InputError(f"--host {host}: say --public-url, too: the address under which people reach it")
    return (*local, _bracketed(host))


def address(host: str, port: int, public_url: str | None, *, encrypted: bool) -> str:
    """The address that people are told."""
    return (public_url or f"{'https' if encrypted else 'http'}://{_bracketed(host)}:{port}").rstrip("/")


def certificate_options(certificate: Path | None, key: Path | None) -> dict[str, Any]:
    """What uvicorn is told of a TLS certificate.

    Raises:
        InputError: one without the other, or no such file.
    """
    if (certificate is None) != (key is None):
        raise InputError("--certificate and --key go together")
    for file in (certificate, key):
        if file is not None and not file.is_file():
            raise InputError(f"{file}: no such file")
    return {} if certificate is None else {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
