"""Results as files: JSON for programs, Markdown and LaTeX tables, PDF and PNG figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.files import write_text
from nearfar.geometry import root_relative
from nearfar.poses import PoseSet
from nearfar.viewing.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Table", "acknowledgement", "same_size", "write_figure", "write_result"]

PICTURE_RMS = 550.0
"""mm: RMS distance of the joints from the root in pictures that compare poses of different scales."""

_LATEX = {
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "±": r"$\pm$",
    ">": r"$>$",
    "–": "--",
    "²": "$^2$",
}


@dataclass(frozen=True)
class Table:
    """A table of text: the first column names the rows.

    Attributes:
        columns: titles.
        rows: cells, as many as titles.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As a Markdown table."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)

    def latex(self, caption: str, label: str) -> str:
        """As a LaTeX table (package booktabs)."""
        body = [" & ".join(_escaped(cell) for cell in cells) + r" \\" for cells in self.rows]
        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{_escaped(caption)}}}",
                rf"\label{{tab:{label}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}",
                r"\toprule",
                " & ".join(_escaped(title) for title in self.columns) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )


def write_result(
    folder: Path,
    name: str,
    caption: str,
    data: Mapping[str, Any],
    *,
    table: Table | None = None,
    figure: Figure | None = None,
) -> None:
    """Write ``name.json`` and ``name.md``; with a table ``name.tex``; with a figure ``name.pdf`` and ``name.png``."""
    write_text(folder / f"{name}.json", json.dumps({"caption": caption, **data}, indent=1) + "\n")
    page = [f"**{name}.** {caption}\n"]
    if table is not None:
        page.append(table.markdown())
        write_text(folder / f"{name}.tex", table.latex(caption, name))
    if figure is not None:
        page.append(f"![{name}]({name}.png)\n")
        write_figure(folder, name, figure)
    write_text(folder / f"{name}.md", "\n".join(page))


def write_figure(folder: Path, name: str, figure: Figure) -> None:
    """Write ``name.pdf`` and ``name.png``."""
    for suffix in (".pdf", ".png"):
        save_figure(figure, folder / f"{name}{suffix}")


def same_size(poses: PoseSet) -> PoseSet:
    """The poses, each scaled to one RMS distance from the root: relative labels leave the scale of a pose open."""
    joints = root_relative(np.asarray(poses.joints, dtype=np.float64), poses.skeleton)
    size = np.sqrt(np.nanmean((joints**2).sum(axis=-1), axis=-1))
    return dataclasses.replace(poses, joints=joints * (PICTURE_RMS / size)[:, None, None], frame="root")


def acknowledgement(poses: PoseSet) -> str:
    """A last sentence for captions: what the poses' publisher asks to be stated; or ""."""
    text = str(poses.provenance.get("acknowledgement", ""))
    return f" {text}" if text else ""


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
