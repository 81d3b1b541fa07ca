"""The same lifting on Ray Data: chunks of inputs go to actors on a cluster, and each chunk becomes part files.

The names of part files follow from the chunk. An actor that was killed does its chunk again and writes the same files,
so that every input has one result. All machines must reach the folder of the results.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearfar.batch.inputs import plain
from nearfar.batch.parts import Bounds, Outcome, PartWriter
from nearfar.batch.recipe import InputLifter, Recipe
from nearfar.batch.shards import Work, lift_inputs
from nearfar.errors import InputError
from nearfar.media import is_image

__all__ = ["ray_work"]

CHUNK = 1024
"""Images of a chunk, of which a video or a file of keypoints counts as `OTHER`: about a minute of work."""
OTHER = 64
BLOCKS = 10_000
"""Blocks of chunks at most: Ray keeps book of each."""
_UNTIMED = Bounds(seconds=float("inf"))
"""Where parts end must not depend on the clock: an actor that does a chunk again must write the same files."""


def ray_work(out: str | Path, recipe: Recipe, address: str = "local") -> Work:
    """What `nearfar.batch.lift_shard` takes as `work` to lift on Ray.

    Args:
        out: folder of the results, which all machines reach.
        recipe: how inputs are lifted.
        address: of a cluster, as ``ray.init`` takes it ("auto", "10.0.0.1:6379"); "local" starts one on this machine.

    Raises:
        InputError: Ray is not installed.
    """
    try:
        import ray.data
    except ImportError:
        raise InputError('lifting on Ray needs it: pip install "nearfar[ray]"') from None
    out = Path(out).absolute()

    def work(inputs: Mapping[str, str]) -> Iterator[Outcome]:
        chunks = [{"chunk": json.dumps(chunk)} for chunk in _chunks(inputs)]
        if not chunks:
            return
        with _connected(address):
            lifted = ray.data.from_items(chunks, override_num_blocks=min(len(chunks), BLOCKS)).map_batches(
                _Actor,
                fn_constructor_args=(str(out), recipe),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(min_size=1),  # as many as the cluster has cores
                num_cpus=1,
            )
            for row in lifted.iter_rows():
                if row["stopped"]:
                    raise InputError(row["stopped"])
                yield from (Outcome(*one) for one in json.loads(row["outcomes"]))

    return work


class _Actor:
    """A process of Ray's: lifts chunk after chunk."""

    def __init__(self, out: str, recipe: Recipe) -> None:
        self.lifter = InputLifter(recipe)
        self.writer = PartWriter(Path(out), "ray", recipe, _UNTIMED)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        chunk = str(batch["chunk"][0])
        note = self.writer.out / f".ray-{hashlib.blake2b(chunk.encode(), digest_size=10).hexdigest()}.at-work"
        try:
            outcomes = list(lift_inputs(json.loads(chunk), self.lifter, self.writer, note))
        except (InputError, OSError) as error:  # a disk that is full, say: no input is to blame, and none goes on
            return {"outcomes": ["[]"], "stopped": [str(error)]}
        return {"outcomes": [json.dumps([dataclasses.astuple(one) for one in outcomes])], "stopped": [""]}


def _chunks(inputs: Mapping[str, str]) -> Iterator[dict[str, str]]:
    chunk: dict[str, str] = {}
    weight = 0
    for name, place in inputs.items():
        chunk[name] = place
        weight += 1 if is_image(plain(place)) else OTHER
        if weight >= CHUNK:
            yield chunk
            chunk, weight = {}, 0
    if chunk:
        yield chunk


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Ray, quiet and without its progress bars: there is one of ours.

    Raises:
        InputError: no such cluster, or it is lost.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of how Ray Data starts its own actors
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"Ray at {address!r}: {error}") from None
    try:
        yield
    except ray.exceptions.RayError as error:
        raise InputError(f"Ray at {address!r}: {str(error).strip().splitlines()[-1]}") from error
    finally:
        ray.shutdown()
