"""Pairs at the least total cost: who is who, of those found now and those known before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["assign", "assign_sparse"]


def assign(costs: npt.ArrayLike, alone: float) -> list[tuple[int, int]]:
    """One-to-one pairs of rows and columns, at the least total cost.

    By successive shortest augmenting paths (the Hungarian method; Kuhn, 1955).

    Args:
        costs: (M, N); infinite where a row and a column cannot be paired.
        alone: what it costs to leave a row without a column; dearer pairs are not made.
    """
    table = np.asarray(costs, dtype=np.float64)
    rows, columns = table.shape
    # Column N + i is row i's staying alone; what is forbidden costs more than everything that is not.
    possible = np.isfinite(table)
    most = abs(alone) + np.abs(table[possible]).max(initial=0.0)
    wide = np.full((rows, columns + rows), 1 + (rows + 1) * most)
    wide[:, :columns][possible] = table[possible]
    wide[:, columns:][np.diag_indices(rows)] = alone
    price_row, price_column = np.zeros(rows), np.zeros(columns + rows)
    holder = np.full(columns + rows, -1)  # of each column
    for row in range(rows):
        cost, came = np.full(columns + rows, np.inf), np.full(columns + rows, -1)
        done, at, current, least = np.zeros(columns + rows, bool), -1, row, 0.0
        while True:
            reduced = least + wide[current] - price_row[current] - price_column
            better = ~done & (reduced < cost)
            cost[better], came[better] = reduced[better], at
            at = int(np.where(done, np.inf, cost).argmin())
            done[at], least = True, float(cost[at])
            if holder[at] < 0:
                break
            current = int(holder[at])
        seen = np.flatnonzero(done)
        price_row[row] += least
        for column in seen[holder[seen] >= 0]:
            price_row[holder[column]] += least - cost[column]
        price_column[seen] -= least - cost[seen]
        while at >= 0:
            before = int(came[at])
            holder[at] = row if before < 0 else holder[before]
            at = before
    return sorted((int(row), column) for column, row in enumerate(holder[:columns]) if row >= 0)


def assign_sparse(costs: Mapping[tuple[int, int], float], alone: float) -> list[tuple[int, int]]:
    """`assign` for many rows and columns of which few can be paired: what nothing connects is decided apart.

    Args:
        costs: of the pairs (row, column) that are possible.
        alone: what it costs to leave a row without a column.
    """
    leader = {row: row for row, _ in costs}

    def group(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    holder: dict[int, int] = {}
    for row, column in costs:
        leader[group(row)] = group(holder.setdefault(column, row))
    groups: dict[int, list[tuple[int, int]]] = {}
    for row, column in costs:
        groups.setdefault(group(row), []).append((row, column))
    pairs = []
    for edges in groups.values():
        rows, columns = (sorted(set(side)) for side in zip(*edges, strict=True))
        row_place, column_place = ({name: i for i, name in enumerate(side)} for side in (rows, columns))
        table = np.full((len(rows), len(columns)), np.inf)
        for row, column in edges:
            table[row_place[row], column_place[column]] = costs[row, column]
        pairs += [(rows[i], columns[j]) for i, j in assign(table, alone)]
    return sorted(pairs)
