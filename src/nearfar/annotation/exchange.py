"""Answers out of a project: streamed, so that ten million take no more memory than a few."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, Row, select

from nearfar.annotation import schema
from nearfar.annotation.projects.project import Project
from nearfar.annotation.quality import qualities
from nearfar.errors import InputError
from nearfar.files import replacing
from nearfar.labels import RelativeLabels
from nearfar.tables.crowdkit import write_crowdkit_csv
from nearfar.tables.labels import label_header, write_labels_csv
from nearfar.tables.labels_jsonl import write_labels_jsonl

__all__ = ["Answers", "Format", "export_answers", "iter_answers"]

Array = npt.NDArray[Any]
Format = Literal["parquet", "csv", "jsonl", "crowd-kit"]

ROWS = 50_000
"""Answers held in memory at a time."""

_CHOICES = {"a": -1, "b": 1, "same": 0, "unsure": 0}


@dataclass(frozen=True, eq=False)
class Answers:
    """Some answers.

    Attributes:
        labels: the answers as all of nearfar knows them. Joint a is the one that was asked first (A), so that its order
            is known; `annotator` is a pseudonym such as "person-12", or the name; `task` is the task; `assignment` the
            task, or the platform's assignment where names are told; `status` is "good", "flagged" or "blocked", of the
            person; `response_time` is in seconds; `source_id` is unique to the answer.
        extra: further columns of Parquet files: `purpose` ("work", or "gold" with a known answer), `truth` (NaN where
            not known; -1: joint a is nearer), `left` ("a" or "b": which button was on the left), `platform`,
            `revision` (1 unless the answer was changed), `answered_at` by the browser's clock and `received_at` by the
            server's, seconds since 1970.
    """

    labels: RelativeLabels
    extra: dict[str, Array]


def export_answers(
    project: Project, path: str | Path, *, form: Format | None = None, names: bool = False, rows: int = ROWS
) -> int:
    """Write all answers that count to pairs of work and gold, whole or not at all.

    Answers that were taken back are left out, and those of practice and test; blocked people's are in, by their status.

    Args:
        project: an opened project.
        path: the file.
        form: of the file; by default what its name ends with: ``.parquet``, ``.csv`` or ``.jsonl``.
        names: tell people's names, workers' ids and assignments, instead of pseudonyms.
        rows: answers held in memory at a time.

    Returns:
        How many answers were written.

    Raises:
        InputError: an unknown ending, there are no answers, or the file cannot be written.
    """
    path = Path(path)
    forms: dict[str, Format] = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}
    chosen = form or forms.get(path.suffix.lower())
    if chosen is None:
        raise InputError(f"{path}: expected a name ending in {', '.join(forms)}")
    count = 0

    def counted() -> Iterator[Answers]:
        nonlocal count
        for part in iter_answers(project, names=names, rows=rows):
            count += len(part.labels)
            yield part
        if not count:
            raise InputError(f"{project.folder}: no answers yet")

    if chosen == "parquet":
        _write_parquet(counted(), path)
    elif chosen == "jsonl":
        write_labels_jsonl((part.labels for part in counted()), path)
    else:
        _write_csv((part.labels for part in counted()), path, crowdkit=chosen == "crowd-kit")
    return count


def iter_answers(project: Project, *, names: bool = False, rows: int = ROWS) -> Iterator[Answers]:
    """The answers that `export_answers` writes, in parts, in the order in which they were asked."""
    with project.engine.connect() as connection:
        people = _people(project, connection, names=names)
        visit = schema.visit.c
        visits = select(visit.task_id, visit.assignment_id).where(visit.task_id.is_not(None))
        assignments: dict[int, str] = (
            {row.task_id: row.assignment_id for row in connection.execute(visits)} if names else {}
        )
    provenance = {
        "project": project.title,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "annotators": "names" if names else "pseudonyms",
    }
    last = 0
    while True:
        with project.engine.connect() as connection:  # a new one each time: SQLite's log grows while somebody reads
            found = connection.execute(_query(last, rows)).all()
        if not found:
            return
        last = found[-1].id
        yield _answers(found, project, people, assignments, provenance)


@dataclass(frozen=True)
class _Who:
    name: str
    status: str
    platform: str


def _people(project: Project, connection: Connection, *, names: bool) -> dict[int, _Who]:
    flagged = {one.person_id for one in qualities(connection, project.settings) if one.flags}
    person = schema.person.c
    columns = (person.id, person.name, person.platform, person.external_id, person.blocked_at)
    return {
        row.id: _Who(
            (row.external_id or row.name) if names else f"person-{row.id}",
            "blocked" if row.blocked_at is not None else "flagged" if row.id in flagged else "good",
            row.platform,
        )
        for row in connection.execute(select(*columns))
    }


def _query(after: int, rows: int) -> Any:
    question, answer, task, pair = schema.question, schema.answer, schema.task, schema.pair
    last = (answer.c.question_id == question.c.id) & (answer.c.revision == question.c.revision)
    return (
        select(
            question.c.id, question.c.person_id, question.c.task_id, question.c.swapped, question.c.choice,
            question.c.revision, task.c.a_left, pair.c.pose_id, pair.c.joint_a, pair.c.joint_b, pair.c.purpose,
            pair.c.truth, answer.c.key, answer.c.response_ms, answer.c.answered_at, answer.c.received_at,
        )
        .join_from(question, answer, last)
        .join(task, task.c.id == question.c.task_id)
        .join(pair, pair.c.id == question.c.pair_id)
        .where(question.c.id > after, question.c.state == "answered", pair.c.purpose.in_(("work", "gold")))
        .order_by(question.c.id)
        .limit(rows)
    )  # fmt: skip


def _answers(
    found: Sequence[Row[Any]],
    project: Project,
    people: Mapping[int, _Who],
    assignments: Mapping[int, str],
    provenance: dict[str, Any],
) -> Answers:
    column = dict(zip(found[0]._fields, zip(*found, strict=True), strict=True))
    who = [people.get(id_) or _Who(f"person-{id_}", "good", "invited") for id_ in column["person_id"]]
    swapped = np.array(column["swapped"], bool)
    joints = np.stack([np.array(column["joint_a"]), np.array(column["joint_b"])], axis=1)
    labels = RelativeLabels(
        project.skeleton,
        np.array(column["pose_id"], np.int64),
        np.where(swapped[:, None], joints[:, ::-1], joints).astype(np.int64),
        np.array([_CHOICES[choice] for choice in column["choice"]], np.int8),
        annotator=np.array([one.name for one in who], np.str_),
        unsure=np.array(column["choice"]) == "unsure",
        response_time=np.array(column["response_ms"]) / 1000,
        task=np.array(column["task_id"]).astype(np.str_),
        assignment=np.array([assignments.get(id_, str(id_)) for id_ in column["task_id"]], np.str_),
        status=np.array([one.status for one in who], np.str_),
        source_id=np.array(column["key"], np.str_),
        provenance=provenance,
    )
    truth = np.array([np.nan if said is None else said for said in column["truth"]], np.float64)
    extra = {
        "purpose": np.array(column["purpose"], np.str_),
        "truth": np.where(swapped, -truth, truth) + 0.0,
        "left": np.where(np.array(column["a_left"], bool), "a", "b"),
        "platform": np.array([one.platform for one in who], np.str_),
        "revision": np.array(column["revision"], np.int32),
        "answered_at": np.array(column["answered_at"], np.float64),
        "received_at": np.array(column["received_at"], np.float64),
    }
    return Answers(labels, extra)


def _write_parquet(parts: Iterable[Answers], path: Path) -> None:
    """As `RelativeLabels.save` writes them, part by part, with the further columns."""
    writer: pq.ParquetWriter | None = None
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            for part in parts:
                labels = part.labels
                columns: dict[str, Any] = {
                    "pose": labels.pose.astype(np.int64),
                    "joint_a": labels.pair[:, 0].astype(np.int16),
                    "joint_b": labels.pair[:, 1].astype(np.int16),
                    "relation": labels.relation.astype(np.int8),
                }
                for name in ("annotator", "task", "assignment", "status", "source_id", "response_time", "unsure"):
                    columns[name] = getattr(labels, name)
                columns |= part.extra
                table = pa.table({name: pa.array(values) for name, values in columns.items()})
                if writer is None:
                    header = {"nearfar": json.dumps(label_header(labels))}
                    writer = pq.ParquetWriter(file, table.schema.with_metadata(header))
                writer.write_table(table.cast(writer.schema))
        finally:
            if writer is not None:
                writer.close()


def _write_csv(parts: Iterable[RelativeLabels], path: Path, *, crowdkit: bool) -> None:
    """The parts' tables, one after the other, under one header."""
    with replacing(path) as temporary, TemporaryDirectory() as folder:
        piece = Path(folder) / "part.csv"
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            header: list[str] | None = None
            for part in parts:
                (write_crowdkit_csv if crowdkit else write_labels_csv)(part, piece)
                with piece.open(encoding="utf-8", newline="") as rows:
                    reader = csv.reader(rows)
                    first = next(reader)
                    if header is None:
                        writer.writerow(header := first)
                    writer.writerows(reader)
