"""The service's page in real Chromium: a link signs in, a photo is dropped, and turned around."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from malformed_media import picture
from serving_service import Running, running, served

from nearfar.media import VideoWriter, read_frames
from nearfar.serving import access

SHOTS = os.environ.get("NEARFAR_SCREENSHOTS")
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pytest.importorskip("mediapipe")
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="module")
def address(service: Running) -> Iterator[str]:
    with served(service.app) as url:
        yield url


@pytest.fixture(scope="module")
def media(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A photo and a clip of real people."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("media")
    frames = [
        frame.image for frame, _ in zip(read_frames(shared / "media" / "street_walk.mp4"), range(72), strict=False)
    ]
    Image.fromarray(frames[66]).save(folder / "street.jpg")
    with VideoWriter(folder / "walk.mp4", fps=30) as writer:
        for image in frames[60:]:
            writer.write(image)
    return folder / "street.jpg", folder / "walk.mp4"


def shot(page: Any, name: str, *, whole: bool = False) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=whole)


def opened(browser: Any, service: Running, address: str, **context: Any) -> tuple[Any, list[str]]:
    """A page that came with a link, and what its console complains of."""
    page = browser.new_context(**context).new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/#code={access.new_code(service.service.store, time.time())}")
    page.get_by_text("Drop a photo").wait_for()
    return page, complaints


@pytest.mark.shared
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_a_photo_is_sent_and_turned_around(
    browser: Any, service: Running, address: str, media: tuple[Path, Path], size: str, scheme: str
) -> None:
    width, height = SIZES[size]
    page, complaints = opened(
        browser, service, address, viewport={"width": width, "height": height}, color_scheme=scheme
    )
    assert "code" not in page.url
    shot(page, f"service-{size}-{scheme}-1-empty")
    if size == "desktop" and scheme == "light":  # dropped, as a person does
        data = page.evaluate_handle(
            """async ([bytes, name]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
                return transfer;
            }""",
            [list(media[0].read_bytes()), "street.jpg"],
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    else:
        page.set_input_files("#file", media[0])
    frame = page.frame_locator("#viewer")
    canvas = frame.locator("#scene")
    canvas.wait_for(timeout=90_000)
    page.wait_for_timeout(500)
    assert "street.jpg: 1 person, 1 pose" in page.locator("#result-name").text_content()
    assert page.evaluate("document.activeElement.id") == "result-name"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    before = canvas.screenshot()
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 10, steps=4)
    page.mouse.up()
    page.wait_for_timeout(500)
    assert canvas.screenshot() != before
    shot(page, f"service-{size}-{scheme}-2-result")
    shot(page, f"service-{size}-{scheme}-3-whole", whole=True)
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON", exact=True).click()
    assert download.value.suggested_filename == "street.poses.json"
    assert b'"nearfar-poses-1"' in Path(download.value.path()).read_bytes()
    assert not complaints
    page.context.close()


@pytest.mark.shared
def test_a_video_by_keyboard_with_progress(
    browser: Any, service: Running, address: str, media: tuple[Path, Path]
) -> None:
    page, complaints = opened(browser, service, address, viewport={"width": 390, "height": 844})
    # From now on: Playwright does not wait until choosers are intercepted, and a key is quicker.
    page.on("filechooser", lambda chooser: None)
    page.get_by_label("People at most").fill("2")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(media[1])
    page.get_by_role("status").filter(has_text="Finding people").wait_for(timeout=60_000)
    assert page.get_by_role("progressbar").is_visible()
    shot(page, "service-phone-progress")
    page.locator("#result-name").filter(has_text="walk.mp4: 2 people, 24 poses").wait_for(timeout=120_000)
    assert not page.locator("#work").is_visible()
    delete = page.get_by_role("button", name="Delete walk.mp4")
    # By key: Chromium sends a click to the sandboxed frame, a process of its own, where that was painted last.
    delete.press("Enter")
    delete.wait_for(state="detached")
    assert not page.locator("#result").is_visible()
    assert not complaints
    page.context.close()


def test_what_is_wrong_is_said(browser: Any, service: Running, address: str, tmp_path: Path) -> None:
    page, _ = opened(browser, service, address, viewport={"width": 1280, "height": 800})
    nobody = tmp_path / "nobody.jpg"
    nobody.write_bytes(picture("JPEG"))
    page.set_input_files("#file", nobody)
    page.get_by_role("alert").filter(has_text="nobody.jpg: no person found in it").wait_for(timeout=60_000)
    shot(page, "service-problem")
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    delete = page.get_by_role("button", name="Delete nobody.jpg").element_handle()
    with page.expect_response("**/v1/jobs?limit=8"):
        page.set_input_files("#file", text)
    page.get_by_role("alert").filter(has_text="expected MP4").wait_for()
    page.wait_for_timeout(200)
    assert delete.evaluate("(button) => button.isConnected")  # listed again, and the same button still
    delete.press("Enter")
    page.get_by_role("button", name="Delete nobody.jpg").wait_for(state="detached")
    page.wait_for_function("() => document.activeElement !== document.body")  # the keyboard goes on from there
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Your token").wait_for()
    assert page.evaluate("sessionStorage.length") == 0
    shot(page, "service-sign-in")
    page.get_by_label("Your token").fill("a guess")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="not valid").wait_for()
    page.get_by_label("Your token").fill(service.ada)
    page.keyboard.press("Enter")
    page.get_by_text("Drop a photo").wait_for()
    assert service.ada not in page.evaluate("JSON.stringify(sessionStorage)")  # a session is kept, not the token
    page.context.close()


def test_the_page_is_accessible(browser: Any, service: Running, address: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for scheme in ("light", "dark"):
        page, _ = opened(browser, service, address, viewport={"width": 1280, "height": 800}, color_scheme=scheme)
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.context.close()
