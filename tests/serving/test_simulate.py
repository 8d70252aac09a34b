"""A simulation: its labels, what holds on every run, and what is refused."""

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from servers import FEW, POLICIES, SERVER, TWO_MODELS, load_of

import prophet_xr as px
from prophet_xr import serving
from prophet_xr.serving.scheduler import serve
from prophet_xr.serving.server_tables import server_cubes
from prophet_xr.serving.state import FIRST_TOKEN, ordered_requests


def test_a_request_alone_takes_the_steps_of_the_cube():
    prompt, output = 1000, 20
    inputs = px.inputs(**SERVER, policy=POLICIES)
    run = px.simulate(inputs, load_of([0.0], [prompt], [output]), quantiles=[1.0])
    alone = inputs.assign(batch=1.0)
    chunk = {"prompt_tokens": prompt - 1.0, "prompt_context": (prompt + 1) / 2}
    first = px.sweep(alone.assign(context=float(prompt), **chunk), ["step_time"]).step_time
    contexts = np.arange(prompt + 1.0, prompt + output)
    rest = px.sweep(alone.assign(context=("n", contexts)), ["step_time"]).step_time.sum("n")
    assert (run.iterations == output).all()
    np.testing.assert_allclose(run.ttft.squeeze(), first.squeeze(), rtol=0.002)
    np.testing.assert_allclose(run.e2e.squeeze(), (first + rest).squeeze(), rtol=0.002)


def test_every_data_rank_brings_its_sequences():
    plans = {"policy": ["baseline"], "plan": ["tp1", "dp4-ep4", "dp8-ep8"]}
    load = load_of(np.zeros(60), np.full(60, 4), np.full(60, 100))
    run = px.simulate(px.inputs(**SERVER, **FEW, **plans), load).squeeze()
    largest_batch = run.batch_share.cumsum("batch").argmax("batch")
    assert largest_batch.values.tolist() == [4, 16, 32]


def test_a_run_has_the_dims_of_inputs_and_load(simulation):
    assert simulation.throughput.dims == ("policy", "model", "rate")
    assert simulation.ttft.dims == ("policy", "model", "rate", "quantile")
    assert simulation.rate.values.tolist() == [2.0, 20.0]
    assert all({"units", "long_name"} <= set(v.attrs) for v in simulation.data_vars.values())


def test_littles_law_holds_on_every_run(simulation):
    stays = simulation.e2e_mean * simulation.finished / simulation.duration
    np.testing.assert_allclose(simulation.in_system_mean, stays, rtol=1e-6)
    assert (simulation.finished + simulation.rejected.sum("cause") == simulation.requests).all()
    assert simulation.rejected.sum() > 0
    assert (simulation.kv_peak <= 1).all()
    np.testing.assert_allclose(simulation.batch_share.sum("batch"), 1.0)


def test_series_add_up_to_the_run(simulation):
    width = simulation.time.isel(time_bin=1) - simulation.time.isel(time_bin=0)
    used = ((simulation.time.max("time_bin") + width / 2) / simulation.duration).values
    assert ((used > 0.99) & (used < 1.02)).all()
    budget = simulation.kv_budget_series - simulation.kv_used_series
    assert (budget.where(budget.notnull(), 0) >= 0).all()
    busy_share = 1 - simulation.batch_share.sel(batch=0)  # idle time counts in a series
    mean = simulation.batch_mean * busy_share
    np.testing.assert_allclose(simulation.batch_series.mean("time_bin"), mean, rtol=0.02)


def test_more_load_makes_a_larger_batch_and_a_smaller_extension(simulation):
    prophet = simulation.sel(policy="prophet", model="qwen3-30b-a3b")
    slow, fast = prophet.isel(rate=0), prophet.isel(rate=1)
    assert fast.batch_mean > 2 * slow.batch_mean
    assert fast.expected_kv_extension < slow.expected_kv_extension
    assert fast.expected_resident_experts > slow.expected_resident_experts
    assert slow.expected_kv_extension >= slow.static_kv_extension  # convex in the batch


def test_the_same_load_gives_the_same_bytes(simulation, two_rates):
    again = px.simulate(px.inputs(**TWO_MODELS, policy=POLICIES), two_rates)
    assert again.identical(simulation)
    for name, values in again.data_vars.items():
        assert values.values.tobytes() == simulation[name].values.tobytes()


def test_another_process_gives_the_same_numbers():
    inputs = px.inputs(**SERVER, policy=["prophet"])
    loads = [serving.preset("azure-conv", 50, seed=seed) for seed in (1, 2)]
    tasks = [dask.delayed(px.simulate)(inputs, load) for load in loads]
    apart = dask.compute(*tasks, scheduler="processes", num_workers=1)
    together = px.simulate(inputs, xr.concat(loads, pd.Index([1, 2], name="seed"))).squeeze()
    assert [run.e2e_mean.item() for run in apart] == together.e2e_mean.values.tolist()


def test_what_can_never_be_served_is_turned_away():
    inputs = px.inputs(**SERVER, policy=["baseline", "prophet"], context=50_000)
    load = load_of([0, 0, 1, 2], [10, 60_000, 49_000, 100], [10, 1, 1_000, 50_000])
    run = px.simulate(inputs.assign(usable_memory=8.5e10), load).squeeze()
    assert run.rejected.values.tolist() == [[2, 0], [2, 0]]
    tight = px.simulate(inputs.assign(usable_memory=8.1e10), load).squeeze()
    assert tight.rejected.sel(cause="never_fits").values.tolist() == [1, 0]
    assert (tight.finished + tight.rejected.sum("cause") == 4).all()
    none = px.simulate(inputs.assign(usable_memory=1e10), load).squeeze()
    assert none.rejected.sum("cause").values.tolist() == [4, 4]
    assert none.ttft.isnull().all()
    assert none.expected_kv_extension.isnull().all()


def test_a_plan_or_policy_that_cannot_be_serves_nobody():
    servers = {**SERVER, **FEW, "model": ["mixtral-8x7b", "jamba-1.5-large"]}
    cells = {"plan": ["tp3", "tp8"], "policy": ["baseline", "lru"], "cache_slots": 10}
    run = px.simulate(px.inputs(**servers, **cells), load_of([0.0, 1.0], [100, 100], [10, 10]))
    served = run.finished.squeeze() > 0
    assert not served.sel(plan="tp3").any()
    assert served.sel(plan="tp8", model="mixtral-8x7b").values.tolist() == [True, False]
    assert (run.finished + run.rejected.sum("cause") == 2).all()


def test_priority_lets_the_urgent_go_first():
    inputs = px.inputs(**SERVER, policy=["baseline"], max_sequences=1)
    columns = ([0.0, 0.1, 0.1], [500, 500, 500], [50, 50, 50])
    plain = px.simulate(inputs, load_of(*columns), quantiles=[0, 0.5, 1])
    urgent = load_of(*columns, priority=np.array([0, 1, 0]))
    run = px.simulate(inputs, urgent, quantiles=[0, 0.5, 1])
    np.testing.assert_allclose(run.e2e, plain.e2e)  # the same, of other requests
    tables = server_cubes(inputs, 1000).at((0, 0))
    names = ("arrival", "prompt", "output", "priority")
    requests = ordered_requests(*(urgent[name].values for name in names))
    first_token = serve(tables, requests)[1].token_times[FIRST_TOKEN]
    assert first_token[2] < first_token[1]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"runtime": "bare"}, "expected a serving runtime"),
        ({"context": [1024, 2048]}, "inputs vary along context"),
        ({"tokens": 4}, "tokens=4; expected 1"),
        ({"max_batched_tokens": 512}, "below what its sequences decode"),
    ],
)
def test_inputs_that_no_server_takes_are_refused(chosen, message):
    with pytest.raises(px.InputError, match=message):
        px.simulate(px.inputs(**{**SERVER, **chosen}), load_of([0.0], [10], [10]))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"ttft": 0}, "ttft=0; expected seconds above 0"),
        ({"tpot": float("nan")}, "tpot=nan"),
        ({"quantiles": [1.5]}, "expected a list of shares from 0 to 1"),
        ({"time_bins": 3}, "time_bins=3; expected an even number"),
    ],
)
def test_options_that_make_no_sense_are_refused(chosen, message):
    with pytest.raises(px.InputError, match=message):
        px.simulate(px.inputs(**SERVER), load_of([0.0], [10], [10]), **chosen)


def test_a_load_or_inputs_that_are_none_are_refused():
    inputs = px.inputs(**SERVER)
    with pytest.raises(px.InputError, match="max_sequences is missing"):
        px.simulate(inputs.drop_vars("max_sequences"), load_of([0.0], [10], [10]))
    with pytest.raises(px.InputError, match="load is a list"):
        px.simulate(inputs, [1.0])
    twice = xr.concat(2 * [load_of([0.0], [10], [10])], pd.Index(["a", "b"], name="policy"))
    with pytest.raises(px.InputError, match="no point along"):
        px.simulate(inputs, twice.isel(policy=[]))
    with pytest.raises(px.InputError, match="load varies along 'policy'"):
        px.simulate(inputs, twice)
