"""Cameras: projection and its inverse, the camera's frame, cameras nobody calibrated, bad intrinsics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.camera import (
    DEFAULT_FIELD_OF_VIEW,
    DEFAULT_RAY_RMS,
    assumed_intrinsics,
    camera_to_world,
    check_intrinsics,
    distort_rays,
    keypoints_to_rays,
    project,
    project_distorted,
    world_to_camera,
)
from nearfar.errors import InputError

seeds = st.integers(0, 2**32 - 1)


def scene(seed, batch=(3, 2), joints=5):
    """Joints in front of the camera (mm), and intrinsics that differ from one to the next."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform([-2000, -2000, 500], [2000, 2000, 9000], (*batch, joints, 3))
    k = rng.uniform([300, 300, -100, -100], [3000, 3000, 2000, 2000], (*batch, 4))
    return xyz, k


def random_rotation(rng, batch=()):
    q, r = np.linalg.qr(rng.normal(size=(*batch, 3, 3)))
    q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return q * np.sign(np.linalg.det(q))[..., None, None]


@given(seeds)
def test_rays_undo_the_projection(seed):
    xyz, k = scene(seed)
    rays = keypoints_to_rays(project(xyz, k), k)
    np.testing.assert_allclose(rays, xyz[..., :2] / xyz[..., 2:], rtol=1e-9, atol=1e-9)
    pixels = project(np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1) * xyz[..., 2:], k)
    np.testing.assert_allclose(pixels, project(xyz, k), rtol=1e-9, atol=1e-6)


def test_projection_by_hand():
    pixel = project([[200.0, -100.0, 2000.0]], [1000, 500, 320, 240])
    assert pixel.tolist() == [[420, 215]]  # right of the centre, and above it: y points down


def test_what_is_behind_the_camera_or_missing_has_no_pixel():
    pixels = project([[0, 0, -1.0], [0, 0, 0], [np.nan, 1, 1], [0, 0, 1]], [1, 1, 0, 0])
    assert np.isnan(pixels).any(axis=-1).tolist() == [True, True, True, False]
    assert np.isnan(keypoints_to_rays(pixels, [1, 1, 0, 0])).any(axis=-1).tolist() == [True, True, True, False]


@given(seeds)
def test_world_and_camera_are_inverse_and_keep_lengths(seed):
    rng = np.random.default_rng(seed)
    points, R, c = rng.normal(size=(4, 6, 3)) * 1000, random_rotation(rng, (4,)), rng.normal(size=(4, 3)) * 3000
    camera = world_to_camera(points, R, c)
    np.testing.assert_allclose(camera_to_world(camera, R, c), points, atol=1e-8)
    np.testing.assert_allclose(np.diff(camera, axis=1)[0, 0] @ np.diff(camera, axis=1)[0, 0],
                               np.diff(points, axis=1)[0, 0] @ np.diff(points, axis=1)[0, 0])  # fmt: skip
    np.testing.assert_allclose(camera[2, 3], R[2] @ (points[2, 3] - c[2]))


def test_a_camera_that_looks_north():
    # It stands 5 m south of the origin and 1 m up: x is east, y down, z north.
    R = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    centre = [0, -5000, 1000]
    assert world_to_camera([[300, 0, 1500]], R, centre).tolist() == [[300, -500, 5000]]
    assert camera_to_world([[0, 0, 0]], R, centre).tolist() == [centre]


def test_assumed_camera_from_the_image_size():
    k = assumed_intrinsics([1920, 1080], np.zeros((17, 2)), 0)
    assert k[2:].tolist() == [960, 540]
    assert k[0] == k[1]
    assert 2 * np.rad2deg(np.arctan(960 / k[0])) == pytest.approx(DEFAULT_FIELD_OF_VIEW)
    portrait = assumed_intrinsics([1080, 1920], np.zeros((17, 2)), 0)
    assert portrait[0] == k[0]  # the longer side counts
    assert assumed_intrinsics(np.array([[640, 480], [64, 48]]), np.zeros((2, 17, 2)), 0).shape == (2, 4)


@given(seeds, st.floats(0.01, 100), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_without_image_size_the_assumed_camera_follows_the_person(seed, scale, dx, dy):
    keypoints = np.random.default_rng(seed).normal(size=(9, 17, 2)) * 100
    k = assumed_intrinsics(None, keypoints, 0)
    moved = assumed_intrinsics(None, keypoints * scale + [dx, dy], 0)
    np.testing.assert_allclose(moved[:2], k[:2] * scale, rtol=1e-6)
    np.testing.assert_allclose(moved[2:], k[2:] * scale + [dx, dy], rtol=1e-6, atol=1e-6)
    offsets = keypoints_to_rays(keypoints, k) - keypoints_to_rays(keypoints, k)[:, :1]
    rms = np.sqrt((offsets**2).sum(axis=-1).mean(axis=-1))
    assert np.median(rms) == pytest.approx(DEFAULT_RAY_RMS)


def test_assumed_camera_leaves_out_missing_joints_and_frames():
    keypoints = np.random.default_rng(0).normal(size=(5, 17, 2)) * 100
    holes = np.concatenate([keypoints, np.full((2, 17, 2), np.nan)])
    np.testing.assert_array_equal(assumed_intrinsics(None, holes, 0), assumed_intrinsics(None, keypoints, 0))
    nobody = assumed_intrinsics(None, np.full((2, 17, 2), np.nan), 0)
    assert np.isfinite(nobody).all()
    assert (nobody[:2] > 0).all()


@pytest.mark.parametrize("size", [[0, 100], [-1, 5], [np.nan, 5], [100], [1, 2, 3]])
def test_bad_image_size(size):
    with pytest.raises(InputError, match="image size: expected positive"):
        assumed_intrinsics(size, np.zeros((17, 2)), 0)


@pytest.mark.parametrize(
    ("intrinsics", "message"),
    [
        ([1, 1, 0], r"expected \(..., 4\) fx, fy, cx, cy in pixels, got shape \(3,\)"),
        (5.0, r"got shape \(\)"),
        ([1, np.nan, 0, 0], "must be finite"),
        ([1, 1, np.inf, 0], "must be finite"),
        ([[1, 1, 0, 0], [1, -2, 0, 0]], "focal lengths must be positive, the smallest is -2"),
        ([0, 1, 0, 0], "the smallest is 0"),
    ],
)
def test_bad_intrinsics(intrinsics, message):
    with pytest.raises(InputError, match=message):
        check_intrinsics(intrinsics)


def test_good_intrinsics():
    assert check_intrinsics([[1, 2, -3, 4]]).tolist() == [[1, 2, -3, 4]]


def lens(rng, batch=()):
    return rng.normal(size=(*batch, 3)) * [0.2, 0.2, 0.01], rng.normal(size=(*batch, 2)) * 0.002


def opencv_point(x, y, k, p):
    """One point after OpenCV's documentation of projectPoints, with k4 to k6 and the prism left out."""
    r2 = x * x + y * y
    bend = 1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3
    return [
        x * bend + 2 * p[0] * x * y + p[1] * (r2 + 2 * x * x),
        y * bend + p[0] * (r2 + 2 * y * y) + 2 * p[1] * x * y,
    ]


def h36m_point(x, y, k, p):
    """One point after PAPER section 6: (x, y)(1 + k·[r², r⁴, r⁶] + p0 y + p1 x) + (p1, p0) r²."""
    r2 = x * x + y * y
    factor = 1 + k @ [r2, r2**2, r2**3] + p[0] * y + p[1] * x
    return [x * factor + p[1] * r2, y * factor + p[0] * r2]


@pytest.mark.parametrize(("model", "point"), [("opencv", opencv_point), ("h36m", h36m_point)])
@given(seed=seeds)
def test_distortion_as_published(model, point, seed):
    rng = np.random.default_rng(seed)
    k, p = lens(rng)
    rays = rng.uniform(-0.6, 0.6, (7, 2))
    np.testing.assert_allclose(distort_rays(rays, k, p, model), [point(*xy, k, p) for xy in rays], rtol=1e-12)


@given(seeds)
def test_the_two_distortions_differ_by_half_of_the_cross_term(seed):
    rng = np.random.default_rng(seed)
    (k, p), rays = lens(rng, (3,)), rng.uniform(-0.6, 0.6, (3, 7, 2))
    difference = distort_rays(rays, k, p, "opencv") - distort_rays(rays, k, p, "h36m")
    cross = rays @ p[:, ::-1, None]
    np.testing.assert_allclose(difference, rays * cross, atol=1e-15)
    radial_only = [distort_rays(rays, k, np.zeros(2), model) for model in ("opencv", "h36m")]
    np.testing.assert_array_equal(*radial_only)


@given(seeds)
def test_without_distortion_the_projection_is_the_pinholes(seed):
    xyz, k = scene(seed)
    np.testing.assert_allclose(project_distorted(xyz, k, np.zeros(3), np.zeros(2)), project(xyz, k), rtol=1e-12)
    radial, tangential = lens(np.random.default_rng(seed), xyz.shape[:-2])
    bent = distort_rays(keypoints_to_rays(project(xyz, k), k), radial, tangential)
    pixels = project_distorted(xyz, k, radial, tangential)
    np.testing.assert_allclose(keypoints_to_rays(pixels, k), bent, rtol=1e-6, atol=1e-9)


def test_distortion_of_what_is_not_seen():
    pixels = project_distorted([[0, 0, -1.0], [np.nan, 1, 1], [0, 0, 1]], [9, 9, 5, 6], [0.1, 0, 0], [0.1, 0])
    assert np.isnan(pixels).any(axis=-1).tolist() == [True, True, False]
    assert pixels[2].tolist() == [5, 6]
    with pytest.raises(InputError, match=r"expected one of \('opencv', 'h36m'\), got 'fisheye'"):
        distort_rays(np.zeros((1, 2)), np.zeros(3), np.zeros(2), "fisheye")
