"""One attempt to get a file over HTTP: what came before is gone on with, as long as the file is still the same.

A file grows as ``NAME.part``; ``NAME.part.json`` says of which version of which file on which server it is a part.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from nearfar.datasets.archives import CHUNK, check_space
from nearfar.errors import InputError
from nearfar.files import write_text

__all__ = ["KEPT", "Begun", "Final", "Passing", "discard", "go_on", "part_size", "read_begun"]

KEPT = "what came is kept: run the command again to go on"
RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers that pass; the others are final."""


class Final(Exception):  # noqa: N818 - names what it means to the caller, as Passing does
    """This mirror will not give the file."""


class Passing(Exception):  # noqa: N818
    """This attempt failed; another may not. `wait` is what the server asked for, in seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Begun:
    """What is known of a part: where it is from, the server's word for that version of the file, its full size."""

    url: str
    validator: str | None
    size: int | None


def go_on(url: str, part: Path, timeout: float) -> bool:
    """One attempt to complete a part.

    Returns:
        Whether something that had come before is in it.

    Raises:
        Final: this address will not give the file.
        Passing: it may, at another attempt.
        InputError: the disk is full.
    """
    begun = read_begun(part)
    if begun is not None and (begun.url != url or begun.validator is None):
        begun = None  # without the server's word for its version nothing can be gone on with
    offset = 0 if begun is None else part_size(part)
    if begun is not None and offset and offset == begun.size:
        return True
    headers = {"User-Agent": "nearfar", "Accept-Encoding": "identity"}
    if begun is not None and begun.validator is not None and offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": begun.validator}
    with _opened(url, headers, timeout, part) as response:
        size = _whole_size(response)
        if response.status == 206:
            if begun is None or not _continues(response, begun, size, offset):
                discard(part)
                raise Passing("the server went on with another file")
            size = begun.size if size is None else size
        else:
            offset = 0
            if response.headers.get_content_type() == "text/html" and not part.stem.endswith((".html", ".htm")):
                raise Final("the server sent a web page instead of the file")
            discard(part)
            write_text(_begun_path(part), json.dumps(asdict(Begun(url, _validator(response.headers), size))))
        check_space(part.parent, max((size or 0) - offset, 0), str(part))
        try:
            _receive(response, part, offset, size)
        except OSError as error:
            raise InputError(f"{part}: cannot write ({error.strerror or error}); {KEPT}") from None
    return offset > 0


def _continues(response: Any, begun: Begun, size: int | None, offset: int) -> bool:
    """Whether a partial answer is the rest of the very file that we hold a part of, as far as the server says."""
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return (
        start is not None
        and int(start[1]) == offset
        and _validator(response.headers) in (None, begun.validator)
        and (size is None or begun.size in (None, size))
    )


def _receive(response: Any, part: Path, offset: int, size: int | None) -> None:
    """Append the body to a part, never beyond the declared size."""
    from tqdm import tqdm

    name = part.name.removesuffix(".part")
    at = offset
    with (
        tqdm(desc=name, total=size, initial=at, unit="B", unit_scale=True, leave=False, disable=None) as bar,
        part.open("ab" if offset else "wb") as file,
    ):
        while size is None or at < size:
            try:
                chunk = response.read1(CHUNK if size is None else min(CHUNK, size - at))
            except (OSError, http.client.HTTPException) as error:
                raise Passing(f"cut after {at} bytes ({_said(error)})") from None
            if not chunk:
                break
            file.write(chunk)
            at += len(chunk)
            bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if size is not None and at < size:
        raise Passing(f"cut after {at} of {size} bytes")


def _opened(url: str, headers: Mapping[str, str], timeout: float, part: Path) -> Any:
    """The server's answer to a request, 200 or 206."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise Final("not an http or https address")
    opener = urllib.request.OpenerDirector()  # no ftp, no file
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(), _Redirects(),
        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    try:
        return opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=timeout)
    except HTTPError as error:
        said = f"HTTP {error.code} {error.reason}"
        error.close()
        if error.code == 416:  # the file has become shorter than the part of it that we hold
            discard(part)
            raise Passing(said) from None
        if error.code in RETRIED:
            after = error.headers.get("Retry-After", "")
            raise Passing(said, float(after) if re.fullmatch(r"\d{1,6}", after) else 0.0) from None
        raise Final(said) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError | ValueError):
            raise Final(_said(reason)) from None
        raise Passing(_said(reason)) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects (10 at most), but not from https to where anybody could change the file on its way."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or urlsplit(req.full_url).scheme == "https"):
            raise Final(f"redirected to {newurl}, which is not https: refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _said(error: Any) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _validator(headers: Any) -> str | None:
    """What tells this version of the file from others, fit for If-Range: a strong ETag, or the date of its change."""
    etag = headers.get("ETag")
    known = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
    return str(known) if known else None


def _whole_size(response: Any) -> int | None:
    """Bytes of the whole file as the server declares them; None for a chunked body, which knows its own end."""
    headers = response.headers
    if response.status == 206:
        match = re.fullmatch(r"bytes \d+-\d+/(\d+)", headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    length = headers.get("Content-Length", "")
    if re.fullmatch(r"\d{1,18}", length):
        return int(length)
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        return None
    raise Final("the server does not say how long the file is")


def _begun_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def read_begun(part: Path) -> Begun | None:
    """What is known of a part; None where there is no part, or nothing is known of it."""
    try:
        return Begun(**json.loads(_begun_path(part).read_text("utf-8"))) if part.is_file() else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def discard(part: Path) -> None:
    """Remove a part and what is known of it."""
    for path in (part, _begun_path(part)):
        with suppress(FileNotFoundError):
            path.unlink()


def part_size(part: Path) -> int:
    """Bytes that have come."""
    return part.stat().st_size if part.is_file() else 0
