"""Templates and static files, ready to be sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from nearfar.annotation.web.texts import Texts

__all__ = ["Pages", "StaticFiles", "page"]

STATIC = Path(__file__).parent / "static"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Types of the files we serve: the operating system's own list is often wrong, and modules need theirs."""


@dataclass(frozen=True)
class StaticFiles:
    """The style sheets and modules, read once: what is not in here cannot be served.

    Attributes:
        files: name -> content.
    """

    files: Mapping[str, bytes]

    @classmethod
    def load(cls, folder: Path = STATIC) -> StaticFiles:
        """Read a folder."""
        return cls({path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in TYPES})

    @cached_property
    def version(self) -> str:
        """Of all files together: it stands in their addresses, so that browsers may keep them for ever."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:16]

    def response(self, version: str, name: str, if_none_match: str | None) -> Response | None:
        """The answer to a request for a file; None where there is no such file."""
        content = self.files.get(name)
        if content is None:
            return None
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        keep = "public, max-age=31536000, immutable" if version == self.version else "no-cache"
        headers = {"ETag": tag, "Cache-Control": keep}
        if if_none_match and tag in if_none_match:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=TYPES[Path(name).suffix], headers=headers)


class Pages:
    """Renders templates: everything is escaped, and a name that is not given is an error."""

    def __init__(self, texts: Texts, static: StaticFiles, title: str) -> None:
        self.texts = texts
        self.static = static
        self.environment = Environment(
            loader=PackageLoader("nearfar.annotation.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals.update(
            t=texts, project_title=title, static=f"/static/{static.version}", person=None, csrf_token=""
        )

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """The text of a page."""
        return self.environment.get_template(template).render(context)


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Answer with a page.

    Args:
        request: its app holds the `Pages` (``app.state.pages``).
        template: file below ``templates/``.
        status: HTTP status.
        context: what the template shows; ``person`` and ``csrf_token`` where somebody has signed in.
    """
    pages: Pages = request.app.state.pages
    return HTMLResponse(pages.render(template, context), status, headers={"Cache-Control": "no-store"})
