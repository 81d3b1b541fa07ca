"""Human3.6M for ``nearfar data``: how to get it, what is wrong with a folder, its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nearfar.datasets.checks import complaints
from nearfar.datasets.h36m.cameras import CAMERA_FILES, Camera, find_cameras
from nearfar.datasets.h36m.detections import DETECTORS, Detector
from nearfar.datasets.h36m.names import CAMERAS, SUBJECTS
from nearfar.datasets.h36m.positions import PATTERNS, Clip, form_of, list_clips, missing_clips
from nearfar.datasets.h36m.reader import CITATION, LICENCE, Detected, Take, load_h36m
from nearfar.datasets.source import Prepared, Source
from nearfar.errors import InputError
from nearfar.skeleton import get_skeleton
from nearfar.skeleton_maps import remap

__all__ = ["SOURCE"]

_SPARSE = 64
"""The sparse protocol tests on every so manieth frame."""


def problems(folder: Path) -> list[str]:
    """What is missing or wrong in a folder of Human3.6M: clips, cameras, and the detections that are there.

    Everything is read. A folder of some of the subjects has problems, but `load_h36m` reads those that it has.
    """
    form = form_of(folder)
    if form is None:
        packed = sorted(folder.glob("Poses_D3_Positions_S*.tgz"))
        expected = [f"{folder}: no motion: expected one of {', '.join(PATTERNS.values())}"]
        return [f"{path}: not unpacked: tar -xzf {path.name}" for path in packed] or expected
    try:
        clips = [clip for clip in list_clips(folder, form) if clip.subject in SUBJECTS]
    except InputError as error:
        return [str(error)]
    cameras, found = None, []
    try:
        cameras = find_cameras(folder)
    except InputError as error:
        found.append(str(error))  # and motion alone is checked
    absent = sorted(set(SUBJECTS) - {clip.subject for clip in clips})
    found += [f"{folder}: no motion of S{subject}: expected it in {PATTERNS[form]}" for subject in absent]
    found += [f"{folder}: {line}" for line in missing_clips(clips, form)]
    views: list[tuple[Take, Camera]] = []

    def read(clip: Clip) -> None:
        take = Take.read(clip, get_skeleton("h36m17"), _SPARSE)  # all frames are checked, few are kept
        views.extend((take, cameras.by_view[clip.subject, name]) for name in CAMERAS if cameras is not None)

    found += complaints(clips, read, "check h36m")
    for detector in DETECTORS.values():
        if detector.is_in(folder):
            found += _problems_of_detections(folder, detector, views)
    return found


def _problems_of_detections(folder: Path, detector: Detector, views: Sequence[tuple[Take, Camera]]) -> list[str]:
    try:
        detected = Detected.find(folder, detector.name, SUBJECTS)
    except InputError as error:
        return [str(error)]

    def read(view: tuple[Take, Camera]) -> None:
        for take, camera in detected.among([view]):
            detected.read(take, camera, detector.skeleton)

    return complaints(views, read, f"check h36m {detector.name}")


def prepare(folder: Path, skeleton: str | None = None) -> Iterator[Prepared]:
    """The parts of a folder.

    ``train`` and ``test`` with projected keypoints, ``test_64`` (every 64th frame of the test), and train and test with
    each set of detections that the folder holds and that gives the skeleton's joints: ``train_sh``, ``test_sh``, ...

    Raises:
        InputError: a file is missing or damaged, or no such skeleton.
    """
    for split in ("train", "test"):
        yield Prepared(split, load_h36m(folder, split=split, skeleton=skeleton))
    yield Prepared(f"test_{_SPARSE}", load_h36m(folder, split="test", skeleton=skeleton, every=_SPARSE))
    for name, detector in DETECTORS.items():
        if detector.is_in(folder) and _gives(detector, skeleton):
            for split in ("train", "test"):
                yield Prepared(f"{split}_{name}", load_h36m(folder, split=split, skeleton=skeleton, keypoints=name))


def _gives(detector: Detector, skeleton: str | None) -> bool:
    """Whether a detector's keypoints have the joints of a skeleton, or ones to derive them from."""
    try:
        return skeleton is None or bool(remap(detector.skeleton, skeleton))
    except InputError:
        return False


SOURCE = Source(
    name="h36m",
    title="Human3.6M",
    homepage="http://vision.imar.ro/human3.6m/",
    licence=f"{LICENCE} Cite: {CITATION}.",
    steps="""\
Register at http://vision.imar.ro/human3.6m/ (an academic address is asked for) and log in.
Under Download, take Poses, D3 Positions of S1, S5, S6, S7, S8, S9 and S11: Poses_D3_Positions_S1.tgz and so on.
Take the code (code-v1.2.zip) too: metadata.xml in it has the cameras.
Put all of it into one folder and unpack there: for f in Poses_D3_Positions_S*.tgz; do tar -xzf "$f"; done
Copy metadata.xml beside S1.
Instead of all this, data_3d_h36m.npz, made as VideoPose3D's DATASETS.md says, with a copy of its
common/h36m_dataset.py beside it, which has the cameras.
Detections, if wanted: data_2d_h36m_cpn_ft_h36m_dbb.npz as VideoPose3D's DATASETS.md says, into the same folder.""",
    layout="\n".join(
        [
            *PATTERNS.values(),
            f"one of {', '.join(CAMERA_FILES)} (cameras)",
            *(f"{detector.npz} (optional)" for detector in DETECTORS.values()),
            *(f"S*/{detector.folder}/*.h5 (optional)" for detector in DETECTORS.values() if detector.folder),
        ]
    ),
    problems=problems,
    prepare=prepare,
)
