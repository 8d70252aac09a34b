"""The catalogue as text: rows with their arithmetic, and the pages of metrics and inputs."""

import pytest

import prophet_xr as px
from prophet_xr import grid
from prophet_xr.catalogue import specs
from prophet_xr.engine import nests
from prophet_xr.registry import LABELLED, QUANTITIES, metrics, required
from prophet_xr.terminal import catalogue_text


def test_metrics_vary_with_the_axes_that_their_page_says():
    data = px.inputs(
        plan=["tp1", "tp2"],
        runtime=["bare", "study"],
        routing=["power", "zipf"],
        precision=["bf16", "fp8"],
        kv_precision=["bf16", "fp8"],
        model=["mixtral-8x7b", "olmoe-1b-7b"],
        gpu=["A100-80GB", "H200"],
        batch=[1, 2],
        context=[128, 256],
    )
    full = grid.complete(data, required(q.name for q in metrics() if q.name != "token_cost"))
    dims_of = nests.dims_of_quantities(
        full, required(["step_time", "reason"]), nests.dim_order(full)
    )
    for name, dims in dims_of.items():
        if QUANTITIES[name].formula:
            assert dims == tuple(d for d in catalogue_text.axes_of(name) if d in data.dims), name


def test_every_metric_has_a_formula_in_words():
    assert not [q.name for q in metrics() if not q.comment]


def test_the_catalogue_lists_every_row():
    text = catalogue_text.catalogue()
    for label in LABELLED:
        for name in specs.rows(label)[label].values:
            assert any(line.startswith(f"{name} ") for line in text.splitlines()), name


def test_a_row_is_found_by_its_label_on_any_axis():
    assert catalogue_text.row_text("h200").startswith("H200 (")
    assert catalogue_text.row_text("prophet").startswith("prophet (")
    with pytest.raises(px.InputError, match="'H2000' is in no group of the catalogue; nearest"):
        catalogue_text.row_text("H2000")


def test_the_components_of_a_model_add_up_to_its_parameters():
    data = specs.read("model").sel(model="mixtral-8x7b")
    counts = [count for _, _, count in catalogue_text.components(data)]
    assert sum(counts) == 46_702_792_704


@pytest.mark.parametrize("page", ["metrics_page", "inputs_page", "metric_table"])
def test_no_cell_of_a_table_on_a_page_is_empty(page):
    rows = [line for line in getattr(catalogue_text, page)().splitlines() if line.startswith("|")]
    assert len(rows) > 20
    for row in rows:
        assert all(cell.strip() for cell in row.strip("|").split(" | ")), row
