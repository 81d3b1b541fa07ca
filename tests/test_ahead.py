"""Making things before they are asked for: order, how far ahead, errors in their place, breaking off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from nearfar.ahead import ahead


def test_the_items_come_in_order_from_another_thread() -> None:
    made_by = []

    def items() -> Iterator[int]:
        for i in range(50):
            made_by.append(threading.current_thread())
            yield i

    assert list(ahead(items(), 3)) == list(range(50))
    assert set(made_by).isdisjoint({threading.current_thread()})
    assert list(ahead([])) == []


def test_so_many_are_made_before_they_are_asked_for_and_no_more() -> None:
    made: list[int] = []
    enough = threading.Event()

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            if len(made) == 5:
                enough.set()
            yield i

    with closing(ahead(items(), 4)) as coming:
        assert next(coming) == 0
        assert enough.wait(10)  # the four after the first, though nobody asked
        assert next(coming) == 1
        assert len(made) <= 6
    assert len(made) <= 6  # nothing more is made for somebody who has gone


def test_an_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise ValueError("the third")

    coming = ahead(items(), 8)
    assert [next(coming), next(coming)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(coming)


def test_the_maker_is_told_to_stop() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    with closing(ahead(items(), 2)) as coming:
        next(coming)
    del coming
    assert closed.is_set()
