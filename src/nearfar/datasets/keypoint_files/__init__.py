"""2D keypoints from other programs, as pose sets without joints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nearfar.datasets.c3d import is_c3d
from nearfar.datasets.keypoint_files import alphapose, arrays, coco, mediapipe, openpose
from nearfar.datasets.keypoint_files.records import Options
from nearfar.errors import InputError
from nearfar.files import check_file, open_npz, read_json, read_text
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = ["FORMATS", "keypoints_from_json", "load_keypoints", "sniff"]

FORMATS = (
    "COCO keypoints (annotations or results), OpenPose (a folder of *_keypoints.json, or one of them), AlphaPose "
    "results, MediaPipe landmarks, and with a skeleton .npy, .npz and CSV; data sets of "
    "`nearfar data list` are read by `nearfar data prepare`"
)
"""What `load_keypoints` reads, in words."""


def load_keypoints(
    path: str | Path,
    *,
    skeleton: str | Path | Skeleton | None = None,
    image_size: tuple[int, int] | None = None,
    person: int | None = None,
    fps: float = 30.0,
    one_clip: bool = False,
) -> PoseSet:
    """Read 2D keypoints that another program wrote; the format is told by content, not by name.

    Rows are ordered by sequence, person and frame, which `PoseSet.sequence`, `person` and `frame_index` say as far as
    the format does; where it does not say who is who, the people of a clip are followed through it, and person 0 is the
    one seen longest. Keypoints are float32 pixels. A joint at (0, 0) with score (or visibility) 0 is missing: NaN with
    score 0; so is NaN or null, and (0, 0) in files without scores. Scores beyond 1 become 1.

    Args:
        path: a file, or a folder of OpenPose's.
        skeleton: skeleton of the file's joints, in the file's order. Needed for bare numbers (.npy, .npz, CSV); the
            other formats know theirs by the number of joints, and this overrides it.
        image_size: width and height in pixels, where the file does not say it. MediaPipe's landmarks need it.
        person: keep this identity only.
        fps: frames a second, by which people are followed where the file does not say who is who.
        one_clip: the images of a COCO or AlphaPose file are the frames of one clip, in natural order of their names.

    Raises:
        InputError: nothing there, empty, cut off, a format not known (the message says what was found and what is
            known), a wrong or varying number of joints, infinite numbers, coordinates that are normalised already,
            nobody in it, or no such person.
    """
    path = Path(path)
    options = Options(None if skeleton is None else get_skeleton(skeleton), image_size, person, fps, one_clip)
    match sniff(path):
        case "folder":
            return openpose.folder(path, options)
        case "npy":
            return arrays.npy(path, options)
        case "npz":
            return arrays.npz(open_npz(path), path, options)
        case "json":
            return keypoints_from_json(read_json(path), path, options)
        case "c3d":
            raise InputError(f"{path}: a C3D file: 3D motion, not keypoints; it is read with a joint map")
        case "pickle":
            raise InputError(f"{path}: a Python pickle, perhaps of answers; known keypoint files are {FORMATS}")
        case "parquet":
            raise InputError(f"{path}: a Parquet table, perhaps of labels; known keypoint files are {FORMATS}")
        case _:
            return arrays.table(read_text(path), path, options)


_PICKLES = (b"(dp", b"}q", *(bytes([0x80, protocol]) for protocol in (2, 3, 4, 5)))
"""How pickles of a dict begin in protocols 0 and 1, and all pickles in the others."""


def sniff(path: Path) -> str:
    """What a path is by its first bytes.

    Returns:
        "folder", "npy", "npz" (any zip archive), "parquet", "pickle" (of a dict), "c3d", "json" or "text".

    Raises:
        InputError: nothing there, empty, or binary of another kind.
    """
    if path.is_dir():
        return "folder"
    try:
        with check_file(path).open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise InputError(f"{path}: cannot read ({error.strerror or error})") from None
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK"):
        return "npz"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(_PICKLES):
        return "pickle"
    if is_c3d(head):
        return "c3d"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise InputError(f"{path}: the file is empty")
    if b"\x00" in head:
        raise InputError(f"{path}: a binary file of a kind not known here; known are {FORMATS}")
    return "json" if text[:1] in (b"{", b"[") else "text"


def keypoints_from_json(data: Any, path: Path, options: Options) -> PoseSet:
    """Parsed JSON to poses, by the shape of the data."""
    if isinstance(data, dict) and "people" in data:
        return openpose.frame_file(data, path, options)
    if isinstance(data, dict) and "annotations" in data:
        return coco.annotation_file(data, path, options)
    if mediapipe.looks_like_frames(data):
        return mediapipe.frames(data, path, options)
    if data in ([], {}):
        raise InputError(f"{path}: an empty {'list' if isinstance(data, list) else 'object'}: nobody in it")
    first = data[0] if isinstance(data, list) else data
    if isinstance(data, list) and isinstance(first, dict) and {"image_id", "keypoints"} <= first.keys():
        read = coco.result_list if isinstance(first["image_id"], int) else alphapose.result_list
        return read(data, path, options)
    found = f"keys {sorted(map(str, first))[:8]}" if isinstance(first, dict) else f"a {type(first).__name__}"
    if isinstance(data, list):
        found = f"a list of {found}"
    raise InputError(f"{path}: JSON of a kind not known here ({found}); known are {FORMATS}")
