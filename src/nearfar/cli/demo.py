"""``nearfar demo``: labels alone against full 3D supervision, on synthetic motion."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.lifting import Lifter
    from nearfar.poses import PoseSet

LABELS, FULL = "labels alone", "full 3D supervision"
CLIP_FRAMES = 150
TRAINING_FPS = 3.0  # more motions and cameras in as many frames


@dataclass(frozen=True)
class Demo:
    """Train from relative depth labels alone and under full 3D supervision on the same synthetic frames, compare both.

    Nothing is downloaded. Writes the table, figures and a 3D viewer of a held-out clip to report.html in --out.
    """

    out: Path = Path("demo")
    """Folder to write to."""
    video: Path | None = None
    """Lift this video with both, too (needs the extra mediapipe; fetches the detector's model once)."""
    frames: int = 60_000
    """Training frames."""
    epochs: int = 10
    """Passes over them."""
    seed: int = 0
    """Of people, motion, cameras, labels and weights."""

    def run(self) -> None:
        """Make data, train both, compare, write the report."""
        from nearfar.evaluation import evaluate, report_markdown
        from nearfar.files import write_text

        if self.video is not None:
            from nearfar.media import media_info

            media_info(self.video)  # a video that cannot be read should not wait for two trainings to say so
        print(f"making {self.frames} frames of synthetic motion ...", flush=True)
        lifters = self._train()
        held_out = _held_out(self.seed)
        reports = {name: evaluate(lifter, held_out) for name, lifter in lifters.items()}
        table = report_markdown(reports)
        print(f"\nheld-out synthetic people, {len(held_out)} frames:\n\n{table}")
        write_text(self.out / "results.json", json.dumps(reports, indent=2) + "\n")
        lifted = {"A synthetic clip, held out": _lift_clip(lifters, held_out)}
        media: dict[str, Path] = {}
        if self.video is not None:
            from nearfar.detection import detect_media

            found = detect_media(self.video)
            title = f"The video {self.video.name}"
            lifted[title] = {name: lifter.lift_poses(found) for name, lifter in lifters.items()}
            media[title] = self.video
        for name, clips in zip(("clip", "video"), lifted.values(), strict=False):
            for lifter_name, poses in clips.items():
                poses.save(self.out / f"{name}_{lifter_name.replace(' ', '_')}.npz")
        _write_report(self.out / "report.html", reports, lifted, media, self)
        print(self.out / "report.html")

    def _train(self) -> dict[str, Lifter]:
        import numpy as np

        from nearfar.labels import labels_from_joints, random_pairs
        from nearfar.presets import SyntheticConfig, preset
        from nearfar.synthetic import synthetic_poses
        from nearfar.training import train

        poses = synthetic_poses(self.frames, seed=self.seed, fps=TRAINING_FPS)
        rng = np.random.default_rng(self.seed)
        labels = labels_from_joints(poses, random_pairs(poses.skeleton, len(poses), 1, rng))
        lifters = {}
        for name, configuration in ((LABELS, "default"), (FULL, "ceiling")):
            print(f"training from {name} ...", flush=True)
            # No synthetic people besides: they are the ones that this is about.
            config = dataclasses.replace(
                preset(configuration), synthetic=SyntheticConfig(), epochs=self.epochs, seed=self.seed
            )
            # The labels-only run is not even given the joints.
            seen = poses if name == FULL else dataclasses.replace(poses, joints=None)
            lifters[name] = train(seen, None if name == FULL else labels, config)
        return lifters


def _held_out(seed: int) -> PoseSet:
    from nearfar.synthetic import synthetic_poses

    return synthetic_poses(3_000, seed=seed + 1_000_003)


def _lift_clip(lifters: Mapping[str, Lifter], held_out: PoseSet) -> dict[str, PoseSet]:
    """The held-out clip in which most is walked, lifted with each without its truth, and the truth."""
    import numpy as np

    if held_out.sequence is None or held_out.action is None:
        raise InputError("demo: the held-out poses do not say which clip and action they are of")
    walked = np.bincount(held_out.sequence.codes, weights=held_out.action.values() == "walk")
    clip = held_out.select(held_out.sequence.codes == walked.argmax()).select(slice(0, CLIP_FRAMES))
    keypoints = dataclasses.replace(clip, joints=None)
    return {name: lifter.lift_poses(keypoints) for name, lifter in lifters.items()} | {"truth": clip}


def _write_report(
    path: Path,
    reports: Mapping[str, Mapping[str, Any]],
    lifted: Mapping[str, Mapping[str, PoseSet]],
    media: Mapping[str, Path],
    demo: Demo,
) -> None:
    from nearfar.viewing import viewer_html
    from nearfar.viewing.figures import comparison_figure, evaluation_figure
    from nearfar.viewing.report import Code, Page, Picture, Section, Table, Text, write_report

    columns = {
        "pa_mpjpe": ("PA-MPJPE, mm", "low"),
        "n_mpjpe": ("N-MPJPE, mm", "low"),
        "mpjpe": ("MPJPE, mm", "low"),
        "pck_150mm": ("PCK@150 mm", "high"),
        "relative_depth_accuracy_100mm": ("order right, pairs > 100 mm", "high"),
    }
    rows = [[name, *(report[key] for key in columns)] for name, report in reports.items()]
    ratio = reports[LABELS]["pa_mpjpe"] / reports[FULL]["pa_mpjpe"]
    told = (
        f"Both networks are the same and saw the same {demo.frames} frames for {demo.epochs} epochs. One was told all "
        "3D joints; the other one thing a frame: which of two joints is nearer to the camera. Its PA-MPJPE is "
        f"{ratio:.2f} times the other's, on people that neither has seen."
    )
    sections = [
        Section(
            "The result",
            [
                Text(told),
                Table(
                    ["trained from", *(title for title, _ in columns.values())],
                    rows,
                    caption="Held-out synthetic people; millimetres, and shares of right answers.",
                    best=["", *(best for _, best in columns.values())],
                ),
                Picture(comparison_figure(reports), "Bars of the errors of both networks side by side"),
            ],
        )
    ]
    for title, clips in lifted.items():
        others = {name: poses for name, poses in clips.items() if name != LABELS}
        page = viewer_html(clips[LABELS], media=media.get(title), compare=others, title=title, name=LABELS)
        sections.append(Section(title, [Page(page, f"3D viewer: {title}, lifted with both networks")]))
    sections.append(
        Section(
            "In detail",
            [Picture(evaluation_figure(report, title=name), f"Errors of {name}") for name, report in reports.items()],
        )
    )
    command = f"nearfar demo --frames {demo.frames} --epochs {demo.epochs} --seed {demo.seed}"
    sections.append(Section("Make it again", [Code(command)]))
    write_report(path, "nearer or farther?", sections, lead="3D pose from relative depth labels alone")


def main(argv: list[str]) -> None:
    """Parse and run."""
    tyro.cli(Demo, prog="nearfar demo", args=argv).run()
