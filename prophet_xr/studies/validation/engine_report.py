"""Engine logs and large systems in Markdown: predicted against measured, row by row."""

import pandas as pd

from prophet_xr.registry import QUANTITIES
from prophet_xr.reporting.markdown import markdown
from prophet_xr.studies.validation import engine_logs

_ASKED = ("model", "gpu", "plan", "precision", "kv_precision", "runtime", "context")


def sections() -> list[str]:
    """Sections on memory, on exchange between GPUs, and on decode steps of large systems."""
    frame, pools = engine_logs.memory_rows(), engine_logs.pools()
    return [
        "## Serving engines: predicted against logged",
        "GiB (2^30 B) per GPU. Each row is one log; its inputs are what the log states, and what "
        "it does not state is the catalogue's. No constant is set by row, but the fits named in "
        "`data/runtime.toml`. Rows h01 and up were found after the formulas were written: nothing "
        "is fitted to them. `prophet-xr fit` and `px.sweep` take the same inputs.",
        *_weights(frame),
        *_tokens(pools),
        *_budgets(frame),
        "### Left out, and why",
        markdown(engine_logs.left_out()),
        *_exchange(),
        *_decode(),
    ]


def _setting(given: dict) -> str:
    """The configuration of a row, in a few words."""
    labels = [str(given[n]) for n in ("plan", "precision", "runtime") if n in given]
    cache = [f"{given['kv_precision']} KV cache"] if "kv_precision" in given else []
    return ", ".join(
        [*labels, *cache, *(_asked(n, v) for n, v in given.items() if n not in _ASKED)]
    )


def _asked(name: str, value: float) -> str:
    title = name.replace("_", " ")
    if QUANTITIES[name].units == "B" and value:
        return f"{title} {value / engine_logs.GIB:.4g} GiB"
    return f"{title} {value:,.9g}"


def ratio_spread(ratio: pd.Series) -> tuple[float, float]:
    """Median ratio, and the error that nine rows in ten stay within [%]."""
    return ratio.median(), 100 * (ratio - 1).abs().quantile(0.9, interpolation="higher")


def _summary(frame: pd.DataFrame, ratio: str) -> str:
    """Say how far the rows of a table are, all of them and the held-out ones."""
    parts = []
    for title, rows in (("all", frame), ("held out", frame[frame.held])):
        middle, nine = ratio_spread(rows[ratio])
        worst = (rows[ratio] - 1).abs()
        parts.append(
            f"{title} ({len(rows)}): median ratio {middle:.4f}, nine in ten within {nine:.2f} %, "
            f"worst {100 * worst.max():.1f} % ({rows.row[worst.idxmax()]})"
        )
    return "; ".join(parts) + "."


def _weights(frame: pd.DataFrame) -> list[str]:
    rows = frame.dropna(subset=["weights_ratio"])
    table = pd.DataFrame(
        {
            "row": rows.row,
            "model": rows.model,
            "engine": rows.engine,
            "inputs": rows.inputs.map(_setting),
            "logged": rows.weights,
            "predicted": rows.weights_predicted,
            "off by %": _percent(rows.weights_ratio),
        }
    )
    return [
        "### Weights",
        f"Rows, {_summary(rows, 'weights_ratio')}",
        markdown(table),
        "Vision towers are not counted: Llama-4-Scout and Maverick come out low by theirs, "
        "Maverick by more than that. Its engine ran on MI300A, where some releases pad every row "
        "of a weight; the log does not say whether this one did.",
    ]


def _percent(ratio: pd.Series) -> list[str]:
    return [f"{100 * (r - 1):+.2f}" for r in ratio]


def _tokens(rows: pd.DataFrame) -> list[str]:
    table = pd.DataFrame(
        {
            "row": rows.row,
            "model": rows.model,
            "inputs": rows.inputs.map(_setting),
            "of": rows.what,
            "logged": rows.logged,
            "predicted": rows.holds,
            "off by %": _percent(rows.ratio),
        }
    )
    return [
        "### What a KV pool holds",
        "What the logged bytes hold by the formulas, against what the log counts: tokens, and of "
        "models with constant state or windows also sequences of the asked context. Their tokens "
        "are `block_capacity` up to vLLM 0.17 and `kv_capacity` since 0.20. Comparisons, "
        + _summary(rows, "ratio"),
        markdown(table),
    ]


def _budgets(frame: pd.DataFrame) -> list[str]:
    rows = frame.dropna(subset=["kv"])
    off = rows.kv_predicted - rows.kv
    table = pd.DataFrame(
        {
            "row": rows.row,
            "model": rows.model,
            "inputs": rows.inputs.map(_setting),
            "card": rows.usable,
            "logged": rows.kv,
            "predicted": rows.kv_predicted,
            "off by GiB": [f"{d:+.2f}" for d in off],
            "% of the card": [f"{d:+.1f}" for d in 100 * off / rows.usable],
        }
    )
    return [
        "### Room for the KV cache",
        "Rows whose log states the budget: utilization, tokens of a step and sequences, stated or "
        "the engine's defaults for the card. Of r18 to r20 the sequences are not stated; 256 are "
        "assumed, since the default of 1,024 would take more for the sampler alone than all that "
        "was measured. Where a log has tokens but no bytes (r24), logged is what they take. Graph "
        "memory 0: before 0.20, or switched off, CUDA graphs are not in the "
        f"budget. Off by {off.abs().max():.2f} GiB at most.",
        markdown(table),
    ]


def _exchange() -> list[str]:
    frame = engine_logs.exchange_rows()
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
        markdown(engine_logs.collectives()),
    ]


def _decode() -> list[str]:
    frame = engine_logs.decode_rows()
    return [
        "### Decode steps with expert parallelism",
        "DeepSeek-V3 in FP8 [ms]; uniform routing, experts spread evenly, exchange in series with "
        "the larger of memory and arithmetic. Measured exchange: DeepEP's kernels at the nearest "
        f"number of ranks, scaled from their {engine_logs.LOW_LATENCY} tokens a rank; measured all "
        "else: the step less that.",
        markdown(frame),
        "\n".join(_blame(row) for _, row in frame.iterrows()),
        "All else comes out low because it is at the datasheet's memory rate, without kernel "
        "launches and with even ranks; arithmetic stands at the 16-bit rate, which FP8 kernels "
        "beat. The systems overlap two micro-batches and still take longer than the sum.",
    ]


def _blame(row: pd.Series) -> str:
    """Which part of a step is mispredicted, and by how much."""
    lacks = {n: row[f"{n}, measured"] - row[f"{n}, predicted"] for n in ("exchange", "all else")}
    total = row.measured - row.predicted
    most = max(lacks, key=lambda n: abs(lacks[n]))
    return (
        f"- {row.system}: {100 * (row.ratio - 1):+.0f} %, {total:.1f} ms short, of them "
        f"{lacks['exchange']:.1f} in exchange, {lacks['all else']:.1f} in all else; mostly {most}."
    )
