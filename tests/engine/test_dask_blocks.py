"""A cube of inputs in chunks is lazy, and equals the one that is computed at once."""

import os

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.engine.dask_blocks import lazy_cube
from prophet_xr.engine.evaluate import wanted_dims
from prophet_xr.engine.limits import Limits, in_force
from prophet_xr.errors import InputError
from prophet_xr.registry import inputs_of, required

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


# --- Blocks ----------------------------------------------------------------------------------


class Recorded:
    """A sweep that keeps what it is called with."""

    def __init__(self):
        self.blocks, self.limits = [], []

    def __call__(self, data, names, *, dtype):
        self.blocks.append((data, names))
        self.limits.append(in_force())
        return px.sweep(data, names, dtype=dtype)


def lazy(data, chunks, names, dtype, sweep, limits):
    return lazy_cube(data, wanted_dims(data, names), chunks, names, dtype, sweep, limits)


def test_one_sweep_of_a_block_is_for_all_metrics_of_the_same_dims(data):
    names, sweep = ["step_time", "slowdown", "unique_experts"], Recorded()
    chunks = {"model": (2, 1)}
    cube = lazy(data, chunks, names, "float64", sweep, Limits())
    assert not sweep.blocks
    cube[names].compute(scheduler="synchronous")
    asked = sorted((part.sizes["model"], *wanted) for part, wanted in sweep.blocks)
    assert asked == [
        (1, "step_time", "slowdown"),
        (1, "unique_experts"),
        (2, "step_time", "slowdown"),
        (2, "unique_experts"),
    ]


def test_a_block_has_only_the_inputs_that_it_needs(data):
    sweep = Recorded()
    cube = lazy(data, {"model": (2, 1)}, ["unique_experts"], "float64", sweep, Limits())
    cube.unique_experts.compute(scheduler="synchronous")
    (part, _), _ = sweep.blocks
    assert {*part.variables} - {*part.dims} == {*inputs_of(required(["unique_experts"]))} - {
        "batch"
    }


def test_dims_without_chunks_are_cut_until_a_block_fits(data):
    # 3 models x 5 batches x 3 contexts x 2 x 2 x 2 are 360 cells: 5 -> 3 leaves 216, 3 -> 2 144
    limits = Limits(lazy_block_memory=8 * 180)
    cube = lazy(data, {"gpu": (1, 1)}, ["step_time"], "float64", Recorded(), limits)
    chunks = cube.step_time.chunksizes
    cells = np.prod([max(sizes) for sizes in chunks.values()])
    assert 8 * 2 * cells <= limits.lazy_block_memory  # as if the dim of chunks were not cut
    assert chunks["gpu"] == (1, 1)
    assert chunks["batch"] == (3, 2)
    whole = lazy(data, {}, ["step_time"], "float64", Recorded(), Limits())
    assert all(len(sizes) == 1 for sizes in whole.step_time.chunksizes.values())


def test_the_policy_is_never_cut(data):
    cube = px.sweep(data.chunk(policy=1), METRICS)
    assert cube.step_time.chunksizes["policy"] == (2,)


def test_a_block_is_swept_under_the_limits_of_who_asked():
    data = px.inputs(model=MODELS, gpu="H200", batch=[1, 4])
    limits, sweep = Limits(row_cells=7), Recorded()
    cube = lazy(data, {"model": (1, 1, 1)}, ["unique_experts"], "float64", sweep, limits)
    cube.unique_experts.compute(scheduler="threads")
    assert sweep.limits == [limits] * 3
    assert in_force() == Limits()
