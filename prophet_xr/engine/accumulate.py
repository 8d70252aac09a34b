"""How many cells become one: a total, a count, the smallest and the largest, and their positions.

Comes in: rows of cells, as a nest evaluates them.  Goes out: a tally for every cell that is kept.

A *tally* is a table of numbers (total, low, high) and one of whole numbers (count, position of low,
position of high), with the kind along their first axis.  A position counts cells in the order of
the dims.  Three numbers are enough for mean, minimum and maximum, and two tallies can be merged, so
cells can be tallied by several threads and slab after slab.

The first half of this file is compiled into the nests of a reduction, so it is written as plain
loops: rows are added to an *accumulator* element by element, which vectorises, and only a finished
accumulator is collapsed.  A NaN compares false to everything, so it is never counted.  The second
half does the same with numpy, for nests that are interpreted, and merges tallies.

>>> numbers, positions = tally_cells(np.array([[5.0, np.nan, 2.0, 9.0]]))
>>> numbers.ravel().tolist(), positions.ravel().tolist()
([16.0, 2.0, 9.0], [3, 2, 3])
"""

from collections.abc import Sequence
from math import inf

import numpy as np

Tally = tuple[np.ndarray, np.ndarray]

# --- Compiled into the nests of a reduction --------------------------------------------------


def clear(numbers, positions):
    """Empty an accumulator."""
    numbers[0, :], numbers[1, :], numbers[2, :] = 0.0, inf, -inf
    positions[0, :], positions[1, :], positions[2, :] = 0, -1, -1


def add_row(row, numbers, positions):
    """Sum and count a row."""
    total, count = numbers[0], positions[0]
    for j in range(row.size):
        total[j] += row[j] if row[j] == row[j] else 0.0
        count[j] += 1 if row[j] == row[j] else 0


def keep_extremes(row, numbers):
    """Keep the smaller and the larger."""
    low, high = numbers[1], numbers[2]
    for j in range(row.size):
        low[j] = row[j] if row[j] < low[j] else low[j]
    for j in range(row.size):
        high[j] = row[j] if row[j] > high[j] else high[j]


def keep_extremes_and_positions(row, numbers, positions, number):
    """Keep the smaller and the larger, and the number of the row they were in."""
    low, high, low_at, high_at = numbers[1], numbers[2], positions[1], positions[2]
    for j in range(row.size):
        low_at[j] = number if row[j] < low[j] else low_at[j]
        low[j] = row[j] if row[j] < low[j] else low[j]
    for j in range(row.size):
        high_at[j] = number if row[j] > high[j] else high_at[j]
        high[j] = row[j] if row[j] > high[j] else high[j]


def collapse(numbers, positions, out_numbers, out_positions, width):
    """Reduce an accumulator along itself, ``width`` cells into each kept one.

    Of equal extremes the first in the order of the dims is kept.
    """
    clear(out_numbers, out_positions)
    for i in range(out_positions.shape[1]):
        for j in range(i * width, (i + 1) * width):
            out_numbers[0, i] += numbers[0, j]
            out_positions[0, i] += positions[0, j]
            at, low = positions[1, j] * width + j - i * width, numbers[1, j]
            if low < out_numbers[1, i] or (low == out_numbers[1, i] and at < out_positions[1, i]):
                out_numbers[1, i], out_positions[1, i] = low, at
            at, high = positions[2, j] * width + j - i * width, numbers[2, j]
            if high > out_numbers[2, i] or (high == out_numbers[2, i] and at < out_positions[2, i]):
                out_numbers[2, i], out_positions[2, i] = high, at


# --- On arrays -------------------------------------------------------------------------------


def empty_tally(shape: Sequence[int]) -> Tally:
    """Tallies of no cell."""
    numbers, positions = np.empty((3, *shape)), np.empty((3, *shape), np.int64)
    numbers[0], numbers[1], numbers[2] = 0.0, np.inf, -np.inf
    positions[0], positions[1], positions[2] = 0, -1, -1
    return numbers, positions


def tally_cells(cells: np.ndarray) -> Tally:
    """Tally along the last axis; NaN is not counted."""
    counted = cells == cells
    low, high = np.where(counted, cells, np.inf), np.where(counted, cells, -np.inf)
    count = counted.sum(-1)
    positions = [np.where(count > 0, at, -1) for at in (low.argmin(-1), high.argmax(-1))]
    total = np.where(counted, cells, 0.0).sum(-1)
    return np.stack([total, low.min(-1), high.max(-1)]), np.stack([count, *positions])


def merge_tallies(numbers: np.ndarray, positions: np.ndarray) -> Tally:
    """Merge tallies along axis 1; of equal extremes the earliest position is kept."""
    if numbers.shape[1] == 1:
        return numbers[:, 0], positions[:, 0]
    merged, merged_positions = empty_tally(numbers.shape[2:])
    merged[0], merged_positions[0] = numbers[0].sum(0), positions[0].sum(0)
    for kind, best in ((1, numbers[1].min(0)), (2, numbers[2].max(0))):
        is_best = (numbers[kind] == best) & (positions[kind] >= 0)
        first = np.where(is_best, positions[kind], np.iinfo(np.int64).max).min(0)
        merged[kind], merged_positions[kind] = best, np.where(is_best.any(0), first, -1)
    return merged, merged_positions


def positions_in_grid(
    positions: np.ndarray, sizes: Sequence[int], start: Sequence[int], grid_sizes: Sequence[int]
) -> np.ndarray:
    """Positions within a slab of the given sizes as positions within the grid."""
    if list(sizes) == list(grid_sizes):
        return positions
    indices = np.unravel_index(np.clip(positions[1:], 0, None), sizes)
    grid_indices = [i + s for i, s in zip(indices, start, strict=True)]
    flat = np.ravel_multi_index(grid_indices, grid_sizes)
    return np.concatenate([positions[:1], np.where(positions[1:] < 0, -1, flat)])
