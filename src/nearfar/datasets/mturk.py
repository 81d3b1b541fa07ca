"""The raw answers of the study of Ronchi et al. (BMVC 2018), as its scripts pickled them from Mechanical Turk.

A file is a Python 2 pickle of ``{"_all_assignments": [...], "_good_assignments": [...], ...}``, and likewise flagged,
rejected and error. An assignment is one worker's work on one task, a HIT of five images with five pairs each. The form
is that of ``cleanAssignmentData`` in ``gui/mturk_api/*.py`` of `matteorr/rel_3d_pose`. The answers are those of the
page ``gui/templates/TurkAnnotationGUI_v8.html``: -1 where the pair's first joint is nearer, 1 where the second is, 0
for neither; a pair that is also in ``keypoint_comparisons_unsure`` was answered "unsure". Times are milliseconds. The
authors' own answers have the same form. Images are those of LSP, numbered from 0 (``images/im0001.jpg`` is 0), or of
Human3.6M.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.datasets.checks import coordinates
from nearfar.datasets.h36m.names import action_of, clip_name
from nearfar.datasets.records import Records
from nearfar.errors import InputError
from nearfar.files import read_json
from nearfar.labels import RelativeLabels
from nearfar.poses import Category, PoseSet
from nearfar.safe_pickle import load_pickle
from nearfar.skeleton import Skeleton, get_skeleton

__all__ = [
    "CITATION",
    "STUDY_JOINTS",
    "TUTORIAL_IMAGE",
    "Assignment",
    "Study",
    "StudyImages",
    "joint_numbers",
    "load_mturk",
    "load_study",
    "load_study_images",
]

Array = npt.NDArray[Any]

CITATION = (
    "Ronchi, Mac Aodha, Eng and Perona, It's all Relative: Monocular 3D Human Pose Estimation from Weakly Supervised "
    "Data, BMVC 2018."
)

STUDY_JOINTS = (
    "head", "neck", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "mid_hip", "mid_spine", "chin",
)  # fmt: skip
"""The joints as the study numbers them: LSP's 14, and three more on Human3.6M. The files do not say it; the places of
the joints in the figure beside the question do (``side_panel_coords`` of the page), and ``paper_plots/fig_s3.py``."""

TUTORIAL_IMAGE = 279782
"""Human3.6M's image on which new workers practised; its answers are no answers (``paper_plots/fig_2.py``)."""

STATUSES = ("good", "flagged", "rejected", "error")
_LONGEST_NAME = 64
_LSP_IMAGES = 2000
_MOST = 1 << 40
"""Larger numbers are no ids or frames."""

Answer = tuple[int, int, int, int, bool, float, str, int]
_PAIR = re.compile(r"(\d{1,2}),(\d{1,2})")


@dataclass(frozen=True)
class Assignment:
    """One worker's work on one task.

    Attributes:
        annotator: the worker.
        assignment: its id at Mechanical Turk.
        task: number of the HIT.
        status: "good"; "flagged" by the worker; "rejected", finished in under 40 s; "error"; or "" where the file does
            not say.
        experience: tasks of this kind that the worker had done before.
        seconds: spent on the task.
        instruction_seconds: spent on the instructions before.
        rating: of the page by the worker, or -1.
        comment: of the worker.
        trials: the images and what was answered, as in the file.
    """

    annotator: str
    assignment: str
    task: str
    status: str
    experience: int
    seconds: float
    instruction_seconds: float
    rating: int
    comment: str
    trials: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class StudyImages:
    """The images of the study on Human3.6M.

    Attributes:
        poses: (N) keypoints in pixels of skeleton ``h36m17``. `sequence` and `frame_index` name the frame as
            `nearfar.datasets.h36m` does (``S1/Directions 1.54138969``), which knows its 3D.
        ids: (N,) what the answers call the images.
        joint_names: the joints in the order in which the answers number them.
    """

    poses: PoseSet
    ids: Array
    joint_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Study:
    """The content of a file of answers.

    Attributes:
        path: the file.
        assignments: who answered what, and how long it took them.
        of_lsp: the images are LSP's; else they are Human3.6M's.
    """

    path: Path
    assignments: tuple[Assignment, ...]
    of_lsp: bool

    def labels(
        self, *, images: Sequence[int] | Array | None = None, joint_names: Sequence[str] | None = None
    ) -> RelativeLabels:
        """The answers as labels: `load_mturk` says how.

        Raises:
            InputError: no answers, a damaged one, or one on another image or joint.
        """
        skeleton = get_skeleton("lsp14" if self.of_lsp else "h36m17")
        number = joint_numbers(joint_names or STUDY_JOINTS[: skeleton.num_joints], skeleton, str(self.path))
        answers = list(_answers(self.assignments, len(number), str(self.path)))
        if not answers:
            raise InputError(f"{self.path}: no answers in it")
        image, a, b, relation, unsure, seconds, name, of = (np.array(column) for column in zip(*answers, strict=True))
        provenance: dict[str, Any] = {
            "source": f"answers of Ronchi et al. 2018 on {'LSP' if self.of_lsp else 'Human3.6M'}",
            "file": self.path.name,
            "citation": CITATION,
            "response_time": "of the image with all its pairs",
        }
        if images is None:
            images = np.arange(_LSP_IMAGES) if self.of_lsp else np.unique(image)
            provenance |= {} if self.of_lsp else {"image_ids": images.tolist()}
        place = {key: row for row, key in enumerate(np.asarray(images).tolist())}
        rows = [place.get(key, -1) for key in image.tolist()]
        if -1 in rows:
            raise InputError(f"{self.path}: answer {str(name[rows.index(-1)])!r}: not one of the {len(place)} images")

        def each(field: str) -> Array:
            return np.asarray(np.array([getattr(entry, field) for entry in self.assignments], dtype=np.str_)[of])

        return RelativeLabels(
            skeleton=skeleton,
            pose=np.array(rows, dtype=np.int64),
            pair=np.stack([number[a], number[b]], axis=1),
            relation=relation.astype(np.int8),
            annotator=each("annotator"),
            unsure=unsure,
            response_time=seconds,
            task=each("task"),
            assignment=each("assignment"),
            status=each("status"),
            source_id=name,
            provenance=provenance,
        )


def load_mturk(
    path: str | Path, *, images: Sequence[int] | Array | None = None, joint_names: Sequence[str] | None = None
) -> RelativeLabels:
    """Read the answers, of workers or experts, on LSP (``lsp14``) or Human3.6M (``h36m17``), whichever the file is of.

    All assignments are read, `status` says what became of them; the tutorial image is left out. `response_time` is that
    of the whole image with its five pairs. `source_id` ("279_3,5": image and joint numbers as in the file) is the
    original_id of ``relative_depth_lsp_v1.json``.

    Args:
        path: the ``.pkl`` file.
        images: ids of the images in the order of the rows that the labels are to speak of. By default LSP's image i is
            row i, as in `load_lsp` and `load_relative_depth_lsp`, and Human3.6M's images are numbered in rising order
            of the ids that occur (``provenance["image_ids"]``).
        joint_names: the joints in the order of the file's numbers; by default `STUDY_JOINTS`.

    Raises:
        InputError: no such file, not such a pickle, or a damaged one; an answer on another image or joint.
    """
    return load_study(path).labels(images=images, joint_names=joint_names)


def load_study(path: str | Path) -> Study:
    """Read a file of answers, assignment by assignment. The pickle is read without running anything.

    Raises:
        InputError: no such file, not such a pickle, or a damaged one; the message says which assignment.
    """
    data = load_pickle(path)
    if not isinstance(data, dict) or not isinstance(data.get("_all_assignments"), list):
        got = f"a dict of {short(sorted(map(str, data)))}" if isinstance(data, dict) else type(data).__name__
        raise InputError(f"{path}: not the study's answers: expected a dict with a list '_all_assignments', got {got}")
    every = data["_all_assignments"]
    if not every or not isinstance(every[0], dict):
        raise InputError(f"{path}: no assignments in it")
    status: dict[tuple[str, ...], str] = {}
    for name in STATUSES:
        listed = data.get(f"_{name}_assignments", [])
        if not isinstance(listed, list):
            raise InputError(f"{path}: _{name}_assignments: expected a list")
        status |= {_key(entry, f"{path}: _{name}_assignments[{i}]"): name for i, entry in enumerate(listed)}
    of_lsp = "lsp_subj_ids" in every[0]
    if not of_lsp and "human_subj_ids" not in every[0]:
        raise InputError(f"{path}: assignment 0: expected lsp_subj_ids or human_subj_ids")
    assignments = (_assignment(entry, status, f"{path}: assignment {i}") for i, entry in enumerate(every))
    return Study(Path(path), tuple(assignments), of_lsp)


def joint_numbers(names: Sequence[str], skeleton: Skeleton, where: str) -> Array:
    """The skeleton's number of each of a file's joints; the study's call the top of the head "head".

    Raises:
        InputError: not just the joints of the skeleton.
    """
    usual = ["head_top" if name == "head" and name not in skeleton.joints else name for name in names]
    if sorted(map(str, usual)) != sorted(skeleton.joints):
        raise InputError(f"{where}: expected the joints of {skeleton.name!r} in any order, got {short(list(names))}")
    return np.array([skeleton.joints.index(name) for name in usual], dtype=np.int64)


def load_study_images(path: str | Path) -> StudyImages:
    """Read ``relative_depth_human36m_gt.json``, the images of the study on Human3.6M.

    ``{"pose": [{"keypoints": names}], "images": [{"id", "s_id", "video", "frame", "width", "height"}], "annotations":
    [{"id", "kpts_2d"}]}``, as ``paper_plots/user_study/load_gt_for_mturk.py`` of `matteorr/rel_3d_pose` reads it. The
    3D in it is not read: its frame is not stated, and the authors too take the 3D from Human3.6M.

    Raises:
        InputError: no such file, not JSON, or an image that is wrong.
    """
    data = read_json(path)
    skeleton = get_skeleton("h36m17")
    try:
        names = tuple(data["pose"][0]["keypoints"])
        images = Records(data["images"], f"{path}: images", lambda i: f"{path}: image {i}")
        marks = Records(data["annotations"], f"{path}: annotations", lambda i: f"{path}: annotation {i}")
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path}: not the images of the study ({error!r})") from None
    number = joint_numbers(names, skeleton, f"{path}: keypoints")
    ids, points = images.whole("id", _MOST), marks.numbers("kpts_2d", 2 * len(number)).reshape(-1, len(number), 2)
    place = {key: row for row, key in enumerate(marks.whole("id", _MOST).tolist())}
    rows = [place.get(key, -1) for key in ids.tolist()]
    if -1 in rows:
        raise InputError(f"{path}: image {ids[rows.index(-1)]} has no annotation ({rows.count(-1)} such images)")
    keypoints = np.empty((len(ids), len(number), 2))
    keypoints[:, number] = points[rows]
    subjects = [f"S{subject}" for subject in images.whole("s_id", 11).tolist()]
    views = [_view(video, images.where(i)) for i, video in enumerate(images.texts("video"))]
    poses = PoseSet(
        skeleton=skeleton,
        keypoints=coordinates(keypoints, f"{path}: kpts_2d"),
        image_size=np.stack([images.whole(side, 1 << 20) for side in ("width", "height")], axis=1),
        frame_index=images.whole("frame", _MOST),
        sequence=Category.of(
            [f"{subject}/{clip}.{camera}" for subject, (clip, camera) in zip(subjects, views, strict=True)]
        ),
        subject=Category.of(subjects),
        action=Category.of([action_of(clip) for clip, _ in views]),
        provenance={"source": "images of Ronchi et al. 2018 from Human3.6M", "file": Path(path).name},
    )
    return StudyImages(poses, ids, names)


def _view(video: str, where: str) -> tuple[str, str]:
    """Clip and camera of a video of Human3.6M (``Directions 1.54138969.mp4``)."""
    parts = video.split(".")
    clip = clip_name(parts[0], where)
    if clip is None or len(parts) < 2:
        raise InputError(f"{where}: video: expected an action and a camera, got {short(video)}")
    return clip, parts[1]


def _assignment(entry: Any, status: Mapping[tuple[str, ...], str], where: str) -> Assignment:
    annotator, assignment, task = key = _key(entry, where)
    trials = entry.get("trials")
    if not isinstance(trials, list):
        raise InputError(f"{where}: trials: expected a list, got {short(trials)}")
    rating, comment = entry.get("gui_rating"), entry.get("hit_comment")
    return Assignment(
        annotator=annotator,
        assignment=assignment,
        task=task,
        status=status.get(key, ""),
        experience=int(_number(entry.get("worker_exp", 0), f"{where}: worker_exp")),
        seconds=_number(entry.get("response_time"), f"{where}: response_time") / 1000,
        instruction_seconds=_number(entry.get("hit_it", 0), f"{where}: hit_it") / 1000,
        rating=rating if isinstance(rating, int) else -1,
        comment=comment if isinstance(comment, str) else "",
        trials=trials,
    )


def _key(entry: Any, where: str) -> tuple[str, str, str]:
    """Worker, assignment and task; no two assignments have all three in common."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected a dict, got {short(entry)}")
    names = [entry.get(name) for name in ("worker_id", "assignment_id", "hit_id")]
    for name, value in zip(("worker_id", "assignment_id", "hit_id"), names, strict=True):
        if type(value) not in (str, int) or len(str(value)) > _LONGEST_NAME:
            raise InputError(f"{where}: {name}: expected a name or number, got {short(value)}")
    return str(names[0]), str(names[1]), str(names[2])


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise InputError(f"{where}: expected a number from 0, got {short(value)}")
    return float(value)


def _answers(assignments: Sequence[Assignment], joints: int, path: str) -> Iterator[Answer]:
    """Image, joints a and b, relation, whether unsure, seconds, name, and number of the assignment of each answer."""
    pairs: dict[str, tuple[int, int]] = {}  # few different ones, over and over
    for of, assignment in enumerate(assignments):
        for k, trial in enumerate(assignment.trials):
            where = f"{path}: assignment {of}, trial {k}"
            try:
                image, depth = trial["img_id"], trial["depth"]
                results, unsure = depth["keypoint_comparisons_res"], depth.get("keypoint_comparisons_unsure", ())
                items = list(results.items())
                milliseconds = trial["response_time"]
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{where}: not a trial ({error!r})") from None
            if type(image) is not int or not 0 <= image <= _MOST:
                raise InputError(f"{where}: img_id: expected a number, got {short(image)}")
            if not isinstance(unsure, list | tuple):
                raise InputError(f"{where}: keypoint_comparisons_unsure: expected a list, got {short(unsure)}")
            if image == TUTORIAL_IMAGE:
                continue
            seconds = _number(milliseconds, f"{where}: response_time") / 1000
            for key, answer in items:
                if key not in pairs:
                    pairs[key] = _pair(key, joints, where)
                if type(answer) is not int or answer not in (-1, 0, 1):
                    raise InputError(f"{where}: pair {key!r}: expected -1, 0 or 1, got {short(answer)}")
                a, b = pairs[key]
                yield image, a, b, answer, answer == 0 and key in unsure, seconds, f"{image}_{key}", of


def _pair(key: Any, joints: int, where: str) -> tuple[int, int]:
    match = _PAIR.fullmatch(key) if isinstance(key, str) else None
    a, b = (int(match[1]), int(match[2])) if match else (0, 0)
    if a == b or max(a, b) >= joints:
        raise InputError(f"{where}: expected two different joints of 0..{joints - 1} as 'i,j', got {short(key)}")
    return a, b
