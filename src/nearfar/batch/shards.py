"""One machine's share of many inputs, lifted one after the other; a share that was broken off goes on."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from nearfar.batch.attempts import Attempts
from nearfar.batch.inputs import find_inputs
from nearfar.batch.parts import Bounds, Outcome, PartWriter, read_outcomes
from nearfar.batch.recipe import FailedError, InputLifter, Recipe
from nearfar.errors import InputError
from nearfar.files import locked, write_text

__all__ = ["Shard", "Summary", "Work", "lift_inputs", "lift_shard"]

Work = Callable[[Mapping[str, str]], Iterator[Outcome]]
"""Lifts inputs, places by name, and yields what becomes of each; when it ends, all of it is kept."""


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, from 1."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(f"shard: expected i/n with i from 1 to n, such as 1/8, got {self}")

    @classmethod
    def of(cls, text: str) -> Shard:
        """``3/8`` as the third of eight."""
        if (parts := re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)) is None:
            raise InputError(f"shard: expected i/n with i from 1 to n, such as 1/8, got {text!r}")
        return cls(int(parts[1]), int(parts[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def label(self) -> str:
        """For names of files."""
        return f"{self.number}-of-{self.count}"

    def holds(self, name: str) -> bool:
        """Whether an input of this name is in this share: on every machine, and whatever other inputs there are."""
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.number - 1


@dataclass(frozen=True)
class Summary:
    """What a share came to, with what was done before.

    Attributes:
        inputs: in the share.
        failed: of these.
        poses: of all of these.
        before: how many inputs had a result before this run.
        errors: the file that says of each failed input why, a JSON object a line.
    """

    inputs: int
    failed: int
    poses: int
    before: int
    errors: Path


def lift_shard(
    source: str | Path,
    out: str | Path,
    shard: Shard | None = None,
    recipe: Recipe | None = None,
    *,
    bounds: Bounds | None = None,
    work: Work | None = None,
    retry: bool = False,
    progress: bool = True,
) -> Summary:
    """Lift a share of many inputs to Parquet files of bounded size; what has a result is not lifted again.

    Args:
        source: see `nearfar.batch.find_inputs`.
        out: folder of the results, the same for all shares.
        shard: which share; by default all.
        recipe: how.
        bounds: when a part file is full.
        work: lifts them elsewhere (`nearfar.batch.ray_data`); by default this process does, one after the other.
        retry: lift again what failed before.
        progress: show a progress bar on stderr. Failed inputs are always told of there, one line each.

    Raises:
        InputError: nothing to lift, another process works on the share, the folder has results of other options or of
            shares of another number that are at work, or it cannot be written.
    """
    out, shard, recipe = Path(out), shard or Shard(1, 1), recipe or Recipe()
    with _alone(out, shard):
        share = {name: place for name, place in find_inputs(source) if shard.holds(name)}
        done: dict[str, Outcome] = {}
        for one in read_outcomes(out, recipe):
            if one.name in share and (one.error is None or one.name not in done):
                done[one.name] = one
        before = {name: one for name, one in done.items() if not (retry and one.error is not None)}
        todo = {name: share[name] for name in sorted(share) if name not in before}
        if work is None:
            writer = PartWriter(out, shard.label, recipe, bounds or Bounds())
            outcomes = lift_inputs(todo, InputLifter(recipe), writer, out / f".{shard.label}.at-work")
        else:
            outcomes = work(todo)
        with tqdm(
            total=len(share), initial=len(before), desc=f"shard {shard}", unit="input", disable=not progress
        ) as bar:
            for one in outcomes:
                done[one.name] = one
                if one.error is not None:
                    tqdm.write(f"nearfar: error: {one.error}", file=sys.stderr)
                bar.update()
        errors = out / f"errors-{shard.label}.jsonl"
        failed = [done[name] for name in sorted(done) if done[name].error is not None]
        write_text(errors, "".join(json.dumps({"input": one.name, "error": one.error}) + "\n" for one in failed))
    return Summary(len(share), len(failed), sum(one.poses for one in done.values()), len(before), errors)


def lift_inputs(inputs: Mapping[str, str], lifter: InputLifter, writer: PartWriter, note: Path) -> Iterator[Outcome]:
    """Lift inputs one after the other, and write parts as they are full; when it ends, all are written.

    Args:
        inputs: places by name.
        lifter: of each.
        writer: of the parts.
        note: file that says which input is being lifted (`Attempts`).

    Raises:
        InputError: a part cannot be written, or nothing can be lifted.
    """
    with Attempts(note) as attempts:
        try:
            for name, place in inputs.items():
                try:
                    with attempts.of(name):
                        pieces = lifter.lift(name, place)
                        first, second = next(pieces), next(pieces, None)
                        if second is None:
                            outcome = writer.add(name, first)
                        else:
                            outcome = writer.write_large(name, chain((first, second), pieces))
                except FailedError as error:
                    outcome = writer.add_error(name, str(error))
                yield outcome
                if writer.is_full():
                    writer.flush()
        except KeyboardInterrupt:
            writer.flush()  # what is lifted is kept
            raise
        writer.flush()


@contextmanager
def _alone(out: Path, shard: Shard) -> Iterator[None]:
    """Keep other processes from the same share, and from shares of another number, which would overlap it.

    Raises:
        InputError: there is such a process.
    """
    with locked(out / f".{shard.label}.lock", f"{out}: another process works on shard {shard}"):
        for path in out.glob(".*-of-*.lock"):
            other = path.name.removeprefix(".").removesuffix(".lock").replace("-of-", "/")
            if not other.endswith(f"/{shard.count}"):
                with locked(path, f"{out}: another process works on shard {other}, which overlaps {shard}"):
                    pass
        yield
