"""Human3.6M's camera files: read back as written, and refused where they are damaged, implausible or hostile."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest
from h36m_samples import other_cameras, w0_of, write_cameras_h5, write_xml
from hypothesis import given
from hypothesis import strategies as st

from nearfar.datasets.h36m.cameras import (
    cameras_from_h5,
    cameras_from_xml,
    find_cameras,
    published_cameras,
)
from nearfar.errors import InputError


def same_cameras(first, second):
    assert first.keys() == second.keys()
    for key, camera in first.items():
        for field in dataclasses.fields(camera)[1:]:
            np.testing.assert_allclose(getattr(camera, field.name), getattr(second[key], field.name), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_both_files_say_the_same(tmp_path, seed):
    cameras = other_cameras(seed)
    write_xml(tmp_path / "metadata.xml", cameras)
    write_cameras_h5(tmp_path / "cameras.h5", cameras)
    same_cameras(cameras_from_xml(tmp_path / "metadata.xml").by_view, cameras)
    same_cameras(cameras_from_h5(tmp_path / "cameras.h5").by_view, cameras)


def test_the_folders_own_cameras_come_first(tmp_path):
    assert find_cameras(tmp_path) is published_cameras()
    write_cameras_h5(tmp_path / "cameras.h5", other_cameras())
    assert find_cameras(tmp_path).source == "cameras.h5"
    write_xml(tmp_path / "metadata.xml", other_cameras())
    assert find_cameras(tmp_path).source == "metadata.xml"


def xml(w0, head=""):
    return f"{head}<metadata><w0>{w0}</w0></metadata>"


def numbers(**changes):
    values = w0_of(published_cameras().by_view)
    for place, value in changes.items():
        values[int(place[1:])] = value
    return " ".join(map(repr, values.tolist()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"metadata\.xml: not XML, or a damaged file \(no element found"),
        ("<metadata></metadata>", "no element w0"),
        (xml("[1 2 3]"), "w0: expected 300 numbers, got 3"),
        (xml("[" + "a " * 300 + "]"), "w0: expected numbers"),
        (xml(numbers())[:-20], "not XML, or a damaged file"),
        (xml(numbers(_0="nan")), "w0: expected numbers|expected finite numbers"),
        (xml(numbers(_264=1.1)), r"subject 1, camera 54138969: expected pixels and mm, got f, c \[1\.1, "),
        (xml(numbers(_3=1, _4=2, _5=3)), r"position \[1\.0, 2\.0, 3\.0\]"),
        (xml("1 " * 40_000), "w0: expected 300 numbers, got more than 65536 characters"),
        (xml("&big;", '<!DOCTYPE m [<!ENTITY a "lol"><!ENTITY big "&a;&a;">]>'), r"it declares an entity \('a'\)"),
        (xml("1", '<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), r"it declares an entity \('x'\)"),
        (xml("1", '<?xml version="1.0" encoding="klingon"?>'), "not XML"),
    ],
)
def test_bad_xml(tmp_path, text, message):
    path = tmp_path / "metadata.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        cameras_from_xml(path)
    assert "\n" not in str(error.value)


def test_the_first_w0_counts(tmp_path):
    path = tmp_path / "metadata.xml"
    path.write_text(f"<m><x>7</x><w0>\n[{numbers()}]\n</w0><w0>[1 2]</w0></m>")
    same_cameras(cameras_from_xml(path).by_view, published_cameras().by_view)


def test_bad_h5(tmp_path):
    path = tmp_path / "cameras.h5"
    for key, value, message in [
        ("R", np.ones((3, 3)), "subject5/camera2, camera 55011271: R is no rotation"),
        ("R", np.diag([1, 1, -1.0]), "R is no rotation"),
        ("T", np.full((3, 1), np.inf), "expected finite numbers"),
        ("k", np.zeros((4, 1)), r"subject5/camera2/k: expected 3 numbers, got shape \(4, 1\)"),
        ("Name", np.array([[ord(c)] for c in "54138969"]), "Name: expected 55011271, got '54138969'"),
        ("p", None, r"missing arrays \['subject5/camera2/p'\]"),
        ("f", "text", "subject5/camera2/f: expected an array of numbers"),
    ]:
        write_cameras_h5(path, published_cameras().by_view)
        with h5py.File(path, "a") as file:
            del file["subject5/camera2"][key]
            if value is not None:
                file["subject5/camera2"][key] = value
        with pytest.raises(InputError, match=message):
            cameras_from_h5(path)


@given(st.data())
def test_damaged_xml(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.xml"
    content = bytearray(xml(f"[{numbers()}]").encode())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        cameras = cameras_from_xml(path).by_view
    except InputError:
        return
    assert len(cameras) == 28
