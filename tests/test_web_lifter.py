"""The static page that lifts in the browser, built with npm and driven in Chromium: its figures, its pictures, bad files."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_lifting_onnx import small_lifter

import nearfar
from nearfar import InputError, PoseSet, get_skeleton
from nearfar.cli import main
from nearfar.detection import get_detector
from nearfar.detection.search import find_people
from nearfar.media import read_frames
from nearfar.synthetic.crossing import crossing
from nearfar.tables import write_poses_json
from nearfar.web_lifter import npm, write_site

for library in ("mediapipe", "onnxscript"):
    pytest.importorskip(library, reason=f"needs {library}")

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SIZE = (1920, 1080)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, built by the command."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm, which is not installed")
    folder = tmp_path_factory.mktemp("site") / "page"
    (folder / "old").mkdir(parents=True)
    with pytest.raises(InputError, match="already there, and not a page of nearfar's"):
        write_site(nearfar.load(), folder)
    shutil.rmtree(folder / "old")
    assert main(["models", "web", str(folder)]) == 0
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Any static file server."""

    def log_message(self, *words: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page; at the end of the test it must have asked nobody else for anything, and broken no policy."""
    opened: list[tuple[Any, list[str]]] = []

    def open_page(viewport: dict[str, int] = DESKTOP, script: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport=viewport, **options)
        if script:
            context.add_init_script(script)
        page, complaints = context.new_page(), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: "Content Security" in said.text and complaints.append(said.text))
        page.on(
            "request",
            lambda asked: asked.url.startswith((address, "data:", "blob:")) or complaints.append(asked.url),
        )
        opened.append((context, complaints))
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for context, complaints in opened:
        context.close()
        assert complaints == []


def give(page: Any, *files: Path) -> str:
    """Choose files; what the page says is wrong with them, or ""."""
    page.set_input_files("#file", files)
    settled(page)
    return str(page.inner_text("#error")) if page.is_visible("#error") else ""


def assert_fits(page: Any) -> None:
    """Nothing scrolls, and nothing to press lies outside."""
    size = page.viewport_size
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert page.evaluate("document.documentElement.scrollHeight") <= size["height"]
    outside = page.evaluate(
        "() => [...document.querySelectorAll('button, .button, select')].filter((e) => e.checkVisibility())"
        ".filter((e) => { const b = e.getBoundingClientRect(); return b.left < 0 || b.right > innerWidth; })"
        ".map((e) => e.textContent)"
    )
    assert outside == []


def settled(page: Any) -> None:
    """Wait until the page has done what it was asked for."""
    page.wait_for_function("() => !document.body.hasAttribute('aria-busy')", timeout=120_000)


def saved(page: Any, folder: Path) -> PoseSet:
    """The poses that the page saves, as nearfar reads them."""
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(folder / "saved.json")
    return nearfar.load_poses(folder / "saved.json")


def assert_same(found: PoseSet, joints: np.ndarray, tolerance: float = 1e-4) -> None:
    """Joints equal to a share of the pose's size (the RMS distance of its joints from the root), NaN where they are NaN."""
    joints = joints.reshape(found.joints.shape)
    assert np.array_equal(np.isnan(found.joints), np.isnan(joints))
    size = np.sqrt(np.nanmean(np.square(joints).sum(-1)))
    assert np.nanmax(np.abs(found.joints - joints)) <= tolerance * size


def people_in_coco(frames: int = 3, people: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """(F, P, 17, 2) COCO keypoints of made people, and (F, P, 17) scores; some joints are missing."""
    truth = crossing(people, frames / 5, fps=5, skeleton="human19")
    own = truth.skeleton
    names = [name for name in get_skeleton("coco17").joints if name in own.joints]
    keypoints = np.zeros((frames, people, 17, 2))
    scores = np.zeros((frames, people, 17))
    by_frame = truth.keypoints.reshape(people, frames, own.num_joints, 2).swapaxes(0, 1)
    for name in names:
        keypoints[..., get_skeleton("coco17").index(name), :] = by_frame[..., own.index(name), :]
        scores[..., get_skeleton("coco17").index(name)] = 0.9
    ears = [get_skeleton("coco17").index(name) for name in ("left_ear", "right_ear")]
    keypoints[..., ears, :] = by_frame[..., own.index("head_top"), None, :] + [[8.0, 30], [-8, 30]]
    scores[..., ears] = 0.6
    if frames > 2:
        scores[1, 0, get_skeleton("coco17").index("left_wrist")] = 0
        scores[2, 1, get_skeleton("coco17").index("left_hip")] = 0  # no root: nobody who can be lifted
    keypoints[scores == 0] = 0
    return keypoints, scores


def coco_file(path: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    images = [
        {"id": 7 + f, "file_name": f"{f}.jpg", "width": SIZE[0], "height": SIZE[1]} for f in range(len(keypoints))
    ]
    annotations = [
        {
            "image_id": 7 + f,
            "keypoints": np.concatenate([points, 2 * (seen > 0)[:, None]], axis=1).ravel().tolist(),
        }
        for f in range(len(keypoints))
        for points, seen in zip(keypoints[f], scores[f], strict=True)
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


# --- the folder ------------------------------------------------------------------------------------------------------


def test_the_folder_is_closed_and_names_what_is_not_ours(site: Path) -> None:
    index = (site / "index.html").read_text("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', index)
    assert policy
    assert "default-src &#x27;none&#x27;" in policy.group(1)
    assert "unsafe-inline" not in policy.group(1)
    assert "&#x27;unsafe-eval" not in policy.group(1)
    ours = [file for file in site.iterdir() if file.suffix in {".js", ".css", ".html"}]
    assert len(ours) == 11
    assert [file.name for file in ours if re.search(r"https?://(?!www\.w3\.org)", file.read_text("utf-8"))] == []
    licences = (site / "vendor" / "LICENCES.txt").read_text("utf-8")
    for package in (npm.ONNXRUNTIME, npm.MEDIAPIPE):
        assert f"{package.name} {package.version}, {package.licence}" in licences
        assert all((site / place).stat().st_size > 1000 for place in package.files.values())


def test_what_npm_brings_must_be_what_was_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (tmp_path / "page", "."):
        with pytest.raises(InputError, match=r"needs onnxruntime-web@\S+, which npm fetches, and npm is not installed"):
            write_site(nearfar.load(), place)
    (tmp_path / "here").rmdir()
    kept = tmp_path / "cache" / "npm" / npm.ONNXRUNTIME.archive
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"something else")
    with pytest.raises(InputError, match=r"its SHA-512 is .* not used"):
        write_site(nearfar.load(), tmp_path / "page")
    assert [entry.name for entry in tmp_path.iterdir()] == ["cache"], "nothing half-written"


# --- keypoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_example_is_lifted_and_fits(visit: Callable[..., Any], viewport: dict[str, int], scheme: str) -> None:
    page = visit(viewport, color_scheme=scheme)
    page.click("#example")
    settled(page)
    assert page.locator("#status").text_content() == "270 poses in 90 frames"
    page.wait_for_selector("#view[data-frame]")
    assert page.locator("#scene").is_visible()
    assert page.locator("#nobody").is_hidden()
    page.locator("#forward").click()
    page.wait_for_selector("#view[data-frame='1']")
    assert_fits(page)


def test_coco_keypoints_give_pythons_figures(visit: Callable[..., Any], tmp_path: Path) -> None:
    keypoints, scores = people_in_coco()
    page = visit()
    assert give(page, coco_file(tmp_path / "people.json", keypoints, scores)) == ""
    found = saved(page, tmp_path)
    joints = nearfar.load().lift(keypoints, skeleton="coco17", scores=scores, image_size=SIZE)
    assert np.isnan(joints[2, 1]).all()
    assert_same(found, joints)
    again = nearfar.load().lift_poses(found)
    assert np.nanmax(np.abs(found.root_position - again.root_position)) < 0.5
    assert found.frame_index.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.provenance["lifter"] == "default"


def test_openpose_frames_without_an_image_size(visit: Callable[..., Any], tmp_path: Path) -> None:
    truth = crossing(1, 2, fps=5, skeleton="human19")
    joints = get_skeleton("coco18").joints
    keypoints = np.full((len(truth), 18, 2), np.nan)
    for joint, name in enumerate(joints):
        if name in truth.skeleton.joints:
            keypoints[:, joint] = truth.keypoints[:, truth.skeleton.index(name)]
    head = truth.keypoints[:, truth.skeleton.index("head_top")]
    keypoints[:, joints.index("left_ear")], keypoints[:, joints.index("right_ear")] = head + [6, 20], head + [-6, 20]
    files = []
    for frame, points in enumerate(keypoints):
        rows = np.nan_to_num(np.concatenate([points, np.isfinite(points[:, :1]) * 0.8], axis=1))
        files.append(tmp_path / f"walk_{frame:03d}_keypoints.json")
        files[-1].write_text(json.dumps({"people": [{"person_id": [-1], "pose_keypoints_2d": rows.ravel().tolist()}]}))
    page = visit()
    assert give(page, *reversed(files)) == ""
    assert_same(saved(page, tmp_path), nearfar.load().lift(keypoints, skeleton="coco18"))


def test_poses_of_nearfar_with_their_own_cameras(visit: Callable[..., Any], tmp_path: Path) -> None:
    poses = crossing(2, 1, fps=5, skeleton="human19")
    poses = dataclasses.replace(poses, joints=None, image_size=None)
    poses.keypoints[3, 4] = np.nan
    write_poses_json(poses, tmp_path / "own.json")
    page = visit()
    assert give(page, tmp_path / "own.json") == ""
    found = saved(page, tmp_path)
    expected = nearfar.load().lift_poses(poses).joints
    assert_same(found, expected[by_frame(poses, found)])


def by_frame(poses: PoseSet, found: PoseSet) -> np.ndarray:
    """Rows of `poses` in the order of `found`."""
    rows = {
        (frame, person): row for row, (frame, person) in enumerate(zip(poses.frame_index, poses.person, strict=True))
    }
    return np.array([rows[key] for key in zip(found.frame_index, found.person, strict=True)])


def test_files_can_be_dropped(visit: Callable[..., Any], tmp_path: Path) -> None:
    text = coco_file(tmp_path / "people.json", *people_in_coco()).read_text()
    page = visit()
    page.evaluate(
        """(text) => {
          const data = new DataTransfer();
          data.items.add(new File([text], "<b>people</b>.json", { type: "application/json" }));
          window.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        text,
    )
    settled(page)
    assert page.locator("#view h1").text_content() == "<b>people</b>.json"
    assert page.locator("#view b.mark").count() == 2, "no markup of a file's name"


# --- photos and videos -----------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_a_photo_and_a_moment_of_a_video(visit: Callable[..., Any], shared: Path, tmp_path: Path) -> None:
    from PIL import Image

    image = next(frame.image for frame in read_frames(shared / "media" / "street_walk.mp4") if frame.index == 60)
    Image.fromarray(image).save(tmp_path / "street.png")
    page = visit(PHONE)
    assert give(page, tmp_path / "street.png") == ""
    found = saved(page, tmp_path)
    assert tuple(found.image_size[0]) == (image.shape[1], image.shape[0])
    assert_same(found, nearfar.load().lift_poses(found).joints)
    assert page.locator("#view #source").is_visible()
    with get_detector("mediapipe") as detector:
        people = find_people(detector, image)
    seen = [nearfar.remap("mediapipe33", found.skeleton).points(person.keypoints) for person in people]
    away = np.linalg.norm(found.keypoints[:, None] - np.stack(seen), axis=-1).mean(axis=-1)
    assert away.shape == (2, 2), "both see the two people in the street"
    assert (away.min(axis=1) < 0.05 * np.array([person.size for person in people])).all(), "and nearly the same poses"
    page.set_input_files("#file", shared / "media" / "street_walk.mp4")
    page.wait_for_function("() => document.getElementById('film').readyState >= 2")
    page.click("#lift-moment")
    settled(page)
    assert not page.is_visible("#error"), page.inner_text("#error")
    moment = saved(page, tmp_path)
    assert_fits(page)
    page.click("#another")
    assert page.locator("#film").is_visible()
    assert_same(moment, nearfar.load().lift_poses(moment).joints)


def test_a_photo_of_nobody(visit: Callable[..., Any], tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)).save(tmp_path / "noise.png")
    assert "nobody was found in it" in give(visit(), tmp_path / "noise.png")


# --- bad files -------------------------------------------------------------------------------------------------------


def wrong_files(folder: Path) -> list[tuple[str, Path]]:
    """What the page must say of each file."""
    keypoints, scores = people_in_coco(1, 1)
    whole = coco_file(folder / "whole.json", keypoints, scores).read_text()
    huge = folder / "huge.json"
    with huge.open("wb") as file:
        file.truncate(65_000_000)
    many = [{"image_id": i, "keypoints": [1, 1, 1] * 17} for i in range(20_001)]
    own = {"schema": "nearfar-poses-1", "skeleton": {"name": "cat", "joints": ["tail"]}, "poses": []}
    written: list[tuple[str, str, str | bytes]] = [
        ("the file is empty", "empty.json", ""),
        ("the file is empty", "blank.json", "  \n"),
        ("not JSON, or cut off", "cut.json", whole[:-40]),
        ("nobody in it", "nobody.json", "{}"),
        ("nobody in it", "nothing.json", "[]"),
        ("nobody in it", "people.json", '{"people": []}'),
        ("nobody in it", "crowd.json", json.dumps({"annotations": [{"iscrowd": 1, "keypoints": [1] * 51}]})),
        ("a kind not known here (keys colour)", "other.json", '{"colour": 3}'),
        ("a kind not known here (a number)", "number.json", "3"),
        ("a kind not known here (a object)", "null.json", "null"),
        (
            "16 joints; known are 17 (coco17), 133 (coco17)",
            "few.json",
            json.dumps([{"image_id": 1, "keypoints": [1, 1, 1] * 16}]),
        ),
        (
            'number 4 is "x"',
            "text.json",
            json.dumps([{"image_id": 1, "keypoints": [1, 1, 1, 2, "x", 1] + [1, 1, 1] * 15}]),
        ),
        ("expected x, y and a score", "pairs.json", json.dumps([{"image_id": 1, "keypoints": [1] * 34}])),
        ("look normalised", "shares.json", json.dumps([{"image_id": 1, "keypoints": [0.2, 0.3, 0.9] * 17}])),
        ("beyond 10000000 are not pixels", "far.json", json.dumps([{"image_id": 1, "keypoints": [1e9, 3, 0.9] * 17}])),
        (
            "nobody in it has enough keypoints",
            "spot.json",
            json.dumps([{"image_id": 1, "keypoints": [300, 300, 0.9] * 3 + [0] * 42}]),
        ),
        (
            "person 4 is twice in one frame",
            "twice.json",
            json.dumps({"annotations": 2 * [{"track_id": 4, "keypoints": [1, 1, 2] * 17}]}),
        ),
        ("20001 poses, more than the 20000", "many.json", json.dumps(many)),
        ("skeleton cat: this page lifts", "cat.json", json.dumps(own)),
        ("schema nearfar-poses-9, expected nearfar-poses-1", "new.json", '{"schema": "nearfar-poses-9"}'),
        ("cannot read it as an image", "broken.png", b"\x89PNG not really"),
    ]
    files = []
    for words, name, content in written:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        files.append((words, folder / name))
    return [*files, ("65 MB, more than the 64 MB", huge)]


def test_wrong_files_are_named_and_the_page_goes_on(visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit(PHONE)
    for words, file in wrong_files(tmp_path):
        said = give(page, file)
        assert words in said, file.name
        assert not page.locator("#scene").count()
    assert "a frame each" in give(page, tmp_path / "whole.json", tmp_path / "few.json")
    assert "one at a time" in give(page, tmp_path / "broken.png", tmp_path / "broken.png")
    assert give(page, tmp_path / "whole.json") == ""


def test_a_browser_without_webassembly_says_so(visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit(script="delete globalThis.WebAssembly")
    assert "no WebAssembly" in give(page, coco_file(tmp_path / "people.json", *people_in_coco()))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Callable[..., Any], scheme: str, tmp_path: Path) -> None:
    people = coco_file(tmp_path / "people.json", *people_in_coco())
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit(color_scheme=scheme, bypass_csp=True)
    for _ in ("before", "after"):
        found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]})
        assert [(one["id"], one["nodes"][0]["html"][:160]) for one in found.response["violations"]] == []
        give(page, people)


def test_a_page_of_another_lifter_without_photos(site: Path, tmp_path: Path) -> None:
    lifter = small_lifter("supervised", "body25")
    page = tmp_path / "page"
    page.mkdir()
    for name in ("site.json", "model.onnx", "stale.js"):  # an older page
        (page / name).touch()
    write_site(lifter, page, photos=False)
    assert not [name for name in ("stale.js", "pose.task", "vendor/mediapipe") if (page / name).exists()]
    assert not (page / "example.json").exists(), "no example becomes this skeleton"
    said = json.loads((page / "site.json").read_text("utf-8"))
    assert said["detector"] is None
    assert "body25" in said["sources"]
    assert "coco17" not in said["sources"], "COCO has no feet"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page"], "nothing is left beside it"
