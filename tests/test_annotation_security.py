"""What strangers, other people's pages, slow and greedy clients can do: nothing. On a small app of the tests' own."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import Body, Depends, FastAPI, Form, Request, Response
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from nearfar.annotation import people, sessions
from nearfar.annotation.database import connect, migrate, with_retries
from nearfar.annotation.people import Person
from nearfar.annotation.web.app import signs_in
from nearfar.annotation.web.security import CurrentPerson, require, session_of, set_cookie
from nearfar.errors import InputError
from nearfar.web import server
from nearfar.web.protection import Protection, protect
from nearfar.web.rates import Buckets, Rate, SharedBuckets, network_of

HOME = "http://localhost"
HTTPS = "https://localhost"


def small_app(folder: Path, **protection: Any) -> FastAPI:
    engine = connect(f"sqlite:///{folder / 'annotation.db'}")
    migrate(engine)
    app = FastAPI()
    app.state.project = SimpleNamespace(engine=engine)
    protect(app, Protection(**protection), signs_in=signs_in)

    @app.get("/open")
    def show_open(request: Request) -> dict[str, Any]:
        session = session_of(request)
        return {"name": session and session.person.name, "from": request.client and request.client.host}

    @app.get("/mine")
    def show_mine(person: CurrentPerson) -> str:
        return person.name

    @app.post("/change")
    def change(person: CurrentPerson) -> str:
        return person.name

    @app.post("/form")
    def send_form(person: CurrentPerson, text: Annotated[str, Form()]) -> str:
        return text

    @app.get("/admin")
    def show_admin(person: Annotated[Person, Depends(require("admin"))]) -> str:
        return person.name

    @app.get("/results")
    def show_results(person: Annotated[Person, Depends(require("viewer"))]) -> str:
        return person.name

    @app.post("/join")
    def join(request: Request, response: Response, name: Annotated[str, Body()]) -> None:
        person = with_retries(engine, lambda c: people.find_person(c, name))
        assert person is not None
        set_cookie(request, response, with_retries(engine, lambda c: sessions.start_session(c, person.id, time.time())))

    @app.post("/size")
    async def measure(request: Request) -> int:
        return len(await request.body())

    return app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    app = small_app(tmp_path)
    yield app
    app.state.project.engine.dispose()


def new_session(app: FastAPI, name: str = "Ada", role: Any = "annotator", now: float | None = None) -> sessions.Session:
    now = time.time() if now is None else now
    engine = app.state.project.engine
    person = with_retries(engine, lambda c: people.find_person(c, name) or people.create_person(c, name, role, now))
    return with_retries(engine, lambda c: sessions.start_session(c, person.id, now))


def client(
    app: FastAPI, session: sessions.Session | None = None, base: str = HOME, address: str = "10.0.0.1"
) -> TestClient:
    client = TestClient(app, base_url=base, client=(address, 5000), follow_redirects=False)
    if session is not None:
        name = "__Host-nearfar" if base.startswith("https") else "nearfar"
        client.headers["Cookie"] = f"{name}={session.token}"
    return client


def with_csrf(session: sessions.Session) -> dict[str, str]:
    return {"X-CSRF-Token": session.csrf_token}


# Who asks


def test_strangers_are_nobody(app: FastAPI) -> None:
    with client(app) as stranger:
        assert stranger.get("/open").json()["name"] is None
        for path in ("/mine", "/admin", "/results"):
            assert stranger.get(path).status_code == 401
        assert stranger.post("/change").status_code == 401
        for token in ("x", "'; DROP TABLE session; --", "%00", "a" * 5000):
            assert stranger.get("/mine", headers={"Cookie": f"nearfar={token}"}).status_code == 401
            assert stranger.get("/mine", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_roles(app: FastAPI) -> None:
    allowed = {
        role: [
            path
            for path in ("/mine", "/results", "/admin")
            if client(app, new_session(app, role, role)).get(path).status_code == 200
        ]
        for role in ("annotator", "viewer", "admin")
    }
    assert allowed == {
        "annotator": ["/mine"],
        "viewer": ["/mine", "/results"],
        "admin": ["/mine", "/results", "/admin"],
    }


def test_a_session_that_ended_is_nobody(app: FastAPI) -> None:
    session = new_session(app)
    ada = client(app, session)
    assert ada.get("/mine").status_code == 200
    with_retries(app.state.project.engine, lambda c: people.block(c, session.person.id, "spam", time.time()))
    assert ada.get("/mine").status_code == 401
    old = new_session(app, "Bo", now=time.time() - 31 * sessions.DAY)
    assert client(app, old).get("/mine").status_code == 401


def test_a_session_in_use_lives_on(app: FastAPI) -> None:
    session = new_session(app, now=time.time() - 6.9 * sessions.DAY)
    assert client(app, session).get("/mine").status_code == 200
    with app.state.project.engine.connect() as connection:
        later = time.time() + 6.5 * sessions.DAY
        assert sessions.find_session(connection, session.token, later) is not None


# Changes that somebody else's page asks for


def test_changes_need_the_csrf_token(app: FastAPI) -> None:
    session, other = new_session(app), new_session(app, "Bo")
    ada = client(app, session)
    assert ada.post("/change").status_code == 403
    assert ada.post("/change", headers={"X-CSRF-Token": ""}).status_code == 403
    assert ada.post("/change", headers={"X-CSRF-Token": "ä".encode()}).status_code == 403
    assert ada.post("/change", headers=with_csrf(other)).status_code == 403
    assert ada.post("/change", headers=with_csrf(session)).json() == "Ada"
    assert ada.post("/form", data={"text": "hello"}).status_code == 403
    assert ada.post("/form", data={"text": "hello", "csrf_token": other.csrf_token}).status_code == 403
    assert ada.post("/form", data={"text": "hello", "csrf_token": session.csrf_token}).json() == "hello"
    multipart = {"text": (None, "hello"), "csrf_token": (None, session.csrf_token)}
    assert ada.post("/form", files=multipart).json() == "hello"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "https://localhost"},
        {"Origin": "http://localhost:8001"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": HOME, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_pages_cannot_change_anything(app: FastAPI, headers: dict[str, str]) -> None:
    session = new_session(app)
    ada = client(app, session)
    assert ada.post("/change", headers={**headers, **with_csrf(session)}).status_code == 403
    assert ada.post("/join", json="Ada", headers=headers).status_code == 403  # they cannot sign anybody in either
    assert ada.post(
        "/change", headers={"Origin": HOME, "Sec-Fetch-Site": "same-origin", **with_csrf(session)}
    ).is_success


def test_a_method_cannot_be_overridden(app: FastAPI) -> None:
    ada = client(app, new_session(app))
    for headers in ({"X-HTTP-Method-Override": "POST"}, {"X-Method-Override": "POST"}):
        assert ada.get("/change", headers=headers).status_code == 405
    assert ada.get("/change?_method=POST").status_code == 405
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"):
        assert ada.request(method, "/change").status_code in (403, 405)


def test_bearers_need_no_csrf_token_and_no_cookie_counts_beside_them(app: FastAPI) -> None:
    session, other = new_session(app), new_session(app, "Bo")
    bearer = {"Authorization": f"Bearer {session.token}", "Origin": "null"}
    assert client(app).post("/change", headers=bearer).json() == "Ada"
    assert client(app, other).post("/change", headers=bearer).json() == "Ada"
    assert client(app, other).post("/change", headers={"Authorization": "Bearer "}).status_code == 401
    assert client(app, other).post("/change", headers={"Authorization": "Bearer wrong"}).status_code == 401


# Cookies


def test_cookies_are_strict(app: FastAPI) -> None:
    new_session(app)
    told = client(app, base=HTTPS).post("/join", json="Ada").headers["set-cookie"]
    assert told.startswith("__Host-nearfar=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax", "Max-Age=2592000"} <= set(told.split("; "))
    assert "Domain" not in told
    plain = client(app).post("/join", json="Ada").headers["set-cookie"]
    assert plain.startswith("nearfar=")
    assert "Secure" not in plain


def test_over_https_a_cookie_that_others_could_have_planted_is_ignored(app: FastAPI) -> None:
    session = new_session(app)
    planted = client(app, base=HTTPS).get("/mine", headers={"Cookie": f"nearfar={session.token}"})
    assert planted.status_code == 401


# Headers, hosts, proxies


def test_every_answer_has_security_headers(app: FastAPI) -> None:
    session = new_session(app)
    for response in (
        client(app).get("/open"),
        client(app).get("/nothing"),
        client(app).get("/mine"),
        client(app, session).post("/change"),
        client(app).get("/open", headers={"Host": "evil.example"}),
        client(app).post("/size", content=b"x" * 2_000_000),
    ):
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert "strict-transport-security" not in response.headers
    assert "strict-transport-security" in client(app, base=HTTPS).get("/open").headers


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "",
        "localhost@evil.example",
        "localhost:x",
        "a b",
        "[::1",
        "localhost/x",
    ],
)
def test_other_hosts_are_refused(app: FastAPI, host: str) -> None:
    assert client(app).get("/open", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:8000"])
def test_our_hosts_are_not(app: FastAPI, host: str) -> None:
    assert client(app).get("/open", headers={"Host": host}).status_code == 200


def test_only_trusted_proxies_are_believed(tmp_path: Path) -> None:
    app = small_app(tmp_path, trusted_proxies=("10.0.0.0/24",))
    told = {"X-Forwarded-For": "6.6.6.6, 7.7.7.7, 10.0.0.9", "X-Forwarded-Proto": "https"}
    behind, direct = client(app), client(app, address="9.9.9.9")
    assert behind.get("/open", headers=told).json()["from"] == "7.7.7.7"
    assert "strict-transport-security" in behind.get("/open", headers=told).headers
    assert behind.get("/open").json()["from"] == "10.0.0.1"
    assert direct.get("/open", headers=told).json()["from"] == "9.9.9.9"
    assert "strict-transport-security" not in direct.get("/open", headers=told).headers
    session = new_session(app)
    headers = {**told, **with_csrf(session), "Origin": HTTPS, "Cookie": f"__Host-nearfar={session.token}"}
    assert client(app).post("/change", headers=headers).json() == "Ada"
    app.state.project.engine.dispose()
    with pytest.raises(InputError, match="trusted proxy"):
        Protection(trusted_proxies=("proxy.example",))


# Floods


def test_floods_are_stopped(tmp_path: Path) -> None:
    app = small_app(tmp_path, session_rate=Rate(5, 0.01), address_rate=Rate(12, 0.01), sign_in_rate=Rate(3, 0.01))
    ada, bo = new_session(app), new_session(app, "Bo")
    assert [client(app, ada).get("/mine").status_code for _ in range(6)] == [200] * 5 + [429]
    assert client(app, bo).get("/mine").status_code == 200
    response = client(app, ada).get("/mine")
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 1
    assert [client(app).get("/open").status_code for _ in range(6)] == [200] * 4 + [429] * 2
    assert client(app, address="10.0.0.2").get("/open").status_code == 200
    guesses = [client(app, address="10.0.0.3").post("/join", json={}).status_code for _ in range(4)]
    assert guesses == [422] * 3 + [429]
    unknown = [client(app, address="10.0.0.4").get("/mine", headers={"Cookie": f"nearfar=guess{i}"}) for i in range(5)]
    assert [response.status_code for response in unknown] == [401] * 3 + [429] * 2
    app.state.project.engine.dispose()


def test_a_crowd_is_sent_away(tmp_path: Path) -> None:
    """Two are being answered: others are told when to come back, at once, but get what a page needs to say so."""
    app = small_app(tmp_path, at_once=2)
    inside, go_on = threading.Semaphore(0), threading.Event()

    @app.get("/slow")
    @app.get("/static/slow.css")
    def show_slowly() -> str:
        inside.release()
        go_on.wait(20)
        return "done"

    assert client(app).get("/open").status_code == 200
    with ThreadPoolExecutor() as browsers:
        waiting = [browsers.submit(client(app).get, "/slow") for _ in range(2)]
        waiting.append(browsers.submit(client(app).get, "/static/slow.css"))
        assert all(inside.acquire(timeout=20) for _ in waiting)
        away = client(app).get("/open")
        go_on.set()
        assert [answer.result().status_code for answer in waiting] == [200] * 3
    assert away.status_code == 503
    assert 2 <= int(away.headers["retry-after"]) <= 8
    assert client(app).get("/open").status_code == 200
    app.state.project.engine.dispose()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10), st.booleans()), max_size=60), st.booleans())
def test_buckets_let_through_what_the_rate_allows(asked: list[tuple[str, float, bool]], shared: bool) -> None:
    now = [0.0]
    rate = Rate(3, 0.5)
    with TemporaryDirectory() as folder:
        made = [SharedBuckets(rate, Path(folder, "rate"), clock=lambda: now[0]) for _ in range(2)]
    alone = Buckets(rate, clock=lambda: now[0])
    passed: dict[str, int] = {}
    for key, pause, which in asked:
        now[0] += pause
        wait = (made[which] if shared else alone).take(key)
        passed[key] = passed.get(key, 0) + (wait == 0)
        assert passed[key] <= 3 + 0.5 * now[0] + 1e-6
        assert 0 <= wait <= 2


def test_buckets_need_bounded_memory() -> None:
    buckets = Buckets(Rate(1, 0.01), most=100)
    for number in range(1000):
        buckets.take(str(number))
    assert len(buckets) == 100
    assert buckets.take("999") > 0


def test_processes_count_together(tmp_path: Path) -> None:
    take = (
        "import sys; from pathlib import Path; from nearfar.web.rates import Rate, SharedBuckets\n"
        "buckets = SharedBuckets(Rate(100, 1e-6), Path(sys.argv[1]))\n"
        "print(sum(buckets.take(sys.argv[2]) == 0 for _ in range(80)))"
    )
    command = [sys.executable, "-c", take, tmp_path / "rate"]
    running = [subprocess.Popen([*command, "one"], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in running) == 100
    buckets = SharedBuckets(Rate(100, 1e-6), tmp_path / "rate")
    assert buckets.take("one") > 0
    assert buckets.take("another") == 0
    for number in range(100_000):  # more than there are places for: who came last is remembered
        buckets.take(str(number))
    assert [buckets.take("99999") for _ in range(100)].count(0.0) == 99


def test_a_household_is_one_address() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") == "10.0.0.1"


# Large and slow bodies


def test_large_bodies_are_refused(app: FastAPI) -> None:
    most = 1 << 20
    assert client(app).post("/size", content=b"x" * most).json() == most
    assert client(app).post("/size", content=b"x" * (most + 1)).status_code == 413
    for claim in ("9" * 30, "-1", "1e3", "x", "²"):
        response = client(app).post("/size", content=b"x", headers={"Content-Length": claim.encode()})
        assert response.status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * (most // 10)

    assert client(app).post("/size", content=chunks()).status_code == 413


def test_who_hangs_up_is_not_answered(app: FastAPI) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"10")]
    scope = {
        "type": "http", "method": "POST", "path": "/size", "raw_path": b"/size", "scheme": "http", "query_string": b"",
        "headers": headers, "client": ("10.0.0.1", 1), "server": ("localhost", 80), "root_path": "", "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert sent == []


@contextmanager
def served(app: FastAPI) -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        running = uvicorn.Server(server.server_config(app, "127.0.0.1", port))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not running.started:
                time.sleep(0.01)
            yield port
        finally:
            running.should_exit = True
            thread.join()


def ask(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """What a server says to bytes sent one part after the other, until it answers or hangs up."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(ConnectionResetError):
        for part in parts:
            connection.sendall(part)
            if select.select([connection], [], [], pause)[0]:
                break
        while more := connection.recv(65536):
            said += more
    return said


def test_slow_clients_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.5)
    app = small_app(tmp_path, body_seconds=0.5)
    head = b"POST /size HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    with served(app) as port:
        whole = ask(port, head + b"Content-Length: 4\r\n\r\n", b"body")
        assert whole.startswith(b"HTTP/1.1 200")
        assert whole.endswith(b"4")
        assert b"\r\nserver:" not in whole.lower()
        slow_body = ask(port, head + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 10, pause=0.1)
        assert slow_body.startswith(b"HTTP/1.1 408")
        slow_chunks = ask(port, head + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 10, pause=0.1)
        assert slow_chunks.startswith(b"HTTP/1.1 408")
        assert ask(port, *[bytes([byte]) for byte in head[:20]], pause=0.1) == b""
        assert ask(port) == b""
    app.state.project.engine.dispose()


def test_a_body_that_was_answered_already_cannot_go_on_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.5)
    app = small_app(tmp_path)
    with served(app) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /size HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")

        def go_on() -> None:
            for _ in range(100):
                connection.sendall(b"x")
                time.sleep(0.1)

        with pytest.raises(ConnectionError):
            go_on()
    app.state.project.engine.dispose()


def test_chunked_bodies_are_measured(tmp_path: Path) -> None:
    app = small_app(tmp_path, body_bytes=1000)
    head = b"POST /size HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    with served(app) as port:
        assert ask(port, head + chunk * 10 + b"0\r\n\r\n").endswith(b"1000")
        assert ask(port, head + chunk * 11 + b"0\r\n\r\n").startswith(b"HTTP/1.1 413")
        two_hosts = b"GET /open HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        assert ask(port, two_hosts).startswith(b"HTTP/1.1 400")
    app.state.project.engine.dispose()


def test_the_log_holds_no_query(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord(
        "uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', ("1.2.3.4:5", "GET", "/a?token=secret", "1.1", 200), None
    )  # fmt: skip
    assert server.WithoutQuery().filter(record)
    assert record.getMessage() == '1.2.3.4:5 - "GET /a HTTP/1.1" 200'
    assert server.log_config()["handlers"]["access"]["filters"] == ["plain"]
