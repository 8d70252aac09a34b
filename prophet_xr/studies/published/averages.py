"""Cube -> cube along axes: selections and averages that tables, figures and reports share."""

import numpy as np
import xarray as xr

STUDY_GRID = ["gpu", "batch"]
ONLY_PROPHET, BOTH = 1, 2
"""Codes of ``regime`` in the row of a policy: only it fits, the baseline does too."""
AVERAGES = {
    "mean with no fit as 0": "mean",
    "mean where both fit": "mean_fitting",
    "median where both fit": "median_fitting",
}
"""What the averages of `extension` are called in print."""


def columns(cube: xr.Dataset, split: list[str], single: list[str], policy: str) -> xr.Dataset:
    """Turn the policy axis into columns.

    Reads   the metrics named
    Returns ``{metric}_baseline`` and ``{metric}_{policy}`` for those in ``split``; for those in
            ``single`` the row of ``policy`` under the metric's own name.
    """
    flat = xr.Dataset()
    for name in single:
        values = cube[name]
        flat[name] = values.sel(policy=policy, drop=True) if "policy" in values.dims else values
    for name in split:
        for row in ("baseline", policy):
            flat[f"{name}_{row}"] = cube[name].sel(policy=row, drop=True)
    return flat


def extension(cube: xr.Dataset, over: list[str] | None = None) -> xr.Dataset:
    """Average the KV extension in three ways, and say over how many cells.

    Reads   kv_extension (..., gpu, batch) [1], regime (..., gpu, batch)
    Returns mean: over every cell, 0 where the baseline does not fit (the study's convention);
            mean_fitting, median_fitting, largest: over the cells where both policies fit;
            cells_fitting, cells: how many those are, and how many there are.
    """
    over = over or STUDY_GRID
    both = cube.regime == BOTH
    fitting = cube.kv_extension.where(both)
    return xr.Dataset(
        {
            "mean": cube.kv_extension.fillna(0.0).mean(over),
            "mean_fitting": fitting.mean(over),
            "median_fitting": fitting.median(over),
            "largest": fitting.max(over),
            "cells_fitting": both.sum(over),
            "cells": xr.ones_like(both).sum(over),
        }
    )


def by_expert_count(cube: xr.Dataset) -> xr.Dataset:
    """Average models of the same expert count.

    Reads   n_experts (model), expert_savings_fraction, dedup_factor, kv_extension, regime
    Returns savings, dedup (experts): mean over batches and models;
            what `extension` returns, over all cells of the models of a count;
            best (experts): the largest mean_fitting of one of its models;
            models, models_fitting (experts): how many there are, and how many fit anywhere.
    """
    kept = cube[["expert_savings_fraction", "dedup_factor", "kv_extension", "regime"]]
    lean = kept.reset_coords(drop=True)  # coordinates take time
    alone = extension(lean)
    lean = lean.assign(own=alone.mean_fitting, fitting=alone.cells_fitting > 0)
    counts = cube.n_experts.values.astype(int)
    groups = np.unique(counts)
    parts = [_group(lean.isel(model=np.flatnonzero(counts == n))) for n in groups]
    return xr.concat(parts, xr.Variable("experts", groups))


def _group(cube: xr.Dataset) -> xr.Dataset:
    return extension(cube, ["model", *STUDY_GRID]).assign(
        savings=cube.expert_savings_fraction.mean(),
        dedup=cube.dedup_factor.mean(),
        best=cube.own.max(),
        models=cube.sizes["model"],
        models_fitting=cube.fitting.sum(),
    )


def by_memory(memory: xr.DataArray) -> dict[str, list[str]]:
    """GPUs of like memory (gpu) [B], smallest first, by a label for all of them."""
    found: dict[float, list[str]] = {}
    for size, gpu in zip(memory.values.tolist(), memory.gpu.values.tolist(), strict=True):
        near = next((known for known in found if abs(known / size - 1) < 0.02), size)
        found.setdefault(near, []).append(gpu)
    return {_joined(found[size]): found[size] for size in sorted(found)}


def _joined(gpus: list[str]) -> str:
    """Name several GPUs at once: ``A100, H100-80GB``."""
    parts = [gpu.rpartition("-") for gpu in gpus]
    if len({size for *_, size in parts}) == 1 and all(name for name, *_ in parts):
        return f"{', '.join(name for name, *_ in parts)}-{parts[0][2]}"
    return ", ".join(gpus)
