"""The waiting queue of a server, and the events known in advance of its running sequences.

In come ranks (places in the order of service) and events with the step at which each is due; out
come the first rank in order, and the events of one step.  Both are kept in arrays of fixed length
that the caller allocates, since the compiled scheduler allocates nothing.

The waiting queue is a binary heap of ranks: to add one, or to take out the first, costs the
logarithm of its length.  The events are in a timing wheel: a ring of lists, in which an event is in
the list of its step modulo the number of lists.  So what happens at a step is found by walking one
list, not every running sequence.  An event further off than the ring is long is passed by each
time that its list is walked, which is why a reader compares `due`.  The lists are linked both ways,
so that the event of a preempted sequence is taken out without a search.
"""

from typing import NamedTuple

import numpy as np

from prophet_xr.serving.jit import inlined

NONE = -1


class TimingWheel(NamedTuple):
    """Events by the step at which they are due; an event is a number from 0.

    By list: its ``head``, the event that it begins with.  By event: the ``following`` and the
    ``preceding`` one in its list, and the step at which it is ``due``.  NONE where there is none.
    """

    head: np.ndarray
    following: np.ndarray
    preceding: np.ndarray
    due: np.ndarray


@inlined
def push(heap, length, rank):
    """Add a rank to a heap that holds ``length`` of them."""
    position = length
    while position > 0:
        parent = (position - 1) // 2
        if rank > heap[parent]:
            break
        heap[position] = heap[parent]
        position = parent
    heap[position] = rank


@inlined
def pop(heap, length):
    """Take the first rank, ``heap[0]``, out of a heap that holds ``length`` of them."""
    last, position = heap[length - 1], 0
    while 2 * position + 1 < length - 1:
        child = 2 * position + 1
        if child + 1 < length - 1 and heap[child + 1] < heap[child]:
            child += 1
        if last < heap[child]:
            break
        heap[position] = heap[child]
        position = child
    heap[position] = last


@inlined
def schedule(wheel, event, step):
    """Note that an event, which is in no list, is due at a step."""
    ring_position = step % wheel.head.size
    head = wheel.head[ring_position]
    wheel.due[event], wheel.following[event], wheel.preceding[event] = step, head, NONE
    if head != NONE:
        wheel.preceding[head] = event
    wheel.head[ring_position] = event


@inlined
def cancel(wheel, event):
    """Take an event out of its list; nothing happens if it is in none."""
    if wheel.due[event] == NONE:
        return
    following, preceding = wheel.following[event], wheel.preceding[event]
    if following != NONE:
        wheel.preceding[following] = preceding
    if preceding != NONE:
        wheel.following[preceding] = following
    else:
        wheel.head[wheel.due[event] % wheel.head.size] = following
    wheel.due[event] = NONE
