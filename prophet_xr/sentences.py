"""Cubes -> sentences: what a reader must know first, each number selected where it stands."""

import numpy as np
import xarray as xr

from prophet_xr.reduce import by_expert_count, extension, shown


def display(cube: xr.Dataset, model: str) -> str:
    """Name of a model as people write it."""
    return str(cube.model_name.sel(model=model).item())


def times(value: float) -> str:
    """Write a ratio."""
    return f"{value:.2f}x" if np.isfinite(value) else "none"


def listed(items: list[str]) -> str:
    """Write a list of names."""
    return ", ".join(items) if items else "none"


def four_digits(value: float) -> str:
    """Write a number with four significant digits, without an exponent."""
    rounded = float(f"{value:.4g}")
    return f"{rounded:.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"


def gpu_share(cube: xr.Dataset, model: str) -> xr.DataArray:
    """Share of each GPU in the sum behind a model's average extension."""
    cells = cube.kv_extension.sel(model=model, policy="prophet").sum("batch")
    return cells / cells.sum()


def grouped(cube: xr.Dataset) -> xr.Dataset:
    """Group Prophet's averages by experts per layer."""
    return by_expert_count(cube.sel(policy="prophet"))


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
        f"{display(published, best)}'s {times(mean.max().item())} comes from {gpu}, where "
        f"{shown(room, 'GB').item():.2f} GB are left for the KV cache and batch 1 alone is "
        f"{times(cell.sel(batch=1).item())}. A mean of ratios is ruled by such cells; read "
        f"medians and tokens first."
    )


def mixtral(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say why the batch-1 headline has no true value."""
    cell = verified.sel(model="mixtral-8x7b", gpu="A100-80GB", policy="baseline")
    weights = shown(cell.static_memory.isel(batch=0), "GB").item()
    budget = shown(cell.memory_budget, "GB").item()
    counted = published.sel(model="mixtral-8x7b", policy="baseline").static_memory
    before = shown(counted.isel(batch=0), "GB").item()
    prophet = verified.sel(model="mixtral-8x7b", gpu="A100-80GB", policy="prophet", batch=1)
    return (
        f"**Mixtral-8x7B in bf16 does not fit 80 GB.** Its weights take {weights:.1f} GB of the "
        f"{budget:.1f} GB a process can allocate; the study counted {before:.1f} GB, with two "
        f"matrices per expert where the model has three. There is no baseline to extend, so the "
        f"batch-1 headline has no true value; with Prophet it would hold "
        f"{prophet.max_context.item():,} tokens."
    )


def optimal(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say what the ranking of expert counts averages over."""
    groups = grouped(published)
    best = int(groups.extension.idxmax("experts").item())
    own = groups.best.sel(experts=best).item()
    dead = int((groups.models - groups.models_fitting).sum().item())
    true = grouped(verified)
    leader = int(true.best.idxmax("experts").item())
    return (
        f'**"{best} experts is optimal" averages in models that do not fit.** {dead} of '
        f"{int(groups.models.sum())} models never fit one GPU and count as 0 in their group's "
        f"mean; the lead of {best} rests on one model at {times(own)}. Under the true "
        f"architectures the best single model has {leader} experts, and the group means are "
        + ", ".join(
            f"{int(e)}: {times(true.extension.sel(experts=e).item())}" for e in true.experts.values
        )
        + "."
    )


def spread(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say how extension spreads under the true architectures."""
    true = extension(verified.sel(policy="prophet"), ["model", "gpu", "batch"])
    cells = f"{int(true.cells_fitting)} of {int(true.cells)}"
    return (
        f"**Under the true architectures both policies fit in {cells} cells.** There the median "
        f"extension is {times(true.median_fitting.item())}, the mean "
        f"{times(true.mean_fitting.item())} and the largest {times(true.largest.item())}."
    )


def bandwidth(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say what a hit rate costs on the host link."""
    cell = verified.sel(gpu="A100-80GB", batch=1, policy="prophet")
    slow = cell.slowdown.where(cell.fits)
    worst, least = slow.idxmax("model").item(), slow.idxmin("model").item()
    hit = verified.hit_rate.item()
    return (
        f"**Prediction hides latency; it does not create bandwidth.** With only a batch's experts "
        f"resident, a hit rate of {hit:.1%} still moves each expert that was not there before over "
        f"the host link. On A100-80GB at batch 1, with experts repeating as measured traces do, a "
        f"step takes {times(slow.min().item())} ({display(verified, least)}) to "
        f"{times(slow.max().item())} ({display(verified, worst)}) the all-resident time."
    )
