"""What a reduction keeps of many cells, and how two of them become one.

A tally is a table of numbers (total, low, high) and one of whole numbers (count, place of low,
place of high), the kind along their first axis; a place counts cells in the order of the dims.
"""

from collections.abc import Sequence

import numpy as np

Tally = tuple[np.ndarray, np.ndarray]


def empty(shape: Sequence[int]) -> Tally:
    """Tallies of no cell."""
    numbers, places = np.empty((3, *shape)), np.empty((3, *shape), np.int64)
    numbers[0], numbers[1], numbers[2] = 0.0, np.inf, -np.inf
    places[0], places[1], places[2] = 0, -1, -1
    return numbers, places


def of(cells: np.ndarray) -> Tally:
    """Tally along the last axis; NaN is not counted."""
    good = cells == cells
    low, high = np.where(good, cells, np.inf), np.where(good, cells, -np.inf)
    places = [good.sum(-1), low.argmin(-1), high.argmax(-1)]
    places[1:] = [np.where(places[0] > 0, at, -1) for at in places[1:]]
    total = np.where(good, cells, 0.0).sum(-1)
    return np.stack([total, low.min(-1), high.max(-1)]), np.stack(places)


def merged(numbers: np.ndarray, places: np.ndarray) -> Tally:
    """Merge tallies along axis 1; of equal extremes the earliest place is kept."""
    if numbers.shape[1] == 1:
        return numbers[:, 0], places[:, 0]
    numbers_out, places_out = empty(numbers.shape[2:])
    numbers_out[0], places_out[0] = numbers[0].sum(0), places[0].sum(0)
    for kind, best in ((1, numbers[1].min(0)), (2, numbers[2].max(0))):
        here = (numbers[kind] == best) & (places[kind] >= 0)
        at = np.where(here, places[kind], np.iinfo(np.int64).max).min(0)
        numbers_out[kind], places_out[kind] = best, np.where(here.any(0), at, -1)
    return numbers_out, places_out


def moved(
    places: np.ndarray, sizes: Sequence[int], start: Sequence[int], whole: Sequence[int]
) -> np.ndarray:
    """Places within a slab of the given sizes as places within the whole."""
    if list(sizes) == list(whole):
        return places
    at = np.unravel_index(np.clip(places[1:], 0, None), sizes)
    inside = [i + s for i, s in zip(at, start, strict=True)]
    flat = np.ravel_multi_index(inside, whole)
    return np.concatenate([places[:1], np.where(places[1:] < 0, -1, flat)])
