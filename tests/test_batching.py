"""Continuous batching: against a plain scheduler, against theory, and what holds on every run."""

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_reference import Server

import prophet_xr as px
from prophet_xr import serving
from prophet_xr.serving.scheduler import serve
from prophet_xr.serving.server_tables import Service, places, services, whole_bytes
from prophet_xr.serving.state import FINISH, FIRST, LISTS, admitted, requests_of
from prophet_xr.serving.step_time import step_duration

POLICIES = ["baseline", "prophet", "on_demand"]
SERVER = {"model": "qwen3-30b-a3b", "gpu": "H100-80GB", "runtime": "vllm", "routing": "zipf"}


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
        others=np.zeros((batches.size, 3, 6)),
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
    made = requests_of(np.asarray(arrival, float), *columns, priority)
    return made._replace(cause=admitted(service, *columns))


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
    return service, some_requests(service, arrival, prompt, output, priority), priority


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_kernel_equals_a_plain_scheduler(seed):
    service, requests, priority = drawn(seed)
    state, work = serve(service, requests)
    plain = Server(service, requests, priority).serve()
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
    service, requests, _ = drawn(seed)
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


# --- The cube under the kernel ---------------------------------------------------------------


@pytest.mark.parametrize(("plan", "worst"), [("tp1", 0.02), ("dp4-ep4", 0.03)])
@pytest.mark.parametrize("routing", ["power", "zipf"])
def test_a_step_takes_what_the_cube_says(routing, plan, worst):
    data = px.inputs(
        model=["qwen3-30b-a3b", "gpt-oss-20b", "jamba-1.5-large"],
        gpu=["A100-80GB", "H100-80GB"],
        policy=[*POLICIES, "lru", "cpu_compute"],
        runtime="vllm",
        max_sequences=1024,  # on every card: the points below reach as far
        max_batched_tokens=8192,
        **{"routing": routing, "plan": plan, "cache_slots": 4, "copy_latency": 2e-5},
    )
    random = np.random.default_rng(0)
    count = 100
    prompt = np.where(np.arange(count) % 2, np.exp(random.uniform(0, 9, count)).round(), 0.0)
    points = {
        "batch": random.permutation(np.geomspace(1, 1024, count).round()),
        "context": np.exp(random.uniform(2, 9.9, count)),
        "prompt_tokens": prompt,
        "prompt_context": np.where(prompt > 0, np.exp(random.uniform(0, 9.9, count)), 0.0),
    }
    means = {"continuous": 1}  # the contexts of a batch differ
    at = data.drop_vars(points).assign({n: ("point", v, means) for n, v in points.items()})
    exact = px.sweep(at, ["step_time"]).step_time
    served = services(data, 20_000)
    errors = []
    for cell in served.cells():
        service = served.at(cell)
        here = dict(zip(served.sizes, cell, strict=True))
        rows = zip(*points.values(), strict=True)
        found = [step_duration(service, np.zeros(8), int(b), *rest) for b, *rest in rows]
        errors.append(np.array(found) / exact.isel(here).values - 1)
    assert np.abs(errors).max() < worst
    assert np.sqrt(np.mean(np.square(errors))) < 0.002


def test_a_prompt_computes_by_hand():
    # Mixtral-8x7B: 4 FLOP x 32 heads x 128 x 32 layers per pair of tokens; top-2 of 8 experts
    data = px.inputs(model="mixtral-8x7b", gpu="H200", policy="baseline", batch=4, context=2048)
    more = {"prompt_tokens": ("chunk", [0.0, 512.0]), "prompt_context": 1000.0}
    cube = px.sweep(data.assign(more))
    passed = float(cube.active_parameters) - 32_000 * 4096  # no token computes the embeddings
    alone, both = cube.step_flops.values
    passed -= 32_000 * 4096  # nor its logits, but for the last
    assert both - alone == pytest.approx(512 * (2 * passed + 4 * 32 * 128 * 32 * 1000))


def test_a_prompt_touches_experts_in_passing():
    data = px.inputs(**SERVER, policy=POLICIES, batch=2, context=2048)
    chunks = np.array([0.0, 1.0, 16.0, 256.0, 8192.0])
    cube = px.sweep(data.assign(prompt_tokens=("chunk", chunks), prompt_context=100.0))
    assert "chunk" not in cube.resident_experts.dims
    assert "chunk" not in cube.kv_budget.dims
    assert cube.step_experts[0] == cube.unique_experts
    assert (cube.step_experts.diff("chunk") > 0).all()
    assert cube.step_experts[-1] == pytest.approx(float(cube.n_experts), rel=1e-3)
    assert (cube.link_traffic.sel(policy="baseline") == 0).all()
    missing = (cube.step_experts - cube.resident_experts).sel(policy="prophet")
    streamed = missing * cube.moe_layers * cube.expert_size
    assert (cube.link_traffic.sel(policy="prophet") >= streamed * (1 - 1e-12)).all()


def a_load(arrival, prompt, output, **more):
    return serving.load(np.array(arrival, float), np.array(prompt), np.array(output), **more)


def test_a_request_alone_takes_the_steps_of_the_cube():
    prompt, output = 1000, 20
    data = px.inputs(**SERVER, policy=POLICIES)
    run = px.simulate(data, a_load([0.0], [prompt], [output]), quantiles=[1.0])
    one = data.assign(batch=1.0)
    more = {"prompt_tokens": prompt - 1.0, "prompt_context": (prompt + 1) / 2}
    first = px.sweep(one.assign(context=float(prompt), **more), ["step_time"]).step_time
    contexts = np.arange(prompt + 1.0, prompt + output)
    rest = px.sweep(one.assign(context=("n", contexts)), ["step_time"]).step_time.sum("n")
    assert run.iterations.values.tolist() == [output] * 3
    np.testing.assert_allclose(run.ttft.squeeze(), first.squeeze(), rtol=0.002)
    np.testing.assert_allclose(run.e2e.squeeze(), (first + rest).squeeze(), rtol=0.002)


def test_the_kv_budget_is_that_of_the_batch():
    data = px.inputs(**SERVER, policy=POLICIES)
    served = services(data, 1000)
    cube = px.sweep(data.drop_vars("batch").assign_coords(batch=np.arange(1.0, 1025.0)))
    for n in range(3):
        service = served.at((n,))
        np.testing.assert_allclose(service.budget[1:], cube.kv_budget[n], atol=1)
    prophet = served.at((1,)).budget[1:]
    assert prophet[0] > 5 * prophet[-1] > 0
    assert (np.diff(prophet) <= 0).all()


def test_every_data_rank_brings_its_sequences():
    chosen = {**SERVER, "max_sequences": 64, "policy": "baseline", "context": 4096}
    load = a_load(np.zeros(900), np.full(900, 16), np.full(900, 100))
    run = px.simulate(px.inputs(**chosen, plan=["tp1", "dp4-ep4", "dp8-ep8"]), load)
    most = run.batch_share.cumsum("batch").argmax("batch")
    assert most.values.tolist() == [64, 256, 512]


def test_blocks_hold_what_the_cube_says():
    for model in ("qwen3-30b-a3b", "gpt-oss-20b", "jamba-1.5-large"):
        for runtime in ("vllm", "sglang"):
            limits = {"max_sequences": 256, "max_batched_tokens": 8192}
            chosen = {**SERVER, **limits, "model": model, "runtime": runtime}
            data = px.inputs(**chosen, policy="baseline")
            service = services(data, 5000).at(())
            blocks = np.arange(1.0, service.held.size)
            context = ("n", blocks * service.block)
            cube = px.sweep(data.assign(batch=1.0, context=context), ["sequence_memory"])
            found = service.held[1:]
            assert ((found >= cube.sequence_memory - 1e-2) & (found > 0)).all()
            np.testing.assert_allclose(found, cube.sequence_memory, rtol=1e-4)


def test_whole_bytes_round_every_block_up():
    assert whole_bytes(np.array([1.5, 3.0, 3.0, 4.25])).tolist() == [0, 2, 4, 4, 6]


# --- Runs ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run():
    data = px.inputs(**{**SERVER, "model": ["qwen3-30b-a3b", "olmoe-1b-7b"]}, policy=POLICIES)
    loads = [serving.preset("azure-conv", 600, rate=r, seed=1) for r in (2.0, 20.0)]
    return px.simulate(data, xr.concat(loads, pd.Index([2.0, 20.0], name="rate")))


def test_a_run_has_the_dims_of_inputs_and_load(run):
    assert run.throughput.dims == ("policy", "model", "rate")
    assert run.ttft.dims == ("policy", "model", "rate", "quantile")
    assert run.rate.values.tolist() == [2.0, 20.0]
    assert all({"units", "long_name"} <= set(v.attrs) for v in run.data_vars.values())


def test_littles_law_holds_on_every_run(run):
    stays = run.e2e_mean * run.finished / run.duration
    np.testing.assert_allclose(run.in_system_mean, stays, rtol=1e-6)
    assert (run.finished + run.rejected.sum("cause") == run.requests).all()
    assert run.rejected.sum() > 0
    assert (run.kv_peak <= 1).all()
    np.testing.assert_allclose(run.batch_share.sum("batch"), 1.0)


def test_series_add_up_to_the_run(run):
    width = run.time.isel(time_bin=1) - run.time.isel(time_bin=0)
    used = ((run.time.max("time_bin") + width / 2) / run.duration).values
    assert ((used > 0.99) & (used < 1.02)).all()
    budget = run.kv_budget_series - run.kv_used_series
    assert (budget.where(budget.notnull(), 0) >= 0).all()
    mean = run.batch_mean * (1 - run.batch_share.sel(batch=0))  # idle time counts in a series
    np.testing.assert_allclose(run.batch_series.mean("time_bin"), mean, rtol=0.02)


def test_more_load_makes_a_larger_batch_and_a_smaller_extension(run):
    prophet = run.sel(policy="prophet", model="qwen3-30b-a3b")
    slow, fast = prophet.isel(rate=0), prophet.isel(rate=1)
    assert fast.batch_mean > 2 * slow.batch_mean
    assert fast.expected_kv_extension < slow.expected_kv_extension
    assert fast.expected_resident_experts > slow.expected_resident_experts
    assert slow.expected_kv_extension >= slow.static_kv_extension  # convex in the batch


def test_the_same_load_gives_the_same_bytes(run):
    data = px.inputs(**{**SERVER, "model": ["qwen3-30b-a3b", "olmoe-1b-7b"]}, policy=POLICIES)
    loads = [serving.preset("azure-conv", 600, rate=r, seed=1) for r in (2.0, 20.0)]
    again = px.simulate(data, xr.concat(loads, pd.Index([2.0, 20.0], name="rate")))
    assert again.identical(run)
    assert all(again[n].values.tobytes() == run[n].values.tobytes() for n in run.data_vars)


def test_processes_may_share_the_loads():
    data = px.inputs(**SERVER, policy="prophet")
    loads = [serving.preset("azure-conv", 50, seed=n) for n in (1, 2)]
    apart = dask.compute(
        *(dask.delayed(px.simulate)(data, a) for a in loads), scheduler="processes"
    )
    together = px.simulate(data, xr.concat(loads, pd.Index([1, 2], name="seed")))
    assert [float(a.e2e_mean) for a in apart] == together.e2e_mean.values.tolist()


def test_what_can_never_be_served_is_turned_away():
    data = px.inputs(**SERVER, policy=["baseline", "prophet"], context=50_000)
    load = a_load([0, 0, 1, 2], [10, 60_000, 49_000, 100], [10, 1, 1_000, 50_000])
    run = px.simulate(data.assign(usable_memory=8.5e10), load)
    assert run.rejected.values.tolist() == [[2, 0], [2, 0]]
    tight = px.simulate(data.assign(usable_memory=8.1e10), load)
    assert tight.rejected.sel(cause="never_fits").values.tolist() == [1, 0]
    assert (tight.finished + tight.rejected.sum("cause") == 4).all()
    none = px.simulate(data.assign(usable_memory=1e10), load)
    assert none.rejected.sum("cause").values.tolist() == [4, 4]
    assert none.ttft.isnull().all()
    assert none.expected_kv_extension.isnull().all()


def test_a_plan_or_policy_that_cannot_be_serves_nobody():
    more = {"plan": ["tp3", "tp8"], "policy": ["baseline", "lru"], "cache_slots": 10}
    run = px.simulate(
        px.inputs(**{**SERVER, "model": ["mixtral-8x7b", "jamba-1.5-large"], **more}),
        a_load([0.0, 1.0], [100, 100], [10, 10]),
    )
    served = run.finished.squeeze() > 0
    assert not served.sel(plan="tp3").any()
    assert served.sel(plan="tp8", model="mixtral-8x7b").values.tolist() == [True, False]
    assert (run.finished + run.rejected.sum("cause") == 2).all()


def test_priority_lets_the_urgent_go_first():
    data = px.inputs(**SERVER, policy="baseline", max_sequences=1)
    columns = ([0.0, 0.1, 0.1], [500, 500, 500], [50, 50, 50])
    plain = px.simulate(data, a_load(*columns), quantiles=[0, 0.5, 1])
    urgent = a_load(*columns, priority=np.array([0, 1, 0]))
    run = px.simulate(data, urgent, quantiles=[0, 0.5, 1])
    np.testing.assert_allclose(run.e2e, plain.e2e)  # the same, of other requests
    served = services(data, 1000).at(())
    order = requests_of(*(urgent[n].values for n in ("arrival", "prompt", "output", "priority")))
    times = serve(served, order)[1].times
    assert times[FIRST, 2] < times[FIRST, 1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"runtime": "bare"}, "expected a serving runtime"),
        ({"context": [1024, 2048]}, "inputs vary along context"),
        ({"tokens": 4}, "tokens=4; expected 1"),
        ({"max_batched_tokens": 512}, "below what its sequences decode"),
    ],
)
def test_inputs_that_no_server_takes_are_refused(more, message):
    with pytest.raises(px.InputError, match=message):
        px.simulate(px.inputs(**{**SERVER, **more}), a_load([0.0], [10], [10]))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ttft": 0}, "ttft=0; expected seconds above 0"),
        ({"tpot": float("nan")}, "tpot=nan"),
        ({"quantiles": [1.5]}, "expected shares from 0 to 1"),
        ({"time_bins": 3}, "time_bins=3; expected an even number"),
    ],
)
def test_options_that_make_no_sense_are_refused(more, message):
    with pytest.raises(px.InputError, match=message):
        px.simulate(px.inputs(**SERVER), a_load([0.0], [10], [10]), **more)


def test_a_load_or_inputs_that_are_none_are_refused():
    data = px.inputs(**SERVER)
    with pytest.raises(px.InputError, match="max_sequences is missing"):
        px.simulate(data.drop_vars("max_sequences"), a_load([0.0], [10], [10]))
    with pytest.raises(px.InputError, match="load is a list"):
        px.simulate(data, [1.0])
    twice = xr.concat(2 * [a_load([0.0], [10], [10])], pd.Index(["a", "b"], name="policy"))
    with pytest.raises(px.InputError, match="no point along"):
        px.simulate(data, twice.isel(policy=[]))
    with pytest.raises(px.InputError, match="load varies along 'policy'"):
        px.simulate(data, twice)


# --- Capacity and the cheap path -------------------------------------------------------------


def test_capacity_is_the_edge_of_what_a_server_keeps():
    data = px.inputs(**SERVER, policy=["baseline", "prophet"])
    load = serving.preset("azure-conv", 1000, seed=3)
    found = px.capacity(data, load, ttft=2.0, tpot=0.05, quantile=0.9, tolerance=0.02)
    assert (found.outcome == 0).all()
    assert (found.capacity > 0.5).all()
    levels = {"quantiles": [0.9], "ttft": 2.0, "tpot": 0.05}
    for policy, scale in zip(("baseline", "prophet"), found.scale.values, strict=True):
        for factor, kept in ((0.999, True), (1.03, False)):
            run = px.simulate(data, serving.faster(load, scale * factor), **levels)
            one = run.sel(policy=policy).squeeze()
            assert (one.ttft <= 2.0 and one.tpot <= 0.05) == kept


def test_a_promise_that_cannot_be_kept_has_a_reason():
    data = px.inputs(**SERVER, policy="baseline")
    load = a_load([0.0, 1.0, 2.0], [100, 100, 100], [10, 10, 10])
    for more, code, value in (
        ({"ttft": 1e-6}, "met_at_no_rate", 0.0),
        ({"ttft": 1e6, "tpot": 1e6}, "met_at_every_rate", np.nan),
    ):
        found = px.capacity(data, load, **more)
        names = found.outcome.attrs["flag_meanings"].split()
        assert names[int(found.outcome)] == code
        np.testing.assert_equal(float(found.capacity), value)
    long = a_load([0.0, 1.0], [100, 10**6], [10, 10])
    assert int(px.capacity(data, long).outcome) == names.index("too_many_turned_away")
    with pytest.raises(px.InputError, match="arrive at once"):
        px.capacity(data, a_load([0.0, 0.0], [1, 1], [1, 1]))


def test_a_distribution_of_one_batch_gives_the_cube_at_it():
    cube = px.sweep(px.inputs(**SERVER, batch=[1, 2, 4, 8]))
    share = xr.DataArray([3.0, 0.0, 2.0], {"batch": [0, 2, 4]}, ["batch"])
    found = px.expected(cube, share)
    for name in ("kv_budget", "step_time", "unique_experts", "fits"):
        np.testing.assert_allclose(found[name], cube[name].sel(batch=4).astype(float))
    halves = px.expected(cube, xr.DataArray([1.0], {"batch": [6]}, ["batch"]))
    np.testing.assert_allclose(halves.step_time, cube.step_time.sel(batch=[4, 8]).mean("batch"))


def test_the_cheap_path_equals_the_run(run):
    cube = px.sweep(
        px.inputs(
            **{**SERVER, "model": ["qwen3-30b-a3b", "olmoe-1b-7b"]},
            policy=POLICIES,
            batch=range(1, 1025),
        ),
        ["kv_extension", "expert_savings_fraction"],
    )
    found = px.expected(cube, run.batch_share)
    for name in ("kv_extension", "expert_savings_fraction"):
        other = run[f"expected_{name}"].transpose(*found[name].dims)
        np.testing.assert_allclose(found[name], other, rtol=1e-9)


@pytest.mark.parametrize(
    ("batches", "shares", "message"),
    [
        ([1, 16], [1.0, 1.0], "batch 16 occurs; expected those of the cube, 1 to 8"),
        ([1, 2], [1.0, -1.0], "below 0"),
    ],
)
def test_a_distribution_that_the_cube_does_not_hold_is_refused(batches, shares, message):
    cube = px.sweep(px.inputs(**SERVER, batch=[1, 2, 4, 8]), ["kv_budget"])
    share = xr.DataArray(shares, {"batch": batches}, ["batch"])
    with pytest.raises(px.InputError, match=message):
        px.expected(cube, share)
    with pytest.raises(px.InputError, match="cube has no numbers along 'batch'"):
        px.expected(cube.isel(batch=0), share)
