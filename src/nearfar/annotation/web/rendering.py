"""Templates, ready to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from nearfar.annotation.web.texts import Texts
from nearfar.web.static_files import StaticFiles

__all__ = ["STATIC", "Pages", "page"]

STATIC = Path(__file__).parent / "static"


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
