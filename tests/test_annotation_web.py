"""What annotators get and send, and the texts, colours and files that the pages are made of."""

from __future__ import annotations

import io
import json
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("fastapi")

from annotation_studio import final_choices, join, make_project, right_choice, stored_answers
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, PackageLoader
from PIL import Image
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

import nearfar.annotation.web
from nearfar.annotation import schema
from nearfar.annotation.projects.project import Project
from nearfar.annotation.sessions import Session
from nearfar.annotation.settings import Settings
from nearfar.annotation.web.app import create_app
from nearfar.annotation.web.texts import FOLDER, load_texts
from nearfar.web.protection import cookie_name

WEB = Path(nearfar.annotation.web.__file__).parent
HOME = "http://localhost"
HTML = {"Accept": "text/html,application/xhtml+xml"}


class Person:
    """Somebody with a browser."""

    def __init__(self, project: Project, name: str, **options: Any) -> None:
        self.project, self.name = project, name
        self.session: Session = join(project, name, **options)
        self.client = TestClient(create_app(project), HOME, follow_redirects=False, raise_server_exceptions=False)
        self.client.cookies.set(cookie_name("http"), self.session.token)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=HTML | headers)

    def post(self, path: str, body: Any) -> Any:
        return self.client.post(path, json=body, headers={"X-CSRF-Token": self.session.csrf_token})

    def task(self, **body: Any) -> Any:
        return self.post("/api/task", body).json()

    def answer(self, *events: dict[str, Any]) -> Any:
        return self.post("/api/answers", {"events": list(events)})


def event(question: int, choice: str = "a", revision: int = 1, **other: Any) -> dict[str, Any]:
    told = {"key": str(uuid4()), "question": question, "revision": revision, "choice": choice, "response_ms": 700}
    return told | {"answered_at": time.time()} | other


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with make_project(
        tmp_path_factory.mktemp("web"), 20, practice=2, test=3, tutorial=2, answers=40, most_answers=40, test_pass=0.6
    ) as opened:
        yield opened


@pytest.fixture
def person(project: Project, request: pytest.FixtureRequest) -> Person:
    return Person(project, request.node.name[:90])


def test_a_task(person: Person, project: Project) -> None:
    reply = person.task()
    task = reply["task"]
    assert reply["lock_ms"] == project.settings.answer_lock_ms
    assert (task["kind"], task["done"], task["total"]) == ("work", 0, 25)
    assert task["total"] == len(task["questions"])
    for question in task["questions"]:
        assert set(question) == {
            "id",
            "image",
            "width",
            "height",
            "a",
            "b",
            "ask",
            "revision",
            "choice",
        }  # no truth, no pair
        for letter in "ab":
            assert 0 <= question[letter]["x"] <= question["width"]
            assert 0 <= question[letter]["y"] <= question["height"]
            assert f"{letter.upper()}, the person's {question[letter]['words']}" in question["ask"]
    assert (
        len({question["image"] for question in task["questions"]}) == 5
    )  # one address for a picture asked about 5 times
    assert person.task()["task"] == task | {"lease_expires_at": pytest.approx(task["lease_expires_at"], abs=60)}


def test_places_are_those_of_the_keypoints(person: Person, project: Project) -> None:
    keypoints = project.poses.keypoints
    assert keypoints is not None
    names = {load_texts().joint(name): number for number, name in enumerate(project.skeleton.joints)}
    for told in person.task()["task"]["questions"]:
        with project.engine.connect() as connection:
            query = (
                select(schema.pose, schema.pair.c.joint_a, schema.pair.c.joint_b)
                .join_from(schema.question, schema.pair)
                .join(schema.pose)
            )
            row = connection.execute(query.where(schema.question.c.id == told["id"])).mappings().one()
        assert {names[told[letter]["words"]] for letter in "ab"} == {row["joint_a"], row["joint_b"]}
        for letter in "ab":
            x, y = keypoints[row["id"], names[told[letter]["words"]]]
            assert told[letter]["x"] + row["crop_x"] == pytest.approx(x, abs=0.06)
            assert told[letter]["y"] + row["crop_y"] == pytest.approx(y, abs=0.06)


def test_answers_are_stored_once(person: Person, project: Project) -> None:
    questions = [question["id"] for question in person.task()["task"]["questions"]]
    events = [
        event(question, "absu"[i % 4].replace("s", "same").replace("u", "unsure"))
        for i, question in enumerate(questions)
    ]
    first = person.answer(*events)
    assert first.json()["task_done"] is True
    assert [receipt["status"] for receipt in first.json()["receipts"]] == ["stored"] * 25
    again = person.answer(*reversed(events))
    assert {receipt["status"] for receipt in again.json()["receipts"]} == {"already"}
    assert final_choices(project, person.name) == {one["question"]: one["choice"] for one in events}
    assert len(stored_answers(project, person.name)) == 25
    assert not set(questions) & {question["id"] for question in person.task()["task"]["questions"]}


def test_nobody_answers_for_others(person: Person, project: Project) -> None:
    other = Person(project, "other of " + person.name)
    question = other.task()["task"]["questions"][0]
    assert person.answer(event(question["id"])).json()["receipts"][0] | {"key": ""} == {
        "key": "",
        "status": "refused",
        "reason": "unknown",
    }
    assert person.get(question["image"]).status_code == 404
    assert person.post("/api/comments", {"question": question["id"], "text": "mine?"}).status_code == 404
    assert other.get(question["image"]).status_code == 200
    assert stored_answers(project, other.name) == []


def test_two_answers_of_one_revision(person: Person) -> None:
    question = person.task()["task"]["questions"][0]["id"]
    person.answer(event(question, "a"))
    assert person.answer(event(question, "b")).json()["receipts"][0]["reason"] == "conflict"


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"events": {}}, {"events": [{}]}, {"events": [], "more": 1}, {"events": [event(1, more=1)]},
        {"events": [event(0)]}, {"events": [event(-3)]}, {"events": [event(1 << 70)]}, {"events": [event("1")]}, {"events": [event(1.5)]}, {"events": [event(True)]},
        {"events": [event(1, "c")]}, {"events": [event(1, None)]}, {"events": [event(1, revision=0)]}, {"events": [event(1, revision=10**9)]},
        {"events": [event(1, key="not a uuid")]}, {"events": [event(1, key="a" * 10_000)]}, {"events": [event(1, key=None)]},
        {"events": [event(1, response_ms=-1)]}, {"events": [event(1, response_ms=1e400)]}, {"events": [event(1, answered_at="now")]},
        {"events": [event(1, answered_at=-1)]}, {"events": [event(1) for _ in range(201)]},
    ],
)  # fmt: skip
def test_answers_that_make_no_sense(person: Person, project: Project, body: Any) -> None:
    headers = {"X-CSRF-Token": person.session.csrf_token, "Content-Type": "application/json"}
    reply = person.client.post("/api/answers", content=json.dumps(body), headers=headers)
    assert reply.status_code == 422
    assert len(reply.json()["detail"]) < 300
    assert stored_answers(project, person.name) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"events": [' + b"1" * 5000 + b"]}", b'{"events": NaN}']
)
def test_bodies_that_are_no_json(person: Person, content: bytes) -> None:
    headers = {"X-CSRF-Token": person.session.csrf_token, "Content-Type": "application/json"}
    assert person.client.post("/api/answers", content=content, headers=headers).status_code in (400, 422)


def test_every_change_needs_the_token(person: Person) -> None:
    for path, body in (("/api/task", {}), ("/api/answers", {"events": []}), ("/api/comments", {"text": "x"})):
        assert person.client.post(path, json=body).status_code == 403
        assert person.client.post(path, json=body, headers={"X-CSRF-Token": "wrong"}).status_code == 403
    assert person.client.post("/tutorial", data={"csrf_token": "wrong"}).status_code == 403


def test_strangers_see_only_the_entry(project: Project) -> None:
    client = TestClient(create_app(project), HOME, follow_redirects=False)
    for path in ("/ask", "/tutorial", "/result", "/done", "/failed", "/api/images/1", "/api/examples/1"):
        assert client.get(path, headers=HTML).status_code == 401, path
    for path in ("/api/task", "/api/answers", "/api/comments", "/tutorial"):
        assert client.post(path, json={}).status_code == 401, path
    assert "invitation link" in client.get("/", headers=HTML).text
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/openapi.json").status_code == client.get("/docs").status_code == 404


def test_viewers_do_not_answer(project: Project) -> None:
    viewer = Person(project, "viewer", role="viewer")
    assert viewer.get("/ask").status_code == 403
    assert viewer.post("/api/task", {}).status_code == 403


def test_pictures(person: Person, project: Project) -> None:
    question = person.task()["task"]["questions"][0]
    reply = person.get(question["image"])
    assert reply.headers["content-type"] == "image/jpeg"
    assert "private" in reply.headers["cache-control"]
    assert Image.open(io.BytesIO(reply.content)).size == (question["width"], question["height"])
    for path in (
        "/api/images/0",
        "/api/images/-1",
        "/api/images/x",
        f"/api/images/{1 << 70}",
        "/api/images/..%2f..%2fproject.toml",
    ):
        assert person.get(path).status_code in (404, 422), path


def test_pictures_that_are_gone_and_away(tmp_path: Path) -> None:
    with make_project(tmp_path, 3) as project:
        person = Person(project, "one")
        question = person.task()["task"]["questions"][0]
        with project.engine.connect() as connection:
            name = connection.execute(
                select(schema.pose.c.image)
                .join_from(schema.question, schema.pair)
                .join(schema.pose)
                .where(schema.question.c.id == question["id"])
            ).scalar_one()
        away = project.images.rename(project.images.with_name("away"))
        reply = person.get(question["image"])
        assert reply.status_code == 503  # the browser tries again
        assert str(project.images) not in reply.text
        away.rename(project.images)
        (project.images / name).unlink()
        assert person.get(question["image"]).status_code == 404
        assert name not in person.get(question["image"]).text


def test_the_way_in(project: Project) -> None:
    person = Person(project, "way in", stage="tutorial")
    assert person.get("/").headers["location"] == "/ask"
    assert person.get("/ask").headers["location"] == "/tutorial"
    assert person.task() == {"task": None, "next": "/tutorial"}
    page = person.get("/tutorial").text
    assert "2 questions for practice" in page
    assert "entry test of 3 questions; 2 must be right" in page
    examples = re.findall(r'data-image="(/api/examples/\d+)"', page)
    assert len(examples) == 2
    assert all(person.get(example).headers["content-type"] == "image/jpeg" for example in examples)
    reply = person.client.post("/tutorial", data={"csrf_token": person.session.csrf_token}, headers=HTML)
    assert reply.headers["location"] == "/ask"
    assert person.get("/ask").status_code == 200
    task = person.task()["task"]
    assert (task["kind"], task["total"]) == ("practice", 2)
    first, second = (question["id"] for question in task["questions"])
    right = right_choice(project, first)
    told = person.answer(event(first, right), event(second, "unsure")).json()["receipts"]
    assert told[0]["feedback"] == {"right": right, "correct": True, "explanation": told[0]["feedback"]["explanation"]}
    assert told[1]["feedback"]["correct"] is False
    assert told[0]["feedback"]["explanation"].startswith("Because of practice")
    task = person.task()["task"]
    assert (task["kind"], task["total"], task["needed"]) == ("test", 3, 2)
    told = person.answer(
        *(event(question["id"], right_choice(project, question["id"])) for question in task["questions"])
    ).json()
    assert all("feedback" not in receipt for receipt in told["receipts"])
    assert "3 of 3 were right, 2 were needed" in person.get("/result").text
    assert person.task()["task"]["kind"] == "work"
    assert "Back to the questions" in person.get("/tutorial").text


def test_failing(project: Project) -> None:
    person = Person(project, "failing", stage="test")
    assert person.get("/result").headers["location"] == "/ask"
    for attempt in range(2):
        task = person.task(again=attempt > 0)["task"]
        person.answer(*(event(question["id"], "unsure") for question in task["questions"]))
        page = person.get("/result").text
        assert "0 of 3 were right" in page
        if attempt == 0:
            assert "try once more" in page
            assert person.task() == {"task": None, "next": "/result"}
    assert "Thank you for trying" in page
    assert person.get("/ask").headers["location"] == "/failed"
    assert person.get("/failed").headers["location"] == "/result"
    assert person.task(again=True) == {"task": None, "next": "/failed"}


def test_reading_takes_its_time(tmp_path: Path) -> None:
    with make_project(tmp_path, 2, reading_seconds=30) as project:
        person = Person(project, "quick", stage="tutorial")
        form = {"csrf_token": person.session.csrf_token}
        first = person.client.post("/tutorial", data=form, headers=HTML)  # without even having looked
        assert first.status_code == 200
        assert re.search(r"you can go on in (29|30) seconds", first.text)
        assert person.get("/ask").headers["location"] == "/tutorial"
        with project.engine.begin() as connection:
            connection.execute(update(schema.person).values(tutorial_opened_at=time.time() - 31))
        assert person.client.post("/tutorial", data=form, headers=HTML).headers["location"] == "/ask"
        assert person.task()["task"]["kind"] == "work"  # there are no lessons


def test_all_done(tmp_path: Path) -> None:
    with make_project(tmp_path, 1, answers=1) as project:
        person = Person(project, "last")
        person.answer(*(event(question["id"]) for question in person.task()["task"]["questions"]))
        assert person.task() == {"task": None, "next": "/done"}
        assert "You have given 5 answers." in person.get("/done").text


def test_blocked_people_are_told(person: Person, project: Project) -> None:
    person.task()
    with project.engine.begin() as connection:
        connection.execute(
            update(schema.person)
            .where(schema.person.c.name == person.name)
            .values(blocked_at=time.time(), block_reason="secret reason")
        )
    reply = person.get("/ask")
    assert reply.status_code == 403
    assert "we do not ask you further questions" in reply.text
    assert "secret reason" not in reply.text
    assert person.post("/api/task", {}).status_code == 401


def test_names_are_escaped(tmp_path: Path) -> None:
    with make_project(tmp_path, 2, subject="<b>dog</b>") as project:
        person = Person(project, "<script>alert(1)</script>")
        for path in ("/ask", "/tutorial", "/done"):
            page = person.get(path).text
            assert "<script>alert" not in page
            assert "<b>dog" not in page
        assert "&lt;b&gt;dog" in person.get("/tutorial").text


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [("/nothing", 404, "There is nothing here"), ("/ask/", 404, None), ("/static/x/nothing.js", 404, None)],
)
def test_errors_are_pages_for_people_and_json_for_programs(
    person: Person, path: str, status: int, title: str | None
) -> None:
    page, program = person.get(path), person.client.get(path)
    if page.is_redirect:
        return
    assert (page.status_code, program.status_code) == (status, status)
    assert page.headers["content-type"].startswith("text/html")
    assert set(program.json()) == {"detail"}
    if title:
        assert f"<h1>{title}</h1>" in page.text


def test_refusals_before_any_page_are_pages_too(person: Person) -> None:
    large = {"Content-Length": str(1 << 30)}
    page = person.client.post("/tutorial", content=b"", headers=HTML | large)
    assert (page.status_code, page.headers["content-type"]) == (413, "text/html; charset=utf-8")
    assert "<h1>Too much at once</h1>" in page.text
    assert set(person.client.post("/tutorial", content=b"", headers=large).json()) == {"detail"}
    asked = (person.get("/done") for _ in range(1000))  # more than flows in meanwhile, on slow machines too
    page = next(page for page in asked if page.status_code != 200)
    assert (page.status_code, int(page.headers["retry-after"]) > 0) == (429, True)
    assert "<h1>A little too fast</h1>" in page.text
    assert "default-src" in page.headers["content-security-policy"]


def test_every_error_has_its_words() -> None:
    told = load_texts().section("errors")
    assert {key.rpartition("_")[2] for key in told} >= {
        "400",
        "401",
        "403",
        "404",
        "405",
        "413",
        "422",
        "429",
        "500",
        "503",
    }
    assert all(f"text_{key.rpartition('_')[2]}" in told for key in told if key.startswith("title_"))


def test_our_own_failures_tell_nothing(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("password hunter2")

    monkeypatch.setattr("nearfar.annotation.web.annotator.next_task", fail)
    reply = person.post("/api/task", {})
    assert reply.status_code == 500
    assert "hunter2" not in reply.text
    assert "default-src 'none'" in reply.headers["content-security-policy"]

    def lose(*_: Any) -> None:
        raise OperationalError("select secret", {}, Exception("disk full"))

    monkeypatch.setattr("nearfar.annotation.web.annotator.next_task", lose)
    reply = person.post("/api/task", {})
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    assert "secret" not in reply.text


def test_static_files(project: Project) -> None:
    app = create_app(project)
    client = TestClient(app, HOME)
    static = app.state.pages.static
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for name in static.files:
        reply = client.get(f"/static/{static.version}/{name}")
        assert reply.headers["content-type"].startswith(types[Path(name).suffix]), name
        assert "immutable" in reply.headers["cache-control"]
        again = client.get(f"/static/{static.version}/{name}", headers={"If-None-Match": reply.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/old/style.css").headers["cache-control"] == "no-cache"
    for path in (
        "/static/x/..%2fapp.py",
        "/static/x/%2e%2e/app.py",
        "/static/x/../../app.py",
        "/static/x/style.css%00",
    ):
        assert client.get(path).status_code == 404, path


def test_on_every_database(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFAR_DATABASE", database_url)
    with make_project(tmp_path, 6, practice=1, test=1, tutorial=1, answers=1) as project:
        person = Person(project, "one", stage="tutorial")
        person.get("/tutorial")
        person.client.post("/tutorial", data={"csrf_token": person.session.csrf_token})
        for _ in range(3):
            task = person.task()["task"]
            person.answer(
                *(
                    event(one["id"], "a" if task["kind"] == "work" else right_choice(project, one["id"]))
                    for one in task["questions"]
                )
            )
            person.get("/result")
        assert person.get("/done").status_code == 200
        assert (
            person.post("/api/comments", {"question": task["questions"][0]["id"], "text": "x" * 2000}).status_code
            == 201
        )
        assert person.post("/api/comments", {"text": "x" * 2001}).status_code == 422


@given(st.floats(0, 1), st.integers(1, 100))
def test_what_passes_the_test(share: float, total: int) -> None:
    needed = Settings(test_pass=share).right_to_pass(total)
    assert needed >= share * total - 1e-6
    assert needed - 1 < share * total


@pytest.mark.parametrize(
    ("share", "total", "needed"), [(0.8, 10, 8), (0.55, 20, 11), (0.7, 10, 7), (0, 5, 0), (1, 7, 7), (0.81, 10, 9)]
)
def test_round_shares(share: float, total: int, needed: int) -> None:
    assert Settings(test_pass=share).right_to_pass(total) == needed


# Texts


def sources(*endings: str) -> dict[str, str]:
    return {
        str(path.relative_to(WEB)): path.read_text("utf-8") for path in sorted(WEB.rglob("*")) if path.suffix in endings
    }


def all_keys() -> set[str]:
    table = tomllib.loads((FOLDER / "en.toml").read_text("utf-8"))
    return {f"{section}.{key}" for section, texts in table.items() for key in texts}


def test_every_text_that_is_asked_for_exists() -> None:
    keys = all_keys()
    missing = []
    for name, text in sources(".html", ".py").items():
        missing += [
            f"{name}: {key}"
            for key in re.findall(r"""(?:\bt|texts)\(\s*["']([a-z_]+\.\w+)["']\s*[,)]""", text)
            if key not in keys
        ]
    for name, text in sources(".js").items():
        used = re.findall(r"""\bt\(\s*"(\w+)"\s*[,)]""", text) + re.findall(r"""\bcounted\([\w.]+, "(\w+)\"""", text)
        if "admin" not in name:
            missing += [f"{name}: script.{key}" for key in used if f"script.{key}" not in keys]
    assert not missing


def test_every_text_is_asked_for() -> None:
    """No key without a use; keys that are put together end where the code goes on with a value."""
    code = "\n".join(text for ending in (".html", ".js", ".py") for text in sources(ending).values())
    code += "".join(path.read_text("utf-8") for path in WEB.parent.glob("*.py"))
    begun = set(re.findall(r"""([a-z_.]+_)(?:\$\{|["'] ~|\{)""", code))
    unused = []
    for key in sorted(all_keys()):
        section, _, name = key.partition(".")
        plain = name.removesuffix("_one")
        used = re.search(rf"\b{plain}\b", code) or any(name.startswith(part.rpartition(".")[2]) for part in begun)
        if section not in ("joints", "lessons") and not used:
            unused.append(key)
    assert unused == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_language_is_complete(path: Path) -> None:
    """The same keys, and the same places in each text."""
    english, other = load_texts().table, load_texts(path.stem).table
    places = re.compile(r"\{(\w*)\}")
    for section, texts in english.items():
        if section != "joints":
            assert set(other[section]) == set(texts), section
            for key, text in texts.items():
                assert set(places.findall(other[section][key])) == set(places.findall(text)), f"{section}.{key}"


def test_places_in_texts_are_filled(project: Project) -> None:
    texts = load_texts()
    assert texts("question.ask", a="x", b="y") == "Which is nearer to the camera: A, the x, or B, the y?"
    for wrong in ("question.nothing", "nothing.ask", "question", "question.ask.more"):
        with pytest.raises(KeyError):
            texts(wrong)
    with pytest.raises(KeyError):
        texts("question.ask", a="x")


def test_joints_in_words() -> None:
    texts = load_texts()
    assert texts.joint("left_wrist") == "left wrist"
    assert texts.joint("head_top") == "top of the head"
    assert texts.joint("tentacle_3") == "tentacle 3"
    assert texts.joint_of("mid_hip", "diver") == "diver's middle of the hips"


WORDS = re.compile(r"\b[A-Za-z]{2,}\b(?!-)")
"""Words; not the beginnings of names that are put together, as the pseudonym person-3."""


def test_no_english_in_templates() -> None:
    """Words that people see come from texts/en.toml: between tags, and in attributes that are read out."""
    found = []
    for name, text in sources(".html").items():
        bare = re.sub(
            r"\{#.*?#\}|\{% block (page|shape) %\}.*?\{% endblock %\}|<code>.*?</code>|\{%.*?%\}|\{\{.*?\}\}|<(script|style)\b.*?</\2>|<!doctype[^>]*>",
            " ",
            text,
            flags=re.S,
        )
        found += [
            f"{name}: {value}"
            for value in re.findall(r'(?:title|alt|placeholder|aria-label)="([^"]*)"', bare)
            if WORDS.search(value)
        ]
        found += [
            f"{name}: {line.strip()}"
            for line in re.sub(r"<[^>]*>", "\n", bare, flags=re.S).splitlines()
            if WORDS.search(line)
        ]
    assert not found


def test_no_english_in_modules() -> None:
    """String literals of two and more words are texts, but for what only programmers read (thrown errors, CSS)."""
    found = []
    for name, text in sources(".js").items():
        code = re.sub(r"//.*|/\*.*?\*/", "", re.sub(r"https?://", "", text), flags=re.M)
        code = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
        for line in code.splitlines():
            if "new Error(" in line:
                continue
            for literal in re.findall(r'"([^"]*)"', line):
                if re.search(r"^[A-Z][a-z]+ [a-z]+|[a-z]{2,} [a-z]{2,} [a-z]{2,}", literal) and not re.search(
                    r"[\[\]#=]|prefers-", literal
                ):
                    found.append(f"{name}: {literal}")
    assert not found


def test_templates_run_nothing_inline() -> None:
    for name, text in sources(".html").items():
        assert not re.search(r"\son\w+=|\sstyle=|javascript:", text), name
        for script in re.findall(r"<script\b[^>]*>", text):
            assert "src=" in script or 'type="application/json"' in script, name
        assert "<style" not in text, name
        assert "|safe" not in text, name


def test_templates_are_templates() -> None:
    environment = Environment(loader=PackageLoader("nearfar.annotation.web"), autoescape=True)
    for name in environment.list_templates():
        environment.get_template(name)


# Colours


def variables(scheme: str) -> dict[str, str]:
    """The colours of the style sheet in the light or the dark scheme."""
    sheet = (WEB / "static" / "style.css").read_text("utf-8")
    light, dark = sheet.split("@media (prefers-color-scheme: dark)", 1)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    if scheme == "dark":
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark.split("\n}\n", 1)[0]))
    return found


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_and_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_text_and_edges(scheme: str) -> None:
    """AA: 4.5 for text, 3 for the edges of what can be pressed and for signs."""
    colour = variables(scheme)
    text = [
        (ink, ground)
        for ink in ("ink", "muted")
        for ground in ("page", "panel", "raised", "a-panel", "b-panel", "stage", "good-panel", "bad-panel")
    ]
    text += [
        ("accent", "page"),
        ("accent", "panel"),
        ("good", "page"),
        ("good", "good-panel"),
        ("bad", "page"),
        ("bad", "bad-panel"),
    ]
    text += [("on-strong", "strong"), ("on-strong", "strong-hover"), ("on-a", "a"), ("on-b", "b")]
    low = {
        pair: round(contrast(colour[pair[0]], colour[pair[1]]), 2)
        for pair in text
        if contrast(colour[pair[0]], colour[pair[1]]) < 4.5
    }
    assert low == {}
    edges = [("edge", "page"), ("edge", "raised"), ("accent", "page"), ("good", "page"), ("bad", "page")]
    low = {
        pair: round(contrast(colour[pair[0]], colour[pair[1]]), 2)
        for pair in edges
        if contrast(colour[pair[0]], colour[pair[1]]) < 3
    }
    assert low == {}


def test_edges_of_the_two_answers() -> None:
    sheet = (WEB / "static" / "question.css").read_text("utf-8")
    for letter in "ab":
        edge = re.search(rf"\.choice\.of-{letter} {{ border-color: (#\w{{6}})", sheet)
        assert edge is not None
        for scheme in ("light", "dark"):
            assert contrast(edge[1], variables(scheme)["page"]) >= 3


def test_a_and_b_differ_for_every_eye() -> None:
    """Okabe and Ito's orange and blue; in grey, too, and their shapes differ."""
    colour = variables("light")
    assert (colour["a"], colour["b"]) == ("#e69f00", "#0072b2")
    assert contrast(colour["a"], colour["b"]) > 2
