"""Tallies worked by hand, and the compiled half held to the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prophet_xr.engine import accumulate

NAN = np.nan


def test_a_tally_by_hand():
    numbers, positions = accumulate.tally_cells(
        np.array([[3.0, NAN, -1.0, 3.0], [NAN, NAN, NAN, NAN]])
    )
    np.testing.assert_array_equal(numbers, [[5, 0], [-1, np.inf], [3, -np.inf]])
    # total of three cells; of the two threes the first; of no cell neither count nor position
    np.testing.assert_array_equal(positions, [[3, 0], [2, -1], [0, -1]])


def test_no_cells_merged_with_some_change_nothing():
    some = accumulate.tally_cells(np.array([[2.0, 5.0]]))
    none = accumulate.empty_tally([1])
    merged = accumulate.merge_tallies(*(np.stack(pair, 1) for pair in zip(none, some, strict=True)))
    for got, expected in zip(merged, some, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_of_equal_extremes_the_earliest_is_kept_when_merged():
    numbers = np.array([[[1.0], [2.0], [4.0]], [[7.0], [7.0], [8.0]], [[9.0], [9.0], [3.0]]])
    positions = np.array([[[1], [1], [2]], [[6], [4], [0]], [[5], [8], [1]]])
    merged, at = accumulate.merge_tallies(numbers, positions)
    assert merged.ravel().tolist() == [7, 7, 9]
    assert at.ravel().tolist() == [4, 4, 5]


def test_positions_of_a_slab_are_found_in_the_grid():
    # cells 1 and 5 of a slab of 2 x 3 that begins at (2, 1) of a grid of 5 x 4:
    # (0, 1) -> (2, 2) -> 10 and (1, 2) -> (3, 3) -> 15; no cell stays none
    positions = np.array([[4, 0], [1, -1], [5, -1]])
    in_grid = accumulate.positions_in_grid(positions, [2, 3], [2, 1], [5, 4])
    assert in_grid.tolist() == [[4, 0], [10, -1], [15, -1]]
    assert accumulate.positions_in_grid(positions, [5, 4], [0, 0], [5, 4]) is positions


CELLS = st.sampled_from([NAN, -2.0, 0.0, 1.0, 7.5, np.inf])
ROWS = hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=CELLS)


def accumulated(rows, width):
    """Tallies of rows added to one accumulator, as a nest does it, by the same functions."""
    accumulator = np.full((3, rows.shape[1]), 8.0), np.full((3, rows.shape[1]), 9)
    accumulate.clear(*accumulator)
    for number, row in enumerate(rows):
        accumulate.add_row(row, *accumulator)
        accumulate.keep_extremes_and_positions(row, *accumulator, number)
    kept = accumulate.empty_tally([rows.shape[1] // width])
    accumulate.collapse(*accumulator, *kept, width)
    return kept


@given(ROWS)
def test_row_upon_row_equals_a_tally_of_each_column(rows):
    numbers, positions = accumulated(rows, 1)
    expected, expected_positions = accumulate.tally_cells(rows.T)
    np.testing.assert_array_equal(numbers[0], expected[0])
    # An infinite cell ties with the extreme of no cell, which only the count tells apart.
    finite = ~np.isinf(rows).any(0)
    np.testing.assert_array_equal(numbers[:, finite], expected[:, finite])
    np.testing.assert_array_equal(positions[:, finite], expected_positions[:, finite])


@given(ROWS)
def test_rows_reduced_along_themselves_equal_a_tally_of_all_cells(rows):
    rows = np.where(np.isinf(rows), 3.0, rows)
    numbers, positions = accumulated(rows, rows.shape[1])
    expected, expected_positions = accumulate.tally_cells(rows.reshape(1, -1))
    np.testing.assert_array_equal(numbers, expected)
    some = expected_positions[0] > 0
    np.testing.assert_array_equal(positions[:, some], expected_positions[:, some])
    assert (positions[0] == expected_positions[0]).all()


def test_extremes_without_positions_are_the_same():
    row, (numbers, _) = np.array([4.0, NAN, -1.0]), accumulate.empty_tally([3])
    accumulate.keep_extremes(row, numbers)
    accumulate.keep_extremes(-row, numbers)
    assert numbers[1:].tolist() == [[-4, np.inf, -1], [4, -np.inf, 1]]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_merged_parts_equal_the_whole(count):
    cells = np.random.default_rng(0).integers(0, 9, (3, 40)).astype(float)
    parts = np.array_split(np.arange(40), count)
    tallies = [accumulate.tally_cells(cells[:, part]) for part in parts]
    for (_, positions), part in zip(tallies, parts, strict=True):
        positions[1:] += part[0]
    stacked = (np.stack(tables, 1) for tables in zip(*tallies, strict=True))
    merged = accumulate.merge_tallies(*stacked)
    for got, expected in zip(merged, accumulate.tally_cells(cells), strict=True):
        np.testing.assert_array_equal(got, expected)
