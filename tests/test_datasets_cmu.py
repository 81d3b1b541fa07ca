"""CMU's database in its folder layout, as ASF/AMC and as cgspeed's BVH files, with motion of the tests' own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from damaged import damage, reads_or_refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from motion_files import CGSPEED_NAMES, AcclaimMotion

from nearfar.cli import main
from nearfar.datasets import catalogue, cmu
from nearfar.datasets.asf_amc import load_amc
from nearfar.datasets.cmu import BVH_SOURCE, SOURCE, load_cmu, load_cmu_bvh, trial_fps
from nearfar.errors import InputError
from nearfar.poses import PoseSet

INDEX = """Carnegie-Mellon Graphics Lab Motion Capture Database
CMU says: “When browsing for motions, start with the higher numbered subjects first.”

Subject #1 (climb, swing, hang on playground equipment)

01_01\tplayground - forward jumps, turn around
01_02\tplayground - climb

Subject #3 (walk on uneven terrain)

03_01\twalk on uneven terrain
"""
TRIALS = ("01_01", "01_02", "03_01", "33_01", "07_10", "141_05")


def write_database(folder, frames=16, bvh=False):
    """Six motions of five subjects: 01 and 33 train, 07 validation, 03 test, 141 left out."""
    for i, trial in enumerate(TRIALS):
        subject = trial.partition("_")[0]
        motion = AcclaimMotion(int(subject), frames)
        motion.values["root"] = motion.values["root"] + 0.01 * i
        where = folder / ("cmuconvert-mb2-01-09" if bvh else "all_asfamc/subjects") / subject
        where.mkdir(parents=True, exist_ok=True)
        if bvh:
            motion.write_bvh(where / f"{trial}.bvh", names=CGSPEED_NAMES, t_pose=True, lose=("thorax",))
        else:
            motion.write_asf(where / f"{subject}.asf")
            motion.write_amc(where / f"{trial}.amc")
    (folder / "cmu-mocap-index-text.txt").write_text(INDEX, "utf-8")


@pytest.fixture(autouse=True)
def any_speed(monkeypatch):
    """The tests' people move as random angles have them."""
    monkeypatch.setattr(cmu, "MAX_SPEED", np.inf)


@pytest.fixture
def database(tmp_path):
    write_database(tmp_path / "cmu")
    return tmp_path / "cmu"


def test_a_folder_becomes_world_frame_poses(database):
    poses = load_cmu(database)
    assert (poses.skeleton.name, poses.frame) == ("h36m17", "world")
    # 16 frames at 120 a second are 4 at 30; at 60 a second (subject 33) they are 8.
    assert poses.sequence.values().tolist() == (
        ["cmu/01_01"] * 4 + ["cmu/01_02"] * 4 + ["cmu/03_01"] * 4 + ["cmu/07_10"] * 4 + ["cmu/33_01"] * 8
    )
    assert set(poses.subject.values()[:8]) == {"cmu/01"}
    assert poses.action.values()[[0, 4, 8, 12]].tolist() == [
        "playground - forward jumps, turn around",
        "playground - climb",
        "walk on uneven terrain",
        "unknown",
    ]
    np.testing.assert_allclose(poses.time[:4], [0, 1 / 30, 2 / 30, 3 / 30])
    np.testing.assert_allclose(poses.time[16:], np.arange(8) / 30)
    whole = load_amc(database / "all_asfamc" / "subjects" / "01" / "01_02.amc")
    np.testing.assert_array_equal(poses.joints[4:8], whole.joints[::4])
    assert poses.provenance["left_out"] == {}
    assert "NSF EIA-0196217" in poses.provenance["acknowledgement"]
    assert "may not be resold" in poses.provenance["licence"]


def test_rates_and_subjects(database):
    assert [trial_fps(name) for name in ("01_01", "60_03", "136_18", "136_19", "100_01")] == [120, 60, 120, 60, 120]
    poses = load_cmu(database, fps=120, subjects=["01", "141"])
    assert len(poses) == 3 * 16
    assert poses.sequence.names[-1] == "cmu/141_05"  # only where it is asked for
    with pytest.raises(InputError, match=r"no motions of subjects 02"):
        load_cmu(database, subjects=["02"])
    with pytest.raises(InputError, match="expected a frame rate of up to 120, got 0"):
        load_cmu(database, fps=0)
    (database / "cmu-mocap-index-text.txt").unlink()
    assert load_cmu(database, subjects=["01"]).action is None


def test_the_bvh_conversion_is_the_same_motion(database, tmp_path):
    write_database(tmp_path / "bvh", bvh=True)
    ours, theirs = load_cmu_bvh(tmp_path / "bvh"), load_cmu(database)
    assert ours.sequence.values().tolist() == theirs.sequence.values().tolist()
    assert ours.action.values().tolist() == theirs.action.values().tolist()
    assert ours.frame_index.tolist() == theirs.frame_index.tolist()
    np.testing.assert_allclose(ours.time, theirs.time)  # though the BVH files say 120 frames a second for all
    legs = [i for i, name in enumerate(ours.skeleton.joints) if name.endswith(("hip", "knee", "ankle"))]
    np.testing.assert_allclose(ours.joints[:, legs], theirs.joints[:, legs], atol=1e-2)


def test_glitches_are_left_out(database, monkeypatch):
    monkeypatch.setattr(cmu, "MAX_SPEED", 13_000.0)
    path = database / "all_asfamc" / "subjects" / "01" / "01_01.amc"
    motion = AcclaimMotion(1, 24)
    for values in motion.values.values():
        values[:] = values[:1]
    motion.values["root"][8:12, 0] += 10  # 564 mm in a thirtieth of a second
    motion.write_amc(path)
    poses = load_cmu(database, subjects=["01"])
    of_trial = poses.select(poses.sequence.values() == "cmu/01_01")
    assert of_trial.frame_index.tolist() == [0, 16, 20]
    assert poses.provenance["glitches"] == f"{6 + 4 - len(poses)} frames beside a joint faster than 13 m/s left out"


def test_what_cannot_be_read_is_named(database, capsys):
    path = database / "all_asfamc" / "subjects" / "01" / "01_02.amc"
    path.write_text(path.read_text()[:-300])
    poses = load_cmu(database)
    assert "cmu/01_02" not in poses.sequence.names
    assert list(poses.provenance["left_out"]) == ["01_02"]
    assert "cut off or damaged: frame 16 (of 16)" in poses.provenance["left_out"]["01_02"]
    assert f"left out: {path}" in capsys.readouterr().err
    with pytest.raises(InputError, match="no such folder"):
        load_cmu(database / "gone")
    with pytest.raises(InputError, match=r"no \.bvh files named like 01_01\.bvh, at any depth"):
        load_cmu_bvh(database)
    for broken in database.rglob("*.amc"):
        broken.write_text("nothing")
    with pytest.raises(InputError, match=r"no motion can be read; the first: .*01_01\.amc: not an AMC file"):
        load_cmu(database)


def test_problems(database, tmp_path):
    assert SOURCE.problems(database) == []
    subjects = database / "all_asfamc" / "subjects"
    (subjects / "03" / "03.asf").unlink()
    (subjects / "01" / "01_02.amc").write_text("Not found")
    text = (subjects / "07" / "07.asf").read_text()
    (subjects / "07" / "07.asf").write_text(text.replace("lfemur", "lthigh"))
    (subjects / "33" / "33.asf").write_text("404")
    problems = SOURCE.problems(database)
    assert len(problems) == 4
    for expected in (
        "01_02.amc: not an AMC file: expected :DEGREES, a frame number, and the root",
        "03_01.amc: expected its skeleton (.asf) beside it, found []",
        "07.asf: joint map 'cmu_asf' needs lfemur",
        "33.asf: not an ASF file, or cut off: no :root, :bonedata, :hierarchy",
    ):
        assert any(expected in problem for problem in problems), expected
    assert SOURCE.problems(tmp_path / "gone") == [f"{tmp_path / 'gone'}: no such folder"]
    (database / "again").mkdir()
    (subjects / "01" / "01_01.amc").rename(database / "again" / "01_01.amc")
    (subjects / "01" / "001_01.amc").write_text("x")
    assert (
        "motion 01_01 is there twice" in SOURCE.problems(database)[0]
        or "001_01 is there twice" in (SOURCE.problems(database)[0])
    )


def test_problems_of_bvh(tmp_path):
    write_database(tmp_path, bvh=True)
    assert BVH_SOURCE.problems(tmp_path) == []
    files = sorted(tmp_path.rglob("*.bvh"))
    files[0].write_text("404")
    files[1].write_text(files[1].read_text().replace("LeftUpLeg", "LeftHip"))
    problems = BVH_SOURCE.problems(tmp_path)
    assert len(problems) == 2
    assert "not a BVH file" in problems[0]
    assert "not of cgspeed's MotionBuilder-friendly release" in problems[1]


@pytest.mark.parametrize("source", [SOURCE, BVH_SOURCE])
def test_prepare_splits_by_subject(tmp_path, source):
    write_database(tmp_path, bvh=source is BVH_SOURCE)
    parts = {part.name: part.poses for part in source.prepare(tmp_path, None)}
    assert {name: sorted(set(poses.subject.names)) for name, poses in parts.items()} == {
        "train": ["cmu/01", "cmu/33"],
        "val": ["cmu/07"],
        "test": ["cmu/03"],
    }
    remapped = next(iter(source.prepare(tmp_path, "h36m16"))).poses
    assert remapped.skeleton.name == "h36m16"


def test_prepare_films(database, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "SOURCES", (SOURCE,))
    main(["data", "prepare", "cmu", str(database), "--out", str(tmp_path / "out"), "--cameras", "4"])
    assert "train.npz: 64 poses of skeleton h36m17" in capsys.readouterr().out
    poses = PoseSet.load(tmp_path / "out" / "test.npz")
    assert (poses.frame, len(poses)) == ("camera", 16)
    assert poses.sequence.names[0] == "cmu/03_01 take 0 camera 0"
    assert "NSF EIA-0196217" in poses.provenance["acknowledgement"]


def test_sources_say_all_that_the_command_line_shows():
    for source in (SOURCE, BVH_SOURCE):
        assert "resold" in source.licence
        assert "NSF EIA-0196217" in source.licence
        for download in source.downloads:
            assert all(url.startswith("http") for url in download.urls)
        paths = [download.path for download in source.downloads]
        assert len(set(paths)) == len(paths)
        for field in dataclasses.fields(source):
            assert getattr(source, field.name)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_folders(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cmu")
    write_database(folder, frames=4)
    files = sorted(folder.rglob("*.a??")) + [folder / "cmu-mocap-index-text.txt"]
    damage(data.draw(st.sampled_from(files)), data)
    reads_or_refuses(load_cmu, folder)
    SOURCE.problems(folder)
