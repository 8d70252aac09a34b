"""Servers to compare, and the loads that they serve."""

import numpy as np
import pytest

from prophet_xr.errors import InputError
from prophet_xr.serving.loads import load
from prophet_xr.serving.preset_loads import preset
from prophet_xr.studies.serving_load import sweeps


def test_servers_have_the_defaults_of_their_card():
    data = sweeps.server(gpu=["A100-80GB", "H100-80GB", "L40S"], model="olmoe-1b-7b")
    assert data.max_sequences.values.tolist() == [256, 1024, 256]
    assert data.max_batched_tokens.values.tolist() == [2048, 8192, 2048]
    assert data.policy.values.tolist() == ["baseline", "prophet", "lru"]
    assert data.cache_slots.values.tolist() == [32]
    assert sweeps.server(policy="lru", max_sequences=8).max_sequences.item() == 8


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"plan": ["tp1", "tp2"]}, "inputs vary along plan; expected one plan"),
        ({"batch": 4}, "batch is what the load makes of it"),
        ({"model": "nope"}, "model='nope' is not in the catalogue"),
    ],
)
def test_servers_that_cannot_be_compared_are_refused(chosen, message):
    with pytest.raises(InputError, match=message):
        sweeps.server(**chosen)


def test_loads_at_several_rates_are_the_same_requests():
    drawn = sweeps.drawn("azure-conv", [1.0, 4.0], [0, 1], 50)
    assert drawn.arrival.dims == ("rate", "seed", "request")
    assert drawn.prompt.dims == ("seed", "request")
    same = preset("azure-conv", 50, rate=4.0, seed=1)
    np.testing.assert_allclose(drawn.arrival.sel(rate=4, seed=1), same.arrival)
    again = sweeps.replayed(load([0.0, 2.0, 4.0], [5, 6, 7], [1, 1, 1], file="x.csv"), [])
    assert again.rate.values.tolist() == [0.5]
    assert again.arrival.values.tolist() == [[0, 2, 4]]
    faster = sweeps.replayed(load([0.0, 2.0, 4.0], [5, 6, 7], [1, 1, 1], file="x.csv"), [1.0])
    assert faster.arrival.values.tolist() == [[0, 1, 2]]
