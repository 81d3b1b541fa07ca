"""Human3.6M's camera files: read back as written, and refused where they are damaged, implausible or hostile."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest
from h36m_samples import code_of, other_cameras, w0_of, write_cameras_h5, write_code, write_xml
from hypothesis import given
from hypothesis import strategies as st

from nearfar.datasets.h36m.cameras import (
    cameras_from_code,
    cameras_from_h5,
    cameras_from_xml,
    find_cameras,
)
from nearfar.errors import InputError


def same_cameras(first, second):
    assert first.keys() == second.keys()
    for key, camera in first.items():
        for field in dataclasses.fields(camera)[1:]:
            np.testing.assert_allclose(getattr(camera, field.name), getattr(second[key], field.name), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_three_files_say_the_same(tmp_path, seed):
    cameras = other_cameras(seed)
    write_xml(tmp_path / "metadata.xml", cameras)
    write_cameras_h5(tmp_path / "cameras.h5", cameras)
    same_cameras(cameras_from_xml(tmp_path / "metadata.xml").by_view, cameras)
    same_cameras(cameras_from_h5(tmp_path / "cameras.h5").by_view, cameras)
    write_code(tmp_path / "h36m_dataset.py", cameras)
    same_cameras(cameras_from_code(tmp_path / "h36m_dataset.py").by_view, cameras)


def test_which_file_comes_first(tmp_path):
    with pytest.raises(InputError, match=r"no cameras: expected metadata\.xml"):
        find_cameras(tmp_path)
    write_code(tmp_path / "h36m_dataset.py", other_cameras())
    assert find_cameras(tmp_path).source == "h36m_dataset.py"
    write_cameras_h5(tmp_path / "cameras.h5", other_cameras())
    assert find_cameras(tmp_path).source == "cameras.h5"
    write_xml(tmp_path / "metadata.xml", other_cameras())
    assert find_cameras(tmp_path).source == "metadata.xml"


def xml(w0, head=""):
    return f"{head}<metadata><w0>{w0}</w0></metadata>"


def numbers(**changes):
    values = w0_of(other_cameras())
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
    same_cameras(cameras_from_xml(path).by_view, other_cameras())


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
        write_cameras_h5(path, other_cameras())
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


CODE = code_of(other_cameras())
LENSES, PLACES = "h36m_cameras_intrinsic_params", "h36m_cameras_extrinsic_params"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", f"no {LENSES} and no {PLACES}: expected VideoPose3D's common/h36m_dataset.py"),
        (CODE.replace(PLACES, "places"), f"no {PLACES}: expected"),
        (CODE[: len(CODE) // 2], "not Python, or damaged .*was never closed"),
        (f"{LENSES} = open('ran', 'w')\n{PLACES} = {{}}\n", "line 1: h36m_cameras_intrinsic_params: expected plain numbers"),
        (f"{LENSES} = [{{[]: 1}}]\n", "expected plain numbers"),
        (f"{LENSES} = {'9' * 400} + 1j\n", "expected plain numbers"),
        (f"{LENSES} = {'(' * 5000}\n", "not Python, or damaged"),
        (f"{LENSES} = {'-' * 50_000}1\n", "not Python, or damaged"),
        (f"{LENSES} = {'1+' * 30_000}1\n", "not Python, or damaged"),
        (f"{LENSES} = {'9' * 5000}\n", "not Python, or damaged"),
        ("x = 1  #" + "x" * (1 << 17), r"h36m_dataset\.py: 131080 bytes, more than the 131072 that are read"),
        (f"{LENSES} = []\n{PLACES} = {{}}\n", rf"{LENSES}, 0: expected 0, got \[\]"),
        (f"{LENSES} = 5\n{PLACES} = {{}}\n", rf"{LENSES}, 0: expected 0, got 5"),
        (CODE.replace("'58860488'", "'5'"), rf"{LENSES}, 2: id: expected '58860488', got '5'"),
        (CODE.replace("'S9'", "'S19'"), rf"{PLACES}, S9, 0: expected 'S9', got"),
        (CODE.replace("'orientation': [", "'orientation': [0.5, "), "S1, 0: orientation: expected 4 numbers, got"),
        (CODE.replace("'orientation': [", "'orientation': [9e99 and "), "line .*: expected plain numbers"),
        (CODE.replace("'orientation': [", "'orientation': [1, 0, 0, 1], 'x': ["), "S1, 0: orientation: expected a quaternion of length 1"),
        (CODE.replace("'translation': [", f"'translation': [1{'0' * 400}, 1, 1], 'x': ["), "translation: a number too large"),
        (CODE.replace("'translation': [", "'translation': [1, 1, 1], 'x': ["), "S1, 0, camera 54138969: expected pixels and"),
        (CODE.replace("'center': [", "'center': ['"), "not Python, or damaged"),
        (CODE.replace("'center': ", "'center': 'x', 'x': "), "0: center: expected 2 numbers, got 'x'"),
        (CODE.replace("'center'", "'centre'"), "0: expected 'center', got {"),
    ],
)  # fmt: skip
def test_bad_code(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "h36m_dataset.py"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        cameras_from_code(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert sorted(tmp_path.iterdir()) == [path]  # nothing of it was run


def test_code_is_read_and_not_run(tmp_path):
    (path := tmp_path / "h36m_dataset.py").write_text(f"raise SystemExit\n{CODE}\nraise SystemExit('\\d')\n")
    same_cameras(cameras_from_code(path).by_view, other_cameras())


@given(st.data())
def test_damaged_code(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.py"
    content = bytearray(CODE.encode())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        cameras = cameras_from_code(path).by_view
    except InputError:
        return
    assert len(cameras) == 28
