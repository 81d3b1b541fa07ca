from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import viewing_samples as samples

from nearfar.errors import InputError
from nearfar.viewing import Code, Page, Picture, Section, Table, Text, training_figure, viewer_html, write_report

pytest.importorskip("matplotlib", reason="needs matplotlib")

TABLE = Table(
    ["", "error, mm", "right"],
    [["labels <only>", 51.26, 0.927], ["full", 43.2, 0.9461]],
    "caption",
    ["", "low", "high"],
)


def write(path: Path) -> None:
    figure = training_figure([{"step": i, "loss": 1 / i} for i in range(1, 9)])
    page = viewer_html(samples.clip(6), title="the clip")
    blocks = [Text("Made by `make demo`, *truly*: 2 * 3 < 7."), TABLE, Picture(figure, "a curve"), Code("a <b>\n  c")]
    write_report(path, "A & B", [Section("First", blocks), Section("Second", [Page(page, "viewer")])], lead="lead")


def test_content_is_escaped_and_set(tmp_path: Path) -> None:
    write(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "<title>A &amp; B</title>" in text
    assert "<code>make demo</code>, <em>truly</em>: 2 * 3 &lt; 7." in text
    assert "labels &lt;only&gt;" in text
    assert '<td class="number">51.3</td><td class="number">0.927</td>' in text
    assert '<strong>43.2</strong></td><td class="number"><strong>0.946</strong>' in text
    assert "a &lt;b&gt;\n  c" in text
    assert "data:image/svg+xml;base64," in text


def test_bad_input_is_named(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    for block, words in (
        (Table(["a", "b"], [["x"]]), "row 0: expected 2 cells, got 1"),
        (Picture(tmp_path / "none.png", "x"), "cannot read"),
        (Picture(tmp_path / "none.tiff", "x"), "expected a picture"),
    ):
        with pytest.raises(InputError, match=words):
            write_report(out, "t", [Section("s", [block])])
        assert not out.exists()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_and_the_viewer_in_it_work_offline(browser: Any, tmp_path: Path, width: int) -> None:
    write(tmp_path / "report.html")
    page = browser.new_context(viewport={"width": width, "height": 800}, offline=True).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith("file:") or complaints.append(request.url))
    page.goto(f"file://{tmp_path / 'report.html'}")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    viewer = page.frame_locator("iframe")
    page.locator("iframe").scroll_into_view_if_needed()
    viewer.locator("#viewer[data-frame]").wait_for()
    viewer.locator("#forward").click()
    viewer.locator("#viewer[data-frame='1']").wait_for()
    page.context.close()
    assert [line for line in complaints if not line.startswith("data:image/svg")] == []
