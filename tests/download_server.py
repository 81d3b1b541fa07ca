"""A real HTTP server in a thread, with the bad manners of real ones."""

from __future__ import annotations

import re
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Served:
    """One file.

    Attributes:
        body: its content.
        etag: sent as ETag; None: no ETag.
        modified: sent as Last-Modified; None: none.
        ranges: whether Range is understood.
        cuts: the connection is cut after so many bytes, once for each entry.
        statuses: answered instead, once each.
        redirect: answered 302 with this address.
        content_type: as declared.
        length: as declared, where it is not the truth; -1: no length at all, 0: chunked.
        stall: bytes after which nothing more comes until `released`.
        lies: partial answers come with whatever ETag, If-Range unheeded.
    """

    body: bytes
    etag: str | None = '"v1"'
    modified: str | None = None
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirect: str | None = None
    content_type: str = "application/octet-stream"
    length: int | None = None
    stall: int | None = None
    lies: bool = False
    released: threading.Event = field(default_factory=threading.Event)


class Server:
    """What is served, what was asked (path, Range), and where."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.asked: dict[str, list[str | None]] = defaultdict(list)
        self.url = ""

    def put(self, name: str, body: bytes, **manners: object) -> str:
        self.files[name] = Served(body, **manners)  # type: ignore[arg-type]
        return f"{self.url}/{name}"


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Server]:
    """The server, on a free port; over TLS with a .pem of key and certificate."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            wanted = self.headers.get("Range")
            server.asked[name].append(wanted)
            self.close_connection = True
            file = server.files.get(name)
            if file is None:
                self.send_error(404)
            elif file.statuses:
                self.send_error(file.statuses.pop(0))
            elif file.redirect:
                self.send_response(302)
                self.send_header("Location", file.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.send_file(file, wanted)

        def send_file(self, file: Served, wanted: str | None) -> None:
            start = 0
            condition = self.headers.get("If-Range")
            if wanted and file.ranges and (file.lies or condition in (None, file.etag, file.modified)):
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
                if start >= len(file.body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(file.body) - 1}/{len(file.body)}")
            else:
                self.send_response(200)
            body = file.body[start:]
            self.send_header("Content-Type", file.content_type)
            if file.length == 0:
                self.send_header("Transfer-Encoding", "chunked")
            elif file.length != -1:
                self.send_header("Content-Length", str(file.length or len(body)))
            for header, value in (("ETag", file.etag), ("Last-Modified", file.modified)):
                if value:
                    self.send_header(header, value)
            self.end_headers()
            cut = file.cuts.pop(0) if file.cuts else None
            sent = body if cut is None else body[:cut]
            if file.stall is not None:
                self.wfile.write(sent[: file.stall])
                self.wfile.flush()
                file.released.wait(20)
                return
            if file.length == 0:
                for i in range(0, len(sent), 1000):
                    piece = sent[i : i + 1000]
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                if cut is None:
                    self.wfile.write(b"0\r\n\r\n")
            else:
                self.wfile.write(sent)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that hang up are the point
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    server.url = f"{'https' if certificate else 'http'}://localhost:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        for file in server.files.values():
            file.released.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()
