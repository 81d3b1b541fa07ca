"""How long merging takes, and how much memory: each method at 100 thousand, 1 million and 10 million answers.

    python benchmarks/consensus_speed.py [--answers 100000 1000000 10000000] [--methods majority ... depth]

A simulated crowd (500 workers; the paper's noise, some careless) answers 5 pairs a pose, 5 answers a pair. Every merge
runs in a process of its own, from raw answers in memory to labels: seconds of the clock and of the processors (the ones
to compare on a machine that does other things too), and the most memory that the process had at once, with and without
what it had before (Python, its libraries and the answers). The last column is the time of `Consensus.update` with 25
more answers of one worker. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nearfar.consensus import METHOD_NAMES, SimulatedCrowd, merge, method, simulate_answers
from nearfar.labels import RelativeLabels, random_pairs
from nearfar.poses import PoseSet
from nearfar.skeleton import get_skeleton

CROWD = SimulatedCrowd(workers=500, spammers=0.05, one_sided=0.02, reversed=0.01)
PAIRS = 5


def prepare(answers: int, path: Path) -> None:
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


def measure(name: str, path: Path) -> dict[str, float]:
    """Merge a file of answers."""
    answers = RelativeLabels.load(path)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    start, used = time.perf_counter(), time.process_time()
    merged = merge(answers, method(name))
    seconds, used, peak = time.perf_counter() - start, time.process_time() - used, _memory("VmHWM")
    more = answers.select(np.flatnonzero(answers.annotator == answers.annotator[0])[:25])
    start = time.perf_counter()
    merged.update(more)
    return {
        "answers": len(answers),
        "seconds": seconds,
        "processors": used,
        "peak": peak,
        "added": peak - before,
        "update": time.perf_counter() - start,
        "iterations": 1 if merged.fit is None else merged.fit.iterations,
    }


def _memory(what: str) -> float:
    """GB, from Linux's /proc."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1e6


def main() -> None:
    """Measure, one process after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--methods", nargs="+", default=list(METHOD_NAMES), choices=METHOD_NAMES)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], Path(args.one[1]))))
        return
    print("| answers | method | seconds | of processors | peak GB | of it merging | steps of EM | 25 more: seconds |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for answers in args.answers:
            path = Path(folder) / f"{answers}.parquet"
            prepare(answers, path)
            for name in args.methods:
                run = subprocess.run(
                    [sys.executable, __file__, "--one", name, str(path)], check=True, capture_output=True, text=True
                )
                m = json.loads(run.stdout)
                print(
                    f"| {m['answers']:,} | {name} | {m['seconds']:.1f} | {m['processors']:.1f} "
                    f"| {m['peak']:.2f} | {m['added']:.2f} | {m['iterations']} | {m['update']:.2f} |",
                    flush=True,
                )
            path.unlink()


if __name__ == "__main__":
    main()
