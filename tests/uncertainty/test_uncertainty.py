"""Priors, draws, bands and conclusions do what they say."""

import itertools
import re

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr import sensitivity as sa
from prophet_xr.uncertainty import robustness

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
    assert found.verdict == robustness.DEPENDS
    assert found.total.values.tolist() == pytest.approx([1, 0])
    assert found.nearest.values.tolist() == ["4.0", ""]
    assert sa.robustness(holds, base, {"a": 4.0}).verdict == robustness.WRONG
    assert sa.robustness(holds, base, {"a": 1.0}).verdict == robustness.TRUE_PART
    found = sa.robustness((a >= 1) & (b.b == "y"), base)
    assert found.nearest.values.tolist() == ["1.0", "y"]
    assert not found.at_base
    everywhere = sa.robustness(xr.ones_like(holds), base)
    assert everywhere.verdict == robustness.SOLID
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
        ([1.0, 2.0], {"a": 0}, None, "values other than 0 and 1"),
        ([np.nan, np.nan], {"a": 0}, None, "no cell of the space has an answer"),
        (["x", "y"], {"a": 0}, None, "expected numbers or flags"),
    ],
)
def test_what_is_no_conclusion_is_refused(holds, base, truth, message):
    space = xr.DataArray(holds, {"a": [0, 1]}, "a")
    with pytest.raises(px.InputError, match=re.escape(message)):
        sa.robustness(space, base, truth)


def test_tau_by_hand():
    scores = xr.DataArray(
        [[3, 2, 1], [3, 1, 2], [1, 1, 1], [2, 1, 1], [np.nan, 1, 2]],
        dims=["a", "model"],
        coords={"a": range(5), "model": list("xyz")},
    )
    tau = sa.ranking(scores, "model", {"a": 0}).tau
    # Pairs in order less pairs against it, over the root of the untied pairs on each side.
    np.testing.assert_allclose(tau, [1, 1 / 3, np.nan, 2 / np.sqrt(3 * 2), -1], rtol=1e-15)
    two = sa.ranking(scores.isel(model=[0, 1]), "model", {"a": 0}).tau
    np.testing.assert_array_equal(two, [1, 1, np.nan, 1, -1])
    one = sa.ranking(scores.isel(model=[0]), "model", {"a": 0})
    assert one.tau.isnull().all()
    assert (one["first"] == 1).all()


def test_a_ranking_counts_what_has_no_number_last():
    scores = xr.DataArray(
        [[3.0, 2.0, 1.0], [1.0, 2.0, 2.0], [np.nan, 1.0, np.nan]],
        dims=["a", "model"],
        coords={"a": [0, 1, 2], "model": list("xyz")},
    )
    found = sa.ranking(scores, "model", {"a": 0})
    # Ranks 3 2 1, 1 2 2 and 0 1 0, by hand as in test_tau_by_hand.
    np.testing.assert_allclose(found.tau, [1.0, -2 / np.sqrt(3 * 2), 0.0], atol=1e-15)
    np.testing.assert_allclose(found["first"], [1 / 3, 1.5 / 3, 0.5 / 3])
    for of, base, message in (("b", {"a": 0}, "'b' is no dim"), ("model", {}, "base lacks 'a'")):
        with pytest.raises(px.InputError, match=message):
            sa.ranking(scores, of, base)
