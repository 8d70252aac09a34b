"""Capacity: the highest rate within an objective, or the reason why there is none."""

import numpy as np
import pytest
from servers import SERVER, admitted_requests, load_of, server_tables

import prophet_xr as px
from prophet_xr import serving
from prophet_xr.serving.capacity import Objective, _meets


def test_capacity_is_the_edge_of_what_a_server_keeps():
    policies = ["baseline", "prophet"]
    inputs = px.inputs(**SERVER, policy=policies)
    load = serving.preset("azure-conv", 1000, seed=3)
    edge = px.capacity(inputs, load, ttft=2.0, tpot=0.05, quantile=0.9, tolerance=0.02).squeeze()
    assert (edge.outcome == 0).all()
    assert (edge.capacity > 0.5).all()
    np.testing.assert_allclose(edge.capacity, edge.scale * serving.rate(load))
    objective = {"quantiles": [0.9], "ttft": 2.0, "tpot": 0.05}
    for policy in policies:
        scale = edge.scale.sel(policy=policy).item()
        for factor, is_met in ((0.999, True), (1.03, False)):
            run = px.simulate(inputs, serving.faster(load, scale * factor), **objective)
            times = run.sel(policy=policy).squeeze()
            assert (times.ttft <= 2.0 and times.tpot <= 0.05) == is_met


def test_what_is_given_at_the_rate_is_that_of_a_run():
    inputs = px.inputs(**SERVER, policy=["prophet"])
    load = serving.preset("azure-conv", 300, seed=3)
    edge = px.capacity(inputs, load, tpot=0.05, tolerance=0.1).squeeze()
    run = px.simulate(inputs, serving.faster(load, edge.scale.item())).squeeze()
    for name in ("throughput", "batch_mean", "preemptions"):
        assert edge[name].item() == pytest.approx(run[name].item(), rel=1e-9)


def test_a_rejected_request_counts_as_slow():
    """Of ten requests one is rejected and one slow; those of one token have no time per token."""
    tables = server_tables(step=1.0)._replace(context_limit=100)
    output = [1, 1, 1, 1, 1, 1, 1, 1, 2, 200]
    requests = admitted_requests(tables, np.arange(10) * 5.0, np.ones(10), output)
    for quantile, is_met in ((0.8, True), (0.9, False)):
        assert _meets(tables, requests, Objective(9.0, 0.5, quantile), 1.0) == is_met
    assert _meets(tables, requests, Objective(9.0, 1.5, 0.9), 1.0)


def test_an_objective_that_cannot_be_met_has_a_reason():
    inputs = px.inputs(**SERVER, policy=["baseline"])
    load = load_of([0.0, 1.0, 2.0], [100, 100, 100], [10, 10, 10])
    for objective, reason, value in (
        ({"ttft": 1e-6}, "met_at_no_rate", 0.0),
        ({"ttft": 1e6, "tpot": 1e6}, "met_at_every_rate", np.nan),
    ):
        nothing = px.capacity(inputs, load, **objective).squeeze()
        reasons = nothing.outcome.attrs["flag_meanings"].split()
        assert reasons[int(nothing.outcome)] == reason
        np.testing.assert_equal(float(nothing.capacity), value)
    too_long = load_of([0.0, 1.0], [100, 10**6], [10, 10])
    outcome = px.capacity(inputs, too_long).outcome.squeeze()
    assert reasons[int(outcome)] == "too_many_turned_away"
    with pytest.raises(px.InputError, match="arrive at once"):
        px.capacity(inputs, load_of([0.0, 0.0], [1, 1], [1, 1]))


@pytest.mark.parametrize("tolerance", [0, 1.5, float("nan")])
def test_a_tolerance_that_no_search_reaches_is_refused(tolerance):
    inputs = px.inputs(**SERVER, policy=["baseline"])
    with pytest.raises(px.InputError, match="expected a number from 1e-06 to 1"):
        px.capacity(inputs, load_of([0.0, 1.0], [1, 1], [1, 1]), tolerance=tolerance)
