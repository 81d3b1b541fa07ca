"""``nearfar data``: from a download over checks to files of ours, with a data set of the test's own; and labels, info."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from download_server import serving

from nearfar import PoseSet, RelativeLabels, get_skeleton, synthetic_poses
from nearfar.answer_noise import AnswerNoise
from nearfar.cli import main
from nearfar.cli.data import COMMANDS
from nearfar.datasets import catalogue, load_labels
from nearfar.datasets.source import Download, Prepared, Source
from nearfar.errors import InputError
from nearfar.labels import labels_from_joints, random_pairs

DOCS = Path(__file__).resolve().parents[1] / "docs"


def problems(folder: Path) -> list[str]:
    return [f"{folder / name}: missing" for name in ("train.npy", "test.npy") if not (folder / name).is_file()]


def prepare(folder: Path, skeleton: str | None) -> Iterator[Prepared]:
    for name in ("train", "test"):
        joints = np.load(folder / f"{name}.npy")
        if joints.shape[1:] != (17, 3):
            raise InputError(f"{folder / name}.npy: expected (N, 17, 3), got {joints.shape}")
        poses = PoseSet(get_skeleton("h36m17"), joints=joints)
        pairs = random_pairs(poses.skeleton, len(poses), 1, np.random.default_rng(0))
        labels = labels_from_joints(poses, pairs) if name == "train" else None
        yield Prepared(name, poses.remap(skeleton or "h36m17"), labels)


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A data set that can be downloaded, from a real server, and one that cannot."""
    for name, count in (("train", 5), ("test", 3)):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(count).normal(size=(count, 17, 3)) * 300)
    with zipfile.ZipFile(tmp_path / "toy.zip", "w") as archive:
        for name in ("train.npy", "test.npy"):
            archive.write(tmp_path / name, name)
    with serving() as server:
        body = (tmp_path / "toy.zip").read_bytes()
        url = server.put("toy.zip", body)
        download = Download("toy.zip", (f"{server.url}/gone", url), hashlib.sha256(body).hexdigest(), unpack=True)
        toy = Source(
            name="toy", title="The Toy Set", homepage="https://example.org", licence="Play nicely.",
            steps="", layout="train.npy\ntest.npy", problems=problems, prepare=prepare, downloads=(download,),
        )  # fmt: skip
        kept = dataclasses.replace(toy, name="kept", steps="1. Register.\n2. Unpack toy.zip.", downloads=())
        monkeypatch.setattr(catalogue, "SOURCES", (toy, kept))
        yield server


def fails(capsys, *arguments) -> str:
    capsys.readouterr()
    assert main(["data", *map(str, arguments)]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1, errors
    assert errors[0].startswith("nearfar: error: ")
    return errors[0]


def test_every_command_and_option_is_documented():
    page = (DOCS / "commands.md").read_text("utf-8")
    for name, command in COMMANDS.items():
        assert f"`nearfar data {name}" in page, name
        section = re.split(r"\n## ", page.split(f"\n## `nearfar data {name}")[1])[0]
        for field in dataclasses.fields(command):
            positional = "Positional" in str(field.type)
            wanted = f"`{field.name.upper()}`" if positional else f"`--{field.name.replace('_', '-')}"
            assert wanted in section, f"{name}: {wanted}"


def test_from_the_download_to_our_files(toys, tmp_path, capsys):
    folder, out = tmp_path / "raw", tmp_path / "out"
    assert main(["data", "get", "toy", "--out", str(folder), "--accept-licence"]) == 0
    said = capsys.readouterr().out
    assert "The Toy Set" in said
    assert "Play nicely." in said
    assert f"ready: nearfar data prepare toy {folder} --out DIR" in said
    assert main(["data", "check", "toy", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == ["train: 5 poses of skeleton h36m17, 5 labels", "test: 3 poses of skeleton h36m17", "OK"]
    assert main(["data", "prepare", "toy", str(folder), "--out", str(out)]) == 0
    assert sorted(os.listdir(out)) == ["test.npz", "train.labels.parquet", "train.npz"]
    poses = PoseSet.load(out / "train.npz")
    np.testing.assert_array_equal(poses.joints, np.load(tmp_path / "train.npy"))
    RelativeLabels.load(out / "train.labels.parquet").check_poses(poses)
    assert main(["data", "prepare", "toy", str(folder), "--out", str(out), "--skeleton", "h36m16"]) == 0
    assert PoseSet.load(out / "test.npz").skeleton.name == "h36m16"
    asked = len(toys.asked["toy.zip"])
    assert main(["data", "get", "toy", "--out", str(folder), "--accept-licence"]) == 0
    assert len(toys.asked["toy.zip"]) == asked == 1


def test_the_licence_must_be_accepted(toys, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115 - nobody is there
    assert "say --accept-licence" in fails(capsys, "get", "toy", "--out", tmp_path / "raw")
    for answer, accepted in (("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False)):
        ours, theirs = pty.openpty()
        with os.fdopen(theirs) as terminal, os.fdopen(ours, "w") as keys:
            keys.write(answer)
            keys.flush()
            monkeypatch.setattr(sys, "stdin", terminal)
            if accepted:
                assert main(["data", "get", "toy", "--out", str(tmp_path / "raw")]) == 0
            else:
                assert "not accepted: nothing is downloaded" in fails(capsys, "get", "toy", "--out", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_what_needs_registration_comes_with_its_steps(toys, tmp_path, capsys):
    assert main(["data", "get", "kept", "--out", str(tmp_path / "raw")]) == 0
    said = capsys.readouterr().out
    assert "1. Register.\n2. Unpack toy.zip." in said
    assert "train.npy\ntest.npy" in said
    assert f"nearfar data check kept {tmp_path / 'raw'}" in said
    assert not (tmp_path / "raw").exists()


def test_an_interrupted_download_says_nothing_more(toys, tmp_path):
    """Ctrl-C while a file comes: exit code 130, and the part stays."""
    toys.files["toy.zip"].stall = 100
    code = (
        "import signal, sys; from nearfar.cli import main; from nearfar.datasets import catalogue\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore Ctrl-C
        "from nearfar.datasets.source import *\n"
        f"d = Download('toy.zip', ({toys.url + '/toy.zip'!r},))\n"
        "catalogue.SOURCES = (Source('toy', 't', 'h', 'l', '', '', lambda f: [], lambda f, s: iter(()), (d,)),)\n"
        f"sys.exit(main(['data', 'get', 'toy', '--out', {str(tmp_path / 'raw')!r}, '--accept-licence']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        part = tmp_path / "raw" / "toy.zip.part"
        while not part.exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(2)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert said.strip().splitlines()[-1].endswith("nearfar: interrupted")
    assert part.stat().st_size == 100


def test_every_problem_is_named(toys, tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    for command in (
        ["check", "toy", tmp_path / "raw"],
        ["prepare", "toy", tmp_path / "raw", "--out", tmp_path / "out"],
    ):
        assert main(["data", *map(str, command)]) == 2
        said = capsys.readouterr()
        assert said.out.splitlines() == [f"{tmp_path / 'raw' / name}: missing" for name in ("train.npy", "test.npy")]
        assert said.err == f"nearfar: error: {tmp_path / 'raw'}: not ready as toy: 2 problems, listed above\n"
    assert not (tmp_path / "out").exists()
    for name in ("train.npy", "test.npy"):
        np.save(tmp_path / "raw" / name, np.zeros((2, 16, 3)))
    assert "expected (N, 17, 3)" in fails(capsys, "check", "toy", tmp_path / "raw")
    assert "no such folder" in fails(capsys, "check", "toy", tmp_path / "none")
    assert "no data set 'toi'; known: toy, kept" in fails(capsys, "check", "toi", tmp_path)
    assert "no skeleton 'h36m'" in fails(capsys, "prepare", "toy", tmp_path, "--out", tmp_path, "--skeleton", "h36m")


def test_list_and_info_of_a_data_set(toys, capsys):
    assert main(["data", "list"]) == 0
    assert "nearfar data get" in capsys.readouterr().out.splitlines()[0]
    assert main(["data", "info", "toy"]) == 0
    said = capsys.readouterr().out
    assert "Play nicely." in said
    assert f"{toys.url}/gone" in said
    assert "a contact sheet is drawn of a file of poses" in fails(capsys, "info", "toy", "--sheet", "a.png")


@pytest.fixture(scope="module")
def poses(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("poses") / "poses.npz"
    synthetic_poses(200, seed=0).save(path)
    return path


def labelled(poses: Path, out: Path, *arguments: str) -> RelativeLabels:
    assert main(["data", "labels", str(poses), "--out", str(out), *arguments]) == 0
    labels = RelativeLabels.load(out)
    labels.check_poses(PoseSet.load(poses))
    return labels


def share_right(labels: RelativeLabels, poses: Path) -> float:
    depth = PoseSet.load(poses).joints[..., 2]
    a, b = (depth[labels.pose, labels.pair[:, i]] for i in (0, 1))
    return float((labels.relation == np.where(a >= b, 1, -1)).mean())


def test_labels_with_every_option_of_the_paper(poses, tmp_path):
    out = tmp_path / "l.parquet"
    assert len(labelled(poses, out)) == 200
    exact = labelled(poses, out, "--pairs", "all", "--seed", "3")
    assert len(exact) == 200 * 136
    assert share_right(exact, poses) == 1
    assert 0.45 < (exact.pair[:, 0] < exact.pair[:, 1]).mean() < 0.55  # either joint may come first
    assert len(np.unique(np.c_[exact.pose, np.sort(exact.pair)], axis=0)) == len(exact)
    for noise, expected in (("flip:0.25", 0.75), ("flip:0", 1), ("flip:1", 0)):
        assert share_right(labelled(poses, out, "--pairs", "all", "--noise", noise), poses) == pytest.approx(
            expected, abs=0.02
        )
    depth = PoseSet.load(poses).joints[..., 2]
    crowd = labelled(poses, out, "--pairs", "all", "--noise", "crowd")
    difference = np.abs(depth[crowd.pose, crowd.pair[:, 0]] - depth[crowd.pose, crowd.pair[:, 1]])
    assert share_right(crowd.select(difference > 400), poses) == 1
    assert share_right(crowd.select(difference < 50), poses) == pytest.approx(0.53, abs=0.04)
    AnswerNoise("logit", 100.0, 0.2).save(tmp_path / "noise.json")
    fitted = labelled(poses, out, "--pairs", "all", "--noise", str(tmp_path / "noise.json"))
    expected = AnswerNoise("logit", 100.0, 0.2).right(
        depth[fitted.pose, fitted.pair[:, 0]] - depth[fitted.pose, fitted.pair[:, 1]]
    )
    assert share_right(fitted, poses) == pytest.approx(expected.mean(), abs=0.02)
    equal = labelled(poses, out, "--pairs", "all", "--tolerance", "100")
    difference = np.abs(depth[equal.pose, equal.pair[:, 0]] - depth[equal.pose, equal.pair[:, 1]])
    assert ((equal.relation == 0) == (difference < 100)).all()
    again, other = labelled(poses, out, "--pairs", "17"), labelled(poses, out, "--pairs", "17", "--seed", "1")
    assert (again.pair == labelled(poses, out, "--pairs", "17").pair).all()
    assert (again.pair != other.pair).any()


def test_poses_with_missing_joints_get_no_labels(poses, tmp_path, capsys):
    some = PoseSet.load(poses)
    joints = np.array(some.joints)
    joints[[0, 7], 3] = np.nan
    dataclasses.replace(some, joints=joints).save(tmp_path / "some.npz")
    labels = labelled(tmp_path / "some.npz", tmp_path / "l.parquet")
    assert labels.pose.tolist() == [i for i in range(200) if i not in (0, 7)]
    assert "198 poses; 2 poses with missing joints have none" in capsys.readouterr().out


def test_labels_that_cannot_be_made(poses, tmp_path, capsys):
    start = ("labels", poses, "--out", tmp_path / "l.parquet")
    assert "1..136 for skeleton h36m17" in fails(capsys, *start, "--pairs", "137")
    assert "got '-1'" in fails(capsys, *start, "--pairs=-1")
    for noise in ("flip:1.5", "flip", "flip:nan", "some"):
        assert "expected none, crowd, flip:P" in fails(capsys, *start, "--noise", noise)
    assert "none.json: no such file" in fails(capsys, *start, "--noise", "none.json")
    assert "exclude each other" in fails(capsys, *start, "--noise", "flip:0.1", "--tolerance", "5")
    assert "0 mm or more" in fails(capsys, *start, "--tolerance=-5")
    assert "ending in .parquet" in fails(capsys, "labels", poses, "--out", tmp_path / "l.npz")
    flat = dataclasses.replace(PoseSet.load(poses), joints=None)
    flat.save(tmp_path / "flat.npz")
    assert "no 3D joints" in fails(capsys, "labels", tmp_path / "flat.npz", "--out", tmp_path / "l.parquet")
    assert not (tmp_path / "l.parquet").exists()


def test_info_of_poses_and_labels(poses, tmp_path, capsys):
    some = PoseSet.load(poses)
    keypoints = np.array(some.keypoints)
    keypoints[:20, 3] = np.nan
    dataclasses.replace(some, keypoints=keypoints).save(tmp_path / "some.npz")
    assert main(["data", "info", str(tmp_path / "some.npz"), "--sheet", str(tmp_path / "a.png"), "--count", "3"]) == 0
    said = capsys.readouterr().out
    assert "200 poses of skeleton h36m17 (17 joints)" in said
    assert "  missing: right_ankle 10.0 %" in said
    assert re.search(r"image sizes: 1 \(\d+x\d+ 200\)", said)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    labelled(poses, tmp_path / "l.parquet", "--tolerance", "50")
    capsys.readouterr()
    assert main(["data", "info", str(tmp_path / "l.parquet")]) == 0
    said = capsys.readouterr().out
    assert "200 labels (answers) of skeleton h36m17" in said
    assert re.search(r"equal: \d+ \(\d+\.\d %\)", said)
    assert main(["data", "convert", str(tmp_path / "l.parquet"), str(tmp_path / "l.csv"), "--labels"]) == 0
    capsys.readouterr()
    convert = ("convert", tmp_path / "l.parquet", "--labels")
    assert main(["data", *map(str, convert), str(tmp_path / "r.json"), "--to", "human19"]) == 0
    assert load_labels(tmp_path / "r.json").skeleton.name == "human19"
    assert "are for poses, not for labels" in fails(capsys, *convert, tmp_path / "r.json", "--image-size", "9x9")
    assert "ending in .parquet, .csv, .json" in fails(capsys, *convert, tmp_path / "r.npz")
    capsys.readouterr()
    assert main(["data", "info", str(tmp_path / "l.csv"), "--labels", "--skeleton", "h36m17"]) == 0
    assert "200 labels (answers) of skeleton h36m17" in capsys.readouterr().out
    assert "figures are written as" in fails(capsys, "info", poses, "--sheet", "a.bmp")
    assert "say --sheet too" in fails(capsys, "info", poses, "--images", tmp_path)
    assert "no such file" in fails(capsys, "info", tmp_path / "none")
    np.savez(tmp_path / "empty.npz", header=json.dumps({}))
    assert "damaged pose set header" in fails(capsys, "info", tmp_path / "empty.npz")


def test_info_of_an_empty_set(poses, tmp_path, capsys):
    PoseSet.load(poses).select(slice(0, 0)).save(tmp_path / "none.npz")
    assert main(["data", "info", str(tmp_path / "none.npz")]) == 0
    assert "0 poses" in capsys.readouterr().out
