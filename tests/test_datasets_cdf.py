"""CDF files: written by cdflib (and by hand in version 2), read by nearfar, damaged in every way."""

from __future__ import annotations

import contextlib
import gzip
import struct

import cdflib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.datasets.cdf import read_cdf
from nearfar.errors import InputError


def pose(frames=3):
    return np.random.default_rng(0).normal(size=(1, frames, 96)).astype(np.float32) * 1000


def write_cdf(path, values, *, kind="zVariable", compress=0, majority="row_major", encoding=6, name="Pose"):
    """A file as cdflib writes it: one variable of so many records."""
    spec = {"Majority": majority, "Encoding": encoding, "rDim_sizes": list(values.shape[1:])}
    with cdflib.cdfwrite.CDF(path, cdf_spec=spec, delete=True) as file:
        for variable, array in (("Other", values[:, :1] * 0), (name, values)):
            vary = [True] * (values.ndim - 1)
            dims = {"Dim_Sizes": list(array.shape[1:])} if kind == "zVariable" else {"Dim_Vary": vary}
            if kind == "rVariable" and variable == "Other":
                continue
            info = {"Variable": variable, "Data_Type": 44 if array.dtype == np.float32 else 45, "Num_Elements": 1}
            info |= {"Rec_Vary": True, "Var_Type": kind, "Compress": compress, "Block_Factor": 2, **dims}
            file.write_var(info, var_data=array)
    return path


def old_cdf(values, big_endian=True, first_word=0xCDF26002):
    """A file of version 2.7 with one z-variable, its records in two blocks, by hand."""
    order, shape = (">" if big_endian else "<"), values.shape[1:]
    cdr = struct.pack(">7i", 304, 1, 312, 2, 7, 1 if big_endian else 6, 3) + bytes(276)
    gdr = struct.pack(">15i", 60, 2, 0, 372, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0)
    described = 128 + 4 + 8 * len(shape)
    vdr = struct.pack(
        ">8i3i4i", described, 8, 0, 44, len(values) - 1, 372 + described, 372 + described, 1, 0, 0, 0, 0, 1, 0, -1
    )
    vdr += struct.pack(">i", 0) + b"Pose".ljust(64, b"\0")
    vdr += struct.pack(f">{1 + 2 * len(shape)}i", len(shape), *shape, *[-1] * len(shape))
    half, blocks = len(values) // 2, []
    for part in (values[:half], values[half:]):
        block = part.astype(f"{order}f4").tobytes()
        blocks.append(struct.pack(">2i", 8 + len(block), 7) + block)
    at = 372 + described
    offsets = [at + 44, at + 44 + len(blocks[0])]
    vxr = struct.pack(">11i", 44, 6, 0, 2, 2, 0, half, half - 1, len(values) - 1, *offsets)
    return struct.pack(">2I", first_word, 0xFFFF) + cdr + gdr + vdr + vxr + b"".join(blocks)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("encoding", [1, 6])
@pytest.mark.parametrize("majority", ["row_major", "column_major"])
@pytest.mark.parametrize(("kind", "compress"), [("zVariable", 0), ("zVariable", 6), ("rVariable", 0)])
def test_what_cdflib_writes(tmp_path, dtype, encoding, majority, kind, compress):
    values = pose().astype(dtype)
    path = write_cdf(tmp_path / "a.cdf", values, kind=kind, compress=compress, majority=majority, encoding=encoding)
    read = read_cdf(path, "Pose")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, cdflib.CDF(path).varget("Pose"))
    if majority == "column_major":  # cdflib writes the numbers in the order that it is given them
        values = values.reshape(1, *values.shape[:0:-1]).transpose(0, 2, 1)
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("compress", [0, 6])
def test_many_records_in_many_blocks(tmp_path, compress):
    values = np.random.default_rng(1).normal(size=(37, 2, 5)).astype(np.float32)
    path = write_cdf(tmp_path / "a.cdf", values, compress=compress)
    np.testing.assert_array_equal(read_cdf(path, "Pose"), values)


def test_a_file_compressed_as_a_whole(tmp_path):
    plain = write_cdf(tmp_path / "plain.cdf", pose()).read_bytes()
    packed = gzip.compress(plain[8:])
    head = struct.pack(">qiqqi", 32 + len(packed), 10, 40 + len(packed), len(plain) - 8, 0)
    parameters = struct.pack(">qiiiii", 28, 11, 5, 0, 1, 6)
    path = tmp_path / "packed.cdf"
    path.write_bytes(struct.pack(">II", 0xCDF30001, 0xCCCC0001) + head + packed + parameters)
    np.testing.assert_array_equal(read_cdf(path, "Pose"), pose())
    np.testing.assert_array_equal(cdflib.CDF(path).varget("Pose"), pose())
    bomb = gzip.compress(bytes(1 << 24))
    head = struct.pack(">qiqqi", 32 + len(bomb), 10, 40 + len(bomb), 1000, 0)
    path.write_bytes(struct.pack(">II", 0xCDF30001, 0xCCCC0001) + head + bomb + parameters)
    with pytest.raises(InputError, match="it unpacks to 1008 bytes, and declares 1000"):
        read_cdf(path, "Pose")


@pytest.mark.parametrize("big_endian", [True, False])
def test_version_2(tmp_path, big_endian):
    values = np.random.default_rng(2).normal(size=(5, 4, 6)).astype(np.float32)
    path = tmp_path / "old.cdf"
    path.write_bytes(old_cdf(values, big_endian))
    np.testing.assert_array_equal(read_cdf(path, "Pose"), values)
    np.testing.assert_array_equal(cdflib.CDF(path).varget("Pose"), values)


def test_bad_files_say_what_is_wrong(tmp_path):
    path = write_cdf(tmp_path / "a.cdf", pose())
    with pytest.raises(InputError, match=r"a\.cdf: no variable 'Poses'; it has \['Other', 'Pose'\]"):
        read_cdf(path, "Poses")
    with pytest.raises(InputError, match="no such file"):
        read_cdf(tmp_path / "b.cdf", "Pose")
    path.write_bytes(b"CDF" * 10)
    with pytest.raises(InputError, match="not a CDF file, or a damaged one"):
        read_cdf(path, "Pose")
    path.write_bytes(old_cdf(pose(2)[0], first_word=0x0000FFFF))
    with pytest.raises(InputError, match=r"it does not begin as one of version 2\.6"):
        read_cdf(path, "Pose")


def test_declared_sizes_are_not_believed(tmp_path):
    values = np.zeros((5, 4, 6), np.float32)
    path, good = tmp_path / "a.cdf", bytearray(old_cdf(values))
    for at, number, message in [
        (372 + 16, 2**31 - 1, "declares 2147483648 records"),
        (372 + 16, 99_999, r"480 bytes of values, expected 9600000"),
        (372 + 128, 2**31 - 1, "a variable of 2147483647 dimensions"),
        (372 + 132, -4, "declares"),
        (312 + 40, 2**31 - 1, "variables"),
        (312 + 8 + 4, 10**9, "a record at byte 1000000000"),
        (372 + 20, 372, "a record of type 8"),
    ]:
        bad = bytearray(good)
        bad[at : at + 4] = struct.pack(">i", number)
        path.write_bytes(bad)
        with pytest.raises(InputError, match=message):
            read_cdf(path, "Pose")
    empty = bytearray(good)
    empty[372 + 16 : 372 + 20] = struct.pack(">i", -1)  # no records, of a shape that no array can have
    empty[372 + 132 : 372 + 140] = struct.pack(">2i", 2**31 - 1, 2**31 - 1)
    path.write_bytes(empty)
    with pytest.raises(InputError, match="declares 0 records"):
        read_cdf(path, "Pose")
    at = good.index(struct.pack(">2i", 8 + 2 * 4 * 6 * 4, 7))
    bad = bytearray(good)
    bad[at : at + 4] = struct.pack(">i", -at - 1)  # a block of less than no bytes
    path.write_bytes(bad)
    with pytest.raises(InputError, match="288 bytes of values, expected 480"):
        read_cdf(path, "Pose")
    at = good.index(struct.pack(">2i", 44, 6))
    bad = bytearray(good)
    bad[at + 36 : at + 40] = struct.pack(">i", at)  # the index names itself
    path.write_bytes(bad)
    with pytest.raises(InputError, match="its index records form a circle"):
        read_cdf(path, "Pose")


@given(st.data())
def test_damaged_files(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    form = data.draw(st.sampled_from(["z", "gzip", "old"]))
    path = folder / f"damaged_{form}.cdf"
    good = folder / f"whole_{form}.cdf"
    if not good.exists():
        if form == "old":
            good.write_bytes(old_cdf(np.ones((5, 4, 6), np.float32)))
        else:
            write_cdf(good, pose(1), compress=6 if form == "gzip" else 0)
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    with contextlib.suppress(InputError):
        assert read_cdf(path, "Pose").dtype in (np.float32, np.float64)
