"""The viewer's page: its text, and what it does in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import viewing_samples as samples

from nearfar.errors import InputError
from nearfar.poses import Category, PoseSet
from nearfar.viewing import viewer_data, viewer_module, viewer_style, viewer_template, write_viewer
from nearfar.viewing.certainty import order_certainty
from nearfar.viewing.clip import clip_of

FRAMES = 24
PEOPLE = 2
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SHOTS = os.environ.get("NEARFAR_SCREENSHOTS")
"""A folder for pictures of the pages, for people to look at."""


def page_data(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found
    return json.loads(found.group(1))


def unpacked(entry: dict[str, Any]) -> np.ndarray:
    """As docs/viewing.md describes it."""
    shape, planes = entry["shape"], zlib.decompress(base64.b64decode(entry["data"]))
    changes = np.frombuffer(planes, np.uint8).reshape(4, -1).T.copy().view("<i4").reshape(-1, shape[0])
    codes = np.cumsum(changes, axis=1, dtype=np.int32).T.reshape(shape)
    return np.where(codes == -(2**31), np.nan, codes * entry["step"])


# --- the page's text -------------------------------------------------------------------------------------------------


def test_the_page_holds_the_poses_to_a_millimetre(tmp_path: Path) -> None:
    poses = samples.clip(FRAMES, PEOPLE, missing=(4,))
    write_viewer(poses, tmp_path / "view.html", title="two people")
    data = page_data(tmp_path / "view.html")
    (prediction,) = data["sets"]
    scene = unpacked(prediction["position"])
    expected = clip_of(poses).scene
    assert np.array_equal(np.isnan(scene), np.isnan(expected))
    assert np.nanmax(np.abs(scene - expected)) < 0.1
    keypoints = unpacked(data["keypoints"])
    assert np.nanmax(np.abs(keypoints - clip_of(poses).keypoints)) < 0.1
    assert np.allclose(unpacked(data["time"]), np.arange(FRAMES) / 12, atol=1e-5)


def test_the_page_is_closed_to_the_world(tmp_path: Path) -> None:
    title = '</script><script>alert(1)</script><img src=x onerror=alert(2)> & "q" {{DATA}}'
    write_viewer(samples.clip(2), tmp_path / "view.html", title=title, name="</script><b>")
    text = (tmp_path / "view.html").read_text("utf-8")
    assert text.count("<script") == 3
    assert text.count("</script>") == 3
    assert "<img" not in text
    assert not re.findall(r"https?://(?!www\.w3\.org)", text), "no address outside"
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert "default-src &#x27;none&#x27;" in policy.group(1)
    assert "unsafe" not in policy.group(1)


@pytest.mark.parametrize("compare", [None, "same"])
def test_missing_frames_and_comparisons_share_the_timeline(tmp_path: Path, compare: str | None) -> None:
    poses = samples.clip(8, missing=(2, 3))
    truth = samples.clip(8)
    truth = dataclasses.replace(truth, root_position=truth.root_position * 1.3)  # another idea of the distance
    write_viewer(poses, tmp_path / "v.html", compare={"truth": truth} if compare else None)
    sets = page_data(tmp_path / "v.html")["sets"]
    assert [s["name"] for s in sets] == ["prediction", "truth"][: len(sets)]
    if compare:
        ours, theirs = (unpacked(s["position"])[:, 0, samples.SKELETON.root_index] for s in sets)
        seen = np.isfinite(ours).all(axis=1)
        assert seen.sum() == 6
        assert np.allclose(ours[seen], theirs[seen], atol=0.2), "drawn root on root"
        assert np.isfinite(theirs).all(), "the truth stays where the prediction is missing"


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    poses, out = samples.clip(4), tmp_path / "v.html"
    video = samples.striped_video(tmp_path / "short.mp4", 3)
    two = dataclasses.replace(poses, sequence=Category.of(["a", "a", "b", "b"]))
    others = dataclasses.replace(poses, frame_index=np.arange(4) + 100)
    flat = dataclasses.replace(poses, joints=None, root_position=None)
    cases: list[tuple[str, Callable[[], None]]] = [
        ("2 sequences", lambda: write_viewer(two, out)),
        ("frames up to 3", lambda: write_viewer(poses, out, media=video)),
        ("no such file", lambda: write_viewer(poses, out, media=tmp_path / "none.mp4")),
        ("truth: it has no frame in common", lambda: write_viewer(poses, out, compare={"truth": others})),
        ("comparison: comparing needs 3D", lambda: write_viewer(poses, out, compare=flat)),
    ]
    for words, call in cases:
        with pytest.raises(InputError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert not out.exists()


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("viewer")
    video = samples.striped_video(folder / "clip.mp4", FRAMES)
    clip = samples.clip(FRAMES, missing=(20, 21))
    made = {name: folder / f"{name}.html" for name in ("video", "two", "lifted", "image", "flat", "world", "other")}
    write_viewer(clip, made["video"], media=video, title="a clip")
    write_viewer(samples.clip(FRAMES, PEOPLE), made["two"], compare={"truth": samples.clip(FRAMES, PEOPLE)})
    write_viewer(dataclasses.replace(samples.clip(FRAMES, PEOPLE), provenance={"lifter": "default"}), made["lifted"])
    write_viewer(samples.clip(1), made["image"])
    write_viewer(dataclasses.replace(clip, joints=None, root_position=None), made["flat"])
    moved = samples.clip(FRAMES)
    moved.joints[:, samples.SKELETON.index("left_wrist"), 2] -= 850  # 1 of 17 joints
    write_viewer(samples.clip(FRAMES), made["other"], compare={"moved": moved})
    upright = samples.standing()[None, :, [0, 2, 1]] * [1, 1, -1]
    write_viewer(PoseSet(skeleton=samples.SKELETON, joints=upright, frame="world"), made["world"])
    return made


@pytest.fixture
def visit(browser: Any, pages: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    """Opens a page by name; at the end of the test it must have logged nothing and asked for nothing."""
    opened: list[tuple[Any, list[str]]] = []

    def open_page(name: str, viewport: dict[str, int] = DESKTOP, **options: Any) -> Any:
        context = browser.new_context(viewport=viewport, offline=True, **options)
        page, complaints = context.new_page(), []
        address = f"file://{pages[name]}"
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: request.url == address or request.url.startswith("blob:") or complaints.append(request.url),
        )
        opened.append((context, complaints))
        page.goto(address)
        page.wait_for_selector("#viewer[data-frame]")
        return page

    yield open_page
    for context, complaints in opened:
        context.close()
        assert complaints == []


def pixels(page: Any, canvas: str = "scene") -> np.ndarray:
    """(H, W, 3) what a canvas shows, over white, once everything asked for is drawn."""
    from PIL import Image

    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    address = page.evaluate(f"document.getElementById('{canvas}').toDataURL()")
    picture = Image.open(BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)).astype(int)[..., :3]


def changed(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two pictures differ by more than the rounding of edges."""
    return before.shape != after.shape or bool((np.abs(before - after).max(axis=2) > 60).sum() > 20)


def until(page: Any, condition: str) -> None:
    """Wait for a JavaScript condition (Playwright's own waiting evaluates strings, which the page's policy forbids)."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never became true: {condition}")


def shown(page: Any, root: str = "viewer") -> tuple[int, int]:
    """The frame that the page is at, and the number that the striped picture in the source pane says, read at once."""
    return tuple(
        page.evaluate(
            """([width, height, stripes, root]) => {
              const canvas = document.getElementById('source');
              const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
              const context = copy.getContext('2d', { willReadFrequently: true });
              context.drawImage(canvas, 0, 0);
              const scale = Math.min(canvas.width / width, canvas.height / height);
              const left = (canvas.width - width * scale) / 2, top = (canvas.height - height * scale) / 2;
              let number = 0;
              for (let bit = 0; bit < stripes; bit++) {
                const x = left + (bit + 0.5) * Math.floor(width / stripes) * scale, y = top + 12 * scale;
                if (context.getImageData(x, y, 1, 1).data[0] > 128) number += 2 ** bit;
              }
              return [Number(document.getElementById(root).dataset.frame), number];
            }""",
            [*samples.SIZE, samples.STRIPES, root],
        )
    )


def shown_number(page: Any) -> int:
    return shown(page)[1]


def frame_of(page: Any) -> int:
    return int(page.evaluate("Number(document.getElementById('viewer').dataset.frame)"))


def scrub(page: Any, frame: int) -> None:
    page.locator("#slider").evaluate(f"(s) => {{ s.value = {frame}; s.dispatchEvent(new Event('input')) }}")
    until(
        page,
        f"document.getElementById('viewer').dataset.frame == '{frame}' && !document.getElementById('video').seeking",
    )
    pixels(page)


def joint_at(page: Any, joint: str) -> tuple[float, float]:
    """Where a joint is drawn in the 3D pane: in the middle of the green ring that choosing it in the list draws."""
    page.select_option("#joint-a", f"0:{samples.SKELETON.index(joint)}")
    rows, columns = np.nonzero(np.abs(pixels(page) - [0x22, 0xB5, 0x73]).max(axis=2) < 12)
    page.select_option("#joint-a", "")
    box = page.locator("#scene").bounding_box()  # the letter beside the ring lies above and to the right
    return float(box["x"] + columns.min() + 9), float(box["y"] + rows.max() - 9)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["video", "two", "image", "flat", "world", "other"])
def test_every_page_loads_and_fits(visit: Any, name: str, scheme: str, viewport: dict[str, int]) -> None:
    page = visit(name, viewport, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    assert page.evaluate("document.documentElement.scrollHeight") <= viewport["height"]
    outside = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, output, h1')]
          .filter((e) => e.checkVisibility() && !e.closest('dialog'))
          .filter((e) => { const b = e.getBoundingClientRect(); return b.left < 0 || b.right > innerWidth || b.bottom > innerHeight; })
          .map((e) => e.id || e.textContent)"""
    )
    assert outside == []
    assert page.locator("#time").is_visible() == (name in ("video", "two", "flat", "other"))
    assert page.locator("#scene").is_visible() == (name != "flat")
    assert page.locator("#question").is_visible() == (name not in ("flat", "world"))
    if SHOTS:
        pixels(page)
        page.screenshot(path=Path(SHOTS) / f"viewer_{name}_{scheme}_{viewport['width']}.png")


def test_the_video_shows_the_frame_that_the_poses_show(visit: Any) -> None:
    page = visit("video")
    until(page, "document.getElementById('video').readyState >= 2")
    for frame in (0, 1, 7, 8, 13, 23, 2):
        scrub(page, frame)
        assert shown_number(page) == frame


def test_poses_stay_with_the_video_while_it_plays(visit: Any) -> None:
    page = visit("video")
    until(page, "document.getElementById('video').readyState >= 2")
    page.select_option("#speed", "0.5")
    page.locator("#play").click()
    seen = []
    for _ in range(12):
        page.wait_for_timeout(120)
        seen.append(shown(page))
    assert len({frame for frame, _ in seen}) > 4, "it plays"
    assert [frame for frame, number in seen if abs(frame - number) > 1] == []
    page.locator("#play").click()
    until(page, "!document.getElementById('video').seeking")
    pixels(page)
    assert shown_number(page) == frame_of(page)


def test_the_time_bar_moves_the_poses(visit: Any) -> None:
    page = visit("two")
    before = pixels(page)
    scrub(page, 9)
    assert changed(before, pixels(page))
    assert "frame 9/23" in page.locator("#clock").inner_text()
    page.locator("#play").click()
    page.wait_for_timeout(400)
    assert frame_of(page) > 9
    assert page.locator("#play").get_attribute("aria-label") == "Pause"


def test_a_person_vanishes_where_nobody_was_found(visit: Any) -> None:
    page = visit("video")
    assert not page.locator("#nobody").is_visible()
    scrub(page, 20)
    assert page.locator("#nobody").is_visible()
    scrub(page, 22)
    assert not page.locator("#nobody").is_visible()


def test_the_mouse_turns_and_zooms_and_a_double_click_resets(visit: Any) -> None:
    page = visit("image")
    home = pixels(page)
    box = page.locator("#scene").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] - 60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y - 20, steps=4)
    page.mouse.up()
    turned = pixels(page)
    assert changed(home, turned)
    page.mouse.wheel(0, -300)
    assert changed(turned, pixels(page))
    page.mouse.dblclick(x, y)
    page.mouse.move(x, y - 3)
    assert not changed(home, pixels(page))
    views = []
    for name in ("Front", "Side", "Top"):
        page.get_by_role("button", name=name, exact=True).click()
        views.append(pixels(page))
    pairs = itertools.combinations([home, *views], 2)
    assert all(changed(a, b) for a, b in pairs)


def test_a_finger_turns_and_two_zoom(visit: Any) -> None:
    page = visit("image", PHONE, has_touch=True)
    home = pixels(page)
    client = page.context.new_cdp_session(page)
    box = page.locator("#scene").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (x, y))
    touch("touchMove", (x + 60, y))
    touch("touchEnd")
    turned = pixels(page)
    assert changed(home, turned)
    touch("touchStart", (x - 20, y), (x + 20, y))
    touch("touchMove", (x - 60, y), (x + 60, y))
    touch("touchEnd")
    assert changed(turned, pixels(page))


def test_hovering_names_the_joint_and_two_clicks_answer_the_question(visit: Any) -> None:
    page = visit("image")
    first, second = joint_at(page, "left_wrist"), joint_at(page, "right_wrist")
    page.mouse.move(*first)
    assert page.locator("#tip").inner_text() == "left wrist"
    page.mouse.click(*first)
    pixels(page)
    assert "compare with the left wrist" in page.locator("#answer").inner_text()
    page.mouse.move(*second)
    assert page.locator("#tip").inner_text() == "right wrist"
    page.mouse.click(*second)
    pixels(page)
    depth = samples.standing()[:, 2]
    difference = depth[samples.SKELETON.index("right_wrist")] - depth[samples.SKELETON.index("left_wrist")]
    expected = f"Left wrist is nearer to the camera than right wrist, by {difference:.0f} mm."
    assert page.locator("#answer").inner_text() == f"{expected} No certainty is known for these poses."
    page.keyboard.press("Escape")
    pixels(page)
    assert "Click two joints" in page.locator("#answer").inner_text()


def test_the_answer_says_how_often_it_is_right(visit: Any) -> None:
    page = visit("lifted")
    models = order_certainty(dataclasses.replace(samples.clip(1), provenance={"lifter": "default"}))
    scene = clip_of(samples.clip(FRAMES, PEOPLE)).scene
    said = set()
    for first, second in (("left_wrist", "right_wrist"), ("left_hip", "right_hip"), ("neck", "left_ankle")):
        a, b = sorted((samples.SKELETON.index(first), samples.SKELETON.index(second)))
        page.select_option("#joint-a", f"1:{a}")
        page.select_option("#joint-b", f"1:{b}")
        pixels(page)
        share = 100 * float(models[a, b].right(scene[0, 1, a, 2] - scene[0, 1, b, 2]))
        told = re.search(r"Right in (over )?(\d+) % of such cases", page.locator("#answer").inner_text())
        assert told
        assert share > 99 if told.group(1) else abs(int(told.group(2)) - share) <= 1
        said.add(told.group(2))
    assert len(said) == 3
    page.locator("#answer .certainty").click()
    assert "motion capture" in page.locator("#notes").inner_text()
    page.keyboard.press("Escape")
    page.select_option("#joint-b", "0:3")
    pixels(page)
    assert "Between people no certainty is known." in page.locator("#answer").inner_text()


def test_the_lists_answer_the_question_for_every_pair_at_every_frame(visit: Any) -> None:
    page = visit("two")
    scene = clip_of(samples.clip(FRAMES, PEOPLE)).scene
    names = [joint.replace("_", " ") for joint in samples.SKELETON.joints]
    rng = np.random.default_rng(0)
    for _ in range(12):
        frame, (a, b), (p, q) = (
            int(rng.integers(FRAMES)),
            rng.choice(17, 2, replace=False),
            rng.integers(PEOPLE, size=2),
        )
        scrub(page, frame)
        page.select_option("#joint-a", f"{p}:{a}")
        page.select_option("#joint-b", f"{q}:{b}")
        pixels(page)
        difference = scene[frame, p, a, 2] - scene[frame, q, b, 2]
        nearer, whose = (names[a], p) if difference > 0 else (names[b], q)
        said = page.locator("#answer").inner_text()
        if abs(difference) < 1:
            assert "equally far" in said
        else:
            assert abs(int(re.search(r"by (\d+) mm\.", said).group(1)) - abs(difference)) < 1
            words = f"{nearer} is nearer" if p == q else f"{nearer} of person {whose} is nearer"
            assert words in said[0].lower() + said[1:]
        assert "truth" in said


def test_the_keyboard_reaches_everything(visit: Any) -> None:
    page = visit("two")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    pixels(page)
    assert frame_of(page) == 1
    page.keyboard.press("End")
    pixels(page)
    assert frame_of(page) == FRAMES - 1
    page.keyboard.press("Home")
    home = pixels(page)
    for key in ("Shift+ArrowLeft", "+", "2", "3"):
        before = pixels(page)
        page.keyboard.press(key)
        assert changed(before, pixels(page)), key
    page.keyboard.press("0")
    assert not changed(home, pixels(page))
    page.keyboard.press(" ")
    page.wait_for_timeout(300)
    page.keyboard.press(" ")
    assert frame_of(page) > 0
    assert page.locator("#play").get_attribute("aria-label") == "Play"
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    reached = []
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    for control in ("follow", "theme", "help-open", "scene", "Front", "Top", "back", "play", "forward", "slider",
                    "speed", "joint-a", "joint-b"):  # fmt: skip
        assert control in reached


def test_controls_have_names_and_text_has_contrast(visit: Any) -> None:
    for scheme in ("light", "dark"):
        page = visit("two", color_scheme=scheme)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, select, input')]
              .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
              .map((e) => e.outerHTML)"""
        )
        assert nameless == []
        ratios = page.evaluate(
            """() => {
              const style = getComputedStyle(document.getElementById('viewer'));
              const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
              const light = (name) => {
                const hex = style.getPropertyValue(name).trim();
                return [1, 3, 5].reduce((s, i, k) => s + [0.2126, 0.7152, 0.0722][k] * channel(parseInt(hex.slice(i, i + 2), 16)), 0);
              };
              const ratio = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
              const text = [['--ink', '--page'], ['--ink', '--panel'], ['--muted', '--page'], ['--muted', '--panel'],
                ['--muted', '--scene-bottom'], ['--ink', '--pressed'], ['--on-accent', '--accent']].map((pair) => [pair, ratio(...pair), 4.5]);
              const limbs = ['--left', '--right', '--person-1', '--other-1'].map((c) => [[c, '--scene-top'], ratio(c, '--scene-top'), 3]);
              return [...text, ...limbs];
            }"""
        )
        assert [entry for entry in ratios if entry[1] < entry[2]] == []


def test_the_button_changes_between_dark_and_light(visit: Any) -> None:
    page = visit("image", color_scheme="light")
    before = page.evaluate("getComputedStyle(document.getElementById('viewer')).backgroundColor")
    picture = pixels(page)
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.getElementById('viewer')).backgroundColor") != before
    assert changed(picture, pixels(page))
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.getElementById('viewer')).backgroundColor") == before


def test_the_view_follows_all_or_one_or_stands_still(visit: Any) -> None:
    page = visit("two")
    assert page.locator("#follow option").all_inner_texts() == [
        "Follow all", "Follow person 0", "Follow person 1", "Stand still",
    ]  # fmt: skip
    pictures = []
    for choice in ("all", "0", "1", "none"):
        page.select_option("#follow", choice)
        pictures.append(pixels(page))
    assert all(changed(a, b) for a, b in itertools.combinations(pictures, 2))
    assert not visit("image").locator("#follow").is_visible()


def test_overlay_and_comparison_can_be_hidden(visit: Any) -> None:
    page = visit("video")
    until(page, "document.getElementById('video').readyState >= 2")
    pixels(page)
    before = pixels(page, "source")
    page.locator("#overlay").uncheck()
    assert changed(before, pixels(page, "source"))
    page = visit("two")
    before = pixels(page)
    page.get_by_label("prediction").uncheck()
    assert changed(before, pixels(page))


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_two_results_stand_side_by_side_with_their_difference(visit: Any, viewport: dict[str, int]) -> None:
    page = visit("other", viewport)
    assert page.locator("#difference").inner_text() == "50 mm from moved"
    page.select_option("#layout", "beside")
    halves = np.array_split(pixels(page), 2, axis=1)
    for half in halves:
        colours = np.abs(half - [0x1F, 0x8F, 0xD6]).max(axis=2) < 40  # the left side of a person, in each half
        assert colours.sum() > 100
    joint = samples.SKELETON.index("left_wrist")
    page.select_option("#joint-a", f"0:{joint}")
    page.select_option("#joint-b", f"0:{samples.SKELETON.index('right_wrist')}")
    pixels(page)
    assert "(moved: left wrist by 1210 mm)" in page.locator("#answer").inner_text()


# --- in a page of others ---------------------------------------------------------------------------------------------

HOST = """<!DOCTYPE html><title>host</title><link rel="stylesheet" href="viewer.css">
<style>h1 { font-size: 40px } #place { width: 700px; height: 500px }</style><h1>Of the host</h1><div id="place">old</div>
<script type="module">import { clipData, showClip } from "./viewer.js"; Object.assign(window, { clipData, showClip });</script>"""


@pytest.fixture
def host(browser: Any) -> Iterator[Any]:
    """A page of somebody else that imports the viewer's module."""
    files = {
        "": ("text/html", HOST),
        "viewer.js": ("text/javascript", viewer_module()),
        "viewer.css": ("text/css", viewer_style()),
    }
    page, complaints = browser.new_page(viewport=DESKTOP), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def answer(route: Any) -> None:
        kind, body = files.get(route.request.url.removeprefix("http://host.test/"), ("text/plain", ""))
        route.fulfill(status=200, content_type=kind, body=body)

    page.route("http://host.test/**", answer)
    page.goto("http://host.test/")
    until(page, "Boolean(window.showClip)")
    yield page
    page.close()
    assert complaints == []


def test_a_page_of_others_shows_a_clip_with_media_and_closes_it(host: Any, tmp_path: Path) -> None:
    video = samples.striped_video(tmp_path / "clip.mp4", FRAMES).read_bytes()
    later = samples.clip(FRAMES).select(slice(6, None))  # the poses begin after the video does
    host.evaluate(
        """async ([data, video]) => {
          const type = 'video/mp4';
          const media = new Blob([Uint8Array.from(atob(video), (c) => c.charCodeAt(0))], { type });
          window.viewer = await showClip(document.getElementById('place'), data, { title: 'mine', media });
        }""",
        [viewer_data(later), base64.b64encode(video).decode()],
    )
    until(host, "viewer.video.readyState >= 2")
    host.evaluate("viewer.player.seek(7)")
    until(host, "place.dataset.frame == '7' && !viewer.video.seeking")
    pixels(host)
    assert shown(host, "place") == (7, 13)
    assert host.locator("#title").inner_text() == "mine"
    assert "frame 13/23" in host.locator("#clock").inner_text()
    assert host.evaluate("viewer.clip.ground.level") == pytest.approx(-950, abs=2), "the ankles below the camera"
    assert host.locator("#place").bounding_box()["height"] == 500
    assert host.evaluate("getComputedStyle(document.querySelector('body > h1')).fontSize") == "40px"
    host.evaluate("viewer.close()")
    assert host.evaluate("place.childElementCount + place.className.length") == 0
    host.keyboard.press("ArrowRight")


def test_poses_that_a_page_made_look_like_those_of_python(host: Any) -> None:
    poses = dataclasses.replace(samples.clip(3, PEOPLE, missing=(1,)), provenance={"lifter": "default"})
    plain = {
        "joints": poses.joints.ravel(), "roots": poses.root_position.ravel(), "keypoints": poses.keypoints.ravel(),
        "scores": poses.scores.ravel(), "time": poses.time[::PEOPLE],
    }  # fmt: skip
    numbers = {key: [v if np.isfinite(v) else None for v in array.tolist()] for key, array in plain.items()}
    pictures = []
    made = viewer_template(poses.skeleton, "default")
    script = """async ([template, numbers, data]) => {
      const missing = (values) => values.map((v) => v ?? NaN);
      const made = Object.fromEntries(Object.entries(numbers ?? {}).map(([key, values]) => [key, missing(values)]));
      window.viewer?.close();
      data ??= clipData(template, { ...made, size: [640, 360], people: [0, 1] });
      window.viewer = await showClip(document.getElementById('place'), data);
      viewer.choose({ person: 1, joint: 13 });
      viewer.choose({ person: 1, joint: 16 });
    }"""
    for values in ([made, numbers, None], [None, None, viewer_data(poses)]):
        host.evaluate(script, values)
        pictures.append((pixels(host), pixels(host, "source"), host.locator("#answer").inner_text()))
    assert not changed(pictures[0][0], pictures[1][0])
    assert not changed(pictures[0][1], pictures[1][1])
    assert pictures[0][2] == pictures[1][2]
    assert "Right in" in pictures[0][2]


# --- in a notebook ---------------------------------------------------------------------------------------------------


def test_a_notebook_shows_poses_in_a_closed_frame(host: Any) -> None:
    poses = samples.clip(FRAMES, PEOPLE)
    shown = poses._repr_html_()
    assert f"{FRAMES * PEOPLE} poses of 17 joints (h36m17); 2 people; 3D joints in mm" in shown
    assert len(shown) < 250_000, "a notebook keeps it"
    host.evaluate("(html) => { document.getElementById('place').innerHTML = html }", shown)
    viewer = host.frame_locator("iframe")
    viewer.locator("#viewer[data-frame='0']").wait_for()
    viewer.locator("#forward").click()
    viewer.locator("#viewer[data-frame='1']").wait_for()
    assert host.evaluate("document.querySelector('iframe').contentDocument") is None, "sandboxed"


def test_a_notebook_shows_the_beginning_of_many_and_words_for_none() -> None:
    clip = samples.clip(1200, PEOPLE)
    names = Category.of(["<b>one</b>"] * 2000 + ["two"] * 400)
    shown = dataclasses.replace(clip, sequence=names)._repr_html_()
    assert "the first 1000, of &#x27;&lt;b&gt;one&lt;/b&gt;&#x27;" in shown
    assert "<b>one" not in shown
    nothing = clip.select(slice(0, 0))._repr_html_()
    assert "0 poses" in nothing
    assert "nothing to show" in nothing
    assert "<iframe" not in nothing
    twice = dataclasses.replace(clip, frame_index=np.zeros(len(clip), int))
    assert "has two poses of person" in twice._repr_html_()


# --- what is not there -----------------------------------------------------------------------------------------------


def test_pages_say_what_is_missing(host: Any) -> None:
    poses = samples.clip(4)
    gone = np.full_like(poses.joints, np.nan)
    unplaced = dataclasses.replace(poses, joints=gone, root_position=None)
    unseen = dataclasses.replace(poses, joints=None, root_position=None, keypoints=gone[..., :2], image_size=None)
    show = "async (data) => { window.viewer?.close(); window.viewer = await showClip(place, data); }"
    host.evaluate(show, viewer_data(unplaced))
    assert pixels(host).shape
    assert host.locator("#nobody").inner_text() == "No 3D joints in this frame"
    host.evaluate(show, viewer_data(dataclasses.replace(unplaced, keypoints=gone[..., :2])))
    assert pixels(host).shape
    assert host.locator("#nobody").inner_text() == "Nobody in this frame"
    host.evaluate(show, viewer_data(unseen))
    until(host, "place.dataset.frame == '0'")
    assert host.locator("#nothing").is_visible()
