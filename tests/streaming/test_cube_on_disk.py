"""Slabs cover a cube once, and the digest tells cubes of other numbers apart."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.engine.limits import Limits, using
from prophet_xr.errors import InputError
from prophet_xr.streaming import cube_on_disk
from prophet_xr.streaming.cube_on_disk import check_extends, plan_cube

METRICS = ["fits", "unique_experts", "kv_per_token"]
TARGET = Path("cube.zarr")
CHOSEN = {"model": ["mixtral-8x7b", "olmoe-1b-7b"], "gpu": ["H200"], "context": [1024, 4096, 8192]}


def inputs(**changes):
    return px.inputs(**{**CHOSEN, "batch": [1, 2, 4, 8], **changes})


def plan(data, metrics=METRICS, dtype="float64", compression=None, slab_memory=100):
    with using(Limits(disk_slab_memory=slab_memory)):
        return plan_cube(data, TARGET, metrics, dtype, compression)


def test_every_cell_of_every_metric_is_written_once():
    cube = plan(inputs())
    slabs = cube.slabs()
    assert len(slabs) > 4
    for metric in METRICS:
        times = np.zeros(cube.shape(metric), int)
        for slab in slabs:
            if metric in cube.written_with(slab):
                times[cube.region(metric, slab)] += 1
        assert (times == 1).all(), metric


def test_a_slab_is_a_chunk_and_takes_the_memory_it_may():
    cube = plan(inputs(), slab_memory=100)
    assert cube.slab_lengths["policy"] == cube.plan.sizes["policy"] == 2
    assert cube.slab_lengths["batch"] < 4
    assert len(plan(inputs(), slab_memory=10**9).slabs()) == 1
    stored = cube.plan.run(cube.slabs()[0])[0]
    for slab in cube.slabs():
        for d, part in slab.items():
            assert part.start % cube.slab_lengths[d] == 0
            assert part.stop - part.start <= cube.slab_lengths[d]
    assert sum(stored[m].nbytes for m in METRICS) <= 100


def test_metrics_are_in_the_order_of_the_formulas_and_dims_are_their_own():
    cube = plan(inputs())
    assert cube.metrics == ["unique_experts", "kv_per_token", "fits"]
    assert cube.dims["kv_per_token"] == ("model",)
    assert cube.dims["fits"] == ("policy", "model", "gpu", "batch", "context")
    assert cube.shape("fits") == (2, 2, 1, 4, 3)
    assert cube.folder == Path(".cube.zarr.part")


def test_a_scalar_policy_is_no_dim_of_the_cube():
    cube = plan(inputs(policy="prophet"))
    assert "policy" not in cube.dims["fits"]
    slab = cube.slabs()[-1]
    dims = ("model", "gpu", "batch", "context")
    assert cube.region("fits", slab) == tuple(slab[d] for d in dims)


@pytest.mark.parametrize(
    "other",
    [
        {"data": inputs().assign(memory_rate=inputs().memory_rate * (1 + 1e-15))},
        {"data": inputs(batch=[1, 2, 4, 9])},
        {"data": inputs(gpu="H200")},  # the same numbers on other dims
        {"metrics": METRICS[:2]},
        {"dtype": "float32"},
        {"compression": 1},
    ],
    ids=["a number", "a label", "a dim", "metrics", "dtype", "compression"],
)
def test_another_cube_has_another_digest(other):
    first = plan(inputs())
    assert plan(inputs()).digest == first.digest
    assert plan(**{"data": inputs(), **other}).digest != first.digest


def test_the_same_numbers_on_another_dim_are_another_cube():
    data = inputs(gpu=["A100-80GB", "H200"])
    of_gpu, of_model = (data.assign(hit_rate=(dim, [0.5, 0.9])) for dim in ("gpu", "model"))
    assert plan(of_gpu, ["step_time"]).digest != plan(of_model, ["step_time"]).digest


def test_the_order_of_metrics_and_the_memory_of_a_slab_are_not_in_the_digest():
    assert plan(inputs(), METRICS[::-1], slab_memory=10**9).digest == plan(inputs()).digest


def test_another_formula_has_another_digest(monkeypatch):
    before = plan(inputs())
    function = cube_on_disk.codegen.function

    def changed(formula, name):
        return function(formula, name) + ("# changed" if name == "unique_experts" else "")

    monkeypatch.setattr(cube_on_disk.codegen, "function", changed)
    after = plan(inputs())
    assert after.formulas_digest != before.formulas_digest
    assert after.digest != before.digest
    alone = plan(inputs(), ["kv_per_token"])
    monkeypatch.undo()
    assert plan(inputs(), ["kv_per_token"]).digest == alone.digest  # it does not depend on it


# --- Two cubes -------------------------------------------------------------------------------


def swept(data):
    """What `sweep_to` would have written."""
    attrs = {cube_on_disk.FORMULAS_DIGEST: plan(data).formulas_digest}
    return px.sweep(data, METRICS).merge(data, compat="override").assign_attrs(attrs)


def test_more_labels_extend_a_cube():
    check_extends(plan(inputs(batch=[1, 2, 3, 4, 8])), swept(inputs()))
    check_extends(plan(inputs(model=[*CHOSEN["model"], "grok-1-314b"])), swept(inputs()))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (inputs(batch=[1, 2, 4]), "batch=8 is in cube.zarr but not in the inputs"),
        (inputs(hit_rate=[0.5, 1.0]), "hit_rate is no dim of cube.zarr"),
        (inputs().assign(n_experts=inputs().n_experts * 2), "n_experts differs from that of"),
        (
            inputs().assign(dedup_exponent=("gpu", [0.9])),
            r"unique_experts of cube.zarr has dims \('model', 'batch'\); expected \('model', 'gpu'",
        ),
    ],
    ids=["a label less", "a new dim", "another number", "a metric on other dims"],
)
def test_a_cube_of_other_cells_is_not_extended(data, message):
    with pytest.raises(InputError, match=message):
        check_extends(plan(data), swept(inputs()))


def test_a_cube_of_other_formulas_is_not_extended():
    old = swept(inputs())
    with pytest.raises(InputError, match="made by other formulas"):
        check_extends(plan(inputs()), old.assign_attrs({cube_on_disk.FORMULAS_DIGEST: "other"}))
    with pytest.raises(InputError, match=r"is no cube of px\.sweep_to"):
        check_extends(plan(inputs()), old.drop_attrs())


def test_dates_are_compared_in_one_unit():
    days = np.array(["2026-01-01", "2026-01-02"], "M8[D]")
    seconds, nanoseconds = (
        xr.Dataset(coords={"day": days.astype(f"M8[{unit}]")}) for unit in ("s", "ns")
    )
    assert cube_on_disk.stored_labels(seconds, "day") == cube_on_disk.stored_labels(
        nanoseconds, "day"
    )
