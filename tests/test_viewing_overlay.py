from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import viewing_samples as samples
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.errors import InputError
from nearfar.media import read_frames
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton, skeleton_names
from nearfar.viewing import draw_overlay, write_overlay
from nearfar.viewing.clip import clip_of, to_scene
from nearfar.viewing.overlay import draw_frame
from nearfar.viewing.style import joint_sides, limb_sides

GREY = np.full((360, 640, 3), 128, np.uint8)


def middle_of(points: np.ndarray, a: str, b: str) -> tuple[int, int]:
    """Row and column of the pixel half way along a limb."""
    x, y = (points[samples.SKELETON.index(a)] + points[samples.SKELETON.index(b)]) / 2
    return round(y), round(x)


def test_left_is_blue_and_right_is_vermilion_and_the_input_is_untouched() -> None:
    poses = samples.clip(1)
    image = GREY.copy()
    drawn = draw_overlay(image, poses.keypoints, None, samples.SKELETON, line_width=5)
    assert (image == GREY).all()
    left = drawn[middle_of(poses.keypoints[0], "left_knee", "left_ankle")].astype(int)
    right = drawn[middle_of(poses.keypoints[0], "right_knee", "right_ankle")].astype(int)
    assert left[2] > left[0] + 80, "the person's left is blue"
    assert right[0] > right[2] + 80, "the person's right is vermilion"


def test_the_background_stays_as_it_is_pixel_for_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)
    poses = samples.clip(1)
    drawn = draw_overlay(image, poses.keypoints, poses.scores, samples.SKELETON)
    changed = (drawn != image).any(axis=2)
    rows, columns = np.nonzero(changed)
    away = np.min(np.linalg.norm(np.stack([columns, rows], 1)[:, None] - poses.keypoints[0][None], axis=-1), axis=1)
    assert 0 < changed.mean() < 0.05
    assert away.max() < 60


def test_low_scores_are_fainter_and_missing_joints_are_not_drawn() -> None:
    poses = samples.clip(1)
    spot = middle_of(poses.keypoints[0], "left_knee", "left_ankle")
    scores = np.ones((1, 17))
    change = []
    for score in (1.0, 0.5, 0.0):
        scores[0, samples.SKELETON.index("left_ankle")] = score
        drawn = draw_overlay(GREY, poses.keypoints, scores, samples.SKELETON, line_width=5)
        change.append(np.abs(drawn[spot].astype(int) - 128).sum())
    assert change[0] > change[1] > change[2] > 0
    keypoints = poses.keypoints.copy()
    keypoints[0, samples.SKELETON.index("left_ankle")] = np.nan
    assert (draw_overlay(GREY, keypoints, None, samples.SKELETON, line_width=5)[spot] == 128).all()


def test_several_people_are_told_apart() -> None:
    poses = samples.clip(1, people=2)
    drawn = draw_overlay(GREY, poses.keypoints, None, samples.SKELETON, line_width=5)
    first, second = (drawn[middle_of(k, "mid_hip", "mid_spine")].astype(int) for k in poses.keypoints)
    assert np.abs(first - second).sum() > 100
    unlabelled = draw_overlay(GREY, poses.keypoints, None, samples.SKELETON, line_width=5, labels=["", ""])
    assert (drawn != unlabelled).any(), "people carry their numbers"


def test_people_carry_the_numbers_of_their_poses() -> None:
    poses = samples.clip(1, people=2)
    poses = dataclasses.replace(poses, person=np.array([3, 8]))
    named = draw_overlay(GREY, poses.keypoints, poses.scores, samples.SKELETON, labels=["3", "8"])
    assert np.array_equal(draw_frame(GREY, clip_of(poses), 0, inset=False), named)
    assert (draw_frame(GREY, clip_of(poses), 0) != named).any(), "and the panel is there"


@settings(max_examples=25, deadline=None)
@given(
    points=st.lists(st.floats(-2000, 2000) | st.just(float("nan")), min_size=34, max_size=34),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
)
def test_any_place_in_or_out_of_the_image_can_be_drawn(points: list[float], height: int, width: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    drawn = draw_overlay(image, np.array(points).reshape(1, 17, 2), None, samples.SKELETON)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize(
    ("image", "keypoints", "scores", "words"),
    [
        (GREY[..., 0], np.zeros((1, 17, 2)), None, "RGB image"),
        (GREY.astype(float), np.zeros((1, 17, 2)), None, "uint8"),
        (GREY, np.zeros((1, 16, 2)), None, r"\(P, 17, 2\)"),
        (GREY, np.zeros((1, 17, 2)), np.zeros((2, 17)), "scores"),
    ],
)
def test_wrong_shapes_are_named(image: np.ndarray, keypoints: np.ndarray, scores: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        draw_overlay(image, keypoints, scores, samples.SKELETON)


def test_a_video_becomes_a_video_of_as_many_frames(tmp_path: Path) -> None:
    media = samples.striped_video(tmp_path / "in.mp4", 20)
    poses = samples.clip(12, people=2, missing=(3,))
    write_overlay(poses, media, tmp_path / "out.mp4")
    before, after = list(read_frames(media)), list(read_frames(tmp_path / "out.mp4"))
    assert len(after) == 20
    assert np.allclose([f.time_s for f in after], [f.time_s for f in before], atol=1e-3)
    change = [np.abs(a.image.astype(int) - b.image).max() for a, b in zip(after, before, strict=True)]
    assert min(change[:3] + change[4:12]) > 60
    assert max(change[13:]) < 40, "frames without poses pass through"


def test_an_image_becomes_an_image(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(samples.striped(5)).save(tmp_path / "in.png")
    write_overlay(samples.clip(1), tmp_path / "in.png", tmp_path / "out.png", inset=False)
    with_inset = tmp_path / "inset.jpg"
    write_overlay(samples.clip(1), tmp_path / "in.png", with_inset)
    plain, inset = (np.asarray(Image.open(path)).astype(int) for path in (tmp_path / "out.png", with_inset))
    corner = np.s_[20:60, -60:-20]
    assert np.abs(inset[corner] - plain[corner]).mean() > 20, "the panel with the 3D pose is in the corner"
    with pytest.raises(InputError, match=r"\.png or \.jpg"):
        write_overlay(samples.clip(1), tmp_path / "in.png", tmp_path / "out.gif")


def test_nothing_is_left_behind_when_the_media_lacks_the_frames(tmp_path: Path) -> None:
    media = samples.striped_video(tmp_path / "in.mp4", 4)
    poses = dataclasses.replace(samples.clip(2), frame_index=np.array([50, 51]))
    with pytest.raises(InputError, match=r"none of the poses' frames \(50\.\.51\)"):
        write_overlay(poses, media, tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]
    with pytest.raises(InputError, match="no 2D keypoints"):
        write_overlay(dataclasses.replace(samples.clip(2), keypoints=None), media, tmp_path / "out.mp4")


@pytest.mark.parametrize("name", skeleton_names())
def test_sides_follow_the_names(name: str) -> None:
    skeleton = get_skeleton(name)
    for joint, side in zip(skeleton.joints, joint_sides(skeleton), strict=True):
        assert side == next((s for s in ("left", "right") if joint.startswith(s)), "centre")
    for limb, side in zip(skeleton.limbs, limb_sides(skeleton), strict=True):
        ends = {joint_sides(skeleton)[limb.parent], joint_sides(skeleton)[limb.child]}
        assert side in ends or side == "centre"


def test_clip_lays_out_people_and_gaps() -> None:
    poses = samples.clip(6, people=2)
    rows = np.array([0, 2, 4, 6, 8, 10, 5, 7])  # person 0 in every frame, person 1 in frames 2 and 3
    clip = clip_of(poses.select(rows))
    assert clip.keypoints is not None
    assert clip.keypoints.shape == (6, 2, 17, 2)
    assert np.isfinite(clip.keypoints[:, 0]).all()
    assert np.isfinite(clip.keypoints[:, 1]).all(axis=(1, 2)).tolist() == [False, False, True, True, False, False]
    assert np.allclose(clip.time, np.arange(6) / 12)


def test_clip_without_frame_numbers_counts_rows() -> None:
    poses = PoseSet(skeleton=samples.SKELETON, joints=np.zeros((5, 17, 3)))
    clip = clip_of(poses)
    assert clip.frame_index.tolist() == [0, 1, 2, 3, 4]
    assert not clip.timed


def test_clip_refuses_what_is_not_one_clip() -> None:
    poses = samples.clip(4)
    with pytest.raises(InputError, match="frame 0 has two poses of person 0"):
        clip_of(dataclasses.replace(poses, frame_index=np.array([0, 0, 1, 2])))
    with pytest.raises(InputError, match="time stamps"):
        clip_of(dataclasses.replace(poses, time=np.array([0, 2, 1, 3.0])))
    with pytest.raises(InputError, match="empty"):
        clip_of(poses.select(slice(0, 0)))


def test_scene_axes_are_upright_and_right_handed() -> None:
    """The camera's right is the scene's right, its down the scene's down, its forward away from the viewer."""
    assert to_scene(np.eye(3), world=False).tolist() == [[1, 0, 0], [0, -1, 0], [0, 0, -1]]
    assert to_scene(np.eye(3), world=True).tolist() == [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    for world in (False, True):
        assert np.linalg.det(to_scene(np.eye(3), world=world)) == pytest.approx(1)
