"""Pairs at the least total cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from nearfar.matching import assign, assign_sparse


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 10**6), st.floats(-8, 8))
def test_the_assignment_costs_least(rows: int, columns: int, seed: int, alone: float) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.normal(size=(rows, columns)) * 5
    forbidden = rng.random(costs.shape) < 0.3
    pairs = assign(np.where(forbidden, np.inf, costs), alone)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert not any(forbidden[pair] for pair in pairs)
    gains = np.where(forbidden, 0.0, np.minimum(costs - alone, 0.0))
    row, column = linear_sum_assignment(gains)
    assert sum(costs[pair] - alone for pair in pairs) == pytest.approx(gains[row, column].sum(), abs=1e-9)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 10**6), st.floats(-8, 8))
def test_few_possible_pairs_are_decided_as_all_at_once(rows: int, columns: int, seed: int, alone: float) -> None:
    rng = np.random.default_rng(seed)
    costs = np.where(rng.random((rows, columns)) < 0.8, np.inf, rng.normal(size=(rows, columns)) * 5)
    possible = {(i, j): costs[i, j] for i, j in zip(*np.nonzero(np.isfinite(costs)), strict=True)}
    pairs = assign_sparse(possible, alone)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    whole = sum(costs[pair] - alone for pair in assign(costs, alone))
    assert sum(possible[pair] - alone for pair in pairs) == pytest.approx(whole, abs=1e-9)
