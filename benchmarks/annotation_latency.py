"""How long it takes from a key press to the next question, in a real Chromium, before a real server.

    python benchmarks/annotation_latency.py [--questions 100] [--lock-ms 100]

Drawn pictures of 1600 x 1200 pixels; the server, the browser and the database share this machine. Measured in the page:
from the key event to the first frame after the next question, its picture and its marks are in the page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from annotation_studio import chromium_browser, final_choices, join, make_project, serving

MEASURE = """() => {
  window.latencies = [];
  const work = document.getElementById('work');
  let pressed = null;
  addEventListener('keydown', (event) => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => {
    const began = pressed;
    if (began === null) return;
    pressed = null;
    requestAnimationFrame(() => setTimeout(() => window.latencies.push(performance.now() - began)));
  }).observe(work, {attributes: true, attributeFilter: ['data-question']});
}"""


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--lock-ms", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(
            Path(folder), 3 + options.questions // 5, size=(1600, 1200), images_per_task=options.questions // 5 + 1,
            answer_lock_ms=options.lock_ms,
        )  # fmt: skip
        with serving(project) as server, chromium_browser() as browser:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.add_cookies([{"name": "nearfar", "value": join(project, "hand").token, "url": server.url}])
            page = context.new_page()
            page.goto(server.url + "/ask")
            page.wait_for_selector("#holder img")
            page.evaluate(MEASURE)
            for i in range(options.questions):
                page.wait_for_selector("#choices:not([data-locked])")
                page.keyboard.press("absu"[i % 4])
                page.wait_for_function("count => window.latencies.length > count", arg=i)
            page.wait_for_selector("#status[data-state=saved]")
            times = np.array(page.evaluate("window.latencies"))
            page.wait_for_timeout(1000)
            stored = len(final_choices(project, "hand"))
            context.close()
    median, p95, most = np.percentile(times, [50, 95, 100])
    print(f"{len(times)} key presses, {stored} answers stored")
    print(f"key press to next question: median {median:.0f} ms, p95 {p95:.0f} ms, longest {most:.0f} ms")


if __name__ == "__main__":
    main()
