"""Files: whole or not at all, mapped not copied, never unpickled."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.files import check_file, open_npz, read_json, read_text, replacing, write_npz, write_text


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {"x": np.arange(12.0).reshape(3, 4), "n": np.array("text"), "empty": np.zeros((0, 5), np.int8)}
    write_npz(path, arrays)
    return path


def test_text_there_and_back(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "näher\n")
    assert read_text(path) == "näher\n"
    assert os.listdir(path.parent) == ["a.txt"]


def write_half(path, error):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_what_a_killed_process_left_is_removed(tmp_path):
    """Of this machine's processes that are gone; not of those that live, nor of other machines."""
    write = "import sys, time; from nearfar.files import replacing; from pathlib import Path\n"
    write += "with replacing(Path(sys.argv[1])) as t: t.write_text('half'); print(t.name, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", write, str(tmp_path / "clip.mp4")]
    dead, alive = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2))
    try:
        left, kept = dead.stdout.readline().strip(), alive.stdout.readline().strip()
        dead.kill()
        dead.communicate()
        elsewhere = left.replace(left.split(".")[2][:8], "0" * 8)
        (tmp_path / elsewhere).touch()
        assert left in os.listdir(tmp_path)
        write_text(tmp_path / "a.txt", "whole")
        assert sorted(os.listdir(tmp_path)) == sorted([kept, elsewhere, "a.txt"])
    finally:
        alive.kill()
        alive.communicate()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        write_half(tmp_path / "a.txt", error)
    assert os.listdir(tmp_path) == []


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path, KeyboardInterrupt)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/a\.txt: cannot write \("):
        write_text(tmp_path / "file" / "a.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder: cannot write \("):
        write_text(tmp_path / "folder", "x")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_line(tmp_path):
    def write_too_much():
        with replacing(tmp_path / "a.txt"), open("/dev/full", "w") as file:
            file.write("x")

    with pytest.raises(InputError, match=r"a\.txt: cannot write \(No space left on device"):
        write_too_much()
    assert os.listdir(tmp_path) == []


def test_stored_arrays_are_mapped_into_memory(npz):
    arrays = open_npz(npz)
    assert sorted(arrays) == ["empty", "n", "x"]
    assert isinstance(arrays["x"], np.memmap)
    assert arrays["x"].filename is not None
    assert not arrays["x"].flags.writeable
    np.testing.assert_array_equal(arrays["x"], np.arange(12.0).reshape(3, 4))
    assert str(arrays["n"]) == "text"
    assert arrays["empty"].shape == (0, 5)


def test_a_mapped_array_reads_the_file_and_not_a_copy(npz):
    arrays = open_npz(npz)
    raw = npz.read_bytes()
    at = raw.index(np.arange(12.0).tobytes())
    with npz.open("r+b") as file:
        file.seek(at)
        file.write(np.array([99.0]).tobytes())
    assert arrays["x"][0, 0] == 99


def test_numpy_reads_what_we_write_and_we_read_what_numpy_writes(npz, tmp_path):
    with np.load(npz, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["x"], np.arange(12.0).reshape(3, 4))
    arrays = {"f": np.asfortranarray(np.random.default_rng(0).normal(size=(3, 5))), "i": np.arange(4, dtype=">i2")}
    for name, save in (("stored", np.savez), ("compressed", np.savez_compressed)):
        save(tmp_path / f"{name}.npz", **arrays)
        back = open_npz(tmp_path / f"{name}.npz")
        assert isinstance(back["f"], np.memmap) == (name == "stored")
        for key, value in arrays.items():
            np.testing.assert_array_equal(back[key], value)
            assert back[key].dtype == value.dtype


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pickled_objects_are_refused(tmp_path, save):
    save(tmp_path / "a.npz", bad=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"^\S*a\.npz: array 'bad\.npy'.*(pickled objects|Object arrays)"):
        open_npz(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_npz(tmp_path / "b.npz", {"bad": np.array([None])})
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_archive(npz, share):
    raw = npz.read_bytes()
    npz.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(InputError, match=r"a\.npz: not a numpy \.npz archive, or a damaged one"):
        open_npz(npz)


def test_other_archives_and_no_files(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: no such file"):
        open_npz(tmp_path / "none.npz")
    with pytest.raises(InputError, match="not a file"):
        open_npz(tmp_path)
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("bad.npy", b"not numpy")
        archive.writestr("readme.txt", b"no array")
    with pytest.raises(InputError, match=r"zip\.npz: array 'bad\.npy': not a numpy array"):
        open_npz(tmp_path / "zip.npz")


def npy(header: bytes, body: bytes = b"") -> bytes:
    """An array file of version 1 with a header of one's own."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,)}", b"x" * 80), "claims shape"),
        (npy(b"{'descr': '<U0', 'fortran_order': False, 'shape': (10000000000,)}"), "claims shape"),
        (npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", b"x" * 80), "claims shape"),
        (npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (0, -1)}", b"x" * 80), "claims shape"),
        (npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n."), "pickled objects"),
        (npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1"), "header"),
        (npy(b"{'descr': '<f8', 'shape': " + b"(" * 3000), "header"),
        (npy(b"__import__('os').system('true')"), "header"),
        (npy(b"\xff\xfe"), "header"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "header"),
        (b"", "header"),
    ],
)
def test_headers_are_not_believed(tmp_path, packing, member, message):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as archive:
        archive.writestr("x.npy", member)
    with pytest.raises(InputError, match=message) as error:
        open_npz(tmp_path / "a.npz")
    assert str(error.value).startswith(f"{tmp_path / 'a.npz'}: array 'x.npy'")


def test_archives_that_unpack_to_too_much_are_refused_before_they_do(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(40_000_000))
    with pytest.raises(InputError, match=r"a\.npz: claims to unpack to 320000\d+ bytes"):
        open_npz(tmp_path / "a.npz")


def test_text_that_is_not(tmp_path):
    file = tmp_path / "a.json"
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        read_json(file)
    file.write_text(" \n")
    with pytest.raises(InputError, match=r"a\.json: the file is empty"):
        read_json(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"a\.json: not UTF-8 text"):
        read_text(file)
    file.write_text('{"a": [1, 2')
    with pytest.raises(InputError, match=r"a\.json: not JSON, or cut off \(.* at line 1, column 12\)"):
        read_json(file)
    file.write_text("[" * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        read_json(file)
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(file) == {"a": 1}


def test_json_with_a_number_of_thousands_of_digits(tmp_path):
    (tmp_path / "a.json").write_text("[" + "9" * 5000 + "]")
    with pytest.raises(InputError, match=r"a\.json: a number that cannot be read"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "no such file"),
        ("folder", "not a file"),
        ("file/below", "no such file"),
        ("loop", "cannot read"),
        ("x" * 300, "cannot read"),
        ("nul\0", "cannot read"),
    ],
)
def test_what_is_no_file(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=message):
        check_file(tmp_path / name)
