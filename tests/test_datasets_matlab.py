"""MAT-files of version 5 as scipy writes them, and damaged ones."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from damaged import damage, reads_or_refuses
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.datasets.matlab import cells, field, load_mat
from nearfar.errors import InputError

io = pytest.importorskip("scipy.io")

NAMES = {"numbers", "narrow", "flags", "cell", "people", "text", "nothing"}


def variables():
    rng = np.random.default_rng(0)
    cell = np.empty((3, 1), object)
    for i in range(3):
        cell[i, 0] = rng.normal(size=(4 + i, 6)).astype(np.float32)
    people = np.zeros((1, 2), dtype=[("name", object), ("points", object)])
    people[0, 0] = ("im0001.jpg", {"x": 3.5, "id": np.uint8(2)})
    people[0, 1] = ("im0002.jpg", np.zeros((0, 0)))
    return {
        "numbers": rng.normal(size=(2, 3, 4)),
        "narrow": np.arange(7, dtype=np.int16)[None],
        "flags": np.array([[True, False]]),
        "cell": cell,
        "people": people,
        "text": "Größe",
        "nothing": np.zeros((0, 0)),
        "unwanted": np.ones((50, 50)),
    }


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "compressed"])
def mat(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    io.savemat(path, variables(), do_compression=request.param)
    return path


def test_all_kinds_of_variables(mat):
    read, wrote = load_mat(mat, NAMES), variables()
    assert read.keys() == NAMES
    np.testing.assert_array_equal(read["numbers"], wrote["numbers"])
    assert read["numbers"].shape == (2, 3, 4)
    assert read["narrow"].dtype == np.int16
    assert read["flags"].tolist() == [[1, 0]]
    assert read["text"] == "Größe"
    assert read["nothing"].shape == (0, 0)
    assert read["cell"].shape == (3, 1)
    for one, other in zip(cells(read["cell"], "cell"), wrote["cell"].ravel(), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)
    first, second = cells(read["people"], "people")
    assert field(first, "name", "person") == "im0001.jpg"
    assert cells(first["points"], "points")[0]["x"].tolist() == [[3.5]]
    assert second["points"].size == 0
    with pytest.raises(InputError, match=r"person: no field 'y'; its fields are \['name', 'points'\]"):
        field(first, "y", "person")
    with pytest.raises(InputError, match="numbers: expected cells or structs"):
        cells(read["numbers"], "numbers")
    assert load_mat(mat, {"absent"}) == {}


def test_the_same_as_scipy_reads(mat):
    theirs = io.loadmat(mat)
    for name, value in load_mat(mat, {"numbers", "narrow", "flags", "nothing"}).items():
        np.testing.assert_array_equal(value, theirs[name])


def test_other_files_are_told_apart(tmp_path):
    path = tmp_path / "a.mat"
    with pytest.raises(InputError, match=r"a\.mat: no such file"):
        load_mat(path, NAMES)
    path.write_bytes(b"joints" * 100)
    with pytest.raises(InputError, match="not a Matlab file of version 5"):
        load_mat(path, NAMES)
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + bytes(384) + b"\x89HDF")
    with pytest.raises(InputError, match=r"a Matlab 7\.3 file \(HDF5\), expected one of version 5"):
        load_mat(path, NAMES)


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def array(kind, shape, content):
    header = struct.pack("<IIII", 6, 8, kind, 0) + element(5, struct.pack(f"<{len(shape)}i", *shape)) + element(1, b"a")
    return element(14, header + content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array(1, (1, 1 << 30), b""), r"array 'a' of shape \(1, 1073741824\) has only 0 bytes"),
        (array(2, (1 << 15, 1 << 15), element(5, struct.pack("<i", 4)) + element(1, b"")), "has only 0 bytes"),
        (array(6, (1 << 15, 1 << 15), element(9, bytes(8))), "has 1 numbers"),
        (array(6, (-1, 1), element(9, bytes(8))), "damaged array header"),
        (array(17, (1, 1), b""), "Matlab class 17"),
        (struct.pack("<II", 14, 1 << 31), "an element claims 2147483648 bytes"),
        (struct.pack("<II", 15, 8) + zlib.compress(b"")[:8], "damaged Matlab file"),
    ],
)
def test_declared_sizes_are_checked(tmp_path, content, message):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + content)
    with pytest.raises(InputError, match=message):
        load_mat(path, {"a"})


def test_nesting_has_an_end(tmp_path):
    inner = array(6, (1, 1), element(9, bytes(8)))
    for _ in range(100):
        inner = array(1, (1, 1), inner)
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + inner)
    with pytest.raises(InputError, match="nested more than 32 deep"):
        load_mat(path, {"a"})


@settings(max_examples=150)
@given(data=st.data(), compressed=st.booleans())
def test_damaged_files_are_input_errors(data, compressed, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "a.mat"
    io.savemat(path, variables(), do_compression=compressed)
    damage(path, data)
    reads_or_refuses(load_mat, path, NAMES)
