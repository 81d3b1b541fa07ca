"""`python -m benchmarks`: the shortest section from end to end, what a figure says of its goal, and its pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _from_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_a_section_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.__main__ import main

    monkeypatch.setattr(sys, "argv", ["benchmarks", "--out", str(tmp_path), "--only", "startup", "--quick"])
    main()
    table = capsys.readouterr().out
    assert "| `import nearfar`, beyond torch |" in table
    assert "at most 0.5 s" in table
    kept = tmp_path / "startup.quick.json"
    figures = json.loads(kept.read_text())["figures"]
    assert all(0 < one["low"] <= one["value"] <= one["high"] for one in figures)
    when = kept.stat().st_mtime_ns
    main()  # nothing is measured again
    assert kept.stat().st_mtime_ns == when


def test_ratios_and_goals() -> None:
    from benchmarks.__main__ import table
    from benchmarks.speed.section import Section, rate, span

    fast = rate("ours", [1.0, 2.0, 4.0], 100, "rows/s", "a loop", [1.0], 10, goal=10.0)
    assert (fast.value, fast.low, fast.high, fast.ratio, fast.met) == (50, 25, 100, 5, False)
    short = span("start", [0.2, 0.1, 0.4], "before", [0.4], at_most=0.3)
    assert (short.value, short.ratio, short.met) == (0.2, 2, True)
    text = table(Section("Both", (fast, short), notes=("A note.",)))
    assert "| ours | 50 rows/s | 25 to 100 | 5 x a loop | at least 10 x: not met |" in text
    assert "| start | 0.2 s | 0.1 to 0.4 | 2 x before | at most 0.3 s: met |" in text


def test_pictures_of_curves(tmp_path: Path) -> None:
    from benchmarks.__main__ import draw
    from benchmarks.speed.section import Curve

    lines = {"one": [(1.0, 0.0), (10.0, 2.0), (100.0, 30.0)], "another": [(1.0, 0.5), (100.0, 50.0)]}
    for logarithmic in (True, False):
        path = tmp_path / f"{logarithmic}.png"
        draw(Curve("Merging", "answers", "seconds", lines, logarithmic), path)
        assert Image.open(path).width > 600
