"""People in boxes that another program gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rectangles import Rectangles, clip, scene, walkers

from nearfar.detection import detect_media, load_boxes
from nearfar.detection.boxes import find_in_boxes
from nearfar.errors import InputError
from nearfar.media import VideoWriter

pytest.importorskip("av")


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    with VideoWriter(path, fps=30) as writer:
        for frame in clip(walkers, 40):
            writer.write(frame.image)
    return path


def motchallenge(path: Path, ids: dict[int, int], frames: range = range(40)) -> Path:
    """The walkers' true boxes, a little off, as trackers write them."""
    rows = [
        f"{i + 1},{ids[level]},{x - 2},{y + 1},{w + 3},{h - 2},0.9,-1,-1,-1"
        for i in frames
        for level, (x, y, w, h) in walkers(i).items()
    ]
    path.write_text("\n".join(reversed(rows)) + "\n")
    return path


def test_identities_of_the_file_are_kept(walk: Path, tmp_path: Path) -> None:
    boxes = motchallenge(tmp_path / "tracks.txt", {2: 7, 0: 3})
    poses = detect_media(walk, Rectangles(), boxes=boxes, progress=False)
    np.testing.assert_array_equal(poses.person, np.repeat([3, 7], 40))
    assert poses.provenance["boxes"] == "tracks.txt"
    found = np.isfinite(poses.keypoints).all(axis=(1, 2))
    np.testing.assert_array_equal(found, [False] * 20 + [True] * 20 + [True] * 40)
    np.testing.assert_allclose(poses.keypoints[poses.person == 7][5, 0], (10 + 15 + 20, 90), atol=3)
    (only,) = set(detect_media(walk, Rectangles(), boxes=boxes, person=3, progress=False).person.tolist())
    assert only == 3
    (longest,) = set(detect_media(walk, Rectangles(), boxes=boxes, people=1, progress=False).person.tolist())
    assert longest == 7
    with pytest.raises(InputError, match="no person 0: 2 found, numbered 3, 7"):
        detect_media(walk, Rectangles(), boxes=boxes, person=0, progress=False)


@pytest.mark.parametrize("finds_all", [False, True])
def test_people_of_boxes_without_identities_are_followed(walk: Path, tmp_path: Path, finds_all: bool) -> None:
    boxes = motchallenge(tmp_path / "det.txt", {2: -1, 0: -1})
    poses = detect_media(walk, Rectangles(finds_all), boxes=boxes, progress=False)
    np.testing.assert_array_equal(poses.person, np.repeat([0, 1], 40))
    assert np.isfinite(poses.keypoints[:40]).all()


def test_nobody_is_looked_for_elsewhere(walk: Path, tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("x1,y1,x0,y0,frame,label\n" + "".join(f"{55 + 3 * i},145,8,38,{i},walker\n" for i in range(9)))
    detector = Rectangles()
    poses = detect_media(walk, detector, boxes=path, progress=False)
    assert detector.looks < 30
    assert np.isfinite(poses.keypoints).all(axis=(1, 2)).sum() == 9
    path.write_text("frame,x0,y0,x1,y1\n" + "".join(f"{i},900,900,950,990\n" for i in range(9)))
    with pytest.raises(InputError, match=r"no person found in any of 40 frames, in the boxes of .*boxes\.csv"):
        detect_media(walk, Rectangles(), boxes=path, progress=False)
    path.write_text("frame,x0,y0,x1,y1\n40,8,38,55,145\n")
    with pytest.raises(InputError, match="the first box is in frame 40, counted from 0, and there are 40 frames"):
        detect_media(walk, Rectangles(), boxes=path, progress=False)


def test_one_person_is_in_one_box() -> None:
    image = scene({2: (20, 30, 50, 120), 0: (100, 60, 20, 60)})
    boxes = np.array([[20.0, 30, 70, 150], [30, 40, 80, 160], [98, 58, 122, 122], [200, 0, 230, 60]])
    people = find_in_boxes(Rectangles(), image, boxes)
    assert [None if one is None else one.box.tolist() for one in people] == [
        [20, 30, 70, 150], None, [100, 60, 120, 120], None,
    ]  # fmt: skip
    assert find_in_boxes(Rectangles(), image, boxes[:0]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("frame,x,y,w,h\n0,1,2,3,4\n", "line 1: columns frame, x, y, w, h: expected MOTChallenge"),
        ("1,-1,10,10,5\n", "line 1: 5 columns: expected MOTChallenge"),
        ("1,-1,10,10,5,9,1,1,1,1,1\n", "line 1: 11 columns"),
        ("1,-1,nan,10,5,9,1\n", "line 1: expected a number within 1e\\+06, got nan"),
        ("1,-1,10,1e9,5,9,1\n", "line 1: expected a number within 1e\\+06, got 1e9"),
        ("1,-1,10,here,5,9,1\n", "line 1: expected a number, got 'here'"),
        ("1,-1,10,10,0,9,1\n", "line 1: a box without area"),
        ("0,-1,10,10,5,9,1\n", "line 1: expected whole numbers for frame and person, the frame not before the first"),
        ("1.5,-1,10,10,5,9,1\n", "line 1: expected whole numbers"),
        ("1,4,10,10,5,9,1\n1,4,30,10,5,9,1\n", "person 4 has two boxes in frame 0"),
        ("1,4,10,10,5,9,0\n", "no boxes in it"),
        ("frame,x0,y0,x1,y1\n", "no boxes in it"),
        ("frame,x0,y0,x1,y1\n0,1,2,3\n", "line 2: expected 5 cells, got 4"),
        ("frame,x0,y0,x1,y1\n0,1,2,,4\n", "line 2: expected a number, got ''"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "boxes.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        load_boxes(path)
    assert str(path) in str(error.value)


def test_no_such_file(walk: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt: no such file"):
        detect_media(walk, Rectangles(), boxes=tmp_path / "absent.txt", progress=False)
