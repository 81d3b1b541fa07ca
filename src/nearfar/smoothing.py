"""Smoothers for poses through time: the one-euro filter (online) and Savitzky-Golay's local polynomials (offline).

Both take points (T, ..., D) at times (T,) in seconds, which need not be evenly spaced, and give as many back. A missing
point is NaN in all coordinates; it stays missing, and the points around it do without it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.poses import PoseSet
from nearfar.sequences import clips

__all__ = ["OneEuro", "SavitzkyGolay", "Smoother", "smooth_poses", "smoother_of"]

FloatArray = npt.NDArray[np.floating[Any]]


class Smoother(Protocol):
    """What smooths points (T, ..., D) at times (T,)."""

    def __call__(self, points: npt.ArrayLike, time: npt.ArrayLike) -> FloatArray:
        """The points, smoothed; NaN where they are."""
        ...


@dataclass(frozen=True)
class OneEuro:
    """The one-euro filter (Casiez, Roussel & Vogel, CHI 2012): a low-pass filter that opens up with speed.

    Frame by frame, with Δ the time since the point was last there and α(f) = 1 / (1 + 1 / (2πfΔ)):
    the velocity v is smoothed with α(derivative_cutoff), the point with α(min_cutoff + beta·‖v‖). It looks at the past
    only. The paper filters each coordinate by its own speed; here a point has one speed, so axes do not matter.

    Attributes:
        min_cutoff: Hz, the cutoff of a point at rest: lower is smoother, and later.
        beta: Hz per unit of speed (per mm/s for joints): higher follows fast movements sooner.
        derivative_cutoff: Hz, the cutoff of the velocity.
    """

    min_cutoff: float = 1.0
    beta: float = 0.005
    derivative_cutoff: float = 1.0

    def __post_init__(self) -> None:
        for name in ("min_cutoff", "derivative_cutoff"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"one-euro filter: {name}: expected a number above 0, got {getattr(self, name)}")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise InputError(f"one-euro filter: beta: expected a number of 0 or more, got {self.beta}")

    def __call__(self, points: npt.ArrayLike, time: npt.ArrayLike) -> FloatArray:
        """See `Smoother`.

        Raises:
            InputError: times that do not increase, or do not fit the points.
        """
        x, t = _checked(points, time)
        smooth, there = x.copy(), np.asarray(np.all(np.isfinite(x), axis=-1))
        value, velocity = np.full(x.shape[1:], np.nan), np.zeros(x.shape[1:])
        last = np.full(x.shape[1:-1], np.nan)
        for i, (now, seen) in enumerate(zip(x, there, strict=True)):
            known = seen & np.isfinite(last)
            wait = np.where(known, t[i] - last, 1.0)
            step = (now - value) / wait[..., None]
            drift = _share(self.derivative_cutoff, wait)[..., None]
            velocity = np.where(known[..., None], velocity + drift * (step - velocity), velocity)
            speed = np.linalg.norm(velocity, axis=-1)
            follow = _share(self.min_cutoff + self.beta * speed, wait)[..., None]
            filtered = np.where(known[..., None], value + follow * (now - value), now)
            value = np.where(seen[..., None], filtered, value)
            last = np.where(seen, t[i], last)
            smooth[i] = np.where(seen[..., None], filtered, np.nan)
        return smooth


@dataclass(frozen=True)
class SavitzkyGolay:
    """Savitzky & Golay (Analytical Chemistry 36, 1964): each point becomes the value of a local polynomial there.

    The polynomial is fitted in least squares to the points within a window of time around it, or, near either end, to
    the first or last window. On evenly spaced points this is ``scipy.signal.savgol_filter`` in its mode "interp";
    uneven times and missing points need no filling in here.

    Attributes:
        window: seconds from the first to the last point of a window.
        degree: of the polynomial; where a window holds no more points than that, it passes through them.
    """

    window: float = 0.6
    degree: int = 2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.window) and self.window > 0):
            raise InputError(f"Savitzky-Golay: window: expected seconds above 0, got {self.window}")
        if self.degree < 0:
            raise InputError(f"Savitzky-Golay: degree: expected a whole number of 0 or more, got {self.degree}")

    def __call__(self, points: npt.ArrayLike, time: npt.ArrayLike) -> FloatArray:
        """See `Smoother`.

        Raises:
            InputError: times that do not increase, or do not fit the points.
        """
        x, t = _checked(points, time)
        if not len(t):
            return x
        flat = x.reshape(len(x), -1, x.shape[-1])
        there = np.asarray(np.all(np.isfinite(flat), axis=-1))
        known, smooth = np.where(there[..., None], flat, 0.0), np.full_like(flat, np.nan)
        slack = 1e-6 * self.window  # times that are sums of steps are not exact
        begin = np.maximum(np.minimum(t - self.window / 2, t[-1] - self.window), t[0]) - slack
        first = np.searchsorted(t, begin)
        end = np.searchsorted(t, np.maximum(t + self.window / 2, t[0] + self.window) + slack)
        for i, rows in enumerate(map(slice, first, end)):
            powers = np.vander((t[rows] - t[i]) / self.window, self.degree + 1, increasing=True)
            normal = np.einsum("wa,wj,wb->jab", powers, there[rows].astype(float), powers)
            right = np.einsum("wa,wjd->jad", powers, known[rows])
            smooth[i] = (np.linalg.pinv(normal, hermitian=True)[:, :1] @ right)[:, 0]
        smooth[~there] = np.nan
        return smooth.reshape(x.shape)


def smoother_of(text: str) -> OneEuro | SavitzkyGolay:
    """A smoother as a person types it: its name and perhaps its first numbers.

    ``savitzky-golay``, ``savitzky-golay:0.4`` (window in seconds), ``savitzky-golay:0.4:3`` (and the degree),
    ``one-euro``, ``one-euro:1.5`` (cutoff at rest in Hz), ``one-euro:1.5:0.01`` (and beta).

    Raises:
        InputError: another name, or numbers that the smoother does not take.
    """
    name, *given = text.split(":")
    try:
        numbers = [float(word) for word in given]
    except ValueError:
        name = ""
    if name == "one-euro" and len(numbers) <= 2:
        return OneEuro(*numbers)
    if name == "savitzky-golay" and len(numbers) <= 2 and all(degree % 1 == 0 for degree in numbers[1:]):
        window, degree = numbers + [SavitzkyGolay.window, SavitzkyGolay.degree][len(numbers) :]
        return SavitzkyGolay(window, int(degree))
    raise InputError(f"smoother: expected one-euro[:CUTOFF[:BETA]] or savitzky-golay[:SECONDS[:DEGREE]], got {text!r}")


def smooth_poses(poses: PoseSet, smoother: Smoother, *, fps: float = 30.0) -> PoseSet:
    """Smooth `joints` and `root_position` of each clip (`nearfar.sequences.clips`); rows in no clip stay as they are.

    Args:
        poses: poses with joints, in any frame.
        smoother: for instance ``OneEuro()`` or ``SavitzkyGolay()``.
        fps: frames a second that `frame_index` counts, where the poses have no `time`.

    Raises:
        InputError: the poses have no joints.
    """
    if poses.joints is None:
        raise InputError("smoothing needs 3D joints, and these poses have none")
    changes: dict[str, Any] = {"joints": np.array(poses.joints)}
    if poses.root_position is not None:
        changes["root_position"] = np.array(poses.root_position)
    for clip in clips(poses, fps):
        for points in changes.values():
            points[clip.rows] = smoother(points[clip.rows], clip.time)
    return dataclasses.replace(poses, **changes, provenance={**poses.provenance, "smoothed": repr(smoother)})


def _share(cutoff: npt.ArrayLike, wait: FloatArray) -> FloatArray:
    """How much of a new value an exponential filter of this cutoff (Hz) takes after a wait (s)."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * wait)))


def _checked(points: npt.ArrayLike, time: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, t = np.array(points, dtype=np.float64), np.asarray(time, dtype=np.float64)
    if x.ndim < 2 or t.shape != x.shape[:1]:
        raise InputError(f"smoothing: expected points (T, ..., D) and times (T,), got {x.shape} and {t.shape}")
    if not (np.isfinite(t).all() and (np.diff(t) > 0).all()):
        raise InputError("smoothing: expected times that increase from point to point")
    return x, t
