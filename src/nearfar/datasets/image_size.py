"""Width and height of JPEG and PNG files, from their headers."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

from nearfar.errors import InputError
from nearfar.files import check_file

__all__ = ["read_image_size"]

_PNG = b"\x89PNG\r\n\x1a\n"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's SOF markers (ITU T.81, table B.1); the three between them define tables."""


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image in pixels, as stored (EXIF's orientation is not looked at).

    Raises:
        InputError: no such file, or neither JPEG nor PNG.
    """
    try:
        with check_file(path).open("rb") as file:
            head = file.read(24)
            if head.startswith(_PNG) and head[12:16] == b"IHDR":
                width, height = struct.unpack(">II", head[16:24])
            elif head.startswith(b"\xff\xd8"):
                file.seek(2)
                width, height = _jpeg(file)
            else:
                raise InputError(f"{path}: neither a JPEG nor a PNG image")
    except OSError as error:
        raise InputError(f"{path}: cannot read ({error.strerror or error})") from None
    except (struct.error, IndexError):
        raise InputError(f"{path}: damaged image, it ends before its size") from None
    if not (0 < width < 1 << 20 and 0 < height < 1 << 20):
        raise InputError(f"{path}: damaged image, of {width} x {height} pixels")
    return width, height


def _jpeg(file: IO[bytes]) -> tuple[int, int]:
    """The size that the frame header says; segments before it are stepped over."""
    while True:
        if file.read(1) != b"\xff":
            raise struct.error
        marker = 0xFF
        while marker == 0xFF:  # fill bytes
            marker = file.read(1)[0]
        if marker in (0xD9, 0xDA):  # end, or start of the picture itself
            raise struct.error
        length = struct.unpack(">H", file.read(2))[0]
        if marker in _FRAME_HEADERS:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return width, height
        file.seek(length - 2, 1)
