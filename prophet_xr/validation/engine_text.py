"""Engine logs and large systems in Markdown: predicted against measured, row by row."""

import pandas as pd

from prophet_xr.tables import markdown
from prophet_xr.validation import engines

TOLERANCE = 1.5  # GiB, or 2 % of the card
ASKED = ("model", "gpu", "plan", "precision", "kv_precision", "runtime", "context")


def sections() -> list[str]:
    """Sections on memory, on exchange between GPUs, and on decode steps of large systems."""
    frame = engines.memory()
    return [
        "## Serving engines: predicted against logged",
        "GiB (2^30 B) per GPU. Each row is one log; its inputs are what the log states, and what "
        "it does not state is the catalogue's. No constant is set by row, but the fits named in "
        "`data/runtime.toml`.",
        *_weights(frame),
        *_tokens(frame),
        *_budgets(frame),
        "### Left out, and why",
        markdown(engines.left_out()),
        *_exchange(),
        *_decode(),
    ]


def _setting(given: dict) -> str:
    """The configuration of a row, in a few words."""
    labels = [str(given[n]) for n in ("plan", "precision", "runtime") if n in given]
    others = [f"{n} {v:g}" for n, v in given.items() if n not in ASKED]
    return ", ".join([*labels, *others])


def spread(ratio: pd.Series) -> tuple[float, float]:
    """Median ratio, and the error that nine rows in ten stay within [%]."""
    return ratio.median(), 100 * (ratio - 1).abs().quantile(0.9, interpolation="higher")


def _weights(frame: pd.DataFrame) -> list[str]:
    rows = frame.dropna(subset=["weights_ratio"])
    middle, nine = spread(rows.weights_ratio)
    table = pd.DataFrame(
        {
            "row": rows.row,
            "model": rows.model,
            "engine": rows.engine,
            "inputs": rows.inputs.map(_setting),
            "logged": rows.weights,
            "predicted": rows.weights * rows.weights_ratio,
            "ratio": rows.weights_ratio.round(4),
        }
    )
    return [
        "### Weights",
        f"{len(rows)} rows: median ratio {middle:.4f}; nine in ten within {nine:.1f} %; worst "
        f"{100 * (rows.weights_ratio - 1).abs().max():.1f} % "
        f"({rows.row[(rows.weights_ratio - 1).abs().idxmax()]}).",
        markdown(table),
        "Vision towers are not counted: Llama-4-Scout and Maverick come out low by theirs, "
        "Maverick by more than that, which its log does not explain.",
    ]


def _tokens(frame: pd.DataFrame) -> list[str]:
    rows = frame.dropna(subset=["kv_ratio"])
    middle, nine = spread(rows.kv_ratio)
    table = rows[["row", "model", "logged", "holds", "kv_ratio"]].rename(
        columns={"holds": "predicted", "kv_ratio": "ratio"}
    )
    return [
        "### What a KV pool holds",
        "The logged pool over the predicted bytes of a token, against the logged tokens; of models "
        "with constant state or windows sequences of the asked context, by pages, against the "
        f"logged concurrency. {len(rows)} rows: median ratio {middle:.4f}; nine in ten within "
        f"{nine:.2f} %.",
        markdown(table.assign(ratio=table.ratio.round(4))),
    ]


def _budgets(frame: pd.DataFrame) -> list[str]:
    rows = frame.dropna(subset=["kv"])
    off = rows.kv_predicted - rows.kv
    table = rows[["row", "model", "usable", "kv", "kv_predicted"]].rename(
        columns={"kv": "logged", "kv_predicted": "predicted"}
    )
    return [
        "### Room for the KV cache",
        "Rows whose log states the budget: utilization, tokens of a step and sequences (of r18 to "
        "r20 the sequences are not stated; 256 are assumed, since the sampler of the default 1,024 "
        f"alone would exceed what was measured). Off by {off.abs().max():.2f} GiB at most.",
        markdown(table.assign(off=off, inputs=rows.inputs.map(_setting))),
    ]


def _exchange() -> list[str]:
    frame = engines.exchanges()
    off = 100 * (frame.ratio - 1).abs()
    return [
        "### Exchange between GPUs",
        f"DeepEP's low-latency kernels on H800, 128 tokens a rank [us]: floor, and bytes over the "
        f"slower of the link inside and the network outside a server. Off by {off.median():.1f} % "
        f"in the median, {off.max():.1f} % at worst; the floor over the network was set on these "
        f"rows.",
        markdown(frame),
        "All-reduces: the catalogue has one bandwidth and one floor per card and circle, taken "
        "from the largest group measured.",
        markdown(engines.collectives()),
    ]


def _decode() -> list[str]:
    frame = engines.decode()
    return [
        "### Decode steps with expert parallelism",
        "DeepSeek-V3 in FP8 [ms]; uniform routing, experts spread evenly, memory and exchange in "
        "series. All come out low: the datasheet's memory rate, no kernel launches, no imbalance. "
        "These systems overlap two micro-batches and still take longer than the sum. Where the "
        "exchange is far from the low-latency kernels' own 128 tokens a rank (256 in the third "
        "row), it is extrapolated.",
        markdown(frame),
    ]
