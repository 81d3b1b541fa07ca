"""Frames of a clip re-encoded small, to travel inside a page."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.ahead import ahead
from nearfar.errors import InputError
from nearfar.viewing.clip import DEFAULT_RATE

__all__ = ["EmbeddedMedia", "embed_media"]

MAX_WIDTH = 640
"""Width in pixels that frames are scaled down to."""

MAX_VIDEO_BYTES = 24_000_000
"""Long clips are compressed harder to stay below about this size."""

GOP = 8
"""Frames between key frames: the browser decodes at most this many to show the one asked for."""

TICKS = 90_000


@dataclass(frozen=True, eq=False)
class EmbeddedMedia:
    """Frames for a page.

    Attributes:
        kind: "video" or "image".
        mime: media type of `data`.
        data: the encoded file.
        size: width and height of the original frames in pixels, which keypoints refer to.
        time: (F,) seconds of each frame in the original, or None for an image.
    """

    kind: str
    mime: str
    data: bytes
    size: tuple[int, int]
    time: npt.NDArray[np.float64] | None


def embed_media(path: str | Path, frame_index: npt.NDArray[Any]) -> EmbeddedMedia:
    """Re-encode the frames that poses speak of: H.264 in MP4 with its time stamps, or a JPEG for an image.

    The video starts at time 0 with the first of `frame_index`, and has no B-frames and a key frame every few frames,
    so that a browser seeks to any frame quickly and exactly.

    Args:
        path: image or video.
        frame_index: (F,) numbers of the frames to embed, ascending.

    Raises:
        InputError: unreadable media, or it has fewer frames than the poses.
    """
    from nearfar.media import is_image, read_frames

    if is_image(path):
        image = next(iter(read_frames(path))).image
        return EmbeddedMedia("image", "image/jpeg", _jpeg(image), (image.shape[1], image.shape[0]), None)
    return _embed_video(path, frame_index)


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((2 * MAX_WIDTH, 2 * MAX_WIDTH))
    buffer = BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()


def _embed_video(path: str | Path, frame_index: npt.NDArray[Any]) -> EmbeddedMedia:
    import av
    from tqdm import tqdm

    from nearfar.media import media_info, read_frames

    wanted = {int(number) for number in frame_index}
    last = max(wanted)
    seconds = (last - min(wanted) + 1) / (media_info(path).fps or DEFAULT_RATE)
    buffer = BytesIO()
    times: list[float] = []
    size: tuple[int, int] | None = None
    with av.open(buffer, "w", format="mp4") as container:
        stream: Any = None
        for frame in tqdm(ahead(read_frames(path)), "viewer", last + 1, unit="frame", leave=False, disable=None):
            if frame.index not in wanted:
                if frame.index > last:
                    break
                continue
            if stream is None:
                size = frame.image.shape[1], frame.image.shape[0]
                stream = _stream(container, size, seconds)
            times.append(frame.time_s)
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24").reformat(
                stream.width, stream.height, "yuv420p", interpolation="AREA"
            )
            picture.pts = round((frame.time_s - times[0]) * TICKS)
            picture.time_base = Fraction(1, TICKS)
            container.mux(stream.encode(picture))
        if size is None or len(times) < len(wanted):
            raise InputError(f"{path}: the poses speak of frames up to {last}, which it does not have")
        container.mux(stream.encode())
    return EmbeddedMedia("video", "video/mp4", buffer.getvalue(), size, np.array(times))


def _stream(container: Any, size: tuple[int, int], seconds: float) -> Any:
    # a ceiling on the rate keeps long clips small; short ones never reach it
    rate = min(4_000_000, round(MAX_VIDEO_BYTES * 8 / max(seconds, 1)))
    width = min(size[0], MAX_WIDTH) // 2 * 2
    height = max(2, round(size[1] * width / size[0] / 2) * 2)
    stream = container.add_stream("libx264", rate=30)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
    stream.options = {
        "preset": "fast",
        "profile": "baseline",
        "crf": "27",
        "g": str(GOP),
        "bf": "0",
        "maxrate": str(rate),
        "bufsize": str(rate),
    }
    return stream
