"""Pareto fronts: the rows of a table that no other row beats in every column."""

import numpy as np


def candidates(costs: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Rows, on (objective, row), among which are all that extend a front: those of numbers."""
    del front
    return np.flatnonzero((costs == costs).all(0))


def front(costs: np.ndarray) -> np.ndarray:
    """Indices of the rows that no row equals or beats in every column, smaller being better.

    Of equal rows the first is kept.  Rows come out ordered by their columns, the first first.
    """
    order = np.lexsort(costs.T[::-1])
    rest = costs[order]
    kept = []
    while order.size:
        # The first in this order is beaten by none; what it beats or equals is dropped.
        kept.append(order[0])
        better = (rest < rest[0]).any(1)
        order, rest = order[better], rest[better]
    return np.array(kept, np.int64)
