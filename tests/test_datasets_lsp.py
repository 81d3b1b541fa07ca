"""LSP and LSP Extended, written here in their published formats, oddities included."""

from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfar.datasets.image_size import read_image_size
from nearfar.datasets.lsp import EXTENDED_SOURCE, SOURCE, load_lsp, load_lsp_extended
from nearfar.errors import InputError
from nearfar.skeleton import get_skeleton

scipy_io = pytest.importorskip("scipy.io")
LSP = get_skeleton("lsp14")


def lsp_joints():
    """(3, 14, 2000) doubles: x, y, occluded. x says which joint it is, y which image."""
    rng = np.random.default_rng(0)
    joints = np.empty((3, 14, 2000))
    joints[0] = np.arange(14)[:, None] + 0.25
    joints[1] = np.arange(2000) / 10
    joints[2] = rng.random((14, 2000)) < 0.2
    return joints


def extended_joints(n=10_000):
    """(14, 3, N) doubles: x, y, visible; what is not visible has coordinates that mean nothing."""
    rng = np.random.default_rng(1)
    joints = np.empty((14, 3, n))
    joints[:, 0] = np.arange(14)[:, None] + 0.5
    joints[:, 1] = np.arange(n) / 100
    joints[:, 2] = rng.random((14, n)) < 0.8
    joints[:, :2] = np.where(joints[:, 2:] == 1, joints[:, :2], -rng.uniform(0, 90, (14, 2, n)))
    return joints


def save(folder, joints, compressed=True):
    folder.mkdir(exist_ok=True)
    scipy_io.savemat(folder / "joints.mat", {"joints": joints}, do_compression=compressed)
    return folder


def jpeg(width, height):
    """The bytes of a JPEG up to its picture: JFIF header, a comment, a progressive frame header."""
    app = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + bytes(9)
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"\xff\xc0!!"
    frame = b"\xff\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + app + comment + frame + b"\xff\xda"


@pytest.fixture(scope="module")
def lsp(tmp_path_factory):
    return save(tmp_path_factory.mktemp("lsp"), lsp_joints())


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    return save(tmp_path_factory.mktemp("lspet"), extended_joints())


def test_lsp(lsp):
    poses, joints = load_lsp(lsp), lsp_joints()
    assert poses.skeleton == LSP
    assert len(poses) == 2000
    np.testing.assert_array_equal(poses.keypoints[..., 0], np.tile(np.arange(14) + 0.25, (2000, 1)))
    np.testing.assert_allclose(poses.keypoints[:, 3, 1], np.arange(2000) / 10, rtol=1e-6)
    assert poses.keypoints.dtype == np.float32
    np.testing.assert_array_equal(poses.occluded, joints[2].T == 1)  # 1 is occluded, whatever the page calls it
    assert 0.1 < poses.occluded.mean() < 0.3
    assert np.isfinite(poses.keypoints).all()  # occluded joints have a place
    names = poses.sequence.values()
    assert (names[0], names[1999]) == ("images/im0001.jpg", "images/im2000.jpg")
    assert poses.image_size is None
    assert "BMVC 2010" in poses.provenance["citation"]


def test_the_first_thousand_train_and_the_last_test(lsp):
    parts = {part.name: part.poses for part in SOURCE.prepare(lsp, None)}
    assert list(parts) == ["train", "test"]
    assert parts["train"].sequence.values()[[0, -1]].tolist() == ["images/im0001.jpg", "images/im1000.jpg"]
    assert parts["test"].sequence.values()[[0, -1]].tolist() == ["images/im1001.jpg", "images/im2000.jpg"]
    np.testing.assert_allclose(parts["test"].keypoints[0, 0, 1], 100)
    with pytest.raises(InputError, match=r"expected one of \('train', 'test'\), got 'val'"):
        load_lsp(lsp, split="val")


def test_lsp_on_another_skeleton(lsp):
    (part, _) = SOURCE.prepare(lsp, "h36m17")
    poses = part.poses
    hips = [LSP.index("left_hip"), LSP.index("right_hip")]
    own = load_lsp(lsp, split="train")
    np.testing.assert_array_equal(poses.occluded[:, 0], own.occluded[:, hips].any(axis=1))
    with pytest.raises(InputError, match="no way to derive"):
        load_lsp(lsp, skeleton="coco17")


def test_extended(extended):
    poses, joints = load_lsp_extended(extended), extended_joints()
    visible = joints[:, 2].T == 1  # 1 is visible here
    assert len(poses) == 10_000
    np.testing.assert_array_equal(np.isnan(poses.keypoints).all(axis=-1), ~visible)
    np.testing.assert_array_equal(poses.scores, visible)
    np.testing.assert_array_equal(poses.keypoints[..., 0][visible], np.tile(np.arange(14) + 0.5, (10_000, 1))[visible])
    assert poses.occluded is None
    assert poses.sequence.values()[[0, -1]].tolist() == ["images/im00001.jpg", "images/im10000.jpg"]
    (part,) = EXTENDED_SOURCE.prepare(extended, None)
    assert (part.name, len(part.poses)) == ("train", 10_000)


def test_images_give_their_sizes(tmp_path):
    folder = save(tmp_path, extended_joints(3))
    with pytest.raises(InputError, match=r"joints\.mat has 3 poses, but there are 0 files images/im\*"):
        load_lsp_extended(folder)
    (tmp_path / "images").mkdir()
    for number in (2, 7, 9):  # HR-LSPET leaves numbers out
        header = struct.pack(">I4sIIBBBBB", 13, b"IHDR", 100 + number, 50, 8, 2, 0, 0, 0)
        (tmp_path / "images" / f"im{number:05d}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header)
    poses = load_lsp_extended(folder)
    assert poses.sequence.values().tolist() == ["images/im00002.png", "images/im00007.png", "images/im00009.png"]
    assert poses.image_size.tolist() == [[102, 50], [107, 50], [109, 50]]
    assert EXTENDED_SOURCE.problems(folder) == []


def test_all_images_or_none(tmp_path, lsp):
    folder = save(tmp_path, lsp_joints())
    assert SOURCE.problems(folder) == []
    images = folder / "images"
    images.mkdir()
    for i in range(1, 1001):
        (images / f"im{i:04d}.jpg").write_bytes(jpeg(i, 2 * i))
    train = load_lsp(folder, split="train")
    np.testing.assert_array_equal(train.image_size[:, 1], 2 * np.arange(1, 1001))
    with pytest.raises(InputError, match=r"im1001\.jpg: no such file"):
        load_lsp(folder)
    (images / "im0007.jpg").write_bytes(b"GIF89a")
    problems = SOURCE.problems(folder)
    assert len(problems) == 2
    assert "1000 of 2000 images are missing, the first is images/im1001.jpg" in problems[0]
    assert problems[1].endswith("im0007.jpg: neither a JPEG nor a PNG image")


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (extended_joints(2000), r"joints: expected shape \(3, 14, 2000\), got \(14, 3, 2000\)"),
        (lsp_joints()[..., :1999], r"joints: expected shape \(3, 14, 2000\), got \(3, 14, 1999\)"),
        (lsp_joints() * np.nan, "joints: expected finite numbers"),
        (lsp_joints() * [[[1]], [[1]], [[2]]], "joints: expected 0 or 1 as the third number of each joint"),
        (lsp_joints() * [[[1e7]], [[1]], [[1]]], "is no position in mm or pixels"),
        ("text", "no array called 'joints'"),
        (np.array([{"a": 1}]), "joints: expected numbers, got object"),
    ],
)
def test_lsp_with_an_error_says_which(tmp_path, joints, message):
    save(tmp_path, joints)
    with pytest.raises(InputError, match=message) as error:
        load_lsp(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "joints.mat"))
    assert SOURCE.problems(tmp_path) == [str(error.value)]


def test_what_is_missing_is_named(tmp_path):
    for source in (SOURCE, EXTENDED_SOURCE):
        (problem,) = source.problems(tmp_path)
        assert problem == f"{tmp_path / 'joints.mat'}: no such file"
    scipy_io.savemat(tmp_path / "joints.mat", {"points": np.zeros(3)})
    assert "no array called 'joints'" in SOURCE.problems(tmp_path)[0]
    save(tmp_path, lsp_joints())
    assert "expected shape (14, 3, N), got (3, 14, 2000)" in EXTENDED_SOURCE.problems(tmp_path)[0]


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files(tmp_path, draw):
    buffer = io.BytesIO()
    scipy_io.savemat(buffer, {"joints": extended_joints(5)}, do_compression=draw.draw(st.booleans()))
    data = bytearray(buffer.getvalue())
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    (tmp_path / "joints.mat").write_bytes(data[: draw.draw(st.integers(0, len(data)) | st.just(len(data)))])
    with contextlib.suppress(InputError):
        load_lsp_extended(tmp_path)


@given(st.integers(1, 60_000), st.integers(1, 60_000))
def test_jpeg_sizes(tmp_path_factory, width, height):
    path = tmp_path_factory.getbasetemp() / "a.jpg"
    path.write_bytes(jpeg(width, height))
    assert read_image_size(path) == (width, height)


def test_real_images(tmp_path):
    image = pytest.importorskip("PIL.Image").new("RGB", (37, 91))
    for suffix, options in (("jpg", {}), ("jpeg", {"progressive": True}), ("png", {})):
        image.save(tmp_path / f"a.{suffix}", **options)
        assert read_image_size(tmp_path / f"a.{suffix}") == (37, 91)


@given(
    st.binary(max_size=60),
    st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"", b"\xff\xd8\xff\xe0\0\0"]),
)
def test_what_is_no_image(tmp_path_factory, data, head):
    path = tmp_path_factory.getbasetemp() / "b.jpg"
    path.write_bytes(head + data)
    with contextlib.suppress(InputError):
        width, height = read_image_size(path)
        assert width > 0
        assert height > 0
