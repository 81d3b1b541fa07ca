"""`write_viewer`: one HTML file that opens offline, with people in 3D beside the frames they were lifted from.

The page holds everything: markup, style, our own script (``web/``), the poses and a small copy of the media. Its
content security policy allows exactly that script and no request of any kind. docs/viewing.md describes the data.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path

from nearfar.files import write_text
from nearfar.poses import PoseSet
from nearfar.viewing.clip import clip_of
from nearfar.viewing.embed import embed_media
from nearfar.viewing.page import content_hash, content_policy, fill, resource
from nearfar.viewing.page_data import clip_data

__all__ = ["viewer_html", "viewer_module", "viewer_sources", "viewer_style", "write_viewer"]

MODULES = (
    "ground.js", "data.js", "make.js", "orbit.js", "paint.js", "scene.js", "source.js", "player.js", "timeline.js",
    "question.js", "pointer.js", "keys.js", "controls.js", "markup.js", "viewer.js",
)  # fmt: skip
"""The viewer's modules, in the order in which they are joined into one."""

EXPORTS = ("showClip", "clipData")
"""What pages of others use of them."""


def write_viewer(
    poses: PoseSet,
    out_path: str | Path,
    *,
    media: str | Path | None = None,
    compare: PoseSet | Mapping[str, PoseSet] | None = None,
    title: str | None = None,
    name: str = "prediction",
) -> None:
    """Write one self-contained HTML file that shows a clip's frames and its people in 3D, and opens offline.

    Args:
        poses: one clip or image, with joints (or only keypoints, shown in 2D).
        out_path: the ``.html`` file to write.
        media: the image or video that the poses were found in; without it the keypoints are drawn alone.
        compare: other poses of the same frames, one set or several by name (another model's, the truth). They are
            drawn in the same place, root on root, so that shapes can be compared; people go by their identities, or
            by their order where none is in both.
        title: heading of the page.
        name: what `poses` are called beside `compare`.

    Raises:
        InputError: several clips in one pose set, a comparison on a skeleton that cannot be brought to that of
            `poses`, unreadable media, media without the poses' frames, or a file that cannot be written.
    """
    write_text(out_path, viewer_html(poses, media=media, compare=compare, title=title, name=name))


def viewer_html(
    poses: PoseSet,
    *,
    media: str | Path | None = None,
    compare: PoseSet | Mapping[str, PoseSet] | None = None,
    title: str | None = None,
    name: str = "prediction",
) -> str:
    """The page of `write_viewer` as text, for embedding (a report, an ``iframe srcdoc``)."""
    clip = clip_of(poses)
    embedded = None if media is None else embed_media(media, clip.frame_index)
    heading = title if title is not None else "3D poses" if media is None else Path(media).name
    data = clip_data(clip, poses, name, compare, embedded)
    script, style = _page_script(), _page_style()
    return fill(
        resource("viewer.html"),
        {
            "TITLE": html.escape(heading),
            "POLICY": html.escape(content_policy(scripts=[content_hash(script)], styles=[content_hash(style)])),
            "STYLE": style,
            "DATA": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
            "MIME": "" if embedded is None else embedded.mime,
            "MEDIA": "" if embedded is None else base64.b64encode(embedded.data).decode("ascii"),
            "SCRIPT": script,
        },
    )


def viewer_sources() -> tuple[str, str]:
    """What the script and the style of `viewer_html` are called in a content security policy.

    A page in a frame by ``srcdoc`` obeys its parent's policy, too, so the parent's must name them.
    """
    return content_hash(_page_script()), content_hash(_page_style())


def viewer_module() -> str:
    """The viewer as one ES module for pages of your own; it exports ``showClip`` and ``clipData`` (docs/viewing.md)."""
    names = ", ".join(EXPORTS)
    return f"{_joined(*MODULES)}\nexport {{ {names} }};\n"


def viewer_style() -> str:
    """The style sheet that goes with `viewer_module`; it touches nothing but the viewer."""
    return resource("viewer.css")


def _page_script() -> str:
    return _joined(*MODULES, "page.js")


def _page_style() -> str:
    return resource("page.css") + viewer_style()


def _joined(*names: str) -> str:
    """Modules of ``web/`` in one: imports from each other and the word ``export`` fall away."""
    joined = "\n".join(resource(name) for name in names)
    joined = re.sub(r'^import [^;]*? from "\./[a-z]+\.js";\n', "", joined, flags=re.MULTILINE)
    return re.sub(r"^export (?=(async|class|const|function) )", "", joined, flags=re.MULTILINE)
