"""Keypoints of other programs, written here in their published formats: what is read, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from nearfar.datasets import load_keypoints, load_poses
from nearfar.errors import InputError
from nearfar.skeleton import get_skeleton

COCO = get_skeleton("coco17")


def person(joints=17, seed=0, score=0.9, x=0, y=0):
    """x, y, score of one person as a flat list, in pixels, moved by x and y."""
    xy = np.random.default_rng(seed).uniform(10, 400, (joints, 2)).round(2) + np.array([x, y])
    return np.concatenate([xy, np.full((joints, 1), score)], axis=1).ravel().tolist()


def xy(flat):
    return np.array(flat).reshape(-1, 3)[:, :2].astype(np.float32)


def write(path: Path, data) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def coco_file(visibility=2, **changes):
    flat = [person(seed=i, score=visibility) for i in range(3)]
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 640, "height": 480},
            {"id": 3, "file_name": "a.jpg", "width": 500, "height": 400},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "keypoints": flat[0], "num_keypoints": 17, "category_id": 1},
            {"id": 2, "image_id": 3, "keypoints": flat[1], "num_keypoints": 17, "category_id": 1},
            {"id": 3, "image_id": 7, "keypoints": flat[2], "num_keypoints": 17, "category_id": 1},
            {"id": 4, "image_id": 7, "keypoints": [0] * 51, "num_keypoints": 0, "category_id": 1},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.joints)}],
    } | changes


def openpose_frame(*people):
    return {
        "version": 1.3,
        "people": [{"person_id": [-1], "pose_keypoints_2d": p, "face_keypoints_2d": []} for p in people],
    }


def alphapose(people, images):
    entries = zip(images, people, strict=False)
    return [{"image_id": i, "category_id": 1, "keypoints": p, "score": 2.5, "box": [1, 2, 3, 4]} for i, p in entries]


def landmarks(seed=0, visibility=0.8):
    points = np.random.default_rng(seed).uniform(0.1, 0.9, (33, 3))
    return [{"x": x, "y": y, "z": z, "visibility": visibility} for x, y, z in points.tolist()]


def test_coco_annotations(tmp_path):
    path = write(tmp_path / "person_keypoints.json", coco_file())
    poses = load_keypoints(path)
    assert poses.skeleton == COCO
    assert poses.sequence.values().tolist() == ["b.jpg", "b.jpg", "a.jpg"]
    assert poses.person.tolist() == [0, 1, 0]
    assert poses.image_size.tolist() == [[640, 480], [640, 480], [500, 400]]
    assert poses.frame_index is None
    assert poses.joints is None
    for row, seed in enumerate((0, 2, 1)):
        np.testing.assert_array_equal(poses.keypoints[row], xy(person(seed=seed)))
    assert (poses.scores == 1).all()
    assert poses.provenance["annotations_without_keypoints"] == 1
    assert poses.keypoints.dtype == np.float32


def test_coco_visibility(tmp_path):
    flat = person(score=2)
    flat[2] = 1  # labelled, hidden
    flat[3:6] = [0, 0, 0]  # not labelled
    flat[6:9] = [55, 66, 0]  # not labelled either, whatever stands there
    data = coco_file(annotations=[{"image_id": 7, "keypoints": flat}])
    poses = load_keypoints(write(tmp_path / "a.json", data))
    assert np.isnan(poses.keypoints[0]).any(axis=-1).nonzero()[0].tolist() == [1, 2]
    assert poses.scores[0, :4].tolist() == [1, 0, 0, 1]
    assert poses.occluded[0].tolist() == [True] + [False] * 16
    data["annotations"].append({"image_id": 7, "keypoints": [0] * 51, "iscrowd": 1, "num_keypoints": 0})
    assert load_keypoints(write(tmp_path / "a.json", data)).provenance["annotations_of_crowds"] == 1
    data["annotations"][0]["keypoints"][2] = 0.7
    with pytest.raises(InputError, match=r"a\.json: annotation 0: visibility must be 0, 1 or 2"):
        load_keypoints(write(tmp_path / "a.json", data))


def test_coco_of_video_frames(tmp_path):
    images = [{"id": i, "file_name": f"{i}.jpg", "vid_id": "v1", "frame_id": 10 - i} for i in range(3)]
    annotations = [{"image_id": i, "keypoints": person(seed=i, score=2), "track_id": 5} for i in range(3)]
    poses = load_keypoints(write(tmp_path / "a.json", {"images": images, "annotations": annotations}))
    assert poses.sequence.values().tolist() == ["v1"] * 3
    assert poses.frame_index.tolist() == [8, 9, 10]
    assert poses.person.tolist() == [5, 5, 5]
    np.testing.assert_array_equal(poses.keypoints[0], xy(person(seed=2)))


def test_coco_category_that_names_another_skeletons_joints(tmp_path):
    halpe = get_skeleton("halpe26")
    data = {
        "annotations": [{"image_id": 1, "keypoints": person(26, score=2)}],
        "categories": [{"name": "person", "keypoints": list(halpe.joints)}],
    }
    assert load_keypoints(write(tmp_path / "a.json", data)).skeleton == halpe


def test_coco_results(tmp_path):
    data = [{"image_id": i, "category_id": 1, "keypoints": person(seed=i), "score": 0.9} for i in (42, 42, 7)]
    poses = load_keypoints(write(tmp_path / "a.json", data))
    assert poses.sequence.values().tolist() == ["42", "42", "7"]
    assert poses.person.tolist() == [0, 1, 0]
    np.testing.assert_allclose(poses.scores, 0.9)
    flags = [{"image_id": 1, "keypoints": [*person(score=1)[:48], 0, 0, 0]}]
    poses = load_keypoints(write(tmp_path / "b.json", flags))
    assert poses.scores[0].tolist() == [1] * 16 + [0]


@pytest.mark.parametrize(("joints", "skeleton"), [(25, "body25"), (18, "coco18")])
def test_openpose_folder(tmp_path, joints, skeleton):
    folder = tmp_path / "out"
    for frame in (0, 1, 3, 10):
        people = [person(joints, seed=7, x=4 * frame)] if frame != 3 else []
        write(folder / f"street_{frame:012d}_keypoints.json", openpose_frame(*people))
    write(folder / "yard_000000000001_keypoints.json", openpose_frame(person(joints, seed=3), person(joints, seed=4)))
    poses = load_keypoints(folder)
    assert poses.skeleton.name == skeleton
    assert poses.sequence.values().tolist() == ["street"] * 3 + ["yard"] * 2
    assert poses.person.tolist() == [0, 0, 0, 0, 1]
    assert poses.frame_index.tolist() == [0, 1, 10, 1, 1]
    np.testing.assert_array_equal(poses.keypoints[2], xy(person(joints, seed=7, x=40)))
    np.testing.assert_array_equal(poses.keypoints[4], xy(person(joints, seed=4)))
    assert load_keypoints(folder, person=1).sequence.values().tolist() == ["yard"]
    single = load_keypoints(folder / "yard_000000000001_keypoints.json")
    assert (single.person.tolist(), single.frame_index.tolist()) == ([0, 1], [1, 1])


def crossing(frame, joints=17):
    """Two people who walk towards each other along different lines, in an order that changes; the second comes late."""
    people = [person(joints, seed=1, x=10 * frame), person(joints, seed=2, x=700 - 10 * frame, y=150)]
    people = people if frame >= 3 else people[:1]
    return people[::-1] if frame % 2 else people


@pytest.mark.parametrize("form", ["openpose", "alphapose"])
def test_people_are_followed_where_the_file_does_not_say_who_is_who(tmp_path, form):
    if form == "openpose":
        for frame in range(12):
            write(tmp_path / "f" / f"{frame}_keypoints.json", openpose_frame(*crossing(frame, 25)))
        poses = load_keypoints(tmp_path / "f")
    else:
        data = [e for frame in range(12) for e in alphapose(crossing(frame), [f"{frame}.jpg"] * 2)]
        poses = load_keypoints(write(tmp_path / "a.json", data))
    assert poses.person.tolist() == [0] * 12 + [1] * 9
    assert poses.frame_index.tolist() == [*range(12), *range(3, 12)]
    steps = np.diff(poses.keypoints[:, 5, 0])
    np.testing.assert_allclose(steps[:11], 10, atol=0.1)
    np.testing.assert_allclose(steps[12:], -10, atol=0.1)


def test_openpose_joint_not_found_is_missing(tmp_path):
    flat = person(25)
    flat[9:12] = [0, 0, 0]
    flat[14] = 0  # a score of 0 with coordinates is a joint that is hardly sure, not a missing one
    poses = load_keypoints(write(tmp_path / "f" / "a_keypoints.json", openpose_frame(flat)).parent)
    assert np.isnan(poses.keypoints[0, 3]).all()
    assert poses.scores[0, 3] == 0
    assert np.isfinite(poses.keypoints[0]).all(axis=-1).sum() == 24


@pytest.mark.parametrize("names", ["img{:03}.jpg", "{:012}.jpg", None])
def test_photos_that_are_the_frames_of_a_clip(tmp_path, names):
    """COCO's files know no clips: on request their people are followed from image to image; frame 4 is a gap."""
    frames = [3, 0, 1, 2, 5, 6]
    if names is None:
        data = [
            {"image_id": i, "category_id": 1, "keypoints": person(seed=who, x=3 * i + 900 * who), "score": 1}
            for i in frames
            for who in ((0, 1) if i % 2 else (1, 0))
        ]
    else:
        data = {
            "images": [{"id": 50 - i, "file_name": names.format(i), "width": 2000, "height": 480} for i in frames],
            "annotations": [
                {"image_id": 50 - i, "keypoints": person(seed=who, score=2, x=3 * i + 900 * who)}
                for i in frames
                for who in ((0, 1) if i % 2 else (1, 0))
            ],
        }
    path = write(tmp_path / "clip.json", data)
    assert len(load_keypoints(path).sequence.names) == 6
    poses = load_poses(path, one_clip=True, fps=25)
    assert poses.sequence.names == ("clip",)
    assert poses.frame_index.tolist() == [0, 1, 2, 3, 5, 6] * 2
    assert poses.person.tolist() == [0] * 6 + [1] * 6
    assert all(np.ptp(poses.keypoints[poses.person == who, 0, 0]) == pytest.approx(18) for who in (0, 1))
    with pytest.raises(InputError, match="fps: expected a positive number"):
        load_poses(path, one_clip=True, fps=0)


def test_openpose_with_tracked_people(tmp_path):
    for frame, order in enumerate(([4, 9], [9, 4])):
        people = [{"person_id": [p], "pose_keypoints_2d": person(25, seed=p * 100 + frame)} for p in order]
        write(tmp_path / "f" / f"{frame}_keypoints.json", {"people": people})
    poses = load_keypoints(tmp_path / "f")
    assert poses.person.tolist() == [4, 4, 9, 9]
    np.testing.assert_array_equal(poses.keypoints[3], xy(person(25, seed=901)))
    assert set(poses.sequence.values()) == {"f"}


@pytest.mark.parametrize(("joints", "skeleton"), [(17, "coco17"), (26, "halpe26"), (136, "halpe26"), (133, "coco17")])
def test_alphapose(tmp_path, joints, skeleton):
    data = alphapose([person(joints, seed=i) for i in range(3)], ["0.jpg", "10.jpg", "2.jpg"])
    for entry, idx in zip(data, (1, 1, 1), strict=True):
        entry["idx"] = idx
    poses = load_keypoints(write(tmp_path / "alphapose-results.json", data))
    assert poses.skeleton.name == skeleton
    assert poses.keypoints.shape[1] == poses.skeleton.num_joints
    assert poses.frame_index.tolist() == [0, 2, 10]
    assert poses.person.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(poses.keypoints[1], xy(person(joints, seed=2))[: poses.skeleton.num_joints])
    assert poses.provenance["tracked"] is True


@pytest.mark.parametrize("idx", [None, [0.0], 0])
def test_alphapose_without_tracks(tmp_path, idx):
    """Untracked results have no idx, or the same one for everybody."""
    people = [person(seed=1), person(seed=2, x=500), person(seed=2, x=505), person(seed=1, x=5)]
    data = alphapose(people, ["0.jpg", "0.jpg", "1.jpg", "1.jpg"])
    if idx is not None:
        data = [entry | {"idx": idx} for entry in data]
    poses = load_keypoints(write(tmp_path / "a.json", data))
    assert poses.person.tolist() == [0, 0, 1, 1]
    assert poses.frame_index.tolist() == [0, 1, 0, 1]
    assert poses.provenance["tracked"] is False
    np.testing.assert_array_equal(poses.keypoints[1], xy(people[3]))


def test_alphapose_of_photos(tmp_path):
    data = alphapose([person(seed=i) for i in range(3)], ["dog.jpg", "cat.jpg", "dog.jpg"])
    poses = load_keypoints(write(tmp_path / "a.json", data))
    assert poses.sequence.values().tolist() == ["dog.jpg", "dog.jpg", "cat.jpg"]
    assert poses.frame_index is None


SHAPES = {
    "list of lists": lambda a, b: [a, b],
    "objects": lambda a, b: [{"frame": 0, "landmarks": a}, {"frame": 1, "landmarks": b}],
    "people": lambda a, b: [{"landmarks": [a], "worldLandmarks": [a]}, {"landmarks": [b]}],
    "bare people": lambda a, b: [[a], [b]],
    "protobuf": lambda a, b: [{"poseLandmarks": {"landmark": a}}, {"pose_landmarks": {"landmark": b}}],
    "header": lambda a, b: {"image_size": [640, 480], "frames": [{"pose_landmarks": a}, {"pose_landmarks": b}]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_mediapipe(tmp_path, shape):
    a, b = landmarks(0), landmarks(1)
    path = write(tmp_path / "clip.json", SHAPES[shape](a, b))
    poses = load_keypoints(path, image_size=(640, 480))
    assert poses.skeleton.name == "mediapipe33"
    assert poses.frame_index.tolist() == [0, 1]
    expected = [[point["x"] * 640, point["y"] * 480] for point in b]
    np.testing.assert_allclose(poses.keypoints[1], expected, rtol=1e-6)
    np.testing.assert_allclose(poses.scores, 0.8)
    assert poses.image_size.tolist() == [[640, 480]] * 2
    if shape == "header":
        np.testing.assert_array_equal(load_keypoints(path).keypoints, poses.keypoints)
    else:
        with pytest.raises(InputError, match="fractions of the image: say the image size"):
            load_keypoints(path)


def test_mediapipe_with_empty_frames_people_and_time(tmp_path):
    a, b = landmarks(0), landmarks(1)
    data = [None, {"landmarks": []}, {"landmarks": [a, b], "timestamp_ms": 66}, {"landmarks": [b], "timestamp_ms": 100}]
    poses = load_keypoints(write(tmp_path / "a.json", data), image_size=(100, 100))
    assert poses.person.tolist() == [0, 0, 1]
    assert poses.frame_index.tolist() == [2, 3, 2]
    np.testing.assert_allclose(poses.time, [0.066, 0.1, 0.066])


def test_mediapipe_in_pixels_is_refused(tmp_path):
    data = [[point | {"x": point["x"] * 640, "y": point["y"] * 480} for point in landmarks()]]
    with pytest.raises(InputError, match="expected coordinates as fractions of the image, got"):
        load_keypoints(write(tmp_path / "a.json", data), image_size=(640, 480))


@pytest.mark.parametrize("shape", [(17, 3), (5, 17, 3), (2, 5, 17, 3)])
def test_npy(tmp_path, shape):
    points = np.random.default_rng(0).uniform(10, 500, shape)
    points[..., 2] = 0.5
    np.save(tmp_path / "a.npy", points)
    poses = load_keypoints(tmp_path / "a.npy", skeleton="coco17")
    np.testing.assert_allclose(poses.keypoints, points.reshape(-1, 17, 3)[..., :2], rtol=1e-6)
    assert (poses.scores == 0.5).all()
    assert poses.person.tolist() == ([0] * 5 + [1] * 5 if len(shape) == 4 else [0] * len(poses))
    assert poses.frame_index.tolist() == list(range(shape[-3] if len(shape) > 2 else 1)) * (2 if len(shape) == 4 else 1)
    np.save(tmp_path / "b.npy", points[..., :2].astype(np.float32))
    flat = load_keypoints(tmp_path / "b.npy", skeleton="coco17")
    np.testing.assert_array_equal(flat.keypoints, poses.keypoints)
    assert (flat.scores == 1).all()


def test_npz(tmp_path):
    points, scores = np.random.default_rng(0).uniform(10, 500, (4, 17, 2)), np.full((4, 17), 0.25)
    np.savez_compressed(tmp_path / "a.npz", keypoints=points, scores=scores, other=np.zeros(2))
    poses = load_keypoints(tmp_path / "a.npz", skeleton="coco17")
    np.testing.assert_allclose(poses.keypoints, points, rtol=1e-6)
    assert (poses.scores == 0.25).all()
    np.savez(tmp_path / "b.npz", arr_0=points)
    np.testing.assert_allclose(load_poses(tmp_path / "b.npz", skeleton="coco17").keypoints, points, rtol=1e-6)
    np.savez(tmp_path / "c.npz", a=points, b=points)
    with pytest.raises(InputError, match=r"expected one array, or 'keypoints' .*; its arrays are \['a', 'b'\]"):
        load_keypoints(tmp_path / "c.npz", skeleton="coco17")


def test_missing_joints_in_arrays(tmp_path):
    points = np.random.default_rng(0).uniform(10, 500, (3, 17, 2))
    points[0, 1] = np.nan
    points[1, 2] = 0
    points[2, 3, 0] = np.nan
    np.save(tmp_path / "a.npy", points)
    poses = load_keypoints(tmp_path / "a.npy", skeleton="coco17")
    missing = np.isnan(poses.keypoints).all(axis=-1)
    assert np.argwhere(missing).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert np.argwhere(poses.scores == 0).tolist() == [[0, 1], [1, 2], [2, 3]]


def csv_lines(poses, header):
    lsp = get_skeleton("lsp14")
    names = [f"{joint}_{part}" for joint in reversed(lsp.joints) for part in ("x", "y", "score")]
    rows = [["frame", "person", *names]] if header else []
    for i, pose in enumerate(poses):
        order = pose[::-1] if header else pose
        rows.append(([str(i * 2), "3"] if header else []) + [str(v) for v in order.ravel().tolist()])
    return "\n".join(",".join(row) for row in rows) + "\n"


@pytest.mark.parametrize("header", [True, False])
def test_csv_with_one_row_a_frame(tmp_path, header):
    poses = np.random.default_rng(0).uniform(10, 500, (4, 14, 3)).round(3)
    poses[..., 2] = 0.75
    path = tmp_path / "a.csv"
    path.write_text(csv_lines(poses, header))
    read = load_keypoints(path, skeleton="lsp14")
    np.testing.assert_allclose(read.keypoints, poses[..., :2], rtol=1e-6)
    assert (read.scores == 0.75).all()
    assert read.frame_index.tolist() == ([0, 2, 4, 6] if header else [0, 1, 2, 3])
    assert set(read.person.tolist()) == ({3} if header else {0})
    text = path.read_text().splitlines()
    text[2] = text[2].replace(text[2].split(",")[3], "", 1)
    path.write_text("\n".join(text))
    assert np.isnan(load_keypoints(path, skeleton="lsp14").keypoints).any(axis=(1, 2)).sum() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("head_top_x", "nose_x"), r"line 1: unknown columns \['nose_x'\]"),
        (("head_top_x", "neck_x"), "line 1: a column is there twice"),
        (("frame,", ""), "line 2: expected 43 cells, got 44"),
        ((",0.75\n4,", ",high\n4,"), "line 3, column 44: not a number: 'high'"),
        (("\n4,3,", "\n4,3,inf"), "line 4.*(infinite|not a number)"),
        (("\n4,", "\n,"), "line 4: frame: expected a number"),
        (("0.75", "75"), r"the third number of a joint must be a score in 0\.\.1, got 0\.\.75"),
    ],
)
def test_csv_with_an_error_says_where(tmp_path, change, message):
    poses = np.random.default_rng(0).uniform(10, 500, (4, 14, 3)).round(3)
    poses[..., 2] = 0.75
    text = csv_lines(poses, header=True)
    assert change[0] in text
    (tmp_path / "a.csv").write_text(text.replace(*change))
    with pytest.raises(InputError, match=rf"a\.csv: {message}"):
        load_keypoints(tmp_path / "a.csv", skeleton="lsp14")


def test_a_skeleton_must_be_said_and_must_fit(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((5, 17, 2)) * 50)
    with pytest.raises(InputError, match="does not say which joints it has: say the skeleton, body25, coco17"):
        load_keypoints(tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"expected \(16, C\), .* of skeleton 'mpii16', .* got shape \(5, 17, 2\)"):
        load_keypoints(tmp_path / "a.npy", skeleton="mpii16")
    with pytest.raises(InputError, match="no skeleton 'coco'"):
        load_keypoints(tmp_path / "a.npy", skeleton="coco")
    path = write(tmp_path / "a.json", alphapose([person(16)], ["0.jpg"]))
    with pytest.raises(InputError, match=r"entry 0: 16 joints: the format has 17 \(coco17\), 26 \(halpe26\)"):
        load_keypoints(path)
    assert load_keypoints(path, skeleton="mpii16").skeleton.name == "mpii16"
    with pytest.raises(InputError, match="entry 0: 16 joints, but skeleton 'coco17' has 17"):
        load_keypoints(path, skeleton="coco17")


def test_three_dimensional_arrays_are_not_mistaken_for_scores(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(5, 17, 3)) * 300)
    with pytest.raises(InputError, match=r"third number of a joint must be a score in 0\.\.1, got -"):
        load_keypoints(tmp_path / "a.npy", skeleton="coco17")


def test_scores_beyond_one_become_one(tmp_path):
    poses = load_keypoints(write(tmp_path / "a.json", alphapose([person(score=1.07)], ["0.jpg"])))
    assert (poses.scores == 1).all()


@pytest.mark.parametrize("image_size", [None, (640, 480)])
def test_coordinates_that_are_normalised_already_are_refused(tmp_path, image_size):
    points = np.random.default_rng(0).uniform(-1, 1, (5, 17, 2))
    np.save(tmp_path / "a.npy", points)
    with pytest.raises(InputError, match=r"look normalised already \(all within (0\.\d+|1)\): expected pixels"):
        load_keypoints(tmp_path / "a.npy", skeleton="coco17", image_size=image_size)
    flat = np.concatenate([points[0], np.ones((17, 1))], axis=1).ravel().tolist()
    with pytest.raises(InputError, match="look normalised already"):
        load_keypoints(write(tmp_path / "a.json", alphapose([flat], ["0.jpg"])), image_size=image_size)


def test_image_size_fills_in_and_persons_are_chosen(tmp_path):
    data = alphapose([person(seed=i) for i in range(2)], ["0.jpg", "0.jpg"])
    path = write(tmp_path / "a.json", data)
    assert load_keypoints(path, image_size=(64, 48)).image_size.tolist() == [[64, 48]] * 2
    with pytest.raises(InputError, match="no person 5; it has 0, 1"):
        load_keypoints(path, person=5)
    with pytest.raises(InputError, match="image size: expected positive"):
        load_keypoints(path, image_size=(0, 48))


def nan_person(joint, value):
    flat = person()
    flat[joint * 3] = value
    return flat


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "an empty list: nobody in it"),
        ({}, "an empty object: nobody in it"),
        ({"people": []}, "nobody in it"),
        ({"annotations": []}, "nobody in it"),
        ([None, None], "JSON of a kind not known here"),
        ([[], {"landmarks": []}], "nobody in it|not known here"),
        ({"boxes": [1]}, r"JSON of a kind not known here \(keys \['boxes'\]\); known are COCO keypoints"),
        ([{"box": 1}], r"a list of keys \['box'\]"),
        ([1, 2, 3], "a list of a int"),
        ("text", "not a number|unknown columns|which joints"),
        (alphapose([person()[:-1]], ["0.jpg"]), r"entry 0: expected a flat list .* got shape \(50,\)"),
        (alphapose([person(), person(16)], ["0.jpg", "1.jpg"]), r"entry 1: 16 joints, but .*entry 0 has 17"),
        (alphapose([nan_person(4, float("inf"))], ["0.jpg"]), "entry 0: joint 4 is infinite"),
        (alphapose([["x"] * 51], ["0.jpg"]), "entry 0: expected a flat list of numbers"),
        (alphapose([[[1, 2, 3]] * 17], ["0.jpg"]), r"entry 0: expected a flat list .* got shape \(17, 3\)"),
        ([*alphapose([person()], ["0.jpg"]), {"image_id": "1.jpg"}], "entry 1: no 'keypoints'; its keys are"),
        ([*alphapose([person()], ["0.jpg"]), 5], "entry 1: expected an object with 'image_id', got int"),
        (openpose_frame(person(23)), r"person 0: 23 joints: the format has 25 \(body25\), 18 \(coco18\)"),
        ({"people": 3}, "people: expected a list, got int"),
        ({"people": [{"face": []}]}, "person 0: no 'pose_keypoints_2d'"),
        (coco_file(annotations=[{"image_id": 7, "bbox": []}]), "none of its 1 annotations has keypoints"),
        (
            coco_file(annotations=[{"image_id": 9, "keypoints": person(score=2)}]),
            "annotation 0: image_id 9 is not among",
        ),
        (coco_file(annotations={"a": 1}), "annotations: expected a list, got dict"),
        ([[{"x": 0.5, "y": 0.5}] * 32], r"frame 0, person 0: 32 joints: the format has 33 \(mediapipe33\)"),
        ([[{"x": 0.5, "y": "low"}] * 33], "frame 0, person 0: x, y and visibility must be numbers"),
        ([[{"x": 0.5, "y": 0.5}, {"x": 0.1}]], "frame 0, person 0, landmark 1: no 'y'"),
    ],
)
def test_bad_json_says_what_and_where(tmp_path, data, message):
    path = write(tmp_path / "bad.json", data)
    with pytest.raises(InputError, match=message) as error:
        load_keypoints(path, image_size=(640, 480))
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_null_is_a_missing_joint(tmp_path):
    poses = load_keypoints(write(tmp_path / "a.json", alphapose([nan_person(4, None)], ["0.jpg"])))
    assert np.isnan(poses.keypoints[0]).any(axis=-1).nonzero()[0].tolist() == [4]


def test_a_tracked_person_twice_in_a_frame_is_refused(tmp_path):
    people = [{"person_id": [2], "pose_keypoints_2d": person(25, seed=i)} for i in range(2)]
    with pytest.raises(InputError, match="person 1: person 2 is twice in one image"):
        load_keypoints(write(tmp_path / "1_keypoints.json", {"people": people}))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_json(tmp_path, share):
    path = write(tmp_path / "a.json", coco_file())
    text = path.read_text()
    path.write_text(text[: int(len(text) * share)])
    with pytest.raises(InputError, match=r"a\.json: not JSON, or cut off"):
        load_keypoints(path)


def test_paths_that_hold_no_keypoints(tmp_path):
    with pytest.raises(InputError, match="none: no such file"):
        load_keypoints(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"OpenPose's \*_keypoints\.json files, found nothing"):
        load_keypoints(tmp_path / "folder")
    (tmp_path / "folder" / "a.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"OpenPose's \*_keypoints\.json files, found a\.jpg"):
        load_keypoints(tmp_path / "folder")
    write(tmp_path / "f" / "0_keypoints.json", openpose_frame())
    with pytest.raises(InputError, match="OpenPose found no person in any frame"):
        load_keypoints(tmp_path / "f")
    (tmp_path / "f" / "1_keypoints.json").write_text('{"people": [')
    with pytest.raises(InputError, match=r"1_keypoints\.json: not JSON, or cut off"):
        load_keypoints(tmp_path / "f")
    for content, message in [
        (b"", "the file is empty"),
        (b"\x00\x01\x02", "a binary file of a kind not known here; known are"),
    ]:
        (tmp_path / "a.bin").write_bytes(content)
        with pytest.raises(InputError, match=message):
            load_keypoints(tmp_path / "a.bin")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: not a file"):  # to open it would be to wait for a writer
        load_keypoints(tmp_path / "pipe")


def test_damaged_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((5, 17, 2)) * 50)
    raw = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(raw[:-20])
    with pytest.raises(InputError, match=r"a\.npy: not a numpy array, or a damaged one"):
        load_keypoints(tmp_path / "a.npy", skeleton="coco17")
    np.save(tmp_path / "b.npy", np.array([{"a": 1}]))
    with pytest.raises(InputError, match=r"b\.npy holds pickled objects"):
        load_keypoints(tmp_path / "b.npy", skeleton="coco17")
    np.save(tmp_path / "c.npy", np.full((5, 17, 2), np.inf))
    with pytest.raises(InputError, match=r"c\.npy: person 0, frame 0: joint 0 is infinite"):
        load_keypoints(tmp_path / "c.npy", skeleton="coco17")
    np.save(tmp_path / "d.npy", np.full((5, 17, 2), "x"))
    with pytest.raises(InputError, match=r"d\.npy: expected an array of numbers, got <U1"):
        load_keypoints(tmp_path / "d.npy", skeleton="coco17")
    np.save(tmp_path / "e.npy", np.zeros((0, 17, 2)))
    with pytest.raises(InputError, match=r"e\.npy: nobody in it"):
        load_keypoints(tmp_path / "e.npy", skeleton="coco17")


@pytest.mark.shared
def test_the_real_coco_annotations(shared):
    poses = load_poses(shared / "media" / "coco" / "test_coco.json")
    assert poses.skeleton == COCO
    assert len(poses) == 12
    assert len(set(poses.sequence.values())) == 4
    assert ((poses.scores > 0) == np.isfinite(poses.keypoints).all(axis=-1)).all()
    inside = (poses.keypoints >= 0) & (poses.keypoints <= poses.image_size[:, None])
    assert (inside | np.isnan(poses.keypoints)).all()
    skier = poses.select(poses.sequence.values() == "000000000785.jpg")
    assert skier.keypoints[0, 0].tolist() == [367, 81]
    assert skier.image_size.tolist() == [[640, 425]]
    assert poses.remap("h36m17").keypoints.shape == (12, 17, 2)
