"""Every number that a simulation gives: one line each, with dims, unit and title.

`simulate` labels its result from this table, so that no number is without unit and title.  The dims
are those that a number has in addition to the dims of inputs and load.
"""

_QUANTILE, CAUSE, _TIME = ("quantile",), ("cause",), ("time_bin",)

OUTPUTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "requests": ((), "1", "Requests of the load"),
    "finished": ((), "1", "Requests that got all their tokens"),
    "rejected": (CAUSE, "1", "Requests turned away"),
    "preemptions": ((), "1", "Times that a sequence lost its KV cache"),
    "iterations": ((), "1", "Steps of the engine"),
    "prompt_tokens": ((), "token", "Prompt tokens of requests let in"),
    "output_tokens": ((), "token", "Tokens generated"),
    "recomputed_tokens": ((), "token", "Tokens computed again after preemption"),
    "duration": ((), "s", "First arrival to last token"),
    "offered_rate": ((), "1 / s", "Requests that arrive per second"),
    "request_rate": ((), "1 / s", "Requests finished per second"),
    "throughput": ((), "1 / s", "Output tokens per second"),
    "ttft": (_QUANTILE, "s", "Time to first token"),
    "ttft_mean": ((), "s", "Mean time to first token"),
    "tpot": (_QUANTILE, "s", "Time per output token"),
    "tpot_mean": ((), "s", "Mean time per output token"),
    "e2e": (_QUANTILE, "s", "Arrival to last token"),
    "e2e_mean": ((), "s", "Mean time from arrival to last token"),
    "wait_mean": ((), "s", "Mean time from arrival to first step"),
    "attainment": ((), "1", "Share of requests that meet both objectives"),
    "queue_mean": ((), "1", "Mean number of waiting requests"),
    "queue_max": ((), "1", "Largest number of waiting requests"),
    "in_system_mean": ((), "1", "Mean number of waiting and running requests"),
    "batch_share": (("batch",), "1", "Share of time with so many sequences"),
    "batch_mean": ((), "1", "Mean batch over busy time"),
    "kv_peak": ((), "1", "Largest share of its budget that the KV cache takes"),
    "time": (_TIME, "s", "Middle of the bin after the first arrival"),
    "batch_series": (_TIME, "1", "Sequences running"),
    "queue_series": (_TIME, "1", "Requests waiting"),
    "kv_used_series": (_TIME, "B", "KV cache in use"),
    "kv_budget_series": (_TIME, "B", "Memory left for the KV cache"),
    "expert_memory_series": (_TIME, "B", "Expert weights in one GPU's memory"),
}
