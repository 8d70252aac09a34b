"""The highest rate at which a server keeps its promises."""

from typing import Any

import numpy as np
import xarray as xr

from prophet_xr import registry
from prophet_xr.catalogue.provenance import provenance
from prophet_xr.checks import number
from prophet_xr.errors import InputError
from prophet_xr.serving.scheduler import serve
from prophet_xr.serving.server_tables import Service
from prophet_xr.serving.simulate import each, gathered, latencies, objectives
from prophet_xr.serving.state import Requests

FARTHEST = 20  # doublings from the load's own rate, either way
OUTCOMES = ("found", "met_at_no_rate", "met_at_every_rate", "too_many_turned_away")
OUTPUTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "capacity": ((), "1 / s", "Highest rate of requests that meets the objectives"),
    "scale": ((), "1", "That rate over the load's own"),
    "throughput": ((), "1 / s", "Output tokens per second at that rate"),
    "batch_mean": ((), "1", "Mean batch over busy time at that rate"),
    "preemptions": ((), "1", "Times that a sequence lost its KV cache at that rate"),
    "outcome": ((), "1", "Whether there is such a rate"),
}


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
        Share of all requests that must meet each of the two; one that is turned away meets none.
    tolerance
        Relative error of the rate.

    Returns
    -------
    xr.Dataset
        On the dims of the inputs that matter and those of the load: ``capacity`` [1/s], and at that
        rate ``scale``, ``throughput`` [1/s], ``batch_mean`` and ``preemptions``.  ``outcome`` says
        why there is none: ``met_at_no_rate``, ``too_many_turned_away`` (requests that do not fit;
        capacity 0 for both) or ``met_at_every_rate`` (the load is too short to say; capacity NaN).

    Raises
    ------
    InputError
        As `simulate` does, and for a load whose requests arrive at once.
    """
    objectives(ttft, tpot, [quantile])
    quantile = number("quantile", quantile, 0, 1)
    tolerance = number("tolerance", tolerance, 1e-6, 1)

    def outcome(service: Service, requests: Requests) -> dict[str, Any]:
        return _search(service, requests, (ttft, tpot, quantile), tolerance)

    served, found = each(inputs, load, outcome)
    result = gathered(served, load, found, OUTPUTS)
    codes = registry.flags(OUTCOMES)
    result.outcome.attrs |= codes
    return result.assign_attrs(provenance())


def _search(
    service: Service, requests: Requests, promise: tuple[float, float, float], tolerance: float
) -> dict[str, Any]:
    """Bisect the scale between one that keeps the promise and one that does not."""
    span = np.ptp(requests.arrival)
    if span <= 0:
        raise InputError("the requests of the load arrive at once; expected a span of time")
    if np.mean(requests.cause > 0) > 1.0 - promise[2]:
        return _none(0.0, 3)
    low = _highest_doubling(service, requests, promise)
    if low == 0.0 or low == 2.0**FARTHEST:
        return _none(0.0, 1) if low == 0.0 else _none(np.nan, 2)
    high = 2.0 * low
    while high / low > 1.0 + tolerance:
        middle = (low * high) ** 0.5
        if _keeps(service, requests, middle, promise):
            low = middle
        else:
            high = middle
    state, work = serve(service, _faster(requests, low), 2)
    batch = np.arange(work.batch_time.size)
    return {
        "capacity": low * (requests.arrival.size - 1) / span,
        "scale": low,
        "throughput": state.generated / (state.ended - state.began),
        "batch_mean": work.batch_time @ batch / work.batch_time[1:].sum(),
        "preemptions": state.preemptions,
        "outcome": 0,
    }


def _none(value: float, code: int) -> dict[str, Any]:
    """What there is where no rate was found."""
    none = {"throughput": np.nan, "batch_mean": np.nan, "preemptions": 0}
    return {"capacity": value, "scale": value, "outcome": code, **none}


def _highest_doubling(
    service: Service, requests: Requests, promise: tuple[float, float, float]
) -> float:
    """The highest power of 2 that keeps the promise as a scale, 0 if there is none.

    From above: a policy that keeps the experts of the batch may break it at low rates too, where
    few are resident and a prompt waits for the others.
    """
    for n in range(FARTHEST, -FARTHEST - 1, -1):
        if _keeps(service, requests, 2.0**n, promise):
            return 2.0**n
    return 0.0


def _keeps(
    service: Service,
    requests: Requests,
    scale: float,
    promise: tuple[float, float, float],
) -> bool:
    """Whether the promise holds at a scale of the rate."""
    ttft, tpot, quantile = promise
    sooner = _faster(requests, scale)
    times = latencies(sooner, serve(service, sooner, 2)[1])
    first = np.mean(times["ttft"] <= ttft)
    let_in = requests.cause == 0
    each_token = np.mean(let_in & ~(times["tpot"] > tpot))
    return bool(min(first, each_token) >= quantile)


def _faster(requests: Requests, scale: float) -> Requests:
    return requests._replace(arrival=requests.arrival / scale)
