"""Workers of Mechanical Turk and Prolific: their parameters, visits, tasks, and handing in."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from annotation_samples import NOW, SETTINGS, add_people, answers, fill, key
from annotation_studio import make_project
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, update

from nearfar.annotation import schema
from nearfar.annotation.database import connect, migrate, transaction, with_retries
from nearfar.annotation.external.visits import (
    Arrival,
    RefusedError,
    Visit,
    complete,
    is_done,
    mturk_arrival,
    open_visit,
    prolific_arrival,
    start_visit_session,
    take_task,
    visit_of_session,
)
from nearfar.annotation.people import Person
from nearfar.annotation.projects.project import Project
from nearfar.annotation.queue import record
from nearfar.annotation.queue.blocking import ban, block_person
from nearfar.annotation.settings import Settings
from nearfar.annotation.web.app import create_app
from nearfar.errors import InputError

KEY = "ab" * 24
TICKET = {
    "key": KEY,
    "assignmentId": "3ASSIGNMENT",
    "hitId": "3HIT",
    "workerId": "AWORKER",
    "turkSubmitTo": "https://workersandbox.mturk.com",
}
ARRIVAL = Arrival("mturk", "AWORKER", "3ASSIGNMENT", "3HIT", "https://workersandbox.mturk.com", KEY)
STUDY = replace(SETTINGS, prolific_study="5study", prolific_code="CODE1")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    migrate(engine)
    fill(engine, poses=4, pairs=3, people=0)
    with transaction(engine) as connection:
        register(connection)
    yield engine
    engine.dispose()


def register(connection, **changes: object) -> None:
    """Note the HIT that the ticket is of."""
    row = {
        "request_token": KEY, "hit_id": "3HIT", "sandbox": True, "title": "t", "reward_cents": 1, "assignments": 1,
        "created_at": NOW, "expires_at": NOW, "state": "created",
    }  # fmt: skip
    connection.execute(schema.hit.insert().values({**row, **changes}))


def enter(engine: Engine, arrival: Arrival = ARRIVAL, settings: Settings = SETTINGS) -> tuple[Visit, Person]:
    return with_retries(engine, lambda connection: open_visit(connection, settings, arrival, NOW))


def enter_working(engine: Engine, arrival: Arrival = ARRIVAL, settings: Settings = SETTINGS) -> Visit:
    visit, person = enter(engine, arrival, settings)
    with transaction(engine) as connection:
        connection.execute(update(schema.person).where(schema.person.c.id == person.id).values(stage="working"))
    return visit


def hand_in(engine: Engine, visit: Visit, settings: Settings = SETTINGS, now: float = NOW):
    return with_retries(engine, lambda connection: complete(connection, settings, visit, now))


def done(engine: Engine, visit: Visit) -> bool:
    with engine.connect() as connection:
        return is_done(connection, visit)


def test_parameters_of_mechanical_turk() -> None:
    assert mturk_arrival(TICKET.items()) == ARRIVAL
    assert mturk_arrival({**TICKET, "new": "from Amazon"}.items()) == ARRIVAL
    assert mturk_arrival({"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE", "hitId": "<script>"}.items()) is None


@pytest.mark.parametrize("name", ["assignmentId", "hitId", "workerId", "turkSubmitTo", "key"])
@pytest.mark.parametrize(
    "value", ["", "x" * 65, "A" * 4000, "a b", "<script>", "A'--", "A\n", "../A", "\u0410BC", "A\0"]
)
def test_parameters_that_cannot_be(name: str, value: str) -> None:
    if (name, value) == ("key", ""):
        return
    with pytest.raises(InputError, match=f"^{name}: "):
        mturk_arrival({**TICKET, name: value}.items())


@pytest.mark.parametrize("name", ["assignmentId", "hitId", "workerId", "turkSubmitTo"])
def test_parameters_that_are_missing_or_twice(name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}: "):
        mturk_arrival(item for item in TICKET.items() if item[0] != name)
    with pytest.raises(InputError, match=f"{name}: given twice"):
        mturk_arrival([*TICKET.items(), (name, TICKET[name])])


@pytest.mark.parametrize(
    "url",
    [
        "http://www.mturk.com", "https://evil.example", "https://www.mturk.com.evil.example", "//www.mturk.com",
        "https://www.mturk.com@evil.example", "https://evil@www.mturk.com", "https://www.mturk.com:8443",
        "https://www.mturk.com/elsewhere", "https://www.mturk.com?x", "https://www.mturk.com#x", "javascript:alert(1)",
        "https://[", "https://www.mturk.com\\@evil.example", "https://sub.www.mturk.com",
    ],
)  # fmt: skip
def test_work_is_handed_in_at_mechanical_turk_only(url: str) -> None:
    with pytest.raises(InputError, match="turkSubmitTo"):
        mturk_arrival({**TICKET, "turkSubmitTo": url}.items())


@given(st.dictionaries(st.sampled_from(list(TICKET)), st.text(), max_size=5))
def test_any_parameters_give_an_arrival_or_one_error(given: dict[str, str]) -> None:
    try:
        arrival = mturk_arrival({**TICKET, **given}.items())
    except InputError:
        return
    assert arrival is None or arrival.submit_url in ("https://www.mturk.com", "https://workersandbox.mturk.com")


def test_parameters_of_prolific() -> None:
    ticket = {"PROLIFIC_PID": "5person", "STUDY_ID": "5study", "SESSION_ID": "5session"}
    assert prolific_arrival(ticket.items()) == Arrival("prolific", "5person", "5session", "5study")
    for name in ticket:
        with pytest.raises(InputError, match=f"{name}: missing"):
            prolific_arrival(item for item in ticket.items() if item[0] != name)
        with pytest.raises(InputError, match=f"{name}: expected"):
            prolific_arrival({**ticket, name: "{{%X%}}"}.items())


def test_coming_again_is_the_same_visit(engine: Engine) -> None:
    first, person = enter(engine)
    again, same = enter(engine)
    assert (first, person.id) == (again, same.id)
    assert (person.platform, person.external_id, person.role, person.stage) == (
        "mturk", "AWORKER", "annotator", "tutorial",
    )  # fmt: skip
    other, same = enter(engine, replace(ARRIVAL, assignment_id="3SECOND"))
    assert other.id != first.id
    assert same.id == person.id


def test_an_assignment_belongs_to_one_worker_and_one_hit(engine: Engine) -> None:
    enter(engine)
    for change in ({"worker_id": "AOTHER"}, {"batch_id": "3OTHER"}):
        with pytest.raises(RefusedError) as caught:
            enter(engine, replace(ARRIVAL, **change))
        assert caught.value.reason == "assignment"
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(schema.person)).scalar() == 1


def test_coming_twice_at_once_is_one_visit(engine: Engine) -> None:
    found: list[tuple[Visit, Person]] = []
    ready = threading.Barrier(6)

    def come() -> None:
        ready.wait()
        found.append(enter(engine))

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len({visit.id for visit, _ in found}) == len({person.id for _, person in found}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"key": ""}, {"key": "cd" * 24}, {"batch_id": "3STRANGE"},
        {"submit_url": "https://www.mturk.com"},  # the key is of the sandbox
    ],
)  # fmt: skip
def test_hits_that_are_not_ours_are_refused(engine: Engine, change: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as caught:
        enter(engine, replace(ARRIVAL, **change))
    assert caught.value.reason == "hit"
    enter(engine, replace(ARRIVAL, **change), replace(SETTINGS, unregistered_hits=True))


def test_a_worker_may_be_faster_than_the_answer_of_create(engine: Engine) -> None:
    with transaction(engine) as connection:
        register(connection, request_token="ef" * 24, hit_id=None, state="planned")
    enter(engine, replace(ARRIVAL, key="ef" * 24, batch_id="3NEW"))


def test_studies_that_are_not_ours_are_refused(engine: Engine) -> None:
    arrival = Arrival("prolific", "5person", "5session", "5study")
    for settings in (SETTINGS, replace(STUDY, prolific_study="5other")):
        with pytest.raises(RefusedError) as caught:
            enter(engine, arrival, settings)
        assert caught.value.reason == "study"
    visit, _ = enter(engine, arrival, STUDY)
    assert visit.platform == "prolific"


def test_a_ban_works_before_the_worker_comes(engine: Engine) -> None:
    ban(engine, SETTINGS, "mturk", "AWORKER", "spam elsewhere", NOW)
    _, person = enter(engine)
    assert person.blocked
    assert person.block_reason == "spam elsewhere"
    _, other = enter(engine, replace(ARRIVAL, worker_id="AHONEST", assignment_id="3OTHER"))
    assert not other.blocked


def test_a_visit_is_one_task_resumed_and_then_done(engine: Engine) -> None:
    visit = enter_working(engine)
    task = take_task(engine, SETTINGS, visit, NOW)
    assert task is not None
    assert take_task(engine, SETTINGS, visit, NOW + 1).id == task.id
    assert not done(engine, visit)
    with pytest.raises(InputError, match="not all answered"):
        hand_in(engine, visit)
    record(engine, SETTINGS, task.person_id, answers(task, "a", 1), NOW + 5)
    assert done(engine, visit)
    assert take_task(engine, SETTINGS, visit, NOW + 6) is None


def test_handing_in_twice_is_handing_in_once(engine: Engine) -> None:
    visit = enter_working(engine)
    task = take_task(engine, SETTINGS, visit, NOW)
    record(engine, SETTINGS, task.person_id, answers(task, "a", 1), NOW)
    first, again = hand_in(engine, visit, now=NOW + 1), hand_in(engine, visit, now=NOW + 99)
    assert first == again
    assert first.url == "https://workersandbox.mturk.com/mturk/externalSubmit"
    assert first.fields == {"assignmentId": "3ASSIGNMENT", "code": first.code, "answers": str(len(task.questions))}
    assert re.fullmatch("[0-9A-F]{20}", first.code)
    with engine.connect() as connection:
        assert connection.execute(select(schema.visit.c.submitted_at)).scalar() == NOW + 1
    again_later, _ = enter(engine)
    assert hand_in(engine, again_later) == first


def test_codes_differ(engine: Engine) -> None:
    codes = set()
    for i in range(2):
        visit = enter_working(engine, replace(ARRIVAL, worker_id=f"AWORKER{i}", assignment_id=f"3NUMBER{i}"))
        task = take_task(engine, SETTINGS, visit, NOW)
        record(engine, SETTINGS, task.person_id, answers(task, "a", 100 * i), NOW)
        codes.add(hand_in(engine, visit).code)
    assert len(codes) == 2


def test_prolific_goes_back_with_the_studys_code(engine: Engine) -> None:
    arrival = Arrival("prolific", "5person", "5session", "5study")
    visit = enter_working(engine, arrival, STUDY)
    task = take_task(engine, STUDY, visit, NOW)
    record(engine, STUDY, task.person_id, answers(task, "a", 1), NOW)
    told = hand_in(engine, visit, STUDY)
    assert (told.method, told.url, told.code) == (
        "get", "https://app.prolific.com/submissions/complete?cc=CODE1", "CODE1",
    )  # fmt: skip
    without = hand_in(engine, visit, replace(STUDY, prolific_code=""))
    assert without.method == "code"
    assert re.fullmatch("[0-9A-F]{20}", without.code)


def test_an_unfinished_task_goes_with_the_worker(engine: Engine) -> None:
    """A worker returned the first assignment in the middle, and goes on in a second one; each is paid by a task."""
    first = enter_working(engine)
    task = take_task(engine, SETTINGS, first, NOW)
    record(engine, SETTINGS, task.person_id, answers(task, "a", 1)[:1], NOW)
    second = enter_working(engine, replace(ARRIVAL, assignment_id="3SECOND"))
    assert take_task(engine, SETTINGS, second, NOW).id == task.id
    record(engine, SETTINGS, task.person_id, answers(task, "a", 1)[1:], NOW)
    assert done(engine, second)
    assert not done(engine, first)
    other = take_task(engine, SETTINGS, first, NOW)
    assert other.id != task.id
    assert done(engine, second)


def test_a_task_that_others_finished_meanwhile_is_done(engine: Engine) -> None:
    """What was left of it is not needed any more: who answered a part can hand in."""
    settings = replace(SETTINGS, images_per_task=4)
    visit = enter_working(engine, settings=settings)
    task = take_task(engine, settings, visit, NOW)
    record(engine, settings, task.person_id, answers(task, "a", 1)[:1], NOW)
    with transaction(engine) as connection:
        connection.execute(update(schema.pair).values(closed="admin", need=0))
    assert take_task(engine, settings, visit, NOW + 10 * settings.lease_minutes * 60) is None
    assert done(engine, visit)


def test_nothing_left_is_not_done(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(update(schema.pair).values(closed="admin", need=0))
    visit = enter_working(engine)
    assert take_task(engine, SETTINGS, visit, NOW) is None
    assert not done(engine, visit)


def test_sessions_know_their_visit(engine: Engine) -> None:
    visit, _ = enter(engine)
    other, _ = enter(engine, replace(ARRIVAL, assignment_id="3SECOND"))
    with transaction(engine) as connection:
        sessions = [start_visit_session(connection, each, NOW) for each in (visit, other)]
        assert [visit_of_session(connection, session.token).id for session in sessions] == [visit.id, other.id]
        add_people(engine, [77], "working", connection)
        assert visit_of_session(connection, "unknown") is None


# The pages


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = make_project(
        tmp_path_factory.mktemp("external"), 6, images_per_task=1, pairs_per_image=2, tutorial=1,
        prolific_study="5study", prolific_code="CODE1",
    )  # fmt: skip
    with transaction(project.engine) as connection:
        register(connection)
    yield project
    project.close()


@pytest.fixture
def client(project: Project) -> TestClient:
    return TestClient(create_app(project), base_url="http://localhost", follow_redirects=False)


def ticket(**changes: str) -> dict[str, str]:
    return {**TICKET, **changes}


def test_preview_shows_and_asks_nothing(client: TestClient, project: Project) -> None:
    with project.engine.connect() as connection:
        before = connection.execute(select(func.count()).select_from(schema.person)).scalar()
    response = client.get("/external/mturk", params={"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE", "hitId": "3HIT"})
    assert response.status_code == 200
    assert "This is a preview" in response.text
    assert "nearfar-session" not in response.text
    assert "set-cookie" not in response.headers
    with project.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(schema.person)).scalar() == before


def test_only_mechanical_turk_may_frame_its_page_and_no_other(client: TestClient) -> None:
    for params in (ticket(), {"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE"}, ticket(workerId="AOTHER"), {}):
        response = client.get("/external/mturk", params=params)
        policy = response.headers["content-security-policy"]
        assert "frame-ancestors https://*.mturk.com" in policy
        assert "form-action 'self' https://www.mturk.com https://workersandbox.mturk.com" in policy
        assert "script-src 'self';" in policy
        assert "x-frame-options" not in response.headers
    prolific = client.get("/external/prolific", params={"PROLIFIC_PID": "5p", "STUDY_ID": "5study", "SESSION_ID": "5s"})
    assert "frame-ancestors 'none'" in prolific.headers["content-security-policy"]
    assert prolific.headers["x-frame-options"] == "DENY"


def test_a_whole_visit_without_cookies(client: TestClient, project: Project) -> None:
    params = ticket(workerId="AWHOLE", assignmentId="3WHOLE")
    first = client.get("/external/mturk", params=params)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-store"
    assert not client.cookies
    bearer = {"Authorization": "Bearer " + re.search(r'nearfar-session" content="([^"]+)', first.text)[1]}
    assert client.get("/ask").status_code == 401
    assert client.get("/ask", headers=bearer).headers["location"] == "/tutorial"
    assert client.get("/tutorial", headers=bearer).status_code == 200
    assert client.post("/tutorial", headers=bearer).headers["location"] == "/ask"
    assert client.get("/ask", headers=bearer).status_code == 200
    assert client.get("/done", headers=bearer).headers["location"] == "/ask"  # not yet
    told = client.post("/api/task", headers=bearer, json={}).json()
    assert told["task"]["kind"] == "work"
    assert client.get(told["task"]["questions"][0]["image"], headers=bearer).headers["content-type"] == "image/jpeg"
    events = [
        {"key": key(5000 + i), "question": question["id"], "revision": 1, "choice": "b", "response_ms": 800,
         "answered_at": 1.7e9}
        for i, question in enumerate(told["task"]["questions"])
    ]  # fmt: skip
    assert client.post("/api/answers", headers=bearer, json={"events": events}).json()["task_done"]
    assert client.post("/api/task", headers=bearer, json={}).json() == {"task": None, "next": "/done"}
    page = client.get("/done", headers=bearer)
    form = re.search(r'<form method="post" action="([^"]+)"', page.text)
    assert form[1] == "https://workersandbox.mturk.com/mturk/externalSubmit"
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)"', page.text))
    assert fields["assignmentId"] == "3WHOLE"
    assert fields["answers"] == "2"
    assert client.get("/done", headers=bearer).text == page.text
    again = client.get("/external/mturk", params=params)
    assert json.loads(re.search(r'id="config">(.*?)</script>', again.text)[1]) == {"next": "/done"}


def test_prolific_ends_with_a_link(client: TestClient) -> None:
    params = {"PROLIFIC_PID": "5link", "STUDY_ID": "5study", "SESSION_ID": "5visit"}
    first = client.get("/external/prolific", params=params)
    bearer = {"Authorization": "Bearer " + re.search(r'nearfar-session" content="([^"]+)', first.text)[1]}
    client.get("/tutorial", headers=bearer)
    client.post("/tutorial", headers=bearer)
    task = client.post("/api/task", headers=bearer, json={}).json()["task"]
    events = [
        {"key": key(6000 + i), "question": question["id"], "revision": 1, "choice": "a", "response_ms": 800,
         "answered_at": 1.7e9}
        for i, question in enumerate(task["questions"])
    ]  # fmt: skip
    client.post("/api/answers", headers=bearer, json={"events": events})
    page = client.get("/done", headers=bearer).text
    assert 'href="https://app.prolific.com/submissions/complete?cc=CODE1"' in page


@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        (ticket(workerId="ASTRANGER"), 403, "opened by somebody else"),
        (ticket(assignmentId="3X", key=""), 403, "does not belong to the project"),
        (ticket(assignmentId="3X", turkSubmitTo="https://evil.example"), 400, "not complete, or was changed"),
        (ticket(assignmentId="<script>alert(1)</script>"), 400, "not complete, or was changed"),
        ({}, 400, "not complete, or was changed"),
    ],
)
def test_who_is_refused_is_told_politely(client: TestClient, params: dict[str, str], status: int, words: str) -> None:
    client.get("/external/mturk", params=ticket())
    response = client.get("/external/mturk", params=params)
    assert response.status_code == status
    assert words in response.text
    assert "Please return the HIT" in response.text
    assert "<script>alert" not in response.text
    assert "nearfar-session" not in response.text


def test_blocked_workers_get_a_polite_page(client: TestClient, project: Project) -> None:
    client.get("/external/mturk", params=ticket(workerId="ABAD", assignmentId="3BAD"))
    with project.engine.connect() as connection:
        person = connection.execute(select(schema.person.c.id).where(schema.person.c.external_id == "ABAD")).scalar()
    block_person(project.engine, project.settings, person, "spam", NOW)
    response = client.get("/external/mturk", params=ticket(workerId="ABAD", assignmentId="3BAD"))
    assert response.status_code == 403
    assert "We do not offer you any further tasks" in response.text
    assert "spam" not in response.text
    assert "nearfar-session" not in response.text


def test_public_examples_are_never_images_of_the_project(client: TestClient, project: Project) -> None:
    pair = schema.pair
    with project.engine.connect() as connection:
        rows = connection.execute(select(pair.c.id, pair.c.purpose).where(pair.c.pose_id < schema.LESSON_POSES)).all()
    assert {"work", "tutorial"} <= {purpose for _, purpose in rows}
    assert {client.get(f"/external/examples/{number}").status_code for number, _ in rows} == {404}
    preview = client.get("/external/mturk", params={"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE"})
    assert "/external/examples/" not in preview.text
    assert client.get("/external/examples/999999999999999999999").status_code in (404, 422)


def test_templates_say_what_the_texts_have() -> None:
    """Every text that the pages of this room ask for exists (Jinja fails otherwise only when it gets there)."""
    folder = Path(__file__).resolve().parents[1] / "src" / "nearfar" / "annotation" / "web"
    texts = (folder / "texts" / "en.toml").read_text("utf-8").partition("[external]")[2].partition("\n[")[0]
    for path in folder.glob("templates/*.html"):
        for name in re.findall(r't\("external\.(\w+)"[,)]', path.read_text("utf-8")):
            assert f"\n{name} = " in texts, f"{path.name}: external.{name}"
