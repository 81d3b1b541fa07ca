"""A worker of Mechanical Turk in real Chromium: our page in a frame of its site, which keeps no cookies."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from annotation_studio import make_project, serving
from chromium import chromium_browser
from sqlalchemy import select

from nearfar.annotation import schema
from nearfar.annotation.database import transaction
from nearfar.annotation.projects.project import Project

SITE = "https://workersandbox.mturk.com"
KEY = "ab" * 24
SHOTS = os.environ.get("NEARFAR_SCREENSHOTS")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = make_project(tmp_path_factory.mktemp("external"), 6, images_per_task=2, pairs_per_image=2, tutorial=1)
    hit = {
        "request_token": KEY, "hit_id": "3HIT", "sandbox": True, "title": "t", "reward_cents": 1, "assignments": 1,
        "created_at": 0, "expires_at": 0, "state": "created",
    }  # fmt: skip
    with transaction(project.engine) as connection:
        connection.execute(schema.hit.insert().values(hit))
    yield project
    project.close()


@pytest.fixture(scope="module")
def address(project: Project) -> Iterator[str]:
    """The running studio."""
    with serving(project) as server:
        yield server.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # A page of the internet may not show one of this machine: here the studio only pretends to be far away.
    with chromium_browser("--disable-features=LocalNetworkAccessChecks") as running:
        yield running


class TurkSite:
    """Mechanical Turk's page: a frame with ours, and the address where work is handed in."""

    def __init__(self, browser: Any, frame_url: str, site: str = SITE, width: int = 1280) -> None:
        context = browser.new_context(viewport={"width": width, "height": 844})
        self.page = context.new_page()
        self.frame_url = frame_url
        self.handed_in: list[dict[str, list[str]]] = []
        self.refused: list[str] = []
        self.page.on("console", lambda message: self.refused.append(message.text) if message.type == "error" else None)
        self.page.route(f"{site}/**", self._answer)
        self.page.goto(f"{site}/task")
        self.frame = self.page.frame_locator("iframe")

    def _answer(self, route: Any) -> None:
        if route.request.url.endswith("/mturk/externalSubmit"):
            self.handed_in.append(parse_qs(route.request.post_data or ""))
            route.fulfill(body="thank you", content_type="text/html")
            return
        frame = f'<iframe src="{self.frame_url.replace("&", "&amp;")}" width="100%" height="800"></iframe>'
        route.fulfill(body=f"<!doctype html><body style='margin:0'>{frame}", content_type="text/html")

    def shot(self, name: str) -> None:
        """Keep a picture, where somebody wants to look at it."""
        if SHOTS:
            self.page.screenshot(path=Path(SHOTS) / f"external_{name}.png")


def url_of(address: str, **changes: str) -> str:
    ticket = {"key": KEY, "assignmentId": "3A", "hitId": "3HIT", "workerId": "AW", "turkSubmitTo": SITE, **changes}
    return f"{address}/external/mturk?{urlencode(ticket)}"


def test_a_worker_in_a_frame_answers_and_hands_in(browser: Any, address: str, project: Project) -> None:
    site = TurkSite(browser, url_of(address))
    site.frame.get_by_role("heading", name="How it works").wait_for()
    assert site.page.context.cookies() == []
    site.shot("tutorial_1280")
    site.frame.locator("#go").click()
    site.frame.locator("#answers:not([hidden])").wait_for()
    site.shot("question_1280")
    for number in range(1, 5):
        site.frame.get_by_text(f"{number} of 4", exact=True).wait_for()
        if number == 3:  # a reload in the middle resumes the task
            deadline = time.monotonic() + 10
            while _answers(project) < 2 and time.monotonic() < deadline:
                site.page.wait_for_timeout(50)
            site.page.reload()
            site.frame.get_by_text("3 of 4", exact=True).wait_for()
        # The number shows before the picture is there, and until then no key answers.
        site.frame.locator("#choices:not([data-locked])").wait_for()
        site.frame.locator("body").press("a")
    site.frame.get_by_role("button", name="Next questions").click()
    button = site.frame.get_by_role("button", name="Hand in")
    button.wait_for()
    site.shot("hand_in_1280")
    assert site.handed_in == []
    button.click()
    site.frame.get_by_text("thank you").wait_for()
    (fields,) = site.handed_in
    assert fields["assignmentId"] == ["3A"]
    assert fields["answers"] == ["4"]
    with project.engine.connect() as connection:
        assert [connection.execute(select(schema.visit.c.completion_code)).scalar()] == fields["code"]
    assert site.refused == []


def _answers(project: Project) -> int:
    with project.engine.connect() as connection:
        return len(connection.execute(select(schema.answer.c.key)).all())


def test_other_sites_cannot_frame_it(browser: Any, address: str) -> None:
    site = TurkSite(browser, url_of(address), site="https://evil.example")
    site.page.wait_for_timeout(500)
    assert any("frame-ancestors" in text for text in site.refused)
    site = TurkSite(browser, f"{address}/")  # nor Mechanical Turk any other page of ours
    site.page.wait_for_timeout(500)
    assert any("frame-ancestors" in text or "X-Frame-Options" in text for text in site.refused)


@pytest.mark.parametrize("width", [1280, 390])
def test_preview_and_refusal_fit(browser: Any, address: str, width: int) -> None:
    for name, changes, words in (
        ("preview", {"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE"}, "This is a preview"),
        ("refused", {"assignmentId": "3OTHER", "key": ""}, "does not belong to the project"),
    ):
        site = TurkSite(browser, url_of(address, **changes), width=width)
        site.frame.get_by_text(words).wait_for()
        site.shot(f"{name}_{width}")
        inner = site.page.frames[1]
        assert inner.evaluate("document.documentElement.scrollWidth <= innerWidth")
