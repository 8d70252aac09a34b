"""Catalogue -> Markdown: the architectures and the parameter breakdown of the study's models."""

import pandas as pd

from prophet_xr.catalogue import specs
from prophet_xr.grid import inputs, sweep
from prophet_xr.reporting.markdown import markdown
from prophet_xr.reporting.numbers import arithmetic_text, number_text
from prophet_xr.terminal.catalogue_text import arithmetic_of, components

_FIELDS = (
    *("n_layers", "moe_layers", "hidden_size", "n_experts", "top_k", "expert_matrices"),
    *("expert_parameters", "kv_full", "native_context"),
)
KV_PARTS = (
    ("kv_full", "every token"),
    ("kv_windowed", "tokens inside the window"),
    ("kv_cross", "encoder tokens"),
)


def _cube():
    names = [
        "total_parameters",
        "active_parameters",
        "fixed_parameters",
        "kv_per_token",
        "expert_size",
        "kv_memory",
    ]
    every = specs.read("model").model.values.tolist()
    return sweep(inputs(model=every, gpu="A100-80GB", batch=1, policy="baseline"), names)[names]


def architectures() -> str:
    """Architectures of the models: shape, experts, KV cache, origin, and what the study says."""
    cube, data, study = _cube(), specs.read("model"), specs.read("published/model")
    shape = pd.DataFrame(
        {
            "model": data["name"].values,
            "layers": data.n_layers.values.astype(int),
            "MoE layers": data.moe_layers.values.astype(int),
            "hidden": data.hidden_size.values.astype(int),
            "experts": data.n_experts.values.astype(int),
            "top-k": data.top_k.values.astype(int),
            "total [1e9]": cube.total_parameters.sel(model=data.model).values / 1e9,
            "active [1e9]": cube.active_parameters.sel(model=data.model).values / 1e9,
            "KV [B/token]": cube.kv_per_token.sel(model=data.model).values.astype(int),
            "native context": data.native_context.values.astype(int),
        }
    )
    parts = [
        "# Architectures of the studied MoE models",
        "Counted from each model's `config.json` (`data/configs/`), key by key; `prophet-xr specs "
        "show NAME` names the keys of every number. The first sixteen are the published study's. "
        "Parameters are exact counts; KV bytes are for a 16-bit cache and one sequence.",
        "## Shapes",
        markdown(shape),
        "## Where the study's constants differ from the architecture",
        "Left the study, right the architecture; only what differs.",
        markdown(_differences(data, study)),
        "## Models",
    ]
    for label in data.model.values:
        parts.append(_architecture(data.sel(model=label), cube.sel(model=label)))
    return "\n\n".join(parts) + "\n"


def _differences(data, study) -> pd.DataFrame:
    rows = []
    true = data.sel(model=study.model)
    for field in _FIELDS:
        title = data[field].attrs["long_name"]
        known = (true["name"], true[field], study[field], study[f"{field}_status"])
        for name, right, counted, status in zip(*(v.values for v in known), strict=True):
            if abs(right - counted) > 1e-9 * right:
                rows.append([name, title, number_text(round(counted)), status, number_text(right)])
    heads = ["model", "quantity", "study", "how the study's value is known", "architecture"]
    return pd.DataFrame(rows, columns=heads).sort_values("model", kind="stable")


def _architecture(m, cell) -> str:
    e, k = int(m.n_experts), int(m.top_k)
    lines = [
        f"### {m['name'].item()}",
        f"- Identifier: `{m.hf_id.item()}`. Origin: {m.origin.item()}.",
        f"- {int(m.n_layers)} layers, hidden size {int(m.hidden_size):,}; {int(m.moe_layers)} "
        f"layers hold {e} routed experts, {k} per token ({k / e:.1%} of a layer).",
        f"- {cell.total_parameters.item():,.0f} parameters, {cell.active_parameters.item():,.0f} "
        f"active per token; one expert takes {cell.expert_size.item() / 1e6:,.2f} MB in 16 bits.",
    ]
    for field, when in KV_PARTS:
        if m[field].item():
            lines.append(
                f"- KV cache over {when}: {arithmetic_of(m, field)} = "
                f"{number_text(m[field].item())} elements per token "
                f"({m[f'{field}_source'].item()})."
            )
    if m.state_size.item():
        lines.append(f"- Constant state: {number_text(m.state_size.item())} B per sequence.")
    if m.notes.item():
        lines.append(f"- Note: {m.notes.item()}")
    return "\n".join(lines)


def breakdowns() -> str:
    """Parameters of every model by component, with the arithmetic and where its terms come from."""
    cube, data = _cube(), specs.read("model")
    parts = [
        "# Parameter breakdown",
        "Every count is arithmetic on the model's configuration, evaluated when the catalogue is "
        "built; totals are the sum of the rows above them.",
    ]
    for label in data.model.values:
        m, cell = data.sel(model=label), cube.sel(model=label)
        rows = components(m)
        frame = pd.DataFrame(
            {
                "component": [title for title, _, _ in rows],
                "arithmetic": [f"`{text}`" for _, text, _ in rows],
                "parameters": [count for _, _, count in rows],
                "share [%]": [100 * count / cell.total_parameters.item() for *_, count in rows],
            }
        )
        expert = arithmetic_text(arithmetic_of(m, "expert_parameters"))
        parts += [
            f"## {m['name'].item()}",
            f"One expert: {expert} = {number_text(m.expert_parameters.item())} parameters, "
            f"{number_text(cell.expert_size.item())} B in 16 bits "
            f"({m.expert_parameters_source.item()}).",
            markdown(frame),
            f"Total **{cell.total_parameters.item():,.0f}**, active per token "
            f"**{cell.active_parameters.item():,.0f}**, evictable "
            f"{1 - cell.fixed_parameters.item() / cell.total_parameters.item():.1%}.",
        ]
    return "\n\n".join(parts) + "\n"
