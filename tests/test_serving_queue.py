"""The service's folder: jobs that are claimed once and finished once, tokens, and files told apart by their bytes."""

from __future__ import annotations

import itertools
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfar.errors import InputError
from nearfar.serving import access, jobs
from nearfar.serving.jobs import BusyError, Job, ReusedError
from nearfar.serving.limits import Limits
from nearfar.serving.store import Store
from nearfar.serving.uploads import kind_of

LIMITS = Limits(queue_length=4, queue_length_each=2)
numbers = itertools.count()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "service") as store:
        yield store


def add(store: Store, owner: str = "ada", *, kind: jobs.Kind = "keypoints", now: float = 100.0, key: str | None = None, digest: str = "d", limits: Limits = LIMITS) -> Job:  # fmt: skip
    job = Job(jobs.new_id(), owner, kind, "name", ".json", {"people": 1}, digest)
    store.input_of(job.id, job.suffix).write_text("{}")
    return jobs.add_job(store, job, limits, 1, now, idempotency_key=key)[0]


def test_a_job_is_claimed_by_one_and_finished_once(store: Store) -> None:
    wide = Limits(queue_length=1000, queue_length_each=1000)
    sent = {add(store, limits=wide).id for _ in range(40)}
    claimed: list[str] = []

    def work() -> None:
        while (job := jobs.claim(store, 101.0)) is not None:
            claimed.append(job.id)
            assert jobs.finish(store, job, {"digest": job.id}, 102.0)
            assert not jobs.finish(store, job, {"digest": "again"}, 103.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(sent)
    assert {jobs.find_job(store, "ada", id_).result["digest"] for id_ in sent} == sent  # type: ignore[union-attr, index]


def test_who_was_thought_dead_cannot_finish(store: Store) -> None:
    add(store)
    first = jobs.claim(store, 101.0)
    assert first is not None
    assert jobs.put_back(store, first, 102.0)
    second = jobs.claim(store, 103.0)
    assert second is not None
    assert (second.id, second.attempt) == (first.id, 2)
    assert not jobs.is_wanted(store, first)
    assert not jobs.finish(store, first, {"digest": "late"}, 104.0)
    assert not jobs.fail(store, first, 422, "late", 104.0)
    assert jobs.finish(store, second, {"digest": "right"}, 105.0)
    assert jobs.find_job(store, "ada", first.id).result == {"digest": "right"}  # type: ignore[union-attr]


def test_a_job_that_kills_its_workers_is_given_up(store: Store) -> None:
    job = add(store)
    for _ in range(jobs.MOST_ATTEMPTS):
        claimed = jobs.claim(store, 101.0)
        assert claimed is not None
        jobs.put_back(store, claimed, 102.0)
    assert jobs.claim(store, 103.0) is None
    failed = jobs.find_job(store, "ada", job.id)
    assert failed is not None
    assert (failed.state, failed.error_status) == ("failed", 422)
    assert "died 5 times" in str(failed.error)


def test_quick_kinds_may_overtake_but_not_for_long(store: Store) -> None:
    video = add(store, kind="video", now=100.0)
    soon = add(store, kind="keypoints", now=110.0)
    late = add(store, "bo", kind="keypoints", now=140.0)
    assert jobs.jobs_before(store, video) == 1
    claimed = [jobs.claim(store, 150.0) for _ in range(4)]
    assert [job and job.id for job in claimed] == [soon.id, video.id, late.id, None]


def test_an_idempotency_key_is_one_job(store: Store) -> None:
    first = add(store, key="k")
    add(store)
    assert add(store, key="k").id == first.id  # though there is no room for another one
    with pytest.raises(ReusedError):
        add(store, key="k", digest="other")
    assert add(store, "bo", key="k").id != first.id


def test_room_of_each_and_of_all(store: Store) -> None:
    for _ in range(2):
        add(store)
    with pytest.raises(BusyError, match="of your jobs") as own:
        add(store)
    assert own.value.of_client
    assert own.value.retry_after >= 1
    for name in ("bo", "bo"):
        add(store, name)
    with pytest.raises(BusyError, match="4 jobs wait") as all_:
        jobs.check_room(store, LIMITS, "cy", 1)
    assert not all_.value.of_client


def test_cancelled_and_deleted_jobs_are_not_wanted(store: Store) -> None:
    first, second = add(store), add(store)
    assert jobs.cancel(store, "bo", first.id, 101.0) is None
    claimed = jobs.claim(store, 101.0)
    assert claimed is not None
    assert claimed.id in (first.id, second.id)
    other = ({first.id, second.id} - {claimed.id}).pop()
    assert jobs.cancel(store, "ada", claimed.id, 102.0).state == "cancelled"  # type: ignore[union-attr]
    assert not jobs.finish(store, claimed, {}, 103.0)
    assert not jobs.delete(store, "bo", other)
    assert jobs.delete(store, "ada", other)
    assert jobs.claim(store, 104.0) is None
    assert not store.input_of(other, ".json").exists()


def test_what_was_sent_is_removed_with_a_job_that_is_cancelled_while_it_waits(store: Store) -> None:
    first, second = add(store), add(store)
    claimed = jobs.claim(store, 101.0)
    assert claimed is not None
    waits = ({first.id, second.id} - {claimed.id}).pop()
    for id_ in (waits, claimed.id):
        assert jobs.cancel(store, "ada", id_, 102.0).state == "cancelled"  # type: ignore[union-attr]
    assert [path.name for path in store.inputs.iterdir()] == [f"{claimed.id}.json"]  # its worker reads it still


def test_what_was_cut_off_waits_again_and_nothing_else_is_left(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        job = add(store)
        jobs.claim(store, 101.0)
        (store.inputs / ".abc.partial").write_text("half an upload")
        (store.results / f".{job.id}.1").mkdir()
        store.result_of(job.id).mkdir()  # moved to its place, and then the server was killed
    with Store(tmp_path) as store:
        assert jobs.recover(store, 102.0) == 1
        assert [path.name for path in store.inputs.iterdir()] == [f"{job.id}.json"]
        assert not list(store.results.iterdir())
        again = jobs.claim(store, 103.0)
        assert again is not None
        assert (again.id, again.attempt, again.digest) == (job.id, 2, "d")


def test_results_expire(store: Store) -> None:
    old, running = add(store), add(store)
    claimed = jobs.claim(store, 101.0)
    assert claimed is not None
    jobs.finish(store, claimed, {}, 102.0)
    store.result_of(claimed.id).mkdir()
    assert jobs.expire(store, LIMITS, 102.0 + 23 * 3600) == 0
    assert jobs.expire(store, LIMITS, 102.0 + 25 * 3600) == 1
    assert not store.result_of(claimed.id).exists()
    left = ({old.id, running.id} - {claimed.id}).pop()
    assert jobs.find_job(store, "ada", left) is not None


def test_one_server_a_folder(tmp_path: Path) -> None:
    code = f"from nearfar.serving.store import Store; Store({str(tmp_path)!r}).hold()"
    with Store(tmp_path) as store:
        store.hold()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "another server works on this folder" in done.stderr
        assert stat.S_IMODE(store.inputs.stat().st_mode) == 0o700
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "service.db").write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(InputError, match="cannot be used as the service's folder"):
        Store(tmp_path)


def test_results_of_something_else_are_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "results" / "thesis" / "figures.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("years of work")
    with pytest.raises(InputError, match="holds results of something else"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert kept.read_text() == "years of work"


def test_a_full_disk_is_named_and_spoils_nothing(store: Store) -> None:
    with store.reading() as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        add(store, digest="d" * 100_000)
    assert jobs.list_jobs(store, "ada", 10) == []
    with store.reading() as database:
        database.execute("PRAGMA max_page_count = 1000000")
    assert jobs.find_job(store, "ada", add(store).id) is not None


# Tokens


def test_tokens(store: Store) -> None:
    secret = access.create_token(store, "ada", 100.0)
    with pytest.raises(InputError, match="has one already"):
        access.create_token(store, "ada", 100.0)
    for name in ("", "a b", "operator", "x" * 65, "../a"):
        with pytest.raises(InputError, match="expected a name"):
            access.create_token(store, name, 100.0)
    assert access.owner_of(store, secret, 200.0) == "ada"
    assert [(token.name, token.seen_at) for token in access.list_tokens(store)] == [("ada", 200.0)]
    assert access.owner_of(store, "guess", 200.0) is None
    session = access.start_session(store, secret, 300.0)
    assert session is not None
    assert access.list_tokens(store)[0].seen_at == 300.0  # a page that signs in uses it, too
    assert access.owner_of(store, session[0], 201.0) == "ada"
    assert access.owner_of(store, session[0], session[1] + 1) is None
    access.revoke(store, "ada")
    assert access.owner_of(store, secret, 202.0) is access.owner_of(store, session[0], 202.0) is None
    with pytest.raises(InputError, match="there is none"):
        access.revoke(store, "ada")


def test_a_code_is_for_one_use_and_no_secret_is_stored(store: Store) -> None:
    code, late = access.new_code(store, 100.0), access.new_code(store, 100.0)
    assert access.owner_of(store, code, 101.0) is None  # it starts a session, and is none
    session = access.start_session(store, code, 101.0)
    assert session is not None
    assert access.owner_of(store, session[0], 102.0) == "operator"
    assert access.start_session(store, code, 102.0) is None
    assert access.start_session(store, late, 100.0 + 601) is None
    assert access.start_session(store, session[0], 102.0) is None  # a session cannot prolong itself
    access.end_session(store, session[0])
    assert access.owner_of(store, session[0], 103.0) is None
    kept = b"".join(path.read_bytes() for path in store.folder.glob("service.db*"))
    assert kept
    assert not any(secret.encode() in kept for secret in (code, late, session[0]))
    access.remove_expired(store, time.time())


# Files by their first bytes


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\xff\xd8\xff\xe0", ("image", ".jpg")),
        (b"\x89PNG\r\n\x1a\n", ("image", ".png")),
        (b"RIFF\0\0\0\0WEBP", ("image", ".webp")),
        (b"RIFF\0\0\0\0AVI ", ("video", ".avi")),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"GIF89a", ("video", ".gif")),
        (b"\0\0\0\x18ftypmp42", ("video", ".mp4")),
        (b"\0\0\0\x18ftypheic", None),
        (b"\x1aE\xdf\xa3", ("video", ".mkv")),
        (b"G" + bytes(187) + b"G", ("video", ".ts")),
        (b"\xef\xbb\xbf \n{", ("keypoints", ".json")),
        (b"#EXTM3U\n/etc/passwd", None),
        (b"ffconcat version 1.0", None),
        (b"PK\x03\x04", None),
        (b"<svg", None),
        (b"%!PS-Adobe", None),
        (b"", None),
    ],
)
def test_files_by_their_first_bytes(head: bytes, expected: tuple[str, str] | None) -> None:
    assert kind_of(head) == expected
