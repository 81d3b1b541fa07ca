"""What the service takes on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from nearfar.errors import InputError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What the service takes on, and how long it keeps it.

    Attributes:
        image_mb: largest image file.
        video_mb: largest video file.
        keypoints_mb: largest keypoints file.
        megapixels: largest picture, and largest frame of a video.
        video_seconds: longest video.
        video_frames: most frames of a video, whatever it says of its length.
        poses: most poses of a keypoints file.
        people: most people of one job.
        queue_length: jobs that wait, of everybody; more are refused (503).
        queue_length_each: jobs that wait or run, of one client; more are refused (429).
        uploads: files received at once; more are refused (503).
        upload_seconds: the time that an upload may take.
        job_seconds: the time that a job may take; its worker is ended then.
        worker_mb: memory of a worker, models included.
        keep_hours: how long results are kept; then they are deleted.
        free_mb: disk space that must be left for a job to be taken (else 503).
    """

    image_mb: float = 20.0
    video_mb: float = 100.0
    keypoints_mb: float = 10.0
    megapixels: float = 40.0
    video_seconds: float = 60.0
    video_frames: int = 3600
    poses: int = 20_000
    people: int = 10
    queue_length: int = 200
    queue_length_each: int = 20
    uploads: int = 16
    upload_seconds: float = 120.0
    job_seconds: float = 900.0
    worker_mb: float = 4096.0
    keep_hours: float = 24.0
    free_mb: float = 500.0

    def check(self) -> None:
        """Refuse limits that let nothing through.

        Raises:
            InputError: a limit that is not a positive, finite number.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise InputError(f"--{field.name.replace('_', '-')}: expected a number above 0, got {value:g}")
