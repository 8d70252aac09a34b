"""Inputs x load -> a labelled Dataset: what a server of every configuration does under a load."""

from collections.abc import Sequence

import xarray as xr


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
        Length of the series over time.

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
    """
    raise NotImplementedError
