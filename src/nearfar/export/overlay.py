"""Videos and pictures (.mp4, .mov, .mkv; .png, .jpg): keypoints drawn on the frames that they were found in."""

from __future__ import annotations

import re
from pathlib import Path

from nearfar.errors import InputError
from nearfar.files import replacing
from nearfar.poses import PoseSet

__all__ = ["write_pictures", "write_video"]

_NUMBER = re.compile(r"[^%]*%(0[1-9])?d[^%]*")


def write_video(poses: PoseSet, path: str | Path, *, media: str | Path) -> tuple[str, ...]:
    """Write a video of the frames with keypoints and a panel of the 3D poses (`nearfar.viewing.write_overlay`).

    Raises:
        InputError: as `write_overlay`, or the media is a still image.
    """
    from nearfar.media import is_image
    from nearfar.viewing import write_overlay

    if is_image(media):
        raise InputError(f"{path}: {media} is a still image: export it as .png or .jpg")
    write_overlay(poses, media, path)
    return ()


def write_pictures(poses: PoseSet, path: str | Path, *, media: str | Path) -> tuple[str, ...]:
    """Write the frames that have poses as one picture each, as `write_video` draws them; each whole or not at all.

    Args:
        poses: one clip, with keypoints; `frame_index` counts the frames of the media from 0.
        path: the files; in the name ``%d`` or ``%06d`` stands for the number of the frame. A still image needs none.
        media: the image or video that the poses were found in.

    Raises:
        InputError: no keypoints, several clips, a video and a name without ``%d``, media without the poses' frames, or
            files that cannot be written.
    """
    from PIL import Image
    from tqdm import tqdm

    from nearfar.media import is_image, media_info, read_frames
    from nearfar.viewing import write_overlay
    from nearfar.viewing.clip import clip_of
    from nearfar.viewing.overlay import draw_frame

    path = Path(path)
    if is_image(media):
        write_overlay(poses, media, path)
        return ()
    if not _NUMBER.fullmatch(path.name):
        raise InputError(f"{path}: a picture a frame needs the frame's number in the name, as in %06d{path.suffix}")
    if poses.keypoints is None:
        raise InputError("overlay: the poses have no 2D keypoints to draw")
    clip = clip_of(poses)
    row_of = {int(number): row for row, number in enumerate(clip.frame_index)}
    written = 0
    frames = tqdm(read_frames(media), "pictures", media_info(media).frames, unit="frame", leave=False, disable=None)
    for frame in frames:
        if (row := row_of.get(frame.index)) is None:
            continue
        with replacing(path.with_name(path.name % frame.index)) as temporary:
            picture = Image.fromarray(draw_frame(frame.image, clip, row))
            picture.save(temporary, compress_level=3, quality=92)  # PNG: as small as at 6, in a third of the time
        written += 1
        if written == len(row_of):
            break
    if not written:
        raise InputError(f"{media}: has none of the poses' frames ({min(row_of)}..{max(row_of)})")
    return (f"{written} pictures",)
