"""Tables on a load."""

import numpy as np
import pytest

from prophet_xr.studies.serving_load.tables import TABLES


def table(name, results):
    return TABLES[name](*(results[n] for n in TABLES[name].reads))


def test_the_service_is_that_of_the_cube(results):
    frame = table("table1_service", results).set_index(["model", "policy", "asked [1/s]"])
    cell = results["served"].sel(model="olmoe-1b-7b", policy="prophet", rate=20).isel(gpu=0)
    row = frame.loc[("olmoe-1b-7b", "prophet", 20.0)]
    assert row["tokens/s"] == pytest.approx(cell.throughput.mean().item())
    assert row["TPOT p99 [ms]"] == pytest.approx(1e3 * cell.tpot.sel(quantile=0.99).mean().item())
    assert frame.loc[("mixtral-8x7b", "baseline", 20.0), "rejected"] == 300


def test_the_capacity_is_that_of_the_cube(results):
    rates = table("table3_capacity", results)
    own = results["highest_rates"].capacity.sel(policy="prophet")
    np.testing.assert_array_equal(rates["prophet [1/s]"], own.values.ravel())


def test_every_preset_is_compared_with_its_source(results):
    assert len(table("table4_loads", results)) == 8
