"""Lifting many inputs: shares, exactly one result an input, faults."""

from __future__ import annotations

import dataclasses
import errno
import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from nearfar import InputError, PoseSet, lift_media, load, synthetic_poses
from nearfar.batch import InputLifter, Recipe, Shard, find_inputs, lift_shard, read_outcomes
from nearfar.batch import recipe as recipe_module
from nearfar.batch.inputs import fetched
from nearfar.cli import main
from nearfar.poses import Category
from nearfar.tables import write_poses_json

FRAMES = 4


def write_inputs(folder: Path, count: int) -> dict[str, PoseSet]:
    """Keypoint files of a few frames each, in two folders; by name."""
    whole = dataclasses.replace(synthetic_poses(40 * FRAMES), joints=None, mean_limb_lengths=None)
    poses = {}
    for i in range(count):
        name = f"{'ab'[i % 2]}/{i:04}.json"
        poses[name] = whole.select(slice(FRAMES * (i % 40), FRAMES * (i % 40 + 1)))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_poses_json(poses[name], folder / name)
    return poses


def table(out: Path) -> pa.Table:
    """All parts as one table, inputs as plain text."""
    whole = pa.dataset.dataset(out / "poses").to_table()
    return whole.set_column(0, "input", whole["input"].cast(pa.string()))


def joints_of(out: Path, name: str) -> np.ndarray:
    """(N, J, 3) of one input, in the order of its poses."""
    rows = table(out).filter(pa.compute.field("input") == name)
    places = np.stack([rows[column].to_numpy() for column in ("x_mm", "y_mm", "z_mm")], axis=-1)
    poses = rows["pose"].to_numpy()
    assert (np.diff(poses) >= 0).all()
    return places.reshape(poses.max() + 1, -1, 3)


def assert_one_result_each(out: Path, names: set[str], poses: int = FRAMES) -> None:
    """Every input is told of once, and its poses are there once."""
    outcomes = list(read_outcomes(out))
    assert sorted(one.name for one in outcomes) == sorted(names)
    rows = table(out).group_by(["input", "pose"]).aggregate([("joint", "count")])
    assert set(rows["joint_count"].to_pylist()) == {17}
    counted = rows.group_by("input").aggregate([("pose", "count")]).to_pylist()
    assert {row["input"]: row["pose_count"] for row in counted} == {
        one.name: poses for one in outcomes if one.error is None
    }


def command(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    """A `nearfar lift` of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "nearfar.cli", "lift", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def wait_for_part(out: Path, running: subprocess.Popen[str]) -> None:
    while not list(out.glob("poses/[!.]*.parquet")):
        assert running.poll() is None, running.stderr and running.stderr.read()
        time.sleep(0.02)


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[Path, dict[str, PoseSet]]:
    """Thirty keypoint files, and two more that are cut off."""
    folder = tmp_path / "in"
    poses = write_inputs(folder, 30)
    for name in ("a/0000.json", "b/0001.json"):
        (folder / name).with_name("cut.json").write_bytes((folder / name).read_bytes()[:-40])
    return folder, poses


def test_shares_are_drawn_by_name() -> None:
    names = [f"folder/{i}.jpg" for i in range(3000)]
    shares = [{name for name in names if Shard(i, 3).holds(name)} for i in (1, 2, 3)]
    assert set.union(*shares) == set(names)
    assert sum(map(len, shares)) == 3000
    assert min(map(len, shares)) > 900
    assert str(Shard.of("2/3")) == "2/3"
    assert Shard(2, 4).holds("walk.mp4"), "results of earlier versions go on, so shares must stay"
    for wrong in ("0/3", "4/3", "1", "1/0", "-1/2", "a/b"):
        with pytest.raises(InputError, match="expected i/n with i from 1 to n"):
            Shard.of(wrong)


def test_inputs_of_folders_patterns_and_lists(tmp_path: Path) -> None:
    for name in ("one.JPG", "sub/two.mp4", "sub/three.json", "sub/.hidden.jpg", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "open").mkdir()
    for i in range(2):
        (tmp_path / "open" / f"clip_{i:012}_keypoints.json").touch()
    assert {name for name, _ in find_inputs(tmp_path)} == {"one.JPG", "sub/two.mp4", "sub/three.json", "open"}
    assert dict(find_inputs(f"{tmp_path}/sub/*.mp4")) == {"two.mp4": f"{tmp_path}/sub/two.mp4"}
    assert dict(find_inputs(f"file://{tmp_path}/sub")) == {
        "two.mp4": f"file://{tmp_path}/sub/two.mp4", "three.json": f"file://{tmp_path}/sub/three.json"
    }  # fmt: skip
    signed = "https://host/photo.jpg?signature=secret"
    (tmp_path / "list.txt").write_text(f"sub/two.mp4\n\n{tmp_path}/one.JPG\n{signed}\n")
    assert dict(find_inputs(tmp_path / "list.txt")) == {
        "sub/two.mp4": f"{tmp_path}/sub/two.mp4",
        f"{tmp_path}/one.JPG": f"{tmp_path}/one.JPG",
        "https://host/photo.jpg": signed,
    }
    pq.write_table(pa.table({"input": ["one.JPG"], "name": ["first"]}), tmp_path / "list.parquet")
    assert dict(find_inputs(tmp_path / "list.parquet")) == {"first": f"{tmp_path}/one.JPG"}
    pq.write_table(pa.table({"url": ["one.JPG"]}), tmp_path / "other.parquet")
    wrong = {
        tmp_path / "no": "no such folder",
        tmp_path / "one.JPG": "--shard is for many",
        f"{tmp_path}/*.png": "nothing to lift there",
        tmp_path / "other.parquet": "needs a column 'input'; it has",
        tmp_path / "no.txt": "no such file",
        "nosuch://bucket": "Protocol not known: nosuch",
    }
    for source, message in wrong.items():
        with pytest.raises(InputError, match=message):
            list(find_inputs(source))


def test_two_shares_make_the_whole(mixed: tuple[Path, dict[str, PoseSet]], tmp_path: Path, capsys) -> None:
    folder, poses = mixed
    out = tmp_path / "out"
    for shard in ("1/2", "2/2"):
        code = main(["lift", str(folder), "--shard", shard, "--out", str(out)])
        said = capsys.readouterr()
        errors = [line for line in said.err.replace("\r", "\n").splitlines() if "nearfar: error" in line]
        kept = [json.loads(line) for line in (out / f"errors-{shard.replace('/', '-of-')}.jsonl").open()]
        assert sorted(errors) == sorted(f"nearfar: error: {one['error']}" for one in kept)
        assert all("cut.json: not JSON, or cut off" in line for line in errors)
        assert f"{len(errors)} failed" in said.out
        assert code == bool(errors)
    assert_one_result_each(out, {*poses, "a/cut.json", "b/cut.json"})
    lifter = load("default-video")
    for name in ("a/0000.json", "b/0029.json"):
        np.testing.assert_allclose(joints_of(out, name), lifter.lift_poses(poses[name]).joints, atol=1e-3)

    shutil.copy(folder / "a" / "0000.json", folder / "a" / "cut.json")  # mended, and one more
    shutil.copy(folder / "a" / "0000.json", folder / "new.json")
    assert main(["lift", str(folder), "--shard", "1/1", "--out", str(out)]) == 1
    assert "33 inputs, 32 of them before, 124 poses, 2 failed" in capsys.readouterr().out
    assert main(["lift", str(folder), "--shard", "1/1", "--out", str(out), "--retry"]) == 1
    assert "33 inputs, 31 of them before, 128 poses, 1 failed" in capsys.readouterr().out
    assert main(["lift", str(folder), "--shard", "1/1", "--out", str(out), "--causal"]) == 2
    assert "holds results of other options (different: causal)" in capsys.readouterr().err


def test_a_killed_shard_goes_on(mixed: tuple[Path, dict[str, PoseSet]], tmp_path: Path) -> None:
    folder, poses = mixed
    out = tmp_path / "out"
    running = command(folder, "--shard", "1/1", "--out", out, "--part-seconds", "0.0001")
    wait_for_part(out, running)
    assert main(["lift", str(folder), "--shard", "1/1", "--out", str(out)]) == 2  # while the other is at it
    running.send_signal(signal.SIGKILL)
    running.communicate()
    before = len(list(read_outcomes(out)))
    assert 0 < before < 32
    summary = lift_shard(folder, out, progress=False)
    assert (summary.before, summary.inputs, summary.failed) == (before, 32, 2)
    assert_one_result_each(out, {*poses, "a/cut.json", "b/cut.json"})


def test_an_input_that_kills_its_process_is_given_up(mixed: tuple[Path, dict[str, PoseSet]], tmp_path: Path) -> None:
    """Whoever comes next tries it again, but not for ever; the others have their poses, and --retry tries once more."""
    folder, poses = mixed
    out, killer = tmp_path / "out", sorted(poses)[20]
    program = (
        "import os, signal, sys; from nearfar.batch import InputLifter; from nearfar.cli import main\n"
        "whole = InputLifter.lift\n"
        "def lift(self, name, place):\n"
        f"    if name == {killer!r}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return whole(self, name, place)\n"
        "InputLifter.lift = lift\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, "lift", str(folder), "--shard", "1/1", "--out", str(out)]
    ended = [subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(4)]
    assert [run.returncode for run in ended] == [-signal.SIGKILL] * 3 + [1]
    assert f"{killer}: 3 processes ended while they lifted it" in ended[-1].stderr
    assert_one_result_each(out, {*poses, "a/cut.json", "b/cut.json"})
    assert not list(out.glob(".*.at-work"))
    summary = lift_shard(folder, out, retry=True, progress=False)
    assert (summary.inputs, summary.failed, summary.before) == (32, 2, 29)


def test_one_process_a_share(mixed: tuple[Path, dict[str, PoseSet]], tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    code = "import sys\nfrom pathlib import Path\nfrom nearfar.batch.shards import Shard, _alone\n"
    code += f"with _alone(Path({str(out)!r}), Shard(1, 2)):\n print('in', flush=True)\n sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        for shard, message in {
            "1/2": "another process works on shard 1/2",
            "1/3": "another process works on shard 1/2, which overlaps 1/3",
        }.items():
            assert main(["lift", str(mixed[0]), "--shard", shard, "--out", str(out)]) == 2
            errors = capsys.readouterr().err.splitlines()
            assert errors == [f"nearfar: error: {out}: {message}"]
        lift_shard(mixed[0], out, Shard(2, 2), progress=False)
        other.communicate(b"")
    lift_shard(mixed[0], out, Shard(1, 2), progress=False)
    assert_one_result_each(out, {*mixed[1], "a/cut.json", "b/cut.json"})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk ({mounted.stderr.strip()})")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk(mixed: tuple[Path, dict[str, PoseSet]], small_disk: Path, tmp_path: Path, capsys) -> None:
    folder, poses = mixed
    many = write_inputs(folder, 40)
    out = small_disk / "out"
    arguments = [
        "lift",
        str(folder),
        "--shard",
        "1/1",
        "--out",
        str(out),
        "--part-seconds",
        "0.001",
    ]  # one input a part
    assert main(arguments) == 2
    errors = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "nearfar: error" in line]
    assert sum("No space left on device" in line for line in errors) == 1
    before = {one.name for one in read_outcomes(out)}
    assert not list(out.glob("poses/.*"))
    assert len(before) < 42
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert main(arguments) == 1
    assert_one_result_each(out, {*poses, *many, "a/cut.json", "b/cut.json"})


def test_large_inputs_are_lifted_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_module, "SLICE", 50)
    monkeypatch.setattr(recipe_module.slices, "__defaults__", (50,))
    whole = dataclasses.replace(synthetic_poses(40, views=8), joints=None, mean_limb_lengths=None)
    sequences = Category.of([f"clip{i // 40}" for i in range(320)])
    whole = dataclasses.replace(whole, sequence=sequences, keypoints=np.array(whole.keypoints))
    (tmp_path / "in").mkdir()
    whole.save(tmp_path / "in" / "large.npz")
    pieces = list(InputLifter(Recipe()).lift("large.npz", str(tmp_path / "in" / "large.npz")))
    assert [len(piece) for piece in pieces] == [40] * 8
    whole.keypoints[-1, 0] = np.inf  # found when everything before it is lifted, and written
    whole.save(tmp_path / "in" / "spoilt.npz")
    small = whole.select(slice(0, 30))
    small.save(tmp_path / "in" / "small.npz")
    summary = lift_shard(tmp_path / "in", tmp_path / "out", progress=False)
    assert (summary.poses, summary.failed) == (350, 1)
    parts = {path: pq.ParquetFile(path) for path in (tmp_path / "out" / "poses").iterdir()}
    assert sorted(part.num_row_groups for part in parts.values()) == [1, 8]
    assert "spoilt.npz: keypoints: infinite coordinates" in summary.errors.read_text()
    lifted = load("default-video").lift_poses(whole.select(slice(0, 280)))  # all clips but the spoilt one
    np.testing.assert_allclose(joints_of(tmp_path / "out", "large.npz")[:280], lifted.joints, atol=1e-2)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server over a folder."""
    (tmp_path / "web").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path / "web"
        server.shutdown()


def test_photos_from_the_web(web: tuple[str, Path], shared: Path, tmp_path: Path) -> None:
    address, folder = web
    photo = shared / "media" / "coco" / "000000000785.jpg"
    shutil.copy(photo, folder / "photo.jpg")
    urls = [f"{address}/photo.jpg?token=secret", f"{address}/gone.jpg?token=secret"]
    (tmp_path / "list.txt").write_text("\n".join(urls))
    out = tmp_path / "out"
    summary = lift_shard(tmp_path / "list.txt", out, progress=False)
    assert (summary.poses, summary.failed) == (1, 1)
    assert f"{address}/gone.jpg: cannot be fetched (FileNotFoundError" in summary.errors.read_text()
    assert not [path for path in out.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    np.testing.assert_allclose(joints_of(out, f"{address}/photo.jpg"), lift_media(photo).joints, atol=1e-3)


def test_a_full_disk_for_fetched_files_is_no_fault_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/clips/one.json", b"{}")
    with fetched("memory://clips/one.json") as path:
        assert path.read_bytes() == b"{}"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(memory), "get_file", full)
    with pytest.raises(OSError, match="No space left"):
        next(InputLifter(Recipe()).lift("one.json", "memory://clips/one.json"))


def ray_workers(driver: int) -> list[int]:
    """Descendants of a process that lift for it."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                names[int(entry.name)] = (entry / "cmdline").read_bytes()
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue

    def is_ours(process: int) -> bool:
        return process == driver or (process in parents and is_ours(parents[process]))

    return [one for one in names if names[one].startswith(b"ray::") and b"_Actor" in names[one] and is_ours(one)]


@pytest.mark.slow
def test_a_killed_worker_of_rays(mixed: tuple[Path, dict[str, PoseSet]], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    folder, _ = mixed
    poses = write_inputs(folder, 120)
    out = tmp_path / "out"
    running = command(folder, "--ray", "local", "--out", out)
    wait_for_part(out, running)
    workers = ray_workers(running.pid)
    assert workers
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    said, errors = running.communicate()
    assert running.returncode == 1, errors
    assert "122 inputs, 480 poses, 2 failed" in said
    lines = [line for line in errors.replace("\r", "\n").splitlines() if "nearfar: error" in line]
    assert len(lines) == 2, errors
    assert_one_result_each(out, {*poses, "a/cut.json", "b/cut.json"})
    summary = lift_shard(folder, out, progress=False)  # what one wrote, the other goes on with
    assert (summary.before, summary.inputs) == (122, 122)
