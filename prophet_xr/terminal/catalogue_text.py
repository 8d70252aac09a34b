"""Text for a terminal: the catalogue, one row of it with its arithmetic, one configuration."""

import inspect
from collections.abc import Iterable, Mapping
from itertools import groupby
from math import inf

import numpy as np
import xarray as xr

from prophet_xr import kernels
from prophet_xr.catalogue import lookup as known
from prophet_xr.catalogue import specs
from prophet_xr.errors import InputError, SpecError, nearest
from prophet_xr.grid import inputs, sweep
from prophet_xr.registry import LABELLED, QUANTITIES, Quantity, fields, inputs_of, metrics, required
from prophet_xr.reporting.numbers import arithmetic_text, number_text, pipes, shown, text_table

COMPONENTS = QUANTITIES["fixed_parameters"].inputs


def catalogue() -> str:
    """List every row of the catalogue, a table per label axis."""
    parts = [_models(), _cards()]
    for label in LABELLED:
        if label not in ("model", "gpu"):
            data = specs.read(label)
            rows = [[r, data["name"].sel({label: r}).item()] for r in data[label].values]
            parts.append(text_table(rows, [label, ""]))
    return "\n\n".join(parts) + "\n\n`prophet-xr specs show NAME` prints one row with its sources."


def _models() -> str:
    names = ["total_parameters", "active_parameters", "kv_per_token"]
    every, problems = _readable(known.known_labels("model"))
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
    cells = [[number_text(v) for v in column.values.tolist()] for column in columns.values()]
    return text_table(
        [[r, *row] for r, *row in zip(labels, *cells, strict=True)], [label, *columns]
    )


def _find(name: str) -> tuple[str, xr.Dataset]:
    """Label axis and row of a label, whatever axis it belongs to, or of a config.json."""
    if name.endswith(".json"):
        return "model", known.spec_from_config(name)
    seen: list[str] = []
    for label in LABELLED:
        for row in known.known_labels(label):
            if row.lower() == name.lower():
                return label, known.row(label, row)
            seen.append(row)
    words = nearest(name, seen, "`prophet-xr specs`")
    raise InputError(f"{name!r} is in no group of the catalogue; {words}")


_WORDS = ("name", "hf_id", "revision", "stored_precision", "origin", "notes", "config")


def row_text(name: str) -> str:
    """Describe one row: every number with unit, status and source; a model also by arithmetic."""
    label, data = _find(name)
    texts = [k for k in _WORDS if k in data and data[k].item()]
    parts = [f"{data[label].item()} ({QUANTITIES[label].long_name.lower()})"]
    parts.append(text_table([[k, data[k].item()] for k in texts], ["", ""]).strip())
    if label == "model":
        parts.append(breakdown(data))
    rows = [
        [
            q.name,
            number_text(data[q.name].item()),
            q.units,
            data[f"{q.name}_status"].item(),
            data[f"{q.name}_source"].item(),
        ]
        for q in fields(label)
    ]
    parts.append(text_table(rows, ["field", "value", "unit", "status", "source"]))
    return "\n\n".join(parts)


def arithmetic_of(data, name: str) -> str:
    """Arithmetic of a field as it was typed, or its value."""
    companion = f"{name}_arithmetic"
    return (
        arithmetic_text(data[companion].item())
        if companion in data
        else number_text(data[name].item())
    )


def components(data: xr.Dataset) -> list[tuple[str, str, int]]:
    """Parameters of a model row by component: title, arithmetic, count."""
    layers, experts = data.moe_layers.item(), data.n_experts.item()
    each = data.expert_parameters.item()
    text = (
        f"{layers:.0f} layers x {experts:.0f} experts x {arithmetic_of(data, 'expert_parameters')}"
    )
    rows = [("Routed experts", text, round(layers * experts * each))] if layers else []
    for name in COMPONENTS:
        if data[name].item():
            title = QUANTITIES[name].long_name.removeprefix("Parameters of ")
            title = title[0].upper() + title[1:]
            rows.append((title, arithmetic_of(data, name), round(data[name].item())))
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
    return text_table(cells, ["component", "parameters", "share", "arithmetic"])


def metric_table() -> str:
    """Markdown table of every metric: name, unit, title and formula."""
    rows = [[f"`{q.name}`", q.units, q.long_name, q.comment] for q in metrics()]
    return pipes(rows, ["metric", "unit", "what it is", "formula"])


# --- Pages of the documentation --------------------------------------------------------------

GENERATED = "<!-- Written by `prophet-xr {0} > docs/{0}.md`; do not edit. -->"
_METRICS = """A metric is one number that a sweep computes. The tables follow the order of
evaluation: each metric reads only inputs ([inputs.md](inputs.md)) and metrics that stand above it.

- *unit*: SI; 1 is a plain number. `B` is a byte, `token` a token of one sequence.
- *reads*: the arguments of the formula. `baseline_x` is the metric `x` under the policy `baseline`.
- *can vary with*: the axes that the metric depends on, through everything it reads. A cube has
  those of them that the inputs give as lists, and any other dimension that an input carries. A
  field of a row varies with the label axis of the row; `context`, where it is not given, with
  `model`; and what reads `max_sequences` or `max_batched_tokens` also with `gpu`, where the runtime
  leaves that limit to the card."""
INPUTS = """`px.inputs(name=value)` takes every name on this page, and so does the command line as
`--set name=value`. Numbers are in the unit given here: SI, where 1 is a plain number and `B` a
byte. A value outside the bounds is refused. A list becomes a dimension of the cube, a single value
does not."""
_AXES = """An axis of labels chooses rows: each label stands for one row of the fields below. The
default is that of `px.inputs()`; `px.inputs("published")` takes the runtime `study`, and the models
with the constants of the published study."""
_NUMBERS = """\
`context` is the native context of each model where it is not given. `gpu_price` has no
default: without it there is no `token_cost`. The source of each default is in
`data/defaults.toml`."""
_FIELDS = """The label of a row gives these numbers. A number that is given to `px.inputs` replaces
that of the row. `prophet-xr specs show NAME` prints a row with the source of each number."""


def metrics_page() -> str:
    """Page that lists every metric: unit, title, formula, what it reads and varies with."""
    parts = ["# Metrics", GENERATED.format("metrics"), _METRICS]
    for module, group in groupby(metrics(), lambda q: inspect.getmodule(q.formula)):
        parts += [f"## {_topic(inspect.getdoc(module) or '')}", _metric_rows(group)]
    return "\n\n".join(parts)


def _topic(doc: str) -> str:
    """First clause of a docstring, as a heading."""
    return doc.partition("\n")[0].partition(";")[0].partition(":")[0].rstrip(".")


def _metric_rows(group: Iterable[Quantity]) -> str:
    rows = [
        [f"`{q.name}`", q.units, q.long_name, _power(q.comment), _code(q.inputs), _code(axes)]
        for q, axes in ((q, axes_of(q.name)) for q in group)
    ]
    return _table(["metric", "unit", "what it is", "formula", "reads", "can vary with"], rows)


def _power(formula: str) -> str:
    """Write powers as Markdown can show them, in which two asterisks begin bold type."""
    return formula.replace("**", "^")


def axes_of(name: str) -> list[str]:
    """Axes that a metric can vary with, in the order of the dims of a cube."""
    leaves = inputs_of(required([name]))
    axes = {QUANTITIES[leaf].of or leaf for leaf in leaves}
    return [axis for axis in QUANTITIES if axis in axes]


def inputs_page() -> str:
    """Page that lists every input: unit, bounds, default, meaning, by label axis."""
    parts = ["# Inputs", GENERATED.format("inputs"), INPUTS]
    parts += ["## Axes of labels", _AXES, _label_rows()]
    parts += ["## Axes of numbers", _NUMBERS, _number_rows()]
    parts += ["## Fields of the rows", _FIELDS]
    for label in LABELLED:
        parts += [f"### Fields of `{label}`", _field_rows(label)]
    return "\n\n".join(parts)


def _label_rows() -> str:
    defaults = specs.read("defaults")
    rows = []
    for label in LABELLED:
        names = ", ".join(f"`{name}`" for name in specs.rows(label)[label].values.tolist())
        if label == "plan":
            names += ", and any of the grammar `tp8`, `tp8-pp2`, `dp8-ep8`"
        if label == "precision":
            names += ", and `stored`: each model as its checkpoint is published"
        if label == "model":
            names += ", any row of `px.spec_from_config`, and what `prophet-xr specs add` keeps"
        default = _code(np.atleast_1d(defaults[label].values).tolist())
        rows.append([f"`{label}`", QUANTITIES[label].long_name, default, names])
    return _table(["axis", "meaning", "default", "labels"], rows)


def _number_rows() -> str:
    numbers = [q for q in QUANTITIES.values() if not q.formula and not q.of and q.units]
    rows = [[f"`{q.name}`", q.units, _bounds(q), _default(q.name), q.long_name] for q in numbers]
    return _table(["input", "unit", "bounds", "default", "meaning"], rows)


def _default(name: str) -> str:
    """Default of an axis of numbers as text."""
    defaults = specs.read("defaults")
    if name not in defaults:
        return "`native_context`" if name == "context" else "none"
    return ", ".join(f"{value:g}" for value in np.atleast_1d(defaults[name].values).tolist())


def _field_rows(label: str) -> str:
    rows = [[f"`{q.name}`", q.units, _bounds(q), q.long_name] for q in fields(label)]
    return _table(["field", "unit", "bounds", "meaning"], rows)


def _bounds(q: Quantity) -> str:
    low, high = q.bounds
    return f"at least {low:g}" if high == inf else f"{low:g} to {high:g}"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """Markdown table without padding, so that a change of one row is a change of one line."""
    cells = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
