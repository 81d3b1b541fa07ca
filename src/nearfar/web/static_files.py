"""Style sheets and modules of a page, ready to be sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.responses import Response

__all__ = ["StaticFiles"]

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
    def load(cls, folder: Path) -> StaticFiles:
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
