"""Images and videos in and out. All media are made here."""

from __future__ import annotations

import gc
import subprocess
import sys
import wave
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.media import VideoWriter, expand_inputs, is_image, is_video, media_info, read_frames

av = pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")


def corner_marked(width: int, height: int, blue: int = 0) -> np.ndarray:
    """Dark, with a red square in the top-left corner."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = blue
    image[: height // 3, : width // 3] = 255, 0, 0
    return image


def is_red(pixel: np.ndarray) -> bool:
    return bool(pixel[0] > 150 and pixel[1] < 100 and pixel[2] < 100)


def write_clip(path: Path, times: list[float] | int = 12, width: int = 64, height: int = 48) -> Path:
    stamps = [i / 10 for i in range(times)] if isinstance(times, int) else times
    with VideoWriter(path, fps=10) as writer:
        for i, time in enumerate(stamps):
            writer.write(corner_marked(width, height, blue=i * 10), time)
    return path


def test_a_clip_is_read_back_frame_by_frame(tmp_path: Path) -> None:
    frames = list(read_frames(write_clip(tmp_path / "clip.mp4", 12)))
    assert [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(12) / 10, atol=1e-4)
    for i, frame in enumerate(frames):
        assert frame.image.shape == (48, 64, 3)
        assert frame.image.dtype == np.uint8
        assert is_red(frame.image[4, 4])
        assert abs(int(frame.image[40, 50, 2]) - i * 10) < 15


def test_info_of_a_clip(tmp_path: Path) -> None:
    info = media_info(write_clip(tmp_path / "clip.mp4", 12))
    assert (info.width, info.height, info.frames) == (64, 48, 12)
    assert info.fps == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_variable_frame_rate_keeps_its_time_stamps(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.1, 0.15, 0.5, 0.52, 1.3]
    frames = list(read_frames(write_clip(tmp_path / f"clip{suffix}", times)))
    np.testing.assert_allclose([frame.time_s for frame in frames], times, atol=1.1e-3)


def test_odd_sizes_grow_by_one_pixel(tmp_path: Path) -> None:
    frames = list(read_frames(write_clip(tmp_path / "clip.mp4", 3, width=33, height=27)))
    assert frames[0].image.shape == (28, 34, 3)
    assert is_red(frames[0].image[2, 2])


ROTATIONS = {  # tkhd matrix a, b, c, d -> where the stored picture's top-left corner is displayed
    "clockwise": ((0, 1, -1, 0), (0, -1)),
    "half": ((-1, 0, 0, -1), (-1, -1)),
    "anticlockwise": ((0, -1, 1, 0), (-1, 0)),
}


@pytest.mark.parametrize("turn", ROTATIONS)
def test_display_rotation_is_applied(tmp_path: Path, turn: str) -> None:
    path = write_clip(tmp_path / "clip.mp4", 3)
    (a, b, c, d), corner = ROTATIONS[turn]
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4")
    content[start : start + 36] = matrix.tobytes()
    path.write_bytes(content)
    image = next(read_frames(path)).image
    assert image.shape == ((48, 64, 3) if turn == "half" else (64, 48, 3))
    assert is_red(image[corner[0] * 5 if corner[0] else 4, corner[1] * 5 if corner[1] else 4])
    info = media_info(path)
    assert (info.height, info.width) == image.shape[:2]


def test_pixels_are_made_square(tmp_path: Path) -> None:
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(corner_marked(64, 48), format="rgb24")))
        container.mux(stream.encode(None))
    assert next(read_frames(path)).image.shape == (48, 128, 3)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_cut_off_names_file_and_frame(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"clip{suffix}"
    rng = np.random.default_rng(0)
    with VideoWriter(path, fps=10) as writer:  # faststart: the index comes first, as in most files from the web
        for _ in range(20):
            writer.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    seen: list[int] = []
    with pytest.raises(InputError, match=rf"clip{suffix}: damaged or cut off at frame \d+"):
        seen.extend(frame.index for frame in read_frames(path))
    assert len(seen) < 20


def test_a_file_without_its_index_cannot_be_opened(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="no moving pictures in it, perhaps cut off"):
        next(read_frames(path))


def test_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    with av.open(str(tmp_path / "sound.wav")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    with pytest.raises(InputError, match=r"sound\.mkv: no moving pictures in it, only audio"):
        next(read_frames(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "the file is empty"),
        ("empty.jpg", b"", "the file is empty"),
        ("text.mp4", b"not a video at all", "cannot be opened as a video"),
        ("text.png", b"not an image at all", "not an image that can be read"),
        ("notes.txt", b"hello", "neither an image nor a video by its name"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        list(read_frames(path))
    assert str(path) in str(error.value)
    with pytest.raises(InputError, match=message):
        media_info(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_frames(tmp_path / "nothing.mp4")
    with pytest.raises(InputError, match="not a file"):
        read_frames(tmp_path)


def test_an_image_is_one_frame(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    (frame,) = read_frames(tmp_path / "a.png")
    np.testing.assert_array_equal(frame.image, image)
    assert (frame.index, frame.time_s) == (0, 0.0)
    info = media_info(tmp_path / "a.png")
    assert (info.width, info.height, info.fps, info.frames) == (30, 20, None, 1)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    file = Image.fromarray(corner_marked(60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: turn clockwise to show
    file.save(tmp_path / "a.jpg", exif=exif)
    (frame,) = read_frames(tmp_path / "a.jpg")
    assert frame.image.shape == (60, 40, 3)
    assert is_red(frame.image[4, -5])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "I;16", "LA"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path: Path, mode: str) -> None:
    name = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(np.full((8, 9), 65535 // 2, np.uint16)).save(name)
    else:
        Image.new("RGB", (9, 8), (128, 128, 128)).convert(mode).save(name)
    (frame,) = read_frames(name)
    assert frame.image.shape == (8, 9, 3)
    assert frame.image.dtype == np.uint8
    assert abs(float(frame.image.mean()) - 128) < 8


def test_a_truncated_image(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"a\.jpg: cannot read the image"):
        read_frames(path)


def test_names() -> None:
    assert is_image("a/B.JPG")
    assert is_video(Path("x.MP4"))
    assert not is_image("x.mp4")
    assert not is_video("x.json")


def test_inputs_come_in_natural_order(tmp_path: Path) -> None:
    for name in ("frame10.png", "frame2.png", "frame1.png", "b.MP4", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub.png").mkdir()
    names = ["b.MP4", "frame1.png", "frame2.png", "frame10.png"]
    assert [path.name for path in expand_inputs(tmp_path)] == names
    assert [path.name for path in expand_inputs(str(tmp_path / "frame*"))] == names[1:]
    assert expand_inputs(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "shot[1].png").write_bytes(b"x")
    assert expand_inputs(tmp_path / "shot[1].png") == [tmp_path / "shot[1].png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent", "no such file or folder"), ("empty", "no image or video in this folder"), ("*.png", "matches")],
)
def test_inputs_that_are_not_there(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        expand_inputs(tmp_path / name)


def test_a_failed_video_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"), VideoWriter(path) as writer:  # noqa: PT012
        writer.write(corner_marked(64, 48))
        raise RuntimeError("stop")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_writer_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"written as \.mkv, \.mov, \.mp4"):
        VideoWriter(tmp_path / "out.avi")
    with pytest.raises(InputError, match="must be positive"):
        VideoWriter(tmp_path / "out.mp4", fps=0)
    with pytest.raises(InputError, match="no frame was written"), VideoWriter(tmp_path / "out.mp4"):
        pass
    with pytest.raises(InputError, match="frame of"), VideoWriter(tmp_path / "out.mp4") as writer:  # noqa: PT012
        writer.write(corner_marked(64, 48))
        writer.write(corner_marked(60, 48))
    with pytest.raises(InputError, match="uint8"), VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(np.zeros((4, 4, 3)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file size")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    program = f"""
import resource, signal, numpy as np
from nearfar.errors import InputError
from nearfar.media import VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rng = np.random.default_rng(0)
try:
    with VideoWriter({str(tmp_path / "out.mp4")!r}) as writer:
        for _ in range(60):
            writer.write(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8))
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "out.mp4: cannot write" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_frames_are_not_kept(tmp_path: Path) -> None:
    frames = read_frames(write_clip(tmp_path / "clip.mp4", 20))
    earlier = [weakref.ref(next(frames).image) for _ in range(19)]
    next(frames)
    gc.collect()
    assert sum(image() is not None for image in earlier) <= 1
