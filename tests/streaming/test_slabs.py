"""Slabs cover a grid once, in order and in bounded memory, and give the numbers of the whole."""

from math import prod

import numpy as np
import pytest

import prophet_xr as px
from prophet_xr.streaming import slabs
from prophet_xr.streaming.slabs import planned

CHOSEN = {"model": ["mixtral-8x7b", "olmoe-1b-7b"], "gpu": ["A100-80GB", "H200", "B200"]}
METRICS = ["step_time", "fits"]


@pytest.fixture
def data():
    return px.inputs(**CHOSEN, batch=[1, 2, 4, 8, 16], context=[1024, 4096])


def test_lengths_of_a_slab():
    assert slabs.lengths({"model": slice(2, 5), "gpu": slice(0, 1)}) == {"model": 3, "gpu": 1}


@pytest.mark.parametrize("limit", [1, 1_000, 5_000, 10**9])
def test_what_a_slab_stores_fits_the_limit_or_is_one_cell_of_each_policy(data, limit):
    plan = planned(data, METRICS)
    lengths = plan.slab_lengths((), (), limit)
    stored = sum(
        8 * prod(lengths[d] for d in nest.dims) for nest in plan.nests for _ in nest.stores
    )
    assert lengths["policy"] == 2
    if limit == 1:
        assert all(n == 1 for d, n in lengths.items() if d != "policy")
    else:
        assert stored <= limit
    if limit == 10**9:
        assert lengths == plan.sizes


def test_arrays_together_and_uncut_dims_count(data):
    plan = planned(data, METRICS)
    whole = sum(
        8 * prod(plan.sizes[d] for d in nest.dims) for nest in plan.nests for _ in nest.stores
    )
    assert plan.slab_lengths((), (), whole) == plan.sizes
    lengths = plan.slab_lengths((), [plan.order] * 9, whole)
    assert 9 * 8 * prod(lengths.values()) <= whole
    assert plan.slab_lengths(["batch"], (), 1)["batch"] == 5


def test_of_two_dims_alike_the_one_that_is_kept_is_cut():
    data = px.inputs(model="mixtral-8x7b", gpu="H200", batch=1, context=4096)
    data = data.assign(hit_rate=(("seed", "draw"), np.linspace(0.5, 1, 16).reshape(4, 4)))
    for reduced, kept in (("seed", "draw"), ("draw", "seed")):
        plan = planned(data, ["step_time"], [reduced])
        assert plan.kept == {kept}
        whole = sum(
            8 * prod(plan.sizes[d] for d in nest.dims) for nest in plan.nests for _ in nest.stores
        )
        lengths = plan.slab_lengths((), (), whole - 1)
        assert (lengths[reduced], lengths[kept]) == (4, 2)


def test_slabs_come_in_order_and_cover_the_grid_once(data, pieces):
    with pieces(memory=1_000):
        plan = planned(data, METRICS)
        parts = list(plan.slabs())
        assert len(parts) > 5
    times = np.zeros(tuple(plan.sizes.values()), int)
    firsts = []
    for slab in parts:
        assert tuple(slab) == plan.order
        times[tuple(slab.values())] += 1
        firsts.append(tuple(part.start for part in slab.values()))
    assert (times == 1).all()
    assert firsts == sorted(firsts)  # the last dim moves on first


@pytest.mark.parametrize("policy", ["prophet", ["prophet", "lru"], ["lru", "baseline"]])
def test_cells_of_all_slabs_are_the_cube(pieces, policy):
    data = px.inputs(**CHOSEN, batch=[1, 2, 4, 8, 16], context=[1024, 4096], policy=policy)
    cube = px.sweep(data, METRICS).broadcast_like(px.sweep(data, ["step_time"]))
    with pieces(memory=1_000):
        plan = planned(data, METRICS)
        for slab in plan.slabs():
            for name, cells in plan.cells(slab, METRICS).items():
                place = {d: slab[d] for d in cells.dims if d != "policy"}
                expected = cube[name].isel(place)
                expected = expected.isel({d: 0 for d in expected.dims if d not in cells.dims})
                if "policy" in cells.dims and "policy" not in expected.dims:
                    cells = cells.isel(policy=0)
                np.testing.assert_array_equal(
                    cells.transpose(*expected.dims).values, expected.values.astype(float)
                )


def test_cells_where_a_flag_is_false_are_nan(data):
    plan = planned(data, ["kv_budget"], where="fits")
    (slab,) = plan.slabs()
    cells = plan.cells(slab, ["kv_budget"], "fits")["kv_budget"]
    cube = px.sweep(data, ["kv_budget", "fits"])
    assert 0 < cube.fits.sum() < cube.fits.size
    expected = cube.kv_budget.where(cube.fits)
    np.testing.assert_array_equal(cells.transpose(*expected.dims).values, expected.values)


def test_a_nest_runs_again_only_where_its_part_of_the_grid_moved_on(data, monkeypatch):
    runs = []
    run_nest = slabs.run_nest

    def recorded(nest, *arguments):
        runs.append(nest)
        return run_nest(nest, *arguments)

    monkeypatch.setattr(slabs, "run_nest", recorded)
    plan = planned(data, METRICS)
    batches = [{d: slice(0, n) for d, n in plan.sizes.items()} | {"batch": b} for b in (
        slice(0, 1), slice(1, 2), slice(1, 2))]  # fmt: skip
    for slab in batches:
        plan.run(slab)
    for nest in plan.nests:
        assert runs.count(nest) == (2 if "batch" in nest.dims else 1), nest.dims
