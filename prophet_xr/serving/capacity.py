"""The highest rate of requests at which a server meets its objective.

In come inputs, a load and an objective (time to the first token, time per output token, and the
share of requests that must meet them); out goes that rate for every server and load, or why there
is none.

Each trial serves the same requests, arriving faster or slower.  The search halves the rate from far
above until the objective is met, since it may be broken again at low rates; then it bisects between
the last two trials, on a scale of ratios, until they differ by the tolerance.
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from prophet_xr import registry
from prophet_xr.catalogue.provenance import provenance
from prophet_xr.checks import number
from prophet_xr.errors import InputError
from prophet_xr.serving.scheduler import serve
from prophet_xr.serving.server_tables import ServerTables
from prophet_xr.serving.simulate import labelled, latencies, objectives, serve_each
from prophet_xr.serving.state import Requests

DOUBLINGS = 20  # of the load's own rate, either way
OUTCOMES = ("found", "met_at_no_rate", "met_at_every_rate", "too_many_turned_away")
FOUND, AT_NO_RATE, AT_EVERY_RATE, TOO_MANY_REJECTED = range(4)
_OUTPUTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "capacity": ((), "1 / s", "Highest rate of requests that meets the objectives"),
    "scale": ((), "1", "That rate over the load's own"),
    "throughput": ((), "1 / s", "Output tokens per second at that rate"),
    "batch_mean": ((), "1", "Mean batch over busy time at that rate"),
    "preemptions": ((), "1", "Times that a sequence lost its KV cache at that rate"),
    "outcome": ((), "1", "Whether there is such a rate"),
}


class Objective(NamedTuple):
    """Time to the first token and per output token [s], and the share of requests within each."""

    ttft: float
    tpot: float
    quantile: float


def capacity(
    inputs: xr.Dataset,
    load: xr.Dataset,
    *,
    ttft: float = 2.0,
    tpot: float = 0.1,
    quantile: float = 0.99,
    tolerance: float = 0.01,
) -> xr.Dataset:
    """Find the highest rate at which a share of requests meets its objectives.

    The load arrives faster or slower, its requests and their order being the same, until the rate
    is known to the tolerance.  A load is finite: one of few requests fills no server, and a rate
    just above what a server sustains shows only when its queue had time to grow.

    Parameters
    ----------
    inputs, load
        As in `simulate`.
    ttft, tpot
        Objective: time to the first token, and per output token after it [s].
    quantile
        Share of all requests that must meet each of the two; one that is rejected meets none.
    tolerance
        Relative error of the rate, from 1e-6 to 1.

    Returns
    -------
    xr.Dataset
        On the dims of the inputs that matter and those of the load: ``capacity`` [1/s], and at that
        rate ``scale`` (1: the load's own rate), ``throughput`` [1/s] output tokens, ``batch_mean``
        and ``preemptions``.  ``outcome`` says why there is none: ``met_at_no_rate``,
        ``too_many_turned_away`` (requests that do not fit; capacity 0 for both) or
        ``met_at_every_rate`` (the load is too short to say; capacity NaN).

    Raises
    ------
    InputError
        As `simulate` does, and for a load whose requests arrive at once.
    """
    objectives(ttft, tpot, [quantile])
    quantile = number("quantile", quantile, 0, 1)
    tolerance = number("tolerance", tolerance, 1e-6, 1)
    objective = Objective(ttft, tpot, quantile)

    def outcome(tables: ServerTables, requests: Requests) -> dict[str, Any]:
        return _search(tables, requests, objective, tolerance)

    cubes, outcomes = serve_each(inputs, load, outcome)
    result = labelled(cubes, load, outcomes, _OUTPUTS)
    result.outcome.attrs |= registry.flags(OUTCOMES)
    return result.assign_attrs(provenance())


def _search(
    tables: ServerTables, requests: Requests, objective: Objective, tolerance: float
) -> dict[str, Any]:
    """Values of `OUTPUTS` of one server under one load."""
    span = np.ptp(requests.arrival)
    if span <= 0:
        raise InputError("the requests of the load arrive at once; expected a span of time")
    if np.mean(requests.rejection > 0) > 1.0 - objective.quantile:
        return _no_rate(0.0, TOO_MANY_REJECTED)
    low = _highest_doubling(tables, requests, objective)
    if low == 0.0:
        return _no_rate(0.0, AT_NO_RATE)
    if low == 2.0**DOUBLINGS:
        return _no_rate(np.nan, AT_EVERY_RATE)
    scale = _bisect(tables, requests, objective, low, tolerance)
    state, arrays = serve(tables, _scaled(requests, scale), 2)
    batch = np.arange(arrays.batch_time.size)
    return {
        "capacity": scale * (requests.arrival.size - 1) / span,
        "scale": scale,
        "throughput": state.generated / (state.last_finish - state.first_arrival),
        "batch_mean": arrays.batch_time @ batch / arrays.batch_time[1:].sum(),
        "preemptions": state.preemptions,
        "outcome": FOUND,
    }


def _no_rate(value: float, outcome: int) -> dict[str, Any]:
    """Values of `OUTPUTS` where no rate was found."""
    nothing = {"throughput": np.nan, "batch_mean": np.nan, "preemptions": 0}
    return {"capacity": value, "scale": value, "outcome": outcome, **nothing}


def _highest_doubling(tables: ServerTables, requests: Requests, objective: Objective) -> float:
    """The highest power of 2 as a scale of the rate that meets the objective; 0 if none does.

    From above: a policy that keeps the experts of the batch may miss it at low rates too, where
    few are resident and a prompt waits for the others.
    """
    for exponent in range(DOUBLINGS, -DOUBLINGS - 1, -1):
        if _meets(tables, requests, objective, 2.0**exponent):
            return 2.0**exponent
    return 0.0


def _bisect(
    tables: ServerTables, requests: Requests, objective: Objective, low: float, tolerance: float
) -> float:
    """The highest scale found between one that meets the objective and twice it, which does not."""
    high = 2.0 * low
    while high / low > 1.0 + tolerance:
        middle = (low * high) ** 0.5
        if _meets(tables, requests, objective, middle):
            low = middle
        else:
            high = middle
    return low


def _meets(tables: ServerTables, requests: Requests, objective: Objective, scale: float) -> bool:
    """Whether enough requests meet the objective at a scale of the rate."""
    scaled = _scaled(requests, scale)
    times = latencies(scaled, serve(tables, scaled, 2)[1])
    in_time = np.mean(times["ttft"] <= objective.ttft)
    admitted = requests.rejection == 0
    fast_enough = np.mean(admitted & ~(times["tpot"] > objective.tpot))  # NaN of one token alone
    return bool(min(in_time, fast_enough) >= objective.quantile)


def _scaled(requests: Requests, scale: float) -> Requests:
    """The same requests, arriving ``scale`` times as fast."""
    return requests._replace(arrival=requests.arrival / scale)
