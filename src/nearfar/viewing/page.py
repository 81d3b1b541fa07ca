"""What our self-contained HTML pages share: templates, and a content security policy that shuts out the world."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib import resources

__all__ = ["content_hash", "content_policy", "fill", "resource"]


def resource(name: str) -> str:
    """The text of one of the files in ``web/``."""
    return (resources.files("nearfar.viewing") / "web" / name).read_text("utf-8")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each ``{{NAME}}`` in one pass, so that nothing inside a value is taken for a placeholder."""
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda match: values[match.group(1)], template)


def content_hash(text: str) -> str:
    """The content security policy's name for an inline script or style: ``'sha256-...'``."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def content_policy(*, scripts: Sequence[str], styles: Sequence[str]) -> str:
    """A policy that allows the scripts and styles of these hashes, pictures within the page, and no request."""
    allowed = [" ".join(hashes) or "'none'" for hashes in (scripts, styles)]
    return (
        f"default-src 'none'; script-src {allowed[0]}; style-src {allowed[1]}; "
        "img-src blob: data:; media-src blob:; base-uri 'none'; form-action 'none'"
    )
