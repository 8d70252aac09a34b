"""What is recorded: every second once, in the right bin, however many bins there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import server_tables

from prophet_xr.serving.state import FIRST_BIN_WIDTH, empty_arrays, empty_state
from prophet_xr.serving.time_series import (
    BATCH,
    EXPERT_MEMORY,
    KV_BUDGET,
    KV_USED,
    TIME,
    WAITING,
    merge_bins,
    record,
)

BUDGET = np.array([100, 100, 80, 60, 40])


def recorded(durations, bins=8, first_arrival=0.0, **numbers):
    """State and arrays after one and the same state was recorded for each of the durations."""
    tables = server_tables(budget=BUDGET)._replace(expert_memory=np.arange(5.0))
    state, arrays = empty_state(tables, first_arrival), empty_arrays(tables, 1, bins)
    for name, value in numbers.items():
        state[name] = value
    for duration in durations:
        record(state, tables, arrays, duration)
        state.now += duration
    return state, arrays


def test_a_series_integrates_what_the_server_holds():
    numbers = {"running": 2, "waiting": 3, "kv_used": 20}
    state, arrays = recorded([0.25 * FIRST_BIN_WIDTH] * 2, **numbers)
    row = arrays.series[0] / (0.5 * FIRST_BIN_WIDTH)
    expected = {TIME: 1, BATCH: 2, WAITING: 3, KV_USED: 20, KV_BUDGET: 80, EXPERT_MEMORY: 2}
    for column, value in expected.items():
        assert row[column] == pytest.approx(value)
    assert (arrays.series[1:] == 0).all()
    assert arrays.batch_time.tolist() == pytest.approx([0, 0, 0.5 * FIRST_BIN_WIDTH, 0, 0])
    assert state.waiting_integral == pytest.approx(3 * 0.5 * FIRST_BIN_WIDTH)
    assert state.kv_peak == 20 / 80


def test_the_peak_is_the_largest_share_of_the_budget():
    state, _ = recorded([1.0], running=1, kv_used=50, kv_peak=0.4)
    assert state.kv_peak == 0.5
    state, _ = recorded([1.0], running=1, kv_used=50, kv_peak=0.6)
    assert state.kv_peak == 0.6


def test_a_duration_is_split_at_the_ends_of_bins():
    durations = np.array([1.5, 0.25, 2.0]) * FIRST_BIN_WIDTH
    state, arrays = recorded(durations, first_arrival=7.0, running=1)
    seconds = arrays.series[:, TIME] / FIRST_BIN_WIDTH
    np.testing.assert_allclose(seconds, [1, 1, 1, 0.75, 0, 0, 0, 0], atol=1e-9)
    assert state.bin == 3
    assert state.bin_width == FIRST_BIN_WIDTH


def test_two_bins_become_one_when_all_are_full():
    state, arrays = recorded([5 * FIRST_BIN_WIDTH], bins=4, running=1)
    seconds = arrays.series[:, TIME] / FIRST_BIN_WIDTH
    np.testing.assert_allclose(seconds, [2, 2, 1, 0], atol=1e-9)
    assert state.bin_width == 2 * FIRST_BIN_WIDTH
    assert state.bin == 2


def test_merged_bins_hold_the_sums_of_each_two():
    state, arrays = recorded([], bins=4)
    arrays.series[:] = np.arange(24.0).reshape(4, 6)
    state.bin = 4
    merge_bins(state, arrays.series)
    assert arrays.series[0].tolist() == [6, 8, 10, 12, 14, 16]
    assert arrays.series[1].tolist() == [30, 32, 34, 36, 38, 40]
    assert (arrays.series[2:] == 0).all()
    assert state.bin == 2


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.sampled_from([2, 4, 10]))
def test_no_second_is_lost_or_counted_twice(durations, bins):
    _, arrays = recorded(durations, bins, running=3)
    assert arrays.series[:, TIME].sum() == pytest.approx(sum(durations), rel=1e-9, abs=1e-12)
    assert arrays.batch_time[3] == pytest.approx(sum(durations), rel=1e-12)
