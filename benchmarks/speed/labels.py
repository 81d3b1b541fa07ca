"""Labels: merging ten million answers, and a hundred million labels written and read."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.speed.section import Curve, Figure, Section, Setting, apart, metered, rate, span
from nearfar.consensus import METHOD_NAMES, SimulatedCrowd, merge, method, simulate_answers
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton

CROWD = SimulatedCrowd(workers=500, spammers=0.05, one_sided=0.02, reversed=0.01)
PAIRS = 5
SMALLER = 1_000_000
"""Rows, at most, of what is timed for comparison: plain loops and CSV."""
Measured = tuple[float, float]


def measure(setting: Setting) -> Section:
    """Merging, then files."""
    part = 100 if setting.quick else 1
    merging, curves = _merging(setting, [count // part for count in (100_000, 1_000_000, 10_000_000)])
    files, curve = _files(setting, [count // part for count in (1_000_000, 10_000_000, 100_000_000)])
    return Section(
        "Labels",
        (*merging, *files),
        (*curves, curve),
        (
            f"Each merge and each file in a process of its own, once. A simulated crowd of {CROWD.workers} gives "
            f"{CROWD.answers_per_pair} answers a pair, {PAIRS} pairs a pose; merging begins with answers in memory.",
            "Memory is the most that was held at once beside what was held before: for merging, beside the answers. "
            "Labels are held as numpy arrays, names with the room of the longest.",
            f"Plain loops and CSV are timed on {SMALLER // part:,} rows, and rates are compared.",
        ),
    )


def _merging(setting: Setting, counts: list[int]) -> tuple[list[Figure], list[Curve]]:
    for count in counts:
        if not _answers(setting.folder, count).exists():
            apart(_prepare, count, _answers(setting.folder, count))
    found = {name: [(n, *apart(_merge, name, _answers(setting.folder, n))) for n in counts] for name in METHOD_NAMES}
    smaller = min(SMALLER, counts[1])
    looped = apart(_loop, _answers(setting.folder, smaller))
    figures = []
    for name, runs in found.items():
        n, seconds, memory, update = runs[-1]
        other = ("a loop with dictionaries", [looped], smaller) if name == "majority" else ()
        figures += [
            rate(f"`{name}`, {n:,} answers", [seconds], n, "answers/s", *other),
            span("its time", [seconds]),
            Figure("its memory", memory, "GB", memory, memory),
            span("25 more answers taken in", [update]),
        ]
    return figures, [
        Curve(title, "answers", y, {name: [(run[0], run[i]) for run in runs] for name, runs in found.items()})
        for i, (title, y) in enumerate((("Merging", "seconds"), ("Merging: memory", "GB beside the answers")), start=1)
    ]


def _answers(folder: Path, count: int) -> Path:
    return folder / f"answers_{count}.parquet"


def _prepare(answers: int, path: Path) -> None:
    """Let the crowd answer, in parts, and write what it says."""
    skeleton, rng = get_skeleton("h36m17"), np.random.default_rng(0)
    left, parts, first = max(answers // (PAIRS * CROWD.answers_per_pair), 1), [], 0
    limbs = rng.normal(size=(17, 17)) / 4  # joints that move together
    while left:
        poses = min(left, 40_000)
        joints = np.zeros((poses, 17, 3))
        joints[..., 2] = rng.normal(size=(poses, 17)) @ limbs * 250
        told = simulate_answers(PoseSet(skeleton, joints=joints), random_pairs(skeleton, poses, PAIRS, rng), CROWD, rng)
        parts.append((told.pose + first, told.pair, told.relation, told.annotator))
        left, first = left - poses, first + poses
    pose, pair, relation, annotator = (np.concatenate(column) for column in zip(*parts, strict=True))
    RelativeLabels(skeleton, pose, pair, relation, annotator=annotator).save(path)


def _merge(name: str, path: Path) -> tuple[float, float, float]:
    """Seconds and GB of a merge, and seconds of taking in 25 more answers of one worker."""
    answers = RelativeLabels.load(path)
    merge(answers.select(slice(1000)), method(name))  # imports
    merged, seconds, memory = metered(lambda: merge(answers, method(name)))
    more = answers.select(np.flatnonzero(answers.annotator == answers.annotator[0])[:25])
    return seconds, memory, metered(lambda: merged.update(more))[1]


def _loop(path: Path) -> float:
    """Seconds of a majority vote as it is often written: a dictionary of lists, an answer at a time."""
    answers = RelativeLabels.load(path)
    rows = list(zip(answers.pose.tolist(), answers.pair.tolist(), answers.relation.tolist(), strict=True))
    start = time.perf_counter()
    votes: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for pose, (a, b), relation in rows:
        votes[pose, min(a, b), max(a, b)].append(relation if a < b else -relation)
    merged = {pair: np.sign(sum(said)) for pair, said in votes.items()}
    assert len(merged) <= len(rows)
    return time.perf_counter() - start


def _files(setting: Setting, counts: list[int]) -> tuple[list[Figure], Curve]:
    path, table = setting.folder / "labels.parquet", setting.folder / "labels.csv"
    smaller = min(SMALLER, counts[-1])
    csv_written, csv_bytes = apart(_write, smaller, table, _to_csv), table.stat().st_size / smaller
    csv_read = apart(_read, table, _from_csv)
    lines: dict[str, list[tuple[float, float]]] = {"written": [], "read": []}
    for count in counts:
        written, read = apart(_write, count, path, RelativeLabels.save), apart(_read, path, RelativeLabels.load)
        for name, one in (("written", written), ("read", read)):
            lines[name].append((count, one[0]))
    size = path.stat().st_size / counts[-1]
    for file in (path, table):
        file.unlink()
    figures = []
    for name, one, other in (("written", written, csv_written), ("read and checked", read, csv_read)):
        figures += [
            rate(f"{count:,} labels {name}", [one[0]], count, "labels/s", "CSV by pandas", [other[0]], smaller),
            span("its time", [one[0]]),
            Figure("its memory, the labels included" if one is read else "its memory", one[1], "GB", one[1], one[1]),
        ]
    figures.append(Figure("file", size, "bytes a label", size, size, "CSV", csv_bytes / size))
    return figures, Curve("Label tables", "labels", "seconds", lines)


def _labels(count: int) -> RelativeLabels:
    """Random answers of a thousand people."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 17, count, dtype=np.int16)
    pair = np.stack([a, (a + rng.integers(1, 17, count, dtype=np.int16)) % 17], axis=1)
    relation = rng.integers(0, 2, count, dtype=np.int8) * 2 - 1
    names = np.array([f"A{i:07d}" for i in range(1000)])
    who = names[rng.integers(0, 1000, count, dtype=np.int16)]
    return RelativeLabels(get_skeleton("h36m17"), np.arange(count) // 5, pair, relation.astype(np.int8), annotator=who)


def _write(count: int, path: Path, write: Callable[[RelativeLabels, Path], None]) -> Measured:
    """Seconds and GB of writing."""
    some = _labels(1000)
    write(some, path)  # imports
    labels = _labels(count)
    return metered(lambda: write(labels, path))[1:]


def _read(path: Path, read: Callable[[Path], object]) -> Measured:
    """Seconds of reading what the system holds in memory, and GB."""
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    path.read_bytes()
    return metered(lambda: read(path))[1:]


def _to_csv(labels: RelativeLabels, path: Path) -> None:
    import pandas

    a, b = labels.pair.T
    columns = {"pose": labels.pose, "joint_a": a, "joint_b": b, "relation": labels.relation}
    pandas.DataFrame(columns | {"annotator": labels.annotator}).to_csv(path, index=False)


def _from_csv(path: Path) -> object:
    import pandas

    return pandas.read_csv(path)
