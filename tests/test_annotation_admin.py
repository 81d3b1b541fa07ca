"""The pages of admins and viewers: what they show and do, and who may see them."""

from __future__ import annotations

import html
import random
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from uuid import uuid4

import postgresql
import pyarrow.parquet as pq
import pytest
from annotation_studio import join, make_project
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import insert, select, update

from nearfar.annotation import browsing, people, schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.projects.project import Project
from nearfar.annotation.queue import Event, next_task, overrides, record, recount
from nearfar.annotation.queue.refreshing import refresh
from nearfar.annotation.schema import Role
from nearfar.annotation.sessions import Session
from nearfar.annotation.web import charts
from nearfar.annotation.web.app import create_app
from nearfar.errors import InputError
from nearfar.web.protection import Protection
from nearfar.web.rates import Rate

HOME = "http://localhost"
OPEN_RATES = Protection(
    session_rate=Rate(1e6, 1e6), address_rate=Rate(1e6, 1e6), sign_in_rate=Rate(1e6, 1e6), export_rate=Rate(1e6, 1e6)
)
HOSTILE = '<script>alert("1")</script>\'"><img src=x onerror=alert(1)>'

PUBLIC = {
    ("GET", "/"), ("GET", "/join"), ("POST", "/join"), ("POST", "/join/look"), ("GET", "/healthz"),
    ("GET", "/static/{version}/{name}"), ("GET", "/external/mturk"), ("GET", "/external/prolific"),
    ("GET", "/external/examples/{pair_id}"),
}  # fmt: skip
FOR_VIEWERS = {
    "/admin", "/admin/pairs", "/admin/pairs/{pair_id}", "/admin/images/{pose_id}", "/admin/export",
    "/admin/export/{form}", "/admin/settings",
}  # fmt: skip


def answer_some(project: Project, names: list[str], tasks: int = 2) -> None:
    """A crowd at work: in the last twenty minutes, one of them always takes A."""
    rng = random.Random(0)
    start = time.time() - 1200
    for name in names:
        with project.engine.connect() as connection:
            person = people.find_person(connection, name)
        assert person is not None
        for number in range(tasks):
            now = start + 1100 * number / tasks
            task = next_task(project.engine, project.settings, person.id, "work", now)
            if task is None:
                break
            choices = ["a"] if name == "Always A" else ["a", "b", "a", "b", "same", "unsure"]
            events = [
                Event(str(uuid4()), question.id, 1, rng.choice(choices), rng.randrange(300, 4000), now)
                for question in task.questions
            ]  # fmt: skip
            record(project.engine, project.settings, person.id, events, now)
    refresh(project.engine, project.settings)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "postgresql":
            server = request.getfixturevalue("postgresql_server")
            patch.setenv("NEARFAR_DATABASE", postgresql.new_database(server))
        yield from _filled_project(tmp_path_factory)


def _filled_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = make_project(tmp_path_factory.mktemp("admin"), 20, answers=4, price_per_answer=0.02, gold_share=0.2)
    names = ["Ada", "Bo", "Always A", "مريم"]
    for name in names:
        join(made, name)
    with made.engine.connect() as connection:
        ids = list(connection.execute(select(schema.pair.c.id).limit(5)).scalars())
    for id_ in ids:
        with_retries(made.engine, lambda c, id_=id_: overrides.make_gold(c, id_, 1, "", time.time()))
    answer_some(made, names)
    yield made
    made.close()


@pytest.fixture(scope="module")
def app(project: Project) -> FastAPI:
    return create_app(project, protection=OPEN_RATES)


_numbers = iter(range(10**6))


class Browser(TestClient):
    """Signed in with a role, or a stranger."""

    def __init__(self, app: FastAPI, role: Role | None = None) -> None:
        super().__init__(app, base_url=HOME, follow_redirects=False, raise_server_exceptions=False)
        self.headers["Accept"] = "text/html"
        self.session: Session | None = None
        if role is not None:
            self.session = join(app.state.project, f"{role} {next(_numbers)}", role)
            self.headers["Cookie"] = f"nearfar={self.session.token}"

    @property
    def id(self) -> int:
        assert self.session is not None
        return self.session.person.id

    def submit(self, path: str, **fields: Any) -> Any:
        """Send a form as our pages do."""
        token = self.session.csrf_token if self.session else ""
        return self.post(path, data={"csrf_token": token, **fields}, headers={"Origin": HOME})


@pytest.fixture(scope="module")
def admin(app: FastAPI) -> Browser:
    return Browser(app, "admin")


@pytest.fixture(scope="module")
def viewer(app: FastAPI) -> Browser:
    return Browser(app, "viewer")


@pytest.fixture(scope="module")
def annotator(app: FastAPI) -> Browser:
    return Browser(app, "annotator")


def first_pair(project: Project, show: browsing.Show = "open") -> browsing.PairView:
    with project.engine.connect() as connection:
        return browsing.browse(connection, show)[0][0]


# Who may see what


def all_routes(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route, also of routers that are included (whichever way FastAPI does that)."""
    found: list[tuple[str, str]] = []

    def walk(routes: list[Any]) -> None:
        for route in routes:
            if hasattr(route, "methods"):
                found.extend((method, route.path) for method in route.methods)
            elif hasattr(route, "original_router"):
                walk(route.original_router.routes)
            else:
                raise AssertionError(f"a route of an unknown kind: {route!r}")

    walk(app.routes)
    documented = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    assert len(found) == len(documented), "prefixes or hidden routes that this test does not see"
    return sorted(documented)


def ask(browser: Browser, method: str, path: str) -> int:
    """The status of a request that is well-formed."""
    path = path.replace("{form}", "csv").replace("{version}", "x").replace("{name}", "style.css")
    path = re.sub(r"\{\w+\}", "1", path)
    if method == "GET":
        return browser.get(path).status_code
    if path.startswith("/api/"):
        bodies = {"/api/task": {}, "/api/answers": {"events": []}, "/api/comments": {"text": "hello"}}
        token = browser.session.csrf_token if browser.session else ""
        return browser.post(path, json=bodies.get(path, {}), headers={"X-CSRF-Token": token}).status_code
    fields = {"role": "viewer", "name": "x", "reason": "x", "more": "1", "truth": "1", "token": "x"}
    return browser.submit(path, **fields).status_code


def test_strangers_see_nothing_but_the_entry(app: FastAPI) -> None:
    routes = all_routes(app)
    assert len(routes) > 35
    stranger = Browser(app)
    passed = {route for route in routes if ask(stranger, *route) != 401}
    assert passed == PUBLIC & set(routes)


def test_annotators_and_viewers_are_kept_out(app: FastAPI) -> None:
    annotator, viewer = Browser(app, "annotator"), Browser(app, "viewer")
    for method, path in all_routes(app):
        if path.startswith("/admin"):
            assert ask(annotator, method, path) == 403, (method, path)
            for_viewers = method == "GET" and path in FOR_VIEWERS
            assert (ask(viewer, method, path) in (200, 404)) == for_viewers, (method, path)
            assert for_viewers or ask(viewer, method, path) == 403
        elif (method, path) not in PUBLIC and path != "/leave":
            assert ask(viewer, method, path) == 403, (method, path)


def test_admins_see_everything(admin: Browser, project: Project, app: FastAPI) -> None:
    pages = ["", "/pairs", "/people", "/comments", "/export", "/settings", "/audit", f"/people/{admin.id}"]
    pages += [
        f"/pairs/{first_pair(project).id}",
        *(f"/pairs?show={show}" for show in ("open", "closed", "gold", "all")),
    ]
    for page in pages:
        response = admin.get(f"/admin{page}")
        assert response.status_code == 200, page
        assert response.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert not re.search(
            r"<script(?! type=\"module\" src=\"/static/)|\son\w+=|\sstyle=|javascript:", response.text
        ), page
        assert response.text.count("<h1") == 1


def test_people_start_where_they_belong(app: FastAPI, admin: Browser, viewer: Browser, annotator: Browser) -> None:
    homes = [browser.get("/").headers.get("location") for browser in (admin, viewer, annotator)]
    assert homes == ["/admin", "/admin", "/ask"]
    assert Browser(app).get("/").status_code == 200


def test_viewers_see_nothing_that_they_cannot_do(viewer: Browser, project: Project) -> None:
    for page in ("", "/pairs", "/export", f"/pairs/{first_pair(project).id}"):
        text = viewer.get(f"/admin{page}").text
        assert "/admin/people" not in text
        assert "/admin/audit" not in text
        assert 'action="/admin/pairs/' not in text
        assert "names=true" not in text


# People


def invite(browser: Browser, name: str, role: str = "annotator") -> str:
    response = browser.submit("/admin/invitations", name=name, role=role)
    assert response.status_code == 200, response.text
    address = html.unescape(re.search(r'value="(http://localhost/join#[^"]+)"', response.text).group(1))  # type: ignore[union-attr]
    return address.partition("#")[2]


def test_an_invitation_is_shown_once_and_works_once(app: FastAPI, admin: Browser) -> None:
    token = invite(admin, "Hanna")
    assert token not in admin.get("/admin/people").text
    assert "Hanna" in admin.get("/admin/people").text
    guest = Browser(app)
    assert guest.get("/join").status_code == 200
    assert guest.post("/join/look", data={"token": token}).json() == {"usable": True, "name": "Hanna"}
    response = guest.submit("/join", token=token)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert "HttpOnly" in response.headers["set-cookie"]
    assert guest.post("/join/look", data={"token": token}).json() == {"usable": False, "name": None}
    again = Browser(app).submit("/join", token=token)
    assert again.status_code == 403
    assert "set-cookie" not in again.headers
    guest.headers["Cookie"] = response.headers["set-cookie"].partition(";")[0]
    assert guest.get("/").headers["location"] == "/ask"


def test_who_is_invited_without_a_name_chooses_one(app: FastAPI, admin: Browser) -> None:
    token = invite(admin, "", "viewer")
    guest = Browser(app)
    assert guest.post("/join/look", data={"token": token}).json() == {"usable": True, "name": None}
    taken = guest.submit("/join", token=token, name="Ada")
    assert taken.status_code == 422
    assert token in taken.text
    assert guest.submit("/join", token=token, name="Tom").status_code == 303


def test_sessions_are_not_fixed_and_end(app: FastAPI, admin: Browser) -> None:
    """A session that somebody planted in the browser does not become that of who signs in, and ends."""
    planted = Browser(app, "annotator")
    assert planted.session is not None
    before = planted.session.token
    response = planted.submit("/join", token=invite(admin, "Victim"))
    after = re.search(r"nearfar=([^;]+)", response.headers["set-cookie"]).group(1)  # type: ignore[union-attr]
    assert after != before
    assert planted.get("/ask").status_code == 401
    planted.headers["Cookie"] = f"nearfar={after}"
    assert planted.post("/leave").status_code == 403  # without the CSRF token
    assert planted.get("/").headers["location"] == "/ask"
    page = planted.get("/tutorial").text
    token = re.search(r'data-csrf="([^"]+)"', page).group(1)  # type: ignore[union-attr]
    left = planted.post("/leave", data={"csrf_token": token})
    assert left.status_code == 303
    assert "Max-Age=0" in left.headers["set-cookie"]
    assert planted.get("/ask").status_code == 401


def test_admins_block_people_and_let_them_in_again(app: FastAPI, admin: Browser, project: Project) -> None:
    someone = Browser(app, "annotator")
    answer_some(project, [someone.session.person.name], tasks=1)  # type: ignore[union-attr]
    page = f"/admin/people/{someone.id}"
    assert admin.submit(f"{page}/block", reason=" ").status_code == 422
    assert admin.submit(f"{page}/block", reason=HOSTILE).headers["location"] == page
    assert "alert(&#34;1&#34;)" in admin.get(page).text
    blocked = someone.get("/ask")
    assert blocked.status_code == 403
    assert "spam" not in blocked.text
    assert HOSTILE not in blocked.text
    assert recount(project.engine, project.settings) == 0
    assert admin.submit(f"{page}/link").status_code == 422
    assert admin.submit(f"{page}/unblock").status_code == 303
    assert recount(project.engine, project.settings) == 0
    link = admin.submit(f"{page}/link")
    assert link.status_code == 200
    assert "/join#" in link.text
    assert admin.submit(f"/admin/people/{admin.id}/block", reason="me").status_code == 422
    log = admin.get("/admin/audit").text
    assert "unblocked" in log
    assert link.text.partition("/join#")[2][:43] not in log


def test_admins_rename_people_and_change_roles(app: FastAPI, admin: Browser) -> None:
    someone = Browser(app, "annotator")
    page = f"/admin/people/{someone.id}"
    assert admin.submit(f"{page}/rename", name="Zoë").status_code == 303
    assert admin.submit(f"{page}/rename", name="Ada").status_code == 422
    assert "Zoë" in admin.get(page).text
    assert admin.submit(f"{page}/role", role="root").status_code == 422
    assert admin.submit(f"{page}/role", role="admin").status_code == 303
    assert someone.get("/ask").status_code == 401  # the session ended with the role
    assert admin.submit(f"/admin/people/{admin.id}/role", role="viewer").status_code == 422


def test_links_are_taken_back(app: FastAPI, admin: Browser) -> None:
    token = invite(admin, "Gone")
    number = re.findall(r"/admin/invitations/(\d+)/revoke", admin.get("/admin/people").text)[0]
    assert admin.submit(f"/admin/invitations/{number}/revoke").status_code == 303
    assert admin.submit(f"/admin/invitations/{number}/revoke").status_code == 422
    assert Browser(app).submit("/join", token=token).status_code == 403


# Pairs


def test_disputed_pairs_come_first_and_are_paged(project: Project) -> None:
    with project.engine.connect() as connection:
        seen: list[browsing.PairView] = []
        after = None
        while True:
            page, after = browsing.browse(connection, "disputed", after=after, most=3)
            seen += page
            if after is None:
                break
        assert len(seen) > 6
        assert len({pair.id for pair in seen}) == len(seen)
        risks = [pair.risk for pair in seen]
        assert risks == sorted(risks, reverse=True)  # type: ignore[type-var]
        joint = seen[0].joint_a
        some, _ = browsing.browse(connection, "disputed", joint=joint, most=1000)
        assert [pair.id for pair in some] == [pair.id for pair in seen if joint in (pair.joint_a, pair.joint_b)]


def test_the_next_page_asks_for_the_same_joint_whatever_its_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "a&show=gold#+%41"
    joints = tuple(odd if name == "neck" else name for name in project.skeleton.joints)
    renamed = replace(project, skeleton=replace(project.skeleton, joints=joints))
    viewer = Browser(create_app(renamed, protection=OPEN_RATES), "viewer")
    first_page = partial(browsing.browse, most=1)
    monkeypatch.setattr(browsing, "browse", first_page)
    text = viewer.get("/admin/pairs", params={"show": "all", "joint": odd}).text
    more = next(link for link in re.findall(r'href="(/admin/pairs[?][^"]*)"', text) if "after=" in link)
    asked = parse_qs(urlsplit(html.unescape(more)).query, strict_parsing=True)
    assert (asked["show"], asked["joint"]) == (["all"], [odd])


def test_votes_are_told_in_the_order_of_the_pair(project: Project) -> None:
    question, pair = schema.question, schema.pair
    with project.engine.connect() as connection:
        rows = connection.execute(
            select(question.c.pair_id, question.c.person_id, question.c.choice, question.c.swapped).where(
                question.c.state == "answered"
            )
        ).all()
        told = browsing.votes(connection, [row.pair_id for row in rows])
        relation = {"same": 0, "unsure": None}
        wanted = {
            (row.pair_id, row.person_id): relation.get(row.choice, (-1 if (row.choice == "a") != row.swapped else 1))
            for row in rows
        }
        assert {(vote.pair_id, vote.person_id): vote.relation for votes in told.values() for vote in votes} == wanted
        assert set(wanted.values()) == {-1, 0, 1, None}
        assert connection.execute(select(pair.c.id)).first()


def test_admins_decide_on_pairs(admin: Browser, project: Project) -> None:
    pair = first_pair(project)
    page = f"/admin/pairs/{pair.id}"

    def now() -> browsing.PairView:
        with project.engine.connect() as connection:
            return browsing.get_pair(connection, pair.id)

    for wrong in ("0", "101", "-1", "x", ""):
        assert admin.submit(f"{page}/more", more=wrong).status_code == 422
    assert admin.submit(f"{page}/more", more="2").headers["location"] == page
    assert now().wanted == pair.wanted + 2
    assert admin.submit(f"{page}/close").status_code == 303
    assert now().closed == "admin"
    assert admin.submit(f"{page}/reopen").status_code == 303
    assert now().closed is None
    assert now().wanted > now().answered
    for wrong in ("2", "a", ""):
        assert admin.submit(f"{page}/gold", truth=wrong).status_code == 422
    assert admin.submit(f"{page}/gold", truth="-1", explanation=HOSTILE).status_code == 303
    assert admin.submit(f"{page}/gold", truth="-1").status_code == 422  # once only
    assert now().closed == "admin"
    assert admin.submit("/admin/pairs/999999/close").status_code == 422
    assert admin.get("/admin/pairs/999999").status_code == 422
    assert recount(project.engine, project.settings) == 0
    with project.engine.connect() as connection:
        gold = browsing.browse(connection, "gold", most=100)[0][-1]
    assert (gold.pose_id, gold.joint_a, gold.joint_b, gold.truth) == (pair.pose_id, pair.joint_a, pair.joint_b, -1)
    text = admin.get(f"/admin/pairs/{gold.id}").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert admin.submit(f"/admin/pairs/{gold.id}/more", more="1").status_code == 422  # gold has no end


def test_overrides_refuse_nonsense(project: Project) -> None:
    pair = first_pair(project)
    for truth, explanation in ((2, ""), (1, "x" * 501)):
        with pytest.raises(InputError):
            with_retries(project.engine, lambda c: overrides.make_gold(c, pair.id, truth, explanation, 0.0))  # noqa: B023
    with pytest.raises(InputError, match="1 to 100"):
        with_retries(project.engine, lambda c: overrides.ask_more(c, pair.id, 0, 0.0))
    for _ in range((1000 - max(pair.wanted, pair.answered)) // 100):
        with_retries(project.engine, lambda c: overrides.ask_more(c, pair.id, 100, 0.0))
    with pytest.raises(InputError, match="more than 1000"):
        with_retries(project.engine, lambda c: overrides.ask_more(c, pair.id, 100, 0.0))


def test_pictures_are_for_viewers(viewer: Browser, annotator: Browser, project: Project) -> None:
    pair = first_pair(project)
    response = viewer.get(f"/admin/images/{pair.pose_id}")
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["cache-control"].startswith("private")
    assert Image.open(BytesIO(response.content)).size == (pair.crop_width, pair.crop_height)
    assert annotator.get(f"/admin/images/{pair.pose_id}").status_code == 403
    for path in ("999999", "-1", "../../etc/passwd", "..%2f..%2fproject.toml", "%00", "1e3", "9" * 40):
        assert viewer.get(f"/admin/images/{path}").status_code in (404, 422), path


# Numbers and exports


def test_the_dashboard_tells_what_was_answered(viewer: Browser, admin: Browser, project: Project) -> None:
    text = viewer.get("/admin").text
    with project.engine.connect() as connection:
        count = connection.execute(select(schema.tally.c.work, schema.tally.c.gold)).all()
    answers = sum(work + gold for work, gold in count)
    assert f'<dd class="number">{answers:,}</dd>' in text
    assert f"{answers * 0.02:,.2f} USD" in text
    with project.engine.connect() as connection:
        lazy = people.find_person(connection, "Always A")
    assert lazy is not None
    assert f"person-{lazy.id}<" in text  # at work in the last quarter of an hour
    assert "Always A" not in text  # viewers see pseudonyms
    assert f'/admin/people/{lazy.id}"><bdi>Always A' in admin.get("/admin").text


def test_exports(viewer: Browser, admin: Browser, app: FastAPI, project: Project) -> None:
    assert "nearfar annotate export PROJECT --out answers.parquet" in viewer.get("/admin/export").text
    parquet = viewer.get("/admin/export/parquet")
    assert parquet.headers["content-disposition"] == 'attachment; filename="Stick-figures-answers.parquet"'
    rows = pq.read_table(BytesIO(parquet.content)).num_rows
    assert rows > 40
    assert len(viewer.get("/admin/export/csv").text.splitlines()) == rows + 1
    for form in ("jsonl", "crowd-kit"):
        assert viewer.get(f"/admin/export/{form}").status_code == 200
    assert "Always A" not in viewer.get("/admin/export/csv").text
    assert viewer.get("/admin/export/csv?names=true").status_code == 403
    assert "Always A" in admin.get("/admin/export/csv?names=true").text
    for form in ("exe", "../project.toml", "..%2fproject.toml", "csv/../../x"):
        assert viewer.get(f"/admin/export/{form}").status_code in (404, 422)
    assert "exported" in admin.get("/admin/audit").text
    few = create_app(project, protection=Protection(export_rate=Rate(1, 0.01)))
    impatient = Browser(few, "viewer")
    assert [impatient.get("/admin/export/csv").status_code for _ in range(2)] == [200, 429]


def test_charts_fill_their_frame() -> None:
    chart = charts.bar_chart(["a", "b", "c"], [0, 5, 17])
    assert chart.lines == ((100.0, "0"), (50.0, "10"), (0.0, "20"))
    assert [bar.height for bar in chart.bars] == [0, 25, 85]
    assert all(
        bar.x >= 0 and bar.x + bar.width <= 100 and bar.y + bar.height == pytest.approx(100) for bar in chart.bars
    )
    assert charts.bar_chart([], []).bars == ()
    assert charts.bar_chart(["x"], [0]).lines[-1] == (0.0, "1")
    assert len(charts.bar_chart([str(i) for i in range(24)], [1] * 24).marks) <= 6


# Hostile words, and attacks


def test_hostile_words_are_shown_as_words(app: FastAPI, admin: Browser, project: Project) -> None:
    session = join(project, "Mallory")
    names = {"image": f"{HOSTILE}.png", "comment": HOSTILE + "\u202egnorw\u202c" + "x" * 10_000}
    with project.engine.begin() as connection:
        connection.execute(
            update(schema.person).where(schema.person.c.id == session.person.id).values(name=HOSTILE[:100])
        )
        pose = first_pair(project).pose_id
        kept = connection.execute(select(schema.pose.c.image).where(schema.pose.c.id == pose)).scalar_one()
        connection.execute(update(schema.pose).where(schema.pose.c.id == pose).values(image=names["image"]))
        connection.execute(
            insert(schema.comment).values(person_id=session.person.id, text=names["comment"], at=time.time())
        )
        connection.execute(
            insert(schema.audit).values(at=1.0, action=HOSTILE[:40], object=HOSTILE, detail={HOSTILE: HOSTILE})
        )
    pages = [
        "people",
        f"people/{session.person.id}",
        "comments",
        "audit",
        f"pairs/{first_pair(project).id}",
        "pairs?show=open",
    ]
    for page in pages:
        text = admin.get(f"/admin/{page}").text
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
        if not page.startswith("pairs?"):
            assert "&lt;script&gt;alert" in text, page
    assert "<bdi>" in admin.get("/admin/comments").text  # a turned direction ends with the comment
    with project.engine.begin() as connection:
        connection.execute(update(schema.pose).where(schema.pose.c.id == pose).values(image=kept))


@pytest.mark.parametrize(
    "text",
    ["'; DROP TABLE person; --", "1 OR 1=1", "%' OR '1'='1", HOSTILE, "../../etc/passwd", "\x00", "\ud800", "x" * 10_000, "\u202e", "{{7*7}}", "${7*7}"],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_nonsense_in_every_field_changes_and_breaks_nothing(app: FastAPI, project: Project, text: str) -> None:
    admin = Browser(app, "admin")
    assert admin.session is not None
    pair = first_pair(project).id
    page = f"/admin/people/{admin.id}"
    fields = [
        ("/admin/invitations", {"name": text, "role": "annotator"}), ("/admin/invitations", {"name": "x", "role": text}),
        (f"{page}/rename", {"name": text}), (f"{page}/role", {"role": text}), (f"{page}/block", {"reason": text}),
        ("/admin/people/1/block", {"reason": text}), ("/admin/people/1/unblock", {"reason": text}),
        (f"/admin/pairs/{pair}/more", {"more": text}), (f"/admin/pairs/{pair}/gold", {"truth": text}),
        (f"/admin/pairs/{pair}/gold", {"truth": "1", "explanation": text}),
        ("/join", {"token": text, "name": text}), ("/join/look", {"token": text}),
    ]  # fmt: skip
    raw = text.encode("utf-8", "surrogatepass")
    for path, form in fields:
        form |= {"csrf_token": admin.session.csrf_token}
        content = urlencode({key: raw if value == text else value for key, value in form.items()})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": HOME}
        response = admin.post(path, content=content, headers=headers)
        assert response.status_code in (200, 303, 403, 422), (path, response.status_code)
        assert "<script>alert" not in response.text
        assert "Traceback" not in response.text
        assert "sqlalchemy" not in response.text.lower()
    for query in (
        "pairs?joint",
        "pairs?after",
        "pairs?show",
        "audit?before",
        "comments?before",
        f"people/{admin.id}?after",
    ):
        response = admin.get(f"/admin/{query}={quote(raw)}")
        assert response.status_code in (200, 422), query
        assert "<script>alert" not in response.text
    with project.engine.connect() as connection:
        assert len(people.list_people(connection)) > 4


@pytest.mark.parametrize(
    "path",
    [
        "/admin/people/{}",
        "/admin/pairs/{}",
        "/admin/images/{}",
        "/admin/export/{}",
        "/static/x/{}",
        "/api/images/{}",
        "/external/examples/{}",
    ],
)
def test_paths_lead_nowhere_else(admin: Browser, path: str) -> None:
    for part in (
        "..%2f..%2fproject.toml",
        "%2e%2e/%2e%2e/etc/passwd",
        "....//x",
        "%00",
        "-1",
        "1;ls",
        "9" * 30,
        "a" * 3000,
        "%ff",
        "1'",
    ):
        response = admin.get(path.format(part))
        assert response.status_code in (401, 403, 404, 405, 422), (part, response.status_code)
        assert b"root:" not in response.content
        assert b"sqlite" not in response.content


def test_other_peoples_tasks_are_closed(app: FastAPI, project: Project) -> None:
    mine, theirs = Browser(app, "annotator"), Browser(app, "annotator")
    assert theirs.session is not None
    assert mine.session is not None
    task = next_task(project.engine, project.settings, theirs.id, "work", time.time())
    assert task is not None
    question = task.questions[0].id
    assert theirs.get(f"/api/images/{question}").status_code == 200
    assert mine.get(f"/api/images/{question}").status_code == 404
    event = {
        "key": str(uuid4()),
        "question": question,
        "revision": 1,
        "choice": "a",
        "response_ms": 1,
        "answered_at": 1.0,
    }
    headers = {"X-CSRF-Token": mine.session.csrf_token}
    answered = mine.post("/api/answers", json={"events": [event]}, headers=headers)
    assert [receipt["status"] for receipt in answered.json()["receipts"]] == ["refused"]
    assert mine.post("/api/comments", json={"question": question, "text": "x"}, headers=headers).status_code == 404
    with project.engine.connect() as connection:
        row = connection.execute(select(schema.question).where(schema.question.c.id == question)).mappings().one()
    assert (row["state"], row["choice"]) == ("leased", None)


def test_an_admins_forms_cannot_be_sent_by_other_pages(admin: Browser, app: FastAPI) -> None:
    assert admin.session is not None
    token = admin.session.csrf_token
    path, form = "/admin/invitations", {"name": "Evil", "role": "admin", "csrf_token": token}
    assert admin.post(path, data=form, headers={"Origin": "https://evil.example"}).status_code == 403
    assert admin.post(path, data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert admin.post(path, data={**form, "csrf_token": "x" * 43}, headers={"Origin": HOME}).status_code == 403
    assert admin.post(path, data={"name": "Evil", "role": "admin"}, headers={"Origin": HOME}).status_code == 403
    assert admin.post(f"{path}?csrf_token={token}", data={"name": "Evil", "role": "admin"}).status_code == 403
    assert admin.get(path, params=form).status_code == 405
    other = Browser(app, "admin")
    assert other.session is not None
    assert admin.post(path, data={**form, "csrf_token": other.session.csrf_token}).status_code == 403
    assert "Evil" not in admin.get("/admin/people").text


def test_errors_tell_nothing_of_our_insides(admin: Browser, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(browsing, "browse", fail)
    for accept in ("text/html", "application/json"):
        response = admin.get("/admin/pairs", headers={"Accept": accept})
        assert response.status_code == 500
        assert "secret" not in response.text
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["cache-control"] == "no-store"


def test_methods_that_are_not_offered(admin: Browser) -> None:
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"):
        response = admin.request(method, "/admin/people")
        assert response.status_code in (403, 405), method
    assert admin.request("GET", "/admin/people/", follow_redirects=False).status_code in (200, 307, 404)
