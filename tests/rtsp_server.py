"""A real RTSP server (GStreamer's) that serves frames as they are handed to it, H.264 without delay.

`serving` runs this file with the system's Python, which has GStreamer's bindings (Debian: python3-gi,
gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and -ugly); frames go to it through a pipe.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

PYTHON = "/usr/bin/python3"
IMPORTS = """
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
assert all(Gst.ElementFactory.find(name) for name in ("appsrc", "videoconvert", "x264enc", "rtph264pay"))
"""


class Feed:
    """A running server.

    Attributes:
        url: of its stream.
    """

    def __init__(self, width: int, height: int, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [PYTHON, __file__, str(width), str(height), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"rtsp://127.0.0.1:{self.port}/live"

    def put(self, image: Any) -> None:
        """Serve an (H, W, 3) uint8 RGB frame now; nobody may be there to see it."""
        assert self._process.stdin is not None
        self._process.stdin.write(image.tobytes())
        self._process.stdin.flush()

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


def available() -> bool:
    if shutil.which(PYTHON) is None:
        return False
    return subprocess.run([PYTHON, __file__, "--check"], check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def serving(images: Any, fps: float, port: int = 0) -> Iterator[Feed]:
    """A server that plays images (N, H, W, 3) over and over."""
    feed = Feed(images[0].shape[1], images[0].shape[0], port)
    ended = threading.Event()

    def play() -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                for image in images:
                    if ended.wait(1 / fps):
                        return
                    feed.put(image)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield feed
    finally:
        ended.set()
        feed.stop()
        thread.join()


def main(width: int, height: int, port: int) -> None:
    names: dict[str, Any] = {}
    exec(IMPORTS, names)
    Gst, GLib, GstRtspServer = names["Gst"], names["GLib"], names["GstRtspServer"]
    sources: list[Any] = []

    def configure(_factory: Any, media: Any) -> None:
        sources[:] = [media.get_element().get_by_name("frames")]

    def read() -> None:
        size = 3 * width * height
        while len(data := sys.stdin.buffer.read(size)) == size:
            for source in sources:
                source.emit("push-buffer", Gst.Buffer.new_wrapped(data))
        loop.quit()

    loop = GLib.MainLoop()
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( appsrc name=frames is-live=true do-timestamp=true format=time max-buffers=2 leaky-type=downstream "
        f"caps=video/x-raw,format=RGB,width={width},height={height},framerate=0/1 ! videoconvert ! "
        "video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! "
        "rtph264pay name=pay0 pt=96 config-interval=1 )"
    )
    factory.set_shared(True)
    factory.connect("media-configure", configure)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    threading.Thread(target=read, daemon=True).start()
    loop.run()


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:  # .ci/run asks, too
        exec(IMPORTS)
        sys.exit()
    main(*map(int, sys.argv[1:4]))
