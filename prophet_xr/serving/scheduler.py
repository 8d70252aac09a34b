"""Continuous batching with chunked prefill, step by step, as vLLM V1 schedules it.

In come the tables of a server and ordered requests; out go the numbers of the run and its arrays
(see `state`).

A step has a budget of tokens.  Running sequences come first: one that decodes takes one token, one
whose prompt is partly computed takes as much of it as the budget leaves.  Where there is no KV
block left for one of them, the last in order (by priority, then arrival) is preempted: it loses its
blocks and waits again, to compute its prompt and output anew.  If none was preempted, waiting
requests are admitted, first in order, while budget, slots and blocks last; a prompt takes as much
of the budget as there is.

Source: vllm/v1/core/sched/scheduler.py at 00024d3, without prefix cache, speculation, encoder and
limits on partial prompts.  One deviation: there a sequence that preempts itself ends the scheduling
of running ones, which can only be by priority; here those after it still take their token.

vLLM walks all running sequences in each step; here a step in which none ends and none begins a
block of another size costs as much for a thousand sequences as for one.  Three facts allow it.
First come, first served is priority with equal priorities: who is admitted comes after all who run,
so the last in order is the last admitted.  At most one prompt is partly computed.  And every
decoding sequence takes one token in each step, so the steps at which it begins a block or ends are
known when it begins to decode: they are events of a timing wheel (see `event_queue`).

The KV budget is that of the number of running sequences: where a policy keeps the experts of the
batch, one more sequence both takes blocks and makes the budget smaller.
"""

import hashlib
import inspect
from typing import Any

import numpy as np

from prophet_xr.engine.compile import ensure_compiled
from prophet_xr.serving import event_queue, step_time, time_series
from prophet_xr.serving.event_queue import NONE, cancel, pop, push, schedule
from prophet_xr.serving.jit import inlined, kept_on_disk, without_lock
from prophet_xr.serving.server_tables import ServerTables
from prophet_xr.serving.state import (
    FIRST_TOKEN,
    LAST_TOKEN,
    Requests,
    SchedulerArrays,
    empty_arrays,
    empty_state,
)
from prophet_xr.serving.step_time import step_duration
from prophet_xr.serving.time_series import record

# --- Slots and KV blocks -----------------------------------------------------------------------


@inlined
def _blocks(tables, tokens):
    """KV blocks that so many tokens of one sequence take."""
    return (tokens + tables.block_tokens - 1) // tables.block_tokens


@inlined
def _free_slot(state, tables, arrays, slot, tokens):
    """Free the slot and the KV blocks of a sequence with so many tokens in the cache."""
    state.kv_used -= tables.sequence_bytes[_blocks(tables, tokens)]
    state.running -= 1
    arrays.rank_of_slot[slot] = NONE
    arrays.free_slots[state.free_slot_count] = slot
    state.free_slot_count += 1


@inlined
def _stop_decoding(state, tables, arrays, slot):
    """Take a sequence from those that decode, and cancel its events."""
    state.decoding -= 1
    arrays.bytes_due[arrays.origin[slot] % tables.block_tokens] -= arrays.next_block_bytes[slot]
    cancel(arrays.wheel, slot)
    cancel(arrays.wheel, slot + arrays.request_of_slot.size)


@inlined
def _enqueue(state, requests, arrays, request):
    """Add a request to the waiting queue."""
    push(arrays.waiting_heap, state.waiting, requests.rank[request])
    state.waiting += 1


# --- The beginning of a step: who takes part in it ---------------------------------------------


@inlined
def _enqueue_arrivals(state, requests, arrays):
    """Add the requests that arrived by now to the waiting queue, but for rejected ones."""
    count = requests.arrival.size
    while state.next_request < count and requests.arrival[state.next_request] <= state.now:
        request = state.next_request
        state.next_request += 1
        if requests.rejection[request] == 0:
            _enqueue(state, requests, arrays, request)
            state.waiting_integral += state.now - requests.arrival[request]
    state.waiting_max = max(state.waiting_max, state.waiting)


@inlined
def _preempt_last(state, tables, requests, arrays):
    """Send the last running sequence in order back to wait; returns its slot."""
    last = 0
    for slot in range(1, arrays.rank_of_slot.size):
        if arrays.rank_of_slot[slot] > arrays.rank_of_slot[last]:
            last = slot
    request, tokens = arrays.request_of_slot[last], state.partial_tokens
    if last == state.partial_slot:
        state.partial_slot = NONE
    else:
        tokens = state.step - arrays.origin[last]
        arrays.generated[request] = tokens + 1 - requests.prompt[request]
        state.cached_tokens -= tokens
        _stop_decoding(state, tables, arrays, last)
    _free_slot(state, tables, arrays, last, tokens)
    _enqueue(state, requests, arrays, request)
    state.step_preemptions += 1
    state.recomputed += tokens
    return last


@inlined
def _schedule_running(state, tables, requests, arrays):
    """Give every decoding sequence a token, and a block where it needs one; then the prompt."""
    due = state.step % tables.block_tokens
    while state.kv_used + arrays.bytes_due[due] > tables.kv_budget[state.running]:
        _preempt_last(state, tables, requests, arrays)
    state.tokens_left = tables.max_tokens - state.decoding
    if state.partial_slot != NONE:
        _continue_prompt(state, tables, requests, arrays, due)
    state.kv_used += arrays.bytes_due[due]


@inlined
def _add_chunk(state, start, tokens):
    """Let a chunk of a prompt take part in the step, after ``start`` tokens of it."""
    state.tokens_left -= tokens
    state.chunks += 1
    state.chunk_tokens += tokens
    state.chunk_contexts += start + tokens
    state.attended_pairs += tokens * start + tokens * (tokens + 1) // 2


@inlined
def _continue_prompt(state, tables, requests, arrays, due):
    """Go on with the partly computed prompt; decoding sequences have their blocks first."""
    slot = state.partial_slot
    request = arrays.request_of_slot[slot]
    total = requests.prompt[request] + arrays.generated[request]
    chunk = min(total - state.partial_tokens, state.tokens_left)
    blocks = _blocks(tables, state.partial_tokens + chunk)
    blocks_now = _blocks(tables, state.partial_tokens)
    more_bytes = tables.sequence_bytes[blocks] - tables.sequence_bytes[blocks_now]
    while state.kv_used + arrays.bytes_due[due] + more_bytes > tables.kv_budget[state.running]:
        if _preempt_last(state, tables, requests, arrays) == slot:
            return
    state.kv_used += more_bytes
    _add_chunk(state, state.partial_tokens, chunk)
    state.partial_tokens += chunk
    if state.partial_tokens == total:
        state.partial_slot = NONE
        arrays.prefilled_slots[state.prefilled_slot_count] = slot
        state.prefilled_slot_count += 1


@inlined
def _admit_waiting(state, tables, requests, arrays):
    """Admit the first of the waiting queue, while tokens, slots and blocks last."""
    while state.waiting > 0 and state.tokens_left > 0 and state.running < tables.max_sequences:
        request = requests.request_of_rank[arrays.waiting_heap[0]]
        total = requests.prompt[request] + max(arrays.generated[request], 0)
        chunk = min(total, state.tokens_left)
        more_bytes = tables.sequence_bytes[_blocks(tables, chunk)]
        if state.kv_used + more_bytes > tables.kv_budget[state.running + 1]:
            return
        pop(arrays.waiting_heap, state.waiting)
        state.waiting -= 1
        if arrays.generated[request] == NONE:
            arrays.generated[request] = 0
            state.first_wait_sum += state.now - requests.arrival[request]
        state.free_slot_count -= 1
        slot = arrays.free_slots[state.free_slot_count]
        arrays.request_of_slot[slot] = request
        arrays.rank_of_slot[slot] = requests.rank[request]
        state.running += 1
        state.kv_used += more_bytes
        _add_chunk(state, 0, chunk)
        if chunk == total:
            arrays.prefilled_slots[state.prefilled_slot_count] = slot
            state.prefilled_slot_count += 1
        else:
            state.partial_slot, state.partial_tokens = slot, chunk


@inlined
def _duration(state, tables, arrays):
    """Time [s] of the step that has been put together."""
    tokens = state.cached_tokens + state.decoding + state.chunk_contexts
    context = tokens / state.running
    prompt_context = state.attended_pairs / state.chunk_tokens if state.chunk_tokens > 0 else 0.0
    prompt_tokens = state.chunk_tokens - state.chunks
    return step_duration(
        tables, arrays.step_parts, state.running, context, prompt_tokens, prompt_context
    )


# --- The end of a step: tokens come out --------------------------------------------------------


@inlined
def _finish(state, tables, arrays, slot, tokens):
    """Let a sequence go that has all its output, with so many tokens in the cache."""
    arrays.token_times[LAST_TOKEN, arrays.request_of_slot[slot]] = state.now
    state.finished += 1
    state.last_finish = state.now
    _free_slot(state, tables, arrays, slot, tokens)


@inlined
def _schedule_blocks(tables, arrays, slot, blocks, end):
    """Note the bytes of the next block of a decoding sequence, which has ``blocks`` of them.

    Blocks of one sequence mostly have one size, so it is noted once, with an event at the step
    after which the next block has another size, if that is before the ``end`` of the sequence.
    """
    sizes, last = tables.sequence_bytes, tables.sequence_bytes.size - 1
    block_bytes = sizes[blocks + 1] - sizes[blocks] if blocks < last else 0
    arrays.next_block_bytes[slot] = block_bytes
    arrays.bytes_due[arrays.origin[slot] % tables.block_tokens] += block_bytes
    same = blocks + 1
    while same < last and sizes[same + 1] - sizes[same] == block_bytes:
        same += 1
        if arrays.origin[slot] + (same - 1) * tables.block_tokens >= end:
            return
    change = arrays.origin[slot] + (same - 1) * tables.block_tokens
    if change < end:
        schedule(arrays.wheel, slot + arrays.request_of_slot.size, change)


@inlined
def _start_decoding(state, tables, requests, arrays, slot):
    """A prompt is computed and has brought a token: decode from the next step on."""
    request = arrays.request_of_slot[slot]
    tokens = requests.prompt[request] + arrays.generated[request]
    arrays.generated[request] += 1
    if np.isnan(arrays.token_times[FIRST_TOKEN, request]):
        arrays.token_times[FIRST_TOKEN, request] = state.now
    if arrays.generated[request] == requests.output[request]:
        _finish(state, tables, arrays, slot, tokens)
        return
    end = state.step + requests.output[request] - arrays.generated[request]
    state.decoding += 1
    state.cached_tokens += tokens
    arrays.origin[slot] = state.step + 1 - tokens
    schedule(arrays.wheel, slot, end)
    _schedule_blocks(tables, arrays, slot, _blocks(tables, tokens), end)


@inlined
def _handle_events(state, tables, arrays):
    """Handle the events of this step: sequences that end, blocks that change their size."""
    slots = arrays.request_of_slot.size
    event = arrays.wheel.head[state.step % arrays.wheel.head.size]
    while event != NONE:
        following = arrays.wheel.following[event]
        if arrays.wheel.due[event] == state.step:
            cancel(arrays.wheel, event)
            slot = event % slots
            tokens = state.step + 1 - arrays.origin[slot]
            if event == slot:
                state.cached_tokens -= tokens
                _stop_decoding(state, tables, arrays, slot)
                _finish(state, tables, arrays, slot, tokens)
            else:
                block_position = arrays.origin[slot] % tables.block_tokens
                arrays.bytes_due[block_position] -= arrays.next_block_bytes[slot]
                end = arrays.wheel.due[slot]
                _schedule_blocks(tables, arrays, slot, _blocks(tables, tokens), end)
        event = following


@inlined
def _end_step(state, tables, requests, arrays):
    """After the step: tokens come out, sequences begin to decode and end."""
    state.decoded += state.decoding
    state.prefilled += state.chunk_tokens
    state.generated += state.decoding + state.prefilled_slot_count
    state.cached_tokens += state.decoding
    _handle_events(state, tables, arrays)
    for n in range(state.prefilled_slot_count):
        _start_decoding(state, tables, requests, arrays, arrays.prefilled_slots[n])
    state.preemptions += state.step_preemptions
    state.chunks = state.chunk_tokens = state.chunk_contexts = state.attended_pairs = 0
    state.step_preemptions = state.prefilled_slot_count = 0
    state.step += 1


# --- The run -----------------------------------------------------------------------------------


@without_lock
def _serve_all(state, tables, requests, arrays):
    """Serve all requests."""
    count = requests.arrival.size
    while True:
        _enqueue_arrivals(state, requests, arrays)
        if state.running == 0 and state.waiting == 0:
            if state.next_request == count:
                return
            arrival = requests.arrival[state.next_request]
            record(state, tables, arrays, arrival - state.now)
            state.now = arrival
            continue
        _schedule_running(state, tables, requests, arrays)
        if state.step_preemptions == 0:
            _admit_waiting(state, tables, requests, arrays)
        duration = _duration(state, tables, arrays)
        record(state, tables, arrays, duration)
        state.now += duration
        _end_step(state, tables, requests, arrays)


def _compiled_scheduler() -> Any:
    """Compile `_serve_all`, or take it from numba's cache.

    The cache knows the file of the function it keeps and not the files of those it calls, so their
    text is made part of its key.
    """
    called = (step_time, event_queue, time_series, *step_time.FORMULAS)
    stamp = hashlib.sha256("".join(map(inspect.getsource, called)).encode()).hexdigest()

    def serve_all(state, tables, requests, arrays):
        _serve_all(state, tables, requests, arrays)
        return stamp

    return kept_on_disk(serve_all)


_COMPILED = _compiled_scheduler()


def serve(
    tables: ServerTables, requests: Requests, bins: int = 512
) -> tuple[np.record, SchedulerArrays]:
    """Serve all requests that are not rejected.

    Parameters
    ----------
    tables
        The server.
    requests
        In order of arrival, with their `rejections`.
    bins
        Of the series over time, an even number.

    Returns
    -------
    tuple
        The numbers of the run, a record of `state.STATE`, and its arrays.
    """
    state = empty_state(tables, requests.arrival[0])
    arrays = empty_arrays(tables, requests.arrival.size, bins)
    if not _COMPILED.signatures:
        ensure_compiled(_COMPILED, (state, tables, requests, arrays))
    _COMPILED(state, tables, requests, arrays)
    return state, arrays
