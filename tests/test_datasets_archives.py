"""Archives that mean harm, and those that do not."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.datasets.archives import is_archive, unpack
from nearfar.errors import InputError

FILES = {"set/a.txt": b"a" * 5000, "set/deep/b.bin": np.random.default_rng(0).bytes(3000), "c.txt": b""}


def make_zip(path: Path, files: dict[str, bytes] = FILES, **attributes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/", b"")
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.writestr(info, content)
    return path


def make_tar(path: Path, files: dict[str, bytes] = FILES, mode: str = "w", **attributes: object) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.addfile(info, io.BytesIO(content))
    return path


def found(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_archives_come_out_as_they_went_in(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    make_zip(path) if kind == "zip" else make_tar(path, mode="w:" + kind.partition(".")[2])
    (tmp_path / "out" / "set").mkdir(parents=True)
    (tmp_path / "out" / "set" / "mine.txt").write_text("mine")
    (tmp_path / "out" / "c.txt").write_text("replaced")
    assert is_archive(path)
    assert unpack(path, tmp_path / "out") == ("c.txt", "set")
    assert found(tmp_path / "out") == {**FILES, "set/mine.txt": b"mine"}


def test_a_tar_of_the_current_folder(tmp_path):
    """As ``tar -cz .`` writes it, with "./" in front of every name."""
    (tmp_path / "in" / "x").mkdir(parents=True)
    (tmp_path / "in" / "x" / "y.txt").write_text("y")
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.add(tmp_path / "in", ".")
    assert unpack(tmp_path / "a.tgz", tmp_path / "out") == ("x",)


OUTSIDE = [
    "../out.txt",
    "/tmp/nearfar-out.txt",
    "a/../../out.txt",
    "..",
    "C:\\out.txt",
    "C:/out.txt",
    "a\\..\\..\\out.txt",
]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_is_written_outside(tmp_path, make, name):
    path = make(tmp_path / "a", {"good.txt": b"", name: b"bad"})
    with pytest.raises(InputError, match="refused"):
        unpack(path, tmp_path / "out")
    assert found(tmp_path) == {"a": path.read_bytes()}
    assert not Path("/tmp/nearfar-out.txt").exists()


def test_links_and_devices_are_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"link": b"/etc/passwd"}, external_attr=(stat.S_IFLNK | 0o777) << 16)
    with pytest.raises(InputError, match="member 'link' is a link or a device"):
        unpack(path, tmp_path / "out")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        path = make_tar(tmp_path / "a.tar", {"x": b""}, type=kind, linkname="/etc/passwd")
        with pytest.raises(InputError, match="member 'x' is a link, a device"):
            unpack(path, tmp_path / "out")
    assert found(tmp_path / "out") == {}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_name_that_stands_twice_is_refused(tmp_path, make):
    path = make(tmp_path / "a", {"x": b"1", "./x": b"2"})
    with pytest.raises(InputError, match="File exists"):
        unpack(path, tmp_path / "out")


def test_bombs_are_refused(tmp_path):
    zeros = {"zeros": bytes(100 << 20)}
    for path in (make_zip(tmp_path / "a.zip", zeros), make_tar(tmp_path / "a.tgz", zeros, mode="w:gz")):
        with pytest.raises(InputError, match="zip bomb"):
            unpack(path, tmp_path / "out")
    assert found(tmp_path / "out") == {}


def test_overlapping_members_are_a_bomb(tmp_path):
    """Many entries of the directory that share one member's bytes (Fifield, WOOT 2019)."""
    raw = make_zip(tmp_path / "a.zip", {"x": np.random.default_rng(0).bytes(5000)}).read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        start = archive.start_dir
    end = raw.index(b"PK\x05\x06")
    entry = raw[raw.index(b"PK\x01\x02", start + 1) : end]
    directory = entry * 50
    tail = bytearray(raw[end:])
    tail[8:12] = (50).to_bytes(2, "little") * 2
    tail[12:16] = len(directory).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(raw[:start] + directory + tail)
    with pytest.raises(InputError, match="overlap"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_member_that_declares_less_than_it_holds(tmp_path):
    raw = make_zip(tmp_path / "a.zip", {"x": b"y" * 4321}).read_bytes()
    (tmp_path / "a.zip").write_bytes(raw.replace((4321).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert found(tmp_path / "out") == {}


def test_a_header_that_declares_gigabytes_is_not_read_into_memory(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 6 << 30
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with pytest.raises(InputError, match="a header declares"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_a_disk_too_small_for_what_is_declared(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        for path in (make_zip(tmp_path / "a.zip"), make_tar(tmp_path / "a.tgz", mode="w:gz")):
            with pytest.raises(InputError, match=r"unpacking: needs 0\.0 MB on the disk"):
                unpack(path, disk)
        assert os.listdir(disk) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_disk_that_fills_while_unpacking_keeps_nothing(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"a": b"", "big": np.random.default_rng(0).bytes(200_000)})
    code = (
        "import sys; from pathlib import Path; from nearfar.datasets.archives import unpack\n"
        f"try: unpack(Path({str(path)!r}), Path({str(tmp_path / 'out')!r}))\nexcept ValueError as error: sys.exit(str(error))"
    )
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 50; exec "$0" -c "$1"', sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot unpack (File too large)" in done.stderr.splitlines()[-1]
    assert os.listdir(tmp_path / "out") == []


@settings(max_examples=120)
@given(data=st.data(), kind=st.sampled_from(["zip", "tar", "gz", "xz"]))
def test_damaged_archives(data, kind):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        make_zip(path) if kind == "zip" else make_tar(path, mode="w:" + kind.replace("tar", ""))
        raw = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
        is_archive(path)
        try:
            tops = unpack(path, Path(folder) / "out")
        except InputError:
            tops = ()
        assert set(os.listdir(Path(folder) / "out")) == set(tops)
        assert set(os.listdir(folder)) <= {"a", "out"}
