"""OpenSim marker sets (.xml): joints of a skeleton as markers on the bodies of a full-body model (``opensim.toml``).

With it, OpenSim's scaling and inverse kinematics take the TRC files of `nearfar.export.trc`.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from nearfar.errors import InputError
from nearfar.export.opensim import both_sides, model_names
from nearfar.files import write_text
from nearfar.poses import PoseSet
from nearfar.skeleton import Skeleton

__all__ = ["marker_set", "write_marker_set"]


def write_marker_set(poses: PoseSet, path: str | Path) -> tuple[str, ...]:
    """Write the marker set of the poses' skeleton, whole or not at all; the note names joints without a marker.

    Raises:
        InputError: none of the joints has a place on the model.
    """
    write_text(path, marker_set(poses.skeleton))
    left_out = [joint for joint in poses.skeleton.joints if joint not in _places()]
    return (f"no place on the model: {', '.join(left_out)}",) if left_out else ()


def marker_set(skeleton: Skeleton) -> str:
    """The text of an OpenSim 4 MarkerSet with a marker for each joint that has a place on the model.

    Raises:
        InputError: none of the joints has.
    """
    places = {joint: place for joint, place in _places().items() if joint in skeleton.joints}
    if not places:
        raise InputError(f"skeleton {skeleton.name!r}: none of its joints has a place on the OpenSim model")
    markers = "".join(
        f"\t\t\t<Marker name={quoteattr(joint)}>\n"
        f"\t\t\t\t<socket_parent_frame>/bodyset/{escape(body)}</socket_parent_frame>\n"
        f"\t\t\t\t<location>{' '.join(f'{value:g}' for value in at)}</location>\n"
        "\t\t\t\t<fixed>false</fixed>\n"
        "\t\t\t</Marker>\n"
        for joint, (body, at) in places.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<OpenSimDocument Version="40000">\n'
        f"\t<MarkerSet name={quoteattr(f'nearfar_{skeleton.name}')}>\n\t\t<objects>\n{markers}\t\t</objects>\n"
        "\t\t<groups />\n\t</MarkerSet>\n</OpenSimDocument>\n"
    )


def _places() -> dict[str, tuple[str, tuple[float, float, float]]]:
    """Joint -> body, and metres in its frame."""
    out = {}
    for joint, place in model_names()["markers"].items():
        x, y, z = place["at"]
        for suffix, side, name in both_sides(joint):
            out[name] = (place["body"].removesuffix("_r") + suffix, (x, y, -z + 0.0 if side == "left" else z))
    return out
