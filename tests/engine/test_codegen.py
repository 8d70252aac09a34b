"""The text of a nest says what the nest says, and nothing of the user's names."""

from dataclasses import replace

import numpy as np
import pytest
import toy_nests
import xarray as xr

from prophet_xr import grid, kernels
from prophet_xr.engine import codegen
from prophet_xr.engine.codegen import source
from prophet_xr.registry import Quantity

EVIL = "x=__import__('os').system('touch was_run'), *y"


@pytest.mark.parametrize("dim", ["row", "blocks", "block", "my dim", "d0", EVIL])
def test_the_name_of_a_dim_is_only_a_name(dim, pieces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cubes = []
    with pieces(row=6):
        for name in (dim, "other"):
            rates = xr.DataArray(np.linspace(1e10, 6e10, 50), dims=name)
            data = grid.inputs(model="olmoe-1b-7b", gpu="H200", batch=[1, 2], host_link_rate=rates)
            cubes.append(grid.sweep(data, ["step_time"]).step_time.values)
    np.testing.assert_array_equal(*cubes)
    assert not list(tmp_path.iterdir())


def body(nest):
    """The lines of ``fill``."""
    return [line.strip() for line in source(nest).partition("def fill(")[2].splitlines()]


def test_dims_are_numbered_but_for_the_policy():
    nest = toy_nests.nest()
    text = source(nest)
    assert "gpu" not in text
    assert "batch" not in text
    head = "begin, end, n_policy, n_d1, n_d2, in_memory, in_needed, out_room, out_share):"
    assert body(nest)[0] == head


def test_the_baseline_is_kept_for_the_ratio():
    lines = body(toy_nests.nest())
    first = lines.index("for i_policy in range(n_policy):")
    kept = "v_baseline_room = v_room if i_policy == 0 else baseline_room[j]"
    assert lines.index(kept) > first
    assert lines.index("baseline_room = np.empty(n_row, np.dtype('float64'))") < first


def test_what_is_the_same_for_every_policy_is_spread_once():
    lines = body(toy_nests.nest(row=("gpu", "batch")))
    policy = lines.index("for i_policy in range(n_policy):")
    assert lines.index("memory[(i_d1) * n_d2 + i_d2] = in_memory[i_d1]") < policy
    assert lines.index("needed[(i_d1) * n_d2 + i_d2] = in_needed[i_policy, i_d2]") > policy


@pytest.mark.parametrize(("arrays", "loops"), [(4, 1), (2, 1), (1, 2)])
def test_a_loop_writes_no_more_arrays_than_it_may(arrays, loops):
    lines = body(toy_nests.nest(arrays_per_loop=arrays))
    assert lines.count("for j in range(n_row):") == loops


def root(room):
    return room**0.5


def test_a_formula_that_does_not_vectorise_has_a_loop_of_its_own():
    metrics = (toy_nests.ROOM_OF, Quantity("root", "1", "Root", formula=root), toy_nests.FITS)
    nest = toy_nests.nest(metrics, ("room", "root", "fits"))
    assert body(nest).count("for j in range(n_row):") == 3


def test_a_nest_in_parts_reads_uncut_arrays_at_their_place():
    parted = replace(toy_nests.nest(), split_dim="gpu", uncut=frozenset({"memory"}))
    lines = body(parted)
    assert "start, in_memory" in lines[0]
    assert "uncut_d1 = start + i_d1" in lines
    assert "memory = in_memory[uncut_d1]" in lines
    assert "out_room[i_policy, i_d1, j] = v_room" in lines  # which holds the part alone


def test_a_nest_that_reduces_stores_nothing():
    text = source(toy_nests.reducing(("batch",), ("batch",)))
    assert "out_" not in text.partition("def fill(")[2]
    assert "keep_extremes(room" in text
    assert "keep_extremes_and_positions(room" in source(
        toy_nests.reducing(("batch",), ("batch",), with_positions=True)
    )


@pytest.mark.parametrize(
    ("formula", "simple"),
    [
        (kernels.early_traffic, True),  # arithmetic alone
        (kernels.in_time, True),  # with a helper that only compares
        (kernels.tensor_share, True),
        (kernels.page_tokens, False),  # math.ceil
        (kernels.windowed_share, False),  # in its helper
        (kernels.zipf_scale, False),  # loops in its helper
        (kernels.effective_batch, False),  # a power
    ],
)
def test_a_formula_joins_the_loop_of_others_if_its_helpers_may(formula, simple):
    assert codegen._simple(formula) is simple
