"""Videos as phones and programs write them, from the encoded file to keypoints and overlay: turned, uneven, odd, large.

What is found is compared with where the rectangles are in the upright picture, as a player shows it.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rectangles import Rectangles, scene

from nearfar.detection import detect_media
from nearfar.media import VideoWriter, media_info, read_frames
from nearfar.poses import PoseSet
from nearfar.viewing import embed, viewer_html, write_overlay
from nearfar.viewing.embed import embed_media

av = pytest.importorskip("av")

FRAMES = 16


def encode(
    path: Path, width: int, height: int, *, turn: int = 0, stamps: list[int] | None = None, pixels: str = "yuv444p"
) -> list[np.ndarray]:
    """Somebody who walks, upright when the stored picture is turned `turn` degrees anticlockwise; their boxes."""
    boxes = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        across = turn % 180 != 0
        stream.width, stream.height, stream.pix_fmt = (height, width, pixels) if across else (width, height, pixels)
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"preset": "ultrafast", "crf": "10"}
        for i in range(FRAMES):
            x, y, w, h = (round(v) for v in (width * (0.2 + 0.02 * i), height * 0.25, width * 0.15, height * 0.5))
            boxes.append(np.array([x, y, x + w, y + h]))
            upright = scene({2: (x, y, w, h)}, width, height)
            stored = np.ascontiguousarray(np.rot90(upright, -turn // 90))
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.pts, frame.time_base = (33 * i if stamps is None else stamps[i]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if turn:
        cos, sin = round(np.cos(np.deg2rad(turn))), round(np.sin(np.deg2rad(turn)))
        content = bytearray(path.read_bytes())
        start = content.index(b"tkhd") + 4 + 40  # the display matrix (ISO/IEC 14496-12, 8.3.2)
        matrix = np.array([cos << 16, -sin << 16, 0, sin << 16, cos << 16, 0, 0, 0, 1 << 30], ">i4")
        content[start : start + 36] = matrix.tobytes()
        path.write_bytes(content)
    return boxes


def check(path: Path, boxes: list[np.ndarray], width: int, height: int, tolerance: float) -> PoseSet:
    """The person is found in every frame where they are; the overlay has the picture's shape, and as many frames."""
    poses = detect_media(path, Rectangles(), progress=False)
    assert len(poses) == FRAMES
    np.testing.assert_array_equal(poses.image_size, np.tile([width, height], (FRAMES, 1)))
    middle = np.stack([(box[:2] + box[2:]) / 2 for box in boxes])
    assert np.abs(poses.keypoints[:, 0] - middle).max() <= tolerance
    write_overlay(poses, path, path.with_name("overlay.mp4"))
    info = media_info(path.with_name("overlay.mp4"))
    assert (info.width, info.height, info.frames) == (width + width % 2, height + height % 2, FRAMES)
    times = [frame.time_s for frame in read_frames(path.with_name("overlay.mp4"))]
    np.testing.assert_allclose(times, poses.time, atol=2e-3)
    return poses


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_phone(tmp_path: Path, turn: int) -> None:
    """Vertical video is stored lying, with a display matrix."""
    boxes = encode(tmp_path / "phone.mp4", 180, 320, turn=turn)
    assert any(frame.image.shape == (320, 180, 3) for frame in read_frames(tmp_path / "phone.mp4"))
    check(tmp_path / "phone.mp4", boxes, 180, 320, 3)


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    stamps = np.cumsum([0, *[20, 50, 33, 17, 90] * 3]).tolist()
    boxes = encode(tmp_path / "uneven.mkv", 320, 180, stamps=stamps)
    poses = check(tmp_path / "uneven.mkv", boxes, 320, 180, 3)
    np.testing.assert_allclose(poses.time, np.array(stamps) / 1000, atol=1e-3)


def test_time_stamps_that_are_repeated(tmp_path: Path) -> None:
    """As programs write them that record a screen: frames at the time of the one before."""
    stamps = (33 * np.arange(FRAMES)).tolist()
    stamps[6] = stamps[7] = stamps[5]
    with av.open(str(tmp_path / "again.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuvj420p"
        boxes = [np.array([60 + 3 * i, 30, 110 + 3 * i, 150]) for i in range(FRAMES)]
        for i, (x, y, *_) in enumerate(boxes):
            (packet,) = stream.encode(av.VideoFrame.from_ndarray(scene({2: (x, y, 50, 120)}, 320, 180), "rgb24"))
            packet.pts = packet.dts = stamps[i]
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)
    poses = check(tmp_path / "again.mkv", boxes, 320, 180, 3)
    assert (np.diff(poses.time) > 0).all()
    np.testing.assert_allclose(poses.time, np.array(stamps) / 1000, atol=1e-3)
    viewer_html(poses, media=tmp_path / "again.mkv")


def test_two_files_joined_to_one(tmp_path: Path) -> None:
    """The clock of a transport stream begins anew with each."""
    with av.open(str(tmp_path / "one.ts"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.options = 320, 180, "yuv420p", {"bf": "0"}
        for _ in range(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene({}, 320, 180), "rgb24")))
        container.mux(stream.encode())
    (tmp_path / "two.ts").write_bytes(2 * (tmp_path / "one.ts").read_bytes())
    times = [frame.time_s for frame in read_frames(tmp_path / "two.ts")]
    np.testing.assert_allclose(times, np.arange(120) / 30, atol=1e-3)


def test_odd_sizes(tmp_path: Path) -> None:
    boxes = encode(tmp_path / "odd.mkv", 321, 179)
    check(tmp_path / "odd.mkv", boxes, 321, 179, 3)


def test_4k(tmp_path: Path) -> None:
    boxes = encode(tmp_path / "large.mp4", 3840, 2160, pixels="yuv420p")
    poses = check(tmp_path / "large.mp4", boxes, 3840, 2160, 6)
    page = viewer_html(poses, media=tmp_path / "large.mp4")
    assert len(page) < 2_000_000  # frames are scaled down for the page


def test_one_frame_and_none(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "one.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(scene({2: (60, 30, 50, 120)}), format="rgb24")))
        container.mux(stream.encode())
    poses = detect_media(tmp_path / "one.mp4", Rectangles(), progress=False)
    assert len(poses) == 1
    np.testing.assert_allclose(poses.keypoints[0, 0], (85, 90), atol=2)


@pytest.mark.parametrize("fps", [5, 30])
def test_the_copy_of_a_long_clip_in_a_page_is_small(tmp_path: Path, fps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its frame rate; the ceiling is lowered here so that a few seconds are long."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 180, 320, 3), dtype=np.uint8)
    with VideoWriter(tmp_path / "noise.mp4", fps=fps) as writer:
        for image in noise:
            writer.write(image)
    whole = len(embed_media(tmp_path / "noise.mp4", np.arange(60)).data)
    monkeypatch.setattr(embed, "MAX_VIDEO_BYTES", whole // 4)
    assert len(embed_media(tmp_path / "noise.mp4", np.arange(60)).data) < 0.4 * whole
