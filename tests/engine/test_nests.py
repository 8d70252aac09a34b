"""Metrics are split by their dims, into nests that can be run one after the other."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from prophet_xr import grid
from prophet_xr.engine import nests as nests_file
from prophet_xr.engine.limits import Limits
from prophet_xr.engine.nests import Reduction, dim_order, dims_of_quantities, nests
from prophet_xr.registry import QUANTITIES, required


@pytest.fixture(scope="module")
def data():
    return grid.inputs(model=["mixtral-8x7b", "olmoe-1b-7b"], gpu=["H200", "B200"], batch=[1, 2, 4])


def split(data, wanted, limits=None, dtype="float64", reduction=None):
    need = required([*wanted, reduction.where] if reduction and reduction.where else wanted)
    order = dim_order(data)
    return nests(data, need, wanted, order, dtype, limits or Limits(), reduction)


def test_dims_that_are_no_axis_come_first():
    data = xr.Dataset(coords={"batch": [1], "draw": [0], "model": ["a"], "my dim": [1]})
    assert dim_order(data) == ("draw", "my dim", "model", "batch")


def test_a_metric_has_the_dims_of_what_it_reads_in_the_order_asked_for(data):
    order = ("batch", "policy", "gpu", "model")
    dims_of = dims_of_quantities(data, required(["fits"]), order)
    assert dims_of["batch"] == ("batch",)
    assert dims_of["n_experts"] == ("model",)
    assert dims_of["memory_budget"] == ("gpu",)
    assert dims_of["unique_experts"] == ("batch", "model")
    assert dims_of["fits"] == order
    for name, dims in dims_of.items():
        if QUANTITIES[name].formula:
            assert {*dims} == {d for n in QUANTITIES[name].reads for d in dims_of[n]}, name


def test_each_nest_reads_only_what_is_given_or_stored_before(data):
    known = {n for n, q in QUANTITIES.items() if not q.formula}
    names = []
    every = grid.metric_names(None, data)
    for nest in split(data, every):
        assert {*nest.reads} <= known, nest.dims
        known |= {*nest.stores}
        names += [q.name for q in nest.metrics]
    assert sorted(names) == sorted(n for n in required(every) if QUANTITIES[n].formula)
    assert {*every} <= known


def test_what_nobody_reads_or_wants_is_not_stored(data):
    last = split(data, ["fits"])[-1]
    assert [q.name for q in last.metrics] == ["kv_budget", "fits"]
    assert last.stores == {"fits": "bool"}


def test_only_what_no_nest_reads_is_stored_narrow(data):
    def stores(*wanted):
        found = split(data, wanted, dtype="float32")
        return {name: dtype for nest in found for name, dtype in nest.stores.items()}

    assert stores("static_memory")["static_memory"] == "float32"
    both = stores("static_memory", "kv_budget", "fits")  # on more dims, and read the first
    assert (both["static_memory"], both["kv_budget"]) == ("float64", "float32")
    assert both["fits"] == "bool"


def test_the_same_question_under_other_limits_is_another_one(data):
    wanted = ["fits"]
    assert split(data, wanted) is split(data, wanted)
    for change in ({"row_cells": 2}, {"arrays_per_loop": 2}, {"row_start_cost": 7}):
        assert split(data, wanted, replace(Limits(), **change)) is not split(data, wanted), change


# --- Rows ------------------------------------------------------------------------------------

A_B = {"a": 10, "b": 20}


@pytest.mark.parametrize(
    ("cells", "reads", "start_cost", "row"),
    [
        (200, [], 300, ("a", "b")),  # 200 cells fit, and begin once
        (199, [], 300, ("b",)),  # they do not
        (5, [], 300, ("b",)),  # nothing does: the last dim, in blocks
        # One array on b alone is spread over (a, b): 1 + 300 / 200 against 300 / 20 a cell
        (200, [("b",)], 300, ("a", "b")),
        # and if a row begins in the time of 10 cells 1 + 10 / 200 against 10 / 20
        (200, [("b",)], 10, ("b",)),
        (200, [("a", "b"), ("c",)], 10, ("a", "b")),  # what is whole or the same is not spread
    ],
)
def test_the_cheapest_row_is_chosen(cells, reads, start_cost, row):
    assert nests_file._row(("a", "b"), A_B, cells, reads, start_cost) == row


def test_the_policy_is_never_in_a_row():
    sizes = {"a": 2, "policy": 2, "b": 2}
    assert nests_file._row(("a", "policy", "b"), sizes, 100, [], 300) == ("b",)
    assert nests_file._row(("a", "policy"), sizes, 100, [], 300) == ()


def test_a_long_row_is_evaluated_in_blocks():
    data = grid.inputs(model="olmoe-1b-7b", gpu="H200", batch=np.arange(1, 51))
    assert split(data, ["fits"], Limits(row_cells=50))[-1].block == 0
    assert split(data, ["fits"], Limits(row_cells=49))[-1].block == 49


# --- Reductions ------------------------------------------------------------------------------


def test_what_is_reduced_is_not_stored(data):
    last = split(data, ["kv_budget"], reduction=Reduction(("batch",)))[-1]
    assert (last.reduces, last.over, last.stores) == (("kv_budget",), ("batch",), {})
    assert last.reduces_rows


def test_the_flag_of_what_counts_is_read_where_it_is_on_fewer_dims(data):
    counted = Reduction(("batch",), "fits", with_positions=True)
    *_, last = split(data, ["predictor_memory"], reduction=counted)
    assert last.reduces == ("predictor_memory",)
    assert last.dims == ("policy", "model", "gpu", "batch")  # those of the flag
    assert last.read_to_reduce == ("predictor_memory", "fits")
    assert last.with_positions
    assert "predictor_memory" in last.reads
    assert [q.name for q in last.metrics if q.name == "fits"] == ["fits"]


def test_a_row_that_is_kept_has_its_own_limit(data):
    order = ("policy", "gpu", "batch", "model")
    limits = Limits(row_cells=4096, accumulated_row_cells=1)
    need = required(["kv_budget"])
    over = Reduction(("batch",))
    last = nests(data, need, ["kv_budget"], order, "float64", limits, over)[-1]
    assert (last.row, last.block, last.reduces_rows) == (("model",), 1, False)
