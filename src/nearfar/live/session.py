"""What happens to each frame: taken from the stream, lifted, and made ready for the page."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.live.following import Follower
from nearfar.live.newest import Newest
from nearfar.live.stream import Stream
from nearfar.media import Frame, media_library
from nearfar.poses import PoseSet

__all__ = ["Session", "joined"]

PICTURE_WIDTH = 640
"""Pixels of the longer side of the pictures that the page gets."""
STATUS_SECONDS = 1.0
"""How often the page hears of a stream from which nothing comes."""


class Session:
    """Lifts the newest frame of a stream, again and again, until the stream is closed.

    Args:
        stream: where frames come from.
        follower: finds and lifts people.
        keep: whether to keep all poses.

    Attributes:
        shown: the newest frame as the page gets it: JSON.
        poses: what was kept, a pose set for each frame with people in it.
        lifted: how many frames were looked at.
    """

    def __init__(self, stream: Stream, follower: Follower, *, keep: bool = False) -> None:
        self.stream, self.follower, self.keep = stream, follower, keep
        self.shown: Newest[bytes] = Newest()
        self.poses: list[PoseSet] = []
        self.lifted = 0

    def run(self) -> None:
        """Lift until the stream ends."""
        number = 0
        try:
            while not self.stream.newest.closed:
                arrival = self.stream.newest.after(number, STATUS_SECONDS)
                if arrival is None:
                    if self.stream.trouble is not None:
                        self.shown.put(_encoded({"trouble": self.stream.trouble}))
                    continue
                number, came = arrival
                image = came.image()
                poses = self.follower.follow(Frame(number - 1, came.time_s, image))
                self.lifted += 1
                if self.keep and poses is not None:
                    self.poses.append(poses)
                self.shown.put(
                    _encoded(
                        {
                            "frame": number - 1,
                            "time": came.time_s,
                            "size": [image.shape[1], image.shape[0]],
                            "dropped": number - self.lifted,
                            "delay": round(time.monotonic() - came.arrived_s, 3),
                            "picture": _jpeg(image),
                            **_people(poses),
                        }
                    )
                )
        finally:
            self.shown.close()


def joined(poses: list[PoseSet], source: str) -> PoseSet:
    """The poses of all frames in one set, person by person.

    Args:
        poses: of the frames, in order.
        source: where they are from, for their provenance.

    Raises:
        InputError: there are none.
    """
    if not poses:
        raise InputError(f"{source}: nobody was found, so there are no poses to write")
    names = (
        "keypoints",
        "scores",
        "joints",
        "root_position",
        "intrinsics",
        "image_size",
        "time",
        "frame_index",
        "person",
    )
    columns: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in poses]) for name in names}
    together = dataclasses.replace(
        poses[0],
        **columns,
        provenance={**poses[0].provenance, "media": source, "live": True},
    )
    return together.select(np.argsort(columns["person"], kind="stable"))


def _people(poses: PoseSet | None) -> dict[str, Any]:
    """Who is in a frame, flat and row-major; null is a missing number."""
    if poses is None:
        return {"people": []}
    arrays = {"joints": poses.joints, "roots": poses.root_position, "keypoints": poses.keypoints}
    numbers = {name: _numbers(array, 1) for name, array in arrays.items()}
    return {"people": np.asarray(poses.person).tolist(), **numbers, "scores": _numbers(poses.scores, 2)}


def _numbers(values: npt.NDArray[Any] | None, digits: int) -> list[float | None]:
    return [round(v, digits) if np.isfinite(v) else None for v in np.ravel(np.asarray(values)).tolist()]


def _jpeg(image: npt.NDArray[np.uint8]) -> str:
    picture = media_library("PIL.Image").fromarray(image)
    picture.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH), reducing_gap=2.0)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=75)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
