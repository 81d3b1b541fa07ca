"""Files that clients send: written to disk as they come, counted, hashed, and told apart by their first bytes.

Nothing is decoded here: that is for a worker.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from nearfar.serving.jobs import Kind
from nearfar.serving.limits import Limits
from nearfar.serving.store import Store

__all__ = ["Upload", "kind_of", "receive"]

_HEAD = 512
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_STILL_BRANDS = (b"heic", b"heix", b"heim", b"mif1", b"msf1", b"avif")

KNOWN = {
    "image": "JPEG, PNG, WebP, TIFF or BMP",
    "video": "MP4, MOV, Matroska, WebM, AVI, MPEG, FLV, WMV, Ogg or GIF",
    "keypoints": "JSON",
}


@dataclass(frozen=True)
class Upload:
    """A file that came in whole.

    Attributes:
        path: where it lies, under a temporary name.
        suffix: by its content.
        digest: its SHA-256.
    """

    path: Path
    suffix: str
    digest: str


def kind_of(head: bytes) -> tuple[Kind, str] | None:
    """Kind and suffix of a file by its first bytes; None where it is none of `KNOWN`.

    What a video file may be is a short list on purpose: playlists and scene lists, which name other files, are not on
    it.
    """
    starts: list[tuple[bytes, Kind, str]] = [
        (b"\xff\xd8\xff", "image", ".jpg"),
        (b"\x89PNG\r\n\x1a\n", "image", ".png"),
        (b"II*\0", "image", ".tif"),
        (b"MM\0*", "image", ".tif"),
        (b"BM", "image", ".bmp"),
        (b"GIF8", "video", ".gif"),
        (b"\x1aE\xdf\xa3", "video", ".mkv"),
        (b"FLV\1", "video", ".flv"),
        (b"OggS", "video", ".ogv"),
        (b"\0\0\1\xba", "video", ".mpg"),
        (b"\0\0\1\xb3", "video", ".mpg"),
        (b"0&\xb2u\x8ef\xcf\x11", "video", ".wmv"),
    ]
    for start, kind, suffix in starts:
        if head.startswith(start):
            return kind, suffix
    if head[4:8] in _BOXES and head[8:12] not in _STILL_BRANDS:
        return "video", ".mp4"
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI "):
        return ("image", ".webp") if head[8:12] == b"WEBP" else ("video", ".avi")
    if head[:1] == b"G" and head[188:189] == b"G":
        return "video", ".ts"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return "keypoints", ".json"
    return None


async def receive(request: Request, store: Store, kind: Kind, limits: Limits) -> Upload:
    """Write the body of a request to the store's folder of inputs.

    Raises:
        HTTPException: 413 too long, 408 too slow, 415 another kind of file, 422 empty, 400 cut off, 503 the disk is
            full.
    """
    most = int(1e6 * {"image": limits.image_mb, "video": limits.video_mb, "keypoints": limits.keypoints_mb}[kind])
    closing = {"Connection": "close"}
    claimed = request.headers.get("content-length", "0")
    if not claimed.isascii() or not claimed.isdigit() or len(claimed) > 18 or int(claimed) > most:
        raise HTTPException(413, f"more than {most} bytes", closing)
    path = store.inputs / f".{uuid4().hex}.partial"
    try:
        async with asyncio.timeout(limits.upload_seconds):
            suffix, digest = await _write(request, path, kind, most)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, TimeoutError):
            raise HTTPException(
                408, f"the file took more than {limits.upload_seconds:g} s to arrive", closing
            ) from None
        if isinstance(error, ClientDisconnect):
            raise HTTPException(400, "the file was cut off", closing) from None
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HTTPException(503, "the disk is full", closing | {"Retry-After": "60"}) from None
        raise
    return Upload(path, suffix, digest)


async def _write(request: Request, path: Path, kind: Kind, most: int) -> tuple[str, str]:
    digest, size, head, suffix = hashlib.sha256(), 0, b"", ""
    closing = {"Connection": "close"}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise HTTPException(413, f"more than {most} bytes", closing)
            if not suffix:
                head += chunk[:_HEAD]
                if len(head) >= _HEAD:
                    suffix = _checked(head, kind)
            digest.update(chunk)
            file.write(chunk)
        suffix = suffix or _checked(head, kind)
        file.flush()
        await run_in_threadpool(os.fsync, file.fileno())
    return suffix, digest.hexdigest()


def _checked(head: bytes, kind: Kind) -> str:
    if not head:
        raise HTTPException(422, f"the file is empty; expected {KNOWN[kind]} as the body of the request")
    found = kind_of(head)
    if found is None or found[0] != kind:
        what = "a file of a kind not known" if found is None else f"{found[0]}: see /v1/{found[0].rstrip('s')}s"
        raise HTTPException(415, f"expected {KNOWN[kind]} as the body of the request, got {what}")
    return found[1]
