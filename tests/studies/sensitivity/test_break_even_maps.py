"""The study's three maps of break-evens do what they say."""

import numpy as np
import pytest

import prophet_xr as px
from prophet_xr.studies.sensitivity import break_even_maps as maps
from prophet_xr.uncertainty.break_even import ABOVE, BELOW, CROSSES


def test_the_batch_of_little_savings_follows_the_power_law():
    found = maps.batch_of_little_savings()
    one = found.sel(model="switch-base-128", routing="power", dedup_exponent=0.932)
    assert one.batch.item() == pytest.approx((0.9 * 128) ** (1 / 0.932), rel=0.01)
    assert one.side == CROSSES
    chosen = {"model": "mixtral-8x7b", "routing": "power", "dedup_exponent": 1.0}
    own = maps.batch_of_little_savings(0.5, **chosen)
    assert own.batch.item() == pytest.approx(2, rel=0.01)


def test_the_exponent_of_no_fit_is_where_the_budget_ends():
    found = maps.exponent_of_no_fit()
    at = np.argwhere(found.side.transpose("model", "gpu", "batch").values == 0)[0]
    cell = found.transpose("model", "gpu", "batch").isel(model=at[0], gpu=at[1], batch=at[2])
    edge = cell.dedup_exponent.item()
    data = px.inputs(
        model=cell.model.item(),
        gpu=cell.gpu.item(),
        batch=cell.batch.item(),
        policy="prophet",
        dedup_exponent=[edge - 0.01, edge + 0.01],
    )
    assert px.sweep(data, ["fits"]).fits.values.tolist() == [True, False]
    assert set(np.unique(found.side)) == {0, 1, 2}


def test_the_hit_rate_of_the_target_meets_it():
    found = maps.hit_rate_of_target().sel(model="olmoe-1b-7b", kept=0.9)
    low = found.sel(host_link_rate=24.8e9)
    data = px.inputs(
        model="olmoe-1b-7b",
        gpu="A100-80GB",
        batch=1,
        context=4096,
        policy="prophet",
        routing="zipf",
        staging=0.9 * 56,
        host_link_rate=24.8e9,
        hit_rate=low.hit_rate.item(),
    )
    assert px.sweep(data, ["slowdown"]).slowdown.item() == pytest.approx(1.25, abs=0.02)
    assert found.side.sel(host_link_rate=10e9) == ABOVE
    assert found.side.sel(host_link_rate=800e9) == BELOW
