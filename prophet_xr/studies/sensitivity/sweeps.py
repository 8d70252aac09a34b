"""What the report on sensitivity is made from: sweeps, indices, draws and verdicts."""

from math import prod

import numpy as np
import pandas as pd
import xarray as xr

from prophet_xr.grid import inputs
from prophet_xr.reporting.listing import Sweeps
from prophet_xr.studies.sensitivity import assumptions as spaces
from prophet_xr.studies.sensitivity import break_even_maps, headlines
from prophet_xr.uncertainty import one_at_a_time
from prophet_xr.uncertainty.bands import bands as quantile_bands
from prophet_xr.uncertainty.bands import probability
from prophet_xr.uncertainty.priors import known
from prophet_xr.uncertainty.robustness import first
from prophet_xr.uncertainty.robustness import ranking as rank
from prophet_xr.uncertainty.sampled import sampled
from prophet_xr.uncertainty.sobol import sobol_sweep
from prophet_xr.uncertainty.sobol_on_priors import on_grid

SWEEPS = Sweeps()
METRICS = ["kv_extension", "kv_budget", "step_time", "slowdown"]
ENDS = np.array([0.05, 0.95])
VALUES = {"hit_rate": [0.994, 0.95, 0.90], "dedup_exponent": [0.932, 0.90, 0.85]}
FACTORS = {"study_activation": [1.0, 0.75, 1.25]}
MOVED = [
    *("dedup_exponent", "hit_rate", "batch", "study_activation", "utilization"),
    *("expert_parameters", "memory_rate", "host_link_rate", "reuse_strength"),
]


@SWEEPS.part
def assumptions() -> xr.Dataset:
    """The study's grid under every assumption."""
    return spaces.sweep_assumptions()


@SWEEPS.part
def judged(assumptions: xr.Dataset, costs: xr.Dataset) -> pd.DataFrame:
    """The study's headlines, a row each."""
    return headlines.judge_headlines(assumptions, costs)


@SWEEPS.part
def model_ranking(assumptions: xr.Dataset) -> xr.Dataset:
    """How stable the ranking of the models is."""
    scores = headlines.scores(assumptions)
    ranks = rank(scores, "model", spaces.BASE)
    by_step = first(scores, "model", [d for d in ranks.tau.dims if d != "step"])
    return ranks.assign(first_by_step=by_step).assign_coords(model_name=assumptions.model_name)


@SWEEPS.part
def tornado() -> xr.Dataset:
    """The study's variations of its best model's extension, and of a step of OLMoE-1B-7B."""
    data = inputs("published", model=spaces._SHOWN[0])
    asked = ["kv_extension", "max_context"]
    found = one_at_a_time.one_at_a_time(data, asked, VALUES, FACTORS).sel(policy="prophet")
    step = one_at_a_time.one_at_a_time(spaces.partly_resident(), "slowdown", VALUES, FACTORS)
    cell = {"gpu": "A100-80GB", "batch": 16}
    made = xr.Dataset(
        {
            "mean extension": found.kv_extension.fillna(0.0).mean(["gpu", "batch"]),
            "context at batch 16": found.max_context.sel(cell),
            "slowdown": step.slowdown,
        },
        coords={n: found[n] for n in ("input", "value", "factor")},
    )
    return made.drop_vars([n for n in made.coords if n not in ("input", "value", "factor")])


@SWEEPS.part
def ranges() -> xr.Dataset:
    """The slowdown of OLMoE-1B-7B with each input at both ends of nine tenths of its prior."""
    own = {n: p.quantile(ENDS) for n, p in known(spaces.TIMES).items()}
    factors = {n: v for n, v in own.items() if known(n)[n].factor}
    values = {n: v for n, v in own.items() if n not in factors}
    return one_at_a_time.one_at_a_time(spaces.partly_resident(), "slowdown", values, factors)


@SWEEPS.part
def elasticities_by_cell() -> dict[str, xr.Dataset]:
    """Elasticities in two cells of A100-80GB at batch 4."""
    metrics = ["kv_extension", "max_context", "step_time", "slowdown", "throughput"]
    found = {}
    for study, model in (("published", spaces._SHOWN[0]), ("verified", "olmoe-1b-7b")):
        data = inputs(study, model=model, gpu="A100-80GB", batch=4, context=4096)
        made = one_at_a_time.elasticities(data, metrics, MOVED).sel(policy="prophet")
        found[f"{model}, {study}"] = made
    return found


@SWEEPS.part
def wide() -> xr.Dataset:
    """Inputs of the global analysis: every axis."""
    return spaces.every_axis()


@SWEEPS.part
def chosen(wide: xr.Dataset) -> xr.Dataset:
    """Those inputs for one deployment: the assumptions alone are left."""
    return wide.sel({**spaces.DEPLOYED, "context": wide.context[2]})


@SWEEPS.part
def sobol_by_metric(wide: xr.Dataset) -> dict[str, xr.Dataset]:
    """Sobol indices over every axis, by metric."""
    return {m: sobol_sweep(wide, m, where="fits") for m in METRICS}


@SWEEPS.part
def deployed(chosen: xr.Dataset) -> dict[str, xr.Dataset]:
    """Sobol indices over the assumptions of one deployment, by metric."""
    return {m: sobol_sweep(chosen, m, where="fits") for m in METRICS}


@SWEEPS.part
def cells(wide: xr.Dataset, chosen: xr.Dataset) -> dict[str, int]:
    """How many cells the two analyses have."""
    return {"every": prod(wide.sizes.values()), "one": prod(chosen.sizes.values())}


@SWEEPS.part
def priors() -> dict[str, tuple[xr.Dataset, ...]]:
    """Indices of priors in one cell, by metric: exact on a grid, then by three samplings."""
    return {metric: _priors(metric) for metric in spaces.ASKED}


def _priors(metric: str) -> tuple[xr.Dataset, ...]:
    """Exact on a grid of likely values, then by three methods of sampling."""
    data, own = spaces.prior_cell(metric), spaces.priors_of(metric)
    exact = on_grid(data, metric, own, second_order=False)
    sizes = {"sobol": 4096, "morris": 512, "pawn": 2048}
    return exact, *(sampled(data, metric, own, how, count=n) for how, n in sizes.items())


@SWEEPS.part
def draw_bands() -> dict[str, xr.Dataset]:
    """Quantiles of draws: of what moves memory, and of what moves time."""
    return {"memory": _memory(), "times": quantile_bands(spaces.time_draws(), "step_time")}


def _memory() -> xr.Dataset:
    drawn = spaces.memory_draws()
    found = quantile_bands(drawn, "kv_extension").sel(policy="prophet", drop=True)
    return found.assign(fits=probability(drawn))


@SWEEPS.part
def capacity_bands() -> xr.Dataset:
    """Quantiles of the highest rate within the objective, over draws."""
    return quantile_bands(spaces.served_draws())


@SWEEPS.part
def batch_break_even() -> xr.Dataset:
    """Batch from which Prophet frees less than a tenth of the experts."""
    return break_even_maps.batch_of_little_savings()


@SWEEPS.part
def exponent_break_even() -> xr.Dataset:
    """Exponent at which Prophet leaves no room for the KV cache."""
    return break_even_maps.exponent_of_no_fit()


@SWEEPS.part
def hit_rate_break_even() -> xr.Dataset:
    """Least hit rate at which Prophet is no slower than the study says."""
    return break_even_maps.hit_rate_of_target()
