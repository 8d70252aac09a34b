"""Indices equal closed forms and brute force; priors, draws and conclusions do what they say."""

import itertools
import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import prophet_xr as px
from prophet_xr import sensitivity as sa
from prophet_xr.uncertainty import anova, grids, words
from prophet_xr.uncertainty.survival import by_count, conclusions

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


@pytest.mark.parametrize("cells", [10, 200, anova.CELLS])
@pytest.mark.parametrize("missing", ["drop", 0.3])
def test_indices_are_those_of_the_definition(cells, missing, monkeypatch):
    monkeypatch.setattr(anova, "CELLS", cells)
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


@pytest.mark.parametrize("where", ["", "fits"])
def test_a_sweep_gives_the_indices_of_its_cube(random_inputs, where, monkeypatch):
    monkeypatch.setattr(anova, "CELLS", 60)
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


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"over": ["c"]}, "'c' is no dimension"),
        ({"over": ["one"]}, "one holds 1 value; expected two or more"),
        ({"weights": {"a": [1.0]}}, "expected 2 numbers, none below 0"),
        ({"weights": {"a": [0.0, 0.0]}}, "not all 0"),
        ({"weights": {"z": [1.0]}}, "weights of 'z', which is not varied"),
        ({"missing": "skip"}, "missing='skip'; expected 'drop' or a finite number"),
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


@pytest.mark.parametrize("metric", ["slowdown", "kv_extension"])
def test_grid_and_sampling_agree_for_every_continuous_input(metric):
    names = grids.felt(metric)
    exact = sa.sobol_sweep(grids.prior_grid(metric, 12), metric, second_order=False)
    exact = exact.assign_coords(axis=[str(a).removesuffix("_factor") for a in exact.axis.values])
    found = sa.sampled(grids.cell(metric), metric, sa.known(names), count=2048)
    assert sorted(exact.axis.values) == sorted(names)
    for kind in ("first_order", "total"):
        off = abs(found[kind] - exact[kind])
        assert (off <= found[f"{kind}_interval"] + 1e-9).all(), off.to_series()


@pytest.mark.parametrize("method", ["sobol", "morris", "pawn"])
def test_a_nan_never_makes_every_index_zero(method):
    def holed(u):
        values = u[:, 0] + 0.1 * u[:, 1]
        values[5] = np.nan
        return values

    found = sa.estimate(holed, ["x", "y"], method, count=64)
    name = {"sobol": "total", "morris": "effect", "pawn": "distance"}[method]
    assert found[name].sel(axis="x") > 2 * found[name].sel(axis="y") > 0
    assert found.missing.item() == pytest.approx(1 / 64)
    none = sa.estimate(lambda u: np.full(len(u), np.nan), ["x", "y"], method, count=64)
    assert none[name].isnull().all()
    assert (none.reason.item(), none.missing.item()) == (1, 1.0)
    flat = sa.estimate(lambda u: np.full(len(u), 3.0), ["x", "y"], method, count=64)
    assert flat[name].isnull().all()
    assert flat.reason.item() == 2


# --- Priors and draws ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cell():
    return px.inputs(model="olmoe-1b-7b", gpu="A100-80GB", batch=4, context=4096)


def test_draws_follow_their_priors_and_their_correlation(cell):
    priors = {
        "hit_rate": sa.prior("triangular", 0.5, 0.9, 1.0),
        "software_floor": sa.prior("lognormal", 5e-3, 0.5, high=1.0),
        "host_link_rate": sa.prior("uniform", 0.5, 1.0, factor=True),
        "reuse_strength": sa.prior("empirical", 0.5, 1.0, 4.0),
    }
    pair = ("hit_rate", "host_link_rate")
    data = px.draws(cell, priors, 4096, correlation={pair: 0.8})
    assert float(data.software_floor.median()) == pytest.approx(5e-3, rel=0.01)
    assert float(np.log(data.software_floor).std()) == pytest.approx(0.5, rel=0.02)
    assert float(data.hit_rate.mean()) == pytest.approx(0.8, rel=0.01)
    link = data.host_link_rate / cell.host_link_rate
    assert (float(link.min()), float(link.max())) == pytest.approx((0.5, 1.0), abs=1e-3)
    values, counts = np.unique(data.reuse_strength, return_counts=True)
    assert values.tolist() == [0.5, 1.0, 4.0]
    assert np.ptp(counts) <= 4
    from scipy.stats import spearmanr

    ranked = spearmanr(*(data[n].values for n in pair)).statistic
    pearson = 2 * np.sin(np.pi / 6 * ranked)  # of the normals behind them
    assert pearson == pytest.approx(0.8, abs=0.02)
    assert abs(xr.corr(data.hit_rate, data.software_floor).item()) < 0.05
    xr.testing.assert_identical(data, px.draws(cell, priors, 4096, correlation={pair: 0.8}))


def test_the_priors_of_the_project_have_sources_and_stay_in_bounds(cell):
    for own in sa.known().values():
        assert len(own.source) > 20
    drawn = px.draws(cell, count=64)
    assert px.sweep(drawn, ["step_time"]).step_time.notnull().all()


def test_empirical_priors_are_those_of_the_catalogue():
    models = px.inputs(model=[m for m in grids_measured()])
    for name in ("reuse_strength", "reuse_exponent"):
        assert sorted(models[name].values) == sorted(sa.known([name])[name].numbers)


def grids_measured():
    from prophet_xr import specs

    every = specs.read("model")
    return every.model.values[(every.reuse_strength_status == "measured").values].tolist()


@pytest.mark.parametrize(
    ("name", "own", "message"),
    [
        ("hit_rate", ("uniform", 0.9, 1.1), "prior of hit_rate reaches from 0.9 to 1.1, outside"),
        ("hit_rate", ("lognormal", 0.9, 0.1), "low= and high= cut it off"),
        ("hit_rat", ("uniform", 0.9, 1.0), "prior of 'hit_rat', which is no input"),
        ("step_time", ("uniform", 0.9, 1.0), "which is no input"),
        ("hit_rate", ("uniform", 1.0, 0.9), "expected rising numbers"),
        ("hit_rate", ("lognormal", 0.0, 0.1), "median and spread above 0"),
        ("hit_rate", ("empirical", np.nan), "expected finite values"),
        ("hit_rate", ("normal", 0.9, 0.1), "prior 'normal' is unknown"),
    ],
)
def test_a_prior_that_cannot_be_is_refused(cell, name, own, message):
    with pytest.raises(px.InputError, match=re.escape(message)):
        px.draws(cell, {name: sa.prior(*own)}, 16)


def test_correlations_that_cannot_be_are_refused(cell):
    priors = sa.known(["hit_rate", "dedup_exponent", "copy_latency"])
    pairs = list(itertools.combinations(priors, 2))
    with pytest.raises(px.InputError, match="contradict each other"):
        px.draws(cell, priors, 16, correlation=dict.fromkeys(pairs, -0.9))
    with pytest.raises(px.InputError, match="which has no prior"):
        px.draws(cell, priors, 16, correlation={("hit_rate", "batch"): 0.5})


def test_bands_are_the_quantiles_of_the_draws():
    data = px.inputs("published", model=["mixtral-8x7b"], gpu="A100-80GB", batch=[1, 8])
    drawn = px.draws(data, sa.known(["dedup_exponent", "utilization"]), 256)
    found = sa.bands(drawn, ["kv_extension", "slowdown"], [0.1, 0.5])
    cube = px.sweep(drawn, ["kv_extension", "slowdown", "fits"])
    want = cube.kv_extension.sel(policy="prophet", batch=1).quantile(0.1, "draw")
    got = found.kv_extension_quantile.sel(policy="prophet", batch=1, quantile=0.1)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    np.testing.assert_allclose(
        sa.probability(drawn), cube.fits.mean("draw").transpose(..., "batch")
    )
    share = found.kv_extension_share.sel(policy="prophet")
    np.testing.assert_allclose(
        share, cube.kv_extension.notnull().mean("draw").sel(policy="prophet")
    )
    assert 0 < float(share.min()) < 1


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
    with pytest.raises(px.InputError, match="'model' is no numeric input"):
        sa.elasticities(data, "unique_experts", "model")


# --- Conclusions -----------------------------------------------------------------------------


def test_robustness_by_hand():
    a = xr.DataArray([0.0, 1.0, 4.0], dims="a", coords={"a": [0.0, 1.0, 4.0]})
    b = xr.DataArray([0, 0], dims="b", coords={"b": ["x", "y"]})
    holds = (a < 4) & (b == 0)
    found = sa.robustness(holds, {"a": 0.0, "b": "x"})
    assert found["share"] == pytest.approx(2 / 3)
    assert (found["verdict"], found["hangs_on"]) == ("hangs on an assumption", "a")
    assert found["index"] == pytest.approx(1.0)
    assert found["nearest"] == {"a": 4.0}
    assert sa.robustness(holds, {"a": 0.0, "b": "x"}, {"a": 4.0})["verdict"] == "wrong"
    both = (a >= 1) & (b.b == "y")
    found = sa.robustness(both, {"a": 0.0, "b": "x"})
    assert found["nearest"] == {"a": 1.0, "b": "y"}
    assert not found["at_base"]
    everywhere = sa.robustness(xr.ones_like(holds), {"a": 0.0, "b": "x"})
    assert (everywhere["verdict"], everywhere["nearest"]) == ("robust", {})
    with pytest.raises(px.InputError, match="base=3 is no a of the space"):
        sa.robustness(holds, {"a": 3, "b": "x"})


def test_ranking_is_that_of_scipy():
    from scipy.stats import kendalltau

    scores = xr.DataArray(
        [[3.0, 2.0, 1.0], [1.0, 2.0, 2.0], [np.nan, 1.0, np.nan]],
        dims=["a", "model"],
        coords={"a": [0, 1, 2], "model": list("xyz")},
    )
    found = sa.ranking(scores, "model", {"a": 0})
    want = [kendalltau([3, 2, 1], row).statistic for row in ([3, 2, 1], [1, 2, 2], [0, 1, 0])]
    np.testing.assert_allclose(found.tau, want)
    np.testing.assert_allclose(found["first"], [1 / 3, 1.5 / 3, 0.5 / 3])


def test_a_model_that_never_fits_counts_in_one_average_of_an_expert_count_only(cubes):
    cube = cubes["assumptions"]
    at = {"step": "bare", "routing": "power", "dedup_exponent": 0.932}
    at |= {"activation": 1.0, "utilization": 1.0}
    found, own = by_count(cube).sel(at), cube.sel(at)
    cells = own.kv_extension.isel(model=np.flatnonzero(own.n_experts == 64)).values
    held = cells[~np.isnan(cells)]
    assert 0 < held.size < cells.size
    wanted = [held.sum() / cells.size, held.mean(), np.median(held)]
    np.testing.assert_allclose(found.sel(experts=64), wanted)
    assert found.fillna(-1).idxmax("experts").values.tolist() == [60, 64, 128]


def test_the_headlines_hold_as_the_claims_say(cubes):
    from prophet_xr.uncertainty.survival import judged

    found = judged(cubes).set_index("conclusion")
    assert set(found.verdict) <= set(words.VERDICTS)
    assert found.loc["DeepSeek-MoE-16B extends most"].at_base
    assert found.loc["64 experts is optimal"].at_base
    assert found.loc["64 experts is optimal"].verdict == "hangs on an assumption"
    assert not found.loc["Prophet beats fetching by 40x"].at_base
    for own in conclusions(cubes):
        assert own.holds.dtype.kind in "bf"


def test_the_base_of_the_space_is_the_study(cubes):
    cube = cubes["assumptions"]
    cell = {n: v for n, v in grids.BASE.items() if n in cube.kv_extension.dims}
    base = cube.kv_extension.sel(cell).fillna(0.0)
    published = cubes["published"].kv_extension.sel(policy="prophet").transpose(*base.dims)
    np.testing.assert_allclose(base, published, rtol=1e-12)
    truth = cube.kv_extension.sel({**cell, "step": "bare"})
    verified = cubes["verified"].kv_extension.sel(policy="prophet").transpose(*truth.dims)
    np.testing.assert_allclose(truth, verified, rtol=1e-12)


# --- Break-even ------------------------------------------------------------------------------


def test_the_batch_of_little_savings_follows_the_power_law():
    found = sa.batch_of_little_savings()
    one = found.sel(model="switch-base-128", routing="power", dedup_exponent=0.932)
    assert one.batch.item() == pytest.approx((0.9 * 128) ** (1 / 0.932), rel=0.01)
    assert one.side == 0


def test_the_exponent_of_no_fit_is_where_the_budget_ends():
    found = sa.exponent_of_no_fit()
    at = np.argwhere(found.side.transpose("model", "gpu", "batch").values == 0)[0]
    cell = found.transpose("model", "gpu", "batch").isel(model=at[0], gpu=at[1], batch=at[2])
    edge = cell.dedup_exponent.item()
    data = px.inputs(
        model=cell.model.item(),
        gpu=cell.gpu.item(),
        batch=cell.batch.item(),
        policy="prophet",
        dedup_exponent=[edge - 0.01, edge + 0.01],
    )
    assert px.sweep(data, ["fits"]).fits.values.tolist() == [True, False]
    assert set(np.unique(found.side)) == {0, 1, 2}


def test_the_hit_rate_of_the_target_meets_it():
    found = sa.hit_rate_of_target().sel(model="olmoe-1b-7b", kept=0.9)
    low = found.sel(host_link_rate=24.8e9)
    data = px.inputs(
        model="olmoe-1b-7b",
        gpu="A100-80GB",
        batch=1,
        context=4096,
        policy="prophet",
        routing="zipf",
        staging=0.9 * 56,
        host_link_rate=24.8e9,
        hit_rate=low.hit_rate.item(),
    )
    assert px.sweep(data, ["slowdown"]).slowdown.item() == pytest.approx(1.25, abs=0.02)
    assert (found.side.sel(host_link_rate=10e9), found.side.sel(host_link_rate=800e9)) == (1, 2)
