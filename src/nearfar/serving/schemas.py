"""What the service says, as OpenAPI describes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nearfar.serving.jobs import Job, Kind, State

__all__ = [
    "EXAMPLE_JOB",
    "EXAMPLE_KEYPOINTS",
    "EXAMPLE_POSES",
    "Failure",
    "JobList",
    "JobOut",
    "LimitsOut",
    "Problem",
    "Secret",
    "SessionOut",
    "problems",
]

EXAMPLE_JOB: dict[str, Any] = {
    "id": "0f3c2d5e8a914b7c9d6e1f2a3b4c5d6e",
    "kind": "video",
    "name": "walk.mp4",
    "state": "running",
    "stage": "finding people",
    "progress": 0.42,
    "jobs_before": 0,
    "created_at": "2026-01-01T12:00:00Z",
    "finished_at": None,
    "expires_at": None,
    "error": None,
    "result": None,
}

EXAMPLE_KEYPOINTS = [{
    "image_id": 1,
    "category_id": 1,
    "score": 0.9,
    "keypoints": [
        322, 105, 0.9, 330, 97, 0.9, 315, 98, 0.9, 345, 101, 0.8, 305, 103, 0.8, 367, 155, 0.9, 287, 158, 0.9, 389, 222,
        0.9, 270, 228, 0.9, 396, 284, 0.8, 262, 291, 0.8, 350, 290, 0.9, 302, 291, 0.9, 355, 380, 0.9, 297, 382, 0.9,
        358, 466, 0.9, 291, 468, 0.9,
    ],
}]  # fmt: skip
"""One person in COCO's form of results: x, y and score of 17 joints."""

EXAMPLE_POSES: dict[str, Any] = {
    "schema": "nearfar-poses-1",
    "skeleton": {"name": "h36m17", "joints": ["mid_hip", "right_hip", "..."], "root": "mid_hip"},
    "frame": "root",
    "unit": {"joints": "mm", "keypoints": "px", "time": "s"},
    "provenance": {"media": "image.jpg", "detector": "mediapipe", "intrinsics": "assumed: ..."},
    "poses": [
        {
            "person": 0,
            "frame_index": 0,
            "time": 0.0,
            "image_size": [1280, 720],
            "keypoints": [[641.2, 350.8], [623.0, 351.1]],
            "scores": [0.99, 0.98],
            "joints": [[0.0, 0.0, 0.0], [-128.4, 3.1, 12.9]],
        }
    ],
}


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid")


class Failure(Out):
    """Why a job failed."""

    status: int = Field(description="4xx: what was sent is why; 5xx: we are", examples=[422])
    detail: str = Field(examples=["walk.mp4: damaged or cut off at frame 31 (its data is incomplete)"])


class Result(Out):
    """What a job made."""

    poses: int = Field(description="rows: people times frames")
    lifted: int = Field(description="rows with 3D joints; the others are of frames in which the person was not found")
    people: int
    digest: str = Field(description="SHA-256 of poses.json; the same file and options always make the same")
    files: dict[str, int] = Field(description="names of the files under /v1/jobs/{id}/ and their bytes")


class JobOut(Out):
    """A job."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_JOB]})

    id: str
    kind: Kind
    name: str = Field(description="of the file, as the client calls it")
    state: State
    stage: str = Field(description="what a running job does now")
    progress: float = Field(description="share of the work that is done, 0 to 1")
    jobs_before: int = Field(description="jobs that stand before it in the queue")
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="when the job and what it made will be deleted")
    error: Failure | None
    result: Result | None

    @classmethod
    def of(cls, job: Job, *, stage: str, progress: float, jobs_before: int, keep_hours: float) -> JobOut:
        """What a client sees of a job."""
        ended = job.finished_at
        failed = job.state == "failed"
        return cls(
            id=job.id,
            kind=job.kind,
            name=job.name,
            state=job.state,
            stage=stage if job.state == "running" else "",
            progress=1.0 if job.state == "done" else progress if job.state == "running" else 0.0,
            jobs_before=jobs_before,
            created_at=_moment(job.created_at),
            finished_at=None if ended is None else _moment(ended),
            expires_at=None if ended is None else _moment(ended + 3600 * keep_hours),
            error=Failure(status=job.error_status or 500, detail=job.error or "") if failed else None,
            result=None if job.result is None else Result(**job.result),
        )


class JobList(Out):
    """Jobs, newest first."""

    jobs: list[JobOut]


class LimitsOut(Out):
    """What is taken on, and for whom."""

    owner: str = Field(description="name of the token")
    limits: dict[str, float]


class Problem(BaseModel):
    """What was wrong with a request."""

    detail: str
    job: str | None = Field(default=None, description="the job that failed, where there is one")


class Secret(BaseModel):
    """A token, or a code for one use."""

    secret: str = Field(min_length=1, max_length=100)


class SessionOut(Out):
    """The session of a page."""

    token: str = Field(description="to be shown as a bearer token")
    expires_at: datetime


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of refusals."""
    texts = {
        400: "the request was cut off, or cannot be read",
        401: "no token, or one that does not live",
        404: "no such job",
        408: "the file took too long to arrive",
        409: "not finished yet",
        410: "cancelled",
        413: "too large",
        415: "a file of another kind",
        422: "the file or an option is not what it should be; the text says what was expected",
        429: "too many requests, or too many of your jobs wait: see Retry-After",
        500: "an error of ours",
        503: "no room now: see Retry-After",
    }
    return {status: {"model": Problem, "description": texts[status]} for status in statuses}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
