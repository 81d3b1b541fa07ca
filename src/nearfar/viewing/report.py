"""A small report: one HTML file with text, tables, figures and interactive pages, that opens offline."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from nearfar.errors import InputError
from nearfar.files import write_text
from nearfar.viewing.figures import house_style
from nearfar.viewing.page import content_hash, content_policy, fill, resource

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Code", "Page", "Picture", "Section", "Table", "Text", "write_report"]


@dataclass(frozen=True)
class Text:
    """A paragraph; ``*words*`` are emphasised and ```words``` set as code, and nothing else is markup."""

    text: str


@dataclass(frozen=True)
class Code:
    """Commands or output, as they are."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        header: titles of the columns.
        rows: cells; the first of each row names it, numbers are set to the right.
        caption: line below.
        best: for each column "low", "high" or "" : which of its numbers is set bold.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    caption: str = ""
    best: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A matplotlib figure, or an image file (PNG, JPEG or SVG).

    Attributes:
        source: the figure or the file.
        description: what the picture shows, for those who cannot see it.
        caption: line below.
    """

    source: Figure | str | Path
    description: str
    caption: str = ""


@dataclass(frozen=True)
class Page:
    """An interactive page in a frame of its own, such as `nearfar.viewing.viewer_html` returns.

    Attributes:
        html: the whole page.
        description: what it shows.
        caption: line below.
        height: pixels on a wide screen.
    """

    html: str
    description: str
    caption: str = ""
    height: int = 680


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Text | Code | Table | Picture | Page]


def write_report(out_path: str | Path, title: str, sections: Sequence[Section], *, lead: str = "") -> None:
    """Write a report as one self-contained HTML file: pictures and pages inside, nothing loaded from anywhere.

    Args:
        out_path: the ``.html`` file.
        title: heading.
        sections: what to tell, in order.
        lead: sentence below the heading.

    Raises:
        InputError: a table of uneven rows, an unreadable or unknown picture file, or `out_path` cannot be written.
    """
    pages = [block.html for section in sections for block in section.blocks if isinstance(block, Page)]
    style = resource("report.css")
    scripts = [script for page in pages for script in re.findall(r"<script type=\"module\">(.*?)</script>", page, re.S)]
    styles = [style, *(found for page in pages for found in re.findall(r"<style>(.*?)</style>", page, re.S))]
    body = "\n".join(_section(section, number) for number, section in enumerate(sections, start=1))
    contents = "\n".join(
        f'<li><a href="#section-{number}">{html.escape(section.title)}</a></li>'
        for number, section in enumerate(sections, start=1)
    )
    # A page in a frame obeys its parent's policy too, so the parent must name the scripts and styles of its pages.
    policy = content_policy(scripts=sorted({*map(content_hash, scripts)}), styles=sorted({*map(content_hash, styles)}))
    values = {
        "TITLE": html.escape(title),
        "POLICY": html.escape(policy),
        "STYLE": style,
        "LEAD": f'<p class="lead">{_inline(lead)}</p>' if lead else "",
        "CONTENTS": contents,
        "BODY": body,
    }
    write_text(out_path, fill(resource("report.html"), values))


def _section(section: Section, number: int) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f'<section id="section-{number}">\n<h2>{html.escape(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Text | Code | Table | Picture | Page) -> str:
    match block:
        case Text(text):
            return f"<p>{_inline(text)}</p>"
        case Code(text):
            return f'<pre tabindex="0"><code>{html.escape(text)}</code></pre>'
        case Table():
            return _table(block)
        case Picture():
            image = f'<img src="{_address(block.source)}" alt="{html.escape(block.description)}">'
            return _captioned(_scrolling(image), block.caption, "picture")
        case Page():
            frame = (
                f'<iframe sandbox="allow-scripts" title="{html.escape(block.description)}" height="{block.height}" '
                f'srcdoc="{html.escape(block.html)}"></iframe>'
            )
            return _captioned(frame, block.caption, "page")


def _captioned(content: str, caption: str, kind: str) -> str:
    below = f"<figcaption>{_inline(caption)}</figcaption>" if caption else ""
    return f'<figure class="{kind}">{content}{below}</figure>'


def _scrolling(content: str) -> str:
    """Content that may be wider than a phone, in a box that scrolls by finger and by keyboard."""
    return f'<div class="scroll" tabindex="0">{content}</div>'


def _inline(text: str) -> str:
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])", r"<em>\1</em>", escaped)


def _table(table: Table) -> str:
    width = len(table.header)
    for number, row in enumerate(table.rows):
        if len(row) != width:
            raise InputError(f"report: table row {number}: expected {width} cells, got {len(row)}")
    best = [_best(table, column) for column in range(width)]
    head = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in table.header)
    rows = "".join(
        "<tr>" + "".join(_cell(cell, i, bold=cell == best[i]) for i, cell in enumerate(row)) + "</tr>"
        for row in table.rows
    )
    content = (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
    return _captioned(content, table.caption, "table")


def _best(table: Table, column: int) -> float | None:
    wanted = table.best[column] if column < len(table.best) else ""
    numbers = [row[column] for row in table.rows if isinstance(row[column], int | float)]
    if not wanted or not numbers:
        return None
    values = [float(value) for value in numbers]
    return min(values) if wanted == "low" else max(values)


def _cell(cell: str | float, column: int, *, bold: bool) -> str:
    if isinstance(cell, str):
        return f'<th scope="row">{_inline(cell)}</th>' if column == 0 else f"<td>{_inline(cell)}</td>"
    text = f"{cell:g}" if isinstance(cell, int) else f"{cell:.3f}" if abs(cell) < 2 else f"{cell:.1f}"
    return f'<td class="number">{f"<strong>{text}</strong>" if bold else text}</td>'


def _address(source: Figure | str | Path) -> str:
    """The picture as a data URI."""
    kinds = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml"}
    if isinstance(source, str | Path):
        path = Path(source)
        if path.suffix.lower() not in kinds:
            raise InputError(f"{path}: expected a picture ({', '.join(kinds)})")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot read ({error.strerror or error})") from None
        kind = kinds[path.suffix.lower()]
    else:
        buffer = BytesIO()
        with house_style():
            source.savefig(buffer, format="svg", metadata={"Date": None})
        data, kind = buffer.getvalue(), kinds[".svg"]
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
