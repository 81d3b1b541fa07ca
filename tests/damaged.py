"""Damage to files: what every reader must answer with `InputError` or a result, and nothing else."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st

from nearfar.errors import InputError


def damage(path, data):
    """Cut a file off, or change some of its bytes; `data` is hypothesis' `st.data()`."""
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
            content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)


def reads_or_refuses(read, *arguments):
    """Call a reader; only `InputError` may come of it."""
    with suppress(InputError):
        read(*arguments)
