"""Tables on offloading."""

import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.studies.offloading.tables import TABLES


@pytest.mark.parametrize("name", TABLES)
def test_a_table_reads_its_cube_and_has_a_row_a_model(name, results):
    table = TABLES[name]
    (cube,) = table.reads
    before = results[cube].copy()
    frame = table(results[cube])
    xr.testing.assert_identical(results[cube], before)
    models = results[cube].sizes["model"]
    assert frame.model.nunique() == models
    assert len(frame) % models == 0
    assert not frame.drop(columns=[c for c in frame if "least" in c]).isna().any(axis=None)


def test_a_break_even_link_is_where_the_slowdown_crosses(results):
    frame = TABLES["table5_break_even"](results["closer"]).set_index(["model", "resident [%]"])
    least = frame.loc[("Mixtral-8x7B", 25.0), "least link at a hit rate of 99.4% [GB/s]"] * 1e9
    cell = {"model": "mixtral-8x7b", "gpu": "A100-80GB", "batch": 1, "context": 4096}
    slow = px.sweep(
        px.inputs(**cell, policy="prophet", host_link_rate=[0.92 * least, 1.01 * least])
    ).slowdown
    assert slow[0] > 1.25 > slow[1]
    hits = frame.filter(like="least hit rate").loc["Mixtral-8x7B"]
    assert hits.isna().all(axis=None)  # no link of today's will do


def test_a_table_shows_the_cell_it_says(costs):
    frame = TABLES["table1_policies"](costs).set_index(["model", "policy"])
    row = frame.loc[("OLMoE-1B-7B", "lru")]
    cell = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "batch": 1, "context": 4096}
    alone = px.sweep(px.inputs(**cell, policy="lru", cache_slots=16, host_link_rate=24.8e9))
    assert row["per token [ms]"] == pytest.approx(1e3 * alone.step_time.item())
    assert row["slowdown"] == pytest.approx(alone.slowdown.item())
    parts = row["memory [ms]"] + row["exposed [ms]"] + row["host [ms]"]
    assert parts == pytest.approx(row["per token [ms]"])
