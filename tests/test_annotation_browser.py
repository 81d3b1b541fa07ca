"""The question page in a real Chromium, before a real server: what was pressed is what is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from annotation_studio import (
    Server,
    final_choices,
    join,
    make_project,
    right_choice,
    serving,
    stored_answers,
)
from sqlalchemy import select

from nearfar.annotation import schema
from nearfar.annotation.web.texts import load_texts
from nearfar.web.protection import cookie_name

pytest.importorskip("fastapi")

KEYS = {"a": "a", "b": "b", "same": "s", "unsure": "u"}
CYCLE = ("a", "b", "same", "unsure", "b", "a", "a")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A project with enough for all tests, without a lock and without reading time."""
    project = make_project(
        tmp_path_factory.mktemp("studio"),
        40,
        practice=3,
        test=3,
        tutorial=2,
        answers=30,
        most_answers=30,
        test_pass=0.6,
    )
    with serving(project) as server:
        yield server


Enter = Callable[..., Any]


@pytest.fixture
def enter(browser: Any, studio: Server, request: pytest.FixtureRequest) -> Iterator[Enter]:
    """A page of somebody new, at /ask; what goes wrong in the page fails the test."""
    contexts = []
    problems: list[str] = []

    def open_page(name: str = "", *, stage: Any = "working", path: str = "/ask", **options: Any) -> Any:
        name = name or request.node.name[:90]
        session = join(studio.project, name, stage=stage)
        context = browser.new_context(**options)
        contexts.append(context)
        context.add_cookies([{"name": cookie_name("http"), "value": session.token, "url": studio.url}])
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(studio.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def shown(page: Any) -> int:
    """The question on the page, once it can be answered."""
    page.wait_for_selector("#work:not([hidden]) #choices:not([data-locked])")
    page.wait_for_selector("#holder img")
    return int(page.get_attribute("#work", "data-question"))


def press(page: Any, choice: str) -> int:
    """Answer by key; the question that was answered."""
    question = shown(page)
    page.keyboard.press(KEYS[choice])
    page.wait_for_function(
        "before => document.getElementById('work').hidden || document.getElementById('work').dataset.question !== before",
        arg=str(question),
    )
    return question


def wait_saved(page: Any) -> None:
    page.wait_for_selector("#status[data-state=saved]")
    page.wait_for_function("() => Object.keys(localStorage).every(key => !/^nearfar:.*-.*-/.test(key))")


def name_of(request: pytest.FixtureRequest) -> str:
    return request.node.name[:90]


def test_25_questions_by_keyboard(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter()
    pressed = {press(page, CYCLE[i % 7]): CYCLE[i % 7] for i in range(25)}
    assert len(pressed) == 25
    page.wait_for_selector("text=This part is done")
    assert page.evaluate("document.getElementById('progress-bar').position") == 1
    wait_saved(page)
    assert final_choices(studio.project, name_of(request)) == pressed
    page.keyboard.press("Enter")  # the next task
    assert shown(page) not in pressed
    assert page.inner_text("#progress") == "1 of 25"


def test_arrows_answer_by_side(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter()
    sides = {}
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown", "ArrowUp"):
        question = shown(page)
        left, right = page.eval_on_selector_all(
            ".choice.of-a, .choice.of-b", "all => all.map(one => one.dataset.choice)"
        )
        sides[question] = {"ArrowLeft": left, "ArrowRight": right, "ArrowDown": "same", "ArrowUp": "unsure"}[key]
        page.keyboard.press(key)
        page.wait_for_function(
            "before => document.getElementById('work').dataset.question !== before", arg=str(question)
        )
    wait_saved(page)
    assert final_choices(studio.project, name_of(request)) == sides
    with studio.project.engine.connect() as connection:
        query = (
            select(schema.task.c.a_left).join_from(schema.question, schema.task).where(schema.question.c.id == question)
        )
        assert connection.execute(query).scalar_one() == (left == "a")


def test_undo_takes_back_and_keeps_both(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter()
    first, second = press(page, "a"), press(page, "a")
    third = shown(page)
    page.keyboard.press("z")
    page.wait_for_selector(f"#work[data-question='{second}']")
    assert page.inner_text("#before") == "Your answer before: A is nearer"
    page.keyboard.press("Backspace")
    page.wait_for_selector(f"#work[data-question='{first}']")
    press(page, "b")
    press(page, "same")
    assert shown(page) == third
    wait_saved(page)
    assert stored_answers(studio.project, name_of(request)) == [
        (question, revision, choice)
        for question, answers in sorted({first: ("a", "undone", "b"), second: ("a", "undone", "same")}.items())
        for revision, choice in enumerate(answers, 1)
    ]


def test_undo_after_the_last_question(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter()
    pressed = {press(page, "a"): "a" for _ in range(25)}
    page.wait_for_selector("text=Change the last answer")
    page.keyboard.press("z")
    last = shown(page)
    assert last == list(pressed)[-1]
    press(page, "unsure")
    page.wait_for_selector("text=This part is done")
    wait_saved(page)
    assert final_choices(studio.project, name_of(request)) == pressed | {last: "unsure"}


def test_reload_in_the_middle(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter()
    pressed = {}
    for i in range(12):
        pressed[press(page, CYCLE[i % 7])] = CYCLE[i % 7]
        if i in (3, 4, 9):
            page.on("dialog", lambda dialog: dialog.accept())  # what is on its way may not be lost unasked
            page.reload()
            assert page.inner_text("#progress") or shown(page)
            shown(page)
            assert page.inner_text("#progress") == f"{i + 2} of 25"
    wait_saved(page)
    assert final_choices(studio.project, name_of(request)) == pressed


def test_offline_minutes(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter()
    pressed = {press(page, "a"): "a"}
    page.wait_for_timeout(1000)  # pictures come ahead
    page.context.set_offline(True)
    for choice in ("b", "same", "unsure"):
        pressed[press(page, choice)] = choice
    page.wait_for_selector("#status[data-state=offline]")
    assert page.inner_text("#status-text") == "Offline: 3 answers waiting"
    assert len(final_choices(studio.project, name_of(request))) == 1
    page.context.set_offline(False)
    wait_saved(page)
    assert final_choices(studio.project, name_of(request)) == pressed
    assert {revision for _, revision, _ in stored_answers(studio.project, name_of(request))} == {1}


def test_server_down_and_up(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter()
    pressed = {press(page, "a"): "a"}
    page.wait_for_timeout(800)
    studio.stop()
    try:
        for choice in ("b", "b", "same"):
            pressed[press(page, choice)] = choice
        page.wait_for_selector("#status[data-state=offline]")
    finally:
        studio.start()
    wait_saved(page)
    assert final_choices(studio.project, name_of(request)) == pressed


def test_closing_with_waiting_answers_and_coming_back(
    enter: Enter, studio: Server, request: pytest.FixtureRequest
) -> None:
    page = enter()
    pressed = {press(page, "a"): "a"}
    page.wait_for_timeout(800)
    context = page.context
    context.set_offline(True)
    pressed |= {press(page, "b"): "b", press(page, "same"): "same"}
    page.close()  # at once, as a crash does
    context.set_offline(False)
    assert len(final_choices(studio.project, name_of(request))) == 1
    again = context.new_page()
    again.goto(studio.url + "/ask")
    assert shown(again) not in pressed  # although the server did not know yet when it was asked
    assert again.inner_text("#progress") == "4 of 25"
    wait_saved(again)
    assert final_choices(studio.project, name_of(request)) == pressed


def test_leaving_is_only_asked_about_while_something_waits(enter: Enter) -> None:
    page = enter()
    press(page, "a")
    wait_saved(page)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    shown(page)
    assert asked == []
    page.wait_for_timeout(800)
    page.context.set_offline(True)
    press(page, "a")
    page.wait_for_selector("#status[data-state=offline]")
    page.context.set_offline(False)
    page.route("**/api/answers", lambda route: route.abort())
    page.reload()
    assert asked == ["beforeunload"]


def test_touch_on_a_phone(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter(**PHONE)
    pressed = {}
    for choice in ("a", "b", "same", "unsure"):
        question = shown(page)
        button = page.locator(f"[data-choice={choice}]")
        box = button.bounding_box()
        assert box["height"] >= 48
        assert box["width"] >= 150
        assert box["y"] > 844 / 2  # in reach of the thumb
        button.tap()
        page.wait_for_function(
            "before => document.getElementById('work').dataset.question !== before", arg=str(question)
        )
        pressed[question] = choice
    wait_saved(page)
    assert final_choices(studio.project, name_of(request)) == pressed
    assert page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight"
    )
    assert page.locator("#picture").bounding_box()["height"] > 400


@pytest.mark.parametrize("size", [(844, 390), (667, 375), (320, 568), (1280, 800), (768, 1024), (1920, 1080)])
def test_everything_is_on_the_screen(enter: Enter, studio: Server, size: tuple[int, int]) -> None:
    width, height = size
    page = enter(viewport={"width": width, "height": height})
    shown(page)
    # Which joints are asked about is drawn; the longest names need the most room.
    texts = load_texts()
    first, second = sorted(studio.project.skeleton.joints, key=lambda name: len(texts.joint(name)))[-2:]
    ask = texts("question.ask", a=texts.joint_of(first, "person"), b=texts.joint_of(second, "person"))
    page.locator("#ask").evaluate("(ask, text) => { ask.textContent = text; }", ask)
    for place, name in enumerate((first, second)):
        small = page.locator("[data-joint]").nth(place)
        small.evaluate("(small, text) => { small.textContent = text; }", texts.joint(name))
    for target in (
        "#picture",
        "#ask",
        "[data-choice=a]",
        "[data-choice=b]",
        "[data-choice=same]",
        "[data-choice=unsure]",
        "#undo",
        "#zoom-in",
        "#help-open",
    ):
        box = page.locator(target).bounding_box()
        assert box["x"] >= 0, target
        assert box["y"] >= 0, target
        assert box["x"] + box["width"] <= width + 0.5, target
        assert box["y"] + box["height"] <= height + 0.5, target
    assert page.locator("#picture").bounding_box()["height"] >= 0.38 * height


def test_zoom_and_marks(enter: Enter) -> None:
    page = enter(viewport={"width": 1000, "height": 700})
    shown(page)
    width = "document.querySelector('#holder img').getBoundingClientRect().width"
    fitted = page.evaluate(width)
    assert page.locator("#marks g").count() == 2
    page.keyboard.press("t")
    assert page.locator("#marks g").count() == 0
    page.keyboard.press("t")
    for key in "++":
        page.keyboard.press(key)
    assert page.evaluate(width) == pytest.approx(fitted * 2.25)
    page.keyboard.press("-")
    assert page.evaluate(width) == pytest.approx(fitted * 1.5)
    page.keyboard.press("0")
    assert page.evaluate(width) == pytest.approx(fitted)
    # The wheel zooms around the pointer: the place under it stays.
    box = page.locator("#picture").bounding_box()
    x, y = box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.6
    under = "([x, y]) => { const box = document.querySelector('#holder img').getBoundingClientRect(); return [(x - box.x) / box.width, (y - box.y) / box.height]; }"
    page.mouse.move(x, y)
    for _ in range(6):
        page.mouse.wheel(0, -300)
    page.wait_for_function(f"() => {width} > {fitted * 3}")
    before = page.evaluate(under, [x, y])
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    assert page.evaluate(under, [x, y]) == pytest.approx(before, abs=1e-3)
    page.mouse.down()
    page.mouse.move(x + 60, y + 25, steps=4)
    page.mouse.up()
    assert page.evaluate(under, [x + 60, y + 25]) == pytest.approx(before, abs=0.02)
    page.keyboard.press("0")
    page.mouse.dblclick(x, y)
    assert page.evaluate(width) == pytest.approx(fitted * 2.5)


def test_marks_are_where_the_joints_are(enter: Enter, studio: Server) -> None:
    page = enter(viewport={"width": 900, "height": 800})
    question = shown(page)
    told = page.evaluate(
        "async () => (await (await fetch('/api/task', {method: 'POST', headers: {'Content-Type': 'application/json', 'X-CSRF-Token': document.body.dataset.csrf}, body: '{}'})).json()).task.questions"
    )
    this = next(one for one in told if one["id"] == question)
    places = "() => { const box = document.querySelector('#holder img').getBoundingClientRect(); const at = document.querySelector('#picture').getBoundingClientRect(); return [...document.querySelectorAll('#marks .dot')].map(dot => [(Number(dot.getAttribute('cx')) + at.x - box.x) / box.width, (Number(dot.getAttribute('cy')) + at.y - box.y) / box.height]); }"
    wanted = [[this[letter]["x"] / this["width"], this[letter]["y"] / this["height"]] for letter in "ab"]
    wanted = [pytest.approx(place, abs=2e-3) for place in wanted]
    page.keyboard.press("0")
    assert page.evaluate(places) == wanted
    page.keyboard.press("+")  # about the middle of the two: what is far from it may leave the picture
    assert all(place in wanted for place in page.evaluate(places))


def test_two_fingers_zoom(enter: Enter) -> None:
    page = enter(**PHONE)
    shown(page)
    box = page.locator("#picture").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    width = "document.querySelector('#holder img').getBoundingClientRect().width"
    fitted = page.evaluate(width)
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, apart: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 30)
    for apart in (40, 50, 60, 75, 90):
        fingers("touchMove", apart)
    fingers("touchEnd", 90)
    assert page.evaluate(width) == pytest.approx(3 * fitted, rel=0.02)
    assert page.evaluate("visualViewport.scale") == 1  # the picture, not the page
    middle = page.evaluate(
        "(() => { const box = document.querySelector('#holder img').getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    assert middle == pytest.approx([x, y], abs=15)  # between the fingers, which the browser reports one after the other


def test_without_motion(enter: Enter) -> None:
    page = enter(reduced_motion="reduce")
    shown(page)
    press(page, "a")
    assert page.evaluate("document.getAnimations().length") == 0


def test_two_tabs(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    first = enter()
    pressed = {press(first, "a"): "a"}
    second = first.context.new_page()
    second.goto(studio.url + "/ask")
    second.wait_for_selector("text=These questions are open in another window.")
    pressed[press(first, "b")] = "b"
    second.click("text=Go on here")
    assert shown(second) not in pressed
    first.wait_for_selector("text=You went on in another window.")
    first.keyboard.press("a")  # is taken by nobody
    pressed[press(second, "same")] = "same"
    wait_saved(second)
    assert final_choices(studio.project, name_of(request)) == pressed


def test_an_answer_given_elsewhere_is_not_doubled(
    enter: Enter, studio: Server, request: pytest.FixtureRequest, browser: Any
) -> None:
    """Two devices: no lock is shared; the server refuses the second answer, and the page loads the task anew."""
    page = enter()
    question = shown(page)
    with studio.project.engine.connect() as connection:
        person = connection.execute(
            select(schema.question.c.person_id).where(schema.question.c.id == question)
        ).scalar_one()
    from nearfar.annotation.queue import Event, record

    record(studio.project.engine, studio.project.settings, person, [Event("elsewhere", question, 1, "same", 900)], 1.0)
    page.keyboard.press("a")
    page.wait_for_function("() => document.getElementById('progress').textContent === '2 of 25'")
    wait_saved(page)
    assert shown(page) != question
    assert final_choices(studio.project, name_of(request)) == {question: "same"}


def test_from_the_tutorial_to_work(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter(stage="tutorial")
    page.wait_for_url("**/tutorial")
    page.wait_for_selector(".example img")
    assert page.locator(".example").count() == 2
    page.locator(".example .marks g").nth(3).wait_for(state="attached")  # drawn when their picture is there
    assert page.locator(".example .marks g").count() == 4
    assert "Because of tutorial 0." in page.inner_text("main")
    page.keyboard.press("Tab")
    page.click("text=Start practising")
    for number, right in enumerate((True, False, True)):
        question = shown(page)
        assert page.inner_text("#progress") == f"Practice: {number + 1} of 3"
        correct = right_choice(studio.project, question)
        page.keyboard.press(KEYS[correct] if right else "u")
        page.wait_for_selector("#feedback-go:not([hidden])")
        assert page.inner_text("#feedback-title") == ("Right" if right else "Not quite")
        assert "Because of practice" in page.inner_text("#feedback-text")
        page.keyboard.press("z")  # no undoing of what was told
        page.keyboard.press("Enter")
    for number in range(3):
        assert page.inner_text("#progress") == f"Entry test: {number + 1} of 3" or shown(page)
        question = shown(page)
        assert page.inner_text("#needed") == "2 must be right"
        press(page, right_choice(studio.project, question))
    page.click("text=See the result")
    page.wait_for_selector("text=You passed")
    assert "3 of 3 were right, 2 were needed." in page.inner_text("main")
    page.click("text=Start answering")
    shown(page)
    assert page.inner_text("#progress") == "1 of 25"


def test_failing_the_test_twice(enter: Enter, studio: Server) -> None:
    page = enter(stage="test")
    for attempt in range(2):
        for _ in range(3):
            press(page, "unsure")
        page.click("text=See the result")
        if attempt == 0:
            page.wait_for_selector("text=Not this time")
            assert "You can try once more" in page.inner_text("main")
            page.goto(studio.url + "/ask")  # not into the next attempt by a mere reload
            page.wait_for_url("**/result")
            page.click("text=Try again")
    page.wait_for_selector("text=Thank you for trying")
    page.goto(studio.url + "/ask")
    page.wait_for_url("**/result")


def test_structure_for_screen_readers(enter: Enter) -> None:
    page = enter()
    shown(page)
    first = page.inner_text("#ask")
    assert re.fullmatch(r"Which is nearer to the camera: A, the person's [\w ]+, or B, the person's [\w ]+\?", first)
    assert page.get_attribute("html", "lang") == "en"
    assert page.locator("h1:visible").count() == 1
    assert page.inner_text("#live") == f"Question 1 of 25. {first}"
    button = page.get_by_role("button", name=re.compile("^A is nearer"))
    assert button.count() == 1
    button.focus()
    page.keyboard.press("Enter")  # a button is a button
    page.wait_for_function("() => document.getElementById('live').textContent.startsWith('Question 2 of 25.')")
    assert page.evaluate("document.activeElement.dataset.choice") == "a"  # the focus stays where it was
    for name in (
        "Same depth",
        "Can't tell",
        "Undo",
        "Zoom in",
        "Zoom out",
        "Fit to the window",
        "Show or hide the marks",
        "Comment",
        "Help",
    ):
        assert page.get_by_role("button", name=name).count() == 1, name
    assert page.get_by_role("progressbar").count() == 1
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Help").is_visible()
    page.uncheck("#letter-keys")
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.wait_for_timeout(150)
    assert page.inner_text("#progress") == "2 of 25"  # letters are off now
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.getElementById('progress').textContent === '3 of 25'")


def test_comments(enter: Enter, studio: Server) -> None:
    page = enter()
    question = shown(page)
    page.click("#comment-open")
    page.keyboard.type("a mark beside the joint <b>")
    page.click("#comment-send")
    page.wait_for_selector("#comment", state="hidden")
    assert shown(page) == question  # letters typed there are no answers
    with studio.project.engine.connect() as connection:
        query = select(schema.comment.c.text).where(schema.comment.c.question_id == question)
        assert connection.execute(query).scalars().all() == ["a mark beside the joint <b>"]


def test_the_lock(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    project = make_project(tmp_path_factory.mktemp("locked"), 3, answer_lock_ms=700)
    with serving(project) as server:
        session = join(project, "hasty")
        context = browser.new_context()
        context.add_cookies([{"name": cookie_name("http"), "value": session.token, "url": server.url}])
        page = context.new_page()
        page.goto(server.url + "/ask")
        page.wait_for_selector("#holder img")
        question = page.get_attribute("#work", "data-question")
        page.keyboard.press("a")
        assert page.get_attribute("#work", "data-question") == question
        assert page.get_attribute("[data-choice=a]", "aria-disabled") == "true"
        assert page.inner_text("#live") == "Look first: you can answer in a moment."
        shown(page)
        page.keyboard.press("a")
        page.wait_for_function("() => document.getElementById('progress').textContent === '2 of 15'")
        wait_saved(page)
        context.close()
        assert final_choices(project, "hasty") == {int(question): "a"}


def test_signed_out_meanwhile_keeps_the_answers(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter()
    press(page, "a")
    wait_saved(page)
    context = page.context
    cookies = context.cookies()
    context.clear_cookies()
    question = press(page, "b")
    page.wait_for_selector("text=Please come in again")
    assert len(final_choices(studio.project, name_of(request))) == 1
    context.add_cookies(cookies)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(studio.url + "/ask")
    shown(page)
    wait_saved(page)
    assert final_choices(studio.project, name_of(request))[question] == "b"


def test_a_picture_that_is_gone(enter: Enter, studio: Server, request: pytest.FixtureRequest) -> None:
    page = enter()
    question = shown(page)
    page.route("**/api/images/*", lambda route: route.fulfill(status=404, body="{}"))
    page.reload()
    page.wait_for_selector("text=This picture cannot be shown.")
    page.wait_for_selector("#choices:not([data-locked])")
    page.keyboard.press("a")  # nobody can know
    page.wait_for_timeout(100)
    assert page.get_attribute("#work", "data-question") == str(question)
    page.unroute("**/api/images/*")
    page.keyboard.press("u")
    assert shown(page) != question
    wait_saved(page)
    assert final_choices(studio.project, name_of(request)) == {question: "unsure"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("where", ["/ask", "/tutorial", "/nothing", "/", "/join", "/done"])
def test_axe_finds_nothing(enter: Enter, where: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = enter(path=where, color_scheme=scheme)
    if where in ("/ask", "/"):
        shown(page)
    found = axe.Axe().run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    )
    told = [
        f"{one['id']}: {one['nodes'][0]['html'][:160]}: {one['nodes'][0].get('failureSummary', '')[:300]}"
        for one in found.response["violations"]
    ]
    assert told == []


MODULES = """async ([name, body]) => {
  const module = await import(document.querySelector('script[type=module]').src.replace('main.js', name));
  return await new Function('module', 'return (async () => {' + body + '})()')(module);
}"""


@pytest.fixture(scope="module")
def modules(browser: Any, studio: Server) -> Iterator[Callable[[str, str], Any]]:
    """Runs code on one of our modules, in the browser."""
    context = browser.new_context(bypass_csp=True)
    session = join(studio.project, "modules")
    context.add_cookies([{"name": cookie_name("http"), "value": session.token, "url": studio.url}])
    page = context.new_page()
    page.goto(studio.url + "/tutorial")
    yield lambda name, body: page.evaluate(MODULES, [name, body])
    context.close()


def test_marks_never_lie_on_each_other(modules: Callable[[str, str], Any]) -> None:
    """For joints at any distance and place: letters apart, off both joints, and inside of the frame."""
    wrong = modules(
        "marks.js",
        """
        const size = {width: 360, height: 420}, wrong = [];
        const apart = (p, q) => Math.hypot(p.x - q.x, p.y - q.y);
        let state = 1;
        const random = () => (state = (state * 16807) % 2147483647) / 2147483647;
        for (let i = 0; i < 400; i += 1) {
          const a = {x: random() * 360, y: random() * 420};
          const reach = [0, 2, 8, 15, 25, 40, 120][i % 7], turn = random() * 7;
          const b = {x: Math.min(360, Math.max(0, a.x + reach * Math.cos(turn))), y: Math.min(420, Math.max(0, a.y + reach * Math.sin(turn)))};
          const placed = module.layout(a, b, size);
          if (placed.radius && 2 * placed.radius + 4 > apart(a, b)) wrong.push(['rings', a, b]);
          if (apart(placed.a, placed.b) < 32) wrong.push(['letters', a, b, placed]);
          for (const [own, reach] of [['a', 14], ['b', 18]])
            for (const joint of [a, b])
              if (apart(placed[own], joint) < reach + placed.radius) wrong.push(['hides', own, a, b, placed]);
          for (const letter of 'ab')
            if (placed[letter].x < 0 || placed[letter].x > 360 || placed[letter].y < 0 || placed[letter].y > 420) wrong.push(['outside', a, b, placed]);
        }
        return wrong;
        """,
    )
    assert wrong == []


def test_marks_of_joints_outside_stand_at_the_edge(modules: Callable[[str, str], Any]) -> None:
    placed = modules("marks.js", "return module.layout({x: -80, y: 100}, {x: 200, y: 210}, {width: 400, height: 400});")
    assert placed["a"]["outside"]
    assert (placed["a"]["x"], placed["a"]["y"]) == (14, 100)
    assert not placed["b"]["outside"]


def test_zoom_keeps_the_point_and_the_picture(modules: Callable[[str, str], Any]) -> None:
    views = modules(
        "zoom.js",
        """
        const frame = {width: 800, height: 500}, fitted = module.fit(300, 400, frame), views = [];
        let view = module.clamped({scale: 1, x: 0, y: 0}, fitted, frame);
        views.push(view);
        for (let i = 0; i < 40; i += 1) { view = module.zoomedAt(view, 1.3, {x: 400, y: 250}, fitted, frame); }
        views.push(view, module.zoomedAt(view, 1e-9, {x: 1, y: 2}, fitted, frame), fitted);
        return views;
        """,
    )
    whole, near, back, fitted = views
    assert fitted == {"scale": 1.25, "width": 375, "height": 500}
    assert whole == {"scale": 1, "x": 212.5, "y": 0}
    assert near["scale"] == 12
    assert (400 - near["x"]) / 12 == pytest.approx(375 / 2)
    assert back == whole


OUTBOX = """
class Memory { constructor(full) { this.map = new Map(); this.full = full; } get length() { return this.map.size; } key(i) { return [...this.map.keys()][i]; }
  getItem(k) { return this.map.get(k) ?? null; } removeItem(k) { this.map.delete(k); } setItem(k, v) { if (this.full) throw new Error('quota'); this.map.set(k, v); } }
const event = (i, revision = 1) => ({key: module.uuid(), question: i, revision, choice: 'a', response_ms: 1, answered_at: i});
const idle = (outbox) => new Promise((resolve) => { const poll = () => (outbox.size ? setTimeout(poll, 5) : resolve()); poll(); });
const fail = (kind) => Object.assign(new Error(kind), {kind, status: 422});
const ok = (events) => events.map((one) => ({key: one.key, status: 'stored'}));
"""


def test_outbox_tries_again_in_order(modules: Callable[[str, str], Any]) -> None:
    sent, waited, left = modules(
        "outbox.js",
        OUTBOX
        + """
        const storage = new Memory(), sent = [], waited = [];
        let tries = 0;
        const send = async (events) => { tries += 1; if (tries < 4) throw fail('offline'); sent.push(...events.map((one) => one.question)); return ok(events); };
        const outbox = new module.Outbox({storage, prefix: 'p:', send, jitter: (ms) => { waited.push(ms); return 1; }});
        for (let i = 0; i < 5; i += 1) outbox.push(event(i));
        await idle(outbox);
        return [sent, waited, storage.length];
        """,
    )
    assert sent == [0, 1, 2, 3, 4]
    assert waited[0] == 500
    assert waited == sorted(waited)
    assert left == 0


def test_outbox_survives_and_never_mixes(modules: Callable[[str, str], Any]) -> None:
    kept, again, others = modules(
        "outbox.js",
        OUTBOX
        + """
        const storage = new Memory(), never = async () => { throw fail('offline'); };
        const first = new module.Outbox({storage, prefix: 'p:7:', send: never});
        const other = new module.Outbox({storage, prefix: 'p:8:', send: never});
        for (let i = 0; i < 3; i += 1) first.push(event(i));
        other.push(event(9));
        first.stop(); other.stop();
        const sent = [];
        const second = new module.Outbox({storage, prefix: 'p:7:', send: async (events) => { sent.push(...events.map((one) => one.question)); return ok(events); }});
        const kept = second.size;
        second.flush();
        await idle(second);
        return [kept, sent, storage.length];
        """,
    )
    assert (kept, again, others) == (3, [0, 1, 2], 1)


def test_outbox_sets_aside_what_the_server_does_not_understand(modules: Callable[[str, str], Any]) -> None:
    """One bad event among many holds nobody up; a full storage loses nothing while the page is open."""
    stored, refused, kept = modules(
        "outbox.js",
        OUTBOX
        + """
        const stored = [], refused = [];
        const send = async (events) => { if (events.some((one) => one.question === 13)) throw fail('refused'); stored.push(...events.map((one) => one.question)); return ok(events); };
        const outbox = new module.Outbox({storage: new Memory(true), prefix: 'p:', send});
        outbox.addEventListener('receipts', (event) => refused.push(...event.detail.filter((one) => one.status === 'refused')));
        for (let i = 0; i < 30; i += 1) outbox.push(event(i));
        await idle(outbox);
        return [stored, refused.length, outbox.kept];
        """,
    )
    assert sorted(stored) == [i for i in range(30) if i != 13]
    assert refused == 1
    assert kept is False


def test_round_counts_waiting_answers(modules: Callable[[str, str], Any]) -> None:
    told = modules(
        "round.js",
        """
        const question = (id, revision = 0, choice = null) => ({id, revision, choice, image: String(id)});
        const task = {kind: 'work', a_left: true, questions: [question(1, 1, 'a'), question(2), question(3, 2, 'b'), question(4)]};
        const waiting = [{question: 2, revision: 1, choice: 'same'}, {question: 3, revision: 3, choice: 'undone'}, {question: 1, revision: 1, choice: 'b'}, {question: 99, revision: 1, choice: 'a'}];
        const round = new module.Round(task, waiting);
        const told = [round.number, round.done, round.questions.map((one) => one.choice)];
        const events = [round.answer('a', 12.6), round.undo(), round.answer('b', -5)];
        told.push(events.map((one) => [one.question, one.revision, one.choice, one.response_ms]), new Set(events.map((one) => one.key)).size, round.current.id);
        return told;
        """,
    )
    assert told == [3, 2, ["a", "same", None, None], [[3, 4, "a", 13], [3, 5, "undone", 0], [3, 6, "b", 0]], 3, 4]


def test_texts_of_the_browser(modules: Callable[[str, str], Any]) -> None:
    assert modules("texts.js", "return module.texts({x: 'a {n} b {n}'})('x', {n: 3});") == "a 3 b 3"
    for broken in ("module.texts({})('x')", "module.texts({x: '{n}'})('x', {})"):
        assert modules("texts.js", f"try {{ {broken}; return 'nothing'; }} catch {{ return 'error'; }}") == "error"


def test_config_is_json_and_nothing_runs_from_the_page(enter: Enter) -> None:
    page = enter()
    shown(page)
    json.loads(page.text_content("#config"))
    assert page.locator("script:not([src])").count() == 1
    assert page.locator("[style]").evaluate_all("all => all.filter(one => !one.closest('#holder')).length") == 0
