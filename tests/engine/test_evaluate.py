"""The cube equals the formulas in plain Python, however it is evaluated."""

import numpy as np
import pytest
import xarray as xr

from prophet_xr import grid
from prophet_xr.engine.evaluate import evaluate, prepared
from prophet_xr.engine.limits import Limits, in_force
from prophet_xr.engine.nests import Reduction, dim_order, nests
from prophet_xr.engine.partition import parted_nests
from prophet_xr.errors import InputError
from prophet_xr.registry import QUANTITIES, is_baseline, metrics, quantity_of, required


def reference(name: str, cell: dict, baseline: dict) -> float:
    """One metric, one cell, plain Python; inputs re-derived from scratch."""
    q = QUANTITIES[name]
    if q.formula is None:
        return cell[name]
    values = [
        reference(quantity_of(n), baseline if is_baseline(n) else cell, baseline) for n in q.inputs
    ]
    return q.formula(*values)


def cell_of(inputs: xr.Dataset, at: dict) -> dict:
    found = {}
    for name, variable in inputs.variables.items():
        if variable.dtype.kind in "iuf":
            found[name] = float(variable.isel({d: i for d, i in at.items() if d in variable.dims}))
    return found


@pytest.mark.parametrize("q", metrics(), ids=lambda q: q.name)
def test_compiled_cube_equals_the_formulas(q, random_inputs, compiled_cube):
    array = compiled_cube[q.name]
    places = list(np.ndindex(array.shape))
    random = np.random.default_rng(1)
    for index in random.permutation(len(places))[:60]:
        at = dict(zip(array.dims, places[index], strict=True))
        cell = cell_of(random_inputs, {d: 0 for d in random_inputs.dims} | at)
        base = cell_of(random_inputs, {d: 0 for d in random_inputs.dims} | at | {"policy": 0})
        expected = reference(q.name, cell, base)
        assert array[places[index]].item() == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_interpreted_cube_equals_the_compiled_one(random_inputs, compiled_cube, pieces):
    with pieces(compiled=False):
        cube = grid.sweep(random_inputs)
    xr.testing.assert_identical(cube, compiled_cube)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_large_sweep_in_parts_and_blocks_equals_a_small_one(long_axes, pieces, dtype):
    wanted = ["step_time", "slowdown", "unique_experts"]
    with pieces(compiled=False):
        expected = grid.sweep(long_axes, wanted, dtype=dtype)
    with pieces(memory=80_000):
        xr.testing.assert_identical(grid.sweep(long_axes, wanted, dtype=dtype), expected)
        out = expected.copy(deep=True)
        out.step_time[:] = np.nan
        grid.sweep(long_axes, wanted, dtype=dtype, out=out)
        xr.testing.assert_identical(out.step_time, expected.step_time)
        todo = parted_nests(*_planned(long_axes, wanted, dtype), in_force().kept_memory)
    assert {nest.split_dim for nest in todo.in_parts} == {todo.dim} == {"model"}
    assert todo.length == 2  # of three
    assert any(nest.block for nest in todo.in_parts)


def _planned(data, wanted, dtype):
    order = dim_order(data)
    plan = nests(data, required(wanted), wanted, order, dtype, in_force())
    return plan, frozenset(wanted), tuple((d, data.sizes[d]) for d in order)


def test_a_metric_alone_equals_the_same_metric_among_all(small):
    whole = grid.sweep(small)
    for name in ("kv_extension", "slowdown", "max_context"):
        xr.testing.assert_identical(grid.sweep(small, [name])[name], whole[name])


def test_float32_stores_reals_narrow_and_counts_whole(random_inputs):
    wide = grid.sweep(random_inputs, ["step_time", "max_context", "fits"])
    narrow = grid.sweep(random_inputs, ["step_time", "max_context", "fits"], dtype="float32")
    assert narrow.step_time.dtype == np.float32
    assert narrow.max_context.dtype == np.int64
    np.testing.assert_allclose(narrow.step_time, wide.step_time, rtol=6e-8)
    np.testing.assert_array_equal(narrow.max_context, wide.max_context)


def test_float32_holds_for_every_real_metric(random_inputs):
    every = grid.sweep(random_inputs, dtype="float32")
    kinds = {every[q.name].dtype for q in metrics() if q.dtype == "float64" and q.name in every}
    assert kinds == {np.dtype(np.float32)}
    again = grid.sweep(random_inputs, dtype=np.float32, out=every)
    assert all(
        np.shares_memory(again[n].values, every[n].values)
        for n in again.data_vars
        if QUANTITIES[n].formula
    )


def test_the_order_of_the_users_dims_does_not_matter(random_inputs, compiled_cube):
    dims = list(random_inputs.dims)[::-1]
    cube = grid.sweep(random_inputs.transpose(*dims), ["step_time", "kv_extension"])
    for name in ("step_time", "kv_extension"):
        xr.testing.assert_identical(cube[name], compiled_cube[name])


# --- In one call -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full():
    """Inputs with the baseline first, as the engine expects them."""
    return grid.inputs(
        model=["mixtral-8x7b", "olmoe-1b-7b"], gpu=["A100-80GB", "H200"], batch=[1, 4]
    )


def test_each_metric_comes_with_its_own_dims(full):
    arrays = evaluate(full, ["kv_budget", "memory_budget", "fits"], "float64", Limits())
    assert [*arrays] == [n for n in QUANTITIES if n in arrays]
    assert arrays["memory_budget"][0] == ("gpu",)
    np.testing.assert_array_equal(arrays["memory_budget"][1], full.usable_memory)  # bare
    dims, budget = arrays["kv_budget"]
    assert dims == ("policy", "model", "gpu", "batch")
    assert (budget.shape, budget.dtype) == ((2, 2, 2, 2), np.float64)
    np.testing.assert_array_equal(arrays["fits"][1], budget > 0)


def test_the_arrays_of_an_earlier_cube_are_filled_anew(full):
    cube = grid.sweep(full, ["kv_budget", "fits"])
    expected = cube.kv_budget.values.copy()
    cube.kv_budget[:] = np.nan
    arrays = evaluate(full, ["kv_budget", "fits"], "float64", Limits(), cube)
    assert np.shares_memory(arrays["kv_budget"][1], cube.kv_budget.values)
    np.testing.assert_array_equal(cube.kv_budget, expected)
    with pytest.raises(InputError, match="no array of 'slowdown'"):
        evaluate(full, ["slowdown"], "float64", Limits(), cube)


def test_inputs_are_laid_out_as_the_nests_read_them(full):
    given = full.assign(host_link_rate=(("draw", "gpu"), np.ones((3, 2), np.float32)))
    order = ("policy", "gpu", "model", "batch", "draw")
    ready = prepared(given, ["step_time"], "float64", Limits(), order)
    assert [*ready.sizes.items()] == [(d, given.sizes[d]) for d in order]
    assert ready.dims_of["host_link_rate"] == ("gpu", "draw")
    assert "gpu" not in ready.inputs  # labels are no numbers
    for name, array in ready.inputs.items():
        assert array.dtype == np.float64, name
        assert array.flags.c_contiguous, name
        assert array.shape == tuple(given.sizes[d] for d in ready.dims_of[name]), name


def test_the_flag_of_a_reduction_is_prepared_too(full):
    ready = prepared(full, ["gpu_time"], "float64", Limits(), (), Reduction(("batch",), "fits"))
    assert "fits" in ready.dims_of
    assert [nest.where for nest in ready.nests if nest.reduces] == ["fits"]
    assert [*ready.sizes] == ["policy", "model", "gpu", "batch"]
