"""Inputs x load -> a labelled Dataset: what a server of every configuration does under a load."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.catalogue.provenance import provenance
from prophet_xr.engine.run import cores
from prophet_xr.errors import InputError
from prophet_xr.registry import LABELLED, QUANTITIES
from prophet_xr.serving import time_series
from prophet_xr.serving.expected import BATCH, at_batch, expected
from prophet_xr.serving.loads import checked
from prophet_xr.serving.outputs import OUTPUTS
from prophet_xr.serving.scheduler import serve
from prophet_xr.serving.server_tables import TABLES, Service, Services, services
from prophet_xr.serving.state import CAUSES, FINISH, FIRST, Requests, Work, admitted, requests_of

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
    """Serve a load by continuous batching, as vLLM V1 schedules.

    Parameters
    ----------
    inputs
        What `inputs` returns, with a serving runtime (``runtime="vllm"``).  ``batch`` is what the
        simulation finds, and is ignored; ``context`` is the longest sequence that is let in (the
        engine's maximum model length; the native context by default).  Every other dim, such as
        model, gpu, plan, policy or a draw, is a dim of the result.
    load
        ``arrival`` [s], ``prompt`` and ``output`` [token] on ``request``; with ``priority`` the
        least goes first, otherwise the first come.  Other dims (scale, rate, seed) are dims of the
        result: ``xr.concat([faster(load, s) for s in (1, 2)], pd.Index([1, 2], name="scale"))``.
    ttft, tpot
        Objective: time to the first token, and per output token after it [s].
    quantiles
        Of the times of requests.
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
        Times: ``ttft``, ``tpot``, ``e2e`` [s] (D, quantile) and their ``_mean`` (D), of finished
        requests, ``wait_mean`` [s] (D) from arrival to the first step; ``attainment`` [1] (D), the
        share of all requests that meet both objectives.
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
    Configurations and loads are shared out to threads; the kernel does not hold the interpreter.
    A simulation is a function of its arguments alone, so that processes or dask may share them too.
    Memory grows with the requests (some 100 B each per thread), not with steps or tokens.

    Every sequence that runs counts as one of the batch, of which a policy keeps the experts.  What
    the other tokens of its prompt touch passes over the host link within the step: it takes time
    and no memory (``step_experts``).  Prefixes that prompts share are computed anew.

    The data ranks of a plan count as one server: their KV pools, sequences and tokens of a step
    add up, and a prompt is shared out evenly among them, as it is among the stages of a pipeline.
    That holds of many requests; of a single long prompt the time to the first token is up to the
    data degree x the stages too short.
    """
    shares = objectives(ttft, tpot, quantiles)
    even = "an even number, at least 2"
    bins = checks.whole("time_bins", time_bins, 2, 2**20, even)
    if bins % 2:
        raise InputError(f"time_bins={time_bins!r}; expected {even}")

    def outcome(service: Service, requests: Requests) -> dict[str, Any]:
        return _outcome(service, requests, ttft, tpot, shares, bins)

    served, found = each(inputs, load, outcome)
    slots = max(row["batch_share"].size for row in found)
    for row in found:
        row["batch_share"] = np.pad(row["batch_share"], (0, slots - row["batch_share"].size))
    result = gathered(served, load, found, OUTPUTS).assign_coords(
        quantile=("quantile", shares), cause=("cause", list(CAUSES[1:])), batch=np.arange(slots)
    )
    return _with_tables(result, served.tables[list(TABLES)]).assign_attrs(provenance())


def each(
    inputs: xr.Dataset, load: xr.Dataset, outcome: Callable[[Service, Requests], dict[str, Any]]
) -> tuple[Services, list[dict[str, Any]]]:
    """What becomes of every configuration under every load, in order, by threads."""
    every = [_requests(one) for one in _loads(load)]
    if not every:
        raise InputError(f"load has no point along {_dims(load)}; expected at least one")
    served = services(inputs, max(int((one.prompt + one.output).max()) for one in every))
    both = [d for d in _dims(load) if d in served.sizes]
    if both:
        raise InputError(f"load varies along {both[0]!r}, as the inputs do; expected other dims")

    def job(pair: tuple[tuple[int, ...], Requests]) -> dict[str, Any]:
        cell, requests = pair
        service = served.at(cell)
        cause = admitted(service, requests.prompt, requests.output)
        return outcome(service, requests._replace(cause=cause))

    with ThreadPoolExecutor(cores()) as pool:
        return served, list(pool.map(job, [(c, one) for c in served.cells() for one in every]))


def gathered(
    served: Services, load: xr.Dataset, found: list[dict[str, Any]], outputs: dict[str, tuple]
) -> xr.Dataset:
    """Outcomes as labelled arrays: the dims of the inputs, of the load, and of each output."""
    outer = {**served.sizes, **{d: load.sizes[d] for d in _dims(load)}}
    result = xr.Dataset()
    for name, (dims, units, title) in outputs.items():
        values = np.array([row[name] for row in found])
        shaped = values.reshape((*outer.values(), *values.shape[1:]))
        attrs = {"units": units, "long_name": title}
        result[name] = ((*outer, *dims), shaped, attrs)
    for source in (served.tables, load):
        kept = [n for n in source.coords if n in outer or n in (*LABELLED, "model_name")]
        result = result.assign_coords({n: source[n].variable for n in kept if n != REQUEST})
    return result


def _dims(load: xr.Dataset) -> list[str]:
    return [str(d) for d in load.dims if d != REQUEST]


def _loads(load: xr.Dataset) -> Iterator[xr.Dataset]:
    """Every load of a Dataset, checked."""
    if not isinstance(load, xr.Dataset):
        raise InputError(f"load is a {type(load).__name__}; expected a Dataset over {REQUEST!r}")
    dims = _dims(load)
    for point in np.ndindex(*(load.sizes[d] for d in dims)):
        yield checked(load.isel(dict(zip(dims, point, strict=True))))


def _requests(load: xr.Dataset) -> Requests:
    order = load.priority.values if "priority" in load else None
    return requests_of(load.arrival.values, load.prompt.values, load.output.values, order)


def objectives(ttft: float, tpot: float, quantiles: Sequence[float]) -> np.ndarray:
    """Check objectives; the quantiles as an array."""
    for name, value in (("ttft", ttft), ("tpot", tpot)):
        if not isinstance(value, Real) or not value > 0:
            raise InputError(f"{name}={value!r}; expected seconds above 0")
    return checks.shares("quantiles", np.atleast_1d(np.asarray(quantiles, object)))


def latencies(requests: Requests, work: Work) -> dict[str, np.ndarray]:
    """Times of requests [s], NaN of those turned away; ``tpot`` NaN also of one token alone."""
    more = np.where(requests.output > 1, requests.output - 1, np.nan)
    return {
        "ttft": work.times[FIRST] - requests.arrival,
        "tpot": (work.times[FINISH] - work.times[FIRST]) / more,
        "e2e": work.times[FINISH] - requests.arrival,
    }


def met(times: dict[str, np.ndarray], ttft: float, tpot: float) -> np.ndarray:
    """Whether each request met the objectives; one that was turned away did not."""
    return (times["ttft"] <= ttft) & ~(times["tpot"] > tpot)


def _outcome(
    service: Service,
    requests: Requests,
    ttft: float,
    tpot: float,
    quantiles: np.ndarray,
    bins: int,
) -> dict[str, Any]:
    """Everything in `OUTPUTS` of one run."""
    state, work = serve(service, requests, bins)
    times = latencies(requests, work)
    done = requests.cause == 0
    row: dict[str, Any] = {
        "requests": done.size,
        "finished": state.finished,
        "rejected": np.bincount(requests.cause, minlength=len(CAUSES))[1:],
        "preemptions": state.preemptions,
        "iterations": state.step,
        "prompt_tokens": requests.prompt[done].sum(),
        "output_tokens": state.generated,
        "recomputed_tokens": state.recomputed,
        "attainment": met(times, ttft, tpot).mean(),
        "queue_max": state.queue_max,
        "kv_peak": state.peak,
    }
    for name, values in times.items():
        some = values[np.isfinite(values)]
        row[name] = np.quantile(some, quantiles) if some.size else np.full(quantiles.size, np.nan)
        row[f"{name}_mean"] = some.mean() if some.size else np.nan
    return row | _rates(state, requests, work) | _series(work.series, state.width)


def _rates(state: Any, requests: Requests, work: Work) -> dict[str, Any]:
    """Means over time."""
    duration, span = state.ended - state.began, np.ptp(requests.arrival)
    batch = np.arange(work.batch_time.size)
    busy = work.batch_time[1:].sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "duration": duration,
            "offered_rate": (requests.arrival.size - 1) / span if span > 0 else np.nan,
            "request_rate": np.divide(state.finished, duration),
            "throughput": np.divide(state.generated, duration),
            "wait_mean": np.divide(state.waited, state.finished),
            "queue_mean": np.divide(state.queued, duration),
            "in_system_mean": np.divide(state.queued + work.batch_time @ batch, duration),
            "batch_share": np.nan_to_num(work.batch_time / work.batch_time.sum()),
            "batch_mean": np.divide(work.batch_time @ batch, busy),
        }


def _series(series: np.ndarray, width: float) -> dict[str, np.ndarray]:
    """Means over the bins of time."""
    with np.errstate(invalid="ignore"):
        means = series[:, 1:].T / np.where(
            series[:, time_series.TIME] > 0, series[:, time_series.TIME], 0.0
        )
    middle = (np.arange(series.shape[0]) + 0.5) * width
    names = ("batch", "queue", "kv_used", "kv_budget", "expert_memory")
    rows = {f"{n}_series": row for n, row in zip(names, means, strict=True)}
    return rows | {"time": np.where(series[:, time_series.TIME] > 0, middle, np.nan)}


def _with_tables(result: xr.Dataset, tables: xr.Dataset) -> xr.Dataset:
    """Add the cube by batch, its mean under the load, and its value at the mean batch."""
    plain = tables.reset_coords(drop=True)
    busy = result.batch_share.reset_coords(drop=True)
    views = {
        "": (plain.reindex({BATCH: result[BATCH]}), "{}"),
        "expected_": (expected(plain, busy), "{}, mean over busy time"),
        "static_": (
            at_batch(plain, result.batch_mean.reset_coords(drop=True)),
            "{}, at the mean batch",
        ),
    }
    for prefix, (view, words) in views.items():
        for name in TABLES:
            attrs = QUANTITIES[name].attrs
            title = {"long_name": words.format(attrs["long_name"])}
            result[prefix + name] = view[name].variable.copy()
            result[prefix + name].attrs = {"units": attrs["units"], **title}
    return result
