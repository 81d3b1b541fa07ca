"""Frames as they come: RTSP streams, webcams, and video files in real time, read by a thread of its own.

FFmpeg hands frames out in order, however late they are; so they are decoded as they come, and only the newest is kept
(`Newest`). RTSP runs over TCP (RFC 2326, section 10.12): UDP loses packets, and pictures decay after that.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from nearfar.errors import InputError
from nearfar.files import check_file
from nearfar.live.newest import Newest
from nearfar.media import Image, is_image, media_library, upright

__all__ = ["Arrival", "Stream", "shown_source"]

OPEN_SECONDS, READ_SECONDS = 10.0, 5.0
"""How long a source may take to open, and between frames, before it counts as lost."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
"""Seconds before the first try to connect again, and at most: they double from try to try."""
LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "500000"}
"""FFmpeg's options: hand packets on at once, and look at no more than half a second to learn what the stream is."""


@dataclass(frozen=True, eq=False)
class Arrival:
    """A frame that came.

    Attributes:
        time_s: seconds since the first frame, by the stream's own clock; a break counts as long as it took.
        arrived_s: when it was decoded, `time.monotonic`.
    """

    time_s: float
    arrived_s: float
    _decoded: Any
    _stream: Any

    def image(self) -> Image:
        """(H, W, 3) uint8 RGB: made when asked for, since most frames of a fast source are never looked at."""
        return upright(self._decoded, self._stream)


def shown_source(source: str) -> str:
    """The source as people are told of it: without the name and password that a URL may hold."""
    if "://" not in source:
        return source
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Stream:
    """A source that is being read, until it is closed. A context manager.

    A source that is lost is opened again, after longer and longer waits; a file ends.

    Args:
        source: ``rtsp://...``, a camera (``/dev/video0``, or its number), or a video file.
        tell: is told what happens to the connection.

    Attributes:
        newest: the newest frame; closed at the end.
        trouble: why no frames come, or None.

    Raises:
        InputError: it cannot be opened, at first.
    """

    def __init__(self, source: str, tell: Callable[[str], None] = lambda _text: None) -> None:
        self.name = shown_source(source)
        self.newest: Newest[Arrival] = Newest()
        self.trouble: str | None = None
        self._tell = tell
        self._av = media_library("av")
        self._address, self._options = _how_to_open(source, self.name)
        self._is_file = "format" not in self._options
        self._ended = threading.Event()
        self._began: float | None = None
        container = self._open()
        self._thread = threading.Thread(target=self._read, args=(container,), name="stream", daemon=True)
        self._thread.start()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading."""
        self._ended.set()
        self.newest.close()
        self._thread.join(READ_SECONDS + 1)

    def _open(self) -> Any:
        try:
            container = self._av.open(self._address, timeout=(OPEN_SECONDS, READ_SECONDS), **self._options)
        except (self._av.error.FFmpegError, OSError) as error:
            raise InputError(f"{self.name}: cannot be opened ({_reason(error)})") from None
        if not container.streams.video:
            container.close()
            raise InputError(f"{self.name}: no moving pictures in it")
        return container

    def _read(self, container: Any) -> None:
        try:
            while container is not None:
                with container:
                    self.trouble = self._decode(container)
                container = None if self._is_file or self._ended.is_set() else self._open_again()
        finally:
            self.newest.close()

    def _decode(self, container: Any) -> str:
        """Hand on frames until no more come; why they ended."""
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # threads that take a frame each would hold as many back
        stream.codec_context.flags |= self._av.codec.context.Flags.low_delay
        offset: float | None = None  # from the stream's clock, which begins anywhere, and anew, to ours
        last = -1.0
        try:
            for packet in container.demux(stream):
                for frame in self._frames(packet):
                    now = time.monotonic()
                    self._began = now if self._began is None else self._began
                    elapsed = now - self._began
                    if frame.time is not None and (offset is None or frame.time + offset <= last):
                        offset = elapsed - frame.time
                    last = time_s = elapsed if frame.time is None or offset is None else frame.time + offset
                    if self._is_file:
                        self._ended.wait(max(0.0, self._began + time_s - now))
                    if self._ended.is_set():
                        return "closed"
                    self.trouble = None
                    self.newest.put(Arrival(time_s, time.monotonic(), frame, stream))
        except (self._av.error.FFmpegError, OSError) as error:
            return _reason(error)
        return "the other side closed it"

    def _frames(self, packet: Any) -> list[Any]:
        """The frames of a packet; none of one that is damaged, as some are after a connection was made."""
        try:
            return list(packet.decode())
        except self._av.error.InvalidDataError:
            return []

    def _open_again(self) -> Any:
        wait = FIRST_WAIT
        lost = self.trouble
        while True:
            self._tell(f"{self.name}: lost ({self.trouble}); trying again in {wait:g} s")
            if self._ended.wait(wait):
                return None
            try:
                container = self._open()
            except InputError as error:
                self.trouble = f"{lost}; {str(error).removeprefix(f'{self.name}: ')}"
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                self._tell(f"{self.name}: connected again")
                return container


def _how_to_open(source: str, name: str) -> tuple[str, dict[str, Any]]:
    """What PyAV is to open, and how.

    Raises:
        InputError: another kind of URL, an unknown host, no such camera or file, or a file that is no video.
    """
    if "://" in source:
        parts = urlsplit(source)
        try:
            host, port = parts.hostname, parts.port or 554
        except ValueError:
            host, port = None, 0
        if parts.scheme not in ("rtsp", "rtsps") or not host:
            raise InputError(
                f"{name}: expected rtsp://HOST/PATH, a camera (its number, or /dev/video0), or a video file"
            )
        try:
            socket.getaddrinfo(host, port)
        except OSError as error:
            raise InputError(f"{name}: no such host ({error.strerror})") from None
        return source, {"format": "rtsp", "options": {"rtsp_transport": "tcp", **LOW_DELAY}}
    if source.isdecimal() or source.startswith("/dev/video"):
        return _camera(f"/dev/video{source}" if source.isdecimal() else source)
    path = check_file(source)
    if is_image(path):
        raise InputError(f"{name}: an image; nearfar lift takes those")
    return str(path), {}


def _camera(device: str) -> tuple[str, dict[str, Any]]:
    if sys.platform == "darwin":
        return device.removeprefix("/dev/video"), {"format": "avfoundation", "options": {"framerate": "30"}}
    if not Path(device).exists():
        there = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
        raise InputError(f"{device}: no such camera; there: {there}")
    return device, {"format": "v4l2", "options": LOW_DELAY}


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"nothing came for {READ_SECONDS:g} s" if text == "Immediate exit requested" else text
