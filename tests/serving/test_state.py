"""The order of requests, which of them are rejected, and what a server begins with."""

import numpy as np
import pytest
from servers import server_tables

from prophet_xr.serving.event_queue import NONE
from prophet_xr.serving.state import (
    REJECTIONS,
    empty_arrays,
    empty_state,
    ordered_requests,
    rejections,
)

ARRIVAL = np.array([0.0, 1.0, 2.0, 3.0])
ONES = np.ones(4, np.int64)


def test_requests_are_served_in_order_of_arrival():
    requests = ordered_requests(ARRIVAL, ONES, 2 * ONES)
    assert requests.rank.tolist() == requests.request_of_rank.tolist() == [0, 1, 2, 3]
    assert requests.prompt.tolist() == [1, 1, 1, 1]
    assert requests.output.tolist() == [2, 2, 2, 2]
    assert requests.rejection.tolist() == [0, 0, 0, 0]


def test_the_least_priority_goes_first_and_then_the_first_to_arrive():
    requests = ordered_requests(ARRIVAL, ONES, ONES, np.array([2, -1, 2, 0]))
    assert requests.request_of_rank.tolist() == [1, 3, 0, 2]
    assert requests.rank.tolist() == [2, 0, 3, 1]


def test_requests_of_any_layout_have_one_type():
    """Another layout would be compiled anew; a column that is read-only, too."""
    arrival = np.arange(8)[::2]
    prompt = np.arange(1, 5, dtype=np.int32)
    output = np.arange(1, 5)
    output.flags.writeable = False
    requests = ordered_requests(arrival, prompt, output)
    for column, dtype in zip(requests, ("f8", "i8", "i8"), strict=False):
        assert column.flags.c_contiguous
        assert column.flags.writeable
        assert column.dtype == dtype


@pytest.mark.parametrize(
    ("prompt", "output", "reason"),
    [
        (96, 4, "admitted"),
        (97, 4, "longer_than_context"),
        (60, 1, "admitted"),  # the last token is not in the cache: 60 tokens, 6 blocks
        (60, 2, "never_fits"),
        (150, 1, "longer_than_context"),
    ],
)
def test_what_could_never_be_served_is_rejected(prompt, output, reason):
    room = 100 if prompt > 90 else 6
    sizes, budget = np.arange(20), np.array([room, room, 1])  # of one sequence, not of two
    tables = server_tables(slots=2, block=10, sizes=sizes, budget=budget)
    tables = tables._replace(context_limit=100)
    code = rejections(tables, np.array([prompt]), np.array([output]))
    assert [REJECTIONS[n] for n in code] == [reason]


def test_nothing_is_admitted_where_there_is_no_memory():
    tables = server_tables(sizes=np.zeros(100, np.int64), budget=np.zeros(5, np.int64))
    assert (rejections(tables, ONES, ONES) == REJECTIONS.index("never_fits")).all()


def test_a_server_begins_idle_at_the_first_arrival():
    tables = server_tables(slots=3, block=16)
    state, arrays = empty_state(tables, 5.0), empty_arrays(tables, requests=7, bins=8)
    assert (state.first_arrival, state.now, state.last_finish) == (5.0, 5.0, 5.0)
    assert state.partial_slot == NONE
    assert (state.running, state.waiting, state.kv_used) == (0, 0, 0)
    assert sorted(arrays.free_slots[: state.free_slot_count]) == [0, 1, 2]
    assert (arrays.rank_of_slot == NONE).all()
    assert np.isnan(arrays.token_times).all()
    assert arrays.token_times.shape == (2, 7)
    assert (arrays.generated == NONE).all()
    assert arrays.bytes_due.size == 16
    assert arrays.wheel.due.tolist() == [NONE] * 6  # the end and the block size of each slot
    assert arrays.batch_time.size == 4
