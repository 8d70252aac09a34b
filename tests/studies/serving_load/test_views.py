"""Views of a simulation: the batch, and what a metric is at it and under the load."""

import numpy as np
import pytest
import xarray as xr

from prophet_xr.studies.serving_load import views


def test_the_batch_that_is_not_exceeded():
    share = xr.DataArray([0.5, 0.2, 0.2, 0.1], {"batch": [0, 1, 2, 3]}, ["batch"])
    cube = xr.Dataset({"batch_share": share})
    np.testing.assert_allclose(views.busy(cube), [0.4, 0.4, 0.2])
    assert views.batch_below(cube, 0.8) == 2
    assert views.batch_below(cube, 0.81) == 3
    assert np.isnan(views.batch_below(0 * cube, 0.8))


def test_static_values_stand_beside_the_mean_under_the_load(results):
    """Each by hand from the distribution of the batch and the cube's own curve."""
    cube = results["served"].isel(seed=0)
    found = views.static_and_loaded(cube, "kv_extension").sel(model="olmoe-1b-7b", rate=20)
    row = cube.sel(model="olmoe-1b-7b", policy="prophet").isel(gpu=0)
    curve = row.kv_extension.sel(batch=slice(1, None))
    weights = views.busy(row.sel(rate=20))
    assert found.loaded.item() == pytest.approx((curve * weights).sum().item())
    assert found.alone.item() == curve.sel(batch=1).item()
    for view, policy in (("own", "prophet"), ("resident", "baseline")):
        batch = cube.batch_mean.sel(model="olmoe-1b-7b", policy=policy, rate=20).isel(gpu=0)
        assert found[view].item() == pytest.approx(curve.interp(batch=batch.item()).item())
    top = views.batch_below(row.sel(rate=20)).item()
    assert weights.sel(batch=slice(1, top)).sum() >= 0.99
    assert weights.sel(batch=slice(1, top - 1)).sum() < 0.99
    assert found.crowded.item() == pytest.approx(curve.sel(batch=top).item())


def test_the_mean_under_the_load_is_above_the_value_at_the_mean_batch(results):
    """And below that at batch 1: the extension falls, ever more slowly."""
    found = views.static_and_loaded(views.over_seeds(results["served"]), "kv_extension")
    ratio = (found.own / found.loaded).sel(model="olmoe-1b-7b")
    assert (ratio <= 1 + 1e-12).all()
    assert (found.alone >= found.loaded * (1 - 1e-12)).sel(model="olmoe-1b-7b").all()


def test_the_tightest_model_that_fits_is_shown(results):
    assert views.tight(results["served"]) == "olmoe-1b-7b"
    loaded = views.loaded(results["served"])
    assert set(np.unique(loaded)) <= set(results["served"].rate.values)
    none = results["served"].assign(attainment=0 * results["served"].attainment)
    assert (views.loaded(none) == 0.5).all()
