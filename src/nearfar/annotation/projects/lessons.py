"""Lessons: worked examples, practice and entry test, rendered with known depths, or taken from gold pairs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from nearfar.annotation.projects.figure import View, look_at, render, surface_depth
from nearfar.annotation.projects.lesson_plan import can_render, drawn_joints, explain
from nearfar.annotation.projects.mannequin import Part, body_parts, face_points
from nearfar.annotation.schema import Purpose
from nearfar.annotation.settings import Settings
from nearfar.annotation.web.texts import Texts, load_texts
from nearfar.errors import InputError
from nearfar.files import replacing
from nearfar.labels import all_pairs
from nearfar.poses import Category, PoseSet
from nearfar.skeleton import Skeleton
from nearfar.synthetic import synthetic_motion

__all__ = ["Lesson", "Lessons", "render_lessons"]

Array = npt.NDArray[Any]

SIZE = (480, 600)
CLEAR_MM, SAME_MM = 220.0, 12.0
"""Depth differences of questions about who is nearer, at least; and of those whose answer is "same", at most.

They hold along the camera's axis, as labels mean it, and level with the floor, as people may take it."""

PAIRS_A_PICTURE = 3
SAME_SHARE = 0.2
ACTIONS = ("walk", "turn", "stand", "reach", "wave", "kick", "bend")
"""Motions that need nothing to sit or lie on."""

_SEED = 3
_FRAMES, _VIEWS = 1500, 8


@dataclass(frozen=True)
class Lesson:
    """One question with its answer.

    Attributes:
        purpose: "tutorial", "practice" or "test".
        pose: row of the lessons' poses.
        joints: two joint numbers, the lower first.
        truth: -1 the first is nearer, +1 the second, 0 the same.
        explanation: why, in words.
    """

    purpose: Purpose
    pose: int
    joints: tuple[int, int]
    truth: int
    explanation: str


@dataclass(frozen=True, eq=False)
class Lessons:
    """Rendered lessons.

    Attributes:
        poses: one row a picture, with camera-frame joints; sequence names the picture.
        questions: in the order in which they are shown.
    """

    poses: PoseSet
    questions: tuple[Lesson, ...]


def render_lessons(
    folder: str | Path,
    skeleton: Skeleton,
    settings: Settings,
    *,
    purposes: Sequence[Purpose] = ("tutorial", "practice", "test"),
    language: str = "en",
    progress: bool = False,
) -> Lessons:
    """Draw the lessons' pictures, and write them and ``poses.npz`` into a folder.

    Asked are joints whose depths differ by `CLEAR_MM` and more, or by less than `SAME_MM`. The pictures are always the
    same.

    Raises:
        InputError: the skeleton's joints are not those of a person (`can_render`).
    """
    if not can_render(skeleton):
        raise InputError(f"lessons: cannot be drawn for skeleton {skeleton.name!r}: its joints are not a person's")
    folder = Path(folder)
    stage = _Stage(skeleton, load_texts(language), settings.subject)
    scenes = [scene for purpose in purposes for scene in _scenes(stage, purpose, settings)]

    def draw(number: int) -> None:
        scene = scenes[number]
        with replacing(folder / _picture(number)) as temporary:
            Image.fromarray(render(stage.parts(scene.frame), scene.view)).save(temporary, quality=88)

    bar = tqdm(total=len(scenes), desc="drawing lessons", unit="picture", leave=False, disable=not progress)
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy lets other threads work
        for _ in pool.map(draw, range(len(scenes))):
            bar.update()
    poses = stage.poses(scenes)
    poses.save(folder / "poses.npz")
    lessons = [replace(lesson, pose=row) for row, scene in enumerate(scenes) for lesson in scene.lessons]
    return Lessons(poses, tuple(lessons))


def _picture(number: int) -> str:
    return f"lesson_{number:02d}.jpg"


@dataclass(frozen=True, eq=False)
class _Scene:
    """A moment seen from somewhere, and what is asked about it."""

    frame: int
    view: View
    lessons: tuple[Lesson, ...]


class _Stage:
    """Motion that lessons are chosen from: `candidates` are (frame, view) with joints in the camera's frame."""

    def __init__(self, skeleton: Skeleton, texts: Texts, subject: str) -> None:
        self.skeleton, self.texts, self.subject = skeleton, texts, subject
        motion = synthetic_motion(_FRAMES, seed=_SEED)
        action = np.zeros(len(motion), np.str_) if motion.action is None else motion.action.values()
        self.motion = motion.select(np.flatnonzero(np.isin(action, ACTIONS))[::5])
        self.body = np.asarray(self.motion.joints, np.float64)
        self.world = np.einsum("js,nsd->njd", drawn_joints(skeleton), self.body)
        self.world[:, ~(drawn_joints(skeleton) != 0).any(axis=1)] = np.nan
        self.pairs = all_pairs(skeleton)
        azimuths = np.random.default_rng(_SEED).uniform(0, 360, (len(self.body), _VIEWS))
        self.frames = np.repeat(np.arange(len(self.body)), _VIEWS)
        self.views = [self._view(frame, azimuth) for frame in range(len(self.body)) for azimuth in azimuths[frame]]
        self.joints = np.stack([v.joints(self.world[f]) for f, v in zip(self.frames, self.views, strict=True)])
        self.pixels = np.stack([v.pixels(self.world[f]) for f, v in zip(self.frames, self.views, strict=True)])
        a, b = self.pairs.T
        level = np.stack([v.rotation[2] * [1, 1, 0] for v in self.views])
        level /= np.linalg.norm(level, axis=1, keepdims=True)
        away = np.einsum("cji,ci->cj", self.world[self.frames], level)
        self.difference = self.joints[:, a, 2] - self.joints[:, b, 2]
        level_difference = away[:, a] - away[:, b]
        agree = np.sign(self.difference) == np.sign(level_difference)
        least = np.minimum(np.abs(self.difference), np.abs(level_difference))
        most = np.maximum(np.abs(self.difference), np.abs(level_difference))
        fits = self._fits()[:, None]
        self.size = np.where(agree & fits, least, 0)
        self.same = (most < SAME_MM) & fits & self.of("shoulder", "hip", "ankle", mirrored=True)
        self.apart = np.linalg.norm(self.pixels[:, a] - self.pixels[:, b], axis=-1)

    def _view(self, frame: int, azimuth: float) -> View:
        low, high = self.body[frame].min(axis=0), self.body[frame].max(axis=0)
        across = 1.45 * max(1.2 * (high - low).max() / 1.45, 1500.0)
        return look_at((low + high) / 2, azimuth, distance=3400, height=1350, size=SIZE, high=across)

    def _fits(self) -> Array:
        """(C,) whether a candidate's whole body, hands and all, lies within the picture."""
        pixels = np.stack([v.pixels(self.body[f]) for f, v in zip(self.frames, self.views, strict=True)])
        return np.asarray(((pixels > 50) & (pixels < np.array(SIZE) - 50)).all(axis=(1, 2)))

    def upright(self) -> Array:
        """(C,) whether the person stands upright."""
        neck, root = (self.body[:, self.motion.skeleton.index(name)] for name in ("neck", "mid_hip"))
        lean = np.linalg.norm((neck - root)[:, :2], axis=1) / np.linalg.norm(neck - root, axis=1)
        return np.asarray((lean < 0.25)[self.frames])

    def named(self, frame: int) -> dict[str, Array]:
        return dict(zip(self.motion.skeleton.joints, self.body[frame], strict=True))

    def parts(self, frame: int) -> list[Part]:
        return body_parts(self.named(frame))

    @cached_property
    def towards_us(self) -> Array:
        """(C,) whether each candidate shows the person's front: the left shoulder is on the right of the picture."""
        ends = [self.motion.skeleton.index(f"{side}_shoulder") for side in ("left", "right")]
        x = [v.joints(self.body[f][ends])[:, 0] @ [1, -1] for f, v in zip(self.frames, self.views, strict=True)]
        return np.array(x)

    def hidden(self, candidate: int) -> tuple[Array, list[str]]:
        """(J,) mm of body in front of each joint, beyond the limb that it lies in; and what is in front."""
        frame, view = int(self.frames[candidate]), self.views[candidate]
        known = np.isfinite(self.joints[candidate]).all(axis=-1)
        depth, names = surface_depth(self.parts(frame), view, np.nan_to_num(self.pixels[candidate]))
        return np.where(known, np.maximum(self.joints[candidate][:, 2] - depth, 0), np.inf), names

    def lesson(self, purpose: Purpose, candidate: int, pair: int, kind: str, **words: object) -> Lesson:
        a, b = self.pairs[pair].tolist()
        difference = float(self.difference[candidate, pair])
        truth = 0 if self.same[candidate, pair] else -1 if difference < 0 else 1
        names = (self.skeleton.joints[a], self.skeleton.joints[b])
        cm = max(1, round(abs(difference) / 10))
        return Lesson(purpose, 0, (a, b), truth, explain(self.texts, self.subject, names, truth, kind, cm=cm, **words))

    def of(self, *endings: str, mirrored: bool = False) -> Array:
        """(P,) pairs of which one joint's name ends with each of the endings, or both sides of one."""
        names = self.skeleton.joints

        def fits(a: str, b: str) -> bool:
            if mirrored:
                sides = a.startswith(("left_", "right_")) and a.partition("_")[2] == b.partition("_")[2]
                return sides and any(a.endswith(e) for e in endings)
            return any(a.endswith(e) for e in endings) or any(b.endswith(e) for e in endings)

        return np.array([fits(names[a], names[b]) for a, b in self.pairs])

    def poses(self, scenes: Sequence[_Scene]) -> PoseSet:
        """The scenes' poses, with the face's joints where the skeleton has them."""
        world = self.world[[scene.frame for scene in scenes]].copy()
        for row, scene in enumerate(scenes):
            for name, place in face_points(self.named(scene.frame)).items():
                if name in self.skeleton.joints:
                    world[row, self.skeleton.index(name)] = place
        joints = np.stack([scene.view.joints(points) for scene, points in zip(scenes, world, strict=True)])
        pixels = np.stack([scene.view.pixels(points) for scene, points in zip(scenes, world, strict=True)])
        known = np.isfinite(joints).all(axis=-1)
        return PoseSet(
            self.skeleton,
            keypoints=pixels.astype(np.float32),
            scores=known.astype(np.float32),
            joints=joints.astype(np.float32),
            intrinsics=np.stack([scene.view.intrinsics for scene in scenes]).astype(np.float32),
            image_size=np.tile(np.array(SIZE, np.int32), (len(scenes), 1)),
            sequence=Category(np.arange(len(scenes)), tuple(_picture(i) for i in range(len(scenes)))),
            provenance={"source": "nearfar.annotation.projects.lessons", "intrinsics": "the drawing's"},
        )


def _scenes(stage: _Stage, purpose: Purpose, settings: Settings) -> Iterator[_Scene]:
    if purpose == "tutorial":
        yield from _tutorial(stage)
    elif purpose == "practice":
        yield from _questions(stage, purpose, settings.practice_questions, 1)
    elif purpose == "test":
        yield from _questions(stage, purpose, 2 * settings.test_questions, 2)


def _tutorial(stage: _Stage) -> Iterator[_Scene]:
    """One worked example of each kind, of moments of their own."""
    size, apart, upright = stage.size, stage.apart, stage.upright()[:, None]
    front, back = stage.towards_us[:, None] > 150, stage.towards_us[:, None] < -150
    limbs = stage.of("knee", "ankle", mirrored=True)
    trunk = stage.of("shoulder", "hip", mirrored=True)
    hands = stage.of("wrist") & stage.of("shoulder", "hip", "neck", "spine", "thorax", "pelvis")
    heights = stage.of("ankle") & stage.of("neck", "shoulder", "hip", "head_top", "thorax")
    kinds: tuple[tuple[str, Array, Callable[[float, float], bool]], ...] = (
        ("clear", front & upright & stage.of("wrist", mirrored=True) & (size > 350) & (apart > 90),
         lambda a, b: max(a, b) < 90),
        ("crossed", limbs & (apart > 8) & (apart < 34) & (size > 200), lambda a, b: max(a, b) > 120),
        ("hidden", hands & (size > CLEAR_MM), lambda a, b: max(a, b) > 220 and min(a, b) < 130),
        ("same", front & trunk & stage.same & upright & (apart > 60), lambda a, b: max(a, b) < 140),
        ("behind", back & upright & stage.of("wrist", "elbow", mirrored=True) & (size > 200) & (apart > 70),
         lambda a, b: max(a, b) < 90),
        ("height", heights & (size > 260) & (apart > 150), lambda a, b: max(a, b) < 130),
    )  # fmt: skip
    rng = np.random.default_rng(_SEED)
    used: set[int] = set()
    for kind, fitting, seen in kinds:
        choices = np.argwhere(fitting)
        for candidate, pair in rng.permutation(choices)[:400].tolist():
            if stage.frames[candidate] in used:
                continue
            hidden, covers = stage.hidden(candidate)
            a, b = stage.pairs[pair]
            if not seen(float(hidden[a]), float(hidden[b])):
                continue
            far = a if stage.difference[candidate, pair] > 0 else b
            is_wrist = stage.skeleton.joints[far].endswith("wrist")
            if kind == "hidden" and not (is_wrist and hidden[far] > 220 and covers[far] in ("trunk", "hips")):
                continue
            used.add(int(stage.frames[candidate]))
            low = a if stage.pixels[candidate, a, 1] > stage.pixels[candidate, b, 1] else b
            words = {"cover": stage.texts(f"lessons.part_{covers[far]}") if kind == "hidden" else ""}
            words["low"] = stage.texts.joint_of(stage.skeleton.joints[low], stage.subject)
            lesson = stage.lesson("tutorial", candidate, pair, kind, **words)
            yield _Scene(int(stage.frames[candidate]), stage.views[candidate], (lesson,))
            break


def _questions(stage: _Stage, purpose: Purpose, count: int, seed: int) -> Iterator[_Scene]:
    """Pictures with `count` questions between them, all of joints that can be seen; every fifth answer is "same"."""
    rng = np.random.default_rng([_SEED, seed])
    left, asked = count, 0
    # Each purpose has moments of its own, so that nobody is tested on what was explained.
    mine = np.flatnonzero(stage.frames % 3 == seed)
    for candidate in rng.permutation(mine).tolist():
        if left <= 0:
            return
        hidden, _ = stage.hidden(candidate)
        a, b = stage.pairs.T
        size, apart, alike = stage.size[candidate], stage.apart[candidate], stage.same[candidate]
        seen = (hidden[a] < 110) & (hidden[b] < 110) & (apart > 45)
        clear = rng.permutation(np.flatnonzero(seen & (size > CLEAR_MM)))
        same = rng.permutation(np.flatnonzero(seen & alike))
        due = int((asked + min(left, PAIRS_A_PICTURE)) * SAME_SHARE) - int(asked * SAME_SHARE)
        chosen = [*same[:due], *_varied(clear, stage, candidate)[: PAIRS_A_PICTURE - due]][:left]
        if len(chosen) < min(left, PAIRS_A_PICTURE) or len(same) < due:
            continue
        kinds = ["same_plain" if alike[pair] else "plain" for pair in chosen]
        lessons = tuple(
            stage.lesson(purpose, candidate, int(pair), kind) for pair, kind in zip(chosen, kinds, strict=True)
        )
        left, asked = left - len(chosen), asked + len(chosen)
        yield _Scene(int(stage.frames[candidate]), stage.views[candidate], lessons)


def _varied(pairs: Array, stage: _Stage, candidate: int) -> list[int]:
    """Pairs in an order that brings new joints first, and both answers in turn."""
    order: list[int] = []
    count = np.zeros(stage.skeleton.num_joints)
    signs = 0.0
    rest = pairs.tolist()
    while rest and len(order) < PAIRS_A_PICTURE:
        sign = {pair: np.sign(stage.difference[candidate, pair]) for pair in rest}
        pick = min(rest, key=lambda pair: count[stage.pairs[pair]].sum() + 0.5 * sign[pair] * np.sign(signs))
        rest.remove(pick)
        order.append(pick)
        count[stage.pairs[pick]] += 1
        signs += sign[pick]
    return order
