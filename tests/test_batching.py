"""Continuous batching: against a plain scheduler, against theory, and what holds on every run."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_reference import Server

import prophet_xr as px
from prophet_xr.serving.clock import step_duration
from prophet_xr.serving.scheduler import serve
from prophet_xr.serving.service import Service, batch_grid, places, powers, services, whole_bytes
from prophet_xr.serving.state import FINISH, FIRST, LISTS, Requests, admitted

MODEL, GPU = "qwen3-30b-a3b", "A100-80GB"


def a_service(step=1.0, slots=4, tokens=8, block=1, held=None, budget=None, spread=None):
    """Steps of constant time, or of random times from ``spread``; without limit on memory."""
    batches, contexts = np.arange(1.0, max(slots, 2) + 1.0), np.array([1.0, 64.0, 1024.0])
    prompts = np.array([0.0, 4.0, float(max(tokens, 5))])
    shape = (batches.size, 3, 3, 3)
    compute = np.full(shape, step) if spread is None else spread.uniform(0.5, 2.0, shape)
    memory = np.zeros(shape[:3]) if spread is None else spread.uniform(0.5, 2.0, shape[:3])
    low, share = places(batches, slots)
    return Service(
        compute=compute,
        memory=memory,
        others=np.zeros((batches.size, 3, 5)),
        low=low,
        share=share,
        prompts=prompts,
        contexts=contexts,
        prompt_contexts=contexts,
        budget=np.full(slots + 1, 2**40) if budget is None else budget,
        experts=np.zeros(slots + 1),
        held=np.arange(10_000) if held is None else held,
        block=block,
        max_sequences=slots,
        max_tokens=tokens,
        max_context=10**9,
    )


def some_requests(service, arrival, prompt, output, priority=None):
    columns = [np.asarray(v, np.int64) for v in (prompt, output)]
    order = np.zeros(len(arrival), np.int64) if priority is None else np.asarray(priority)
    cause = admitted(service, *columns)
    return Requests(np.asarray(arrival, float), *columns, order.astype(np.int64), cause)


def drawn(seed):
    """A service and a load at random, short of memory."""
    random = np.random.default_rng(seed)
    slots, block = int(random.integers(1, 7)), int(random.choice([1, 3, 16]))
    tokens = slots + int(random.integers(1, 20))
    count = int(random.integers(1, 25))
    prompt, output = random.integers(1, 40, count), random.integers(1, 60, count)
    steps = random.integers(0, 4, 102).repeat(random.integers(1, 9))[:102]
    held = np.r_[0, np.cumsum(steps)]
    top = int(held[min(101, 70 // block + 1)] * random.uniform(0.5, 3)) + 1
    budget = np.r_[top, top - np.cumsum(random.integers(0, max(top // 10, 1), slots))]
    service = a_service(1.0, slots, tokens, block, held, np.maximum(budget, 1), random)
    arrival = np.sort(random.uniform(0, count * random.uniform(0.1, 40), count))
    priority = random.integers(0, 3, count) if random.random() < 0.5 else None
    return service, some_requests(service, arrival, prompt, output, priority)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_kernel_equals_a_plain_scheduler(seed):
    service, requests = drawn(seed)
    state, work = serve(service, requests)
    plain = Server(service, requests).serve()
    for kind, times in ((FIRST, plain.first), (FINISH, plain.finish)):
        expected = [times.get(n, np.nan) for n in range(requests.arrival.size)]
        np.testing.assert_array_equal(work.times[kind], expected)
    assert state.step == plain.steps
    assert (state.preemptions, state.recomputed) == (plain.preemptions, plain.recomputed)
    assert state.peak == plain.peak
    shares = [plain.batch_time.get(n, 0.0) for n in range(1, service.max_sequences + 1)]
    np.testing.assert_array_equal(work.batch_time[1:], shares)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_token_and_every_second_is_accounted_for(seed):
    service, requests = drawn(seed)
    state, work = serve(service, requests)
    let_in = requests.cause == 0
    first, finish = work.times[FIRST], work.times[FINISH]
    assert state.finished == let_in.sum()
    assert (np.isfinite(finish) == let_in).all()
    assert state.generated == requests.output[let_in].sum()
    computed = (requests.prompt + requests.output - 1)[let_in].sum()
    assert state.prefilled + state.decoded == computed + state.recomputed
    assert (first[let_in] > requests.arrival[let_in]).all()
    assert (first[let_in] <= finish[let_in]).all()
    assert 0 <= state.peak <= 1
    assert state.used == state.running == state.waiting == work.growing.sum() == 0
    # Little's law: the integral of those in the system is the sum of their stays
    inside = state.queued + work.batch_time @ np.arange(work.batch_time.size)
    stays = (finish - requests.arrival)[let_in].sum()
    assert inside == pytest.approx(stays, rel=1e-9)
    assert work.series[:, 0].sum() == pytest.approx(work.batch_time.sum(), rel=1e-9)


def test_an_event_further_off_than_the_wheel_is_long_happens_in_its_step():
    service = a_service(slots=3)
    output = [LISTS + 5, 3, 2 * LISTS + 1, LISTS]
    requests = some_requests(service, [0, 0.5, 7, 9], [3, 9, 5, 1], output)
    work = serve(service, requests)[1]
    plain = Server(service, requests).serve()
    np.testing.assert_array_equal(work.times[FINISH], [plain.finish[n] for n in range(4)])


# --- Theory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7])
def test_one_slot_waits_as_m_d_1_does(load):
    count = 10**6
    service = a_service(slots=1)
    random = np.random.default_rng(1)
    arrival = np.cumsum(random.exponential(1 / load, count))
    ones = np.ones(count)
    state = serve(service, some_requests(service, arrival, ones, ones))[0]
    assert state.waited / count == pytest.approx(load / (2 * (1 - load)), rel=0.02)


@pytest.mark.parametrize(("slots", "load"), [(2, 0.6), (4, 0.7)])
def test_c_slots_wait_as_m_m_c_does(slots, load):
    count, mean = 10**6, 150.0
    service = a_service(slots=slots)
    random = np.random.default_rng(2)
    output = np.ceil(random.exponential(mean, count))
    arrival = np.cumsum(random.exponential(output.mean() / (slots * load), count))
    state = serve(service, some_requests(service, arrival, np.ones(count), output))[0]
    offered = slots * load
    terms = [1.0]
    for n in range(1, slots + 1):
        terms.append(terms[-1] * offered / n)
    last = terms.pop() / (1 - load)
    expected = last / (sum(terms) + last) * output.mean() / (slots * (1 - load))
    assert state.waited / count == pytest.approx(expected, rel=0.03)
