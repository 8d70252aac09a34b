"""The study's headlines over its assumptions."""

import numpy as np

from prophet_xr.studies.sensitivity.assumptions import BASE
from prophet_xr.studies.sensitivity.headlines import conclusions
from prophet_xr.uncertainty.robustness import DEPENDS, ROBUSTNESS, SOLID


def test_the_headlines_hold_as_the_claims_say(results):
    found = results["judged"].set_index("conclusion")
    assert set(found.verdict) <= set(ROBUSTNESS)
    assert found.loc["DeepSeek-MoE-16B extends most"].at_base
    assert found.loc["64 experts is optimal"].at_base
    assert found.loc["64 experts is optimal"].verdict == DEPENDS
    assert found.loc["64 experts free 87.5% or more at batch 1"].verdict == SOLID
    assert found.loc["8 to 16 experts free nothing from batch 8 on"].depends_on == "routing"
    assert not found.loc["Small models extend 1.5 to 2.2x"].at_base
    assert not found.loc["Prophet beats fetching by 40x"].at_base
    for own in conclusions(results["assumptions"], results["costs"]):
        assert own.holds.dtype.kind in "bf"


def test_the_base_of_the_space_is_the_study(results, published, verified):
    cube = results["assumptions"]
    cell = {n: v for n, v in BASE.items() if n in cube.kv_extension.dims}
    base = cube.kv_extension.sel(cell).fillna(0.0)
    stated = published.kv_extension.sel(policy="prophet").transpose(*base.dims)
    np.testing.assert_allclose(base, stated, rtol=1e-12)
    truth = cube.kv_extension.sel({**cell, "step": "bare"})
    known = verified.kv_extension.sel(policy="prophet").transpose(*truth.dims)
    np.testing.assert_allclose(truth, known, rtol=1e-12)
