"""How many cells become one: a total, a count, the smallest and the largest, and their places.

Comes in: rows of cells, as a nest evaluates them.  Goes out: a tally for every cell that is kept.

A *tally* is a table of numbers (total, low, high) and one of whole numbers (count, place of low,
place of high), with the kind along their first axis; a place counts cells in the order of the dims.
The first half of this file is compiled into the nests of a reduction, so it is written as plain
loops: rows are added to an *accumulator* element by element, which vectorises, and only a finished
accumulator is folded along itself (`settle`).  A NaN compares false to everything, so it is never
counted.  The second half does the same with numpy, for nests that are interpreted, and merges the
tallies of threads and of slabs.
"""

from collections.abc import Sequence
from math import inf

import numpy as np

Tally = tuple[np.ndarray, np.ndarray]

# --- Compiled into the nests of a reduction --------------------------------------------------


def empty(numbers, places):
    """Empty an accumulator."""
    numbers[0, :], numbers[1, :], numbers[2, :] = 0.0, inf, -inf
    places[0, :], places[1, :], places[2, :] = 0, -1, -1


def add(row, numbers, places):
    """Sum and count a row."""
    total, count = numbers[0], places[0]
    for j in range(row.size):
        total[j] += row[j] if row[j] == row[j] else 0.0
        count[j] += 1 if row[j] == row[j] else 0


def ends(row, numbers):
    """Keep the smaller and the larger."""
    low, high = numbers[1], numbers[2]
    for j in range(row.size):
        low[j] = row[j] if row[j] < low[j] else low[j]
    for j in range(row.size):
        high[j] = row[j] if row[j] > high[j] else high[j]


def places_of_ends(row, numbers, places, here):
    """Keep the smaller and the larger, and the row they were in."""
    low, high, low_at, high_at = numbers[1], numbers[2], places[1], places[2]
    for j in range(row.size):
        low_at[j] = here if row[j] < low[j] else low_at[j]
        low[j] = row[j] if row[j] < low[j] else low[j]
    for j in range(row.size):
        high_at[j] = here if row[j] > high[j] else high_at[j]
        high[j] = row[j] if row[j] > high[j] else high[j]


def settle(numbers, places, out_numbers, out_places, width):
    """Fold an accumulator along itself, ``width`` cells into each kept one.

    Of equal extremes the first in the order of the dims is kept.
    """
    empty(out_numbers, out_places)
    for i in range(out_places.shape[1]):
        for j in range(i * width, (i + 1) * width):
            out_numbers[0, i] += numbers[0, j]
            out_places[0, i] += places[0, j]
            at, low = places[1, j] * width + j - i * width, numbers[1, j]
            if low < out_numbers[1, i] or (low == out_numbers[1, i] and at < out_places[1, i]):
                out_numbers[1, i], out_places[1, i] = low, at
            at, high = places[2, j] * width + j - i * width, numbers[2, j]
            if high > out_numbers[2, i] or (high == out_numbers[2, i] and at < out_places[2, i]):
                out_numbers[2, i], out_places[2, i] = high, at


# --- On arrays -------------------------------------------------------------------------------


def no_cells(shape: Sequence[int]) -> Tally:
    """Tallies of no cell."""
    numbers, places = np.empty((3, *shape)), np.empty((3, *shape), np.int64)
    numbers[0], numbers[1], numbers[2] = 0.0, np.inf, -np.inf
    places[0], places[1], places[2] = 0, -1, -1
    return numbers, places


def tally(cells: np.ndarray) -> Tally:
    """Tally along the last axis; NaN is not counted."""
    good = cells == cells
    low, high = np.where(good, cells, np.inf), np.where(good, cells, -np.inf)
    places = [good.sum(-1), low.argmin(-1), high.argmax(-1)]
    places[1:] = [np.where(places[0] > 0, at, -1) for at in places[1:]]
    total = np.where(good, cells, 0.0).sum(-1)
    return np.stack([total, low.min(-1), high.max(-1)]), np.stack(places)


def merge(numbers: np.ndarray, places: np.ndarray) -> Tally:
    """Merge tallies along axis 1; of equal extremes the earliest place is kept."""
    if numbers.shape[1] == 1:
        return numbers[:, 0], places[:, 0]
    numbers_out, places_out = no_cells(numbers.shape[2:])
    numbers_out[0], places_out[0] = numbers[0].sum(0), places[0].sum(0)
    for kind, best in ((1, numbers[1].min(0)), (2, numbers[2].max(0))):
        here = (numbers[kind] == best) & (places[kind] >= 0)
        at = np.where(here, places[kind], np.iinfo(np.int64).max).min(0)
        numbers_out[kind], places_out[kind] = best, np.where(here.any(0), at, -1)
    return numbers_out, places_out


def places_in_grid(
    places: np.ndarray, sizes: Sequence[int], start: Sequence[int], whole: Sequence[int]
) -> np.ndarray:
    """Places within a slab of the given sizes as places within the whole."""
    if list(sizes) == list(whole):
        return places
    at = np.unravel_index(np.clip(places[1:], 0, None), sizes)
    inside = [i + s for i, s in zip(at, start, strict=True)]
    flat = np.ravel_multi_index(inside, whole)
    return np.concatenate([places[:1], np.where(places[1:] < 0, -1, flat)])
