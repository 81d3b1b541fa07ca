"""Files that no honest client sends, made here: name -> (endpoint, content)."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from nearfar.media import VideoWriter


def png(width: int, height: int, data: bytes, bits: int = 1) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def picture(form: str, size: tuple[int, int] = (320, 240), **options: Any) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, form, **options)
    return buffer.getvalue()


def video(folder: Path, frames: int = 12, fps: float = 12.0, suffix: str = ".mp4") -> bytes:
    path = folder / f"made{suffix}"
    with VideoWriter(path, fps=fps) as writer:
        for i in range(frames):
            writer.write(np.full((64, 96, 3), (i * 20) % 255, np.uint8))
    return path.read_bytes()


def audio(folder: Path) -> bytes:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("keypoints.npy", bytes(30_000_000))
    return buffer.getvalue()


def coco(**changes: Any) -> bytes:
    person = {"image_id": 1, "category_id": 1, "keypoints": [100.0, 100.0, 1.0] * 17, "score": 1.0} | changes
    return json.dumps([person]).encode()


def malformed(folder: Path) -> dict[str, tuple[str, bytes]]:
    folder.mkdir(exist_ok=True)
    jpeg, mp4, mkv = picture("JPEG"), video(folder), video(folder, suffix=".mkv")
    animation = io.BytesIO()
    grey = [Image.new("L", (40, 40), shade) for shade in (0, 100, 200)]
    grey[0].save(animation, "GIF", save_all=True, append_images=grey[1:])
    gif = animation.getvalue()
    zeros = zlib.compress(bytes(20_000 * 2501), 9)
    return {
        "nothing (image)": ("images", b""),
        "nothing (video)": ("videos", b""),
        "nothing (keypoints)": ("keypoints", b""),
        "truncated JPEG": ("images", jpeg[: len(jpeg) // 2]),
        "head of a JPEG": ("images", jpeg[:20]),
        "JPEG of noise": ("images", b"\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(4000)),
        "PNG that claims 20000 x 20000": ("images", png(20_000, 20_000, zlib.compress(b"\0"))),
        "PNG bomb of 20000 x 20000": ("images", png(20_000, 20_000, zeros)),
        "PNG that claims 2^31 pixels a side": ("images", png(2**31 - 1, 2**31 - 1, b"")),
        "PNG without a pixel": ("images", png(0, 0, b"")),
        "PNG with damaged data": ("images", png(100, 100, b"\x78\x9cnonsense")),
        "image of 1 x 1": ("images", picture("PNG", (1, 1))),
        "image of 1 x 3000": ("images", picture("PNG", (1, 3000))),
        "image of nobody": ("images", jpeg),
        "TIFF that points beyond its end": ("images", b"II*\0\xff\xff\xff\x7f" + bytes(100)),
        "WebP that lies about its length": ("images", b"RIFF\xff\xff\xff\x7fWEBPVP8 " + bytes(50)),
        "BMP of negative size": ("images", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, -5, -5, 1, 24, 0, 0, 0, 0, 0, 0)),
        "GIF as an image": ("images", gif),
        "GIF of nobody": ("videos", gif),
        "cut GIF": ("videos", gif[:30]),
        "zip bomb as an image": ("images", zip_bomb()),
        "zip bomb as a video": ("videos", zip_bomb()),
        "zip bomb as keypoints": ("keypoints", zip_bomb()),
        "text called a video": ("videos", b"this is not a video at all\n" * 100),
        "playlist": ("videos", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
        "scene list": ("videos", b"ffconcat version 1.0\nfile /etc/passwd\n"),
        "HTML": ("images", b"<!doctype html><script>alert(1)</script>"),
        "SVG": ("images", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        "video as an image": ("images", mp4),
        "image as a video": ("videos", jpeg),
        "truncated MP4": ("videos", mp4[: len(mp4) // 2]),
        "head of an MP4": ("videos", mp4[:40]),
        "MP4 of noise": ("videos", b"\0\0\0\x18ftypmp42" + np.random.default_rng(2).bytes(5000)),
        "truncated Matroska": ("videos", mkv[: len(mkv) // 2]),
        "Matroska without a frame": ("videos", mkv[: mkv.index(b"\x1f\x43\xb6\x75")]),
        "MPEG transport stream of noise": ("videos", (b"G" + bytes(187)) * 40),
        "sound only": ("videos", audio(folder)),
        "video of nobody": ("videos", mp4),
        "video of 100 s": ("videos", video(folder, frames=100, fps=1.0)),
        "keypoints: cut": ("keypoints", coco()[:50]),
        "keypoints: nested": ("keypoints", b"[" * 200_000),
        "keypoints: nested objects": ("keypoints", b'{"a":' * 100_000),
        "keypoints: a number of 10000 digits": ("keypoints", b"[" + b"9" * 10_000 + b"]"),
        "keypoints: NaN": ("keypoints", coco(keypoints=[float("nan")] * 51)),
        "keypoints: infinite": ("keypoints", b'[{"image_id": 1, "keypoints": [' + b",".join([b"1e999"] * 51) + b"]}]"),
        "keypoints: text": ("keypoints", coco(keypoints=["left", "right", "up"] * 17)),
        "keypoints: null": ("keypoints", coco(keypoints=None)),
        "keypoints: of 3 joints": ("keypoints", coco(keypoints=[1.0] * 9)),
        "keypoints: normalised": ("keypoints", coco(keypoints=[0.5, 0.5, 1.0] * 17)),
        "keypoints: all in one place, far out": ("keypoints", coco(keypoints=[1e300, 1e300, 1.0] * 17)),
        "keypoints: none": ("keypoints", b"[]"),
        "keypoints: no JSON": ("keypoints", b"{nonsense}"),
        "keypoints: not UTF-8": ("keypoints", b'["\xff\xfe"]'),
        "keypoints: another schema": ("keypoints", b'{"schema": "nearfar-poses-9", "poses": []}'),
        "keypoints: a skeleton that lies": (
            "keypoints",
            b'{"schema": "nearfar-poses-1", "frame": "root", "skeleton": {"name": "x", "joints": ["a"], "root": "b"}, "poses": [{}]}',
        ),
    }  # fmt: skip
