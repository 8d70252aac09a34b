"""Fits of the laws find what made the points, and are what the catalogue holds."""

import math

import numpy as np
import pytest

from prophet_xr.catalogue import specs
from prophet_xr.studies.validation import law_fits, measured, routing

TRUE = {"skew": 0.4, "gamma": 0.7}


def test_the_catalogue_holds_what_the_fit_gives():
    fitted, held = routing.fitted(), measured.catalogued()
    assert set(held) == set(fitted) - {"gpt-oss-120b"}  # measured, and no model of the catalogue
    for label, row in held.items():
        for name, value in row.items():
            assert value == pytest.approx(fitted[label][name], rel=3e-4, abs=6e-5), (label, name)


def test_a_model_nobody_measured_takes_the_median_and_says_so():
    models = specs.read("model")
    status = models.reuse_strength_status.values
    assumed = models.isel(model=status == "assumed")
    assert (assumed.skew == 0).all()
    assert (assumed.gamma == 1).all()
    fitted = routing.fitted().values()
    for name in ("reuse_strength", "reuse_exponent"):
        middle = np.median([row[name] for row in fitted])
        np.testing.assert_allclose(assumed[name], middle, rtol=3e-4)


def curve(gamma: float, tokens: tuple[int, ...] = (2, 8, 32)) -> list[tuple[float, float]]:
    """Distinct experts of consecutive tokens under the true law."""
    return [(t, law_fits.distinct_experts(64, 8, TRUE["skew"], t**gamma)) for t in tokens]


def hit_rates(strength: float, exponent: float, shares: tuple[float, ...]) -> list:
    return [(x, 1 - (1 - x) * math.exp(-strength * x**exponent)) for x in shares]


def test_the_fits_find_what_made_the_points():
    pair = law_fits.distinct_experts(64, 8, TRUE["skew"], 2.0)
    assert law_fits.skew(64, 8, pair) == pytest.approx(TRUE["skew"], abs=1e-12)
    assert law_fits.fit_gamma(64, 8, TRUE["skew"], curve(TRUE["gamma"])) == pytest.approx(
        0.7, abs=1e-7
    )
    for law in ((2.0, 0.7), (0.4, 0.6), (6.0, 1.3)):
        assert law_fits.fit_reuse(hit_rates(*law, (0.125, 0.25, 0.375))) == pytest.approx(
            law, rel=1e-6
        )
        assert law_fits.fit_reuse(hit_rates(*law, (0.25, 0.5))) == pytest.approx(law, rel=1e-6)


def test_the_skew_of_a_pair_is_a_root_of_the_law_of_two_draws():
    """Two draws touch sum of 1 - (1 - p)**2; here of 4 experts, p = l i**-s with sum 1."""
    skew = law_fits.skew(4, 1, 1.6)
    shares = np.arange(1, 5.0) ** -skew
    shares /= shares.sum()
    assert (1 - (1 - shares) ** 2).sum() == pytest.approx(1.6, abs=1e-12)


def test_the_skew_ends_where_the_search_does():
    chance = 64 * (1 - (1 - 8 / 64) ** 2)
    assert law_fits.skew(64, 8, chance) == 0.0
    assert law_fits.skew(64, 8, chance + 1) == 0.0
    assert law_fits.skew(64, 8, chance - 1e-6) > 0.0
    assert law_fits.skew(64, 8, 8.0) == 3.0
    assert law_fits.skew(64, 8, law_fits.distinct_experts(64, 8, 2.9, 2.0)) == pytest.approx(
        2.9, abs=1e-9
    )


def test_gamma_stays_between_its_bounds_and_weighs_errors_by_size():
    skew = TRUE["skew"]
    assert law_fits.fit_gamma(64, 8, skew, curve(1.4)) == pytest.approx(1.0, abs=1e-6)
    assert law_fits.fit_gamma(64, 8, skew, curve(0.1)) == pytest.approx(0.2, abs=1e-6)
    mixed = curve(0.6, (4,)) + curve(0.8, (32,))
    grid = np.linspace(0.2, 1.0, 8001)
    loss = [
        sum((law_fits.distinct_experts(64, 8, skew, w**g) / d - 1) ** 2 for w, d in mixed)
        for g in grid
    ]
    assert law_fits.fit_gamma(64, 8, skew, mixed) == pytest.approx(grid[np.argmin(loss)], abs=1e-4)


def test_reuse_is_the_least_squares_of_hit_rates():
    """Points of no law: around the fit the squares of the misses rise in every direction."""
    points = [(0.1, 0.35), (0.25, 0.5), (0.5, 0.85), (0.75, 0.9)]

    def loss(strength: float, exponent: float) -> float:
        pairs = zip(hit_rates(strength, exponent, tuple(x for x, _ in points)), points, strict=True)
        return sum((law[1] - seen[1]) ** 2 for law, seen in pairs)

    strength, exponent = law_fits.fit_reuse(points)
    for step in (1e-4, -1e-4):
        assert loss(strength + step, exponent) > loss(strength, exponent)
        assert loss(strength, exponent + step) > loss(strength, exponent)
