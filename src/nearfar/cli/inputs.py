"""What several commands read from the user's words."""

from __future__ import annotations

from nearfar.errors import InputError


def image_size(text: str) -> tuple[int, int]:
    """``1920x1080`` as (1920, 1080)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise InputError(f"image size: expected WIDTHxHEIGHT in pixels, such as 1920x1080, got {text!r}")
    return int(width), int(height)
