"""Continuous batching, step by step, as vLLM V1 schedules it.

A step has a budget of tokens.  Running sequences come first: a decoding one takes a token, one
whose prompt is not done as much of it as the budget leaves.  Where the KV cache has no block for
one, the last in order (by priority, then arrival) loses its blocks and waits again, to compute
prompt and output anew.  If none did, waiting requests are let in, first in order, while budget,
sequences and blocks last; a prompt takes as much of the budget as there is.

Source: vllm/v1/core/sched/scheduler.py at 00024d3, without prefix cache, speculation, encoder and
limits on partial prompts.  One deviation: there a sequence that preempts itself ends the scheduling
of running ones, which can only be by priority; here those after it still take their token.

First come, first served is priority with equal priorities: whoever is let in goes after all who
run, so the last in order is the last let in.  At most one prompt is partly done, and every decoding
sequence takes a token in every step.  So the steps at which one needs a block or ends are known in
advance, and a step at which nothing happens costs no more for a thousand sequences than for one.

The KV budget is that of the number of sequences that run: where a policy keeps the experts of the
batch, one more sequence takes blocks and makes the budget smaller.
"""

import hashlib
import inspect
from typing import Any

import numpy as np

from prophet_xr.engine.compile import ensure_compiled
from prophet_xr.serving import event_queue, step_time, time_series
from prophet_xr.serving.event_queue import NONE, cancel, plan, pop, push
from prophet_xr.serving.jit import kept, part, whole
from prophet_xr.serving.server_tables import Service
from prophet_xr.serving.state import FINISH, FIRST, NARROW, STATE, Requests, Work, work
from prophet_xr.serving.step_time import step_duration
from prophet_xr.serving.time_series import write


@part
def _blocks(service, tokens):
    return (tokens + service.block - 1) // service.block


@part
def _arrive(state, requests, work):
    """Let all wait who came during the last step."""
    count = requests.arrival.size
    while state.next < count and requests.arrival[state.next] <= state.now:
        request = state.next
        state.next += 1
        if requests.cause[request] == 0:
            push(work.heap, state.waiting, requests.turn[request])
            state.waiting += 1
            state.queued += state.now - requests.arrival[request]
    state.queue_max = max(state.queue_max, state.waiting)


@part
def _leave(state, service, work, slot, tokens):
    """Free the slot and the blocks of a sequence that holds so many tokens."""
    state.used -= service.held[_blocks(service, tokens)]
    state.running -= 1
    work.turn[slot] = NONE
    work.free[state.free] = slot
    state.free += 1


@part
def _stop(state, service, work, slot):
    """Take a sequence from those that decode."""
    state.decoding -= 1
    work.growing[work.origin[slot] % service.block] -= work.growth[slot]
    cancel(work.wheel, slot)
    cancel(work.wheel, slot + work.owner.size)


@part
def _preempt(state, service, requests, work):
    """Send the last in order back to wait; returns its slot."""
    last = 0
    for slot in range(1, work.turn.size):
        if work.turn[slot] > work.turn[last]:
            last = slot
    request, tokens = work.owner[last], state.done
    if last == state.partial:
        state.partial = NONE
    else:
        tokens = state.step - work.origin[last]
        work.made[request] = tokens + 1 - requests.prompt[request]
        state.seen -= tokens
        _stop(state, service, work, last)
    _leave(state, service, work, last, tokens)
    push(work.heap, state.waiting, requests.turn[request])
    state.waiting += 1
    state.lost += 1
    state.recomputed += tokens
    return last


@part
def _run(state, service, requests, work):
    """Give every decoding sequence a token, and a block where it needs one; then the prompt."""
    place = state.step % service.block
    while state.used + work.growing[place] > service.budget[state.running]:
        _preempt(state, service, requests, work)
    state.left = service.max_tokens - state.decoding
    if state.partial != NONE:
        _go_on(state, service, requests, work, place)
    state.used += work.growing[place]


@part
def _prefill(state, start, chunk):
    """Write down that a prompt takes part in the step."""
    state.left -= chunk
    state.chunks += 1
    state.chunked += chunk
    state.reached += start + chunk
    state.pairs += chunk * start + chunk * (chunk + 1) // 2


@part
def _go_on(state, service, requests, work, place):
    """Go on with the prompt that is partly done; decoding sequences have their blocks first."""
    slot = state.partial
    request = work.owner[slot]
    total = requests.prompt[request] + work.made[request]
    chunk = min(total - state.done, state.left)
    blocks = _blocks(service, state.done + chunk)
    need = service.held[blocks] - service.held[_blocks(service, state.done)]
    while state.used + work.growing[place] + need > service.budget[state.running]:
        if _preempt(state, service, requests, work) == slot:
            return
    state.used += need
    _prefill(state, state.done, chunk)
    state.done += chunk
    if state.done == total:
        state.partial = NONE
        work.fresh[state.fresh] = slot
        state.fresh += 1


@part
def _admit(state, service, requests, work):
    """Let in who waits, while tokens, slots and blocks last."""
    while state.waiting > 0 and state.left > 0 and state.running < service.max_sequences:
        request = requests.whose[work.heap[0]]
        total = requests.prompt[request] + max(work.made[request], 0)
        chunk = min(total, state.left)
        need = service.held[_blocks(service, chunk)]
        if state.used + need > service.budget[state.running + 1]:
            return
        pop(work.heap, state.waiting)
        state.waiting -= 1
        if work.made[request] == NONE:
            work.made[request] = 0
            state.waited += state.now - requests.arrival[request]
        state.free -= 1
        slot = work.free[state.free]
        work.owner[slot], work.turn[slot] = request, requests.turn[request]
        state.running += 1
        state.used += need
        _prefill(state, 0, chunk)
        if chunk == total:
            work.fresh[state.fresh] = slot
            state.fresh += 1
        else:
            state.partial, state.done = slot, chunk


@part
def _duration(state, service, work):
    """Time of the step that has been put together."""
    context = (state.seen + state.decoding + state.reached) / state.running
    attended = state.pairs / state.chunked if state.chunked > 0 else 0.0
    more = state.chunked - state.chunks
    return step_duration(service, work.parts, state.running, context, more, attended)


@part
def _finish(state, service, work, slot, tokens):
    """Let a sequence go that has all its tokens."""
    work.times[FINISH, work.owner[slot]] = state.now
    state.finished += 1
    state.ended = state.now
    _leave(state, service, work, slot, tokens)


@part
def _plan_growth(service, work, slot, blocks, end):
    """Note what the next block of a sequence takes, and when that changes; blocks it has."""
    held, last = service.held, service.held.size - 1
    growth = held[blocks + 1] - held[blocks] if blocks < last else 0
    work.growth[slot] = growth
    work.growing[work.origin[slot] % service.block] += growth
    more = blocks + 1
    while more < last and held[more + 1] - held[more] == growth:
        more += 1
        if work.origin[slot] + (more - 1) * service.block >= end:
            return
    change = work.origin[slot] + (more - 1) * service.block
    if change < end:
        plan(work.wheel, slot + work.owner.size, change)


@part
def _begin(state, service, requests, work, slot):
    """A prompt is done and has brought a token: decode from the next step on."""
    request = work.owner[slot]
    tokens = requests.prompt[request] + work.made[request]
    work.made[request] += 1
    if np.isnan(work.times[FIRST, request]):
        work.times[FIRST, request] = state.now
    if work.made[request] == requests.output[request]:
        _finish(state, service, work, slot, tokens)
        return
    end = state.step + requests.output[request] - work.made[request]
    state.decoding += 1
    state.seen += tokens
    work.origin[slot] = state.step + 1 - tokens
    plan(work.wheel, slot, end)
    _plan_growth(service, work, slot, _blocks(service, tokens), end)


@part
def _happen(state, service, work):
    """Let the events of this step happen: sequences that end, blocks that change their size."""
    slots = work.owner.size
    event = work.wheel.first[state.step % work.wheel.first.size]
    while event != NONE:
        later = work.wheel.later[event]
        if work.wheel.due[event] == state.step:
            cancel(work.wheel, event)
            slot = event % slots
            tokens = state.step + 1 - work.origin[slot]
            if event == slot:
                state.seen -= tokens
                _stop(state, service, work, slot)
                _finish(state, service, work, slot, tokens)
            else:
                work.growing[work.origin[slot] % service.block] -= work.growth[slot]
                end = work.wheel.due[slot]
                _plan_growth(service, work, slot, _blocks(service, tokens), end)
        event = later


@part
def _settle(state, service, requests, work):
    """After the step: tokens come out, sequences begin to decode and end."""
    state.decoded += state.decoding
    state.prefilled += state.chunked
    state.generated += state.decoding + state.fresh
    state.seen += state.decoding
    _happen(state, service, work)
    for n in range(state.fresh):
        _begin(state, service, requests, work, work.fresh[n])
    state.preemptions += state.lost
    state.chunks = state.chunked = state.reached = state.pairs = state.lost = state.fresh = 0
    state.step += 1


@whole
def _serve(state, service, requests, work):
    """Serve all requests."""
    count = requests.arrival.size
    while True:
        _arrive(state, requests, work)
        if state.running == 0 and state.waiting == 0:
            if state.next == count:
                return
            write(state, service, work, requests.arrival[state.next] - state.now)
            state.now = requests.arrival[state.next]
            continue
        _run(state, service, requests, work)
        if state.lost == 0:
            _admit(state, service, requests, work)
        duration = _duration(state, service, work)
        write(state, service, work, duration)
        state.now += duration
        _settle(state, service, requests, work)


def _compiled() -> Any:
    """Compile `_serve`, or take it from numba's cache.

    The cache knows the file of the function it keeps and not the files of those it calls, so their
    text is made part of its key.
    """
    called = (step_time, event_queue, time_series, *step_time.FORMULAS)
    stamp = hashlib.sha256("".join(map(inspect.getsource, called)).encode()).hexdigest()

    def serve(state, service, requests, work):
        _serve(state, service, requests, work)
        return stamp

    return kept(serve)


RUN = _compiled()


def serve(service: Service, requests: Requests, bins: int = 512) -> tuple[np.record, Work]:
    """Serve all requests; what became of them, see `STATE` and `Work`."""
    made = work(service, requests.arrival.size, bins)
    state = np.zeros(1, STATE).view(np.recarray)[0]
    state.began = state.now = state.ended = requests.arrival[0]
    state.width, state.partial, state.free = NARROW, NONE, service.max_sequences
    if not RUN.signatures:
        ensure_compiled(RUN, (state, service, requests, made))
    RUN(state, service, requests, made)
    return state, made
