"""How late poses of a live stream are, from the moment a frame is handed to the camera's encoder until a client has it.

    python benchmarks/live.py --media walk.mp4

A real RTSP server (GStreamer's, tests/rtsp_server.py) encodes the clip over and over as it would a camera's frames.
Each frame carries its number as black and white squares. `nearfar live` reads the stream, and a client asks it for
the newest frame as the page does, reads the number in the picture, and knows so when that frame was handed in: the
whole way counts, with encoder, network, decoder, detector, lifter and the JPEG. Prints the rows of docs/live.md. The
machine's load is printed, since all of it is one machine's work.
"""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tyro
from PIL import Image

from nearfar.media import read_frames

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from rtsp_server import Feed

BITS, SQUARE = 12, 16


@dataclass(frozen=True)
class Options:
    """Latency of the live view."""

    media: Path
    """A video with people in it."""
    fps: float = 25.0
    """Frames a second that the camera takes."""
    people: tuple[int, ...] = (1, 2)
    """How many people to follow at most, one run each."""
    seconds: float = 40.0
    """How long each run is measured, after its first pose."""
    width: int = 1280
    """Pixels of the stream."""
    frames: int = 230
    """Frames of the clip that are played."""


def numbered(image: Any, number: int) -> Any:
    """The image with a number in its corner."""
    out = image.copy()
    for bit in range(BITS):
        out[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = 255 * (number >> bit & 1)
    return out


def number_in(picture: Any, scale: float) -> int:
    """The number in the corner of a picture that was scaled."""
    at = [int((bit + 0.5) * SQUARE * scale) for bit in range(BITS)]
    row = int(SQUARE / 2 * scale)
    return sum(int(picture[row, x].mean() > 127) << bit for bit, x in enumerate(at))


def measure(options: Options, images: list[Any], people: int) -> str:
    """Run once; a row of the table."""
    sent: dict[int, float] = {}
    ended = threading.Event()
    feed = Feed(images[0].shape[1], images[0].shape[0])

    def play() -> None:
        start, count = time.monotonic(), 0
        while not ended.wait(max(0.0, start + count / options.fps - time.monotonic())):
            number = count % (1 << BITS)
            image = numbered(images[count % len(images)], number)
            sent[number] = time.monotonic()
            feed.put(image)
            count += 1

    player = threading.Thread(target=play)
    player.start()
    command = [sys.executable, "-m", "nearfar.cli", "live", feed.url, "--people", str(people), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        link = next(line.strip() for line in process.stdout or () if "#code=" in line)
        whole, inside, with_people = _ask(link, sent, options.seconds, options.width)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        ended.set()
        player.join()
        feed.stop()
    fifty, ninety_five = (np.percentile(1000 * np.array(times), (50, 95)) for times in (whole, inside))
    return (
        f"| {people} | {len(whole) / options.seconds:.1f} | {fifty[0]:.0f}, {fifty[1]:.0f} | "
        f"{ninety_five[0]:.0f}, {ninety_five[1]:.0f} | {with_people:.0%} |"
    )


def _ask(link: str, sent: dict[int, float], seconds: float, width: int) -> tuple[list[float], list[float], float]:
    """Delays of the frames that a client gets: of the whole way, and since they were decoded; share with people."""
    url, _, code = link.partition("/#code=")
    whole: list[float] = []
    inside: list[float] = []
    peopled = 0
    until = None
    with httpx.Client(base_url=url, timeout=60, transport=httpx.HTTPTransport(retries=10)) as client:
        client.headers["Authorization"] = f"Bearer {client.post('/enter', content=code).json()['token']}"
        number = 0
        while until is None or time.monotonic() < until:
            answer = client.get("/newest", params={"after": number})
            if answer.status_code != 200:
                continue
            now, message = time.monotonic(), answer.json()
            number = int(answer.headers["x-number"])
            if until is None and message["people"]:
                until = now + seconds
            if until is None:
                continue
            picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(message["picture"]))))
            whole.append(now - sent[number_in(picture, picture.shape[1] / width)])
            inside.append(message["delay"])
            peopled += bool(message["people"])
    return whole, inside, peopled / len(whole)


def main() -> None:
    """Measure, and print a table."""
    options = tyro.cli(Options, description=__doc__)
    images = []
    for frame, _ in zip(read_frames(options.media), range(options.frames), strict=False):
        height = round(frame.image.shape[0] * options.width / frame.image.shape[1] / 2) * 2
        images.append(np.asarray(Image.fromarray(frame.image).resize((options.width, height))))
    print(f"{images[0].shape[1]} x {images[0].shape[0]}, {options.fps:g} frames/s, load {os.getloadavg()[0]:.1f}")
    print(
        "| people at most | frames lifted a second | whole way, ms: median, 95 % | of it after decoding | with people |"
    )
    print("|---|---|---|---|---|")
    for people in options.people:
        print(measure(options, images, people), flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
