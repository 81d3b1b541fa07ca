"""The paper's tables and figures on small data in the published formats, by the command that users give."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from h36m_samples import SUBJECTS, detections, motion, write_detections_h5, write_h5
from lsp_samples import merged, write_merged

from nearfar.cli import main
from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.reproduce import EXPERIMENTS
from nearfar.reproduce.experiment import Outcome, Settings, ours, supervised
from nearfar.reproduce.material import material, photos
from nearfar.reproduce.runs import LabelOptions, Place, run_folder
from nearfar.reproduce.writing import Table, same_size
from nearfar.synthetic import synthetic_poses


def write_benchmark(path: Path, poses: PoseSet) -> None:
    """A file in the format of the CMU benchmark."""
    n, rng = len(poses), np.random.default_rng(0)
    arrays = {
        "keypoints": poses.keypoints,
        "joints": poses.joints,
        "intrinsics": poses.intrinsics,
        "frame": poses.frame_index,
        "pair": np.tile([[0, 3]], (n, 1)).astype(np.uint8),
        "answer": rng.choice([-1, 1], n).astype(np.int8),
        "crowd_answer": rng.choice([-1, 1], n).astype(np.int8),
    }
    for name, column in (("subject", poses.subject), ("trial", poses.sequence), ("action", poses.action)):
        arrays |= {name: column.codes, f"{name}_names": np.array(column.names)}
    np.savez(path, **arrays)


@pytest.fixture(scope="module")
def cmu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cmu")
    for split, seed in (("train", 0), ("test", 1)):
        write_benchmark(folder / f"{split}.npz", synthetic_poses(320, seed=seed, views=2))
    return folder


@pytest.fixture
def settings(cmu: Path, tmp_path: Path) -> Settings:
    return Settings(Place(f"cmu:{cmu}", 1, None, tmp_path), epochs=1, seeds=2)


def test_runs_that_experiments_share_are_the_same_run(settings: Settings) -> None:
    asked = [m.run for e in EXPERIMENTS for tests in e.plan(settings).values() for m in tests]
    different = {run_folder(run, settings.place) for run in asked}
    assert len(different) == len(set(asked)) == 2 * 34
    plain = ours(settings.epochs)
    assert sum(run == plain for run in asked) >= 8  # table 1 and 2, figures 1d, 4a to 4d, the sequence


def test_everything_that_decides_a_run_is_in_its_folders_name(settings: Settings) -> None:
    place, run = settings.place, ours(1)
    others = [
        (supervised(1), place),
        (ours(2), place),
        (ours(1, LabelOptions(crowd=True)), place),
        (ours(1, seed=1), place),
        (ours(1, skeleton="lsp14"), place),
        (ours(1, detected=True), place),
        (ours(1, init=run), place),
        (ours(1, limb_reference="average_person"), place),
        (run, dataclasses.replace(place, every=2)),
        (run, dataclasses.replace(place, data="synthetic")),
    ]
    names = {run_folder(*other).name for other in [(run, place), *others]}
    assert len(names) == len(others) + 1


def test_every_experiment_can_be_drawn_from_reports(settings: Settings, cmu: Path) -> None:
    """All but those that need the predictions themselves, which the command below draws."""
    rng = np.random.default_rng(0)
    own = material(settings.place.data, 1)
    for experiment in EXPERIMENTS:
        if experiment.name in {"fig4a", "fig5", "sequence"}:
            continue
        plan = experiment.plan(settings)
        reports = {m: made_up_report(rng, own.test) for tests in plan.values() for m in tests}
        experiment.draw(Outcome(settings, plan, reports), settings.place.out)
        data = json.loads((settings.place.out / f"{experiment.name}.json").read_text())
        assert "CMU motion" in data["caption"]
        assert "seeds 0 to 1" in data["caption"]
        page = (settings.place.out / f"{experiment.name}.md").read_text()
        assert "±" in page
        assert "nan" not in page


def made_up_report(rng: np.random.Generator, test: PoseSet) -> dict[str, object]:
    keys = ("pa_mpjpe", "mpjpe", "scaled_mpjpe", "n_mpjpe", "relative_depth_accuracy_100mm", "limb_proportion_error")
    report: dict[str, object] = {key: float(rng.uniform(40, 60)) for key in keys}
    report["per_action"] = {name: {"pa_mpjpe": float(rng.uniform(40, 60))} for name in test.action.names}
    report["mean_over_actions"] = {"pa_mpjpe": 50.0}
    report["per_joint"] = {joint: {"pa_mpjpe": float(rng.uniform(20, 80))} for joint in test.skeleton.joints}
    return report


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "nearfar.cli", "reproduce", *map(str, arguments)]


@pytest.mark.slow
def test_a_figure_is_trained_once_and_more_seeds_add_to_it(cmu: Path, tmp_path: Path) -> None:
    flags = ("--data", f"cmu:{cmu}", "--out", tmp_path, "--epochs", 1, "--workers", 2)
    subprocess.run(command("fig4a", *flags), check=True, capture_output=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/weights.safetensors")}
    assert len(before) == 2
    subprocess.run(command("fig4a", *flags, "--seeds", 2), check=True, capture_output=True)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/weights.safetensors")}
    assert len(after) == 4
    assert all(after[path] == at for path, at in before.items())
    data = json.loads((tmp_path / "fig4a.json").read_text())
    for name in ("ours", "supervised"):
        assert sum(data["share"][name]) + data["beyond_last_edge"][name] == pytest.approx(1)
    assert (tmp_path / "fig4a.pdf").read_bytes().startswith(b"%PDF")
    subprocess.run(command("sequence", *flags), check=True, capture_output=True)
    assert (tmp_path / "sequence.png").exists()


@pytest.mark.slow
def test_a_study_that_was_killed_goes_on_and_ends_the_same(cmu: Path, tmp_path: Path) -> None:
    flags = ("--data", f"cmu:{cmu}", "--epochs", 6, "--workers", 1)
    whole = subprocess.run(command("fig4b", *flags, "--out", tmp_path / "whole"), check=True, capture_output=True)
    assert b"fig4b.md" in whole.stdout
    process = subprocess.Popen(
        command("fig4b", *flags, "--out", tmp_path / "cut"), stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("cut/runs/*/checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()  # the study alone: its workers leave with it
    process.wait()
    assert not list(tmp_path.glob("cut/fig4b.md"))
    subprocess.run(command("fig4b", *flags, "--out", tmp_path / "cut"), check=True, capture_output=True)
    assert (tmp_path / "cut" / "fig4b.json").read_bytes() == (tmp_path / "whole" / "fig4b.json").read_bytes()


@pytest.mark.slow
def test_human36m_and_lsp_files_run_end_to_end(tmp_path: Path) -> None:
    """Table 2 with detections from Human3.6M's HDF5 form; figures 3 and 5 from relative_depth_lsp_v1.json."""
    source = motion(subjects=SUBJECTS, frames=24)
    write_h5(tmp_path / "h36m", source)
    write_detections_h5(tmp_path / "h36m", detections(source))
    (tmp_path / "lsp").mkdir()
    write_merged(tmp_path / "lsp" / "relative_depth_lsp_v1.json", merged(images=60))
    flags = ("--data", f"h36m:{tmp_path / 'h36m'}", "--lsp", tmp_path / "lsp", "--out", tmp_path / "out", "--epochs", 1)
    for name in ("table2", "fig2", "fig3", "fig5"):
        done = subprocess.run(command(name, *flags), check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "out" / "table2.json").read_text())
    assert "Stacked Hourglass" in table["caption"]
    assert set(table["by_action"]["ours DT/DT"]) <= {"Directions", "Photo", "WalkDog", "Walking"} | set(
        table["by_action"]["ours GT/GT"]
    )
    study = json.loads((tmp_path / "out" / "fig2.json").read_text())
    assert study["tilt_undone"]["single"]["answers"] > 1000
    figure = json.loads((tmp_path / "out" / "fig5.json").read_text())
    assert "Leeds Sports Pose" in figure["caption"]
    assert set(figure["rows"]) == {"supervised", "ours", "ours, fine-tuned", "photos alone"}
    assert all(0 <= row["order_error"][0] <= 1 for row in figure["rows"].values())


def test_the_stand_in_for_photos_has_labels_and_no_3d() -> None:
    own = photos(None)
    assert own.train.joints is None
    assert own.test.joints is None
    assert own.train.mean_limb_lengths is None
    assert len(own.train) == len(own.test) == 1000
    assert len(own.train_labels) == 5000
    depth = own.truth.joints[..., 2]
    labels = own.test_labels
    difference = depth[labels.pose, labels.pair[:, 0]] - depth[labels.pose, labels.pair[:, 1]]
    right = (np.sign(difference) == labels.relation).mean()
    assert 0.7 < right < 0.95


def test_tables_in_markdown_and_latex() -> None:
    table = Table(["", "error, %"], [["a & b_c", "1.0 ± 0.2"]])
    assert table.markdown() == "|  | error, % |\n| --- | --- |\n| a & b_c | 1.0 ± 0.2 |\n"
    latex = table.latex("50 % of it", "x")
    assert r"a \& b\_c & 1.0 $\pm$ 0.2 \\" in latex
    assert r"\caption{50 \% of it}" in latex


def test_poses_of_one_size() -> None:
    poses = synthetic_poses(5, seed=0)
    larger = dataclasses.replace(poses, joints=poses.joints * 3)
    np.testing.assert_allclose(same_size(poses).joints, same_size(larger).joints, atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table1", "--data", "kitti:x"], "--data kitti:x: expected cmu:FOLDER, h36m:FOLDER or synthetic"),
        (["table1", "--data", "cmu:nowhere"], "nowhere/train.npz: no such file"),
        (["table1", "--data", "synthetic", "--epochs", "0"], "--epochs: expected at least 1, got 0"),
        (["fig3", "--data", "synthetic", "--experts", "x.parquet"], "--experts: speaks of the images of --lsp"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["reproduce", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_photo_folder_without_its_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        photos(str(tmp_path))
