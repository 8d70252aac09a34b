"""A cube has the dims, labels and attributes of what was asked, and nothing else."""

import numpy as np
import pytest
import xarray as xr

from prophet_xr import grid
from prophet_xr.errors import InputError
from prophet_xr.registry import QUANTITIES, metrics, required


@pytest.mark.parametrize("q", metrics(), ids=lambda q: q.name)
def test_dims_are_the_union_of_what_the_formula_reads(q, random_inputs, compiled_cube):
    read = {
        d for n in q.reads for d in (compiled_cube if n in compiled_cube else random_inputs)[n].dims
    }
    assert set(compiled_cube[q.name].dims) == read
    assert compiled_cube[q.name].dtype == q.dtype
    assert compiled_cube[q.name].attrs["units"] == q.units


def test_six_axes_give_natural_dims():
    data = grid.inputs(
        context=[2**n for n in range(10, 18)],
        hit_rate=np.linspace(0.9, 0.999, 10),
        dedup_exponent=np.linspace(0.85, 0.95, 10),
    )
    cube = grid.sweep(data, ["unique_experts", "step_time"])
    assert cube.unique_experts.dims == ("model", "batch", "dedup_exponent")
    assert cube.step_time.dims == (
        *("policy", "model", "gpu", "batch", "context", "hit_rate", "dedup_exponent"),
    )
    assert cube.step_time.shape == (2, 16, 4, 6, 8, 10, 10)


def test_every_axis_is_felt_by_a_metric():
    felt = required(q.name for q in metrics())
    numeric = [q.name for q in QUANTITIES.values() if not q.formula and not q.of]
    for name in numeric:
        fields = [q.name for q in QUANTITIES.values() if q.of == name]
        assert name in felt or set(fields) & felt, name


def test_an_extra_dimension_spreads_only_where_it_matters(small):
    draws = xr.DataArray([10e9, 20e9, 30e9], dims="draw")
    cube = grid.sweep(small.assign(host_link_rate=draws))
    assert "draw" in cube.step_time.dims
    assert "draw" not in cube.kv_extension.dims
    assert (cube.slowdown.sel(policy="prophet").diff("draw") < 0).all()


def test_the_baseline_is_evaluated_but_dropped_unless_asked_for():
    chosen = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "batch": [1, 64]}
    both = grid.sweep(grid.inputs(**chosen, policy=["prophet", "baseline"]))
    assert both.policy.values.tolist() == ["prophet", "baseline"]
    alone = grid.sweep(grid.inputs(**chosen, policy=["on_demand", "prophet"]))
    assert alone.policy.values.tolist() == ["on_demand", "prophet"]
    scalar = grid.sweep(grid.inputs(**chosen, policy="prophet"))
    assert scalar.policy.item() == "prophet"
    for cube in (alone.sel(policy="prophet"), scalar):
        np.testing.assert_array_equal(cube.kv_extension, both.kv_extension.sel(policy="prophet"))


def test_sweep_mutates_nothing(small):
    before = small.copy(deep=True)
    grid.sweep(small)
    xr.testing.assert_identical(small, before)


def test_an_unknown_metric_names_the_nearest(small):
    with pytest.raises(InputError, match="nearest: step_time"):
        grid.sweep(small, ["step_tme"])
    with pytest.raises(InputError, match="float16"):
        grid.sweep(small, dtype="float16")
