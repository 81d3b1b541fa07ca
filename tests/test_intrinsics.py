"""Where intrinsics come from: the caller, EXIF and video metadata that may lie, and who is believed first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.intrinsics import Focal, choose_intrinsics, media_focal, parse_focal
from nearfar.poses import PoseSet, with_intrinsics
from nearfar.skeleton import get_skeleton

av = pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")
FOCAL, PLANE, PLANE_UNIT, FILM, X, Y = 0x920A, 0xA20E, 0xA210, 0xA405, 0xA002, 0xA003


def photo(path: Path, tags: dict[int, object], size: tuple[int, int] = (400, 300)) -> Path:
    image = Image.new("RGB", size)
    exif = image.getexif()
    exif.get_ifd(0x8769).update(tags)
    image.save(path, exif=exif)
    return path


def seen(width: int = 400, height: int = 300, rows: int = 2) -> PoseSet:
    skeleton = get_skeleton("h36m17")
    points = np.random.default_rng(0).uniform(0, height, (rows, skeleton.num_joints, 2)).astype(np.float32)
    return PoseSet(skeleton, keypoints=points, image_size=np.tile(np.int32([width, height]), (rows, 1)))


def test_exif_gives_the_focal_length(tmp_path: Path) -> None:
    film = media_focal(photo(tmp_path / "film.jpg", {FILM: 26, FOCAL: 4.25}))
    assert film == Focal(26, is_film=True, source="EXIF")
    # A full-frame sensor, 36 mm wide, of 6000 pixels, the picture made smaller since: 50 mm are 50/36 of the width.
    tags = {FOCAL: 50.0, PLANE: 6000 / 3.6, PLANE_UNIT: 3, X: 6000, Y: 4500}
    plane = media_focal(photo(tmp_path / "plane.jpg", tags))
    assert plane is not None
    assert plane.pixels([400, 300]) == pytest.approx(400 * 50 / 36, abs=0.1)
    chosen = choose_intrinsics(seen(), media=tmp_path / "film.jpg")
    # CIPA DCG-001: 26 mm on the 43.27 mm diagonal of film, 500 px here.
    np.testing.assert_allclose(chosen.intrinsics, np.tile([26 / 43.267 * 500] * 2 + [200, 150], (2, 1)), rtol=1e-4)
    assert chosen.provenance["intrinsics"] == "EXIF: focal length 26 mm (35 mm equivalent)"


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {FILM: 0, FOCAL: 0.0},
        {FILM: 65535},
        {FOCAL: 4.25},  # of a sensor of unknown size
        {FOCAL: 4250.0, PLANE: 6000 / 3.6, PLANE_UNIT: 3},  # in another unit
        {FOCAL: 50.0, PLANE: 6000 / 3.6, PLANE_UNIT: 9},
        {FILM: 26, X: 4000, Y: 2000},  # cropped since
    ],
)
def test_exif_that_lies_is_not_believed(tmp_path: Path, tags: dict[int, object]) -> None:
    assert media_focal(photo(tmp_path / "photo.jpg", tags)) is None
    assert choose_intrinsics(seen(), media=tmp_path / "photo.jpg").intrinsics is None


def test_a_video_gives_the_focal_length(tmp_path: Path) -> None:
    path = tmp_path / "phone.mov"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["com.apple.quicktime.camera.focal_length.35mm_equivalent"] = "24"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    assert media_focal(path) == Focal(24, is_film=True, source="video metadata")


def test_who_is_believed(tmp_path: Path) -> None:
    path = photo(tmp_path / "film.jpg", {FILM: 26})
    said = choose_intrinsics(seen(), focal="450", media=path)
    np.testing.assert_array_equal(said.intrinsics[0], [450, 450, 200, 150])
    assert said.provenance["intrinsics"] == "given: focal length 450 px"
    wide = choose_intrinsics(seen(300, 400), field_of_view=90, media=path)  # along the longer side, here the height
    np.testing.assert_allclose(wide.intrinsics[0], [200, 200, 150, 200], rtol=1e-6)
    assert "given: field of view 90 degrees along the longer" in wide.provenance["intrinsics"]
    own = with_intrinsics(seen(), np.array([500.0, 500, 200, 150]))
    assert choose_intrinsics(own, media=path) is own
    with pytest.raises(InputError, match="one of intrinsics, focal length and field of view"):
        choose_intrinsics(seen(), focal="450", field_of_view=60)


@pytest.mark.parametrize("text", ["", "0", "-5", "28 cm", "mm", "1e9", "nan", "3mm", "9000mm"])
def test_focal_lengths_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="focal length: expected"):
        parse_focal(text)


@pytest.mark.parametrize("degrees", [0, 180, -20, float("nan")])
def test_fields_of_view_that_are_none(degrees: float) -> None:
    with pytest.raises(InputError, match="field of view: expected 1 to 179 degrees"):
        choose_intrinsics(seen(), field_of_view=degrees)
