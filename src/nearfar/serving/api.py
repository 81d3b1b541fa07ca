"""The requests under /v1, and those about the service itself."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from nearfar.camera import check_intrinsics
from nearfar.errors import InputError
from nearfar.serving import access, jobs
from nearfar.serving.jobs import Job, Kind
from nearfar.serving.schemas import (
    EXAMPLE_KEYPOINTS,
    EXAMPLE_POSES,
    JobList,
    JobOut,
    LimitsOut,
    Secret,
    SessionOut,
    problems,
)
from nearfar.serving.service import Service
from nearfar.serving.worker import POSES, VIEW
from nearfar.skeleton import get_skeleton
from nearfar.web.protection import address_of

__all__ = ["router"]

router = APIRouter()
bearer = HTTPBearer(auto_error=False, description="A token: `nearfar tokens create NAME`, or that of a page's session")

LONGEST_WAIT = 55.0
"""Seconds that a request may wait: proxies often give up after a minute."""


def service_of(request: Request) -> Service:
    """The service of the application."""
    service: Service = request.app.state.service
    return service


def current_owner(request: Request, shown: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> str:
    """Whose token the request shows.

    Raises:
        HTTPException: 401 without one that lives; 429 for an address that showed too many of those.
    """
    if shown is not None:
        owner = access.owner_of(service_of(request).store, shown.credentials, time.time())
        if owner is not None:
            return owner
        if wait := request.app.state.guesses.take(address_of(request.scope)):
            raise HTTPException(429, "too many unknown tokens", {"Retry-After": str(math.ceil(wait))})
    raise HTTPException(401, "show a token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"})


Serving = Annotated[Service, Depends(service_of)]
Owner = Annotated[str, Depends(current_owner)]
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["0f3c2d5e8a914b7c9d6e1f2a3b4c5d6e"])]
Name = Annotated[str, Query(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", description="what the file is called")]
People = Annotated[int, Query(ge=1, le=100, description="how many people at most: those found in most frames")]
Wait = Annotated[
    float,
    Query(
        ge=0, le=LONGEST_WAIT, description="seconds to wait for the poses; after them, and for 0, the answer is the job"
    ),
]
Intrinsics = Annotated[
    str | None,
    Query(max_length=200, description="fx,fy,cx,cy in pixels, where they are known", examples=["1200,1200,640,360"]),
]
ImageSize = Annotated[
    str | None,
    Query(pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$", description="WIDTHxHEIGHT in pixels", examples=["1280x720"]),
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern="^[\x21-\x7e]{1,200}$",
        description="your own name for this request: sent again, it is the same job, not another one",
    ),
]
REFUSED = problems(400, 401, 408, 413, 415, 422, 429, 503)
QUEUED: dict[int | str, dict[str, Any]] = {202: {"model": JobOut, "description": "the job, which is not finished yet"}}
LIFTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "the poses", "content": {"application/json": {"example": EXAMPLE_POSES}}}
}


def _body(kinds: list[str], example: Any = None) -> dict[str, Any]:
    """OpenAPI's description of a body that is the file itself."""
    if example is not None:
        content: dict[str, Any] = {"application/json": {"schema": {}, "example": example}}
    else:
        content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/v1/images",
    response_model=None,
    responses=LIFTED | QUEUED | REFUSED,
    openapi_extra=_body(["image/jpeg", "image/png", "image/webp", "image/tiff", "image/bmp"]),
)
async def lift_image(
    request: Request, service: Serving, owner: Owner, people: People = 1, intrinsics: Intrinsics = None,
    name: Name = "image", wait: Wait = 30.0, key: Key = None,
) -> Response:  # fmt: skip
    """Lift the people in an image, the body of the request: their poses, or the job where it takes longer."""
    options = _options(service, people, intrinsics)
    return await _lift(request, service, owner, "image", name, options, key, wait)


@router.post(
    "/v1/videos",
    response_model=None,
    status_code=202,
    responses=QUEUED | REFUSED,
    openapi_extra=_body(["video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "image/gif"]),
)
async def lift_video(
    request: Request, service: Serving, owner: Owner, people: People = 1, intrinsics: Intrinsics = None,
    name: Name = "video", key: Key = None,
) -> Response:  # fmt: skip
    """Queue a video, the body of the request, for its people to be found, followed and lifted."""
    options = _options(service, people, intrinsics)
    job = await service.take(request, "video", owner, name or "video", options, key)
    return await run_in_threadpool(_accepted, service, job)


@router.post(
    "/v1/keypoints",
    response_model=None,
    responses=LIFTED | QUEUED | REFUSED,
    openapi_extra=_body([], EXAMPLE_KEYPOINTS),
)
async def lift_keypoints(
    request: Request, service: Serving, owner: Owner,
    skeleton: Annotated[str | None, Query(max_length=50, description="where the file does not say it")] = None,
    image_size: ImageSize = None,
    intrinsics: Intrinsics = None, name: Name = "keypoints", wait: Wait = 30.0, key: Key = None,
) -> Response:  # fmt: skip
    """Lift 2D keypoints: the body is JSON of nearfar, COCO, OpenPose, AlphaPose or MediaPipe."""
    options = _options(service, None, intrinsics)
    if skeleton is not None:
        # A name, never a path: `get_skeleton` reads files, too.
        if not skeleton.isidentifier():
            raise HTTPException(422, f"skeleton: expected a name, got {skeleton!r}")
        try:
            options["skeleton"] = get_skeleton(skeleton).name
        except InputError as error:
            raise HTTPException(422, str(error)) from None
    if image_size is not None:
        options["image_size"] = [int(side) for side in image_size.split("x")]
    return await _lift(request, service, owner, "keypoints", name, options, key, wait)


@router.get("/v1/jobs", responses=problems(401, 422, 429))
def show_jobs(service: Serving, owner: Owner, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> JobList:
    """Your latest jobs."""
    return JobList(jobs=[service.shown(job) for job in jobs.list_jobs(service.store, owner, limit)])


@router.get("/v1/jobs/{job_id}", responses=problems(401, 404, 422, 429))
async def show_job(
    service: Serving, owner: Owner, job_id: JobId,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="seconds to wait for its end")] = 0.0,
) -> JobOut:  # fmt: skip
    """Where a job stands."""
    job = await service.settled(owner, job_id, wait)
    if job is None:
        raise HTTPException(404, "no such job")
    return await run_in_threadpool(service.shown, job)


@router.post("/v1/jobs/{job_id}/cancel", responses=problems(401, 404, 422, 429))
def cancel_job(service: Serving, owner: Owner, job_id: JobId) -> JobOut:
    """Cancel a job that is not finished. One that is stays as it is."""
    job = jobs.cancel(service.store, owner, job_id, time.time())
    if job is None:
        raise HTTPException(404, "no such job")
    service.waiting.announce(job_id)
    return service.shown(job)


@router.delete("/v1/jobs/{job_id}", status_code=204, responses=problems(401, 404, 422, 429))
def delete_job(service: Serving, owner: Owner, job_id: JobId) -> Response:
    """Delete a job, what was sent and what was made; one that runs is cancelled."""
    if not jobs.delete(service.store, owner, job_id):
        raise HTTPException(404, "no such job")
    service.waiting.announce(job_id)
    return Response(status_code=204)


MADE = problems(401, 404, 409, 410, 413, 422, 429, 500)


@router.get("/v1/jobs/{job_id}/poses.json", response_model=None, responses=LIFTED | MADE)
def show_poses(service: Serving, owner: Owner, job_id: JobId) -> Response:
    """The poses, as JSON."""
    return _made(service, owner, job_id, POSES, "application/json")


@router.get(
    "/v1/jobs/{job_id}/poses.npz",
    response_class=Response,
    responses=MADE | {200: {"content": {"application/octet-stream": {}}, "description": "a pose set"}},
)
def show_arrays(service: Serving, owner: Owner, job_id: JobId) -> Response:
    """The poses, as arrays: `nearfar.PoseSet.load` reads them, and numpy."""
    return _made(service, owner, job_id, "poses.npz", "application/octet-stream")


@router.get(
    "/v1/jobs/{job_id}/view.html",
    response_class=Response,
    responses=MADE | {200: {"content": {"text/html": {}}, "description": "a page that opens offline"}},
)
def show_view(service: Serving, owner: Owner, job_id: JobId) -> Response:
    """The 3D viewer: one HTML file, with the picture in it."""
    response = _made(service, owner, job_id, VIEW, "text/html; charset=utf-8")
    # Never run as a page of ours: it holds what a stranger sent.
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


@router.get("/v1/limits", responses=problems(401, 429))
def show_limits(service: Serving, owner: Owner) -> LimitsOut:
    """What is taken on, and whose token this is."""
    return LimitsOut(owner=owner, limits=asdict(service.limits))


@router.post("/v1/sessions", responses=problems(401, 422, 429))
def start_session(service: Serving, body: Secret) -> SessionOut:
    """Sign a page in for twelve hours, with a code of a link (which is used up) or with a token."""
    session = access.start_session(service.store, body.secret, time.time())
    if session is None:
        raise HTTPException(401, "this code or token is not valid (any more)", {"WWW-Authenticate": "Bearer"})
    return SessionOut(token=session[0], expires_at=datetime.fromtimestamp(session[1], UTC))


@router.delete("/v1/sessions", status_code=204, responses=problems(401, 429))
def end_session(
    service: Serving, _owner: Owner, shown: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]
) -> Response:
    """Sign a page out."""
    access.end_session(service.store, shown.credentials)
    return Response(status_code=204)


@router.get("/health/live")
def show_live() -> dict[str, str]:
    """Whether the server answers. Open to everybody."""
    return {"status": "ok"}


@router.get("/health/ready", responses=problems(503))
def show_ready(service: Serving) -> dict[str, str]:
    """Whether jobs are done now: the database answers, a worker is there, and disk space. Open to everybody."""
    if not service.is_ready():
        raise HTTPException(503, "no worker is ready, or the disk is full", {"Retry-After": "5"})
    return {"status": "ok"}


@router.get("/metrics", response_class=Response, responses=problems(401, 429))
def show_metrics(service: Serving, _owner: Owner) -> Response:
    """Figures in Prometheus' text format."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/openapi.json", response_model=None, include_in_schema=False)
def show_openapi(request: Request, _owner: Owner) -> Response:
    """This description."""
    return JSONResponse(request.app.openapi())


def _options(service: Service, people: int | None, intrinsics: str | None) -> dict[str, Any]:
    """What a job is done with.

    Raises:
        HTTPException: 422, more people than are taken, or bad intrinsics.
    """
    options: dict[str, Any] = {}
    if people is not None:
        if people > service.limits.people:
            raise HTTPException(422, f"people: up to {service.limits.people} are taken, got {people}")
        options["people"] = people
    if intrinsics is not None:
        try:
            values = [float(part) for part in intrinsics.split(",")]
            options["intrinsics"] = check_intrinsics(values).tolist()
            if len(values) != 4:
                raise ValueError
        except ValueError:  # InputError is one
            raise HTTPException(422, f"intrinsics: expected fx,fy,cx,cy in pixels, got {intrinsics!r}") from None
    return options


async def _lift(
    request: Request, service: Service, owner: str, kind: Kind, name: str, options: dict[str, Any], key: str | None,
    wait: float,
) -> Response:  # fmt: skip
    """Take a job and wait a while for what it makes."""
    job = await service.take(request, kind, owner, name or kind, options, key)
    settled = await service.settled(owner, job.id, wait)
    if settled is None or settled.state == "cancelled":
        raise HTTPException(410, "the job was cancelled")
    if not settled.finished or wait == 0:  # who does not wait gets one kind of answer, however quick the worker is
        return await run_in_threadpool(_accepted, service, settled)
    response = await run_in_threadpool(_made, service, owner, job.id, POSES, "application/json")
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return response


def _accepted(service: Service, job: Job) -> Response:
    content = service.shown(job).model_dump(mode="json")
    return JSONResponse(content, 202, {"Location": f"/v1/jobs/{job.id}"})


def _made(service: Service, owner: str, job_id: str, file: str, media_type: str) -> Response:
    """A file that a job made.

    Raises:
        HTTPException: 404 no such job or file, 409 not finished, 410 cancelled, or as the job failed.
    """
    job = jobs.find_job(service.store, owner, job_id)
    if job is None:
        raise HTTPException(404, "no such job")
    if job.state == "cancelled":
        raise HTTPException(410, "the job was cancelled")
    if job.state == "failed":
        raise HTTPException(job.error_status or 500, job.error or "failed", {"Location": f"/v1/jobs/{job.id}"})
    if not job.finished:
        raise HTTPException(409, f"the job is {job.state}", {"Retry-After": "1"})
    path = service.store.result_of(job.id) / file
    if job.result is None or file not in job.result["files"] or not path.is_file():
        raise HTTPException(404, f"the job has no {file}")
    return FileResponse(path, media_type=media_type, filename=file)
