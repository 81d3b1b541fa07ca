"""`write_site`: a folder of static files that lifts keypoint files and photos in the browser, where they stay.

Any static file server will do. The page's content security policy allows its own files and no request elsewhere.
"""

from __future__ import annotations

import dataclasses
import html
import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from nearfar import tracking
from nearfar.camera import DEFAULT_FIELD_OF_VIEW, DEFAULT_RAY_RMS
from nearfar.datasets.keypoint_files import coco, openpose
from nearfar.detection import fetch_model, model_path, search
from nearfar.errors import InputError
from nearfar.files import write_text
from nearfar.lifting import Lifter
from nearfar.lifting.lifter import LARGEST_PIXEL, SMALLEST_RAY
from nearfar.lifting.network import MIN_JOINTS
from nearfar.lifting.onnx import save_onnx
from nearfar.poses import SCHEMA
from nearfar.skeleton import Skeleton, skeleton_names
from nearfar.skeleton_maps import remap
from nearfar.synthetic.crossing import crossing
from nearfar.tables import write_poses_json
from nearfar.viewing import viewer_module, viewer_style, viewer_template
from nearfar.viewing.page import fill
from nearfar.web_lifter.npm import MEDIAPIPE, ONNXRUNTIME, fetch_package

__all__ = ["write_site"]

SITE_SCHEMA = "nearfar-web-lifter-1"
SCRIPTS = ("main.js", "errors.js", "keypoints.js", "lifting.js", "photos.js", "results.js", "search.js", "style.css")
DETECTOR, EXAMPLE_SKELETON = "mediapipe33", "h36m17"


def write_site(lifter: Lifter, out: str | Path, *, photos: bool = True) -> None:
    """Write the page's folder, whole or not at all; an older one of ours is replaced.

    Args:
        lifter: of single frames; of a lifter of clips its single-frame network is taken.
        out: the folder.
        photos: with MediaPipe's detector for photos and video frames (23 MB), not only for files of keypoints.

    Raises:
        InputError: something else lies at `out`, npm or a model cannot be had, or a file cannot be written.
    """
    target = Path(out).resolve()  # "." and ".." are names of none
    if target.exists() and not _is_ours(target):
        raise InputError(f"{target}: already there, and not a page of nearfar's; choose another folder")
    data = _site_data(lifter, photos=photos)
    folder = target.with_name(f".{target.name}.{uuid4().hex[:8]}.partial")
    try:
        fetch_package(ONNXRUNTIME, folder)
        if photos:
            fetch_package(MEDIAPIPE, folder)
            model = model_path() if model_path().is_file() else fetch_model()
            shutil.copyfile(model, folder / "pose.task")
        save_onnx(Lifter(lifter.network, lifter.card), folder / "model.onnx")
        for name in SCRIPTS:
            write_text(folder / name, _resource(name))
        write_text(folder / "viewer.js", viewer_module())
        write_text(folder / "viewer.css", viewer_style())
        write_text(folder / "index.html", _index(photos=photos))
        write_text(folder / "vendor" / "LICENCES.txt", _licences(photos=photos))
        if EXAMPLE_SKELETON in data["sources"]:
            example = crossing(3, 6.0, fps=15.0, skeleton=EXAMPLE_SKELETON)
            write_poses_json(dataclasses.replace(example, joints=None), folder / "example.json")
        write_text(folder / "site.json", json.dumps(data, separators=(",", ":")))
        if target.exists():
            shutil.rmtree(target)
        folder.replace(target)
    except OSError as error:
        raise InputError(f"{target}: cannot write ({error.strerror or error})") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether a folder is empty or was written by `write_site`."""
    if not folder.is_dir():
        return False
    return not any(folder.iterdir()) or ((folder / "site.json").is_file() and (folder / "model.onnx").is_file())


def _resource(name: str) -> str:
    return (resources.files("nearfar.web_lifter") / "web" / name).read_text("utf-8")


def _index(*, photos: bool) -> str:
    """The page, whose policy allows its own files and no request elsewhere."""
    policy = (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'"
    )
    accepts = ".json,application/json" + (",image/*,video/*" if photos else "")
    what = "a photo, a video or a file of keypoints" if photos else "a file of keypoints"
    return fill(_resource("index.html"), {"POLICY": html.escape(policy), "ACCEPTS": accepts, "WHAT": what})


def _site_data(lifter: Lifter, *, photos: bool) -> dict[str, Any]:
    """What the scripts know of the lifter, skeletons and conventions."""
    skeleton, name = lifter.skeleton, str(lifter.card.get("name", "lifter"))
    sources = {source.name: _source(source, skeleton) for source in _sources(skeleton)}
    return {
        "schema": SITE_SCHEMA,
        "poses": SCHEMA,
        "lifter": name,
        "licence": lifter.card.get("licence", "not stated"),
        "acknowledgement": lifter.card.get("acknowledgement", ""),
        "skeleton": skeleton.to_dict(),
        "viewer": viewer_template(skeleton, name),
        "root": skeleton.root_index,
        "minJoints": MIN_JOINTS,
        "fieldOfView": DEFAULT_FIELD_OF_VIEW,
        "rayRms": DEFAULT_RAY_RMS,
        "largestPixel": LARGEST_PIXEL,
        "smallestRay": SMALLEST_RAY,
        "sources": sources,
        "example": EXAMPLE_SKELETON in sources,
        "coco": coco.SKELETONS,
        "openpose": openpose.SKELETONS,
        "detector": DETECTOR if photos else None,
        "search": {
            "tileSides": search.TILE_SIDES,
            "cropMargins": search.CROP_MARGINS,
            "smallestCrop": search.SMALLEST_CROP,
            "agreement": search.AGREEMENT,
            "mostPeople": search.MOST_PEOPLE,
            "tolerance": tracking.TOLERANCE,
            "samePerson": tracking.SAME_PERSON,
            "samePlace": tracking.SAME_PLACE,
            "duplicate": tracking.DUPLICATE,
        },
    }


def _sources(target: Skeleton) -> list[Skeleton]:
    """Skeletons whose keypoints become those of the lifter."""
    found = {target.name: target}
    for name in skeleton_names():
        try:
            found.setdefault(name, remap(name, target).source)
        except InputError:  # it has no way to some joints
            continue
    return list(found.values())


def _source(source: Skeleton, target: Skeleton) -> dict[str, Any]:
    """A skeleton's joints, and each joint of the lifter as a weighted sum of them: pairs of joint and weight."""
    weights = remap(source, target).weights
    rows = [[[int(joint), float(row[joint])] for joint in np.flatnonzero(row)] for row in weights]
    return {"joints": list(source.joints), "rows": rows}


def _licences(*, photos: bool) -> str:
    lines = ["Libraries of others in this folder, unchanged but for their files' names:", ""]
    for package in (ONNXRUNTIME, *([MEDIAPIPE] if photos else [])):
        lines += [f"{package.name} {package.version}, {package.licence}, {package.homepage}"]
        lines += [f"  {place}" for place in package.files.values()]
    if photos:
        lines += ["pose.task: MediaPipe's pose models (BlazePose), Apache-2.0, https://ai.google.dev/edge/mediapipe"]
    return "\n".join(lines) + "\n"
