"""Does one configuration fit: the answer as text, with what would serve it where it does not."""

from collections.abc import Callable, Iterable, Mapping

import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.catalogue.plans import USUAL
from prophet_xr.errors import InputError
from prophet_xr.grid import Values, inputs, sweep
from prophet_xr.queries.cheapest import cheapest, min_gpus
from prophet_xr.reporting.numbers import shown, text_table

LETTERS = {
    **{"fixed_memory": "F", "expert_memory": "E", "predictor_memory": "P"},
    **{"activation_memory": "A", "non_torch_memory": "N", "graph_memory": "G"},
    **{"table_memory": "T", "pool_memory": "K"},
}
LEGEND = (
    "F fixed weights, E experts, P predictor, A activations, N device context and exchange, "
    "G CUDA graphs,\nT token table, K KV cache of the batch, . room for more of it, "
    "- left alone by the runtime"
)
_PARTS = {
    **{"fixed_memory": "Fixed weights", "expert_memory": "Expert memory"},
    **{"predictor_memory": "Predictor", "activation_memory": "Activation peak"},
    **{"non_torch_memory": "Device context, exchange", "graph_memory": "CUDA graphs"},
    **{"table_memory": "Token table", "kv_budget": "Left for the KV cache"},
    **{"memory_budget": "Memory budget", "reserved_memory": "Left alone by the runtime"},
}
NOTE = (
    "Sequences and tokens are the room that this batch leaves: more sequences may need more.\n"
    "Step times are bounds at datasheet rates; where the weights do not fit they are what-ifs."
)
_NOTHING = "-"


def answer(study: str, chosen: Mapping[str, Values]) -> str:
    """Answer for one configuration, given as for `inputs`: a column per policy.

    Raises InputError as `sweep` does, and for a plan that the model cannot have.
    """
    if isinstance(policy := chosen.get("policy"), str):
        chosen = {**chosen, "policy": [policy]}
    cube = sweep(inputs(study, **chosen))
    refuse_impossible(cube)
    policies = [str(p) for p in cube.policy.values]
    wide = max(map(len, policies))
    bars = "\n".join(f"{p:>{wide}} {bar(cube.sel(policy=p))}" for p in policies)
    lost = [p for p in policies if not cube.serves_context.sel(policy=p)]
    parts = [heading(cube), bars, LEGEND, text_table(policy_rows(cube), ["", *policies])]
    if lost:
        parts.append(
            text_table(remedies(study, chosen, cube, lost), ["What would serve it", *lost])
        )
    return "\n\n".join([*parts, NOTE])


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


def heading(cube: xr.Dataset) -> str:
    """Name the configuration in a line."""
    count = int(cube.n_gpus)
    cards = f"{count} x {cube.gpu.item()} as {cube.plan.item()}" if count > 1 else cube.gpu.item()
    return (
        f"{cube.model.item()} on {cards}: batch {cube.batch.item():g}, context "
        f"{cube.context.item():,.0f}, {cube.precision.item()} weights, "
        f"{cube.kv_precision.item()} KV cache, runtime {cube.runtime.item()}"
    )


def bar(cell: xr.Dataset, width: int = 60) -> str:
    """One GPU's memory as a bar of text, to scale: a letter per part, and what is left.

    Parts beyond the card stand behind its end; what is lacking to the budget is said.
    """
    budget = cell.memory_budget.item()
    card = budget + cell.reserved_memory.item()
    text, done = "", 0.0
    for name, letter in LETTERS.items():
        done += cell[name].item()
        text += letter * (round(done / card * width) - len(text))
    text += "." * (round(budget / card * width) - len(text))
    text = f"{text[: 2 * width]:-<{width}}"
    short = f", short by {(done - budget) / 2**30:,.1f} GiB" if done > budget else ""
    return f"{text[:width]}|{text[width:]} {card / 2**30:,.1f} GiB{short}"


def policy_rows(cube: xr.Dataset) -> list[list[str]]:
    """Lines of the table: a title, and a cell per policy."""
    flags = str(cube.reason.attrs["flag_meanings"]).split()
    several = int(cube.n_gpus) > 1
    lines: list[tuple[str, Callable[[xr.Dataset], str]]] = [
        ("Serves the context", lambda c: "yes" if c.serves_context else "no"),
        ("  why", lambda c: flags[int(c.reason)].replace("_", " ")),
        ("Experts per layer resident", _resident),
        *((title, _gib(name)) for name, title in _PARTS.items()),
        ("KV cache of the batch", _gib("pool_memory")),
        ("Sequences of the context at once", lambda c: f"{c.concurrent_sequences.item():,.1f}"),
        ("Tokens in them", lambda c: f"{c.kv_capacity.item():,.0f}"),
        ("Longest context that fits", lambda c: f"{c.max_context.item():,} tokens"),
        ("KV extension", lambda c: _or_nothing(c.kv_extension, "{:.2f}x")),
        ("Host link per step", lambda c: f"{shown(c.link_traffic, 'MB').item():,.1f} MB"),
        *([("Exchange in a step", _share)] if several else []),
        ("Time per output token", lambda c: f"{shown(c.step_time, 'ms').item():,.2f} ms"),
        ("Output tokens per second", lambda c: f"{c.throughput.item():,.1f}"),
    ]
    if "token_cost" in cube:
        lines.append(("Cost of a million tokens", lambda c: f"{1e6 * c.token_cost.item():,.2f}"))
    each = [cube.isel(policy=i) for i in range(cube.sizes["policy"])]
    return [[title, *(text(c) for c in each)] for title, text in lines]


def _resident(cell: xr.Dataset) -> str:
    return f"{cell.resident_experts.item():.4g} of {cell.n_experts.item():.0f}"


def _share(cell: xr.Dataset) -> str:
    return f"{shown(cell.communication_share, '%').item():.1f} %"


def _gib(name: str) -> Callable[[xr.Dataset], str]:
    return lambda c: f"{shown(c[name], 'GiB').item():,.2f} GiB"


def _or_nothing(value: xr.DataArray, form: str) -> str:
    return form.format(value.item()) if value == value else _NOTHING


# --- What would serve it ---------------------------------------------------------------------


def remedies(
    study: str, chosen: Mapping[str, Values], cube: xr.Dataset, lost: list[str]
) -> list[list[str]]:
    """Find by query the least change of each kind that serves the policies named in ``lost``."""

    def with_(**change: object) -> xr.Dataset:
        return inputs(study, **{**chosen, "policy": lost, **change})  # pyright: ignore

    cards = cheapest(with_(gpu=specs.read("gpu").gpu.values.tolist()))
    plans = min_gpus(with_(plan=USUAL))
    wider = [
        f"{p} ({n:.0f} GPUs)" if p else _NOTHING
        for p, n in zip(plans["plan"].values, plans.min_gpus.values, strict=True)
    ]
    found = [
        ["the smallest card", *(str(g) or _NOTHING for g in cards["gpu"].values)],
        [f"the fewest {cube.gpu.item()}", *wider],
        ["the widest weights", *_widest(with_(precision=_precisions(cube)))],
    ]
    if cube.kv_width > 1:
        narrow = sweep(with_(kv_precision="fp8"), ["serves_context"]).serves_context
        found.append(["an fp8 KV cache", *("yes" if s else _NOTHING for s in narrow.values)])
    for name in ("batch", "context"):
        if halves := list(_halves(cube[name].item())):
            found.append([f"a {name} of", *_largest(with_(**{name: halves}), name)])
    return found


def _halves(number: float) -> Iterable[float]:
    while (number := number // 2) >= 1:
        yield number


def _precisions(cube: xr.Dataset) -> list[str]:
    """Precisions of any kernel, and that of the checkpoint."""
    table = specs.read("precision")
    own = str(cube.stored_precision.item()) if "stored_precision" in cube.coords else ""
    any_ = (table.hidden_multiple == 1) | (table.precision == own)
    return table.precision.values[any_.values].tolist()


def _widest(data: xr.Dataset) -> list[str]:
    """Precision of the largest weights that serve, per policy."""
    cube = sweep(data, ["serves_context", "fixed_memory", "expert_memory"])
    weights = (cube.fixed_memory + cube.expert_memory).where(cube.serves_context, -1.0)
    best = weights.idxmax("precision").where(cube.serves_context.any("precision"), _NOTHING)
    return [str(p) for p in best.values]


def _largest(data: xr.Dataset, name: str) -> list[str]:
    """Largest value of an axis that serves, per policy."""
    values = sweep(data, ["serves_context"]).serves_context * data[name]
    return [f"{v:,.0f}" if v else _NOTHING for v in values.max(name).values]
