"""Text for a terminal: the catalogue, one row of it with its arithmetic, one configuration."""

from collections.abc import Mapping

import xarray as xr
from tabulate import tabulate

from prophet_xr import catalogue as known
from prophet_xr import kernels, specs
from prophet_xr.errors import InputError, SpecError, nearest
from prophet_xr.errors import shown as shorter
from prophet_xr.grid import inputs, sweep
from prophet_xr.reduce import shown
from prophet_xr.registry import LABELLED, QUANTITIES, fields, metrics

COMPONENTS = QUANTITIES["fixed_parameters"].inputs


def plain(rows: list[list], headers: list[str]) -> str:
    """Table of text in columns, without rules."""
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
            parts.append(plain(rows, [label, ""]))
    return "\n\n".join(parts) + "\n\n`prophet-xr specs show NAME` prints one row with its sources."


def _models() -> str:
    names = ["total_parameters", "active_parameters", "kv_per_token"]
    every, problems = _readable(known.labels("model"))
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
    return "\n\n".join([_columns("model", cube.model.values, columns), *problems])


def _readable(labels: list[str]) -> tuple[list[str], list[str]]:
    """Models that can be read, and what is wrong with the rest: files of the user's."""
    good, problems = [], []
    for label in labels:
        try:
            known.row("model", label)
            good.append(label)
        except SpecError as problem:
            problems.append(str(problem))
    return good, problems


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
    return plain([[r, *row] for r, *row in zip(labels, *cells, strict=True)], [label, *columns])


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
    words = nearest(name, seen, "`prophet-xr specs`")
    raise InputError(f"{shorter(name)} is in no group of the catalogue; {words}")


WORDS = ("name", "hf_id", "revision", "stored_precision", "origin", "notes", "config")


def row(name: str) -> str:
    """Describe one row: every number with unit, status and source; a model also by arithmetic."""
    label, data = _find(name)
    texts = [k for k in WORDS if k in data and data[k].item()]
    parts = [f"{data[label].item()} ({QUANTITIES[label].long_name.lower()})"]
    parts.append(plain([[k, data[k].item()] for k in texts], ["", ""]).strip())
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
    parts.append(plain(rows, ["field", "value", "unit", "status", "source"]))
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
    return plain(cells, ["component", "parameters", "share", "arithmetic"])


def metric_table() -> str:
    """Markdown table of every metric: name, unit, title and formula."""
    rows = [[f"`{q.name}`", q.units, q.long_name, q.comment] for q in metrics()]
    return tabulate(
        rows, ["metric", "unit", "what it is", "formula"], tablefmt="pipe", disable_numparse=True
    )
