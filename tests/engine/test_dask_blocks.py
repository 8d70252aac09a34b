"""A cube of inputs in chunks is lazy, and equals the one that is computed at once."""

import os

import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.errors import InputError

METRICS = ["step_time", "unique_experts", "max_context", "fits", "predictor_memory"]
AXES = {"batch": [1, 2, 4, 8, 16], "context": [1024, 4096, 8192], "hit_rate": [0.9, 0.99]}
MODELS = ["mixtral-8x7b", "olmoe-1b-7b", "dbrx-132b"]


@pytest.fixture
def data():
    return px.inputs(model=MODELS, gpu=["A100-80GB", "H200"], **AXES)


def test_a_lazy_cube_is_the_eager_one(data):
    cube = px.sweep(data, METRICS)
    lazy = px.sweep(data.chunk(model=2), METRICS)
    assert lazy.step_time.chunksizes["model"] == (2, 1)
    assert lazy.step_time.chunksizes["policy"] == (2,)
    xr.testing.assert_identical(lazy.compute(scheduler="synchronous"), cube)


@pytest.mark.parametrize("policy", ["prophet", ["prophet"], ["prophet", "lru"]])
def test_a_lazy_cube_needs_no_baseline(policy):
    data = px.inputs(model=MODELS, gpu="H200", batch=[1, 4], policy=policy)
    lazy = px.sweep(data.chunk(batch=1)).compute(scheduler="synchronous")
    xr.testing.assert_identical(lazy, px.sweep(data))


def test_inputs_of_a_lazy_cube_are_checked_at_once(data):
    for wrong, message in (
        (data.drop_vars("hit_rate"), "hit_rate is missing"),
        (data.drop_vars("policy"), "policy is missing"),
        (data.assign_coords(batch=data.batch * 1e7), "batch=1e\\+07 is outside"),
    ):
        with pytest.raises(InputError, match=message):
            px.sweep(wrong.chunk(model=1), METRICS)


def test_a_part_of_a_lazy_cube_is_computed_alone(data):
    cube = px.sweep(data, METRICS)
    part = px.sweep(data.chunk(model=1), METRICS).step_time.sel(model="olmoe-1b-7b")
    xr.testing.assert_identical(
        part.compute(scheduler="threads"), cube.step_time.sel(model="olmoe-1b-7b")
    )


def test_a_cluster_of_two_processes_computes_the_cube(data):
    distributed = pytest.importorskip("distributed")
    cube = px.sweep(data, METRICS)
    lazy = px.sweep(data.chunk(model=1), METRICS)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = set(client.run(os.getpid).values())
        assert len(workers) == 2
        assert os.getpid() not in workers
        xr.testing.assert_identical(lazy.compute(), cube)
