"""The command line: what it writes, what it says, and how it fails (one line, exit code 2, nothing half-written)."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nearfar import PoseSet, RelativeLabels, get_skeleton, load, synthetic_poses
from nearfar.cli import COMMANDS, main
from nearfar.cli.angles import Angles
from nearfar.cli.demo import Demo
from nearfar.cli.evaluate import Evaluate
from nearfar.cli.export import Export
from nearfar.cli.lift import Lift
from nearfar.cli.live import Live
from nearfar.cli.merge import Merge
from nearfar.cli.models import Fetch
from nearfar.cli.reproduce import Reproduce
from nearfar.cli.study import Study
from nearfar.cli.train import Train
from nearfar.cli.train_video import TrainVideo
from nearfar.cli.view import View
from nearfar.lifting import Lifter
from nearfar.lifting.network import build_network
from nearfar.presets import NetworkConfig
from nearfar.training import read_log

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """poses.npz, poses.labels.parquet and weights.safetensors, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("cli")
    assert (
        main(["data", "synthetic", str(folder / "poses.npz"), "--frames", "300", "--views", "1", "--pairs", "2"]) == 0
    )
    train = ["train", "--data", str(folder / "poses.npz"), "--labels", str(folder / "poses.labels.parquet")]
    small = ["--network.width", "32", "--epochs", "2", "--batch-size", "32", "--val", str(folder / "poses.npz")]
    assert main([*train, *small, "--out", str(folder / "run")]) == 0
    return folder


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that must fail with exit code 2 and one line; return the line."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1, errors
    assert errors[0].startswith("nearfar: error: ")
    return errors[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "usage: nearfar " + command in capsys.readouterr().out
    assert f"`nearfar {command}`" in (DOCS / "commands.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("lift", Lift),
        ("live", Live),
        ("view", View),
        ("export", Export),
        ("angles", Angles),
        ("train", Train),
        ("train-video", TrainVideo),
        ("evaluate", Evaluate),
        ("merge", Merge),
        ("study", Study),
        ("reproduce", Reproduce),
        ("models fetch", Fetch),
        ("demo", Demo),
    ],
)
def test_every_option_is_documented(command: str, options: type) -> None:
    section = (DOCS / "commands.md").read_text("utf-8").split(f"\n## `nearfar {command} ")[1].split("\n## ")[0]
    for option in options_of(options):
        flag = f"--{'no-' if option.default is True else ''}{option.name.replace('_', '-')}"
        wanted = f"`{option.name.upper()}`" if "Positional" in str(option.type) else f"`{flag}[`. ]"
        assert re.search(wanted, section), wanted


def options_of(options: type) -> list[dataclasses.Field]:
    """The fields of a command, with those of a configuration whose flags have no name before them."""
    fields = dataclasses.fields(options)
    inner = [one for field in fields if field.name == "config" for one in dataclasses.fields(field.default)]
    return [field for field in fields if field.name != "config"] + inner


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    usage = capsys.readouterr().out
    assert all(command in usage for command in COMMANDS)
    assert main(["--version"]) == 0
    assert re.fullmatch(r"nearfar \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_unknown_command_and_flags(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert "no command 'lfit'; known: lift" in fails(capsys, "lfit")
    assert main(["train", "--data", "x.npz", "--out", "y", "--learning-rat", "1"]) == 2
    assert "learning-rat" in "".join(capsys.readouterr())
    message = fails(capsys, "train", "--data", folder / "poses.npz", "--out", folder / "no", "--preset", "papr")
    assert "no preset 'papr'; known: default, crowd, ceiling, paper, supervised" in message


def test_train_wrote_a_run(folder: Path) -> None:
    rows = read_log(folder / "run" / "log.jsonl")
    assert [row["epoch"] for row in rows if "val_pa_mpjpe" in row] == [1, 2]
    card = load(folder / "run" / "weights.safetensors").card
    assert card["supervision"] == "600 relative depth labels"
    assert card["training"]["network"]["width"] == 32


def test_evaluate_writes_the_keys_that_others_build_on(folder: Path) -> None:
    out = folder / "report.json"
    files = ["--json", str(out), "--markdown", str(folder / "report.md"), "--figure", str(folder / "report.png")]
    weights = ["--weights", str(folder / "run" / "weights.safetensors")]
    assert main(["evaluate", *weights, "--data", str(folder / "poses.npz"), *files]) == 0
    report = json.loads(out.read_text())
    keys = ("pa_mpjpe", "n_mpjpe", "mpjpe", "relative_depth_accuracy", "relative_depth_accuracy_100mm", "scaled_mpjpe")
    assert all(np.isfinite(report[key]) for key in (*keys, "pck_150mm", "auc", "limb_proportion_error"))
    assert set(report["per_joint"]) == set(get_skeleton("h36m17").joints)
    assert sum(entry["poses"] for entry in report["per_action"].values()) == report["poses"] == 300
    assert "PA-MPJPE" in (folder / "report.md").read_text()
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    documented = (DOCS / "evaluation.md").read_text("utf-8")
    assert all(f"`{key}`" in documented for key in report if key not in {"weights", "data", "poses"})


def test_lift_keypoints_of_another_program(folder: Path, tmp_path: Path) -> None:
    poses = PoseSet.load(folder / "poses.npz").select(slice(0, 20))
    np.save(tmp_path / "keypoints.npy", poses.keypoints)
    arguments = ["--skeleton", "h36m17", "--image-size", "1000x1000", "--out", str(tmp_path / "out")]
    weights = ["--weights", str(folder / "run" / "weights.safetensors")]
    assert main(["lift", str(tmp_path / "keypoints.npy"), *arguments, *weights]) == 0
    lifted = PoseSet.load(tmp_path / "out" / "poses.npz")
    assert lifted.frame == "root"
    assert np.isfinite(lifted.joints).all()
    assert "assumed" in lifted.provenance["intrinsics"]
    assert "<html" in (tmp_path / "out" / "view.html").read_text("utf-8")
    assert main(["view", str(tmp_path / "out" / "poses.npz"), "--out", str(tmp_path / "again.html")]) == 0
    known = ["--intrinsics", "1000", "1000", "500", "500", "--no-view"]
    assert main(["lift", str(tmp_path / "keypoints.npy"), *arguments, *weights, *known]) == 0
    assert PoseSet.load(tmp_path / "out" / "poses.npz").provenance["intrinsics"] == "given"


def test_convert_there_and_back(folder: Path, tmp_path: Path) -> None:
    for name in ("poses.csv", "poses.json", "again.npz"):
        assert main(["data", "convert", str(folder / "poses.npz"), str(tmp_path / name)]) == 0
    assert main(["data", "convert", str(tmp_path / "poses.json"), str(tmp_path / "back.npz")]) == 0
    first, back = PoseSet.load(tmp_path / "again.npz"), PoseSet.load(tmp_path / "back.npz")
    assert (first.keypoints == back.keypoints.astype(np.float32)).all()
    assert (first.joints == back.joints.astype(np.float32)).all()
    labels = folder / "poses.labels.parquet"
    assert main(["data", "convert", str(labels), str(tmp_path / "labels.csv"), "--labels"]) == 0
    assert main(["data", "convert", str(tmp_path / "labels.csv"), str(tmp_path / "labels.parquet"), "--labels",
                 "--skeleton", "h36m17"]) == 0  # fmt: skip
    one, two = RelativeLabels.load(labels), RelativeLabels.load(tmp_path / "labels.parquet")
    assert (one.pair == two.pair).all()
    assert (one.relation == two.relation).all()


def test_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(folder / "poses.npz")]) == 0
    out = capsys.readouterr().out
    assert "300 poses of skeleton h36m17 (17 joints)" in out
    assert "keypoints: pixels, 100.0 % present" in out


def test_bad_files_are_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = ("--weights", folder / "run" / "weights.safetensors", "--out", tmp_path / "out")
    assert "no weights 'nothing'" in fails(capsys, "lift", "x.mp4", "--weights", "nothing")
    assert "missing.mp4" in fails(capsys, "lift", "missing.mp4", *weights)
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(capsys, "lift", tmp_path / "empty", *weights)
    for name in ("cut.mp4", "cut.jpg", "cut.json", "cut.npz", "cut.npy", "cut.csv"):
        (tmp_path / name).write_bytes(b"")
        assert name in fails(capsys, "lift", tmp_path / name, *weights)
        (tmp_path / name).write_bytes(b"\x00\x01nonsense" * 20)
        assert name in fails(capsys, "lift", tmp_path / name, *weights)
    np.save(tmp_path / "few.npy", np.zeros((3, 5, 2)))
    assert "few.npy" in fails(capsys, "lift", tmp_path / "few.npy", "--skeleton", "coco17", *weights)
    np.save(tmp_path / "normalised.npy", np.random.default_rng(0).random((3, 17, 2)))
    assert "normalised" in fails(capsys, "lift", tmp_path / "normalised.npy", "--skeleton", "coco17", *weights)
    size = ("--skeleton", "coco17", "--image-size", "wide")
    assert "1920x1080" in fails(capsys, "lift", tmp_path / "few.npy", *size, *weights)
    assert not (tmp_path / "out").exists()


def test_training_input_is_checked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ("train", "--data", folder / "poses.npz", "--out", tmp_path / "run")
    assert "neither a label file" in fails(capsys, *start, "--labels", "answers")
    assert "at least 1" in fails(capsys, *start, "--labels", folder / "poses.labels.parquet", "--epochs", "0")
    table = "pose,joint_a,joint_b,relation\n0,neck,mid_hip,1\n{}\n"
    for row, what in (("0,neck,tail,1", "tail"), ("0,neck,neck,1", "itself"), ("999,neck,mid_hip,1", "999"),
                      ("1,neck,mid_hip,2", "2")):  # fmt: skip
        (tmp_path / "labels.csv").write_text(table.format(row))
        assert what in fails(capsys, *start, "--labels", tmp_path / "labels.csv")
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_evaluating_without_truth_or_on_another_skeleton(folder: Path, tmp_path: Path, capsys) -> None:
    poses = synthetic_poses(20, seed=0)
    PoseSet(poses.skeleton, keypoints=poses.keypoints).save(tmp_path / "flat.npz")
    weights = ("--weights", folder / "run" / "weights.safetensors")
    assert "no 3D joints" in fails(capsys, "evaluate", "--data", tmp_path / "flat.npz", *weights)
    other = Lifter(build_network(NetworkConfig(width=8), get_skeleton("body25")).eval())
    other.save(tmp_path / "body25.safetensors")
    message = fails(capsys, "evaluate", "--data", folder / "poses.npz", "--weights", tmp_path / "body25.safetensors")
    assert "cannot map skeleton 'h36m17' to 'body25'" in message


def test_own_keypoints_and_labels_train_as_the_readme_says(tmp_path: Path) -> None:
    """Keypoints without calibration and a CSV of answers are enough."""
    poses = synthetic_poses(64, seed=5)
    people = [
        {"image_id": i, "id": i, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
         "keypoints": np.c_[np.random.default_rng(i).uniform(100, 900, (17, 2)), np.full(17, 2)].ravel().tolist()}
        for i in range(64)
    ]  # fmt: skip
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 1000, "height": 800} for i in range(64)]
    names = list(get_skeleton("coco17").joints)
    categories = [{"id": 1, "name": "person", "keypoints": names}]
    coco = {"images": images, "annotations": people, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    assert main(["data", "convert", str(tmp_path / "coco.json"), str(tmp_path / "own.npz"), "--to", "h36m17"]) == 0
    rows = "".join(f"{i},neck,right_wrist,{1 if i % 2 else -1}\n" for i in range(len(poses)))
    (tmp_path / "answers.csv").write_text("pose,joint_a,joint_b,relation\n" + rows)
    start = ["train", "--data", str(tmp_path / "own.npz"), "--labels", str(tmp_path / "answers.csv")]
    small = ["--loss.limb-reference", "synthetic_mean", "--epochs", "1", "--network.width", "16", "--batch-size", "16"]
    assert main([*start, *small, "--out", str(tmp_path / "mine")]) == 0
    assert load(tmp_path / "mine" / "weights.safetensors").skeleton.name == "h36m17"


def test_poses_that_nothing_can_be_learnt_from_are_left_out(tmp_path: Path, capsys) -> None:
    poses = synthetic_poses(24, seed=5)
    keypoints = np.array(poses.keypoints)
    keypoints[[3, 20], poses.skeleton.root_index] = np.nan  # half a person was found; the second has no labels
    keypoints[21] = np.nan
    dataclasses.replace(poses, keypoints=keypoints, joints=None).save(tmp_path / "own.npz")
    rows = "".join(f"{i},neck,right_wrist,1\n{i},neck,left_wrist,-1\n" for i in range(20))
    (tmp_path / "answers.csv").write_text("pose,joint_a,joint_b,relation\n" + rows)
    start = ["train", "--data", str(tmp_path / "own.npz"), "--labels", str(tmp_path / "answers.csv")]
    small = ["--loss.limb-reference", "synthetic_mean", "--epochs", "1", "--network.width", "16", "--batch-size", "8"]
    assert main([*start, *small, "--out", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().err
    assert "left out: 1 poses without mid_hip or with too few keypoints, and their 2 labels" in told


def test_keypoints_of_several_images(folder: Path, tmp_path: Path, capsys) -> None:
    """One poses.npz for all of them; the viewer shows one at a time."""
    from nearfar.poses import Category

    poses = PoseSet.load(folder / "poses.npz").select(slice(0, 6))
    several = dataclasses.replace(poses, joints=None, sequence=Category.of(["a.jpg"] * 3 + ["b.jpg"] * 3))
    several.save(tmp_path / "k.npz")
    weights = ["--weights", str(folder / "run" / "weights.safetensors"), "--out", str(tmp_path / "out")]
    assert main(["lift", str(tmp_path / "k.npz"), *weights]) == 0
    assert "--sequence NAME" in capsys.readouterr().out
    assert not (tmp_path / "out" / "view.html").exists()
    lifted = tmp_path / "out" / "poses.npz"
    assert main(["view", str(lifted), "--sequence", "b.jpg", "--out", str(tmp_path / "b.html")]) == 0
    assert "no sequence 'c.jpg'; there is a.jpg, b.jpg" in fails(capsys, "view", lifted, "--sequence", "c.jpg")
    beside = ["--compare", str(folder / "poses.npz"), "--sequence", "b.jpg"]
    assert "no sequence 'b.jpg'" in fails(capsys, "view", lifted, *beside)


def test_view_compares_two_results(folder: Path, tmp_path: Path, capsys) -> None:
    poses = PoseSet.load(folder / "poses.npz")
    one = poses.select(poses.sequence.codes == 0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        one.save(tmp_path / name / "poses.npz")
    first, second = tmp_path / "a" / "poses.npz", tmp_path / "b" / "poses.npz"
    assert main(["view", str(first), "--compare", str(second), "--out", str(tmp_path / "v.html")]) == 0
    page = (tmp_path / "v.html").read_text("utf-8")
    assert '"name":"a/poses"' in page
    assert '"name":"b/poses"' in page
    one.select(slice(0, 1)).save(tmp_path / "c.npz")
    dataclasses.replace(one.select(slice(1, 2)), frame_index=np.array([99999])).save(tmp_path / "d.npz")
    assert "no frame in common" in fails(capsys, "view", tmp_path / "c.npz", "--compare", tmp_path / "d.npz")


def test_flags_that_mean_nothing_are_refused(folder: Path, tmp_path: Path, capsys) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    np.save(tmp_path / "k.npy", np.zeros((2, 17, 2)))
    weights = ("--weights", folder / "run" / "weights.safetensors", "--out", tmp_path / "out")
    assert "--skeleton is for keypoint files" in fails(
        capsys, "lift", tmp_path / "x.png", "--skeleton", "coco17", *weights
    )
    box = ("--box", "0", "0", "9", "9")
    assert "--box is for media" in fails(capsys, "lift", tmp_path / "k.npy", *box, *weights)
    assert "figures are written as" in fails(
        capsys,
        "evaluate",
        "--data",
        folder / "poses.npz",
        "--figure",
        tmp_path / "x.bmp",
        "--json",
        tmp_path / "x.json",
    )
    assert not (tmp_path / "x.json").exists()
    assert "holds no labels of its own" in fails(
        capsys, "train", "--data", folder / "poses.npz", "--out", tmp_path / "r"
    )
    assert "no file name" in fails(capsys, "evaluate", "--data", folder / "poses.npz", *weights[:2], "--json", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """Every write fails as on a full disk, by way of a folder of temporary files that all are /dev/full."""
    import nearfar.files

    original = nearfar.files.Path.with_name

    def full(self: Path, name: str) -> Path:
        path = original(self, name)
        if ".partial" in name and self.parent == tmp_path:
            path.symlink_to("/dev/full")
        return path

    monkeypatch.setattr(nearfar.files.Path, "with_name", full)
    message = fails(capsys, "data", "synthetic", tmp_path / "poses.npz", "--frames", "50", "--views", "1")
    assert "No space left on device" in message
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_training(folder: Path, tmp_path: Path) -> None:
    """A limit on file size stands in for the disk: config and log fit, checkpoint and weights do not."""
    train = f"train --data {folder / 'poses.npz'} --labels {folder / 'poses.labels.parquet'} --out {tmp_path / 'run'}"
    shell = f"ulimit -f 30; trap '' XFSZ; exec {sys.executable} -m nearfar.cli {train} --network.width 256 --epochs 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot write" in done.stderr
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_ctrl_c_is_130(monkeypatch, capsys) -> None:
    def interrupted(argv: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nearfar.cli.view.main", interrupted)
    assert main(["view", "x"]) == 130
    assert capsys.readouterr().err.strip() == "nearfar: interrupted"


def test_models_list_and_card(folder: Path, capsys) -> None:
    assert main(["models", "card", str(folder / "run" / "weights.safetensors")]) == 0
    assert json.loads(capsys.readouterr().out)["supervision"] == "600 relative depth labels"
    assert main(["models", "list"]) == 0
    assert "detector: " in capsys.readouterr().out
    assert torch.is_grad_enabled()


@pytest.mark.slow
def test_demo_writes_a_report(tmp_path: Path, capsys) -> None:
    assert main(["demo", "--out", str(tmp_path), "--frames", "1000", "--epochs", "1"]) == 0
    assert "labels alone" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) == {"labels alone", "full 3D supervision"}
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert PoseSet.load(tmp_path / "clip_labels_alone.npz").frame == "root"
