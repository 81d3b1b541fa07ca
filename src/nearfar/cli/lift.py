"""``nearfar lift``."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.lifting import Lifter
    from nearfar.poses import PoseSet


@dataclass(frozen=True)
class Lift:
    """Lift an image, a folder or glob of images, a video, or keypoints of another program to 3D.

    Writes poses.npz (3D joints, keypoints, scores, time stamps), an overlay of the keypoints on the frames, and
    view.html, the 3D viewer. With several inputs each gets a folder of its own in --out, and those finished before are
    skipped. No camera parameters are needed. Millions of inputs: --shard, which writes Parquet.
    """

    input: Annotated[str, tyro.conf.Positional]
    """Image, folder, glob, video, or file or folder of keypoints. With --shard also a list or an address."""
    out: Path = Path("lifted")
    """Folder to write to."""
    weights: str | None = None
    """Weights by name, or a .safetensors file; without it default-video for clips, and default for images."""
    causal: bool = False
    """Clips: a frame is lifted from itself and those before it, as in live use."""
    detector: str = "mediapipe"
    """2D detector: mediapipe or rtmlib."""
    people: int | None = None
    """How many people to lift, at most: those found in most frames. Without it one, or all of --boxes or keypoints."""
    person: int | None = None
    """Lift the person of this number instead (0 is found in most frames)."""
    box: tuple[float, float, float, float] | None = None
    """Lift the person who overlaps this box best instead: x0 y0 x1 y1 in pixels."""
    boxes: Path | None = None
    """Boxes to look for people in, frame by frame: MOTChallenge text, or a table with frame, x0, y0, x1, y1, person."""
    smooth: str | None = None
    """Clips: smooth poses by savitzky-golay[:SECONDS[:DEGREE]], or one-euro[:CUTOFF[:BETA]], which looks back only."""
    bridge_gaps: float | None = None
    """Clips: bridge gaps of up to so many seconds in a straight line; scores are 0 there."""
    fps: float | None = None
    """Clips: give poses.npz this even frame rate."""
    intrinsics: tuple[float, float, float, float] | None = None
    """fx fy cx cy in pixels, where they are known."""
    focal: str | None = None
    """Or the focal length: 1400 (pixels), or 28mm (the 35 mm equivalent)."""
    fov: float | None = None
    """Or the field of view along the longer side of the image, in degrees."""
    height: tuple[float, ...] = ()
    """How tall the people are, in metres, in order of their numbers: scales each of them, and their way."""
    level: bool = False
    """Estimate the camera's tilt and the floor from people who stand, and give the poses with z up, the floor at 0."""
    skeleton: str | None = None
    """Skeleton of the keypoints, where their file does not say."""
    image_size: str | None = None
    """WIDTHxHEIGHT in pixels of the images that the keypoints were found in."""
    input_fps: float = 30.0
    """Frame rate of keypoints, where their file does not say it."""
    one_clip: bool = False
    """The images of a file of keypoints are the frames of one clip."""
    media: Path | None = None
    """Image or video that the keypoints were found in, to draw them on."""
    overlay: bool = True
    """Write the overlay image or video."""
    view: bool = True
    """Write the 3D viewer."""
    overwrite: bool = False
    """Lift again what was finished before, and detect again what was detected before."""
    shard: str | None = None
    """i/n: lift the i-th of n shares of many inputs to Parquet files in --out; the shares are n processes' anywhere."""
    retry: bool = False
    """With --shard or --ray: lift again the inputs that failed before."""
    part_seconds: float = 300.0
    """With --shard: write a file of results at least so often, which is what a killed process loses."""
    ray: str | None = None
    """Lift many inputs on Ray instead: local, auto, or the address of a cluster."""

    def run(self) -> None:
        """Lift every input; go on after a bad one among several, and fail at the end."""
        from nearfar.intrinsics import check_camera
        from nearfar.lifting import load
        from nearfar.media import expand_inputs, is_image, is_video
        from nearfar.stature import check_heights

        self._check()
        check_camera(self.intrinsics, self.focal, self.fov)
        check_heights(self.height)
        if self.shard is not None or self.ray is not None:
            self._lift_shard()
            return
        lifter = None if self.weights is None else load(self.weights)
        path = Path(self.input)
        one_file = path.is_file() and not (is_image(path) or is_video(path))
        if one_file or (path.is_dir() and any(path.glob("*_keypoints.json"))):
            self._refuse("media", {"--box": self.box is not None, "--boxes": self.boxes is not None})
            self._lift_keypoints(path, lifter)
            return
        for_keypoints = {"--skeleton": self.skeleton, "--image-size": self.image_size, "--media": self.media}
        given = {flag: value is not None for flag, value in for_keypoints.items()}
        self._refuse("keypoint files", given | {"--input-fps": self.input_fps != 30, "--one-clip": self.one_clip})
        inputs = expand_inputs(self.input)
        if len(inputs) == 1 and not path.is_dir():
            self._lift_media(inputs[0], self.out, lifter)
            return
        self._refuse("a single image or video", {"--boxes": self.boxes is not None})
        self._lift_many(inputs, lifter)

    def _check(self) -> None:
        """Refuse before long work what would be refused after it."""
        from nearfar.resampling import check_rate
        from nearfar.smoothing import SavitzkyGolay, smoother_of

        chosen = {"--people": self.people, "--person": self.person, "--box": self.box}
        if len(given := [flag for flag, value in chosen.items() if value is not None]) > 1:
            raise InputError(f"{' and '.join(given)}: each says who is lifted; give one of them")
        smoother = None if self.smooth is None else smoother_of(self.smooth)
        if self.causal and isinstance(smoother, SavitzkyGolay):
            raise InputError("--causal: savitzky-golay looks ahead; one-euro does not")
        if self.bridge_gaps is not None and not 0 < self.bridge_gaps < float("inf"):
            raise InputError(f"--bridge-gaps: expected seconds above 0, got {self.bridge_gaps}")
        if self.fps is not None:
            check_rate(self.fps)

    def _refuse(self, meant_for: str, given: dict[str, bool]) -> None:
        if wrong := [flag for flag, is_given in given.items() if is_given]:
            raise InputError(f"{self.input}: {', '.join(wrong)} is for {meant_for}, which this is not")

    def _lift_shard(self) -> None:
        """Lift a share of many inputs; leave with exit code 1 where some of them failed."""
        from nearfar.batch import Bounds, Recipe, Shard, lift_shard
        from nearfar.cli.inputs import image_size

        alone = {"--box": self.box, "--boxes": self.boxes, "--media": self.media, "--fps": self.fps}
        given = {flag: value is not None for flag, value in alone.items()}
        self._refuse("single inputs", given | {"--height": bool(self.height), "--level": self.level})
        if self.shard is not None and self.ray is not None:
            raise InputError("--shard and --ray: Ray shares inputs out itself")
        if not self.part_seconds > 0:
            raise InputError(f"--part-seconds: expected seconds above 0, got {self.part_seconds}")
        same = {field.name: getattr(self, field.name) for field in fields(Recipe) if field.name != "image_size"}
        recipe = Recipe(**same, image_size=None if self.image_size is None else image_size(self.image_size))
        work = None
        if self.ray is not None:
            from nearfar.batch.ray_data import ray_work

            work = ray_work(self.out, recipe, self.ray)
        shard = Shard.of(self.shard or "1/1")
        bounds = Bounds(seconds=self.part_seconds)
        share = lift_shard(self.input, self.out, shard, recipe, bounds=bounds, work=work, retry=self.retry)
        before = f", {share.before} of them before" if share.before else ""
        print(f"{self.out}: shard {shard}: {share.inputs} inputs{before}, {share.poses} poses, {share.failed} failed")
        if share.failed:
            print(f"nearfar: {share.failed} of {share.inputs} inputs failed: {share.errors}", file=sys.stderr)
            raise SystemExit(1)

    def _lift_many(self, inputs: list[Path], lifter: Lifter | None) -> None:
        failed = []
        base = os.path.commonpath([path.resolve().parent for path in inputs])
        for path in inputs:
            out = self.out / path.resolve().relative_to(base)
            if (out / "poses.npz").exists() and not self.overwrite:
                print(f"{path}: finished before, skipped (--overwrite lifts it again)", file=sys.stderr)
                continue
            try:
                self._lift_media(path, out, lifter)
            except InputError as error:
                print(f"nearfar: error: {error}", file=sys.stderr)
                failed.append(path)
        if failed:
            raise InputError(f"{len(failed)} of {len(inputs)} inputs could not be lifted, the first: {failed[0]}")

    def _lift_media(self, path: Path, out: Path, lifter: Lifter | None) -> None:
        from nearfar.detection import detect_media
        from nearfar.media import is_image

        remember = None if is_image(path) else out / "detections.bin"
        if remember is not None and remember.exists():
            if self.overwrite:
                remember.unlink()
            else:
                print(f"{path}: what was detected before is taken from {remember}", file=sys.stderr)
        started = time.perf_counter()
        try:
            found = detect_media(
                path,
                self.detector,
                people=self.people,
                person=self.person,
                box=self.box,
                boxes=self.boxes,
                remember=remember,
            )
        except KeyboardInterrupt:
            if remember is not None:
                print(f"\n{remember} keeps what was detected: the same command goes on from there", file=sys.stderr)
            raise
        self._finish(found, path, out, lifter, time.perf_counter() - started)

    def _lift_keypoints(self, path: Path, lifter: Lifter | None) -> None:
        from nearfar.cli.inputs import image_size
        from nearfar.datasets import load_poses_to_lift

        size = None if self.image_size is None else image_size(self.image_size)
        poses = load_poses_to_lift(
            path,
            skeleton=self.skeleton,
            image_size=size,
            person=self.person,
            people=self.people,
            fps=self.input_fps,
            one_clip=self.one_clip,
        )
        self._finish(poses, self.media, self.out, lifter, None)

    def _finish(
        self, found: PoseSet, media: Path | None, out: Path, lifter: Lifter | None, detection_s: float | None
    ) -> None:
        """Lift, then write pictures first and poses.npz last: it marks an input as finished."""
        import numpy as np

        from nearfar.intrinsics import choose_intrinsics
        from nearfar.lifting import default_weights, load
        from nearfar.media import is_image
        from nearfar.pipeline import refine
        from nearfar.resampling import resample
        from nearfar.sequences import clips
        from nearfar.smoothing import smoother_of
        from nearfar.viewing import write_overlay, write_viewer

        refining = {"--smooth": self.smooth, "--bridge-gaps": self.bridge_gaps, "--fps": self.fps}
        if not clips(found, self.input_fps):
            self._refuse("clips", {flag: value is not None for flag, value in refining.items()})
        found = choose_intrinsics(
            found, intrinsics=self.intrinsics, focal=self.focal, field_of_view=self.fov, media=media
        )
        used = load(default_weights(found)) if lifter is None else lifter
        started = time.perf_counter()
        raw = used.lift_poses(found, causal=self.causal, fps=self.input_fps)
        lifting_s = time.perf_counter() - started
        raw = self._in_metres(raw, used)
        smoother = None if self.smooth is None else smoother_of(self.smooth)
        lifted = refine(raw, smoother, longest_gap=self.bridge_gaps, fps=self.input_fps)
        if media is not None and self.overlay:
            suffix = ".png" if is_image(media) else ".mp4"
            write_overlay(lifted, media, out / f"overlay{suffix}")
        sequences = 1 if lifted.sequence is None else len(np.unique(lifted.sequence.codes))
        if self.view and sequences == 1:
            write_viewer(lifted, out / "view.html", media=media)
        if any(value is not None for value in refining.values()):
            raw.save(out / "poses_raw.npz")
        else:
            (out / "poses_raw.npz").unlink(missing_ok=True)
        if self.fps is not None:
            lifted = resample(lifted, self.fps, longest=self.bridge_gaps or 0.0, fps=self.input_fps)
        lifted.save(out / "poses.npz")
        there = 0 if lifted.joints is None else np.isfinite(lifted.joints).any(axis=(1, 2)).sum()
        persons = 1 if lifted.person is None else len(np.unique(lifted.person))
        spent = "" if detection_s is None else f", detection {detection_s:.2f} s"
        who = "1 person" if persons == 1 else f"{persons} people"
        print(f"{out}: {there} of {len(lifted)} poses lifted ({who}){spent}, lifting {lifting_s:.3f} s")
        if self.view and sequences > 1:
            print(f"{sequences} clips or images: nearfar view {out / 'poses.npz'} --sequence NAME shows one of them")
        is_assumed = str(lifted.provenance["intrinsics"]).startswith("assumed")
        hint = "; --focal, --fov or --intrinsics take a known one, and distances with it" if is_assumed else ""
        print(f"camera {lifted.provenance['intrinsics']}{hint}")

    def _in_metres(self, lifted: PoseSet, lifter: Lifter) -> PoseSet:
        """The poses as tall, and as level, as was asked for."""
        from nearfar.level import estimate_level, with_level
        from nearfar.lifting import load
        from nearfar.stature import with_statures

        if self.height:
            # The package's own weights learned from the same people; only "default" names their limbs.
            card = lifter.card if self.weights is not None else load("default").card
            lifted = with_statures(lifted, self.height, card.get("mean_limb_lengths"))
        if not self.level:
            return lifted
        level = estimate_level(lifted)
        print(level)
        return with_level(lifted, level)


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Lift, prog="nearfar lift", args=argv).run()
