"""The mean of a cube under a distribution of the batch."""

import numpy as np
import pytest
import xarray as xr
from servers import POLICIES, SERVER, TWO_MODELS

import prophet_xr as px
from prophet_xr.serving.expected import at_batch

METRICS = ["kv_budget", "step_time", "unique_experts", "fits"]


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return px.sweep(px.inputs(**SERVER, batch=[1, 2, 4, 8]), METRICS)


def shares(values, batches) -> xr.DataArray:
    return xr.DataArray(values, {"batch": batches}, ["batch"])


def test_a_distribution_of_one_batch_gives_the_cube_at_it(cube):
    mean = px.expected(cube, shares([3.0, 0.0, 2.0], [0, 2, 4]))
    for name in METRICS:
        np.testing.assert_allclose(mean[name], cube[name].sel(batch=4).astype(float))


def test_a_batch_between_two_of_the_cube_is_parts_of_both(cube):
    mean = px.expected(cube, shares([1.0], [5]))
    expected = 0.75 * cube.step_time.sel(batch=4) + 0.25 * cube.step_time.sel(batch=8)
    np.testing.assert_allclose(mean.step_time, expected)


def test_a_mean_weights_the_batches_with_their_time(cube):
    by_rate = xr.concat([shares([1.0, 3.0], [2, 8]), shares([2.0, 0.0], [2, 8])], "rate")
    mean = px.expected(cube, by_rate).step_time
    at_2, at_8 = cube.step_time.sel(batch=2), cube.step_time.sel(batch=8)
    np.testing.assert_allclose(mean.isel(rate=0), (at_2 + 3 * at_8) / 4)
    np.testing.assert_allclose(mean.isel(rate=1), at_2)


def test_a_batch_without_value_spoils_the_mean_only_if_it_occurs(cube):
    holed = cube.assign(step_time=cube.step_time.where(cube.batch != 8))
    assert px.expected(holed, shares([1.0, 0.0], [2, 8])).step_time.notnull().all()
    assert px.expected(holed, shares([1.0, 1.0], [2, 8])).step_time.isnull().all()


def test_a_cube_is_read_at_any_batch_of_its_range(cube):
    batch = xr.DataArray([1.0, 3.0, np.nan], dims="rate")
    times = at_batch(cube, batch).step_time
    np.testing.assert_allclose(times.isel(rate=0), cube.step_time.sel(batch=1))
    np.testing.assert_allclose(times.isel(rate=1), cube.step_time.sel(batch=[2, 4]).mean("batch"))
    assert times.isel(rate=2).isnull().all()


def test_the_mean_of_a_cube_equals_that_of_the_run(simulation):
    inputs = px.inputs(**TWO_MODELS, policy=POLICIES, batch=range(1, 1025))
    names = ["kv_extension", "expert_savings_fraction"]
    mean = px.expected(px.sweep(inputs, names), simulation.batch_share)
    for name in names:
        of_run = simulation[f"expected_{name}"].transpose(*mean[name].dims)
        np.testing.assert_allclose(mean[name], of_run, rtol=1e-9)


@pytest.mark.parametrize(
    ("batches", "values", "message"),
    [
        ([1, 16], [1.0, 1.0], "batch 16 occurs; expected those of the cube, 1 to 8"),
        ([1, 2], [1.0, -1.0], "below 0"),
    ],
)
def test_a_distribution_that_the_cube_does_not_hold_is_refused(cube, batches, values, message):
    share = shares(values, batches)
    with pytest.raises(px.InputError, match=message):
        px.expected(cube, share)
    with pytest.raises(px.InputError, match="cube has no numbers along 'batch'"):
        px.expected(cube.isel(batch=0), share)
    with pytest.raises(px.InputError, match="batch of the cube does not rise"):
        px.expected(cube.isel(batch=slice(None, None, -1)), abs(share))
