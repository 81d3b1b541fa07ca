"""Pictures of a solid person for the lessons: round cones and spheres, lit, on a floor of tiles. Plain numpy.

A limb is the hull of two balls (a round cone). Rays are followed to the nearest surface, once from the camera and once
from the lamp, whose picture tells what lies in shadow (Williams, "Casting curved shadows on curved surfaces", 1978).
World: z up, the floor at z = 0, mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.annotation.projects.mannequin import Part, unit
from nearfar.camera import project, world_to_camera

__all__ = ["View", "look_at", "render", "surface_depth"]

Array = npt.NDArray[Any]

FLOOR = np.array([[0.80, 0.79, 0.76], [0.71, 0.70, 0.67]])
WALL = np.array([0.86, 0.89, 0.92])
TILE = 400.0
HORIZON = (3200.0, 7700.0)
"""mm from the camera between which the floor fades into the wall."""
LAMP = np.array([-0.35, 0.3, 0.89])
"""Towards the lamp, in the camera's horizontal frame: right, away from the camera, up. It makes shadows fall nearby."""
SHADOW_SIDE = 400
SPREAD = ((-1.5, -0.5), (0.5, -1.5), (1.5, 0.5), (-0.5, 1.5))
"""Steps of the shadow map that are averaged for soft edges."""


@dataclass(frozen=True, eq=False)
class View:
    """A camera: p_cam = R (p_world − c), without distortion.

    Attributes:
        rotation: (3, 3) R.
        centre: (3,) c, mm.
        intrinsics: (4,) fx, fy, cx, cy in pixels.
        size: width and height in pixels.
    """

    rotation: Array
    centre: Array
    intrinsics: Array
    size: tuple[int, int]

    def joints(self, world: Array) -> Array:
        """(J, 3) joints in the camera's frame."""
        return np.asarray(world_to_camera(world, self.rotation, self.centre))

    def pixels(self, world: Array) -> Array:
        """(J, 2) pixels of joints."""
        return np.asarray(project(self.joints(world), self.intrinsics))

    def scaled(self, factor: int) -> View:
        """The same view with more pixels."""
        width, height = self.size
        return View(self.rotation, self.centre, self.intrinsics * factor, (width * factor, height * factor))


def look_at(
    target: Array, azimuth: float, *, distance: float, height: float, size: tuple[int, int], high: float
) -> View:
    """A level camera that looks at a point and shows so many mm of the world there, from top to bottom.

    Args:
        target: (3,) world, mm.
        azimuth: degrees about the vertical: where the camera stands, seen from the target.
        distance: mm, along the floor.
        height: of the camera above the floor, mm.
        size: width and height in pixels.
        high: mm.
    """
    angle = np.deg2rad(azimuth)
    centre = np.array(
        [target[0] + distance * np.cos(angle), target[1] + distance * np.sin(angle), height], dtype=np.float64
    )
    forward = target - centre
    length = float(np.linalg.norm(forward))
    forward = forward / length
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    focal = size[1] * length / high
    return View(rotation, centre, np.array([focal, focal, size[0] / 2, size[1] / 2]), size)


def render(parts: Sequence[Part], view: View, *, samples: int = 2) -> Array:
    """A picture of a body on the floor.

    Args:
        parts: the body.
        view: the camera.
        samples: rays along each side of a pixel.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    fine = view.scaled(samples)
    lamp = _lamp(view)
    shadow = _ShadowMap.of(parts, lamp)
    rays = _rays(fine).astype(np.float32)
    distance, part, normal = _trace(parts, view.centre, rays, _boxes(parts, fine))
    colour = _floor(parts, view, rays, shadow)
    hit = part >= 0
    at, n = view.centre + distance[hit, None] * rays[hit], normal[hit]
    bright = np.maximum(n @ lamp, 0) * shadow.lit(at + 6 * n)
    facing = np.maximum(-_dot(n, _units(rays[hit])), 0)
    light = 0.30 + 0.22 * (0.5 + 0.5 * n[:, 2]) + 0.42 * bright + 0.16 * facing
    colour[hit] = np.array([p.colour for p in parts], np.float32)[part[hit]] * light[:, None]
    width, height = view.size
    image = colour.reshape(height, samples, width, samples, 3).mean(axis=(1, 3))
    return np.asarray(np.clip(image, 0, 1) ** (1 / 1.15) * 255 + 0.5, dtype=np.uint8)


def _floor(parts: Sequence[Part], view: View, rays: Array, shadow: _ShadowMap) -> Array:
    """(H, W, 3) colours where the body is not: tiles, and far away a wall, without a line between them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(rays[..., 2] < -1e-6, -view.centre[2] / rays[..., 2], np.inf)
    colour = np.broadcast_to(WALL, rays.shape).astype(np.float32)
    seen = far < HORIZON[1]
    place = view.centre[:2] + far[seen, None] * rays[seen, :2]
    tiles = np.floor(place / TILE).astype(np.int32).sum(axis=1) % 2
    light = (0.62 + 0.38 * shadow.floor(place)) * (1 - 0.35 * _closeness(parts, place))
    share = np.clip((far[seen] - HORIZON[0]) / (HORIZON[1] - HORIZON[0]), 0, 1)[:, None]
    colour[seen] = FLOOR[tiles] * light[:, None] * (1 - share) + WALL * share
    return colour


def surface_depth(parts: Sequence[Part], view: View, pixels: Array) -> tuple[Array, list[str]]:
    """Depth (the camera's z) of the body's surface at (M, 2) pixels, inf beside it; and which part is there."""
    k = view.intrinsics
    rays = np.concatenate([(pixels - k[2:]) / k[:2], np.ones((len(pixels), 1))], axis=1) @ view.rotation
    depth = np.full(len(pixels), np.inf)
    names = [""] * len(pixels)
    for part in parts:
        t, _ = _hit(part, view.centre, rays)
        for i in np.flatnonzero(t < depth):
            depth[i], names[i] = t[i], part.name
    return depth, names


def _lamp(view: View) -> Array:
    right = view.rotation[0]
    away = unit(np.cross([0.0, 0.0, 1.0], right))
    return unit(LAMP[0] * right + LAMP[1] * away * -1 + LAMP[2] * np.array([0, 0, 1.0]))


def _rays(view: View) -> Array:
    """(H, W, 3) directions through the middles of pixels, in the world, of length 1 along the camera's axis."""
    width, height = view.size
    fx, fy, cx, cy = view.intrinsics
    x, y = np.meshgrid((np.arange(width) + 0.5 - cx) / fx, (np.arange(height) + 0.5 - cy) / fy)
    return np.asarray(np.stack([x, y, np.ones_like(x)], axis=-1) @ view.rotation)


def _boxes(parts: Sequence[Part], view: View) -> list[tuple[slice, slice]]:
    """Rows and columns of the picture in which each part may be seen."""
    boxes = []
    for part in parts:
        ends = view.joints(np.stack([part.a, part.b]))
        radius = np.array([part.radius_a, part.radius_b])
        # A ball's outline is wider than its radius over its depth, as its rim is nearer; it lies behind this plane.
        reach = 1.1 * view.intrinsics[0] * radius / np.maximum(ends[:, 2] - radius, 1)
        xy = np.asarray(project(ends, view.intrinsics))
        boxes.append(_slices(xy - reach[:, None], xy + reach[:, None], view.size))
    return boxes


def _slices(low: Array, high: Array, size: tuple[int, int]) -> tuple[slice, slice]:
    first = np.clip(np.floor(low.min(axis=0)), 0, size).astype(int)
    last = np.clip(np.ceil(high.max(axis=0)) + 1, 0, size).astype(int)
    return slice(first[1], last[1]), slice(first[0], last[0])


def _trace(
    parts: Sequence[Part], origin: Array, rays: Array, boxes: Sequence[tuple[slice, slice]]
) -> tuple[Array, Array, Array]:
    """(H, W) distance along each ray to the nearest surface (inf for none), its part's number (-1), and its normal."""
    distance = np.full(rays.shape[:-1], np.inf, np.float32)
    which = np.full(rays.shape[:-1], -1, np.int32)
    normal = np.zeros(rays.shape, np.float32)
    for i, (part, box) in enumerate(zip(parts, boxes, strict=True)):
        start = np.broadcast_to(origin, rays.shape)[box] if origin.ndim > 1 else origin
        t, n = _hit(part, start, rays[box])
        nearer = t < distance[box]
        distance[box][nearer], which[box][nearer], normal[box][nearer] = t[nearer], i, n[nearer]
    return distance, which, normal


def _hit(part: Part, origin: Array, rays: Array) -> tuple[Array, Array]:
    """Distance along rays (..., 3) to a part's surface, inf where they miss it, and the surface's normal there.

    The part is the union of balls at a + s·u with radius r − s·d, s in 0..1. The envelope of all s satisfies
    |p|² − r² = (u·p − r d)² / (u² − d²) for points p relative to a, and touches the ball s = (u·p − r d) / (u² − d²).
    """
    u, d, r = part.b - part.a, part.radius_a - part.radius_b, part.radius_a
    o = origin - part.a
    rr, ro, oo = _dot(rays, rays), _dot(rays, o), _dot(o, o)
    best, at = np.full(rays.shape[:-1], np.inf), np.zeros(rays.shape[:-1])
    span = float(u @ u) - d * d
    if span > 1e-9:
        ru, shift = rays @ u, o @ u - r * d
        a, b, c = rr - ru * ru / span, ro - ru * shift / span, oo - r * r - shift * shift / span
        t = _root(a, b, c)
        s = (shift + np.where(np.isfinite(t), t, 0) * ru) / span
        on = np.isfinite(t) & (s >= 0) & (s <= 1)
        best, at = np.where(on, t, np.inf), np.where(on, s, 0.0)
    for end, centre, radius in ((0.0, part.a, part.radius_a), (1.0, part.b, part.radius_b)):
        o = origin - centre
        t = _root(rr, _dot(rays, o), _dot(o, o) - radius * radius)
        at = np.where(t < best, end, at)
        best = np.minimum(best, t)
    point = origin - part.a + np.where(np.isfinite(best), best, 0)[..., None] * rays - at[..., None] * u
    return best, point / (r - at * d)[..., None]


def _root(a: Array, b: Array, c: Array) -> Array:
    """The smaller root of a t² + 2 b t + c where it is positive, else inf."""
    with np.errstate(invalid="ignore", divide="ignore"):
        t = (-b - np.sqrt(b * b - a * c)) / a
        return np.where((a > 1e-12) & (t > 0), t, np.inf)


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])


@dataclass(frozen=True, eq=False)
class _ShadowMap:
    """What the lamp sees: distances along its light, over a square of the plane across it."""

    axes: Array
    low: Array
    step: float
    depth: Array

    @classmethod
    def of(cls, parts: Sequence[Part], lamp: Array) -> _ShadowMap:
        across = unit(np.cross(lamp, [0.31, 0.95, 0.0]))
        axes = np.stack([across, np.cross(-lamp, across), -lamp])
        ends = np.array([[p.a, p.b] for p in parts]) @ axes.T
        radius = np.array([[p.radius_a, p.radius_b] for p in parts])[..., None]
        low, high = (ends - radius)[..., :2].min(axis=(0, 1)), (ends + radius)[..., :2].max(axis=(0, 1))
        step = float((high - low).max() / SHADOW_SIDE)
        size = SHADOW_SIDE + 1
        start = ends[..., 2].min() - 1000
        grid = np.arange(size) * step
        x, y = np.meshgrid(low[0] + grid, low[1] + grid)
        origin = np.stack([x, y, np.full_like(x, start)], axis=-1) @ axes
        boxes = [
            _slices((end[:, :2] - r - low) / step, (end[:, :2] + r - low) / step, (size, size))
            for end, r in zip(ends, radius, strict=True)
        ]
        t, _, _ = _trace(parts, origin, np.broadcast_to(-lamp, origin.shape), boxes)
        return cls(axes, low, step, start + t)

    def lit(self, points: Array) -> Array:
        """(M,) share of the lamp's light that reaches points; shadows have soft edges."""
        x, y, depth = (points @ self.axes.T).T
        x, y = (x - self.low[0]) / self.step, (y - self.low[1]) / self.step
        share = np.zeros(len(points), np.float32)
        for dx, dy in SPREAD:
            blocker = self._at(self.depth, x + dx, y + dy)
            share += blocker > depth - 8
        return share / len(SPREAD)

    def floor(self, places: Array) -> Array:
        """(M,) share of the lamp's light that reaches (M, 2) places on the floor, which nothing lies below."""
        free: Array = 1 - np.pad(np.isfinite(self.depth), 4).astype(np.float32)
        for axis in (0, 1, 0, 1):
            free = (free + np.roll(free, 1, axis) + np.roll(free, -1, axis) + np.roll(free, 2, axis)) / 4
        x, y = ((places @ self.axes[:2, :2].T) - self.low).T / self.step
        return self._at(free, x + 4, y + 4, outside=1.0)

    @staticmethod
    def _at(grid: Array, x: Array, y: Array, outside: float = np.inf) -> Array:
        x, y = np.rint(x).astype(np.int32), np.rint(y).astype(np.int32)
        inside = (x >= 0) & (y >= 0) & (x < grid.shape[1]) & (y < grid.shape[0])
        value = np.full(len(x), outside, np.float32)
        value[inside] = grid[y[inside], x[inside]]
        return value


def _closeness(parts: Sequence[Part], places: Array) -> Array:
    """(M,) how much the body just above darkens places on the floor, 0..1."""
    dark = np.zeros(len(places), np.float32)
    for part in parts:
        for centre, radius in ((part.a, part.radius_a), (part.b, part.radius_b)):
            gap = max(centre[2] - radius, 0.0)
            spread = 1.5 * radius + gap
            if gap < 250:
                near = np.flatnonzero((np.abs(places - centre[:2]) < 2.5 * spread).all(axis=1))
                away = ((places[near] - centre[:2]) ** 2).sum(axis=1) / spread**2
                dark[near] = np.maximum(dark[near], np.exp(-away) * (1 - gap / 250))
    return dark


def _units(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
