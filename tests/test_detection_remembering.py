"""Detection that was broken off goes on where it stopped."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from rectangles import Rectangles, clip, scene, walkers

from nearfar.detection import Detection, RememberingDetector, detect_media
from nearfar.errors import InputError
from nearfar.media import VideoWriter
from nearfar.poses import PoseSet

pytest.importorskip("av")


class BreaksOff(Rectangles):
    """Stops after some looks, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def detect(self, image: np.ndarray, max_people: int) -> list[Detection]:
        if self.looks == self.after:
            raise KeyboardInterrupt
        return super().detect(image, max_people)


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    with VideoWriter(path, fps=30) as writer:
        for frame in clip(walkers, 40):
            writer.write(frame.image)
    return path


def lift(walk: Path, detector: Rectangles, remember: Path | None) -> PoseSet:
    return detect_media(walk, detector, people=5, remember=remember, progress=False)


def same(one: PoseSet, two: PoseSet) -> None:
    np.testing.assert_array_equal(one.keypoints, two.keypoints)
    np.testing.assert_array_equal(one.scores, two.scores)
    np.testing.assert_array_equal(one.person, two.person)


def test_what_was_found_is_not_looked_for_again(walk: Path, tmp_path: Path) -> None:
    plain, first, again = Rectangles(), Rectangles(), Rectangles()
    expected = lift(walk, plain, None)
    same(lift(walk, first, tmp_path / "new" / "looks.bin"), expected)
    same(lift(walk, again, tmp_path / "new" / "looks.bin"), expected)
    assert first.looks == plain.looks
    assert again.looks == 0


@pytest.mark.parametrize("after", [0, 3, 100])
def test_a_run_that_was_broken_off_goes_on(walk: Path, tmp_path: Path, after: int) -> None:
    whole, rest = Rectangles(), Rectangles()
    expected = lift(walk, whole, None)
    with pytest.raises(KeyboardInterrupt):
        lift(walk, BreaksOff(after), tmp_path / "looks.bin")
    same(lift(walk, rest, tmp_path / "looks.bin"), expected)
    assert rest.looks == whole.looks - after


@pytest.mark.parametrize("keep", [1, 30, 300, 1_500, 4_000, -1, -20])
def test_a_file_cut_off_anywhere_is_used_up_to_there(walk: Path, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "looks.bin"
    expected = lift(walk, Rectangles(), path)
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    detector = Rectangles()
    same(lift(walk, detector, path), expected)
    assert detector.looks > 0
    assert path.read_bytes() == content


def test_a_damaged_record_ends_what_is_known(walk: Path, tmp_path: Path) -> None:
    path = tmp_path / "looks.bin"
    whole = Rectangles()
    expected = lift(walk, whole, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    detector = Rectangles()
    same(lift(walk, detector, path), expected)
    assert 0 < detector.looks < whole.looks


def test_other_pictures_are_looked_at(walk: Path, tmp_path: Path) -> None:
    """The file of another video, or of another detector, gives nothing away."""
    path = tmp_path / "looks.bin"
    lift(walk, Rectangles(), path)
    other = tmp_path / "other.mp4"
    with VideoWriter(other, fps=30) as writer:
        for frame in clip(lambda i: {1: (100 + i, 60, 40, 90)}, 12):
            writer.write(frame.image)
    poses = lift(other, Rectangles(), path)
    same(poses, lift(other, Rectangles(), None))
    renamed = Rectangles()
    renamed.name = "rectangles 2"
    lift(other, renamed, path)
    assert renamed.looks > 0


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with RememberingDetector(Rectangles(), tmp_path / "looks.bin") as detector:
        os.close(detector._file.fileno())
        os.open("/dev/full", os.O_RDWR)  # takes the number that was free
        with pytest.raises(InputError, match=rf"looks\.bin: cannot keep .*\({os.strerror(errno.ENOSPC)}\)"):
            detector.detect(scene({2: (20, 30, 50, 120)}), 5)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "looks.bin", tmp_path):
        with pytest.raises(InputError, match="cannot keep what the detector found"):
            RememberingDetector(Rectangles(), path)
