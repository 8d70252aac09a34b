"""How rows of cells are folded into what is kept of them; compiled into the nests of a reduction.

An accumulator is a table of numbers (total, low, high) and one of whole numbers (count, and the
places of low and high).  Rows are added element by element, which vectorises; only a finished
accumulator is folded along itself.  A NaN compares false to everything, so it is never counted.
"""

from math import inf


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
