"""Where a claim on offloading holds, on cells by hand and on the sweep."""

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.studies.offloading import regions
from prophet_xr.studies.published.latency_claims import step_ratio


@pytest.fixture
def toy() -> xr.Dataset:
    """Two policies, four caches, two hit rates; slowdowns by hand."""
    slow = np.array([[8.0, 4.0, 2.0, 1.0], [6.0, 3.0, 1.2, 1.0]])  # hit rate, slots
    data = xr.Dataset(coords={"hit_rate": [0.5, 1.0], "cache_slots": [0, 1, 2, 3]})
    policy = ("policy", ["prophet", "on_demand"])
    data["slowdown"] = (("policy", *data.dims), np.stack([slow, np.full_like(slow, 9.0)]))
    data["step_time"] = data.slowdown / 10
    data["resident_experts"] = (("policy", "cache_slots"), [[1.0, 2.0, 3.0, 4.0], [1.0] * 4])
    reuse = np.array([0.1, 0.3, 0.7, 1.0])
    data["in_time"] = data.slowdown * 0 + np.maximum(
        data.hit_rate, xr.DataArray(reuse, dims="cache_slots")
    )
    return data.assign_coords(policy=policy).assign(n_experts=4.0)


def test_the_least_share_and_hit_rate_by_hand(toy):
    assert regions.least_share(toy, 3.0).values.tolist() == [0.75, 0.5]
    assert np.isnan(regions.least_share(toy, 1.1).values).all()  # all experts are no answer
    least = regions.least_hit_rate(toy, 2.0)
    np.testing.assert_array_equal(least, [np.nan, np.nan, 0.7, 1.0])  # raised to the reuse
    assert step_ratio(toy).sel(hit_rate=1.0).values.tolist() == pytest.approx([1.5, 3, 7.5, 9])


def test_the_front_holds_what_nothing_beats():
    freed = np.array([0.0, 50.0, 50.0, 80.0, 90.0, 70.0, 95.0])
    slow = np.array([1.0, 3.0, 2.0, 9.0, 5.0, 5.0, np.nan])
    assert regions.undominated(freed, slow).tolist() == [0, 2, 4]


def test_a_share_that_no_slot_has_is_refused(toy):
    assert regions.at_share(toy, 0.5).cache_slots.item() == 2
    with pytest.raises(px.InputError, match=r"cache_slots lacks 0.4, 0.1 of a model's experts"):
        regions.at_share(toy, 0.1)


def test_a_sweep_without_the_usual_cell_is_refused(costs):
    with pytest.raises(px.InputError, match="batch lacks one of"):
        regions.usual(costs.sel(batch=[4, 16]))
