"""Lifting while it runs: a real RTSP server, the real detector, the command, and its page in real Chromium."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rtsp_server

from nearfar.cli import main
from nearfar.detection import get_detector
from nearfar.errors import InputError
from nearfar.lifting import load
from nearfar.live.following import Follower
from nearfar.live.newest import Newest
from nearfar.live.session import joined
from nearfar.live.stream import Stream, shown_source
from nearfar.media import VideoWriter, read_frames
from nearfar.poses import PoseSet

SHOTS = os.environ.get("NEARFAR_SCREENSHOTS")
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
PATIENCE = 60.0


@pytest.fixture(scope="module", autouse=True)
def server_there() -> None:
    if not rtsp_server.available():
        pytest.skip("needs GStreamer (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-ugly)")


@pytest.fixture(scope="module")
def street(shared: Path) -> list[Any]:
    """Two and a half seconds of people in a street, half as large."""
    from PIL import Image

    pytest.importorskip("mediapipe")
    frames = [frame for frame, _ in zip(read_frames(shared / "media" / "street_walk.mp4"), range(120), strict=False)]
    return [np.asarray(Image.fromarray(frame.image).resize((884, 496))) for frame in frames[45:]]


def plain(count: int) -> list[Any]:
    """Frames of one grey each, lighter and lighter."""
    return [np.full((96, 128, 3), 40 + 4 * i, np.uint8) for i in range(count)]


def newest(stream: Stream, number: int = 0) -> tuple[int, Any]:
    got = stream.newest.after(number, PATIENCE)
    assert got is not None, stream.trouble
    return got


def test_who_is_late_gets_the_newest() -> None:
    held: Newest[str] = Newest()
    assert held.after(0, 0.0) is None
    for text in "abc":
        held.put(text)
    assert held.after(0, 0.0) == held.after(2, 0.0) == (3, "c")
    assert held.after(3, 0.0) is None
    waiting = threading.Thread(target=held.after, args=(3, PATIENCE))
    waiting.start()
    held.close()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_a_slow_reader_of_a_stream_skips_frames() -> None:
    with rtsp_server.serving(plain(40), fps=25) as feed, Stream(feed.url) as stream:
        first, _ = newest(stream)
        before, arrival = newest(stream, first + 8)  # eight frames are missed
        after, later = newest(stream, before)
        assert first + 8 < before < after
        assert arrival.image().shape == (96, 128, 3)
        assert later.time_s > arrival.time_s > 0
    assert stream.newest.closed


def test_a_lost_stream_is_opened_again() -> None:
    said: list[str] = []
    with rtsp_server.serving(plain(40), fps=25) as feed:
        stream = Stream(feed.url, tell=said.append)
        number, before = newest(stream)
    with stream:
        until = time.monotonic() + PATIENCE
        while stream.trouble is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        with rtsp_server.serving(plain(40), fps=25, port=feed.port):
            _, arrival = newest(stream, max(number, stream.newest.count))
            assert arrival.time_s > before.time_s
            assert stream.trouble is None
    assert "trying again in 0.5 s" in said[0]
    assert f"{feed.url}: connected again" in said


def test_what_is_no_source_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with rtsp_server.serving(plain(2), fps=5) as feed:
        wrong = {
            feed.url + "s": "404 Not Found",
            "rtsp://ada:secret@127.0.0.1:1/x": "rtsp://127.0.0.1:1/x: cannot be opened (Connection refused)",
            "rtsp://no-such-host.invalid/x": "no such host",
            "rtsp://": "expected rtsp://HOST/PATH",
            "http://127.0.0.1/x": "expected rtsp://HOST/PATH",
            "97": "/dev/video97: no such camera",
            str(tmp_path / "missing.mp4"): "no such file",
            str(tmp_path / "text.mp4"): "cannot be opened",
        }
        for source, expected in wrong.items():
            assert main(["live", source, "--port", "0"]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert expected in line
            assert "secret" not in line


def test_names_and_passwords_are_not_told() -> None:
    assert shown_source("rtsp://ada:secret@camera.example:8554/a/b?key=1") == "rtsp://camera.example:8554/a/b"
    assert shown_source("0") == "0"


@pytest.mark.shared
def test_people_are_followed_and_lifted_as_a_clip_would_be(street: list[Any]) -> None:
    from nearfar.media import Frame

    lifter = load("default-video")
    with get_detector("mediapipe") as detector:
        follower = Follower(detector, lifter, people=2)
        rows = [follower.follow(Frame(i, i / 30, image)) for i, image in enumerate(street[:40])]
    found = [one for one in rows if one is not None]
    assert len(found) >= 30
    poses = joined(found, "street")
    first = poses.select(poses.person == np.bincount(poses.person).argmax())
    assert len(first) >= 25  # one person keeps a number
    again = lifter.lift_poses(first, causal=True)
    assert again.joints is not None
    assert first.joints is not None
    apart = np.linalg.norm(again.joints - first.joints, axis=-1)
    assert np.nanmedian(apart) < 1.0  # what a clip of the same keypoints is lifted to; sides may be exchanged later


def test_nobody_means_no_file() -> None:
    with pytest.raises(InputError, match="nobody was found"):
        joined([], "street")


class Command:
    """A running ``nearfar live``; its link is known once it was printed."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "nearfar.cli", "live", *arguments, "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        self.said: list[str] = []
        self.link = self.next_link()

    def next_link(self) -> str:
        for line in self.process.stdout or ():
            self.said.append(line)
            if "#code=" in line:
                return line.strip()
        raise AssertionError("".join(self.said))

    def stop(self, number: int = signal.SIGINT) -> str:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> str:
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return "".join(self.said) + rest


def until_answered(client: httpx.Client, path: str, **options: Any) -> httpx.Response:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if (answer := client.get(path, **options)).status_code != 204:
                return answer
        except httpx.ConnectError:
            time.sleep(0.1)
        assert time.monotonic() < until


@pytest.mark.shared
def test_the_command_shows_and_keeps_poses(street: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "poses.npz"
    with rtsp_server.serving(street, fps=15) as feed:
        command = Command(feed.url, "--out", str(out))
        url, _, code = command.link.partition("/#code=")
        with httpx.Client(base_url=url, timeout=PATIENCE) as client:
            assert until_answered(client, "/").headers["content-security-policy"].startswith("default-src 'none'")
            assert client.get("/newest").status_code == client.get("/skeleton").status_code == 401
            assert client.post("/enter", content="guess").status_code == 401
            token = client.post("/enter", content=code).json()["token"]
            assert client.post("/enter", content=code).status_code == 401  # for one browser
            client.headers["Authorization"] = f"Bearer {token}"
            template = client.get("/skeleton").json()["template"]
            number, seen = 0, {"people": []}
            until = time.monotonic() + PATIENCE
            while not seen["people"]:
                assert time.monotonic() < until
                answer = until_answered(client, "/newest", params={"after": number})
                assert int(answer.headers["x-number"]) > number
                number, seen = int(answer.headers["x-number"]), answer.json()
            assert len(seen["joints"]) == 3 * len(template["skeleton"]["joints"])
            assert seen["size"] == [884, 496]
            assert seen["dropped"] >= 0
            assert re.fullmatch(r"\S+/#code=\S+", command.next_link())  # the next browser's
        told = command.stop()
    assert command.process.returncode == 0, told
    assert "frames lifted" in told
    poses = PoseSet.load(out)
    assert poses.joints is not None
    assert np.isfinite(poses.joints).any(axis=(1, 2)).all()
    assert poses.provenance["media"] == feed.url
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.shared
def test_a_file_is_played_and_ends(street: list[Any], tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "street.mp4", fps=30) as writer:
        for image in street[:30]:
            writer.write(image)
    command = Command(str(tmp_path / "street.mp4"), "--out", str(tmp_path / "poses.npz"))
    told = command.ended()
    assert command.process.returncode == 0, told
    assert PoseSet.load(tmp_path / "poses.npz").time.max() <= 1.0


@pytest.mark.shared
def test_the_page_follows_a_stream_that_is_lost_and_found(browser: Any, street: list[Any]) -> None:
    with rtsp_server.serving(street, fps=10) as feed:
        command = Command(feed.url, "--people", "2")
        try:
            link = command.link
            until_answered(httpx.Client(base_url=link.partition("/#")[0]), "/")
            pages = []
            for name, (width, height) in SIZES.items():
                page, complaints = looking(browser, link, width, height, "dark" if name == "phone" else "light")
                pages.append((name, page, complaints))
                link = command.next_link()
            for name, page, _ in pages:
                page.locator("#nobody").wait_for(state="hidden", timeout=1000 * PATIENCE)
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                assert page.evaluate(PAINTED, "scene") > 0.01
                assert page.evaluate(PAINTED, "source") > 0.3
                assert "#" not in page.url  # the code is out of the address
                page.get_by_role("button", name="Side", exact=True).click()
                page.locator("#nobody").wait_for(state="hidden", timeout=1000 * PATIENCE)
                shot(page, f"live-{name}")
            _, page, complaints = pages[0]
            first = frame_of(page)
            while frame_of(page) < first + 5:
                page.wait_for_timeout(50)
            feed.stop()
            page.get_by_text("trying again").wait_for()
            shot(page, "live-lost")
            with rtsp_server.serving(street, fps=10, port=feed.port):
                page.locator("#state.live").wait_for(timeout=1000 * PATIENCE)
                page.reload()  # what let the page in is kept for as long as its tab is open
                page.locator("#state.live").wait_for(timeout=1000 * PATIENCE)
                assert not complaints
                told = command.stop(signal.SIGTERM)
                page.get_by_text("ended").wait_for()
            assert command.process.returncode == 0, told
        finally:
            command.process.kill()
            command.process.communicate()


PAINTED = """(id) => {
  const canvas = document.getElementById(id);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let painted = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i] > 40) painted++;
  return (4 * painted) / data.length;
}"""


def looking(browser: Any, link: str, width: int, height: int, scheme: str) -> tuple[Any, list[str]]:
    """A page that came with a link, and what its console complains of."""
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(link)
    page.locator("#state.live").wait_for(timeout=1000 * PATIENCE)
    return page, complaints


def frame_of(page: Any) -> int:
    return int(page.locator("#live").get_attribute("data-frame"))


def shot(page: Any, name: str) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))
