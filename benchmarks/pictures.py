"""The pictures of README and docs: what the bundled weights make of motion that they have not seen.

python benchmarks/pictures.py
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

import nearfar
from nearfar.poses import PoseSet
from nearfar.viewing import write_viewer
from nearfar.viewing.figures import save_figure
from nearfar.viewing.pose_figure import pose_grid

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
ACTIONS = ("kick", "reach", "sit")


def main() -> None:
    """Lift one held-out synthetic frame of a few actions, and draw it beside the truth."""
    truth = nearfar.synthetic_poses(20_000, seed=77)
    if truth.action is None or truth.sequence is None:
        raise SystemExit("synthetic poses without actions")
    actions = truth.action.values()
    rng = np.random.default_rng(5)
    rows = np.array([rng.choice(np.flatnonzero(actions == action)) for action in ACTIONS])
    chosen = truth.select(rows)
    lifted = nearfar.load("default").lift_poses(chosen)
    figure = pose_grid({"lifted, no 3D in training": lifted, "truth": chosen}, names=ACTIONS)
    IMAGES.mkdir(exist_ok=True)
    save_figure(figure, IMAGES / "result.png")
    picture_of_viewer(truth.select(truth.sequence.codes == truth.sequence.codes[rows[0]]))


def picture_of_viewer(truth: PoseSet) -> None:
    """The viewer in Chromium with a lifted clip beside the truth, and a question."""
    from playwright.sync_api import sync_playwright

    lifted, joints = nearfar.load("default").lift_poses(truth), truth.skeleton
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_viewer(lifted, f"{folder}/view.html", compare={"truth": truth}, title="A kick", name="lifted")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(f"file://{folder}/view.html")
        page.wait_for_selector("#viewer[data-frame]")
        page.locator("#slider").fill(str(len(truth) // 2))
        page.select_option("#layout", "beside")
        for letter, joint in (("a", "right_ankle"), ("b", "left_ankle")):
            page.select_option(f"#joint-{letter}", f"0:{joints.index(joint)}")
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / "viewer.png")
        browser.close()


if __name__ == "__main__":
    main()
