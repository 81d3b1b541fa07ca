"""Images and videos as frames of RGB pixels, one at a time, and back into a video file.

Frames are upright (display rotation and EXIF orientation are applied) and their pixels are square.
"""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import check_file, replacing

__all__ = [
    "Frame", "MediaInfo", "Metadata", "VideoWriter", "expand_inputs", "is_image", "is_video", "media_info",
    "media_library", "media_metadata", "read_frames", "upright",
]  # fmt: skip

Image = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = frozenset({".bmp", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv",
     ".ts", ".webm", ".wmv"}
)  # fmt: skip
OUTPUT_SUFFIXES = frozenset({".mkv", ".mov", ".mp4"})
_TIME_BASE = Fraction(1, 90_000)
_REPEATED_S = 0.0001
"""What a frame follows the one before by, where time stamps do not say that it is later."""
_BEGINS_ANEW_S = 1.0
"""How far back a time stamp goes where the clock began anew, in files joined to one; the clip goes on."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        index: number of the frame within its clip, from 0.
        time_s: seconds since the clip's first frame, from the file's own time stamps; it rises from frame to frame.
        image: (H, W, 3) RGB.
    """

    index: int
    time_s: float
    image: Image


@dataclass(frozen=True)
class MediaInfo:
    """What is known about an image or a video without decoding all of it.

    Attributes:
        path: the file.
        width: pixels, as `read_frames` gives them.
        height: pixels, as `read_frames` gives them.
        fps: mean frame rate; None for a still image, or where the file does not say.
        frames: number of frames, by the file's own account; None where it does not say.
    """

    path: Path
    width: int
    height: int
    fps: float | None
    frames: int | None


@dataclass(frozen=True)
class Metadata:
    """What an image or a video says about how it was taken.

    Attributes:
        is_image: whether it is a still image.
        width: pixels, as stored: before it is turned upright.
        height: pixels, as stored.
        values: an image's EXIF tags by name, or a video's metadata by key.
    """

    is_image: bool
    width: int
    height: int
    values: Mapping[str, Any]


def is_image(path: str | Path) -> bool:
    """Whether the name ends like that of a still image."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def is_video(path: str | Path) -> bool:
    """Whether the name ends like that of a video (an animated GIF is one)."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def media_info(path: str | Path) -> MediaInfo:
    """Size, frame rate and number of frames of an image or a video. Decodes its first frame.

    Raises:
        InputError: as `read_frames`.
    """
    path = _checked(path)
    if is_image(path):
        height, width = _read_image(path).shape[:2]
        return MediaInfo(path, width, height, None, 1)
    with _open_video(path) as (container, stream):
        fps, frames = _frame_rate(stream), _frame_count(container, stream)
    height, width = next(_decode(path)).image.shape[:2]
    return MediaInfo(path, width, height, fps, frames)


def media_metadata(path: str | Path) -> Metadata:
    """What an image or a video says about how it was taken, without decoding it.

    Raises:
        InputError: as `read_frames`.
    """
    path = _checked(path)
    if not is_image(path):
        with _open_video(path) as (container, stream):
            return Metadata(False, stream.width, stream.height, {**container.metadata, **stream.metadata})
    with _open_image(path) as file:
        exif, tags = file.getexif(), media_library("PIL.ExifTags")
        named = {**exif, **exif.get_ifd(tags.IFD.Exif)}
        # Pillow calls two of them otherwise than the standard does
        names = tags.TAGS | {0xA002: "PixelXDimension", 0xA003: "PixelYDimension"}
        width, height = file.size
        return Metadata(True, width, height, {names[tag]: value for tag, value in named.items() if tag in names})


def read_frames(path: str | Path) -> Iterator[Frame]:
    """The frames of an image or a video in order of time, one in memory at a time. A still image is one frame.

    Raises:
        InputError: no such file, empty, neither an image nor a video, no pictures in it, or (after the frames
            before it) damaged or cut off; the message names the file and the frame.
    """
    path = _checked(path)
    if is_image(path):
        return iter([Frame(0, 0.0, _read_image(path))])
    return _decode(path)


def expand_inputs(pattern_or_path: str | Path) -> list[Path]:
    """The media files that a path or a pattern means, in natural order (``frame2`` before ``frame10``).

    Args:
        pattern_or_path: a file (returned as it is), a folder (the images and videos directly in it) or a glob
            pattern (the images and videos among its matches).

    Raises:
        InputError: nothing there.
    """
    path = Path(pattern_or_path)
    if path.is_file():
        return [path]
    if path.is_dir():
        found, where = list(path.iterdir()), f"{path}: no image or video in this folder"
    elif glob.has_magic(str(pattern_or_path)):
        found = [Path(name) for name in glob.glob(str(pattern_or_path), recursive=True)]
        where = f"{pattern_or_path}: no image or video matches"
    else:
        raise InputError(f"{path}: no such file or folder")
    media = [entry for entry in found if entry.is_file() and (is_image(entry) or is_video(entry))]
    media = [entry for entry in media if not entry.name.startswith(".")]
    if not media:
        raise InputError(f"{where} ({', '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))})")
    return sorted(media, key=_natural_order)


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _checked(path: str | Path) -> Path:
    path = check_file(path)
    if not (is_image(path) or is_video(path)):
        known = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
        raise InputError(f"{path}: neither an image nor a video by its name; known: {known}")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"{path}: cannot read ({error.strerror or error})") from None
    return path


def media_library(name: str) -> ModuleType:
    """PyAV or Pillow, or an `InputError` that says how to get it."""
    try:
        return __import__(name, fromlist=["_"])
    except ImportError:
        raise InputError(f'reading and writing media needs {name}: pip install "nearfar[media]"') from None


@contextmanager
def _open_image(path: Path) -> Iterator[Any]:
    pillow = media_library("PIL.Image")
    try:
        with pillow.open(path) as file:
            yield file
    except pillow.UnidentifiedImageError:
        raise InputError(f"{path}: not an image that can be read, or a damaged one") from None
    except (OSError, SyntaxError, ValueError, EOFError, pillow.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot read the image ({error})") from None


def _read_image(path: Path) -> Image:
    image_ops = media_library("PIL.ImageOps")
    with _open_image(path) as file:
        upright = image_ops.exif_transpose(file)
        if upright.mode.startswith("I") or upright.mode == "F":  # 16 bit grey, which Pillow would clip to 8
            grey = np.asarray(upright, np.float64)
            scaled = np.clip(grey / (257.0 if upright.mode != "F" else 1.0), 0, 255).astype(np.uint8)
            return np.repeat(scaled[..., None], 3, axis=-1)
        return np.array(upright.convert("RGB"))


@contextmanager
def _open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """The opened container and its first stream of moving pictures."""
    av = media_library("av")
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as error:
        raise InputError(
            f"{path}: cannot be opened as a video: not one, or cut off while it was copied ({error.strerror})"
        ) from None
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            others = ", ".join(sorted({stream.type for stream in container.streams}))
            raise InputError(f"{path}: no moving pictures in it, {f'only {others}' if others else 'perhaps cut off'}")
        yield container, streams[0]


def _frame_rate(stream: Any) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _duration_s(container: Any, stream: Any) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / 1_000_000


def _frame_count(container: Any, stream: Any) -> int | None:
    if stream.frames:
        return int(stream.frames)
    duration, fps = _duration_s(container, stream), _frame_rate(stream)
    return None if duration is None or fps is None else max(1, round(duration * fps))


def _decode(path: Path) -> Iterator[Frame]:
    av = media_library("av")
    with _open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        fps = _frame_rate(stream) or 30.0
        index, start, time_s = 0, 0.0, 0.0
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt and packet.size:
                    raise _damaged(path, index, "its data is incomplete")
                for decoded in packet.decode():
                    stamp = decoded.time if decoded.time is not None else start + index / fps
                    if index == 0:
                        start = stamp
                    elif time_s - (stamp - start) > _BEGINS_ANEW_S:
                        start = stamp - time_s - 1 / fps
                    time_s = max(stamp - start, time_s + _REPEATED_S) if index else 0.0
                    yield Frame(index, time_s, upright(decoded, stream))
                    index += 1
        except av.error.FFmpegError as error:
            raise _damaged(path, index, error.strerror) from None
        if index == 0:
            raise InputError(f"{path}: no frame could be decoded")
        # A container states its length first: a copy that broke off decodes cleanly and then just ends.
        duration, expected = _duration_s(container, stream), stream.frames or None
        if duration is not None and (expected is None or index < expected):
            missing_s = duration - time_s
            if missing_s > max(3 / fps, 0.1 * duration if expected is None else 0.0):
                raise _damaged(path, index, f"the file ends {missing_s:.2f} s before the length that it states")


def _damaged(path: Path, index: int, why: str | None) -> InputError:
    return InputError(f"{path}: damaged or cut off at frame {index} ({why})")


def upright(decoded: Any, stream: Any) -> Image:
    """The (H, W, 3) RGB pixels of a frame that PyAV decoded from a stream: turned upright, with square pixels."""
    aspect = stream.sample_aspect_ratio or 1
    width = max(1, round(decoded.width * aspect))
    image: Image = decoded.to_ndarray(format="rgb24", width=width, height=decoded.height)
    turns = round(decoded.rotation / 90) % 4  # degrees anticlockwise that make the stored picture upright
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


class VideoWriter:
    """Write frames to an H.264 video (yuv420p), which takes its place when the block ends well.

    Use as a context manager. All frames have the first one's size; an odd width or height grows by one pixel, as
    H.264 in yuv420p has even sizes.

    Args:
        path: file to write, ``.mp4``, ``.mov`` or ``.mkv``.
        fps: frame rate, for frames that are written without a time.

    Raises:
        InputError: PyAV is missing, another suffix, a frame of another size, or the file cannot be written.
    """

    def __init__(self, path: str | Path, fps: float = 30.0) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in OUTPUT_SUFFIXES:
            raise InputError(f"{path}: videos are written as {', '.join(sorted(OUTPUT_SUFFIXES))}")
        if not fps > 0:
            raise InputError(f"{path}: frame rate must be positive, got {fps}")
        self.fps = fps
        self._av = media_library("av")
        self._stack = ExitStack()
        self._stream: Any = None
        self._size = (0, 0)
        self._count = itertools.count()
        self._last_stamp = -1

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self.path))
            stack.enter_context(self._errors())
            options = {} if self.path.suffix.lower() == ".mkv" else {"movflags": "faststart"}
            self._container = stack.enter_context(self._av.open(str(temporary), "w", options=options))
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, image: npt.ArrayLike, time_s: float | None = None) -> None:
        """Append one frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            time_s: when it is shown, later than the frame before; None: its number divided by `fps`.
        """
        array = np.asarray(image)
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
            raise InputError(f"{self.path}: a frame must be (H, W, 3) uint8, got {array.dtype} {array.shape}")
        if self._stream is None:
            self._add_stream(*array.shape[:2])
        if array.shape[:2] != self._size:
            raise InputError(f"{self.path}: frame of {array.shape[:2]} pixels in a video of {self._size}")
        height, width = self._size
        padded = np.pad(array, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        index = next(self._count)
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        stamp = round((index / self.fps if time_s is None else time_s) / _TIME_BASE)
        self._last_stamp = max(stamp, self._last_stamp + 1)
        frame.pts, frame.time_base = self._last_stamp, _TIME_BASE
        with self._errors():
            self._container.mux(self._stream.encode(frame))

    def _add_stream(self, height: int, width: int) -> None:
        self._size = (height, width)
        name = "libx264" if "libx264" in self._av.codecs_available else "h264"
        with self._errors():
            stream = self._container.add_stream(name, rate=Fraction(self.fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.codec_context.time_base = _TIME_BASE
        stream.options = {"crf": "20", "preset": "veryfast"} if name == "libx264" else {}
        self._stream = stream

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        if self._stream is None:
            raise InputError(f"{self.path}: no frame was written to the video")
        self._container.mux(self._stream.encode(None))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._av.error.FFmpegError as error:
            raise InputError(f"{self.path}: cannot write the video ({error.strerror or error})") from None
