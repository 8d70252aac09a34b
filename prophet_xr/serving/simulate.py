"""What every server does under a load: latencies, rates, batches and memory over time.

In come inputs and a load; out goes a Dataset on the dims of both.  A server is one configuration of
the inputs: one model on one GPU under one policy and plan.

The cube is swept once for all servers (`server_tables`), then each serves each load on its own, by
threads (`scheduler`).  A step needs neither labels nor units: they are put on the outcomes at the
end, from one table (`outputs`).  What the cube says at a batch is weighted afterwards with the time
that the server spent at it, which takes no simulation of its own (`expected`).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.catalogue.provenance import provenance
from prophet_xr.engine.run import cores
from prophet_xr.errors import InputError, brief
from prophet_xr.registry import LABELLED, QUANTITIES
from prophet_xr.serving import time_series
from prophet_xr.serving.expected import BATCH, at_batch, expected
from prophet_xr.serving.loads import checked_load
from prophet_xr.serving.outputs import OUTPUTS
from prophet_xr.serving.scheduler import serve
from prophet_xr.serving.server_tables import (
    BATCH_METRICS,
    ServerCubes,
    ServerTables,
    server_cubes,
)
from prophet_xr.serving.state import (
    FIRST_TOKEN,
    LAST_TOKEN,
    REJECTIONS,
    Requests,
    SchedulerArrays,
    ordered_requests,
    rejections,
)

REQUEST = "request"


def simulate(
    inputs: xr.Dataset,
    load: xr.Dataset,
    *,
    ttft: float = 2.0,
    tpot: float = 0.1,
    quantiles: Sequence[float] = (0.5, 0.9, 0.99),
    time_bins: int = 512,
) -> xr.Dataset:
    """Serve a load by continuous batching with chunked prefill, as vLLM V1 schedules.

    Parameters
    ----------
    inputs
        What `inputs` returns, with a serving runtime (``runtime="vllm"``).  ``batch`` is what the
        simulation finds, and is ignored; ``context`` is the longest sequence that is admitted (the
        engine's maximum model length; the native context by default) [token].  Every other dim,
        such as model, gpu, plan, policy or a draw, is a dim of the result.
    load
        ``arrival`` [s], ``prompt`` and ``output`` [token] on ``request``; with ``priority`` the
        least goes first, otherwise the first come.  Other dims (scale, rate, seed) are dims of the
        result: ``xr.concat([faster(load, s) for s in (1, 2)], pd.Index([1, 2], name="scale"))``.
    ttft, tpot
        Objective: time to the first token, and per output token after it [s].
    quantiles
        Shares of requests, from 0 to 1; the times of requests are given at each.
    time_bins
        Length of the series over time, an even number.

    Returns
    -------
    xr.Dataset
        D are the dims of the inputs that matter and those of the load.

        Counts: ``requests``, ``finished``, ``preemptions``, ``iterations`` (D); ``rejected``
        (D, cause), cause ``longer_than_context`` or ``never_fits``; ``prompt_tokens``,
        ``output_tokens``, ``recomputed_tokens`` (D).
        Rates: ``duration`` [s] from the first arrival to the last token, ``offered_rate``,
        ``request_rate``, ``throughput`` [1/s] output tokens (D).
        Times: ``ttft`` to the first token, ``tpot`` per output token after it, ``e2e`` from arrival
        to the last token [s] (D, quantile) and their ``_mean`` (D), of finished requests,
        ``wait_mean`` [s] (D) from arrival to the first step; ``attainment`` [1] (D), the share of
        all requests that meet both objectives.
        Queue: ``queue_mean``, ``queue_max`` waiting, ``in_system_mean`` (D).
        Batch: ``batch_share`` [1] (D, batch), the share of time in which a step has ``batch``
        sequences, 0 where the server idles; ``batch_mean`` (D) over busy time.
        Tables: ``resident_experts``, ``expert_memory``, ``kv_budget``, ``kv_extension``,
        ``expert_savings``, ``expert_savings_fraction`` as the cube has them, with ``batch``.
        Under the load, weighted by busy time: ``expected_`` of each of those (D); at the mean
        batch, linear between whole ones: ``static_`` of each (D).
        Over time (D, time_bin): ``time`` [s] middle of the bin, ``batch_series``,
        ``queue_series``, ``kv_used_series``, ``kv_budget_series``, ``expert_memory_series`` [B],
        means over the bin; NaN after the end.  ``kv_peak`` [1] (D), largest share of its budget.

    Raises
    ------
    InputError
        For a load that is not one (see `loads.checked`), inputs as in `sweep`, a runtime that
        batches no prompts, and more than one context for a model.

    Notes
    -----
    Servers and loads are divided among threads, which run at the same time; a simulation depends on
    its arguments alone, so they may be divided among processes or by dask, too.  Memory grows with
    the requests (some 100 B each per thread), not with steps or tokens.

    Every running sequence counts as one of the batch, of which a policy keeps the experts.  What
    the other tokens of its prompt touch passes over the host link within the step: it takes time
    and no memory (``step_experts``).  Prefixes that prompts share are computed anew.

    The data ranks of a plan count as one server: their KV caches, sequences and tokens of a step
    add up, and a prompt is divided evenly among them, as it is among the stages of a pipeline.
    That is right for many requests; the time to the first token of a single long prompt is too
    short by a factor of up to data degree x stages.
    """
    shares = objectives(ttft, tpot, quantiles)
    even = "an even number, at least 2"
    bins = checks.whole("time_bins", time_bins, 2, 2**20, even)
    if bins % 2:
        raise InputError(f"time_bins={time_bins!r}; expected {even}")

    def outcome(tables: ServerTables, requests: Requests) -> dict[str, Any]:
        return _outcome(tables, requests, (ttft, tpot), shares, bins)

    cubes, outcomes = serve_each(inputs, load, outcome)
    batches = max(values["batch_share"].size for values in outcomes)
    for values in outcomes:
        missing = batches - values["batch_share"].size
        values["batch_share"] = np.pad(values["batch_share"], (0, missing))
    coords = {"quantile": shares, "cause": list(REJECTIONS[1:]), BATCH: np.arange(batches)}
    result = labelled(cubes, load, outcomes, OUTPUTS).assign_coords(coords)
    return _with_batch_metrics(result, cubes.by_batch).assign_attrs(provenance())


def serve_each(
    inputs: xr.Dataset,
    load: xr.Dataset,
    outcome: Callable[[ServerTables, Requests], dict[str, Any]],
) -> tuple[ServerCubes, list[dict[str, Any]]]:
    """Find the outcome of every server under every load, by threads.

    Returns the cubes of the servers, and the outcomes by server, then by load.
    """
    all_requests = [_requests(one) for one in _loads(load)]
    if not all_requests:
        raise InputError(f"load has no point along {_dims(load)}; expected at least one")
    longest = max(int((one.prompt + one.output).max()) for one in all_requests)
    cubes = server_cubes(inputs, longest)
    shared_dims = [d for d in _dims(load) if d in cubes.sizes]
    if shared_dims:
        raise InputError(
            f"load varies along {shared_dims[0]!r}, as the inputs do; expected other dims"
        )

    def serve_one(pair: tuple[tuple[int, ...], Requests]) -> dict[str, Any]:
        position, requests = pair
        tables = cubes.at(position)
        codes = rejections(tables, requests.prompt, requests.output)
        return outcome(tables, requests._replace(rejection=codes))

    pairs = [(position, one) for position in cubes.positions() for one in all_requests]
    with ThreadPoolExecutor(cores()) as pool:
        return cubes, list(pool.map(serve_one, pairs))


def labelled(
    cubes: ServerCubes,
    load: xr.Dataset,
    outcomes: list[dict[str, Any]],
    outputs: dict[str, tuple[tuple[str, ...], str, str]],
) -> xr.Dataset:
    """Outcomes as labelled arrays: the dims of the inputs, of the load, and of each output."""
    outer_sizes = {**cubes.sizes, **{d: load.sizes[d] for d in _dims(load)}}
    result = xr.Dataset()
    for name, (dims, units, title) in outputs.items():
        values = np.array([row[name] for row in outcomes])
        shaped = values.reshape((*outer_sizes.values(), *values.shape[1:]))
        result[name] = ((*outer_sizes, *dims), shaped, {"units": units, "long_name": title})
    for source in (cubes.by_batch, load):
        names = [n for n in source.coords if n in outer_sizes or n in (*LABELLED, "model_name")]
        result = result.assign_coords({n: source[n].variable for n in names if n != REQUEST})
    return result


def _dims(load: xr.Dataset) -> list[str]:
    """Dims along which there is a load at each point."""
    return [str(d) for d in load.dims if d != REQUEST]


def _loads(load: xr.Dataset) -> Iterator[xr.Dataset]:
    """Every load of a Dataset, checked."""
    if not isinstance(load, xr.Dataset):
        raise InputError(f"load is a {type(load).__name__}; expected a Dataset over {REQUEST!r}")
    dims = _dims(load)
    for point in np.ndindex(*(load.sizes[d] for d in dims)):
        yield checked_load(load.isel(dict(zip(dims, point, strict=True))))


def _requests(load: xr.Dataset) -> Requests:
    """A checked load as the scheduler takes it."""
    priority = load.priority.values if "priority" in load else None
    return ordered_requests(load.arrival.values, load.prompt.values, load.output.values, priority)


def objectives(ttft: float, tpot: float, quantiles: Sequence[float]) -> np.ndarray:
    """Check objectives; the quantiles as an array."""
    for name, value in (("ttft", ttft), ("tpot", tpot)):
        if not isinstance(value, Real) or not value > 0:
            raise InputError(f"{name}={brief(value)}; expected seconds above 0")
    return checks.shares("quantiles", [quantiles] if isinstance(quantiles, Real) else quantiles)


def latencies(requests: Requests, arrays: SchedulerArrays) -> dict[str, np.ndarray]:
    """Times of requests [s]: ``ttft``, ``tpot`` and ``e2e``.

    NaN of those that were rejected; ``tpot`` is NaN also of those with one output token.
    """
    first, last = arrays.token_times[FIRST_TOKEN], arrays.token_times[LAST_TOKEN]
    later_tokens = np.where(requests.output > 1, requests.output - 1, np.nan)
    return {
        "ttft": first - requests.arrival,
        "tpot": (last - first) / later_tokens,
        "e2e": last - requests.arrival,
    }


def meets(times: dict[str, np.ndarray], ttft: float, tpot: float) -> np.ndarray:
    """Whether each request meets the objectives [s]; one that was rejected does not."""
    return (times["ttft"] <= ttft) & ~(times["tpot"] > tpot)


def _outcome(
    tables: ServerTables,
    requests: Requests,
    objective: tuple[float, float],
    quantiles: np.ndarray,
    bins: int,
) -> dict[str, Any]:
    """Values of `OUTPUTS` of one server under one load."""
    state, arrays = serve(tables, requests, bins)
    times = latencies(requests, arrays)
    admitted = requests.rejection == 0
    values: dict[str, Any] = {
        "requests": admitted.size,
        "finished": state.finished,
        "rejected": np.bincount(requests.rejection, minlength=len(REJECTIONS))[1:],
        "preemptions": state.preemptions,
        "iterations": state.step,
        "prompt_tokens": requests.prompt[admitted].sum(),
        "output_tokens": state.generated,
        "recomputed_tokens": state.recomputed,
        "attainment": meets(times, *objective).mean(),
        "queue_max": state.waiting_max,
        "kv_peak": state.kv_peak,
    }
    values |= _time_statistics(times, quantiles) | _time_means(state, requests, arrays)
    return values | _series(arrays.series, state.bin_width)


def _time_statistics(times: dict[str, np.ndarray], quantiles: np.ndarray) -> dict[str, Any]:
    """Quantiles and means of the times of finished requests [s]; NaN where none finished."""
    statistics: dict[str, Any] = {}
    for name, values in times.items():
        finite = values[np.isfinite(values)]
        nothing = np.full(quantiles.size, np.nan)
        statistics[name] = np.quantile(finite, quantiles) if finite.size else nothing
        statistics[f"{name}_mean"] = finite.mean() if finite.size else np.nan
    return statistics


def _time_means(state: Any, requests: Requests, arrays: SchedulerArrays) -> dict[str, Any]:
    """Rates, and means over time."""
    duration, span = state.last_finish - state.first_arrival, np.ptp(requests.arrival)
    batch_integral = arrays.batch_time @ np.arange(arrays.batch_time.size)
    busy_time = arrays.batch_time[1:].sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "duration": duration,
            "offered_rate": (requests.arrival.size - 1) / span if span > 0 else np.nan,
            "request_rate": np.divide(state.finished, duration),
            "throughput": np.divide(state.generated, duration),
            "wait_mean": np.divide(state.first_wait_sum, state.finished),
            "queue_mean": np.divide(state.waiting_integral, duration),
            "in_system_mean": np.divide(state.waiting_integral + batch_integral, duration),
            "batch_share": np.nan_to_num(arrays.batch_time / arrays.batch_time.sum()),
            "batch_mean": np.divide(batch_integral, busy_time),
        }


def _series(series: np.ndarray, bin_width: float) -> dict[str, np.ndarray]:
    """Means over the bins of time, and the middle of each bin [s]; NaN after the end."""
    seconds = series[:, time_series.TIME]
    with np.errstate(invalid="ignore"):
        means = series[:, 1:].T / np.where(seconds > 0, seconds, 0.0)
    middle = (np.arange(series.shape[0]) + 0.5) * bin_width
    names = ("batch", "queue", "kv_used", "kv_budget", "expert_memory")
    by_name = {f"{name}_series": row for name, row in zip(names, means, strict=True)}
    return by_name | {"time": np.where(seconds > 0, middle, np.nan)}


def _with_batch_metrics(result: xr.Dataset, by_batch: xr.Dataset) -> xr.Dataset:
    """Add `BATCH_METRICS` by batch, their mean under the load, and at the mean batch."""
    cube = by_batch[list(BATCH_METRICS)].reset_coords(drop=True)
    share = result.batch_share.reset_coords(drop=True)
    mean = result.batch_mean.reset_coords(drop=True)
    views = {
        "": (cube.reindex({BATCH: result[BATCH]}), ""),
        "expected_": (expected(cube, share), ", mean over busy time"),
        "static_": (at_batch(cube, mean), ", at the mean batch"),
    }
    for prefix, (view, title_end) in views.items():
        for name in BATCH_METRICS:
            attrs = QUANTITIES[name].attrs
            result[prefix + name] = view[name].variable.copy()
            result[prefix + name].attrs = {
                "units": attrs["units"],
                "long_name": f"{attrs['long_name']}{title_end}",
            }
    return result
