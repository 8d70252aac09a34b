"""What offloading costs: one sweep, its bad input, and what is selected from it."""

import re

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.studies.offloading import sweeps
from prophet_xr.studies.published.latency_claims import MEASURED

AXES = {
    "model": ["mixtral-8x7b", "olmoe-1b-7b", "qwen3-30b-a3b"],
    "gpu": ["A100-80GB", "H100-80GB"],
    "batch": [1, 4],
    "context": [1024, 4096],
    "hit_rate": [0.2, 0.9, 0.994],
    "policy": ["baseline", "prophet", "lru", "on_demand", "cpu_compute"],
    "host_link_rate": [10e9, 24.8e9],
    "cache_slots": [2, 4, 32],
}


@pytest.fixture(scope="module")
def grid() -> xr.Dataset:
    return px.sweep(px.inputs(**AXES))


# --- One call --------------------------------------------------------------------------------


def test_every_axis_is_one_call(grid):
    assert dict(grid.slowdown.sizes) == {name: len(values) for name, values in AXES.items()}
    cell = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "batch": 4, "context": 4096}
    cell |= {"hit_rate": 0.9, "policy": "lru", "host_link_rate": 24.8e9, "cache_slots": 32}
    alone = px.sweep(px.inputs(**cell), ["step_time"]).step_time.item()
    assert grid.step_time.sel(cell).item() == pytest.approx(alone, rel=1e-12)


def test_a_field_may_follow_the_axis_of_another():
    others = xr.DataArray([0, 8], dims="cache_slots")
    data = px.inputs(model="olmoe-1b-7b", gpu="H200", cache_slots=[4, 16], staging=others)
    cube = px.sweep(data, ["resident_experts"]).resident_experts.sel(policy="prophet", batch=1)
    assert cube.values.tolist() == [8, 16]


# --- Bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"host_link_rate": 0}, "host_link_rate=0 is outside [1e+08, 1e+13]"),
        ({"host_link_rate": [24.8e9, -1e9]}, "host_link_rate=-1e+09 is outside"),
        ({"host_memory_rate": 0}, "host_memory_rate=0 is outside"),
        ({"memory_rate": -1.0}, "memory_rate=-1 is outside"),
        ({"copy_latency": -1e-6}, "copy_latency=-1e-06 is outside [0, 1]"),
        ({"cache_slots": -1}, "cache_slots=-1 is outside"),
        ({"cache_slots": 9}, "cache_slots=9 exceeds the experts of every model it meets; expected"),
        ({"cache_slots": [4, 9]}, "cache_slots=9 exceeds the experts"),
    ],
)
def test_what_cannot_be_is_refused(chosen, message):
    data = px.inputs(model="mixtral-8x7b", gpu="A100-80GB", batch=1, policy="lru", **chosen)
    with pytest.raises(px.InputError, match=re.escape(message)):
        px.sweep(data)


def test_more_slots_than_one_model_has_are_empty_cells_with_a_reason(grid):
    caches = ["lru", "cpu_compute"]
    over = grid.sel(cache_slots=32, model="mixtral-8x7b", policy=caches)
    for name in ("resident_experts", "step_time", "slowdown", "throughput", "link_traffic"):
        assert over[name].isnull().all(), name
    codes = grid.policy_reason.attrs["flag_meanings"].split()
    assert codes[int(over.policy_reason.max())] == codes[int(over.policy_reason.min())]
    assert codes[int(over.policy_reason.min())] == "more_slots_than_experts"
    why = grid.reason.attrs["flag_meanings"].split()
    assert {why[int(i)] for i in over.reason.values.ravel()} == {"more_slots_than_experts"}
    rest = grid.slowdown.drop_sel(policy=caches)
    assert rest.notnull().all()
    assert grid.slowdown.sel(model=["olmoe-1b-7b", "qwen3-30b-a3b"]).notnull().all()


def test_a_hit_rate_below_what_residency_gives_is_raised_and_flagged(grid):
    own = grid.sel(policy="prophet", batch=1)
    low = own.sel(hit_rate=0.2)
    assert (low.reuse > 0.2).all()
    assert low.hit_rate_raised.all()
    np.testing.assert_array_equal(low.in_time, low.reuse)
    assert not own.hit_rate_raised.sel(hit_rate=0.994).any()
    assert not grid.hit_rate_raised.sel(policy=["lru", "on_demand", "baseline"]).any()


# --- What the cubes say ----------------------------------------------------------------------


def test_a_prediction_moves_no_byte_less(costs):
    moved = costs.link_traffic.sel(policy="prophet")
    least, most = moved.min("hit_rate"), moved.max("hit_rate")
    np.testing.assert_allclose(most, least, rtol=1e-9, atol=1e-3)


def test_beyond_the_feasible_hit_rate_nothing_is_gained(costs):
    own = costs.sel(policy="prophet")
    enough = own.feasible_hit_rate <= own.hit_rate.sel(hit_rate=0.98)
    gain = own.slowdown.sel(hit_rate=0.98) / own.slowdown.sel(hit_rate=1.0)
    assert enough.any()
    assert (gain.where(enough, 1.0) <= 1 + 1e-9).all()
    assert gain.max() > 1.5  # and below it something is


def test_overlap_at_most_halves_a_step_in_the_same_memory(costs):
    one = costs.sel(batch=1, cache_slots=0)
    same = one.resident_experts.sel(policy="prophet") == one.resident_experts.sel(
        policy="on_demand"
    )
    assert same.all()
    ratio = one.step_time.sel(policy="on_demand") / one.step_time.sel(policy="prophet")
    assert (ratio <= 2 + 1e-12).all()
    assert (ratio >= 1 - 1e-12).all()


def test_an_expert_is_on_the_card_or_on_the_host(costs):
    full = costs.expert_memory.sel(policy="baseline", drop=True)
    split = (costs.expert_memory + costs.host_memory).sel(policy="cpu_compute")
    np.testing.assert_allclose(split.where(split.notnull(), full), full.broadcast_like(split))
    assert costs.host_memory.sel(policy="baseline").max() == 0


def test_more_slots_never_slow_a_cache(costs):
    slow = costs.slowdown.sel(policy="lru")
    steps = slow.diff("cache_slots")
    assert (steps.where(steps.notnull(), 0) <= 1e-9).all()


def test_assumed_localities_are_marked(costs):
    known = costs.locality_measured.sel(model=MEASURED)
    assert known.all()
    assert not costs.locality_measured.sel(model="grok-1-314b")
    assert int(costs.locality_measured.sum()) == 8


def test_the_grids_hold_the_models_of_the_study_and_those_measured():
    labels = sweeps.models()
    assert len(labels) == len(set(labels)) == 20
    assert labels[0] == "mixtral-8x7b"
    assert {"qwen3-30b-a3b", "gpt-oss-20b", "deepseek-v2-lite", "phi-3.5-moe"} < set(labels)


def test_a_host_that_computes_misses_has_an_arithmetic_roof():
    # Qwen3-30B: 48 layers, top-8, three matrices of 2048 x 768 an expert; nothing on the GPU
    chosen = {"model": "qwen3-30b-a3b", "gpu": "H100-80GB", "policy": "cpu_compute"}
    data = px.inputs(**chosen, cache_slots=0, batch=[1, 4096], host_compute_rate=2e12)
    cube = px.sweep(data, ["host_compute_time", "host_read_time"])
    few, many = cube.host_compute_time.values
    assert few == cube.host_read_time.values[0]
    assert many == pytest.approx(4096 * 48 * 8 * 2 * 3 * 2048 * 768 / 2e12)
