"""What every request passes before a page sees it, as plain ASGI middleware.

From the outside in: who asks (behind trusted proxies), security headers, the host's name, how often, from which page,
the size and speed of the body, and how many are being answered. Bodies are read whole before a page is called, so that
a slow client holds nothing but its connection; pages that take long bodies may ask to read theirs on their own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser

from nearfar.errors import InputError
from nearfar.web.rates import Buckets, Rate, SharedBuckets, network_of
from nearfar.web.secrets import hash_token

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Protection", "add_security_headers", "content_security_policy", "protect", "shown_token"]

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

SESSION_RATE = Rate(120, 15)
ADDRESS_RATE = Rate(2000, 300)
SIGN_IN_RATE = Rate(40, 0.5)
EXPORT_RATE = Rate(5, 0.05)

AWAY_SECONDS = (2, 8)
"""For how long at least and at most `Crowd` sends away."""


@dataclass(frozen=True)
class Protection:
    """What is let through.

    Attributes:
        hosts: names under which the server may be asked for, without ports; "*" for any.
        trusted_proxies: addresses or networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
        body_bytes: the largest body of a request.
        body_seconds: the time that a body may take.
        session_rate: requests of one session.
        address_rate: requests of one address (a whole laboratory may share one).
        sign_in_rate: attempts to sign in from one address, and unknown sessions shown by it.
        export_rate: exports of all people together.
        at_once: requests that one process answers at a time, static files aside; None for any number.
        shared: folder of the files in which several processes count together; None for one process.
    """

    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    trusted_proxies: tuple[str, ...] = ()
    body_bytes: int = 1 << 20
    body_seconds: float = 20.0
    session_rate: Rate = SESSION_RATE
    address_rate: Rate = ADDRESS_RATE
    sign_in_rate: Rate = SIGN_IN_RATE
    export_rate: Rate = EXPORT_RATE
    at_once: int | None = None
    shared: Path | None = None

    def __post_init__(self) -> None:
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError:
                raise InputError(f"trusted proxy: expected an address or a network, got {proxy!r}") from None

    def buckets(self, of: Literal["session", "address", "sign_in", "export"]) -> Buckets | SharedBuckets:
        """What counts requests of one kind."""
        rate: Rate = getattr(self, f"{of}_rate")
        return Buckets(rate) if self.shared is None else SharedBuckets(rate, self.shared / of)


def protect(
    app: FastAPI,
    protection: Protection,
    *,
    signs_in: Callable[[Scope], bool] = lambda _scope: False,
    reads_body: Callable[[Scope], bool] = lambda _scope: False,
) -> None:
    """Put everything of this module around the pages of `app`.

    Args:
        app: the application; its ``state.guesses`` counts attempts to sign in.
        protection: what is let through.
        signs_in: whether a request tries to sign in.
        reads_body: whether the page of a request reads its body on its own, and bounds it itself.
    """
    app.state.guesses = protection.buckets("sign_in")
    if protection.at_once is not None:
        app.add_middleware(Crowd, most=protection.at_once)
    app.add_middleware(Bodies, most=protection.body_bytes, seconds=protection.body_seconds, except_for=reads_body)
    app.add_middleware(SameOrigin)
    app.add_middleware(Rates, protection=protection, guesses=app.state.guesses, signs_in=signs_in)
    app.add_middleware(Hosts, hosts=protection.hosts)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Proxies, trusted=protection.trusted_proxies)


def shown_token(headers: Headers, scheme: str) -> tuple[str | None, bool]:
    """The session token that a request shows, and whether as a bearer (then no cookie counts)."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip() or None, True
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(scheme)) or None, False


def cookie_name(scheme: str) -> str:
    """The name of the session's cookie: browsers keep a __Host- cookie to this very host, with https only."""
    return "__Host-nearfar" if scheme == "https" else "nearfar"


def content_security_policy(frame_ancestors: str = "'none'") -> str:
    """The Content-Security-Policy of a page.

    Args:
        frame_ancestors: who may show it in a frame.
    """
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        f"form-action 'self'; base-uri 'none'; frame-ancestors {frame_ancestors}"
    )


def add_security_headers(headers: MutableHeaders, scope: Scope) -> None:
    """Add what an answer does not say itself."""
    framed = "content-security-policy" in headers
    headers.setdefault("content-security-policy", content_security_policy())
    if not framed:
        headers.setdefault("x-frame-options", "DENY")
    headers.setdefault("x-content-type-options", "nosniff")
    # Not "no-referrer": browsers then say "Origin: null" where a form of ours is sent.
    headers.setdefault("referrer-policy", "same-origin")
    headers.setdefault("cross-origin-opener-policy", "same-origin")
    headers.setdefault("cross-origin-resource-policy", "same-origin")
    headers.setdefault("permissions-policy", "camera=(), geolocation=(), microphone=()")
    if scope["scheme"] == "https":
        headers.setdefault("strict-transport-security", "max-age=31536000")
    static = scope["path"].startswith("/static/")
    headers.setdefault("cache-control", "no-cache" if static else "no-store")


class Proxies:
    """Believe trusted proxies, and nobody else, about who asks and how."""

    def __init__(self, app: ASGIApp, trusted: Iterable[str]) -> None:
        self.app = app
        self._trusted = [ipaddress.ip_network(proxy, strict=False) for proxy in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the client's address and the scheme."""
        if scope["type"] == "http" and scope.get("client") and self._trusts(scope["client"][0]):
            headers = Headers(scope=scope)
            for address in reversed(_listed(headers, "x-forwarded-for")):
                scope["client"] = (address, 0)
                if not self._trusts(address):
                    break
            protocols = _listed(headers, "x-forwarded-proto")
            if protocols and protocols[-1] in ("http", "https"):
                scope["scheme"] = protocols[-1]
        await self.app(scope, receive, send)

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)


class SecurityHeaders:
    """Send security headers with every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers when the answer starts."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_security_headers(MutableHeaders(scope=message), scope)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class Hosts:
    """Answer only to the names that are ours (DNS rebinding asks under others)."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self.app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse (400) other hosts, none, and several."""
        if scope["type"] == "http":
            told = Headers(scope=scope).getlist("host")
            if len(told) != 1 or not ("*" in self._hosts or _host_name(told[0]) in self._hosts):
                await _refuse(scope, send, 400, "the server is not known by this name (see --public-url)")
                return
        await self.app(scope, receive, send)


class Rates:
    """Refuse (429) who asks too often."""

    def __init__(
        self, app: ASGIApp, protection: Protection, guesses: Buckets | SharedBuckets, signs_in: Callable[[Scope], bool]
    ) -> None:
        self.app = app
        self._signs_in = signs_in
        self._sessions = protection.buckets("session")
        self._addresses = protection.buckets("address")
        self._guesses = guesses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take tokens of the address, of the session, and for attempts to sign in."""
        if scope["type"] == "http":
            address = address_of(scope)
            wait = self._addresses.take(address)
            if not wait and self._signs_in(scope):
                wait = self._guesses.take(address)
            token, _ = shown_token(Headers(scope=scope), scope["scheme"])
            if not wait and token and not scope["path"].startswith("/static/"):
                wait = self._sessions.take(hash_token(token))
            if wait:
                headers = {"retry-after": str(math.ceil(wait))}
                await _refuse(scope, send, 429, "too many requests; try again in a moment", headers)
                return
        await self.app(scope, receive, send)


class SameOrigin:
    """Refuse (403) changes that a page of somebody else asks for.

    Browsers say where a POST comes from in Origin, new ones in Sec-Fetch-Site too. Programs say nothing; a bearer token
    is not sent by browsers on their own, and tells its owner meant it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Compare the origin with the address that was asked for."""
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            headers = Headers(scope=scope)
            ours = f"{scope['scheme']}://{headers.get('host', '').lower()}"
            _, bearer = shown_token(headers, scope["scheme"])
            foreign = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
            if not bearer and (foreign or headers.get("origin", ours).lower() != ours):
                reason = "the request comes from a page of another site (behind a proxy: see --trusted-proxy)"
                await _refuse(scope, send, 403, reason)
                return
        await self.app(scope, receive, send)


class Bodies:
    """Read bodies whole, up to a size (413) and within a time (408)."""

    def __init__(self, app: ASGIApp, most: int, seconds: float, except_for: Callable[[Scope], bool]) -> None:
        self.app = app
        self._except_for = except_for
        self._most = most
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the page a body that is there already."""
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)) or self._except_for(scope):
            await self.app(scope, receive, send)
            return
        claimed = Headers(scope=scope).get("content-length", "0")
        closing = {"connection": "close"}
        if not claimed.isascii() or not claimed.isdigit() or len(claimed) > 18 or int(claimed) > self._most:
            await _refuse(scope, send, 413, f"more than {self._most} bytes", closing)
            return
        try:
            body = await asyncio.wait_for(self._read(receive), self._seconds)
        except TimeoutError:
            await _refuse(scope, send, 408, f"the request took more than {self._seconds:g} s to arrive", closing)
            return
        except ClientDisconnect:
            return  # nobody is there to be answered
        if body is None:
            await _refuse(scope, send, 413, f"more than {self._most} bytes", closing)
            return
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None where it is too long."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._most:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)


class Crowd:
    """Send away (503) who comes while many are being answered.

    A queue without an end keeps all waiting until they give up and ask again, which makes it longer. Who is sent away
    comes back after some seconds, not all in the same one.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self._most = most
        self._present = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count who is here."""
        if scope["type"] != "http" or scope["path"].startswith("/static/"):
            await self.app(scope, receive, send)
        elif self._present >= self._most:
            headers = {"retry-after": str(random.randint(*AWAY_SECONDS))}
            await _refuse(scope, send, 503, "many people are here right now; try again in a moment", headers)
        else:
            self._present += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self._present -= 1


def address_of(scope: Scope) -> str:
    """Who asks, as a key of rate limits."""
    return network_of(scope["client"][0]) if scope.get("client") else "unix"


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _has_body(headers: Headers) -> bool:
    return "content-length" in headers or "transfer-encoding" in headers


def _listed(headers: Headers, name: str) -> list[str]:
    return [part.strip() for value in headers.getlist(name) for part in value.split(",") if part.strip()]


def _host_name(host: str) -> str | None:
    try:
        parsed = urlsplit(f"//{host}")
        _ = parsed.port
    except ValueError:
        return None
    name = parsed.hostname
    if name is None or parsed.path or parsed.query or parsed.fragment or "@" in host:
        return None
    return f"[{name}]" if ":" in name else name


async def _refuse(scope: Scope, send: Send, status: int, reason: str, extra: dict[str, str] | None = None) -> None:
    """Answer for the pages: with a page where people look (`app.state.error_page`), else with JSON."""
    error_page = getattr(scope["app"].state, "error_page", None) if "app" in scope else None
    if error_page is not None and "text/html" in Headers(scope=scope).get("accept", ""):
        body, kind = error_page(status).encode(), "text/html; charset=utf-8"
    else:
        body, kind = json.dumps({"detail": reason}).encode(), "application/json"
    headers: dict[str, Any] = {"content-type": kind, "content-length": str(len(body)), **(extra or {})}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
