"""Pinhole cameras: intrinsics, rays, projection, lens distortion, world to camera.

Camera frame: x right, y down, z forward (OpenCV), in millimetres. Pixels: the origin is the top-left corner of the
top-left pixel. Intrinsics are rows (fx, fy, cx, cy) in pixels.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError

__all__ = [
    "DEFAULT_FIELD_OF_VIEW",
    "DEFAULT_RAY_RMS",
    "Distortion",
    "as_numbers",
    "assumed_intrinsics",
    "camera_to_world",
    "check_field_of_view",
    "check_intrinsics",
    "distort_rays",
    "fit_translation",
    "keypoints_to_rays",
    "project",
    "project_distorted",
    "world_to_camera",
]

FloatArray = npt.NDArray[np.floating[Any]]
Distortion = Literal["opencv", "h36m"]

DEFAULT_FIELD_OF_VIEW = 55.0
"""Degrees along the longer side of the image, taken where no intrinsics are known (a phone or a 35 mm lens)."""

DEFAULT_RAY_RMS = 0.11
"""Apparent size (RMS ray offset from the root) taken where not even the image size is known: a person 4 m away."""


def as_numbers(values: npt.ArrayLike, name: str) -> FloatArray:
    """A new float64 array of `values`.

    Raises:
        InputError: they are not numbers, or not of one shape.
    """
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected an array of numbers ({error})") from None


def check_intrinsics(intrinsics: npt.ArrayLike) -> FloatArray:
    """Validate (..., 4) intrinsics fx, fy, cx, cy in pixels.

    Raises:
        InputError: wrong shape, not finite, or a focal length that is not positive.
    """
    array = as_numbers(intrinsics, "intrinsics")
    if array.ndim < 1 or array.shape[-1] != 4:
        raise InputError(f"intrinsics: expected (..., 4) fx, fy, cx, cy in pixels, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError("intrinsics: fx, fy, cx, cy must be finite numbers")
    if (array[..., :2] <= 0).any():
        raise InputError(f"intrinsics: focal lengths must be positive, the smallest is {array[..., :2].min():g}")
    return array


def check_field_of_view(degrees: float) -> None:
    """Refuse what is no field of view.

    Raises:
        InputError: not an angle between 1 and 179 degrees.
    """
    if not 1 <= degrees <= 179:
        raise InputError(f"field of view: expected 1 to 179 degrees, got {degrees:g}")


def assumed_intrinsics(
    image_size: npt.ArrayLike | None,
    keypoints: npt.ArrayLike,
    root_index: int,
    field_of_view: float = DEFAULT_FIELD_OF_VIEW,
) -> FloatArray:
    """Intrinsics for a camera nobody calibrated.

    With an image size: `field_of_view` degrees along the longer side, square pixels, principal point in the middle.
    Without: the principal point is the median root and the focal length such that the median apparent size of the
    person is `DEFAULT_RAY_RMS`; both taken over all poses given, so a clip keeps one camera.

    Args:
        image_size: (..., 2) width and height in pixels, or None.
        keypoints: (..., J, 2) pixels; NaN joints are left out.
        root_index: index of the root joint.
        field_of_view: degrees along the longer image side.

    Returns:
        (4,) or (..., 4) fx, fy, cx, cy in pixels.
    """
    if image_size is not None:
        size = as_numbers(image_size, "image size")
        if size.shape[-1:] != (2,) or not (np.isfinite(size).all() and (size > 0).all()):
            raise InputError(f"image size: expected positive (..., 2) width and height in pixels, got {size.tolist()}")
        focal = size.max(axis=-1) / (2 * np.tan(np.deg2rad(field_of_view) / 2))
        return np.concatenate([np.stack([focal, focal], axis=-1), size / 2], axis=-1)
    points = np.asarray(keypoints, dtype=np.float64).reshape(-1, *np.asarray(keypoints).shape[-2:])
    roots = points[:, root_index]
    offsets = points - roots[:, None]
    square = (offsets**2).sum(axis=-1)
    seen = np.isfinite(square)
    usable = seen.sum(axis=1) > 1
    if not usable.any():
        return np.array([1.0, 1.0, 0.0, 0.0])
    rms = np.sqrt(np.where(seen, square, 0).sum(axis=1)[usable] / seen.sum(axis=1)[usable])
    centre = np.median(roots[usable], axis=0)
    focal = max(float(np.median(rms)), np.finfo(np.float64).tiny) / DEFAULT_RAY_RMS
    return np.array([focal, focal, *centre])


def keypoints_to_rays(keypoints: npt.ArrayLike, intrinsics: npt.ArrayLike) -> FloatArray:
    """Pixels (..., J, 2) to ray slopes (..., J, 2): ((u - cx) / fx, (v - cy) / fy); NaN stays NaN."""
    k = np.asarray(intrinsics, dtype=np.float64)[..., None, :]
    return np.asarray((np.asarray(keypoints, dtype=np.float64) - k[..., 2:]) / k[..., :2])


def fit_translation(joints: npt.ArrayLike, rays: npt.ArrayLike) -> FloatArray:
    """The translation t that makes joints + t reproject best onto their rays, in linear least squares.

    Minimises the sum over joints of ‖(x + t_x) − r_x·(z + t_z)‖² + ‖(y + t_y) − r_y·(z + t_z)‖².

    Args:
        joints: (N, J, 3) mm, the camera's axes.
        rays: (N, J, 2) ray slopes; joints or rays that are NaN take no part.

    Returns:
        (N, 3) mm; NaN where fewer than three joints can be used or they do not fix a distance.
    """
    p, r = np.asarray(joints, dtype=np.float64), np.asarray(rays, dtype=np.float64)
    w = np.all(np.isfinite(p[..., :2] + p[..., 2:] + r), axis=-1).astype(np.float64)
    p, r = np.nan_to_num(p), np.nan_to_num(r)
    n, sums = np.sum(w, axis=-1), (w[..., None] * r).sum(-2)
    target = r * p[..., 2:] - p[..., :2]  # t_x − r_x t_z = r_x z − x, and the same for y
    right = (w[..., None] * target).sum(-2)
    normal = np.zeros((len(p), 3, 3))
    normal[:, 0, 0] = normal[:, 1, 1] = n
    normal[:, :2, 2] = normal[:, 2, :2] = -sums
    normal[:, 2, 2] = (w[..., None] * r * r).sum((-2, -1))
    vector = np.concatenate([right, -(w[..., None] * r * target).sum((-2, -1))[:, None]], axis=-1)
    solvable = (n >= 3) & (np.abs(np.linalg.det(normal)) > 1e-9)
    normal[~solvable] = np.eye(3)
    return np.where(solvable[:, None], np.linalg.solve(normal, vector[..., None])[..., 0], np.nan)


def project(joints: npt.ArrayLike, intrinsics: npt.ArrayLike) -> FloatArray:
    """Camera-frame joints (..., J, 3) to pixels (..., J, 2), without distortion; NaN for joints behind the camera."""
    p = np.asarray(joints, dtype=np.float64)
    k = np.asarray(intrinsics, dtype=np.float64)[..., None, :]
    depth = np.where(p[..., 2:] > 0, p[..., 2:], np.nan)
    return np.asarray(p[..., :2] / depth * k[..., :2] + k[..., 2:])


def distort_rays(
    rays: npt.ArrayLike, radial: npt.ArrayLike, tangential: npt.ArrayLike, model: Distortion = "opencv"
) -> FloatArray:
    """Bend ray slopes as a lens does: radial and tangential distortion.

    With r² = x² + y², radial k and tangential p:

        (x, y) · (1 + k₀r² + k₁r⁴ + k₂r⁶ + m·(p₀y + p₁x)) + (p₁, p₀)·r²

    m = 2 is the model of Brown (1966) as OpenCV has it, with its coefficients k₁, k₂, k₃ and p₁, p₂. m = 1 is what
    Human3.6M's keypoints have been made with since 3d-pose-baseline (``project_point_radial`` in ``src/cameras.py``),
    by Ronchi et al. (BMVC 2018) too: half of the cross term.

    Args:
        rays: (..., J, 2) slopes x/z, y/z; NaN stays NaN.
        radial: (..., 3) k.
        tangential: (..., 2) p.
        model: "opencv", or "h36m" for half of the cross term.

    Returns:
        (..., J, 2) slopes.

    Raises:
        InputError: no such model.
    """
    if model not in get_args(Distortion):
        raise InputError(f"distortion: expected one of {get_args(Distortion)}, got {model!r}")
    xy = np.asarray(rays, dtype=np.float64)
    k = np.asarray(radial, dtype=np.float64)[..., None, :]
    p = np.asarray(tangential, dtype=np.float64)[..., None, ::-1]  # (p₁, p₀): p₀ goes with y
    square = (xy**2).sum(axis=-1, keepdims=True)
    cross = (p * xy).sum(axis=-1, keepdims=True)
    stretch = 1 + square * (k[..., :1] + square * (k[..., 1:2] + square * k[..., 2:]))
    return np.asarray(xy * (stretch + (2 if model == "opencv" else 1) * cross) + p * square)


def project_distorted(
    joints: npt.ArrayLike,
    intrinsics: npt.ArrayLike,
    radial: npt.ArrayLike,
    tangential: npt.ArrayLike,
    model: Distortion = "opencv",
) -> FloatArray:
    """Camera-frame joints (..., J, 3) to pixels (..., J, 2) through a lens that distorts (`distort_rays`).

    NaN for joints behind the camera, as from `project`.
    """
    p = np.asarray(joints, dtype=np.float64)
    k = np.asarray(intrinsics, dtype=np.float64)[..., None, :]
    rays = p[..., :2] / np.where(p[..., 2:] > 0, p[..., 2:], np.nan)
    return np.asarray(distort_rays(rays, radial, tangential, model) * k[..., :2] + k[..., 2:])


def world_to_camera(points: npt.ArrayLike, rotation: npt.ArrayLike, centre: npt.ArrayLike) -> FloatArray:
    """World points (..., J, 3) to the camera frame: p_cam = R (p_world − c), mm.

    Args:
        points: (..., J, 3) mm, world frame (right-handed, z up).
        rotation: (..., 3, 3) R, its rows the camera's x, y and z axes in the world.
        centre: (..., 3) camera position c in the world, mm.
    """
    p = np.asarray(points) - np.asarray(centre)[..., None, :]
    return np.asarray(p @ np.swapaxes(np.asarray(rotation), -1, -2))


def camera_to_world(points: npt.ArrayLike, rotation: npt.ArrayLike, centre: npt.ArrayLike) -> FloatArray:
    """Camera points (..., J, 3) to the world frame, the inverse of `world_to_camera`: p_world = Rᵀ p_cam + c, mm."""
    return np.asarray(np.asarray(points) @ np.asarray(rotation) + np.asarray(centre)[..., None, :])
