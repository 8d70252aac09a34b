"""Bad input is refused in one line that says what, where, got, expected."""

import re

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.catalogue import specs
from prophet_xr.registry import QUANTITIES, fields


def test_arrays_go_by_their_labels():
    rates = xr.DataArray([1e9, 2e9], {"gpu": ["A100-80GB", "H200"]}, "gpu")
    data = px.inputs(gpu=["H200", "A100-80GB"], host_link_rate=rates)
    assert data.host_link_rate.sel(gpu="H200") == 2e9
    links = xr.DataArray([1e9, 3e9], {"link": ["old", "new"]}, "link")
    hosts = xr.DataArray([8e10, 7e10], {"link": ["new", "old"]}, "link")
    chosen = {"model": "olmoe-1b-7b", "gpu": "H200", "batch": 1}
    both = px.inputs(**chosen, host_link_rate=links, host_memory_rate=hosts)
    assert both.link.values.tolist() == ["old", "new"]
    assert both.host_memory_rate.values.tolist() == [7e10, 8e10]
    best = px.summarize(both, "slowdown", ["link"], "argmin").slowdown_argmin_link
    assert set(best.sel(policy="prophet").values.ravel()) == {"new"}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            {"model": "mixtral-8x9b"},
            "model='mixtral-8x9b' is not in the catalogue; nearest: mixtral-8x7b",
        ),
        (
            {"gpu": ["A100-80GB", "A100-80"]},
            "gpu='A100-80' is not in the catalogue; nearest: A100-80GB, ",
        ),
        ({"policy": "profet"}, "policy='profet' is not in the catalogue; nearest: prophet"),
        ({"bacth": 4}, "'bacth' is no input; nearest: batch"),
        ({"batch": []}, "batch=[] is empty; expected at least one value"),
        ({"model": []}, "model=[] is empty"),
        ({"batch": [1, 4, 4]}, "batch holds 4 twice; expected unique values"),
        ({"gpu": ["H200", "h200"]}, "gpu holds 'H200' twice"),
        ({"batch": "many"}, "batch='many' is not numeric; expected Decode batch [1]"),
        ({"batch": [1, "x"]}, "is not numeric"),
        ({"batch": [[1, 2], [3, 4]]}, "batch has shape (2, 2); expected a number or a flat list"),
        ({"batch": True}, "batch=True is not numeric"),
        ({"model": 7}, "model=7 is no label"),
        ({"hit_rate": xr.DataArray([0.5], {"gpu": ["L4"]}, "gpu")}, "no value at gpu='V100-32GB'"),
        (
            {"hit_rate": xr.DataArray([0.5, 0.6], {"z": ["a", "a"]}, "z")},
            "z holds 'a' twice",
        ),
        ({"hit_rate": xr.DataArray([0.5, 1.0], dims="slowdown")}, "'slowdown', which is a metric"),
        ({"hit_rate": xr.DataArray([0.5, 1.0], dims="gpu")}, "inputs do not fit together"),
        (
            {"gpu": xr.DataArray(["H200", "B200"], dims="model")},
            "gpu has dims ('model',); expected labels along 'gpu' itself",
        ),
        ({"kv_extension": 2}, "'kv_extension' is no input"),
        (
            {"host_link_rate": xr.DataArray(12.0, attrs={"units": "GB/s"})},
            "host_link_rate is in 'GB/s'; expected 'B / s' (Host-to-device bandwidth)",
        ),
        (
            {"host_link_rate": xr.DataArray(12.0, attrs={"units": "1"})},
            "is in '1'; expected 'B / s'",
        ),
        (
            {"zzzz": 1},
            "; see `px.inputs()` for all ",
        ),
        ({"study": "publshed"}, "study='publshed' is unknown; nearest: published"),
    ],
)
def test_inputs_refuse(chosen, message):
    with pytest.raises(px.InputError, match=re.escape(message)) as caught:
        px.inputs(**chosen)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("units", ["B / s", "B/s", "B s-1"])
def test_units_may_be_written_in_any_way(units):
    rate = xr.DataArray(12e9, attrs={"units": units})
    share = xr.DataArray(0.5, attrs={"units": "dimensionless"})
    data = px.inputs(host_link_rate=rate, hit_rate=share)
    assert data.host_link_rate == 12e9
    assert data.host_link_rate.units == "B / s"
    assert data.hit_rate.units == "1"


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"batch": 0}, "batch=0 is outside [1, 1e+06] (Decode batch, 1)"),
        ({"batch": [1, -4]}, "batch=-4 is outside"),
        ({"hit_rate": 1.2}, "hit_rate=1.2 is outside [0, 1]"),
        ({"hit_rate": [0.9, float("nan")]}, "hit_rate=nan is outside [0, 1]"),
        ({"dedup_exponent": float("inf")}, "dedup_exponent=inf is outside"),
        ({"usable_memory": 5}, "usable_memory=5 is outside"),
        ({"top_k": [1, 9], "model": "mixtral-8x7b"}, "top_k=9 exceeds the 8 experts of a layer"),
    ],
)
def test_sweep_refuses_values(chosen, message):
    with pytest.raises(px.InputError, match=re.escape(message)):
        px.sweep(px.inputs(**chosen))


def test_a_value_out_of_bounds_is_located(small):
    bad = small.assign(memory_rate=("batch", [1e12, np.nan]))
    with pytest.raises(px.InputError, match=r"memory_rate=nan at batch=4 is outside"):
        px.sweep(bad)


def test_a_missing_input_is_named(small):
    with pytest.raises(px.InputError, match="top_k is missing"):
        px.sweep(small.drop_vars("top_k"))
    with pytest.raises(px.InputError, match="is it 'tp_k'"):
        px.sweep(small.rename(top_k="tp_k"))


def test_a_dataset_of_ones_own_is_checked_for_duplicates(small):
    twice = xr.concat(
        [small.isel(batch=[0]), small.isel(batch=[0])],
        "batch",
        data_vars="minimal",
        coords="minimal",
        compat="override",
    )
    with pytest.raises(px.InputError, match="batch holds 1 twice"):
        px.sweep(twice)
    with pytest.raises(px.InputError, match="batch is empty"):
        px.sweep(small.isel(batch=[]))


def test_scalars_lists_and_omissions():
    data = px.inputs(model="mixtral-8x7b", batch=[1, 2], gpu="h200")
    assert dict(data.sizes) == {"policy": 2, "batch": 2}
    assert data.gpu.item() == "H200"
    assert data.hit_rate.item() == 0.994
    assert data.context.item() == data.native_context.item() == 32768
    whole = px.inputs()
    assert dict(whole.sizes) == {"policy": 2, "model": 16, "gpu": 4, "batch": 6}
    assert whole.context.dims == ("model",)
    assert whole.runtime.item() == "bare"
    assert px.inputs("published").runtime.item() == "study"


def test_the_studys_own_names_are_understood():
    assert px.inputs(model="Qwen2-MoE-57B").model.item() == "qwen2-57b-a14b"
    assert px.inputs(model=["Qwen3-235B"]).model.values.tolist() == ["qwen3-235b-a22b"]


def test_any_field_may_be_given_as_a_number_a_list_or_an_array():
    data = px.inputs(
        model=["mixtral-8x7b", "olmoe-1b-7b"],
        gpu="A100-80GB",
        batch=1,
        host_link_rate=[12e9, 24.8e9],
        context=xr.DataArray([8192, 4096], dims="model"),
    )
    cube = px.sweep(data)
    assert cube.step_time.dims == ("policy", "model", "host_link_rate")
    assert cube.kv_memory.dims == ("model",)


@pytest.mark.parametrize("chosen", [{}, {"gpu": "H200"}, {"policy": "prophet", "batch": 4}])
@pytest.mark.parametrize("study", ["verified", "published"])
def test_what_is_written_into_inputs_stays_there(study, chosen):
    expected = px.inputs(study, **chosen).copy(deep=True)
    written = px.inputs(study, **chosen)
    for name, variable in written.variables.items():
        if name not in written.xindexes and variable.dtype.kind in "iuf":
            written[name].data[...] = -1
        written[name].attrs["units"] = "changed"
    assert written.top_k.min() == -1
    xr.testing.assert_identical(px.inputs(study, **chosen), expected)


def test_an_array_that_is_given_is_copied():
    rates = np.array([1e10, 2e10])
    data = px.inputs(batch=[1, 2], host_link_rate=xr.DataArray(rates, dims="link"))
    data["host_link_rate"] *= 10
    assert rates.tolist() == [1e10, 2e10]


CELL = {"model": ["mixtral-8x7b", "olmoe-1b-7b"], "gpu": "A100-80GB", "batch": 2, "context": 4096}


@pytest.mark.parametrize("q", fields("policy"), ids=lambda q: q.name)
def test_a_policy_field_holds_for_every_policy_but_the_baseline(q):
    value = 5e9 if q.units == "B" else 0.5
    own = px.inputs(**CELL, policy="prophet")
    assert own[q.name].item() != value
    expected = px.sweep(own.assign({q.name: own[q.name].copy(data=value)}))
    link = xr.DataArray([value, value], {"link": ["a", "b"]}, "link")
    for policy in ("prophet", ["prophet"], ["baseline", "prophet"], ["lru", "prophet"]):
        for given in (value, [value], link):
            cube = px.sweep(px.inputs(**CELL, policy=policy, **{q.name: given}))
            cube = cube.isel({d: 0 for d in (q.name, "link") if d in cube.dims})
            assert cube[q.name].item() == value
            cube = cube.sel(policy="prophet") if "policy" in cube.dims else cube
            for name in expected.data_vars:
                np.testing.assert_array_equal(cube[name], expected[name], err_msg=name)


def test_the_baseline_keeps_its_row_unless_an_array_along_policy_says_otherwise():
    plain = px.sweep(px.inputs(**CELL)).sel(policy="baseline")
    sizes = {"policy": ["baseline", "prophet"]}
    given = px.sweep(px.inputs(**CELL, **sizes, predictor_size=[5e9, 6e9]))
    assert given.kv_budget.dims == ("policy", "model", "predictor_size")
    for size in (5e9, 6e9):
        one = given.sel(policy="baseline", predictor_size=size)
        np.testing.assert_array_equal(one.kv_budget, plain.kv_budget)
    along = xr.DataArray([1e9, 5e9], sizes, "policy")
    other = px.sweep(px.inputs(**CELL, **sizes, predictor_size=along)).sel(policy="baseline")
    np.testing.assert_array_equal(other.kv_budget, plain.kv_budget - 1e9)
    with pytest.raises(px.InputError, match="predictor_size is given for the baseline alone"):
        px.inputs(**CELL, policy="baseline", predictor_size=5e9)


def test_every_way_to_ask_takes_a_policy_field_alike(tmp_path):
    data = px.inputs(**CELL, policy=["baseline", "prophet"], predictor_size=[5e9, 6e9])
    names = ["kv_budget", "kv_extension", "predictor_memory"]
    cube = px.sweep(data, names)
    assert cube.predictor_size.dims == ("predictor_size",)
    xr.testing.assert_identical(px.sweep(data.chunk(model=1), names).compute(), cube)
    stored = px.sweep_to(data, tmp_path / "cube.zarr", names, progress=False)
    best = px.summarize(data, names, "predictor_size", "max")
    for name in names:
        np.testing.assert_array_equal(stored[name].transpose(*cube[name].dims), cube[name])
        np.testing.assert_array_equal(best[f"{name}_max"], cube[name].max("predictor_size"))
    reversed_ = px.sweep(data.isel(policy=[1, 0]), names)
    xr.testing.assert_identical(reversed_, cube.isel(policy=[1, 0]))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"batch": 1.5}, "batch=1.5; expected a whole number (Decode batch, 1)"),
        ({"batch": [1, 2, 2.5]}, "batch=2.5; expected a whole number"),
        ({"context": 4096.5}, "context=4096.5; expected a whole number (Context of each"),
        ({"n_experts": 8.2, "model": "mixtral-8x7b"}, "n_experts=8.2; expected a whole number"),
        (
            {"max_sequences": xr.DataArray([8, 8.5], {"gpu": ["H200", "L4"]}, "gpu")}
            | {"gpu": ["H200", "L4"]},
            "max_sequences=8.5 at gpu='L4'; expected a whole number (Sequences in flight",
        ),
        (
            {"batch": np.arange(1, 6000) + (np.arange(1, 6000) == 5000) / 2},
            "batch=5000.5; expected",
        ),
    ],
)
def test_a_count_is_whole(chosen, message):
    data = px.inputs(**chosen)
    names = ["kv_memory", "concurrent_sequences", "unique_experts"]
    for ask in (px.sweep, lambda d, n: px.summarize(d, n, "policy")):
        with pytest.raises(px.InputError, match=re.escape(message)):
            ask(data, names)


def test_a_count_that_is_marked_lies_between_whole_numbers():
    batch = xr.DataArray([1, 1.5, 2], dims="batch", attrs={"continuous": 1})
    chosen = {"model": "olmoe-1b-7b", "gpu": "H200"}
    both = px.sweep(px.inputs(**chosen, batch=batch), ["throughput"]).throughput
    whole = px.sweep(px.inputs(**chosen, batch=[1, 2]), ["throughput"]).throughput
    np.testing.assert_array_equal(both.sel(batch=[1, 2]), whole)
    assert (both.diff("batch") > 0).all()


def test_what_is_a_count_is_one_in_every_row_of_the_catalogue():
    counts = {q.name for q in QUANTITIES.values() if q.whole}
    assert {"batch", "context", "tokens", "n_experts", "n_layers", "tensor_degree"} <= counts
    for group in specs.groups():
        for name in counts & set(specs.read(group).variables):
            values = specs.read(group)[name].values
            assert (values == np.floor(values)).all(), name
