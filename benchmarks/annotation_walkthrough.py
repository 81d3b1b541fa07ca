"""From a video to a lifter trained on people's answers, in a real browser, recorded.

    python benchmarks/annotation_walkthrough.py --video FILE --out FOLDER

Detects keypoints in the video, makes a project of its frames, serves it, and then works as people do, in Chromium: an
admin signs in and invites two annotators; both read the tutorial, practise and pass the entry test; each answers by
keyboard, one at a desk (1280 pixels wide), one on a phone (390), with an undo and a reload in the middle; the admin
looks at the numbers. Then the answers are exported and merged, and a lifter is trained on them.

The annotators "see" what the poses lifted from the same video say, but for a few mistakes. Writes a picture of each
page
at both widths, walkthrough.mp4 (the desk's screen after each answer) and walkthrough.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import sqlalchemy as sa
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from nearfar.annotation import schema
from nearfar.annotation.projects.project import open_project
from nearfar.datasets import load_labels, load_poses
from nearfar.files import write_text
from nearfar.media import read_frames

WIDTHS = {"desk": (1280, 800), "phone": (390, 844)}
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
MISTAKES = 0.05
KEY = {"a": "a", "b": "b", "same": "s", "unsure": "u"}


def nearfar(*arguments: str | Path) -> str:
    """Run a command of nearfar; what it printed."""
    command = [sys.executable, "-m", "nearfar.cli", *map(str, arguments)]
    print("$ nearfar", *arguments, flush=True)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


@contextlib.contextmanager
def served(project: Path, log: Path) -> Iterator[tuple[str, str]]:
    """The address of the running server, and the admin's first link."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "nearfar.cli", "annotate", "serve", str(project), "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        for _ in range(600):
            if found := re.search(r"http\S+/join#\S+", log.read_text("utf-8", "replace")):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"the server did not start; see {log}")
        yield f"http://127.0.0.1:{port}", found.group()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@dataclass
class Camera:
    """Pictures of pages, and a film of one."""

    folder: Path
    frames: list[bytes] = field(default_factory=list)

    def shoot(self, page: Page, name: str) -> None:
        """A picture of the whole page at both widths; the page keeps its own."""
        own = page.viewport_size
        for where, (width, height) in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(250)
            page.screenshot(path=self.folder / f"{name}-{where}.png", full_page=True)
        page.set_viewport_size(own or {"width": 1280, "height": 800})

    def film(self, page: Page) -> None:
        """Add what the page shows now to the film."""
        self.frames.append(page.screenshot(type="jpeg", quality=85))

    def write(self, path: Path) -> None:
        """The film, two pictures a second."""
        with av.open(path, "w") as container:
            stream = container.add_stream("libx264", rate=2)
            stream.width, stream.height, stream.pix_fmt = *WIDTHS["desk"], "yuv420p"
            for data in self.frames:
                container.mux(stream.encode(av.VideoFrame.from_image(Image.open(BytesIO(data)).convert("RGB"))))
            container.mux(stream.encode())


class Eyes:
    """What somebody who looks would say: of lessons what the project knows, of the rest what lifted poses say."""

    def __init__(self, project: Path, depth: np.ndarray, seed: int) -> None:
        self.engine, self.depth, self.random = open_project(project).engine, depth, random.Random(seed)

    def look(self, name: str, number: int) -> tuple[int, str, str]:
        """Question of that number in the task that somebody has, the task's kind, and what to say."""
        asked, pair, task = schema.question.c, schema.pair.c, schema.task.c
        columns = asked.id, task.kind, pair.pose_id, pair.joint_a, pair.joint_b, pair.truth, asked.swapped
        query = (
            sa.select(*columns)
            .join_from(schema.question, schema.pair)
            .join(schema.task, task.id == asked.task_id)
            .join(schema.person, schema.person.c.id == asked.person_id)
            .where(schema.person.c.name == name)
            .order_by(task.id.desc(), asked.position)
            .limit(200)
        )
        with self.engine.connect() as connection:
            row = connection.execute(query).all()[number - 1]
        return row.id, row.kind, self._choice(row)

    def _choice(self, row: Any) -> str:
        relation = row.truth
        if relation is None:
            difference = self.depth[row.pose_id, row.joint_a] - self.depth[row.pose_id, row.joint_b]
            if not np.isfinite(difference):
                return "unsure"
            relation = 0 if abs(difference) < 20 else int(np.sign(difference))
            if self.random.random() < MISTAKES:
                relation = -relation
        if relation == 0:
            return "same"
        return "a" if (relation < 0) != row.swapped else "b"


class Worker:
    """Somebody with a keyboard and a browser."""

    def __init__(self, browser: Browser, name: str, where: str, eyes: Eyes, lock_ms: int) -> None:
        width, height = WIDTHS[where]
        self.context = browser.new_context(viewport={"width": width, "height": height}, has_touch=where == "phone")
        self.page = self.context.new_page()
        self.name, self.eyes, self.lock_ms = name, eyes, lock_ms
        self.pressed: dict[int, str] = {}
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)

    def press(self) -> str:
        """Answer the question shown; the kind of its task."""
        page = self.page
        page.wait_for_selector("#choices button:not([aria-disabled=true])", state="visible")
        page.wait_for_timeout(self.lock_ms + 80)
        number = int(re.findall(r"\d+", page.inner_text("#progress"))[0])
        question, kind, choice = self.eyes.look(self.name, number)
        page.keyboard.press(KEY[choice])
        self.pressed[question] = choice
        return kind


def arrive(page: Page, link: str, name: str | None = None) -> None:
    """Use an invitation link."""
    page.goto(link)
    page.wait_for_selector("#join button[type=submit]")
    if name is not None and page.is_visible("#name"):
        page.fill("#name", name)
    page.click("#join button[type=submit]")
    page.wait_for_url(lambda url: "/join" not in url)


def learn(worker: Worker, camera: Camera | None, reading_seconds: int) -> None:
    """Tutorial, practice, entry test."""
    page = worker.page
    page.wait_for_selector("#go")
    if camera:
        page.wait_for_timeout(500)
        camera.shoot(page, "tutorial")
    page.wait_for_timeout(1000 * reading_seconds + 500)
    page.click("#go")
    page.wait_for_selector("#work:not([hidden])")
    shown = False
    while page.url.endswith("/ask"):
        page.wait_for_selector("#work:not([hidden]), #notice-actions:not([hidden])")
        if page.is_visible("#notice-go"):
            if "/result" in page.url:
                break
            page.keyboard.press("Enter")
            page.wait_for_timeout(500)
            continue
        if camera and not worker.pressed:
            page.wait_for_timeout(worker.lock_ms + 300)
            camera.shoot(page, "practice-question")
        kind = worker.press()
        page.wait_for_timeout(150)
        if camera:
            camera.film(page)
        if kind == "practice":
            page.wait_for_selector("#feedback:not([hidden])")
            page.wait_for_selector("#feedback-go:visible")
            if camera and not shown:
                camera.shoot(page, "practice")
                shown = True
            page.keyboard.press("Enter")
            page.wait_for_timeout(150)
    page.wait_for_url("**/result")
    if camera:
        camera.shoot(page, "result")


def work(worker: Worker, answers: int, camera: Camera | None) -> dict[str, int]:
    """Answer by keyboard, with an undo and a reload in the middle."""
    page, given, reloads = worker.page, 0, 0
    undo_at = [answers // 2, answers // 4]
    page.goto(page.url.split("/result")[0] + "/ask")
    while given < answers:
        page.wait_for_selector("#work:not([hidden]), #notice-go:visible")
        if page.is_visible("#notice-go"):
            if camera:
                camera.shoot(page, "task-done")
            page.keyboard.press("Enter")
            page.wait_for_timeout(300)
            continue
        if camera and given == 3:
            camera.shoot(page, "question")
        worker.press()
        given += 1
        if camera:
            camera.film(page)
        if undo_at and given == undo_at[-1] and page.is_visible("#work"):
            page.keyboard.press("z")
            undo_at.pop()
            given -= 1
        if given == answers // 3 and reloads == 0:
            page.reload()
            reloads += 1
    page.wait_for_timeout(1500)
    return {"answers": given, "undone": 2 - len(undo_at), "reloads": reloads}


def invite(page: Page, name: str) -> str:
    """Make an invitation link as an admin does."""
    page.goto(re.sub(r"(https?://[^/]+).*", r"\1/admin/people", page.url))
    page.fill("#name", name)
    page.select_option("#role", "annotator")
    page.click("form[action='/admin/invitations'] button")
    page.wait_for_load_state()
    found = re.search(r"http\S+/join#[\w-]+", page.inner_text("main") + " " + page.content())
    if found is None:
        raise RuntimeError("no link on the page")
    return found.group()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The whole way."""
    out: Path = options.out
    shutil.rmtree(out, ignore_errors=True)
    pictures, frames, project = out / "pictures", out / "frames", out / "project"
    pictures.mkdir(parents=True)
    nearfar("lift", options.video, "--out", out / "lifted", "--no-overlay", "--no-view")
    frames.mkdir()
    for i, frame in enumerate(read_frames(options.video)):
        if i % options.every == 0:
            Image.fromarray(frame.image).save(frames / f"{options.video.stem}_{i:06d}.jpg", quality=92)
    lifted = load_poses(out / "lifted" / "poses.npz")
    lifted.select(np.asarray(lifted.frame_index) % options.every == 0).save(out / "keypoints.npz")
    nearfar(
        "annotate", "init", project, "--images", frames, "--keypoints", out / "keypoints.npz",
        "--skeleton", lifted.skeleton.name, "--pairs", "random:5", "--answers", "2", "--reading-seconds", "3",
        "--practice-questions", "3", "--test-questions", "6", "--answer-lock-ms", str(options.lock_ms),
    )  # fmt: skip
    depth = np.asarray(load_poses(out / "keypoints.npz").joints)[..., 2]
    camera = Camera(pictures)
    report: dict[str, Any] = {}
    with served(project, out / "server.log") as (address, link), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=list(CHROMIUM))
        admin = Worker(browser, "Ada", "desk", Eyes(project, depth, 0), 0)
        admin.page.goto(address)
        camera.shoot(admin.page, "entry")
        admin.page.goto(link)
        camera.shoot(admin.page, "join")
        arrive(admin.page, link, "Ada")
        workers = []
        for i, (name, where) in enumerate((("Ben", "desk"), ("Chris", "phone"))):
            worker = Worker(browser, name, where, Eyes(project, depth, i + 1), options.lock_ms)
            workers.append((name, worker))
            invited = invite(admin.page, name)
            if i == 0:
                camera.shoot(admin.page, "admin-link")
            arrive(worker.page, invited, name)
            learn(worker, camera if i == 0 else None, 3)
            report[name] = work(worker, options.answers, camera if i == 0 else None)
        worker.page.screenshot(path=pictures / "question-at-work-phone.png")
        for name, path in options.pages:
            admin.page.goto(address + path)
            camera.shoot(admin.page, f"admin-{name}")
        camera.write(out / "walkthrough.mp4")
        report["problems"] = [*admin.problems, *(said for _, worker in workers for said in worker.problems)]
        browser.close()
    report["agrees_with_what_was_pressed"] = compare(project, [worker.pressed for _, worker in workers])
    answers, labels = out / "answers.parquet", out / "labels.parquet"
    print(nearfar("annotate", "export", project, "--out", answers), end="")
    print(nearfar("merge", answers, "--out", labels, "--report", out / "merged"), end="")
    merged = load_labels(labels)
    report["exported"] = {"answers": len(load_labels(answers)), "labels": len(merged)}
    depth_ab = depth[np.asarray(merged.pose)[:, None], merged.pair]
    decided = np.asarray(merged.relation) != 0
    agrees = np.sign(depth_ab[:, 0] - depth_ab[:, 1])[decided] == np.asarray(merged.relation)[decided]
    report["merged_labels_right"] = round(float(agrees.mean()), 3)
    training = [
        "train", "--data", project / "poses.npz", "--labels", labels, "--init", "default", "--epochs", "20",
        "--batch-size", "16", "--loss.limb-reference", "average_person", "--out", out / "run",
    ]  # fmt: skip
    print(nearfar(*training), end="")
    report["trained"] = (out / "run" / "weights.safetensors").is_file()
    return report


def compare(project: Path, pressed: list[dict[int, str]]) -> dict[str, int]:
    """Keys pressed against the answers that are stored."""
    question = schema.question.c
    with open_project(project) as opened, opened.engine.connect() as connection:
        rows = connection.execute(sa.select(question.id, question.choice).where(question.choice.is_not(None)))
        stored = {row.id: row.choice for row in rows}
    said = {key: choice for person in pressed for key, choice in person.items()}
    return dict(Counter("same" if stored.get(key) == choice else "different" for key, choice in said.items()))


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=6, help="take each so-manieth frame")
    parser.add_argument("--answers", type=int, default=60, help="of each annotator")
    parser.add_argument("--lock-ms", type=int, default=750)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    options.pages = (
        ("dashboard", "/admin"), ("people", "/admin/people"), ("person", "/admin/people/2"), ("pairs", "/admin/pairs"),
        ("pair", "/admin/pairs/1"), ("export", "/admin/export"), ("comments", "/admin/comments"),
        ("audit", "/admin/audit"), ("settings", "/admin/settings"),
    )  # fmt: skip
    report = run(options)
    write_text(options.out / "walkthrough.json", json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
