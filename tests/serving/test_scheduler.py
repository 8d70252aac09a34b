"""The scheduler: against a plain one, against queueing theory, and what holds on every run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_reference import Server
from servers import admitted_requests, random_server, server_tables

from prophet_xr.serving.scheduler import serve
from prophet_xr.serving.state import FIRST_TOKEN, LAST_TOKEN, WHEEL_LISTS
from prophet_xr.serving.time_series import TIME


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_scheduler_equals_a_plain_one(seed):
    tables, requests, priority = random_server(seed)
    state, arrays = serve(tables, requests)
    plain = Server(tables, requests, priority).serve()
    for kind, times in ((FIRST_TOKEN, plain.first), (LAST_TOKEN, plain.finish)):
        expected = [times.get(n, np.nan) for n in range(requests.arrival.size)]
        np.testing.assert_array_equal(arrays.token_times[kind], expected)
    assert state.step == plain.steps
    assert (state.preemptions, state.recomputed) == (plain.preemptions, plain.recomputed)
    assert state.kv_peak == plain.peak
    shares = [plain.batch_time.get(n, 0.0) for n in range(1, tables.max_sequences + 1)]
    np.testing.assert_array_equal(arrays.batch_time[1:], shares)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_token_and_every_second_is_accounted_for(seed):
    tables, requests, _ = random_server(seed)
    state, arrays = serve(tables, requests)
    admitted = requests.rejection == 0
    first, finish = arrays.token_times[FIRST_TOKEN], arrays.token_times[LAST_TOKEN]
    assert state.finished == admitted.sum()
    assert (np.isfinite(finish) == admitted).all()
    assert state.generated == requests.output[admitted].sum()
    computed = (requests.prompt + requests.output - 1)[admitted].sum()
    assert state.prefilled + state.decoded == computed + state.recomputed
    assert (first[admitted] > requests.arrival[admitted]).all()
    assert (first[admitted] <= finish[admitted]).all()
    assert 0 <= state.kv_peak <= 1
    assert state.kv_used == state.running == state.waiting == arrays.bytes_due.sum() == 0
    # Little's law: the integral of those in the system is the sum of their stays
    inside = state.waiting_integral + arrays.batch_time @ np.arange(arrays.batch_time.size)
    stays = (finish - requests.arrival)[admitted].sum()
    assert inside == pytest.approx(stays, rel=1e-9)
    assert arrays.series[:, TIME].sum() == pytest.approx(arrays.batch_time.sum(), rel=1e-9)


def test_an_event_further_off_than_the_wheel_is_long_happens_in_its_step():
    tables = server_tables(slots=3)
    output = [WHEEL_LISTS + 5, 3, 2 * WHEEL_LISTS + 1, WHEEL_LISTS]
    requests = admitted_requests(tables, [0, 0.5, 7, 9], [3, 9, 5, 1], output)
    arrays = serve(tables, requests)[1]
    plain = Server(tables, requests).serve()
    finish = [plain.finish[n] for n in range(4)]
    np.testing.assert_array_equal(arrays.token_times[LAST_TOKEN], finish)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7])
def test_one_slot_waits_as_m_d_1_does(load):
    count = 10**6
    tables = server_tables(slots=1)
    random = np.random.default_rng(1)
    arrival = np.cumsum(random.exponential(1 / load, count))
    ones = np.ones(count)
    state = serve(tables, admitted_requests(tables, arrival, ones, ones))[0]
    assert state.first_wait_sum / count == pytest.approx(load / (2 * (1 - load)), rel=0.02)


@pytest.mark.parametrize(("slots", "load"), [(2, 0.6), (4, 0.7)])
def test_c_slots_wait_as_m_m_c_does(slots, load):
    count, mean = 300_000, 150.0
    tables = server_tables(slots=slots)
    random = np.random.default_rng(2)
    output = np.ceil(random.exponential(mean, count))
    arrival = np.cumsum(random.exponential(output.mean() / (slots * load), count))
    state = serve(tables, admitted_requests(tables, arrival, np.ones(count), output))[0]
    offered = slots * load
    terms = [1.0]
    for n in range(1, slots + 1):
        terms.append(terms[-1] * offered / n)
    last = terms.pop() / (1 - load)
    expected = last / (sum(terms) + last) * output.mean() / (slots * (1 - load))
    assert state.first_wait_sum / count == pytest.approx(expected, rel=0.03)
