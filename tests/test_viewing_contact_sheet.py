"""The contact sheet: what it draws, of every kind of poses, and what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from nearfar import PoseSet, get_skeleton, synthetic_poses
from nearfar.errors import InputError
from nearfar.poses import Category
from nearfar.viewing import contact_sheet, save_figure
from nearfar.viewing.contact_sheet import _facing
from nearfar.viewing.style import joint_sides


@pytest.fixture(scope="module")
def poses():
    return synthetic_poses(30, seed=2)


def words(figure):
    return [text.get_text() for text in figure.texts]


def test_a_tile_has_keypoints_front_and_side_and_says_what_it_is(poses, tmp_path):
    figure = contact_sheet(poses, count=5, title="my set")
    assert len(figure.axes) == 15
    assert words(figure)[10] == "my set:  5 of 30 poses, skeleton h36m17"
    drawn = {(words(figure)[i], words(figure)[i + 1]) for i in range(0, 10, 2)}
    rows = zip(poses.action.values(), poses.sequence.values(), poses.frame_index, strict=True)
    assert drawn < {(action, f"{sequence}  frame {frame}") for action, sequence, frame in rows}
    save_figure(figure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 600


def test_seeds_draw_other_poses_and_the_same_again(poses):
    drawn = [words(contact_sheet(poses, count=4, seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(contact_sheet(poses.select(slice(0, 2)), count=12).axes) == 6


@pytest.mark.parametrize("skeleton", ["lsp14", "body25", "mediapipe33"])
@pytest.mark.parametrize("frame", ["camera", "root", "world", None])
def test_any_skeleton_and_frame_and_missing_joints(skeleton, frame):
    skeleton = get_skeleton(skeleton)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4, skeleton.num_joints, 3)) * 300
    points[0] = np.nan
    points[1, ::2] = np.nan
    joints = {} if frame is None else {"joints": points, "frame": frame}
    figure = contact_sheet(PoseSet(skeleton, keypoints=None if frame == "world" else points[..., :2], **joints))
    figure.canvas.draw()
    assert len(figure.axes) == 4 * (3 if frame in ("camera", "root") else 2 if frame == "world" else 1)
    assert "all missing" in [text.get_text() for text in figure.axes[0].texts]


def test_people_in_the_world_are_turned_to_face_the_viewer():
    skeleton = get_skeleton("h36m17")
    rng = np.random.default_rng(0)
    scene = rng.normal(size=(50, 17, 3))
    scene[0], scene[1, 3] = np.nan, np.nan
    turned = _facing(scene, skeleton)
    left, right = (np.array(joint_sides(skeleton)) == side for side in ("left", "right"))
    across = np.nanmean(turned[2:, left], axis=1) - np.nanmean(turned[2:, right], axis=1)
    assert (across[:, 0] > 0).all()
    np.testing.assert_allclose(across[:, 2], 0, atol=1e-9)
    for a, b in ((0, 5), (3, 9)):  # a turn keeps distances, and up
        was, now = (np.linalg.norm(s[2:, a] - s[2:, b], axis=1) for s in (scene, turned))
        np.testing.assert_allclose(was, now)
    np.testing.assert_array_equal(scene[..., 1], turned[..., 1])


def test_images_lie_behind_the_keypoints(poses, tmp_path):
    (tmp_path / "images").mkdir()
    few = poses.select(slice(0, 3))
    names = ["images/a.png", "images/none.png", "not an image"]
    few = dataclasses.replace(few, joints=None, sequence=Category(np.arange(3), tuple(names)))
    width, height = few.image_size[0].astype(int).tolist()
    Image.new("RGB", (width, height), (10, 200, 30)).save(tmp_path / "images" / "a.png")
    figure = contact_sheet(few, images=tmp_path)
    assert [len(ax.images) for ax in figure.axes] == [1, 0, 0]
    ax = figure.axes[0]
    left, right, bottom, top = ax.images[0].get_extent()
    x = few.keypoints[0, :, 0]
    assert left <= max(x.min(), 0)
    assert right >= min(x.max(), width)
    assert bottom > top  # y down, as in the picture
    assert ax.images[0].get_array()[0, 0].tolist() == [10, 200, 30]
    (tmp_path / "images" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(InputError, match=r"a\.png"):
        contact_sheet(few, images=tmp_path)


def test_what_it_refuses(poses):
    with pytest.raises(InputError, match=r"expected 1\.\.60 poses, got 61"):
        contact_sheet(poses, count=61)
    with pytest.raises(InputError, match="there are no poses"):
        contact_sheet(poses.select(slice(0, 0)))
