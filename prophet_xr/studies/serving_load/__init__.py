"""What Prophet gives on a server under load."""

from prophet_xr.reporting.study import Option, Study

STUDY = Study(
    package=__name__,
    command="simulate",
    about="Serve a load by continuous batching: latencies, capacity, memory over time.",
    report="UNDER_LOAD.md",
    axes=(
        *("model", "gpu", "policy", "precision", "kv_precision", "runtime", "routing", "plan"),
        *("context", "hit_rate", "dedup_exponent"),
    ),
    options=(
        Option("trace", "File of requests to serve.", "path"),
        Option(
            "format",
            "azure, mooncake or generic; by default found from the first line of the file.",
        ),
        Option(
            "preset",
            "Load to draw; by default azure-conv, with the capacity under all presets.",
        ),
        Option(
            "rate",
            "Requests per second; by default the rate of the trace, or several for a preset.",
            "numbers",
        ),
        Option("seed", "Seeds to draw a preset with.", "numbers"),
        Option("requests", "How many requests of a preset to draw.", "count"),
    ),
)
