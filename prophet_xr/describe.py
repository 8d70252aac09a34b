"""Text for a terminal: the catalogue, one row of it with its arithmetic, one configuration."""

from collections.abc import Mapping

import xarray as xr
from tabulate import tabulate

from prophet_xr import catalogue as known
from prophet_xr import kernels, specs
from prophet_xr.errors import InputError, nearest
from prophet_xr.grid import inputs, sweep
from prophet_xr.reduce import shown
from prophet_xr.registry import LABELLED, QUANTITIES, fields, metrics

COMPONENTS = (
    *("shared_parameters", "router_parameters", "attention_parameters", "dense_parameters"),
    *("state_space_parameters", "norm_parameters", "embedding_parameters"),
)


def _plain(rows: list[list], headers: list[str]) -> str:
    return tabulate(rows, headers, tablefmt="plain", disable_numparse=True)


def times(arithmetic: str) -> str:
    """Write arithmetic as a person does: ``32 x (2 x 4096 x 1024)``."""
    return arithmetic.replace("*", "x")


def number(value: float) -> str:
    """Write a number in full if it is whole, else with six significant digits."""
    value = float(f"{value:.15g}")  # what a change of unit leaves behind
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.6g}"


def catalogue() -> str:
    """List every row of the catalogue, a table per label axis."""
    parts = [_models(), _cards()]
    for label in LABELLED:
        if label not in ("model", "gpu"):
            data = specs.read(label)
            rows = [[r, data["name"].sel({label: r}).item()] for r in data[label].values]
            parts.append(_plain(rows, [label, ""]))
    return "\n\n".join(parts) + "\n\n`prophet-xr specs show NAME` prints one row with its sources."


def _models() -> str:
    names = ["total_parameters", "active_parameters", "kv_per_token"]
    every = known.labels("model")
    cube = sweep(inputs(model=every, gpu="A100-80GB", batch=1, policy="baseline"), names)
    columns = {
        "experts": cube.n_experts,
        "top-k": cube.top_k,
        "MoE layers": cube.moe_layers,
        "total 1e9": shown(cube.total_parameters, "1e9").round(2),
        "active 1e9": shown(cube.active_parameters, "1e9").round(2),
        "KV B/token": cube.kv_per_token,
        "native context": cube.native_context,
    }
    return _columns("model", cube.model.values, columns)


def _cards() -> str:
    data = specs.read("gpu")
    columns = {
        "GB": shown(data.nominal_memory, "GB"),
        "usable GiB": shown(data.usable_memory, "GiB"),
        "GB/s": shown(data.memory_rate, "GB"),
        "TFLOP/s": data.compute_rate / 1e12,
        "host GB/s": shown(data.host_link_rate, "GB"),
    }
    return _columns("gpu", data.gpu.values, columns)


def _columns(label: str, labels, columns: Mapping[str, xr.DataArray]) -> str:
    cells = [[number(v) for v in column.values.tolist()] for column in columns.values()]
    return _plain([[r, *row] for r, *row in zip(labels, *cells, strict=True)], [label, *columns])


def _find(name: str) -> tuple[str, xr.Dataset]:
    """Label axis and row of a label, whatever axis it belongs to, or of a config.json."""
    if name.endswith(".json"):
        return "model", known.spec_from_config(name)
    seen: list[str] = []
    for label in LABELLED:
        for row in known.labels(label):
            if row.lower() == name.lower():
                return label, known.row(label, row)
            seen.append(row)
    raise InputError(f"{name!r} is in no group of the catalogue; {nearest(name, seen)}")


WORDS = ("name", "hf_id", "revision", "stored_precision", "origin", "notes", "config")


def row(name: str) -> str:
    """Describe one row: every number with unit, status and source; a model also by arithmetic."""
    label, data = _find(name)
    texts = [k for k in WORDS if k in data and data[k].item()]
    parts = [f"{data[label].item()} ({QUANTITIES[label].long_name.lower()})"]
    parts.append(_plain([[k, data[k].item()] for k in texts], ["", ""]).strip())
    if label == "model":
        parts.append(breakdown(data))
    rows = [
        [
            q.name,
            number(data[q.name].item()),
            q.units,
            data[f"{q.name}_status"].item(),
            data[f"{q.name}_source"].item(),
        ]
        for q in fields(label)
    ]
    parts.append(_plain(rows, ["field", "value", "unit", "status", "source"]))
    return "\n\n".join(parts)


def arithmetic(data, name: str) -> str:
    """Arithmetic of a field as it was typed, or its value."""
    companion = f"{name}_arithmetic"
    return times(data[companion].item()) if companion in data else number(data[name].item())


def components(data: xr.Dataset) -> list[tuple[str, str, int]]:
    """Parameters of a model row by component: title, arithmetic, count."""
    layers, experts = data.moe_layers.item(), data.n_experts.item()
    each = data.expert_parameters.item()
    text = f"{layers:.0f} layers x {experts:.0f} experts x {arithmetic(data, 'expert_parameters')}"
    rows = [("Routed experts", text, round(layers * experts * each))] if layers else []
    for name in COMPONENTS:
        if data[name].item():
            title = QUANTITIES[name].long_name.removeprefix("Parameters of ")
            title = title[0].upper() + title[1:]
            rows.append((title, arithmetic(data, name), round(data[name].item())))
    return rows


def breakdown(data: xr.Dataset) -> str:
    """Parameters of a model row as a table, with the arithmetic."""
    rows = components(data)
    fixed = kernels.fixed_parameters(*(data[n].item() for n in COMPONENTS))
    layers, each = data.moe_layers.item(), data.expert_parameters.item()
    total = kernels.total_parameters(fixed, layers, data.n_experts.item(), each)
    active = kernels.active_parameters(fixed, layers, data.top_k.item(), each)
    each_token = f"{data.top_k.item():.0f} experts a layer"
    lines = [[*row, f"{row[2] / total:.1%}"] for row in rows]
    lines += [["Total", "", total, ""], ["Active per token", each_token, active, ""]]
    cells = [[title, f"{count:,.0f}", share, text] for title, text, count, share in lines]
    return _plain(cells, ["component", "parameters", "share", "arithmetic"])


LETTERS = {
    **{"fixed_memory": "F", "expert_memory": "E", "predictor_memory": "P"},
    **{"activation_memory": "A", "non_torch_memory": "N", "graph_memory": "G"},
    **{"table_memory": "T"},
}
LEGEND = (
    "F fixed weights, E experts, P predictor, A activations, N device context and exchange, "
    "G CUDA graphs, T token table, K KV cache at the context, . free"
)
PARTS = {
    **{"fixed_memory": "Fixed weights", "expert_memory": "Expert memory"},
    **{"predictor_memory": "Predictor", "activation_memory": "Activation peak"},
    **{"non_torch_memory": "Device context, exchange", "graph_memory": "CUDA graphs"},
    **{"table_memory": "Token table", "reserved_memory": "Left alone by the runtime"},
    **{"memory_budget": "Memory budget"},
}


def fit(cube) -> str:
    """Answer for one configuration: a column per policy.

    Reads a cube whose axes are scalars but the policy.
    """
    policies = [str(p) for p in cube.policy.values.reshape(-1)]
    each = [cube.sel(policy=p) if cube.policy.ndim else cube for p in policies]

    def line(title: str, text) -> list[str]:
        return [title, *(text(c) for c in each)]

    def gib(name: str):
        return lambda c: f"{shown(c[name], 'GiB').item():,.2f} GiB"

    flags = str(cube.reason.attrs["flag_meanings"]).split()
    rows = [
        line("Serves the context", lambda c: "yes" if c.serves_context else "no"),
        line("  why", lambda c: flags[int(c.reason)].replace("_", " ")),
        line(
            "Experts per layer resident",
            lambda c: f"{c.resident_experts.item():.4g} of {c.n_experts.item():.0f}",
        ),
        *(line(title, gib(name)) for name, title in PARTS.items()),
        line("KV cache at the context", gib("kv_memory")),
        line("Left for the KV cache", gib("kv_budget")),
        line("Sequences of the context at once", lambda c: f"{c.concurrent_sequences.item():,.1f}"),
        line("Tokens in them", lambda c: f"{c.kv_capacity.item():,.0f}"),
        line("Longest context that fits", lambda c: f"{c.max_context.item():,} tokens"),
        line(
            "KV extension",
            lambda c: f"{c.kv_extension.item():.2f}x" if c.kv_extension == c.kv_extension else "-",
        ),
        line("Host link per step", lambda c: f"{shown(c.link_traffic, 'MB').item():,.1f} MB"),
        line("Time per output token", lambda c: f"{shown(c.step_time, 'ms').item():,.2f} ms"),
        line("Output tokens per second", lambda c: f"{c.throughput.item():,.1f}"),
    ]
    where = (
        f"{cube.model.item()} on {cube.gpu.item()}: batch {cube.batch.item():g}, "
        f"context {cube.context.item():,.0f}, {cube.precision.item()} weights, "
        f"{cube.kv_precision.item()} KV cache, runtime {cube.runtime.item()}, "
        f"plan {cube.plan.item()}"
    )
    note = (
        "Step times are bounds at datasheet rates; where the weights do not fit they are what-ifs."
    )
    wide = max(map(len, policies))
    bars = "\n".join(f"{p:>{wide}} {bar(c)}" for p, c in zip(policies, each, strict=True))
    parts = [where, bars, LEGEND, _plain(rows, ["", *policies]), *advice(cube), note]
    return "\n\n".join(parts)


def refuse_impossible(cube: xr.Dataset) -> None:
    """Raise InputError for a plan that the model of one configuration cannot have."""
    code = int(cube.plan_reason)
    if code:
        problem = str(cube.plan_reason.attrs["flag_meanings"]).split()[code].replace("_", " ")
        raise InputError(
            f"plan={cube.plan.item()!r} at model={cube.model.item()!r}: {problem}; it has "
            f"{cube.attention_heads.item():.0f} heads, {cube.kv_heads.item():.0f} KV heads, "
            f"{cube.n_experts.item():.0f} experts, {cube.n_layers.item():.0f} layers"
        )


def bar(cell: xr.Dataset, width: int = 60) -> str:
    """One GPU's memory as a bar of text: a letter per part, a dot for what is free.

    Where the parts exceed the card a mark shows where it ends.
    """
    budget, reserved = cell.memory_budget.item(), cell.reserved_memory.item()
    card = budget + reserved
    sizes = {letter: cell[name].item() for name, letter in LETTERS.items()}
    sizes["K"] = min(cell.kv_memory.item(), max(cell.kv_budget.item(), 0.0))
    text, done = "", 0.0
    for letter, size in sizes.items():
        done += size
        text += letter * (round(done / card * width) - len(text))
    text = text[: 2 * width]
    if len(text) > width:
        return f"{text[:width]}|{text[width:]} over by {max(0.0, done - card) / 2**30:,.1f} GiB"
    return f"{text:.<{width}}| {card / 2**30:,.1f} GiB"


def advice(cube: xr.Dataset) -> list[str]:
    """What would serve the context, where no policy does: a precision, a plan or a card."""
    if bool(cube.serves_context.any()):
        return []
    least = (cube.static_memory + cube.kv_memory).min().item() + cube.reserved_memory.min().item()
    text = f"Nothing serves it: {least / 2**30:,.1f} GiB per GPU would do."
    cards = specs.read("gpu")
    enough = cards.usable_memory >= least / cube.utilization.item()
    names = cards.gpu.values[enough.values].tolist()
    if names:
        return [f"{text} Cards of that size: {', '.join(map(str, names))}."]
    return [f"{text} No card is that large; a plan over more GPUs (--plan) or --precision fp8."]


def metric_table() -> str:
    """Markdown table of every metric: name, unit, title and formula."""
    rows = [[f"`{q.name}`", q.units, q.long_name, q.comment] for q in metrics()]
    return tabulate(
        rows, ["metric", "unit", "what it is", "formula"], tablefmt="pipe", disable_numparse=True
    )
