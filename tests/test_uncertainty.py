"""Priors, draws, bands, conclusions and break-even maps do what they say."""

import itertools
import re

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr import sensitivity as sa
from prophet_xr import specs
from prophet_xr.uncertainty import grids, words
from prophet_xr.uncertainty.survival import conclusions, judged
from prophet_xr.validation import engines, offload

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


def test_draws_of_a_count_are_whole_unless_they_are_meant_to_be_continuous(cell):
    whole = px.draws(cell, {"batch": sa.prior("empirical", 1, 2, 8)}, 16)
    assert set(whole.batch.values) == {1, 2, 8}
    px.sweep(whole, ["step_time"])
    for own in (
        sa.prior("uniform", 1, 16),
        sa.prior("empirical", 1, 2.5),
        sa.prior("empirical", 1, 2, factor=True),
    ):
        with pytest.raises(px.InputError, match="batch is counted; expected an empirical one of"):
            px.draws(cell, {"batch": own}, 16)
    smooth = px.draws(cell, {"batch": sa.prior("uniform", 1, 16, continuous=True)}, 16)
    assert (smooth.batch % 1 > 0).any()
    assert np.unique(px.sweep(smooth, ["step_time"]).step_time).size > 15


def test_empirical_priors_are_what_was_measured():
    every, priors = specs.read("model"), sa.known()
    measured = every.isel(model=(every.reuse_strength_status == "measured").values)
    logged, fetched = engines.memory(), offload.fetched()
    want = {
        "reuse_strength": measured.reuse_strength.values,
        "reuse_exponent": measured.reuse_exponent.values,
        "expert_parameters": (1 / logged.weights_ratio.dropna()).round(4),
        "kv_full": engines.pools().ratio.dropna().round(4),
        "host_link_rate": fetched.ratio[fetched.kind == "bulk"].round(4),
    }
    assert set(want) == {name for name, own in priors.items() if own.kind == "empirical"}
    for name, values in want.items():
        np.testing.assert_allclose(sorted(values), priors[name].numbers, err_msg=name)


def test_the_cut_of_a_prior_keeps_what_is_inside():
    cut = sa.prior("lognormal", 1.0, 0.5, low=0.8, high=2.0)
    ends = cut.quantile(np.array([0.0, 0.5, 1.0]))
    assert ends[[0, 2]] == pytest.approx([0.8, 2.0])
    inside = np.exp(0.5 * np.random.default_rng(0).standard_normal(100_000))
    inside = inside[(inside > 0.8) & (inside < 2.0)]
    assert ends[1] == pytest.approx(np.median(inside), rel=0.01)
    seen = sa.prior("empirical", 0.5, 0.9, 0.99, 0.99, low=0.8)
    assert seen.support == (0.9, 0.99)
    values, weights = seen.nodes(5)
    assert (values.tolist(), weights.tolist()) == ([0.9, 0.99], [1, 2])


def test_an_array_with_draws_has_bands():
    drawn = px.draws(px.inputs(model="mixtral-8x7b", gpu="A100-80GB", batch=[1, 2]), count=64)
    asked = sa.bands(drawn, "slowdown", [0.1, 0.9])
    cube = px.sweep(drawn, ["slowdown"]).slowdown
    own = sa.bands(cube, quantiles=[0.1, 0.9])
    for name in own.data_vars:
        np.testing.assert_allclose(own[name].transpose(*asked[name].dims), asked[name], rtol=1e-12)
    holed = sa.bands(cube.where(False))
    assert holed.slowdown_mean.isnull().all()
    assert (holed.slowdown_share == 0).all()


@pytest.mark.parametrize(
    ("name", "own", "message"),
    [
        ("hit_rate", ("uniform", 0.9, 1.1), "prior of hit_rate reaches from 0.9 to 1.1, outside"),
        ("hit_rate", ("lognormal", 0.9, 0.1), "low= and high= cut it off"),
        ("hit_rat", ("uniform", 0.9, 1.0), "prior of 'hit_rat', which is no numeric input"),
        ("step_time", ("uniform", 0.9, 1.0), "which is no numeric input"),
        ("model", ("uniform", 0.9, 1.0), "prior of 'model', which is no numeric input"),
        ("hit_rate", ("uniform", 1.0, 0.9), "expected two rising numbers"),
        ("hit_rate", ("uniform", "a", "b"), "expected a list of finite numbers"),
        ("hit_rate", ("lognormal", 0.0, 0.1), "a median and a spread above 0"),
        ("hit_rate", ("empirical", np.nan), "expected a list of finite numbers"),
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
    for wrong, message in (
        ({("hit_rate", "batch"): 0.5}, "'batch' has no prior"),
        ({("hit_rate", "hit_rate"): 0.5}, "expected a pair of two inputs"),
        ({"hit_rate": 0.5}, "expected a pair of two inputs"),
        ({pairs[0]: 1.5}, "expected a number between -1 and 1"),
        ({pairs[0]: "high"}, "expected a number between -1 and 1"),
    ):
        with pytest.raises(px.InputError, match=re.escape(message)):
            px.draws(cell, priors, 16, correlation=wrong)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cell: px.draws(cell, {}), "priors={} is empty"),
        (lambda cell: px.draws(cell, {"hit_rate": 0.9}), "expected what `prior` makes"),
        (lambda cell: px.draws(cell, ["hit_rate"]), "expected a mapping"),
        (lambda cell: px.draws(cell, count=0), "count=0; expected a whole number, at least 1"),
        (lambda cell: px.draws(cell, count=10.5), "count=10.5; expected a whole number"),
        (lambda cell: px.draws(cell, count=10**13), "GB of memory is free"),
        (lambda cell: px.draws(cell, seed=-1), "seed=-1; expected a whole number, at least 0"),
        (lambda cell: px.draws(px.draws(cell, count=4), count=4), "have 4 draws already"),
        (lambda cell: sa.bands(cell, "step_time"), "there is no dimension 'draw'"),
        (lambda cell: sa.bands(px.draws(cell, count=4)), "metrics are missing"),
        (lambda cell: sa.probability(px.draws(cell, count=4), "slowdown"), "is no flag"),
        (lambda cell: sa.prior("uniform", 0, 1, low=2, high=1), "expected low < high"),
        (lambda cell: sa.prior("uniform", 0, 1, low=2), "has nothing between 2 and inf"),
        (lambda cell: sa.prior("lognormal", 1, 0.1, low=9), "has nothing between 9 and inf"),
        (lambda cell: sa.known("batch"), "'batch' has no prior"),
        (lambda cell: sa.on_grid(cell, "slowdown", count=1), "count=1; expected a whole number"),
        (lambda cell: sa.sampled(cell, "slowdown", method="mcmc"), "method='mcmc' is unknown"),
        (lambda cell: sa.sampled(cell, "slowdown", confidence=2), "confidence=2; expected a"),
        (lambda cell: sa.estimate(len, ["x", "x"]), "inputs holds 'x' twice"),
        (lambda cell: sa.estimate(lambda u: u[:3, 0], ["x", "y"]), "3 values of 4096 points"),
        (lambda cell: sa.one_at_a_time(cell, "slowdown", {"hit_rate": 0.9}), "expected a list"),
        (lambda cell: sa.one_at_a_time(cell, "slowdown", {"model": [1]}), "is no numeric input"),
        (lambda cell: sa.elasticities(cell, "slowdown", "hit_rate", step=0), "step=0; expected"),
        (lambda cell: sa.sobol_sweep(cell, ["slowdown"]), "metric=['slowdown']; expected text"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(cell, call, message):
    with pytest.raises(px.InputError, match=re.escape(message)) as caught:
        call(cell)
    assert "\n" not in str(caught.value)


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


# --- Conclusions -----------------------------------------------------------------------------


def test_robustness_by_hand():
    a = xr.DataArray([0.0, 1.0, 4.0], dims="a", coords={"a": [0.0, 1.0, 4.0]})
    b = xr.DataArray([0, 0], dims="b", coords={"b": ["x", "y"]})
    holds, base = (a < 4) & (b == 0), {"a": 0.0, "b": "x"}
    found = sa.robustness(holds, base)
    assert found.share == pytest.approx(2 / 3)
    assert found.share_by_a.values.tolist() == [1, 1, 0]
    assert found.verdict == words.HANGS
    assert found.total.values.tolist() == pytest.approx([1, 0])
    assert found.nearest.values.tolist() == ["4.0", ""]
    assert sa.robustness(holds, base, {"a": 4.0}).verdict == words.WRONG
    assert sa.robustness(holds, base, {"a": 1.0}).verdict == words.IN_TRUTH
    found = sa.robustness((a >= 1) & (b.b == "y"), base)
    assert found.nearest.values.tolist() == ["1.0", "y"]
    assert not found.at_base
    everywhere = sa.robustness(xr.ones_like(holds), base)
    assert everywhere.verdict == words.SOLID
    assert everywhere.nearest.values.tolist() == ["", ""]
    assert everywhere.total.isnull().all()
    single = sa.robustness(holds.isel(b=[0]), base)
    assert single.total.values.tolist() == pytest.approx([1, 0])
    part = sa.robustness(holds.astype(float).where(a > 0), base)
    assert part.share == pytest.approx(1 / 2)
    assert part.missing == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("holds", "base", "truth", "message"),
    [
        ([1.0, 0.0], {"a": 3}, None, "base: a=3 is not in the space"),
        ([1.0, 0.0], {}, None, "base lacks 'a'"),
        ([1.0, 0.0], {"a": 0, "c": 1}, None, "base names 'c', no dimension"),
        ([1.0, 0.0], {"a": 0}, {"a": 7}, "truth: a=7 is not in the space"),
        ([1.0, 2.0], {"a": 0}, None, "values beside 0 and 1"),
        ([np.nan, np.nan], {"a": 0}, None, "no cell of the space has an answer"),
        (["x", "y"], {"a": 0}, None, "expected numbers or flags"),
    ],
)
def test_what_is_no_conclusion_is_refused(holds, base, truth, message):
    space = xr.DataArray(holds, {"a": [0, 1]}, "a")
    with pytest.raises(px.InputError, match=re.escape(message)):
        sa.robustness(space, base, truth)


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
    for of, base, message in (("b", {"a": 0}, "'b' is no dim"), ("model", {}, "base lacks 'a'")):
        with pytest.raises(px.InputError, match=message):
            sa.ranking(scores, of, base)


def test_the_headlines_hold_as_the_claims_say(cubes):
    found = judged(cubes).set_index("conclusion")
    assert set(found.verdict) <= set(words.VERDICTS)
    assert found.loc["DeepSeek-MoE-16B extends most"].at_base
    assert found.loc["64 experts is optimal"].at_base
    assert found.loc["64 experts is optimal"].verdict == words.HANGS
    assert found.loc["64 experts free 87.5% or more at batch 1"].verdict == words.SOLID
    assert found.loc["8 to 16 experts free nothing from batch 8 on"].hangs_on == "routing"
    assert not found.loc["Small models extend 1.5 to 2.2x"].at_base
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
    assert one.side == words.CROSSES
    own = sa.batch_of_little_savings(0.5, model="mixtral-8x7b", routing="power", dedup_exponent=1.0)
    assert own.batch.item() == pytest.approx(2, rel=0.01)


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
    assert found.side.sel(host_link_rate=10e9) == words.ABOVE
    assert found.side.sel(host_link_rate=800e9) == words.BELOW
