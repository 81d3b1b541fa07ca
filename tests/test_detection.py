"""Images and videos to keypoints through time.

The search, the following and the bookkeeping are tested with `Rectangles`, a detector of coloured rectangles that is
as short-sighted as MediaPipe; MediaPipe itself on real media, where they are at hand.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rectangles import CORNERS, Rectangles, clip, scene, walkers

from nearfar.detection import (
    Detection,
    Detector,
    cache_folder,
    detect_media,
    fetch_model,
    find_people,
    follow_people,
    get_detector,
    model_path,
)
from nearfar.detection.rtmlib import RTMLibDetector
from nearfar.detection.search import SEARCH_EVERY, tiles
from nearfar.detection.sides import steady_sides
from nearfar.errors import InputError
from nearfar.media import Frame, VideoWriter
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton
from nearfar.skeleton_maps import remap
from nearfar.tracking import link_tracks

pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    with VideoWriter(path, fps=30) as writer:
        for frame in clip(walkers, 40):
            writer.write(frame.image)
    return path


@pytest.mark.parametrize(("width", "height"), [(320, 180), (100, 300), (64, 64), (1, 7), (1, 1)])
def test_tiles_cover_the_image_at_every_scale(width: int, height: int) -> None:
    by_side: dict[int, np.ndarray] = {}
    for x, y, side in tiles(width, height):
        covered = by_side.setdefault(side, np.zeros((height, width), bool))
        covered[max(y, 0) : y + side, max(x, 0) : x + side] = True
    assert max(by_side) >= max(width, height)
    assert all(covered.all() for covered in by_side.values())


def test_the_search_finds_the_small_beside_the_large() -> None:
    image = scene({2: (20, 30, 50, 120), 1: (250, 60, 20, 60), 0: (150, 10, 20, 50)})
    detector = Rectangles()
    assert len(detector.detect(image, 9)) == 1
    people = find_people(detector, image)
    np.testing.assert_array_equal(
        [one.box for one in people], [(20, 30, 70, 150), (250, 60, 270, 120), (150, 10, 170, 60)]
    )


def test_a_detector_that_finds_all_is_asked_once_a_frame() -> None:
    detector = Rectangles(finds_all=True)
    tracker = follow_people(detector, clip(walkers, 40), 30)
    assert detector.looks == 40
    assert sorted(map(len, tracker.tracks)) == [20, 40]


def test_someone_is_followed_back_to_their_first_frame() -> None:
    tracker = follow_people(Rectangles(), clip(walkers, 40), 30)
    assert 20 % SEARCH_EVERY != 0
    assert sorted((track.first, track.last, len(track)) for track in tracker.tracks) == [(0, 39, 40), (20, 39, 20)]


def test_someone_who_comes_after_the_last_search_is_found_in_the_last_frame() -> None:
    frames = clip(lambda i: {1: (100 + i, 76, 30, 80)} if i >= 26 else {}, 34)
    (track,) = follow_people(Rectangles(), frames, 30).tracks
    assert sorted(track.found) == [*range(26, 34)]


def test_few_frames_are_searched_more_often() -> None:
    """At 5 frames a second somebody who stays for 2 seconds is there for 10 frames."""
    frames = [Frame(i, i / 5, scene({1: (100 + i, 76, 30, 80)} if 13 <= i < 23 else {})) for i in range(36)]
    (track,) = follow_people(Rectangles(), frames, 5).tracks
    assert sorted(track.found) == [*range(13, 23)]


def test_someone_lost_and_found_is_one_track() -> None:
    frames = clip(lambda i: {} if 15 <= i < 30 else {1: (100 + i, 76, 30, 80)}, 50)
    (track,) = link_tracks(follow_people(Rectangles(), frames, 30).tracks, 30)
    assert sorted(track.found) == [*range(15), *range(30, 50)]


def test_one_row_a_frame_and_person(walk: Path) -> None:
    poses = detect_media(walk, Rectangles(), people=5, progress=False)
    assert poses.skeleton == CORNERS
    assert len(poses) == 80
    np.testing.assert_array_equal(poses.person, np.repeat([0, 1], 40))
    np.testing.assert_array_equal(poses.frame_index, np.tile(np.arange(40), 2))
    np.testing.assert_allclose(poses.time, np.tile(np.arange(40) / 30, 2), atol=1e-3)
    np.testing.assert_array_equal(poses.image_size, np.tile([320, 180], (80, 1)))
    assert set(poses.sequence.values()) == {"walk.mp4"}
    assert poses.provenance == {"media": "walk.mp4", "fps": pytest.approx(30), "detector": "rectangles"}
    found = np.isfinite(poses.keypoints).all(axis=(1, 2))
    np.testing.assert_array_equal(found, [True] * 40 + [False] * 20 + [True] * 20)
    assert (poses.scores[found] > 0).all()
    assert (poses.scores[~found] == 0).all()
    np.testing.assert_allclose(poses.keypoints[7, 0], (10 + 21 + 20, 90), atol=3)
    poses.save(walk.with_name("poses.npz"))
    assert len(PoseSet.load(walk.with_name("poses.npz"))) == 80


def test_the_default_is_the_longest_track(walk: Path) -> None:
    poses = detect_media(walk, Rectangles(), progress=False)
    assert len(poses) == 40
    assert set(poses.person) == {0}
    assert np.isfinite(poses.keypoints).all()


def test_a_person_by_number_and_by_box(walk: Path) -> None:
    second = detect_media(walk, Rectangles(), person=1, progress=False)
    assert set(second.person) == {1}
    assert np.isfinite(second.keypoints).all(axis=(1, 2)).sum() == 20
    boxed = detect_media(walk, Rectangles(), box=(200, 0, 260, 40), progress=False)
    np.testing.assert_array_equal(boxed.keypoints, second.keypoints)
    with pytest.raises(InputError, match="no person 2: 2 found, numbered from 0"):
        detect_media(walk, Rectangles(), person=2, progress=False)
    with pytest.raises(InputError, match="nobody was found in the box"):
        detect_media(walk, Rectangles(), box=(0, 170, 5, 180), progress=False)


def test_a_still_image_gives_people_by_size(tmp_path: Path) -> None:
    Image.fromarray(scene({0: (20, 30, 25, 60), 2: (150, 20, 60, 140)})).save(tmp_path / "a.png")
    poses = detect_media(tmp_path / "a.png", Rectangles(), people=2, progress=False)
    np.testing.assert_allclose(poses.keypoints[:, 0], [(180, 90), (32.5, 60)])
    assert poses.provenance["fps"] is None


def test_joints_far_outside_of_the_image_are_missing(tmp_path: Path) -> None:
    class Reaching(Rectangles):
        def detect(self, image: np.ndarray, max_people: int) -> list[Detection]:
            people = super().detect(image, max_people)
            for one in people:
                one.keypoints[1:3] -= [[60, 0], [25, 0]]
            return people

    Image.fromarray(scene({2: (0, 20, 30, 100)})).save(tmp_path / "a.png")
    poses = detect_media(tmp_path / "a.png", Reaching(), progress=False)
    # 320 wide: 32 pixels outside are allowed
    np.testing.assert_array_equal(np.isfinite(poses.keypoints[0]).all(axis=-1), [True, True, True, True, True])
    Image.fromarray(scene({2: (0, 20, 20, 100)})).save(tmp_path / "b.png")
    poses = detect_media(tmp_path / "b.png", Reaching(), progress=False)
    np.testing.assert_array_equal(np.isfinite(poses.keypoints[0]).all(axis=-1), [True, False, True, True, True])
    np.testing.assert_array_equal(poses.scores[0] > 0, [True, False, True, True, True])


@pytest.mark.parametrize("count", [1, 7])
def test_nobody_there(tmp_path: Path, count: int) -> None:
    path = tmp_path / ("a.png" if count == 1 else "a.mp4")
    if count == 1:
        Image.fromarray(scene({})).save(path)
    else:
        with VideoWriter(path) as writer:
            for frame in clip(lambda _: {}, count):
                writer.write(frame.image)
    where = "it" if count == 1 else "any of 7 frames"
    with pytest.raises(InputError, match=f"no person found in {where}"):
        detect_media(path, Rectangles(), progress=False)


def test_a_false_alarm_of_a_few_frames_is_nobody(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for frame in clip(lambda i: {2: (50, 50, 40, 90)} if i < 3 else {}, 20):
            writer.write(frame.image)
    with pytest.raises(InputError, match="no person found in any of 20 frames"):
        detect_media(tmp_path / "a.mp4", Rectangles(), progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"people": 0}, "people must be at least 1"),
        ({"person": -1}, "person must be 0 or more"),
        ({"person": 0, "box": (0, 0, 9, 9)}, "not both"),
        ({"box": (0, 0, 9)}, "x0, y0, x1, y1"),
        ({"box": (9, 0, 0, 9)}, "x0 < x1"),
        ({"box": (0, 0, float("nan"), 9)}, "x0, y0, x1, y1"),
        ({"detector": "yolo"}, "no detector 'yolo'; known: mediapipe, rtmlib"),
    ],
)
def test_bad_options(walk: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        detect_media(walk, **{"detector": Rectangles(), "progress": False, **options})


def test_detectors_are_told_apart_by_their_methods() -> None:
    detector = Rectangles()
    assert isinstance(detector, Detector)
    assert get_detector(detector) is detector
    with detector:
        pass
    assert detector.closed


# Left and right


def striding(frames: int) -> np.ndarray:
    """(F, 33, 2): someone facing the camera, walking sideways, hands and feet swinging."""
    skeleton = get_skeleton("mediapipe33")
    rng = np.random.default_rng(0)
    rest = rng.uniform(0, 100, (33, 2))
    rest[:, 0] = [70 if name.startswith("left") else 30 for name in skeleton.joints]
    swing = 8 * np.sin(np.arange(frames) / 5)[:, None, None] * np.sign(rest[:, :1] - 50)
    return rest + swing + np.arange(frames)[:, None, None] * [1.0, 0.0]


def exchange(keypoints: np.ndarray, frames: slice, joints: list[str] | None = None) -> np.ndarray:
    skeleton = get_skeleton("mediapipe33")
    chosen = [skeleton.index(name) for name in joints] if joints else list(range(33))
    wrong = keypoints.copy()
    wrong[frames, chosen] = keypoints[frames][:, skeleton.mirror_permutation[chosen]]
    return wrong


LEGS = [f"{side}_{name}" for side in ("left", "right") for name in ("hip", "knee", "ankle", "heel", "foot_index")]


@pytest.mark.parametrize("frames", [slice(0, 5), slice(20, 21), slice(30, 41), slice(55, 60)])
@pytest.mark.parametrize("joints", [None, LEGS])
def test_a_short_exchange_of_sides_is_undone(frames: slice, joints: list[str] | None) -> None:
    right = striding(60)
    wrong = exchange(right, frames, joints)
    order = steady_sides(wrong, np.full(60, 100.0), np.arange(60) / 30, get_skeleton("mediapipe33"))
    np.testing.assert_array_equal(np.take_along_axis(wrong, order[..., None], axis=1), right)


def test_sides_that_hold_are_left_alone() -> None:
    skeleton = get_skeleton("mediapipe33")
    unchanged = np.tile(np.arange(33), (60, 1))
    right = striding(60)
    np.testing.assert_array_equal(steady_sides(right, np.full(60, 100.0), np.arange(60) / 30, skeleton), unchanged)
    gaps = right.copy()
    gaps[10:15] = np.nan
    gaps[:, 3] = np.nan
    np.testing.assert_array_equal(steady_sides(gaps, np.full(60, 100.0), np.arange(60) / 30, skeleton), unchanged)
    one = steady_sides(right[:1], np.full(1, 100.0), np.zeros(1), skeleton)
    np.testing.assert_array_equal(one, unchanged[:1])


def test_someone_who_came_back_turned_round_is_believed() -> None:
    turned = exchange(striding(60), slice(30, 60))
    time = np.arange(60) / 30 + np.where(np.arange(60) >= 30, 1.0, 0.0)
    order = steady_sides(turned, np.full(60, 100.0), time, get_skeleton("mediapipe33"))
    np.testing.assert_array_equal(order, np.tile(np.arange(33), (60, 1)))


# The model file


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


TFLITE = b"\x1c\0\0\0TFL3 and so on"
BUNDLE = {"pose_detector.tflite": TFLITE, "pose_landmarks_detector.tflite": TFLITE * 9}


def test_the_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path))
    assert model_path("pose").parent == tmp_path
    monkeypatch.delenv("NEARFAR_CACHE")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", "/var/elsewhere")
        assert cache_folder() == Path("/var/elsewhere/nearfar")
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", "/home/someone")
        assert cache_folder() == Path("/home/someone/.cache/nearfar")
    with pytest.raises(InputError, match="no model 'hand'; known: pose"):
        model_path("hand")


def test_a_bundle_at_hand_is_installed_uncompressed(cache: Path, tmp_path: Path) -> None:
    path = fetch_model(write_zip(tmp_path / "mine.task", BUNDLE))
    assert path == model_path()
    with zipfile.ZipFile(path) as archive:
        assert {info.filename: archive.read(info) for info in archive.infolist()} == BUNDLE
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        ("absent.task", None, "no such file"),
        ("text.task", b"hello", "neither a .task bundle nor a wheel"),
        ("half.task", {"pose_detector.tflite": TFLITE}, "it has no pose_landmarks_detector.tflite"),
        ("odd.task", {**BUNDLE, "pose_detector.tflite": b"other things"}, "pose_detector.tflite is not a TFLite model"),
        (
            "other.whl",
            {"mediapipe/__init__.py": b""},
            "it has no mediapipe/modules/pose_detection/pose_detection.tflite",
        ),
        (
            "wrong.whl",
            {
                "mediapipe/modules/pose_detection/pose_detection.tflite": TFLITE,
                "mediapipe/modules/pose_landmark/pose_landmark_full.tflite": TFLITE,
            },
            "has SHA-256 [0-9a-f]{64}, expected 9ba9dd3d",
        ),
    ],
)
def test_a_wrong_model_file_changes_nothing(
    cache: Path, tmp_path: Path, name: str, members: dict[str, bytes] | bytes | None, message: str
) -> None:
    path = tmp_path / name
    if isinstance(members, dict):
        write_zip(path, members)
    elif members is not None:
        path.write_bytes(members)
    with pytest.raises(InputError, match=message) as error:
        fetch_model(path)
    assert str(path) in str(error.value)
    assert not cache.exists()


def test_a_damaged_bundle(cache: Path, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "mine.task", {**BUNDLE, "pose_detector.tflite": TFLITE * 500})
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        fetch_model(path)
    assert not cache.exists()


def test_without_a_network_pip_says_so_in_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(
        InputError, match=r"pip could not download mediapipe==0\.10\.14 \(.+\)\. Or bring the file"
    ) as error:
        fetch_model()
    assert "\n" not in str(error.value)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot write"):
        fetch_model(write_zip(tmp_path / "mine.task", BUNDLE))


# Adapters


def test_rtmlib_keypoints_become_people() -> None:
    """The adapter's own work: colour order, cutting scores, leaving out the unsure, order by size."""
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 0] = 200
    grid = np.stack(np.meshgrid(np.arange(17.0), [3.0])[0:2], axis=-1).reshape(17, 2)

    def solution(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert given[0, 0].tolist() == [0, 0, 200]
        tall = grid * [1, 4] + np.outer(np.arange(17), [0, 1])
        return np.stack([grid, tall, tall + 5]), np.stack([np.full(17, 0.8), np.full(17, 1.4), np.full(17, 0.1)])

    with RTMLibDetector("coco17", solution=solution) as detector:
        people = detector.detect(image, 5)
        assert [one.confidence for one in people] == [1.0, 0.8]
        assert len(detector.detect(image, 1)) == 1
        assert detector.skeleton == get_skeleton("coco17")
    with pytest.raises(InputError, match="coco17 or halpe26, not 'h36m17'"):
        RTMLibDetector("h36m17", solution=solution)  # type: ignore[arg-type]


@pytest.mark.skipif(importlib.util.find_spec("rtmlib") is not None, reason="rtmlib is installed")
def test_a_missing_library_names_the_extra() -> None:
    with pytest.raises(InputError, match=r"pip install \"nearfar\[rtmlib\]\""):
        get_detector("rtmlib")


@pytest.fixture(scope="module")
def mediapipe() -> Iterator[Detector]:
    pytest.importorskip("mediapipe")
    try:
        detector = get_detector("mediapipe")
    except InputError as error:
        pytest.skip(f"the pose model cannot be had: {error}")
    with detector:
        yield detector


def oks(annotation: dict, keypoints: np.ndarray) -> float:
    """COCO's object keypoint similarity of (17, 2) keypoints to an annotated person."""
    falloff = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 500
    truth = np.array(annotation["keypoints"], float).reshape(17, 3)
    squared = ((keypoints - truth[:, :2]) ** 2).sum(axis=-1)
    return float(np.exp(-squared / (2 * annotation["area"] * falloff**2))[truth[:, 2] > 0].mean())


@pytest.mark.shared
@pytest.mark.slow
def test_mediapipe_finds_the_people_of_coco_photos(mediapipe: Detector, shared: Path) -> None:
    coco = json.loads((shared / "media/coco/test_coco.json").read_text())
    to_coco = remap("mediapipe33", "coco17")
    best, found = [], 0
    for photo in coco["images"]:
        people = find_people(
            mediapipe, np.asarray(Image.open(shared / "media/coco" / photo["file_name"]).convert("RGB"))
        )
        found += len(people)
        for annotation in coco["annotations"]:
            if annotation["image_id"] == photo["id"] and annotation["num_keypoints"] >= 8:
                best.append(max((oks(annotation, to_coco.points(one.keypoints)) for one in people), default=0.0))
    assert len(best) == 12
    assert sum(value > 0.5 for value in best) >= 9
    assert found <= 12


@pytest.mark.shared
@pytest.mark.slow
def test_mediapipe_keeps_two_people_apart(mediapipe: Detector, shared: Path, tmp_path: Path) -> None:
    from nearfar.media import read_frames

    path = tmp_path / "part.mp4"
    with VideoWriter(path, fps=30) as writer:
        for frame in read_frames(shared / "media/street_walk.mp4"):
            if frame.index >= 90:
                break
            if frame.index >= 55:
                writer.write(frame.image)
    poses = detect_media(path, mediapipe, people=5, progress=False)
    assert set(poses.person) == {0, 1}
    hips = poses.keypoints[:, poses.skeleton.index("left_hip")].reshape(2, 35, 2)
    assert np.isfinite(hips).all(axis=-1).mean() > 0.95
    step = np.linalg.norm(np.diff(hips, axis=1), axis=-1)
    assert np.nanmax(step) < 60
    walker = int(np.nanmean(hips[1, :, 1]) > np.nanmean(hips[0, :, 1]))
    assert hips[walker, -1, 0] - hips[walker, 0, 0] < -200
    ankles = [poses.skeleton.index(name) for name in ("left_ankle", "right_ankle")]
    jumps = np.linalg.norm(np.diff(poses.keypoints.reshape(2, 35, 33, 2)[walker][:, ankles], axis=0), axis=-1)
    assert np.nanmax(jumps) < 60


def test_mediapipe_sees_nobody_in_noise_and_keeps_quiet(mediapipe: Detector, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)).save(tmp_path / "noise.png")
    with pytest.raises(InputError, match=r"noise\.png: no person found in it"):
        detect_media(tmp_path / "noise.png", mediapipe)
    program = f"""
from nearfar.detection import detect_media
from nearfar.errors import InputError
try:
    detect_media({str(tmp_path / "noise.png")!r}, progress=False)
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_mediapipe_refuses_a_broken_model(mediapipe: Detector, tmp_path: Path) -> None:
    from nearfar.detection.mediapipe import MediaPipeDetector

    with pytest.raises(InputError, match="no such model file"):
        MediaPipeDetector(tmp_path / "absent.task")
    with pytest.raises(InputError, match="MediaPipe cannot load this model"):
        MediaPipeDetector(write_zip(tmp_path / "mine.task", BUNDLE))
