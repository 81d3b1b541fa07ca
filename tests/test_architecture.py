"""Rooms import only from the rooms before them, in the order of docs/architecture.md."""

from __future__ import annotations

import ast
from pathlib import Path

import nearfar

PACKAGE = Path(nearfar.__file__).parent
ORDER = (
    "errors", "interrupts", "ahead", "skeleton", "skeleton_maps", "camera", "geometry", "files", "parquet", "safe_pickle", "poses", "sequences",
    "smoothing", "resampling", "angles", "level", "stature", "answer_noise", "labels", "matching", "tracking", "tables", "datasets", "consensus", "synthetic",
    "keypoint_noise", "presets", "lifting", "losses", "metrics", "evaluation", "sequence_evaluation",
    "training", "media", "intrinsics", "detection", "viewing", "export", "pipeline", "batch", "web_lifter", "study", "web", "live", "annotation",
    "serving", "reproduce", "cli",
)  # fmt: skip

EXCEPTIONS = {("poses", "viewing")}
"""A pose set shows itself in notebooks, by a method that they look for; it imports the viewer only then."""


def rooms_imported(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "nearfar" else [node.module]
            )
            modules.update(names)
        elif isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
    return {module.split(".")[1] for module in modules if module.startswith("nearfar.")}


def test_rooms_stand_in_order() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in ORDER, f"{room} has no place in the order"
        for other in rooms_imported(path) & set(ORDER):
            if ORDER.index(other) > ORDER.index(room) and (room, other) not in EXCEPTIONS:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert not wrong


def test_the_architecture_page_names_every_room() -> None:
    page = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text("utf-8")
    assert not [room for room in ORDER if f"`{room}.py`" not in page and f"`{room}/`" not in page]
