"""The pages of admins and viewers: numbers, pairs, exports, settings. Viewers may look; admins may change pairs too."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Response
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from nearfar.annotation import browsing, statistics
from nearfar.annotation.browsing import Show
from nearfar.annotation.exchange import Format, export_answers
from nearfar.annotation.projects.crops import crop_jpeg, find_crop
from nearfar.annotation.queue import overrides
from nearfar.annotation.statistics import Hour, TimeBin
from nearfar.annotation.web import admin_people
from nearfar.annotation.web.admin_base import LARGEST, AtDesk, Id, read_cursor, write_cursor
from nearfar.annotation.web.charts import Chart, bar_chart
from nearfar.annotation.web.security import require
from nearfar.errors import InputError

__all__ = ["router"]

router = APIRouter()
looking = APIRouter(prefix="/admin", dependencies=[Depends(require("viewer"))])
changing = APIRouter(prefix="/admin", dependencies=[Depends(require("admin"))])

EXPORTS: Mapping[Format, tuple[str, str]] = {
    "parquet": (".parquet", "application/vnd.apache.parquet"),
    "csv": (".csv", "text/csv; charset=utf-8"),
    "jsonl": (".jsonl", "application/jsonl; charset=utf-8"),
    "crowd-kit": (".crowd-kit.csv", "text/csv; charset=utf-8"),
}
"""Ending and media type of what is exported."""

PoseId = Annotated[int, InPath(ge=0, lt=LARGEST)]
Joint = Annotated[str | None, Query(max_length=200)]


@looking.get("")
def show_dashboard(desk: AtDesk) -> Response:
    """How far the project is, and how well it goes."""
    settings, now = desk.project.settings, time.time()
    with desk.engine.connect() as connection:
        board = statistics.dashboard(connection, settings, now)
        failures = statistics.gold_failures(connection, most=5)
        at_work = browsing.at_work(connection, now)
        pairs = browsing.get_pairs(connection, {failure.pair_id for failure in failures})
    return desk.page(
        "dashboard.html",
        board=board,
        settings=settings,
        hours=_hours_chart(board.hours),
        times=_times_chart(board.times, desk.text("admin.longer")),
        failures=failures,
        at_work=at_work,
        pairs=pairs,
        shown=desk.shown(list(pairs.values())),
    )


@looking.get("/pairs")
def show_pairs(desk: AtDesk, show: Show = "disputed", joint: Joint = None, after: str | None = None) -> Response:
    """Pairs with their images and votes."""
    names = desk.project.skeleton.joints
    number = names.index(joint) if joint in names else None
    with desk.engine.connect() as connection:
        pairs, end = browsing.browse(connection, show, joint=number, after=read_cursor(after))
        votes = browsing.votes(connection, [pair.id for pair in pairs])
    shown_joint = "" if number is None else joint
    query = urlencode({"show": show, "joint": shown_joint, "after": write_cursor(end)}) if end else ""
    return desk.page(
        "pairs.html",
        pairs=pairs,
        votes=votes,
        shown=desk.shown(pairs),
        show=show,
        joint=shown_joint,
        joints=[(name, desk.words(name)) for name in names],
        more=f"/admin/pairs?{query}" if end else None,
    )


@looking.get("/pairs/{pair_id}")
def show_pair(desk: AtDesk, pair_id: Id) -> Response:
    """One pair, everything that was said of it, and what an admin can do about it."""
    with desk.engine.connect() as connection:
        try:
            pair = browsing.get_pair(connection, pair_id)
        except InputError as error:
            return desk.problem(error, "/admin/pairs")
        votes = browsing.votes(connection, [pair_id])[pair_id]
        comments, _ = browsing.comments(connection, pair_id=pair_id)
    return desk.page("pair.html", pair=pair, votes=votes, comments=comments, marked=desk.shown([pair])[pair_id])


@changing.post("/pairs/{pair_id}/more")
def ask_more(desk: AtDesk, pair_id: Id, more: Annotated[int, Form(ge=1, le=100)]) -> Response:
    """Ask more people."""
    return desk.act(overrides.ask_more, pair_id, more, then=f"/admin/pairs/{pair_id}")


@changing.post("/pairs/{pair_id}/close")
def close(desk: AtDesk, pair_id: Id) -> Response:
    """Ask nobody any more."""
    return desk.act(overrides.close, pair_id, then=f"/admin/pairs/{pair_id}")


@changing.post("/pairs/{pair_id}/reopen")
def reopen(desk: AtDesk, pair_id: Id) -> Response:
    """Ask again."""
    return desk.act(overrides.reopen, pair_id, then=f"/admin/pairs/{pair_id}")


@changing.post("/pairs/{pair_id}/gold")
def make_gold(
    desk: AtDesk,
    pair_id: Id,
    truth: Annotated[Literal["-1", "0", "1"], Form()],
    explanation: Annotated[str, Form()] = "",
) -> Response:
    """Use the pair as a hidden question whose answer is known."""
    return desk.act(overrides.make_gold, pair_id, int(truth), explanation, then=f"/admin/pairs/{pair_id}")


@looking.get("/images/{pose_id}")
def show_image(desk: AtDesk, pose_id: PoseId) -> Response:
    """The crop of a pose."""
    with desk.engine.connect() as connection:
        crop = find_crop(connection, pose_id)
    if crop is None:
        raise HTTPException(404, "no such picture")
    try:
        picture = crop_jpeg(desk.project, crop)
    except InputError:
        raise HTTPException(404, "the picture is gone") from None
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


@looking.get("/export")
def show_exports(desk: AtDesk) -> Response:
    """What can be taken along."""
    return desk.page("export.html", forms=list(EXPORTS))


@looking.get("/export/{form}")
def export(desk: AtDesk, form: Format, names: bool = False) -> Response:
    """All answers as a file; with people's names and workers' ids for admins alone."""
    person = desk.session.person
    if names and person.role != "admin":
        raise HTTPException(403, "names are for admins")
    if wait := desk.request.app.state.exports.take(""):
        raise HTTPException(429, "too many exports", {"Retry-After": str(math.ceil(wait))})
    folder = TemporaryDirectory(prefix="nearfar-export-")
    path = Path(folder.name) / "answers"
    try:
        export_answers(desk.project, path, form=form, names=names)
    except InputError as error:
        folder.cleanup()
        return desk.problem(error, "/admin/export")
    desk.log("exported", form, names=str(names))
    ending, media_type = EXPORTS[form]
    name = re.sub(r"[^A-Za-z0-9]+", "-", desk.project.title).strip("-") or "project"
    headers = {
        "Content-Disposition": f'attachment; filename="{name[:80]}-answers{ending}"',
        "Content-Length": str(path.stat().st_size),
    }
    return StreamingResponse(_read(folder, path), media_type=media_type, headers=headers)


def _read(folder: TemporaryDirectory[str], path: Path) -> Iterator[bytes]:
    with folder, path.open("rb") as file:
        while chunk := file.read(1 << 16):
            yield chunk


@looking.get("/settings")
def show_settings(desk: AtDesk) -> Response:
    """How the project asks; it is changed in project.toml."""
    settings = desk.project.settings
    values = [(field.name, getattr(settings, field.name)) for field in dataclasses.fields(settings)]
    skeleton = desk.project.skeleton
    return desk.page(
        "settings.html", values=values, skeleton=skeleton, joints=[desk.words(name) for name in skeleton.joints]
    )


def _hours_chart(hours: Sequence[Hour]) -> Chart:
    labels = [datetime.fromtimestamp(hour.start, UTC).strftime("%H:00") for hour in hours]
    return bar_chart(labels, [hour.answers for hour in hours])


def _times_chart(times: Sequence[TimeBin], longer: str) -> Chart:
    """Response times, without the empty bins at both ends."""
    filled = [i for i, one in enumerate(times) if one.answers]
    some = times[filled[0] : filled[-1] + 1] if filled else times[:0]
    labels = [longer if one.end_ms is None else f"{one.end_ms / 1000:.2g} s" for one in some]
    return bar_chart(labels, [one.answers for one in some])


for part in (looking, changing, admin_people.router):
    router.include_router(part)
