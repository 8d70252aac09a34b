"""Indices equal closed forms, brute force and samples; slopes are those of power laws."""

import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import prophet_xr as px
from prophet_xr import sensitivity as sa
from prophet_xr.uncertainty import sobol_sums
from prophet_xr.uncertainty.sampled import pawn_distances

A, B = 7.0, 0.1
ISHIGAMI = {"low": -np.pi, "high": np.pi}
G = np.array([0.0, 1.0, 4.5])


def ishigami(x, y, z):
    return np.sin(x) + A * np.sin(y) ** 2 + B * z**4 * np.sin(x)


def ishigami_indices():
    """First-order and total indices (Ishigami & Homma 1990; Saltelli et al. 2008, 4.32)."""
    first_x = 0.5 * (1 + B * np.pi**4 / 5) ** 2
    second_y = A**2 / 8
    pair = 8 * B**2 * np.pi**8 / 225
    whole = first_x + second_y + pair
    first = np.array([first_x, second_y, 0.0]) / whole
    return first, np.array([first_x + pair, second_y, pair]) / whole


def sobol_g(*u):
    return np.prod([(abs(4 * x - 2) + a) / (1 + a) for x, a in zip(u, G, strict=True)], 0)


def sobol_g_indices():
    """Indices of the g-function (Sobol' 1993): variances of independent factors."""
    own = 1 / (3 * (1 + G) ** 2)
    whole = np.prod(1 + own) - 1
    return own / whole, own * np.prod(1 + own) / (1 + own) / whole


CASES = {
    "ishigami": (lambda u: ishigami(*(2 * np.pi * u - np.pi)), ishigami_indices()),
    "sobol-g": (lambda u: sobol_g(*u), sobol_g_indices()),
}


def brute(values, weights, fill=None):
    """First-order and total indices by the definition, over the cells that count."""
    joint = np.ones(values.shape)
    for i, w in enumerate(weights):
        joint = joint * (w / w.sum()).reshape([-1 if k == i else 1 for k in range(values.ndim)])
    good = np.isfinite(values)
    cells = np.where(good, values, 0.0 if fill is None else fill)
    joint = joint * good if fill is None else joint
    mean = (joint * cells).sum() / joint.sum()
    variance = (joint * (cells - mean) ** 2).sum() / joint.sum()
    first, total = [], []
    for i in range(values.ndim):
        rest = tuple(k for k in range(values.ndim) if k != i)
        weight = joint.sum(rest)
        some = weight > 0
        means = (joint * cells).sum(rest)[some] / weight[some]
        first.append((weight[some] * (means - mean) ** 2).sum() / joint.sum() / variance)
        line = joint.sum(i, keepdims=True)
        means = (joint * cells).sum(i, keepdims=True) / np.where(line > 0, line, 1)
        total.append((joint * (cells - means) ** 2).sum() / joint.sum() / variance)
    return np.array(first), np.array(total)


def labelled(values):
    dims = [f"a{i}" for i in range(values.ndim)]
    return xr.DataArray(values, {d: np.arange(n) for d, n in zip(dims, values.shape, strict=True)})


# --- Exact on a grid -------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_grid_gives_the_closed_form(case):
    function, (first, total) = CASES[case]
    middle = (np.arange(64) + 0.5) / 64
    found = sa.sobol(labelled(function(np.stack(np.meshgrid(*[middle] * 3, indexing="ij")))))
    np.testing.assert_allclose(found.first_order, first, atol=0.01)
    np.testing.assert_allclose(found.total, total, atol=0.01)
    if case == "ishigami":
        pair = found.second_order.sel(axis="a0", other="a2")
        assert pair == pytest.approx(total[2], abs=0.01)


@pytest.mark.parametrize("cells", [10, 200, sobol_sums.CELLS])
@pytest.mark.parametrize("missing", ["drop", 0.3])
def test_indices_are_those_of_the_definition(cells, missing, monkeypatch):
    monkeypatch.setattr(sobol_sums, "CELLS", cells)
    random = np.random.default_rng(1)
    values = 1e6 + random.random((4, 3, 5, 2))
    values[1, 2], values[3, 0, 1] = np.nan, np.inf
    weights = {f"a{i}": random.random(n) for i, n in enumerate(values.shape)}
    found = sa.sobol(labelled(values), weights=weights, missing=missing)
    fill = None if missing == "drop" else missing
    first, total = brute(values, list(weights.values()), fill)
    np.testing.assert_allclose(found.first_order, first, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.total, total, rtol=1e-6, atol=1e-9)
    joint = np.einsum("i,j,k,l", *(w / w.sum() for w in weights.values()))
    assert found.missing.item() == pytest.approx(joint[~np.isfinite(values)].sum())


SHAPES = hnp.array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=4)
CELLS = st.integers(-50, 50).map(float)


@settings(max_examples=60, deadline=None)
@given(values=hnp.arrays(np.float64, SHAPES, elements=CELLS), data=st.data())
def test_laws_of_indices(values, data):
    found = sa.sobol(labelled(values))
    if found.reason.item():
        assert np.ptp(values) == 0
        assert found.first_order.isnull().all()
        return
    first, total = found.first_order.values, found.total.values
    assert first.sum() <= 1 + 1e-9
    assert (total >= first - 1e-9).all()
    assert ((first >= 0) & (total <= 1 + 1e-9)).all()
    assert (np.nan_to_num(found.second_order) >= -1e-9).all()
    order = data.draw(st.permutations(range(values.ndim)))
    turned = sa.sobol(labelled(values).transpose(*(f"a{i}" for i in order)))
    xr.testing.assert_allclose(turned.sel(axis=found.axis.values).first_order, found.first_order)
    xr.testing.assert_allclose(turned.sel(axis=found.axis.values).total, found.total)
    ones = {f"a{i}": np.ones(n) for i, n in enumerate(values.shape)}
    alike = sa.sobol(labelled(values), weights=ones)
    xr.testing.assert_identical(alike.total, found.total)
    np.testing.assert_allclose(brute(values, list(ones.values())), [first, total], atol=1e-9)


@pytest.mark.parametrize("cells", [60, 200, sobol_sums.CELLS])  # streamed, swept in parts, in one
@pytest.mark.parametrize("where", ["", "fits"])
def test_a_sweep_gives_the_indices_of_its_cube(random_inputs, where, cells, monkeypatch):
    monkeypatch.setattr(sobol_sums, "CELLS", cells)
    over = ["policy", "model", "gpu", "batch", "hit_rate", "dedup_exponent"]
    cube = px.sweep(random_inputs, ["step_time", "fits"])
    values = cube.step_time.where(cube.fits) if where else cube.step_time
    got = sa.sobol_sweep(random_inputs, "step_time", over, where=where)
    want = sa.sobol(values, over)
    for name in ("first_order", "total", "missing", "second_order"):
        np.testing.assert_allclose(got[name], want[name].transpose(*got[name].dims), atol=1e-9)


def test_an_axis_that_is_not_felt_has_index_0():
    data = px.inputs(model=["olmoe-1b-7b", "dbrx-132b"], gpu="H200", hit_rate=[0.9, 0.994])
    found = px.sobol_sweep(data, "max_context", ["model", "hit_rate", "batch"])
    assert (found.first_order.sel(axis="hit_rate") == 0).all()
    assert (found.total.sel(axis="hit_rate") == 0).all()
    assert (found.second_order.sel(axis="hit_rate", other="batch") == 0).all()
    assert (found.total.sel(axis="model", policy="prophet") > 0.1).all()


def test_no_cell_and_no_variance_are_nan_with_a_reason():
    values = xr.DataArray(np.ones((3, 2, 2)), dims=["case", "a", "b"])
    values[0] = np.nan
    values[1] = 0.1 + 0.2
    values[2, 0, 0] = 5
    found = sa.sobol(values, ["a", "b"])
    meanings = found.reason.attrs["flag_meanings"].split()
    reasons = [meanings[i] for i in found.reason.values]
    assert reasons == ["no_cell_counts", "no_variance", "answered"]
    assert found.first_order.isel(case=[0, 1]).isnull().all()
    assert found.total.isel(case=2).notnull().all()
    assert found.missing.values.tolist() == [1, 0, 0]


def test_a_slice_where_nothing_fits_is_nan_with_a_reason():
    models = ["deepseek-v3-671b", "olmoe-1b-7b"]
    data = px.inputs(model=models, gpu="A100-80GB", batch=[1, 2], hit_rate=[0.9, 1])
    found = px.sobol_sweep(data, "kv_extension", ["batch", "hit_rate"], where="fits")
    meanings = found.reason.attrs["flag_meanings"].split()
    none = found.sel(model=models[0], policy="baseline")
    assert meanings[none.reason.item()] == "no_cell_counts"
    assert none.total.isnull().all()
    assert none.missing == 1
    fits = found.sel(model=models[1], policy="prophet")
    assert fits.total.values.tolist() == pytest.approx([1, 0])
    alone = px.sobol_sweep(data.isel(model=0), "kv_extension", where="fits")
    assert alone.total.isnull().all()


def test_weights_with_labels_follow_the_labels():
    values = xr.DataArray(
        [[1.0, 2.0, 9.0], [3.0, 0.0, 1.0]], {"a": [0, 1], "b": [4, 2, 1]}, ("a", "b")
    )
    given = xr.DataArray([1.0, 2.0, 5.0], {"b": [1, 2, 4]}, "b")
    got, want = sa.sobol(values, weights={"b": given}), sa.sobol(values, weights={"b": [5, 2, 1]})
    xr.testing.assert_identical(got, want)
    with pytest.raises(px.InputError, match="weights of b"):
        sa.sobol(values, weights={"b": given.assign_coords(b=[1, 2, 3])})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"over": ["c"]}, "'c' is no dimension"),
        ({"over": ["one"]}, "one holds 1 value; expected two or more"),
        ({"weights": {"a": [1.0]}}, "expected 2 numbers, none below 0"),
        ({"weights": {"a": [0.0, 0.0]}}, "not all 0"),
        ({"weights": {"z": [1.0]}}, "weights of 'z', which is not varied"),
        ({"missing": "skip"}, "missing='skip'; expected 'drop' or a finite number"),
        ({"missing": None}, "missing=None; expected 'drop' or a finite number"),
        ({"over": ["a", "a"]}, "over holds 'a' twice"),
        ({"weights": {"a": ["x", "y"]}}, "expected a list of finite numbers"),
        ({"weights": [1.0, 2.0]}, "expected a mapping"),
    ],
)
def test_what_has_no_index_is_refused(more, message):
    values = xr.DataArray(np.arange(4.0).reshape(2, 2, 1), dims=["a", "b", "one"])
    with pytest.raises(px.InputError, match=re.escape(message)):
        sa.sobol(values, **more)


# --- Sampled ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_sampling_gives_the_closed_form_within_its_interval(case):
    function, (first, total) = CASES[case]
    found = sa.estimate(lambda u: function(u.T), ["x", "y", "z"], count=1024)
    assert (abs(found.first_order - first) <= found.first_order_interval + 1e-9).all()
    assert (abs(found.total - total) <= found.total_interval + 1e-9).all()


def test_distances_of_pawn_are_those_of_salib():
    from SALib.analyze import pawn

    points = np.random.default_rng(0).random((500, 3))
    values = points[:, 0] + np.round(3 * points[:, 1])  # with ties
    problem = {"num_vars": 3, "names": list("xyz"), "bounds": [[0, 1]] * 3}
    want = pawn.analyze(problem, points, values, S=10)
    got = pawn_distances(points, values)
    np.testing.assert_allclose(np.nanmedian(got, -1), want["median"], atol=1e-12)
    np.testing.assert_allclose(np.nanmax(got, -1), want["maximum"], atol=1e-12)


def test_intervals_of_pawn_are_as_wide_as_repeated_estimates():
    def distances(seed):
        found = sa.estimate(lambda u: u[:, 0] + 0.3 * u[:, 1], ["x", "y"], "pawn", seed=seed)
        return found.distance.values, found.distance_interval.values

    repeats, intervals = (np.stack(each) for each in zip(*map(distances, range(20)), strict=True))
    spread = 1.96 * repeats.std(0, ddof=1)
    assert (abs(np.log(intervals.mean(0) / spread)) < np.log(2)).all()


@pytest.mark.parametrize("method", ["sobol", "morris", "pawn"])
def test_a_nan_never_makes_every_index_zero(method):
    def holed(u):
        values = u[:, 0] * (1 + 0.3 * u[:, 1])
        values[5] = np.nan
        return values

    found = sa.estimate(holed, ["x", "y"], method, count=64)
    name = {"sobol": "total", "morris": "effect", "pawn": "distance"}[method]
    assert found[name].sel(axis="x") > 2 * found[name].sel(axis="y") > 0
    assert (found[f"{name}_interval"].sel(axis="x") > 0).all()
    assert found.missing.item() == pytest.approx(1 / 64)
    none = sa.estimate(lambda u: np.full(len(u), np.nan), ["x", "y"], method, count=64)
    assert none[name].isnull().all()
    assert (none.reason.item(), none.missing.item()) == (1, 1.0)
    flat = sa.estimate(lambda u: np.full(len(u), 3.0), ["x", "y"], method, count=64)
    assert flat[name].isnull().all()
    assert flat.reason.item() == 2


# --- One at a time ---------------------------------------------------------------------------


def test_one_input_changes_and_the_others_do_not():
    data = px.inputs("published", model=["olmoe-1b-7b", "dbrx-132b"], batch=[1, 4])
    metrics = ["kv_extension", "step_time", "total_parameters"]
    found = sa.one_at_a_time(
        data, metrics, {"dedup_exponent": [0.85], "batch": [2]}, {"study_activation": [1.25]}
    )
    assert found.input.values.tolist() == ["base", "dedup_exponent", "batch", "study_activation"]
    steeper = px.sweep(px.inputs("published", model=data.model, batch=[1, 4], dedup_exponent=0.85))
    for metric in ("kv_extension", "step_time"):
        got = found[metric].isel(case=1)
        np.testing.assert_allclose(got, steeper[metric].transpose(*got.dims), rtol=1e-12)
    two = px.sweep(px.inputs("published", model=data.model, batch=2), ["step_time"]).step_time
    got = found.step_time.isel(case=2).sel(batch=4)  # what was batch 4 is 2
    np.testing.assert_allclose(got, two.transpose(*got.dims), rtol=1e-12)
    assert found.total_parameters.sizes["case"] == 4


def test_elasticities_of_power_laws_are_their_exponents():
    data = px.inputs(model="deepseek-v3-671b", gpu=["A100-80GB", "H200"], batch=[2, 4])
    names = ["batch", "top_k", "hit_rate", "copy_latency"]
    found = sa.elasticities(data, ["unique_experts", "activation_memory"], names)
    exponents = found.unique_experts.sel(input=["batch", "top_k", "hit_rate"])
    want = xr.DataArray([0.932, 1.0, 0.0], dims="input")
    np.testing.assert_allclose(exponents, want.broadcast_like(exponents), atol=1e-6)
    assert found.unique_experts.sel(input="copy_latency").isnull().all()  # it is 0
    with pytest.raises(px.InputError, match="'model', which is no numeric input"):
        sa.elasticities(data, "unique_experts", "model")


def test_elasticities_of_counts_are_between_their_neighbours():
    data = px.inputs(model="olmoe-1b-7b", gpu="H200", batch=[1, 4], context=4096)
    found = sa.elasticities(data, "max_context", ["batch", "memory_rate"]).max_context
    cube = px.sweep(px.inputs(model="olmoe-1b-7b", gpu="H200", batch=[3, 5]), ["max_context"])
    ends = cube.max_context.sel(policy="prophet")
    rise = np.log(ends.sel(batch=5).item() / ends.sel(batch=3).item()) / np.log(5 / 3)
    assert found.sel(input="batch", batch=4, policy="prophet").item() == pytest.approx(rise)
    assert found.sel(input="batch", batch=1).isnull().all()  # there is no batch 0
    assert (found.sel(input="memory_rate") == 0).all()
