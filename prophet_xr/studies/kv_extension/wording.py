"""Cubes -> sentences: what a reader must know first, each number selected where it stands."""

import numpy as np
import xarray as xr

from prophet_xr.reporting.numbers import listed, shown
from prophet_xr.studies.published.averages import (
    AVERAGES,
    by_expert_count,
    extension,
)

# --- Words ---------------------------------------------------------------------------------


def display(cube: xr.Dataset, model: str) -> str:
    """Name of a model as people write it."""
    return str(cube.model_name.sel(model=model).item())


def ratio_text(value: float) -> str:
    """Write a ratio."""
    return f"{value:.2f}x" if np.isfinite(value) else "none"


def winners(groups: xr.Dataset) -> str:
    """Say which expert count leads by each average of `by_expert_count`."""
    parts = []
    for title, name in AVERAGES.items():
        best = groups[name].fillna(-1.0).idxmax("experts").item()
        parts.append(
            f"{best:.0f} by the {title} ({ratio_text(groups[name].sel(experts=best).item())})"
        )
    return ", ".join(parts)


def gpu_share(cube: xr.Dataset, model: str) -> xr.DataArray:
    """Share of each GPU in the sum behind a model's average extension."""
    cells = cube.kv_extension.sel(model=model, policy="prophet").sum("batch")
    return cells / cells.sum()


# --- The first page ------------------------------------------------------------------------


def edge(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say which GPU the best average rests on."""
    mean = extension(published.sel(policy="prophet"))["mean"]
    best = str(mean.idxmax("model").item())
    share = gpu_share(published, best)
    gpu = str(share.idxmax("gpu").item())
    cell = published.kv_extension.sel(model=best, gpu=gpu, policy="prophet")
    room = published.kv_budget.sel(model=best, gpu=gpu, policy="baseline").sel(batch=1)
    return (
        f"**The best average rests on one GPU at the edge of memory.** {share.max().item():.0%} of "
        f"{display(published, best)}'s {ratio_text(mean.max().item())} comes from {gpu}, where "
        f"{shown(room, 'GB').item():.2f} GB are left for the KV cache and batch 1 alone is "
        f"{ratio_text(cell.sel(batch=1).item())}. A mean of ratios is ruled by such cells; read "
        f"medians and tokens first."
    )


def mixtral_headline(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say why the batch-1 headline has no true value."""
    cell = verified.sel(model="mixtral-8x7b", gpu="A100-80GB", policy="baseline")
    weights = shown(cell.static_memory.isel(batch=0), "GB").item()
    budget = shown(cell.memory_budget, "GB").item()
    counted = published.sel(model="mixtral-8x7b", policy="baseline").static_memory
    before = shown(counted.isel(batch=0), "GB").item()
    prophet = verified.sel(model="mixtral-8x7b", gpu="A100-80GB", policy="prophet", batch=1)
    tokens, native = prophet.max_context.item(), int(prophet.native_context)
    return (
        f"**Mixtral-8x7B in bf16 does not fit 80 GB.** Its weights need {weights:.1f} GB where a "
        f"process can allocate {budget:.1f} GB; the study counted {before:.1f} GB, with two "
        f"matrices per expert where the model has three. There is no baseline to extend, so the "
        f"batch-1 headline has no true value. With Prophet the card would hold {tokens:,} tokens "
        f"of KV cache: not one context, which ends at the native {native:,}, but "
        f"{tokens // native} of them."
    )


def optimal(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say what the ranking of expert counts averages over."""
    groups, true = (by_expert_count(c.sel(policy="prophet")) for c in (published, verified))
    best = int(groups["mean"].idxmax("experts").item())
    dead = int((groups.models - groups.models_fitting).sum().item())
    return (
        f'**"{best} experts is optimal" depends on the average.** {dead} of '
        f"{int(groups.models.sum())} models never fit one GPU and count as 0 in the study's group "
        f"means. Under its constants the lead is {winners(groups)}; verified, {winners(true)}. "
        f"Models of unlike size are compared, not expert counts."
    )


def extension_spread(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say how extension spreads under the true architectures."""
    true = extension(verified.sel(policy="prophet"), ["model", "gpu", "batch"])
    cells = f"{int(true.cells_fitting)} of {int(true.cells)}"
    return (
        f"**Verified, the models fit with and without Prophet in {cells} cells.** There the median "
        f"extension is {ratio_text(true.median_fitting.item())}, the mean "
        f"{ratio_text(true.mean_fitting.item())} and the largest {ratio_text(true.largest.item())}."
    )


def bandwidth(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say what a hit rate costs on the host link."""
    cell = verified.sel(gpu="A100-80GB", batch=1)
    both = cell.fits.all("policy")
    own = cell.sel(policy="prophet")
    slow, fits = own.slowdown.where(both), own.slowdown.where(own.fits)
    hit = verified.hit_rate.item()
    text = (
        f"**Prediction hides latency; it does not create bandwidth.** With only a batch's experts "
        f"resident, a hit rate of {hit:.1%} still moves each expert that was not there before over "
        f"the host link. On A100-80GB at batch 1, with experts repeating as measured traces do, a "
        f"step of the models that fit with and without Prophet takes {_most(cell, -slow)} to "
        f"{_most(cell, slow)} the all-resident time"
    )
    if fits.max() > slow.max():
        text += (
            f"; {_most(cell, fits)} is a what-if, for without Prophet that model does not fit the "
            f"card"
        )
    return f"{text}."


def _most(cell: xr.Dataset, slow: xr.DataArray) -> str:
    """Write the largest number and whose it is; of numbers below 0, their size."""
    model = str(slow.idxmax("model").item())
    return f"{ratio_text(abs(slow.max().item()))} ({display(cell, model)})"


def origin(published: xr.Dataset) -> str:
    """Say what the published study is."""
    sizes = [published.sizes[d] for d in ("model", "gpu", "batch")]
    models, gpus, batches = sizes
    return (
        f"**The study** is *Prophet KV Cache Extension*, an analysis finished on 2025-01-24: "
        f"{models} open MoE models x {gpus} GPUs ({listed(published.gpu.values.tolist())}) x "
        f"{batches} batches ({listed([str(b) for b in published.batch.values])}), "
        f"{np.prod(sizes)} configurations of 24 metrics. It is known by what it prints: a summary, "
        f"a report, and notes on architectures, parameters, memory and several GPUs; its code and "
        f"data are not public. Its constants are recovered from its numbers."
    )


# --- Models --------------------------------------------------------------------------------


def moves(cube: xr.Dataset, mean: xr.DataArray) -> str:
    """Say for each model which step moves its average most."""
    lines = [f"Largest moves of the {next(iter(AVERAGES))}:", ""]
    steps = cube.step.values.tolist()
    for model in cube.model.values:
        row = mean.sel(model=model)
        step = str(abs(row.diff("step")).idxmax("step").item())
        before = row.sel(step=steps[steps.index(step) - 1]).item()
        lines.append(
            f"- {display(cube, model)}: {ratio_text(row.isel(step=0).item())} becomes "
            f"{ratio_text(row.isel(step=-1).item())}; the largest move is "
            f"*{step.replace('_', ' ')}*, {ratio_text(before)} to "
            f"{ratio_text(row.sel(step=step).item())}."
        )
    return "\n".join(lines)


def where_it_fits(v: xr.Dataset) -> str:
    """Say on which GPUs a model fits at batch 1, and from which batch Prophet frees nothing."""
    fits = v.fits.sel(batch=1)
    alone = [str(g) for g in v.gpu.values if fits.sel(policy="baseline", gpu=g)]
    more = [str(g) for g in v.gpu.values if fits.sel(policy="prophet", gpu=g) and g not in alone]
    savings = v.expert_savings_fraction.sel(policy="prophet")
    flat = savings.batch.values[savings.values <= 0]
    end = (
        f"Every expert is needed from batch {flat[0]} on"
        if flat.size
        else (
            f"At batch {savings.batch.values[-1]} Prophet still frees {savings.values[-1]:.0%} "
            f"of the experts"
        )
    )
    return (
        f"Without Prophet it fits {listed(alone)}; only with Prophet, at batch 1: {listed(more)}. "
        f"{end}; at batch 1 it frees {savings.values[0]:.1%}."
    )
