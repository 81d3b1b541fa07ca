"""What a server does now and then while people answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from nearfar.annotation.quality import block_flagged
from nearfar.annotation.queue.leasing import release_expired
from nearfar.annotation.queue.refreshing import is_due, refresh
from nearfar.annotation.settings import Settings

__all__ = ["keeping_up", "look_after"]

ROUND_SECONDS = 10.0
EVERY_SECONDS = 60.0
"""Answers are merged this often, or less where that takes longer than a tenth of it."""

_log = logging.getLogger(__name__)


def look_after(
    engine: Engine, settings: Settings, *, clock: Callable[[], float] = time.time, every: float = EVERY_SECONDS
) -> None:
    """Take back expired leases, merge answers where that is due, and block flagged people where that is wanted."""
    release_expired(engine, settings, clock())
    with engine.connect() as connection:
        due = is_due(connection, clock(), every)
    if due:
        refresh(engine, settings, clock=clock)
        if settings.block_flagged:
            block_flagged(engine, settings, clock())


@contextmanager
def keeping_up(engine: Engine, settings: Settings) -> Iterator[None]:
    """Look after a project in a thread while the block runs.

    Several servers may do so at once. What goes wrong is logged, and tried again in the next round.
    """
    stop = threading.Event()
    upkeep = threading.Thread(target=_keep_up, args=(engine, settings, stop), daemon=True)
    upkeep.start()
    try:
        yield
    finally:
        stop.set()
        upkeep.join(10)


def _keep_up(engine: Engine, settings: Settings, stop: threading.Event) -> None:
    import torch  # noqa: F401  merging needs it, and the first answer should not wait for it

    while not stop.wait(ROUND_SECONDS):
        try:
            look_after(engine, settings)
        except SQLAlchemyError as error:
            _log.warning("upkeep: %s", type(error).__name__)  # its text may quote answers
        except Exception:  # whatever it is: people go on answering, and leases must not get stuck for good
            _log.exception("upkeep failed; it is tried again")
