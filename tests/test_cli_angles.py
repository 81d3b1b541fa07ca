"""``nearfar angles``: the files it writes, what it says, and how it fails."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_angles_gait import stick_walk

from nearfar import PoseSet, get_skeleton
from nearfar.angles import gait, pose_angles
from nearfar.cli import main
from nearfar.errors import InputError
from nearfar.poses import Category
from nearfar.viewing import angle_figure

H36M17 = get_skeleton("h36m17")


@pytest.fixture(scope="module")
def walkers(tmp_path_factory) -> Path:
    """Two people before a camera: one walks, with a gap, one stands and leaves."""
    x, y, z = np.moveaxis(stick_walk(seconds=4, fps=30), -1, 0)
    one = np.stack([x, -z, y], axis=-1)
    one[40:43] = np.nan
    two = np.repeat(one[:1], 50, axis=0)
    file = tmp_path_factory.mktemp("angles") / "poses.npz"
    index = np.concatenate([np.arange(120), np.arange(50)])
    PoseSet(H36M17, joints=np.concatenate([one, two]), time=index / 30, frame_index=index,
            person=np.repeat([0, 4], [120, 50]), sequence=Category(np.zeros(170, int), ("street.mp4",))).save(file)  # fmt: skip
    return file


def test_everything_it_writes(walkers: Path, tmp_path: Path, capsys) -> None:
    files = {name: tmp_path / f"out/a.{name}" for name in ("csv", "mot", "png", "json")}
    assert main(["angles", str(walkers), "--out", str(files["csv"]), "--mot", str(files["mot"]),
                 "--figure", str(files["png"]), "--gait", str(files["json"])]) == 0  # fmt: skip
    said = capsys.readouterr().out
    assert "has no left and right ankle dorsiflexion" in said
    assert re.search(r"street.mp4, person 0: 5 steps, 1(08|09|10) a minute; left stride 1\.1\d s", said)
    assert "person 4" not in said.partition("street.mp4, person 0")[2]
    with files["csv"].open() as handle:
        rows = list(csv.DictReader(handle))
    poses = PoseSet.load(walkers)
    angles = pose_angles(poses)
    assert len(rows) == 170
    assert list(rows[0])[:4] == ["sequence", "person", "frame", "time_s"]
    assert list(rows[0])[4:] == list(angles)
    for name, values in angles.items():
        read = np.array([float(row[name] or "nan") for row in rows])
        assert np.allclose(read, values, atol=1e-4, equal_nan=True)
    assert rows[41]["left_knee_flexion"] == ""
    assert (tmp_path / "out/a-person0.mot").exists()
    assert (tmp_path / "out/a-person4.mot").exists()
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert [walk["person"] for walk in json.loads(files["json"].read_text())["walks"]] == [0]


def test_options(walkers: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.csv"
    assert main(["angles", str(walkers), "--out", str(out), "--person", "4", "--smooth", "0.3"]) == 0
    assert len(out.read_text().splitlines()) == 51
    assert main(["angles", str(walkers), "--out", str(out), "--sequence", "street.mp4", "--skeleton", "h36m16"]) == 0
    assert len(out.read_text().splitlines()) == 171
    assert "steps" in capsys.readouterr().out


def test_bad_input_is_one_line_and_writes_nothing(walkers: Path, tmp_path: Path, capsys) -> None:
    PoseSet(H36M17, keypoints=np.zeros((2, 17, 2))).save(tmp_path / "flat.npz")
    PoseSet(H36M17, joints=np.zeros((0, 17, 3))).save(tmp_path / "none.npz")
    names = Category.of(["a"] * 4 + ["b"] * 4)
    PoseSet(H36M17, joints=stick_walk()[:8], time=np.arange(8.0) % 4, sequence=names).save(tmp_path / "clips.npz")
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04nonsense")
    out = tmp_path / "out"
    for arguments, message in (
        ([walkers, "--out", out / "a.xlsx"], "ends in .csv"),
        ([walkers, "--mot", out / "a.txt"], "ends in .mot"),
        ([walkers, "--figure", out / "a.gif", "--mot", out / "a.mot"], ".pdf, .png, .svg"),
        ([tmp_path / "clips.npz", "--mot", out / "a.mot"], "choose a sequence"),
        ([tmp_path / "clips.npz", "--figure", out / "a.png"], "choose a sequence"),
        ([walkers, "--person", "2"], "no person 2"),
        ([walkers, "--sequence", "x"], "no sequence 'x'"),
        ([walkers, "--smooth", "-1"], "window"),
        ([tmp_path / "flat.npz"], "lift them first"),
        ([tmp_path / "none.npz"], "no poses"),
        ([tmp_path / "damaged.npz"], "damaged.npz"),
        ([tmp_path / "missing.npz"], "missing.npz"),
    ):
        before = sorted(tmp_path.rglob("*"))
        first = [] if "--out" in arguments else ["--out", str(out / "a.csv")]
        assert main(["angles", *map(str, arguments), *first]) == 2
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 1
        assert message in errors[0]
        assert sorted(tmp_path.rglob("*")) == before


def test_poses_without_time_still_have_angles(tmp_path: Path) -> None:
    PoseSet(H36M17, joints=stick_walk()[:5], frame="world").save(tmp_path / "photos.npz")
    assert main(["angles", str(tmp_path / "photos.npz"), "--out", str(tmp_path / "a.csv")]) == 0
    assert (tmp_path / "a.csv").read_text().startswith("pelvis_tilt,")


def test_the_figure(walkers: Path) -> None:
    poses = PoseSet.load(walkers)
    angles = pose_angles(poses)
    figure = angle_figure(poses, angles, gait(poses, angles), title="A walk")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert (titles[0], titles[2]) == ("Person 0", "Person 4")
    assert titles[1].endswith("steps/min")
    assert len(figure.axes) == 5 * 3  # no panel for the ankle
    several = PoseSet(H36M17, joints=stick_walk()[:4], time=np.arange(4.0), sequence=Category.of(["a", "a", "b", "b"]))
    with pytest.raises(InputError, match="choose a sequence"):
        angle_figure(several, pose_angles(several))
    photo = poses.select(slice(0, 1))
    with pytest.raises(InputError, match="through time"):
        angle_figure(photo, pose_angles(photo))
