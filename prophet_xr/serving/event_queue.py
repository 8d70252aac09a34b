"""What is to come: a heap of turns, and a wheel of events at steps known in advance.

An event is a number below the length of ``due``; the wheel keeps it in the list of its step modulo
the number of lists, so that those of one step are found by looking at one list.
"""

from typing import NamedTuple

import numpy as np

from prophet_xr.serving.jit import part

NONE = -1


class Wheel(NamedTuple):
    """First event by list; the next and the one before by event, and its step or NONE."""

    first: np.ndarray
    later: np.ndarray
    earlier: np.ndarray
    due: np.ndarray


@part
def push(heap, size, turn):
    """Add a turn to a heap that holds ``size``."""
    at = size
    while at > 0:
        parent = (at - 1) // 2
        if turn > heap[parent]:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = turn


@part
def pop(heap, size):
    """Take the first turn out of a heap that holds ``size``."""
    last, at = heap[size - 1], 0
    while 2 * at + 1 < size - 1:
        child = 2 * at + 1
        if child + 1 < size - 1 and heap[child + 1] < heap[child]:
            child += 1
        if last < heap[child]:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = last


@part
def plan(wheel, event, step):
    """Let an event happen at a step."""
    place = step % wheel.first.size
    head = wheel.first[place]
    wheel.due[event], wheel.later[event], wheel.earlier[event] = step, head, NONE
    if head != NONE:
        wheel.earlier[head] = event
    wheel.first[place] = event


@part
def cancel(wheel, event):
    """Take an event out of the wheel; nothing happens if it is not in it."""
    if wheel.due[event] == NONE:
        return
    later, earlier = wheel.later[event], wheel.earlier[event]
    if later != NONE:
        wheel.earlier[later] = earlier
    if earlier != NONE:
        wheel.later[earlier] = later
    else:
        wheel.first[wheel.due[event] % wheel.first.size] = later
    wheel.due[event] = NONE
