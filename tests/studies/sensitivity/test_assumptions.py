"""Indices of the study's priors, exact and sampled, agree."""

import numpy as np
import pytest

from prophet_xr import sensitivity as sa
from prophet_xr.catalogue import specs
from prophet_xr.studies.sensitivity.assumptions import (
    ASKED,
    LOCALITY,
    locality,
    prior_cell,
    priors_of,
)


@pytest.mark.parametrize("metric", ASKED)
def test_grid_and_sampling_agree_for_every_continuous_input(metric):
    priors = priors_of(metric)
    exact = sa.on_grid(prior_cell(metric), metric, priors, second_order=False)
    found = sa.sampled(prior_cell(metric), metric, priors, count=4096)
    assert exact.axis.values.tolist() == found.axis.values.tolist() == list(priors)
    for kind in ("first_order", "total"):
        off = abs(found[kind] - exact[kind])
        assert (off <= found[f"{kind}_interval"] + 1e-9).all(), off.to_series()


def test_every_continuous_axis_and_every_prior_is_compared():
    compared = {name for metric in ASKED for name in priors_of(metric)}
    assert compared >= {"batch", "context", "hit_rate", "dedup_exponent", *sa.known()}


def test_the_locality_of_models_has_the_correlation_of_its_ranks():
    every = specs.read("model")
    measured = every.isel(model=(every.reuse_strength_status == "measured").values)
    ranks = [
        [int((v < values).sum()) for v in values]
        for values in (measured[name].values for name in LOCALITY)
    ]
    count = len(ranks[0])
    steps = sum((one - other) ** 2 for one, other in zip(*ranks, strict=True))
    spearman = 1 - 6 * steps / (count * (count**2 - 1))
    assert locality() == pytest.approx(2 * np.sin(np.pi / 6 * spearman), rel=1e-12)
