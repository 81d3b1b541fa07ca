from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from annotation_photos import SKELETON, make_photos, make_poses

from nearfar import RelativeLabels
from nearfar.annotation.settings import Settings
from nearfar.cli import main
from nearfar.cli.annotate import COMMANDS, users
from nearfar.datasets import load_labels

NEARFAR = [sys.executable, "-m", "nearfar.cli", "annotate"]
QUICK = ["--practice-questions", "0", "--test-questions", "0"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command, in this process: starting Python takes longer than most commands."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["annotate", *map(str, arguments)])
    return subprocess.CompletedProcess([], code, out.getvalue(), err.getvalue())


def well(*arguments: object) -> str:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def badly(*arguments: object) -> str:
    done = run(*arguments)
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(autouse=True)
def no_other_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEARFAR_DATABASE", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images and keypoints."""
    names = [f"{i}.png" for i in range(3)]
    make_photos(tmp_path / "images", names)
    make_poses(names).save(tmp_path / "poses.npz")
    return tmp_path


def init(folder: Path, *options: object) -> str:
    files = ("--images", folder / "images", "--keypoints", folder / "poses.npz")
    return well("init", folder / "project", *files, *QUICK, *options)


def test_from_images_to_labels(folder: Path) -> None:
    told = init(folder, "--pairs", "random:4", "--answers", 2, "--subject", "dancer", "--price-per-answer", "0.01")
    assert "12 pairs of 3 poses in 3 images, 2 answers each" in told
    assert "6 tutorial" in told
    assert 'subject = "dancer"' in (folder / "project" / "project.toml").read_text()
    assert "0 of 12 done" in well("status", folder / "project")
    assert badly("export", folder / "project", "--out", folder / "a.parquet").endswith("no answers yet\n")
    pairs = np.array([[1, 2], [1, 2], [3, 4]])
    RelativeLabels(
        SKELETON, np.array([0, 0, 2]), pairs, np.array([1, -1, 0], np.int8), annotator=np.array(["Eve", "Bob", "Eve"])
    ).save(folder / "other.parquet")
    assert "3 answers stored, 0 were there already" in well("import", folder / "project", folder / "other.parquet")
    assert "0 answers stored, 3 were there already" in well("import", folder / "project", folder / "other.parquet")
    refreshed = well("refresh", folder / "project")
    assert "0 counts were wrong" in refreshed
    assert "3 answers to 2 pairs merged" in refreshed
    status = json.loads(well("status", folder / "project", "--json"))
    assert status["answers"] == 3
    assert status["cost"] == pytest.approx(0.03)
    assert {person["name"] for person in status["people"]} == {"Eve", "Bob"}
    assert "Eve" in well("status", folder / "project")
    out, poses = folder / "out" / "a.csv", folder / "out" / "poses.npz"
    assert "3 answers" in well("export", folder / "project", "--out", out, "--poses", poses, "--names")
    assert sorted(load_labels(out).annotator.tolist()) == ["Bob", "Eve", "Eve"]
    assert poses.is_file()
    gold = folder / "gold.csv"
    gold.write_text("skeleton,kind,pose,joint_a,joint_b,relation\nh36m17,merged,1,neck,left_wrist,-1\n")
    assert "1 pairs of gold added" in well("import", folder / "project", "--gold", gold)


def test_files_that_name_no_skeleton_are_of_the_projects(folder: Path) -> None:
    gold, out = folder / "gold.csv", folder / "crowd.csv"
    gold.write_text("pose,joint_a,joint_b,relation\n1,neck,left_wrist,-1\n")
    assert "gold: 1 hidden pairs" in init(folder, "--gold", gold)
    assert "0 pairs of gold added, 1 were there already" in well("import", folder / "project", "--gold", gold)
    pairs, said = np.array([[1, 2], [3, 4]]), np.array([-1, 1], np.int8)
    eve = RelativeLabels(SKELETON, np.array([0, 2]), pairs, said, annotator=np.array(["Eve", "Eve"]))
    eve.save(folder / "eve.parquet")
    assert "2 answers stored" in well("import", folder / "project", folder / "eve.parquet")
    told = well("export", folder / "project", "--out", out, "--format", "crowd-kit", "--names")
    assert f"nearfar merge {out} --skeleton {folder / 'project' / 'skeleton.toml'}" in told
    assert "0 answers stored, 2 were there already" in well("import", folder / "project", out)


def test_mistakes_are_told_in_one_line(folder: Path) -> None:
    images = ("--images", folder / "images", "--keypoints", folder / "poses.npz")
    assert "no such file" in badly(
        "init", folder / "p", "--images", folder / "images", "--keypoints", folder / "no.npz"
    )
    assert "answers: expected 1..1000" in badly("init", folder / "p", *images, "--answers", "0")
    assert not (folder / "p").exists()
    assert "no project here" in badly("status", folder)
    assert "no command 'fly'" in badly("fly")
    init(folder)
    assert "is there already" in badly("init", folder / "project", *images)
    assert "give a file of answers" in badly("import", folder / "project")
    assert "say --public-url" in badly("serve", folder / "project", "--host", "0.0.0.0")
    assert "expected https://NAME" in badly("serve", folder / "project", "--public-url", "ftp://x")
    assert "go together" in badly("serve", folder / "project", "--key", folder / "k.pem")
    assert "trusted proxy" in badly("serve", folder / "project", "--trusted-proxy", "nonsense")


def test_people(folder: Path) -> None:
    init(folder)
    project = folder / "project"
    link = well("users", "invite", project, "Ada", "--public-url", "https://annotate.example.org/")
    assert re.fullmatch(r"https://annotate\.example\.org/join#[\w-]{40,}\n", link)
    assert link.strip().rpartition("#")[2] not in (project / "annotation.db").read_bytes().decode("latin-1")
    assert "invited already" in badly("users", "invite", project, "Ada")
    (told,) = json.loads(well("users", "list", project, "--json"))["links"]
    assert (told["name"], told["role"]) == ("Ada", "annotator")
    assert "Ada" in well("users", "list", project)
    well("users", "revoke", project, told["id"])
    assert "nobody yet" in well("users", "list", project)
    assert "nobody called 'Bob'" in badly("users", "block", project, "Bob", "why")
    RelativeLabels(
        SKELETON, np.array([0]), np.array([[1, 2]]), np.array([1], np.int8), annotator=np.array(["Eve"])
    ).save(folder / "other.parquet")
    well("import", project, folder / "other.parquet")
    well("users", "role", project, "Eve", "viewer")
    well("users", "block", project, "person-1", "too fast")
    assert "blocked" in well("users", "list", project)
    assert "is blocked" in badly("users", "link", project, "Eve")
    well("users", "unblock", project, "Eve")
    assert "/join#" in well("users", "link", project, "1", "--days", "2")
    assert "expected 0..365" in badly("users", "link", project, "1", "--days", "999")


def started(project: Path, port: int, *options: str) -> tuple[subprocess.Popen[str], str]:
    """A server, and what it said until it was ready."""
    process = subprocess.Popen(
        [*NEARFAR, "serve", str(project), "--port", str(port), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said, end = "", time.monotonic() + 90
    while "Ctrl-C" not in said and time.monotonic() < end:
        ready, _, _ = select.select([process.stdout], [], [], 1)
        said += os.read(process.stdout.fileno(), 4096).decode() if ready else ""  # not through a buffer
        assert process.poll() is None, said
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).read()
            break
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    return process, said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def test_a_server_starts_and_stops(folder: Path) -> None:
    init(folder)
    (folder / "images").rename(folder / "away")
    port = free_port()
    process, said = started(folder / "project", port)
    try:
        assert f"http://127.0.0.1:{port}\n" in said
        assert "no images can be shown until it is back" in said
        link = re.search(r"http://127\.0\.0\.1:\d+/join#\S+", said)
        assert link is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as response:
            assert response.status == 200
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/admin", timeout=10)
        assert refused.value.code in (401, 403)
        assert "cannot listen there" in badly("serve", folder / "project", "--port", port)
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[0]
    finally:
        process.kill()
    assert process.returncode == 0, rest
    assert "stopped" in rest
    assert "Traceback" not in rest
    process, again = started(folder / "project", port)
    process.send_signal(signal.SIGTERM)
    assert "stopped" in process.communicate(timeout=30)[0]
    assert process.returncode == 0
    second = re.search(r"/join#\S+", again)
    assert second is not None  # nobody used the first link, so that there is a new one, and the first works no more
    assert second.group() not in link.group()
    links = json.loads(well("users", "list", folder / "project", "--json"))["links"]
    assert len(links) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_several_processes_serve_and_one_that_is_killed_is_replaced(folder: Path) -> None:
    init(folder)
    assert "expected 1..256" in badly("serve", folder / "project", "--processes", "0")
    port = free_port()
    process, _ = started(folder / "project", port, "--processes", "2")

    def workers() -> set[int]:
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return {int(pid) for pid in listed if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()}

    def until(right: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not right():
            assert time.monotonic() < end
            time.sleep(0.1)

    try:
        until(lambda: len(workers()) == 2)
        before = workers()
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(workers()) == 2 and workers() != before)
        for _ in range(20):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as response:
                assert response.status == 200
        os.kill(process.pid, signal.SIGTERM)
        rest = process.communicate(timeout=60)[0]
        assert process.returncode == 0, rest
        assert "stopped" in rest
        assert "Traceback" not in rest
        process, _ = started(folder / "project", port, "--processes", "2")
        orphans = workers()
        process.kill()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))
    finally:
        process.kill()


def test_help_needs_no_studio() -> None:
    told = well("--help")
    for command in ("init", "serve", "status", "export", "import", "users", "mturk"):
        assert f"\n  {command} " in told
    assert "--gold-share" in well("init", "--help")
    assert "--trusted-proxy" in well("serve", "--help")


def test_the_rest_of_nearfar_does_not_load_the_studio() -> None:
    code = "import sys, nearfar, nearfar.cli; print([m for m in ('sqlalchemy', 'fastapi', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_missing_libraries_are_named(folder: Path) -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None; from nearfar.cli import main; sys.exit(main(['annotate', 'status', 'x']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install "nearfar[annotation]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_wrong_with_the_database_is_told_in_one_line(folder: Path) -> None:
    init(folder)
    with contextlib.closing(sqlite3.connect(folder / "project" / "annotation.db")) as database:
        database.execute("DROP TABLE invitation")  # stands for a full disk, or a file that is read-only
    assert "database: no such table: invitation" in badly("users", "invite", folder / "project", "Ada")


def test_everything_is_documented() -> None:
    docs = Path(__file__).parents[1] / "docs"
    guide, commands = ((docs / f"{name}.md").read_text("utf-8") for name in ("annotation", "commands"))
    assert not [field.name for field in dataclasses.fields(Settings) if f"`{field.name}`" not in guide]
    for name, command in COMMANDS.items():
        assert f"`nearfar annotate {name} PROJECT" in commands
        inherited = {"project", "database", "settings", "json", "file"}
        for option in {field.name for field in dataclasses.fields(command)} - inherited:
            assert f"`--{option.replace('_', '-')}" in commands, f"{name} --{option}"
    for name in users.COMMANDS:
        assert f"\n| `{name}" in commands
