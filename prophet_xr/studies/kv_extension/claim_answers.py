"""Cube x published claim -> number: how each quantity that the study prints is found in a cube.

Means of the extension are the study's: over every cell, 0 where the baseline does not fit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from prophet_xr import kernels  # noqa: F401  (declares the metrics)
from prophet_xr.registry import BASELINE, QUANTITIES
from prophet_xr.reporting.numbers import ends, four_digits, names
from prophet_xr.studies.kv_extension.wording import winners
from prophet_xr.studies.published.averages import by_expert_count
from prophet_xr.studies.published.claim_file import Claim
from prophet_xr.studies.published.latency_claims import step_ratio

PROPHET_ROW = "prophet"
_POLICIES = {
    "baseline": BASELINE,
    "both": (BASELINE, PROPHET_ROW),
}  # by the end of a quantity's name

Found = tuple[float, float]  # both ends; the same number twice where there is only one
Cubes = Mapping[str, Any]  # results by name: cubes, and what other studies say in words
ANSWERS: dict[str, "Answer"] = {}  # by quantity


@dataclass(frozen=True)
class Answer:
    """How a quantity is found in a cube, which metric it reads, and what it is in words.

    ``cube`` names one that holds the studies along ``study``; ``more`` adds to the reason.
    """

    evaluate: Callable[[xr.Dataset, Claim], Any]
    reads: str
    title: str
    cube: str = ""
    more: Callable[[Cubes, Claim], str] = lambda cubes, claim: ""


def answers(
    quantities: str, reads: str, title: str = "", **more: Any
) -> Callable[[Callable], Callable]:
    """Enter an evaluator of quantities: (cube, claim) -> a number, or both ends of a range."""

    def register(evaluate: Callable) -> Callable:
        words = title or (evaluate.__doc__ or "").rstrip(".")
        ANSWERS.update(dict.fromkeys(quantities.split(), Answer(evaluate, reads, words, **more)))
        return evaluate

    return register


def claimed_cells(cube: xr.Dataset, name: str, claim: Claim) -> xr.DataArray:
    """Cells of a quantity that a claim is on, by label."""
    wanted = {"gpu": claim.gpu, "batch": claim.batch, "model": claim.model}
    wanted["policy"] = _POLICIES.get(claim.quantity.rpartition("_")[2], PROPHET_ROW)
    values = cube[name]
    at = {d: _positions(cube, d, wanted[d]) for d in map(str, values.dims) if wanted[d]}
    if claim.n_experts and "model" in values.dims:
        at["model"] = np.flatnonzero(cube.n_experts.isin(claim.n_experts)).tolist()
    return values.isel(at)


def _positions(cube: xr.Dataset, dim: str, labels: str | tuple) -> int | list[int]:
    """Positions of labels along a dim; looking them up costs less than a selection by label."""
    known = cube.variables[dim].values.tolist()
    return known.index(labels) if isinstance(labels, str) else [known.index(x) for x in labels]


def _mean(values: xr.DataArray, over: list[str] | None = None) -> xr.DataArray:
    return values.fillna(0.0).mean(over)


def _groups(values: xr.DataArray) -> xr.DataArray:
    """Mean over GPUs, batches and models per expert count."""
    return _mean(values, ["gpu", "batch"]).groupby("n_experts").mean()


REDUCTIONS: dict[str, Callable[[xr.DataArray], Any]] = {
    "ends": ends,
    "size": lambda v: v.size,
    "mean": _mean,
    "max": lambda v: v.max(),
    "positive": lambda v: ends(v.where(v > 0)),
    "models": lambda v: ends(_mean(v, ["gpu", "batch"])),
    "groups": lambda v: ends(_groups(v)),
    "best group": lambda v: _groups(v).idxmax("n_experts"),
    "somewhere": lambda v: v.any(["gpu", "batch"]).all(),
    "saturated": lambda v: ends(v.batch.where(v >= v.n_experts).min("batch")),
}


def _plain(
    quantities: str, metric: str, reduction: str = "ends", title: str = "", **more: Any
) -> None:
    """Answer quantities by reducing a metric over the cells of the claim."""
    reduce = REDUCTIONS[reduction]
    answers(quantities, metric, title or QUANTITIES[metric].long_name, **more)(
        lambda cube, claim: reduce(claimed_cells(cube, metric, claim))
    )


def _spread(cubes: Cubes, claim: Claim) -> str:
    """Say how many cells stand behind a true extension, and what they give on their own."""
    found = claimed_cells(cubes["verified"], "kv_extension", claim).values
    held = found[found == found]
    if found.size == 1:
        return ""
    text = f"Verified, the baseline fits in {held.size} of {found.size} cells"
    if held.size:
        mean, median = four_digits(held.mean()), four_digits(np.median(held))
        text += f", where the mean is {mean} and the median {median}"
    return f"{text}."


def _leaders(cubes: Cubes, claim: Claim) -> str:
    """Say which expert count each average puts first."""
    rows = {n: cubes[n].sel(policy=PROPHET_ROW) for n in ("published", "verified")}
    return " ".join(f"{n.capitalize()}: {winners(by_expert_count(c))}." for n, c in rows.items())


def _without(cubes: Cubes, claim: Claim) -> str:
    """Say which of the models fit without Prophet too."""
    parts = []
    for study in ("published", "verified"):
        cube = cubes[study].sel(model=claimed_cells(cubes[study], "n_experts", claim).model)
        alone = cube.fits.sel(policy=BASELINE).any(["gpu", "batch"]).values
        missing = [name for name, fits in zip(names(cube), alone, strict=True) if not fits]
        parts.append(f"{study}, {'all but ' + ', '.join(missing) if missing else 'all'}")
    return f"Of them fit without Prophet: {'; '.join(parts)}."


_plain("kv_extension", "kv_extension", more=_spread)
for _name in ("kv_increase", "slowdown", "total_parameters", "unique_experts"):
    _plain(_name, _name)
for _name in ("expert_size", "fixed_memory", "n_experts", "moe_layers"):
    _plain(_name, _name)
_plain("expert_savings savings savings_range", "expert_savings_fraction")
_plain("dedup dedup_range", "dedup_factor")
_plain("expert_memory_baseline expert_memory_prophet", "expert_memory")
_plain("expert_memory_saved", "expert_savings")
_plain("max_tokens_baseline max_tokens_prophet max_tokens_both", "max_context")
_plain("configs", "kv_extension", "size", "Configurations of the sweep")
_plain("n_models", "n_experts", "size", "Models of the sweep")
_plain("avg_savings", "expert_savings_fraction", "mean", "Mean share of expert memory freed")
_plain("avg_dedup", "dedup_factor", "mean", "Mean deduplication factor")
for _name, _reduction, _title in (
    ("avg_kv_extension", "mean", "Mean KV extension"),
    ("best_kv_extension", "max", "Highest KV extension"),
    ("extension_range", "positive", "KV extension where the baseline fits"),
    ("avg_extension_range", "models", "Mean KV extension of each model"),
    ("group_extension", "groups", "Mean KV extension of an expert count"),
):
    _plain(_name, "kv_extension", _reduction, _title, more=_spread)
_best = "Expert count with the highest mean KV extension"
_plain("ranking", "kv_extension", "best group", _best, more=_leaders)
_plain("fit_baseline", "fits", "somewhere", "Each model fits somewhere")
_plain("fit_prophet", "fits", "somewhere", "Each model fits somewhere", more=_without)
_plain("saturation_batch", "unique_experts", "saturated", "First batch that needs every expert")


@answers("recommendation", "kv_extension")
def best_batches(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """These batches have a higher mean KV extension than every other."""
    means = _mean(cube.kv_extension.sel(policy=PROPHET_ROW), ["model", "gpu"])
    chosen = list(claim.batch)
    return means.sel(batch=chosen).min() > means.drop_sel(batch=chosen).max()


@answers("unique_experts_uncapped", "unique_experts")
def uncapped_experts(cube: xr.Dataset, claim: Claim) -> Found:
    """Distinct experts if there were more: k x the most per routed expert of any model."""
    growth = (cube.unique_experts / cube.top_k).max("model").sel(batch=list(claim.batch))
    return ends(growth * claimed_cells(cube, "top_k", claim))


@answers("kv_cache", "kv_per_token")
def kv_cache(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """KV cache: bytes per token x batch x context."""
    return claimed_cells(cube, "kv_per_token", claim).max() * claim.batch[0] * claim.context


@answers("total_baseline total_prophet", "static_memory")
def weights_and_cache(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """Weights and activations, and the KV cache where a context is named."""
    return claimed_cells(cube, "static_memory", claim).max() + kv_cache(cube, claim)


@answers("inner_width", "expert_size")
def inner_width(cube: xr.Dataset, claim: Claim) -> Found:
    """Inner width of an expert: its parameters / (matrices x hidden size)."""
    across = claimed_cells(cube, "expert_matrices", claim) * claimed_cells(
        cube, "hidden_size", claim
    )
    return ends(claimed_cells(cube, "expert_parameters", claim) / across)


@answers(
    "offload_slowdowns", "slowdown", cube="offload", more=lambda cubes, _: cubes["slowdowns_region"]
)
def offload_slowdowns(cube: xr.Dataset, claim: Claim) -> Found:
    """Median step over the baseline's: of Prophet, and of experts fetched when needed."""
    slow = cube.slowdown.sel(batch=list(claim.batch))
    low, high = (float(slow.sel(policy=p).median()) for p in (PROPHET_ROW, "on_demand"))
    return low, high


@answers(
    "offload_ratio",
    "step_time",
    cube="offload",
    more=lambda cubes, _: cubes["slowdown_ratio_region"],
)
def offload_ratio(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """Median step of experts fetched when needed over Prophet's in the same memory."""
    return step_ratio(cube).sel(batch=list(claim.batch)).median()
