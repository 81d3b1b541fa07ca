"""The admin's pages in a real Chromium: coming in by a link, inviting by keyboard, on a phone, in light and dark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from annotation_studio import Server, join, make_project, serving
from sqlalchemy import insert

from nearfar.annotation import browsing, invitations, schema
from nearfar.annotation.database import with_retries
from nearfar.annotation.queue import Event, next_task, record
from nearfar.annotation.queue.refreshing import refresh

pytest.importorskip("fastapi")

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1280, "height": 900}}

FAINT = """() => {
  // Text whose contrast is below WCAG AA: [text, ratio].
  const parse = (colour) => (colour.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest(".hidden, .skip, .chip, title, script")) continue;
    const style = getComputedStyle(element);
    const ink = light(parse(element instanceof SVGElement ? style.fill : style.color));
    const paper = light(behind(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push([text.slice(0, 40), ratio]);
  }
  return found;
}"""

UNNAMED = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea, [role=region]")]
  .filter((e) => e.checkVisibility() && !e.closest("[aria-hidden=true]"))
  .filter((e) => !(e.textContent.trim() && !e.matches("select, [role=region]")) && !e.labels?.length
    && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby"))
  .map((e) => e.outerHTML.slice(0, 100))"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = make_project(tmp_path_factory.mktemp("studio"), 12, answers=3, price_per_answer=0.02)
    now = time.time()
    for number, name in enumerate(["Ada Lovelace", "A2XK09QPLM0ZZ93KLMQ71", "Bo"]):
        person = join(project, name).person
        task = next_task(project.engine, project.settings, person.id, "work", now - 60)
        assert task is not None
        for i, question in enumerate(task.questions):
            event = Event(
                f"{number:018d}{i:018d}",
                question.id,
                1,
                ("a", "b", "same", "unsure")[(i + number) % 4],
                900 + 100 * i,
                now,
            )
            record(project.engine, project.settings, person.id, [event], now - 60 + i)
        with project.engine.begin() as connection:
            values = {"person_id": person.id, "question_id": task.questions[0].id, "text": "long" * 60, "at": now}
            connection.execute(insert(schema.comment).values(values))
    refresh(project.engine, project.settings)
    with serving(project) as server:
        yield server


def open_context(browser: Any, studio: Server, name: str, role: Any, **options: Any) -> tuple[Any, list[str]]:
    """A page of somebody signed in, and what goes wrong in it."""
    context = browser.new_context(**options)
    session = join(studio.project, name, role)
    context.add_cookies([{"name": "nearfar", "value": session.token, "url": studio.url}])
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    return page, problems


def test_an_admin_comes_in_and_invites_by_keyboard(browser: Any, studio: Server) -> None:
    link = with_retries(studio.project.engine, lambda c: invitations.invite(c, "Maria <b>", "admin", time.time()))
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **DESK)
    page = context.new_page()
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(f"{studio.url}/join#{link.token}")
    page.get_by_text("Welcome, Maria <b>!").wait_for()
    assert link.token not in page.url
    page.keyboard.press("Enter")  # the button has the focus
    page.wait_for_url("**/admin")
    assert not [address for address in addresses if link.token in address]

    page.get_by_role("link", name="People").press("Enter")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("Hanna")
    page.keyboard.press("Tab")
    page.keyboard.type("View")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    address = page.get_by_label("Link").input_value()
    page.get_by_role("button", name="Copy").press("Enter")
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == address

    guest = browser.new_context(**PHONE).new_page()
    guest.goto(address)
    guest.get_by_role("button").tap()
    guest.wait_for_url("**/admin")
    assert guest.get_by_role("link", name="People").count() == 0
    guest.get_by_role("button", name="Sign out").tap()
    guest.get_by_role("heading", name="Welcome").wait_for()
    guest.goto(address)
    guest.get_by_text("This invitation cannot be used").wait_for()
    page.context.close()
    guest.context.close()


def test_who_chooses_a_name_may_try_again(browser: Any, studio: Server) -> None:
    link = with_retries(studio.project.engine, lambda c: invitations.invite(c, None, "annotator", time.time()))
    page = browser.new_context(**PHONE).new_page()
    page.goto(f"{studio.url}/join#{link.token}")
    page.get_by_label("Your name").fill("Bo")
    page.keyboard.press("Enter")
    page.get_by_text("This name is taken").wait_for()
    page.get_by_label("Your name").fill("Bo the second")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url.endswith(("/tutorial", "/ask")))
    page.context.close()


def test_an_admin_decides_on_a_pair(browser: Any, studio: Server) -> None:
    page, problems = open_context(browser, studio, "Decider", "admin", **DESK)
    page.goto(f"{studio.url}/admin/pairs?show=open")
    page.locator(".pair h2 a").first.click()
    page.get_by_role("button", name="Ask no more").wait_for()
    number = int(page.url.rpartition("/")[2])
    page.get_by_role("button", name="Ask no more").click()
    page.get_by_text("Closed by an admin").wait_for()
    page.get_by_role("button", name="Ask again").click()
    page.get_by_text("Use as a known answer").first.click()
    page.locator("label.option").first.click()
    page.get_by_role("button", name="Use as a known answer").click()
    page.get_by_text("Closed by an admin").wait_for()
    with studio.project.engine.connect() as connection:
        pair, gold = browsing.get_pair(connection, number), browsing.browse(connection, "gold")[0][-1]
    assert (gold.pose_id, gold.joint_a, gold.joint_b, gold.truth) == (pair.pose_id, pair.joint_a, pair.joint_b, -1)
    assert problems == []
    page.context.close()


def test_marks_lie_on_the_joints(browser: Any, studio: Server) -> None:
    page, _ = open_context(browser, studio, "Looker", "viewer", **PHONE)
    with studio.project.engine.connect() as connection:
        pair = browsing.browse(connection, "all")[0][0]
    page.goto(f"{studio.url}/admin/pairs/{pair.id}", wait_until="networkidle")
    frame = page.locator(".large .picture").bounding_box()
    picture = page.locator(".large img").bounding_box()
    mark = page.locator(".large .pin-a.line").bounding_box()
    assert abs(frame["width"] - picture["width"]) < 1
    keypoints = studio.project.poses.keypoints
    assert keypoints is not None
    x, y = keypoints[pair.pose_id, pair.joint_a]
    assert page.locator(".large img").evaluate("image => image.naturalWidth") == pair.crop_width
    scale = picture["width"] / pair.crop_width
    assert abs(mark["x"] + mark["width"] / 2 - picture["x"] - (x - pair.crop_x) * scale) < 1.5
    assert abs(mark["y"] + mark["height"] / 2 - picture["y"] - (y - pair.crop_y) * scale) < 1.5
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("shape", [PHONE, DESK], ids=["phone", "desk"])
def test_every_page_fits_and_can_be_read(browser: Any, studio: Server, shape: dict[str, Any], scheme: str) -> None:
    width = shape["viewport"]["width"]
    page, problems = open_context(browser, studio, f"Reader {width} {scheme}", "admin", color_scheme=scheme, **shape)
    with studio.project.engine.connect() as connection:
        pair = browsing.browse(connection, "all")[0][0].id
    for path in ("", "/pairs", f"/pairs/{pair}", "/people", "/people/2", "/comments", "/export", "/settings", "/audit"):
        page.goto(f"{studio.url}/admin{path}", wait_until="networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(FAINT) == [], path
        assert page.evaluate(UNNAMED) == [], path
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
    assert problems == []
    page.context.close()
