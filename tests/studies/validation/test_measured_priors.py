"""Empirical priors are what was measured."""

import numpy as np

from prophet_xr import sensitivity as sa
from prophet_xr.catalogue import specs
from prophet_xr.studies.validation import engine_logs


def test_empirical_priors_are_what_was_measured(fetched):
    every, priors = specs.read("model"), sa.known()
    measured = every.isel(model=(every.reuse_strength_status == "measured").values)
    logged = engine_logs.memory_rows()
    want = {
        "reuse_strength": measured.reuse_strength.values,
        "reuse_exponent": measured.reuse_exponent.values,
        "expert_parameters": (1 / logged.weights_ratio.dropna()).round(4),
        "kv_full": engine_logs.pools().ratio.dropna().round(4),
        "host_link_rate": fetched.ratio[fetched.kind == "bulk"].round(4),
    }
    assert set(want) == {name for name, own in priors.items() if own.kind == "empirical"}
    for name, values in want.items():
        np.testing.assert_allclose(sorted(values), priors[name].numbers, err_msg=name)
