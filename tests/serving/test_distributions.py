"""Distributions: every family against its closed form, and one home for loads and priors."""

import math
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest

from prophet_xr import sensitivity as sa
from prophet_xr.serving import distributions, loads

SHARES = np.array([0.01, 0.2, 0.5, 0.75, 0.999])
NORMAL = np.vectorize(NormalDist().inv_cdf)


def triangle(shares: np.ndarray, low: float, mode: float, high: float) -> np.ndarray:
    """Inverse of the two parabolas that meet at the mode."""
    width, left = high - low, mode - low
    rising = low + np.sqrt(shares * width * left)
    falling = high - np.sqrt((1 - shares) * width * (high - mode))
    return np.where(shares < left / width, rising, falling)


CLOSED = {  # family, numbers, and the values at SHARES by an equation of its own
    "uniform": ((2.0, 5.0), 2 + 3 * SHARES),
    "triangular": ((1.0, 2.0, 5.0), triangle(SHARES, 1.0, 2.0, 5.0)),
    "lognormal": ((20.0, 0.7), 20 * np.exp(0.7 * NORMAL(SHARES))),
    # One degree of freedom: the square of a normal, of mean 1 and variance 2.
    "gamma": ((math.sqrt(2),), NORMAL((1 + SHARES) / 2) ** 2),
}


@pytest.mark.parametrize("kind", distributions.DISTRIBUTIONS)
def test_every_family_has_its_closed_form(kind):
    numbers, values = CLOSED[kind]
    family = distributions.distribution(kind, *numbers)
    np.testing.assert_allclose(family.ppf(SHARES), values, rtol=1e-9)
    np.testing.assert_allclose(family.cdf(values), SHARES, rtol=1e-9)


def test_a_gamma_of_two_steps_is_that_of_erlang():
    gaps = distributions.gamma(math.sqrt(0.5))(SHARES)
    steps = gaps / 0.5
    np.testing.assert_allclose(1 - np.exp(-steps) * (1 + steps), SHARES, rtol=1e-12)


def test_exponential_gaps_are_those_of_numpy_to_the_last_bit():
    shares = np.random.default_rng(0).random(10_000)
    gaps = distributions.gamma(1)(shares)
    assert gaps.tobytes() == (-np.log1p(-shares)).tobytes()
    np.testing.assert_allclose(1 - np.exp(-gaps), shares, rtol=1e-12, atol=1e-15)


def test_a_lognormal_without_spread_is_its_median():
    values = distributions.lognormal(30.0, 0.0)(np.array([0.0, 0.4, 1.0]))
    assert values.tolist() == [30.0, 30.0, 30.0]
    assert distributions.fixed(7)(np.zeros((2, 3))).tolist() == [[7.0] * 3] * 2


def test_values_that_were_seen_divide_the_shares_into_equal_parts():
    draw = distributions.empirical([5.0, 1.0, 2.0, 2.0])
    shares = np.array([0.0, 0.2499, 0.25, 0.5, 0.7499, 0.75, 1.0])
    assert draw(shares).tolist() == [1, 1, 2, 2, 2, 5, 5]


def test_quantiles_are_linear_between_levels_and_flat_where_they_are_equal():
    draw = distributions.quantiles([0, 0.5, 0.9, 1], [10, 20, 20, 40])
    np.testing.assert_allclose(
        draw(np.array([0, 0.25, 0.5, 0.7, 0.95, 1])), [10, 15, 20, 20, 30, 40]
    )
    mean = distributions.mean([0, 0.5, 0.9, 1], [10, 20, 20, 40])
    assert mean == pytest.approx(0.5 * 15 + 0.4 * 20 + 0.1 * 30)


def test_loads_and_priors_draw_alike():
    shares = np.random.default_rng(0).random(1000)
    load, prior = distributions.lognormal(300.0, 0.8), sa.prior("lognormal", 300.0, 0.8)
    assert load(shares).tobytes() == prior.quantile(shares).tobytes()
    seen = sa.prior("empirical", 5.0, 1.0, 2.0)
    assert seen.quantile(shares).tobytes() == distributions.empirical([5, 1, 2])(shares).tobytes()


@pytest.mark.parametrize("kind", ["uniform", "triangular", "lognormal", "empirical"])
def test_the_cut_of_a_prior_is_a_law_given_the_cut(kind):
    numbers = {"empirical": (1.0, 2.0, 3.0, 4.0)}.get(kind) or CLOSED[kind][0]
    low, high = {"lognormal": (10.0, 50.0), "empirical": (2.0, 3.0)}.get(kind, (2.0, 4.5))
    whole, cut = sa.prior(kind, *numbers), sa.prior(kind, *numbers, low=low, high=high)
    drawn = whole.quantile((np.arange(200_000) + 0.5) / 200_000)
    inside = drawn[(drawn >= low) & (drawn <= high)]
    shares = 0.99 * SHARES  # none between two values that were seen
    assert cut.quantile(shares) == pytest.approx(np.quantile(inside, shares), rel=1e-3)
    below, above = cut.inside
    assert (below, above) == pytest.approx(((drawn < low).mean(), (drawn <= high).mean()), abs=1e-4)


def test_the_ends_of_a_prior_are_its_own_or_those_of_the_cut():
    assert sa.prior("uniform", 0.1, 0.7).support == (0.1, 0.7)
    assert sa.prior("triangular", 1, 2, 5, high=4).support == (1, 4)
    assert sa.prior("lognormal", 1, 0.5, low=0.5).support == (0.5, math.inf)
    assert sa.prior("lognormal", 1, 0.5, high=2.0).support == (0, 2.0)


def test_nodes_are_the_middles_of_equal_parts():
    values, weights = sa.prior("uniform", 0.0, 4.0).nodes(4)
    np.testing.assert_allclose(values, [0.5, 1.5, 2.5, 3.5])
    assert weights.tolist() == [1, 1, 1, 1]


def test_poisson_arrivals_of_constant_lengths_need_no_scipy():
    lines = (
        "import sys",
        "from prophet_xr.serving import distributions, loads",
        "prompt = distributions.quantiles([0, 1], [1, 9])",
        "loads.synthetic(3, 1.0, prompt=prompt, output=1)",
        "assert 'scipy.stats' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_a_seed_makes_the_same_load_for_ever():
    """One stream per column: shares of the seed and the column, through the quantiles."""
    prompt = distributions.quantiles([0, 1], [10, 100])
    load = loads.synthetic(4, 2.0, prompt=prompt, output=3, seed=5)
    gaps, lengths = (np.random.default_rng([5, n]).random(4) for n in (0, 1))
    np.testing.assert_array_equal(load.arrival, np.r_[0, np.cumsum(-np.log1p(-gaps)[:-1] / 2)])
    np.testing.assert_array_equal(load.prompt, np.rint(10 + 90 * lengths))
