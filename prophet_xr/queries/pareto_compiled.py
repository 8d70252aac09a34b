"""What `prophet_xr.queries.pareto` does, compiled: for many rows."""

from functools import cache
from typing import Any

import numpy as np

from prophet_xr.engine.codegen import CACHED, HEADER, function
from prophet_xr.engine.compile import compiled
from prophet_xr.engine.run import cores, share

_WINDOW = 256  # rows that others are compared with


def candidates(costs: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Rows, on (objective, row), among which are all that extend a front.

    They hold numbers, and neither some of the front nor some of the rows before them beat them.
    """
    parts = np.linspace(0, costs.shape[1], cores() + 1).astype(np.int64).tolist()
    kept = np.empty(costs.shape[1], np.int64)
    counts = np.zeros(cores(), np.int64)
    few = front[:: max(1, 2 * len(front) // _WINDOW)]
    jobs = []
    for part in range(cores()):
        window = np.empty((_WINDOW, len(costs)))
        window[: len(few)] = few
        jobs.append((costs, window, len(few), parts[part], parts[part + 1], kept, counts, part))
    share(_compiled(*jobs[0]), jobs)
    return np.concatenate([kept[a : a + n] for a, n in zip(parts, counts.tolist(), strict=False)])


def front(costs: np.ndarray) -> np.ndarray:
    """Indices of the rows that no row equals or beats, as `queries.pareto.front` gives them."""
    order = np.lexsort(costs.T[::-1])  # in which no later row beats an earlier one
    kept, counts = np.empty(len(costs), np.int64), np.zeros(1, np.int64)
    window = np.empty_like(costs)
    job = (costs[order].T.copy(), window, 0, 0, len(costs), kept, counts, 0)
    _compiled(*job)(*job)
    return order[kept[: counts[0]]]


def _compiled(*job: Any) -> Any:
    return compiled(_text(), job)


@cache
def _text() -> str:
    return HEADER + function(_screen, "fill", CACHED)


def _screen(costs, window, known, first, last, kept, counts, part):
    """Write the rows from first to last that no row of the window equals or beats.

    A row that is not beaten joins the window while there is room.  A row of the window that beats
    another moves half way to the start, as it is likely to beat the next ones too.
    """
    count = first
    for i in range(first, last):
        passes = True
        for k in range(costs.shape[0]):
            passes &= costs[k, i] == costs[k, i]
        w = 0
        while passes and w < known:
            k = 0
            while k < costs.shape[0] and costs[k, i] >= window[w, k]:
                k += 1
            passes = k < costs.shape[0]
            w += 1
        if passes:
            kept[count] = i
            count += 1
            if known < window.shape[0]:
                window[known, :] = costs[:, i]
                known += 1
        elif w > 1:
            for k in range(costs.shape[0]):
                better = window[w - 1, k]
                window[w - 1, k] = window[(w - 1) // 2, k]
                window[(w - 1) // 2, k] = better
    counts[part] = count - first
