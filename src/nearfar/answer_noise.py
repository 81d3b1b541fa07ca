"""How often people answer right: P(answer right | true depth difference), its simulation and its fit.

Every model is chance (1/2) at no difference and rises with the difference d = abs(Δz) / scale through one link; a share
of answers, the lapses, is given without looking and is a coin's:

    P(right) = lapse / 2 + (1 − lapse)·F(d),  F = min(1, 1/2 + d/2) (line), Φ(d) (probit), 1 / (1 + e⁻ᵈ) (logit).

The line with a scale of 400 mm is the paper's crowd (PAPER.md 5: chance at 0 cm, certain at 40 cm). Probit is
Thurstone's: two depths seen with a normal error each; logit is Bradley and Terry's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import read_json, write_text

__all__ = [
    "PAPER_CROWD",
    "AnswerNoise",
    "Estimate",
    "Link",
    "NoiseFit",
    "compare_noise",
    "fit_noise",
    "log_likelihood",
]

Array = npt.NDArray[Any]
Link = Literal["line", "probit", "logit"]
SCHEMA = "nearfar-answer-noise-1"

SCALES = (1.0, 1e5)
"""Bounds of a fitted scale, mm."""

GROUPS = 20_000
"""Answers of like depth difference are fitted together, at their mean, where there are more than so many."""

BOOTSTRAP_GROUPS = 200
"""The same within the bootstrap."""

NORMAL_95 = 1.959963984540054

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


@dataclass(frozen=True)
class AnswerNoise:
    """A model of how often answers are right.

    Attributes:
        link: shape of the rise: "line", "probit" or "logit".
        scale_mm: depth difference d = 1: where the line is certain, the probit's sigma, the logit's unit; above 0.
        lapse: share of answers given without looking, right half of the time; 0..1.
    """

    link: Link = "line"
    scale_mm: float = 400.0
    lapse: float = 0.0

    def __post_init__(self) -> None:
        if self.link not in get_args(Link):
            raise InputError(f"answer noise: link must be one of {get_args(Link)}, got {self.link!r}")
        if not (np.isfinite(self.scale_mm) and self.scale_mm > 0):
            raise InputError(f"answer noise: scale_mm must be above 0, got {self.scale_mm}")
        if not 0 <= self.lapse <= 1:
            raise InputError(f"answer noise: lapse must be within 0..1, got {self.lapse}")

    def wrong(self, difference_mm: npt.ArrayLike) -> Array:
        """Probability of a wrong answer for depth differences in mm, whose sign does not matter."""
        return _wrong(self.link, np.abs(np.asarray(difference_mm, dtype=np.float64)), self.scale_mm, self.lapse)

    def right(self, difference_mm: npt.ArrayLike) -> Array:
        """Probability of a right answer for depth differences in mm, whose sign does not matter."""
        return 1 - self.wrong(difference_mm)

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(path, json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> AnswerNoise:
        """Read what `save` wrote.

        Raises:
            InputError: no such file, not JSON, or not a noise model.
        """
        data = read_json(path)
        known = {"schema", "link", "scale_mm", "lapse"}
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA or set(data) != known:
            raise InputError(f"{path}: not an answer noise file (expected schema {SCHEMA!r}, link, scale_mm, lapse)")
        numbers = [data["scale_mm"], data["lapse"]]
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers):
            raise InputError(f"{path}: scale_mm and lapse: expected numbers, got {numbers}")
        try:
            return cls(data["link"], float(numbers[0]), float(numbers[1]))
        except (InputError, OverflowError) as error:
            raise InputError(f"{path}: {error}") from None


PAPER_CROWD = AnswerNoise("line", 400.0)
"""P(right) = min(1, 0.5 + 0.0125·|Δz in cm|) (PAPER.md 5)."""


def _wrong(link: Link, size: Array, scale: npt.ArrayLike, lapse: npt.ArrayLike) -> Array:
    """P(wrong) for sizes |Δz|; computed as such, not as 1 − P(right), so that small ones keep their digits."""
    d = size / np.asarray(scale, dtype=np.float64)
    if link == "line":
        unseen = np.maximum(0.0, 0.5 - 0.5 * d)
    elif link == "probit":
        unseen = 0.5 * _erfc(d / math.sqrt(2)) if d.size else d
    else:
        unseen = np.exp(-np.logaddexp(0, d))
    return np.asarray(0.5 * np.asarray(lapse) + (1 - np.asarray(lapse)) * unseen)


@dataclass(frozen=True)
class Estimate:
    """A fitted number.

    Attributes:
        value: the estimate of greatest likelihood.
        standard_error: from the Hessian of the log likelihood; None where the estimate lies on a bound.
        interval: 95 %, from the Hessian, on a scale that keeps it within the bounds (log for mm, logit for shares).
        bootstrap_interval: 95 %, percentiles over resampled workers (or answers); None where there were none, or where
            a scale rests on a single answer, as a line without lapses does that must just allow the worst mistake.
    """

    value: float
    standard_error: float | None
    interval: tuple[float, float] | None
    bootstrap_interval: tuple[float, float] | None


@dataclass(frozen=True)
class NoiseFit:
    """A model fitted to answers, with its uncertainty.

    The Hessian takes answers as independent; the bootstrap resamples whole workers, and is the one to believe where
    workers differ.

    Attributes:
        noise: the fitted model.
        scale_mm, lapse: its numbers; `lapse` is None where it was held at 0.
        answers: how many were fitted.
        clusters: how many workers; None where it was not said who answered.
        log_likelihood: of all answers, natural logarithm; -inf where the model rules out some answer.
    """

    noise: AnswerNoise
    scale_mm: Estimate
    lapse: Estimate | None
    answers: int
    clusters: int | None
    log_likelihood: float

    @property
    def parameters(self) -> int:
        """How many numbers were fitted."""
        return 1 if self.lapse is None else 2

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2·parameters − 2·log likelihood; less is better."""
        return 2 * self.parameters - 2 * self.log_likelihood

    def to_dict(self) -> dict[str, Any]:
        """The fit, JSON-safe (what is not finite is None)."""
        plain = asdict(self) | {"parameters": self.parameters, "aic": self.aic}
        return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in plain.items()}


def log_likelihood(noise: AnswerNoise, difference_mm: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Log likelihood of M answers.

    Args:
        noise: the model.
        difference_mm: (M,) true depth differences.
        right: (M,) whether each answer was right.
    """
    size, hit = _checked(difference_mm, right)
    return float(_log_likelihood(noise.wrong(size), hit.astype(float), (~hit).astype(float)))


def fit_noise(
    difference_mm: npt.ArrayLike,
    right: npt.ArrayLike,
    link: Link = "line",
    *,
    lapse: bool = False,
    worker: npt.ArrayLike | None = None,
    bootstrap: int = 200,
    rng: np.random.Generator | None = None,
) -> NoiseFit:
    """Fit a model of one link to answers, by greatest likelihood.

    Args:
        difference_mm: (M,) true depth differences, mm.
        right: (M,) whether each answer was right; leave out "unsure".
        link: "line", "probit" or "logit".
        lapse: fit the share of lapses too; otherwise it is 0.
        worker: (M,) who answered; the bootstrap then resamples workers with all their answers.
        bootstrap: resamplings; 0 for none.
        rng: source of randomness of the bootstrap; by default one of seed 0.

    Raises:
        InputError: no answers, shapes that disagree, or differences that are not finite.
    """
    size, hit = _checked(difference_mm, right)
    who = None if worker is None else np.unique(np.asarray(worker), return_inverse=True)[1].reshape(-1)
    if who is not None and who.shape != size.shape:
        raise InputError(f"answer noise: worker: expected shape {size.shape}, got {who.shape}")
    centre, counts = _grouped(size, hit, None, GROUPS)
    (scale,), (share,) = _fit(link, lapse, centre, counts)
    noise = AnswerNoise(link, float(scale), float(share))
    errors = _standard_errors(noise, lapse, centre, counts)
    centre, counts = _grouped(size, hit, who, BOOTSTRAP_GROUPS)
    resampled = _resampled(counts, bootstrap, len(size), who is not None, rng or np.random.default_rng(0))
    scales, shares = (None, None) if resampled is None else _fit(link, lapse, centre, resampled, noise.scale_mm)
    if errors[0] is None:
        scales = None
    hits = hit.astype(float)
    return NoiseFit(
        noise=noise,
        scale_mm=_estimate(noise.scale_mm, errors[0], scales, "log"),
        lapse=_estimate(noise.lapse, errors[1], shares, "logit") if lapse else None,
        answers=len(size),
        clusters=None if who is None else int(who.max()) + 1,
        log_likelihood=float(_log_likelihood(noise.wrong(size), hits, 1 - hits)),
    )


def compare_noise(
    difference_mm: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    worker: npt.ArrayLike | None = None,
    bootstrap: int = 200,
    rng: np.random.Generator | None = None,
) -> tuple[NoiseFit, ...]:
    """Fit every link with and without lapses (`fit_noise`); the least AIC first."""
    rng = rng or np.random.default_rng(0)
    fits = [
        fit_noise(difference_mm, right, link, lapse=lapse, worker=worker, bootstrap=bootstrap, rng=rng)
        for link in get_args(Link)
        for lapse in (False, True)
    ]
    return tuple(sorted(fits, key=lambda fit: fit.aic))


def _checked(difference_mm: npt.ArrayLike, right: npt.ArrayLike) -> tuple[Array, Array]:
    size, hit = np.abs(np.asarray(difference_mm, dtype=np.float64)), np.asarray(right, dtype=bool)
    if size.ndim != 1 or hit.shape != size.shape or not len(size):
        raise InputError(f"answer noise: expected (M,) differences and answers, got {size.shape} and {hit.shape}")
    if not np.isfinite(size).all():
        raise InputError("answer noise: depth differences must be finite")
    return size, hit


def _grouped(size: Array, hit: Array, who: Array | None, most: int) -> tuple[Array, Array]:
    """Mean size (G,) of groups of like size, and (C, G, 2) how many answers were wrong and right in each."""
    group = np.empty(len(size), dtype=np.int64)
    groups = min(most, len(size))
    group[np.argsort(size, kind="stable")] = np.arange(len(size)) * groups // len(size)
    centre = np.bincount(group, size, groups) / np.bincount(group, minlength=groups)
    cluster = np.zeros(len(size), np.int64) if who is None else who
    clusters = int(cluster.max()) + 1
    cells = np.bincount((cluster * groups + group) * 2 + hit, minlength=clusters * groups * 2)
    return centre, cells.reshape(clusters, groups, 2).astype(np.float64)


def _resampled(counts: Array, times: int, answers: int, clustered: bool, rng: np.random.Generator) -> Array | None:
    """(times, G, 2) counts of resampled clusters, or of resampled answers where there are no clusters."""
    clusters = len(counts)
    if times < 1 or (clustered and clusters < 2):
        return None
    if not clustered:
        cells = counts[0].ravel()
        return rng.multinomial(answers, cells / cells.sum(), size=times).reshape(times, *counts.shape[1:]).astype(float)
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=times).astype(np.float64)
    return np.asarray(np.tensordot(drawn, counts, axes=1))


def _fit(link: Link, lapse: bool, size: Array, counts: Array, near: float | None = None) -> tuple[Array, Array]:
    """(B,) scales and lapses of greatest likelihood, for (B, G, 2) counts at (G,) sizes.

    For a given scale the likelihood is concave in the lapse, which is found by bisection; the scale is searched on a
    grid of its logarithm and then by golden sections, all replicates at once. With `near`, within a factor of 4 of
    that scale and to 1e-3 of it, which is enough for a bootstrap.
    """
    wrong, right = counts[..., 0], counts[..., 1]

    def profile(log_scale: Array) -> tuple[Array, Array]:
        unseen = _wrong(link, size, np.exp(log_scale)[:, None], 0.0)
        share = _best_lapse(unseen, wrong, right) if lapse else np.zeros(len(counts))
        mixed = 0.5 * share[:, None] + (1 - share[:, None]) * unseen
        return _log_likelihood(mixed, right, wrong), share

    bounds = SCALES if near is None else (near / 4, near * 4)
    grid = np.linspace(math.log(bounds[0]), math.log(bounds[1]), 32 if near is None else 10)
    values = np.stack([profile(np.array([at]))[0] for at in grid], axis=1)
    best = values.argmax(axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    golden = (math.sqrt(5) - 1) / 2
    left, right_point = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = profile(left)[0], profile(right_point)[0]
    for _ in range(32 if near is None else 14):
        lower = at_left >= at_right
        low, high = np.where(lower, low, left), np.where(lower, right_point, high)
        new = np.where(lower, high - golden * (high - low), low + golden * (high - low))
        value = profile(new)[0]
        left, right_point = np.where(lower, new, right_point), np.where(lower, left, new)
        at_left, at_right = np.where(lower, value, at_right), np.where(lower, at_left, value)
    scale = (low + high) / 2
    return np.exp(scale), profile(scale)[1]


def _best_lapse(unseen: Array, wrong: Array, right: Array) -> Array:
    """(B,) lapses of greatest likelihood for P(wrong) without lapses of (B or 1, G)."""
    slope = 0.5 - unseen
    low, high = np.zeros(len(wrong)), np.ones(len(wrong))
    for _ in range(20):
        share = (low + high) / 2
        p = np.maximum(0.5 * share[:, None] + (1 - share[:, None]) * unseen, np.finfo(float).tiny)
        rising = (slope * (wrong / p - right / (1 - p))).sum(axis=-1) > 0
        low, high = np.where(rising, share, low), np.where(rising, high, share)
    share = (low + high) / 2
    return np.where(share < 1e-5, 0.0, share)


def _log_likelihood(p_wrong: Array, right: Array, wrong: Array) -> Array:
    """Sum over the last axis of the log likelihood of so many right and wrong answers."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(wrong > 0, wrong * np.log(p_wrong), 0.0) + np.where(right > 0, right * np.log1p(-p_wrong), 0.0)
    return np.asarray(terms.sum(axis=-1))


def _standard_errors(noise: AnswerNoise, lapse: bool, size: Array, counts: Array) -> tuple[float | None, float | None]:
    """Standard errors of log scale and lapse, from the second differences of the log likelihood at its maximum."""
    wrong, right = counts[0, :, 0], counts[0, :, 1]
    inside = lapse and 1e-6 < noise.lapse < 1 - 1e-6
    steps = np.array([0.02, min(1e-3, noise.lapse / 4, (1 - noise.lapse) / 4)] if inside else [0.02])

    def value(*offset: float) -> float:
        share = noise.lapse + (offset[1] * steps[1] if inside else 0.0)
        p = _wrong(noise.link, size, noise.scale_mm * math.exp(offset[0] * steps[0]), share)
        return float(_log_likelihood(p, right, wrong))

    if not inside:
        hessian = np.array([[value(1) - 2 * value(0) + value(-1)]])
    else:
        both = (value(1, 1) - value(1, -1) - value(-1, 1) + value(-1, -1)) / 4
        first, second = (value(1, 0) - 2 * value(0, 0) + value(-1, 0), value(0, 1) - 2 * value(0, 0) + value(0, -1))
        hessian = np.array([[first, both], [both, second]])
    hessian /= np.outer(steps, steps)
    if not np.isfinite(hessian).all() or (np.linalg.eigvalsh(-hessian) <= 0).any():
        return None, None
    errors = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    return float(errors[0]), float(errors[1]) if inside else None


def _estimate(value: float, error: float | None, replicates: Array | None, on: Literal["log", "logit"]) -> Estimate:
    """An estimate from its standard error (of the logarithm for "log") and its bootstrap replicates."""
    interval = None
    if error is not None and on == "log":
        interval = (value * math.exp(-NORMAL_95 * error), value * math.exp(NORMAL_95 * error))
        error *= value
    elif error is not None:
        odds, reach = math.log(value / (1 - value)), NORMAL_95 * error / (value * (1 - value))
        interval = (1 / (1 + math.exp(reach - odds)), 1 / (1 + math.exp(-reach - odds)))
    ends = None if replicates is None else np.quantile(replicates, [0.025, 0.975])
    return Estimate(value, error, interval, None if ends is None else (float(ends[0]), float(ends[1])))
