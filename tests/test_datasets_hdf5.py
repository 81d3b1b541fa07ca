"""Arrays from HDF5 files: plain, packed, missing, elsewhere, damaged."""

from __future__ import annotations

import contextlib

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.datasets.hdf5 import read_hdf5
from nearfar.errors import InputError

VALUES = np.random.default_rng(0).normal(size=(96, 7))


def write(path, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("values", data=VALUES, **options)
        file.create_dataset("group/codes", data=np.array([[53], [52]], np.uint16))
        file.create_dataset("text", data="abc")
    return path


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"chunks": (96, 2)}, {"dtype": "f4"}])
def test_reads_plain_and_packed_arrays(tmp_path, options):
    read = read_hdf5(write(tmp_path / "a.h5", **options), ["values", "group/codes"])
    np.testing.assert_array_equal(read["values"], VALUES.astype(options.get("dtype", "f8")))
    assert read["group/codes"].tolist() == [[53], [52]]


def test_packs_as_well_as_deflate_can(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("values", data=np.zeros((1000, 1000)), compression="gzip", chunks=(1000, 1000))
    assert not read_hdf5(tmp_path / "a.h5", ["values"])["values"].any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", r"missing arrays \['other'\]; it has \['away', 'group', 'huge', 'linked', 'outside', 'text'"),
        ("values/x", r"missing arrays \['values/x'\]"),
        ("group", "group: expected an array of numbers"),
        ("text", "text: expected an array of numbers"),
        ("linked", "missing arrays"),
        ("away", "missing arrays"),
        ("outside", "kept in other files"),
        ("virtual", "kept in other files"),
        ("huge", r"claims shape \(1099511627776,\), too much for the 0 bytes stored"),
    ],
)
def test_says_what_it_does_not_read(tmp_path, name, message):
    path = write(tmp_path / "a.h5")
    (tmp_path / "secret").write_bytes(bytes(800))
    with h5py.File(path, "a") as file:
        file["linked"] = h5py.SoftLink("/values")
        file["away"] = h5py.ExternalLink(str(path), "/values")
        file.create_dataset("outside", shape=(100,), dtype="f8", external=[(str(tmp_path / "secret"), 0, 800)])
        file.create_dataset("huge", shape=(1 << 40,), dtype="f8", chunks=(1 << 10,))
        layout = h5py.VirtualLayout((96, 7), "f8")
        layout[:] = h5py.VirtualSource(path, "values", (96, 7))
        file.create_virtual_dataset("virtual", layout)
    with pytest.raises(InputError, match=message):
        read_hdf5(path, [name])


def test_says_what_is_no_hdf5_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_hdf5(tmp_path / "a.h5", ["values"])
    (tmp_path / "a.h5").write_bytes(b"hello")
    with pytest.raises(InputError, match="not an HDF5 file, or a damaged one"):
        read_hdf5(tmp_path / "a.h5", ["values"])


@given(st.data())
def test_damaged_files(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    good = folder / "whole.h5"
    if not good.exists():
        write(good)
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "bad.h5").write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    with contextlib.suppress(InputError):
        assert read_hdf5(folder / "bad.h5", ["values"])["values"].dtype.kind in "biuf"
