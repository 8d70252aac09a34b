"""The waiting queue gives ranks in order; the timing wheel keeps each event until it is due."""

import heapq

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prophet_xr.serving.event_queue import NONE, TimingWheel, cancel, pop, push, schedule

EVENTS, LISTS = 5, 4


@given(st.lists(st.one_of(st.none(), st.integers(0, 1000)), max_size=60))
def test_the_queue_gives_the_least_rank_first(operations):
    """A number is pushed, None pops; always as a heap of Python's does."""
    heap, plain = np.zeros(60, np.int64), []
    for rank in operations:
        if rank is not None:
            push(heap, len(plain), rank)
            heapq.heappush(plain, rank)
        elif plain:
            first = heap[0]
            pop(heap, len(plain))
            assert first == heapq.heappop(plain)
        assert sorted(heap[: len(plain)]) == sorted(plain)
        assert not plain or heap[0] == plain[0]


def wheel() -> TimingWheel:
    return TimingWheel(*(np.full(n, NONE) for n in (LISTS, EVENTS, EVENTS, EVENTS)))


def listed(wheel: TimingWheel, ring_position: int) -> set[int]:
    """The events of a list, found forwards; each must know the one before it."""
    events, preceding, event = set(), NONE, wheel.head[ring_position]
    while event != NONE:
        assert wheel.preceding[event] == preceding
        assert event not in events
        events.add(int(event))
        preceding, event = event, wheel.following[event]
    return events


@given(st.lists(st.tuples(st.integers(0, EVENTS - 1), st.integers(0, 11)), max_size=40))
def test_every_list_holds_the_events_of_its_steps(operations):
    """An event that is due is cancelled, another one scheduled at the step."""
    events, due = wheel(), {}
    for event, step in operations:
        if event in due:
            cancel(events, event)
            del due[event]
        else:
            schedule(events, event, step)
            due[event] = step
        for position in range(LISTS):
            expected = {e for e, step in due.items() if step % LISTS == position}
            assert listed(events, position) == expected
        assert events.due.tolist() == [due.get(e, NONE) for e in range(EVENTS)]


def test_an_event_that_is_in_no_list_may_be_cancelled():
    events = wheel()
    schedule(events, 1, 2)
    cancel(events, 0)
    cancel(events, 1)
    cancel(events, 1)
    assert all(listed(events, position) == set() for position in range(LISTS))
