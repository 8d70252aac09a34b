"""The files of ``prophet-xr sensitivity``: sweeps, indices, tables, figures and the report."""

from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from prophet_xr.grid import inputs
from prophet_xr.reporting import writers
from prophet_xr.studies.offloading.sweeps import costs
from prophet_xr.studies.sensitivity import headlines, report, sweeps
from prophet_xr.studies.sensitivity.break_even_figures import FIGURES
from prophet_xr.studies.sensitivity.tables import TABLES
from prophet_xr.uncertainty import bands, break_even, one_at_a_time
from prophet_xr.uncertainty.priors import known
from prophet_xr.uncertainty.robustness import first, ranking
from prophet_xr.uncertainty.sampled import sampled
from prophet_xr.uncertainty.sobol import sobol_sweep
from prophet_xr.uncertainty.sobol_on_priors import on_grid

REPORT = "WHICH_CONCLUSIONS_SURVIVE.md"
METRICS = ["kv_extension", "kv_budget", "step_time", "slowdown"]
ENDS = np.array([0.05, 0.95])
VALUES = {"hit_rate": [0.994, 0.95, 0.90], "dedup_exponent": [0.932, 0.90, 0.85]}
FACTORS = {"study_activation": [1.0, 0.75, 1.25]}
MOVED = [
    *("dedup_exponent", "hit_rate", "batch", "study_activation", "utilization"),
    *("expert_parameters", "memory_rate", "host_link_rate", "reuse_strength"),
]


def results() -> dict[str, Any]:
    """Compute all that the files are made from."""
    made: dict[str, Any] = {"assumptions": sweeps.assumptions(), "costs": costs()}
    made |= {"base": sweeps.BASE, "judged": headlines.judged(made)}
    made["ranking"] = _ranking(made["assumptions"])
    made["tornado"], made["ranges"] = _tornado(), _ranges()
    made["elasticities"] = _elasticities()
    made |= _global()
    made["priors"] = {m: _priors(m) for m in sweeps.ASKED}
    made["bands"] = {"memory": _memory(), "times": bands.bands(sweeps.times(), "step_time")}
    made["capacity"] = bands.bands(sweeps.served())
    made["batch"] = break_even.batch_of_little_savings()
    made["exponent"] = break_even.exponent_of_no_fit()
    made["hit"] = break_even.hit_rate_of_target()
    return made


def _global() -> dict[str, Any]:
    """Sobol indices over every axis, and over the assumptions of one deployment."""
    wide = sweeps.wide()
    one = wide.sel({**sweeps.DEPLOYED, "context": wide.context[2]})
    return {
        "cells": {"every": prod(wide.sizes.values()), "one": prod(one.sizes.values())},
        "sobol": {m: sobol_sweep(wide, m, where="fits") for m in METRICS},
        "deployed": {m: sobol_sweep(one, m, where="fits") for m in METRICS},
    }


def _ranking(cube: xr.Dataset) -> xr.Dataset:
    scores = headlines.scores(cube)
    found = ranking(scores, "model", sweeps.BASE)
    each = first(scores, "model", [d for d in found.tau.dims if d != "step"])
    return found.assign(first_by_step=each).assign_coords(model_name=cube.model_name)


def _tornado() -> xr.Dataset:
    """The study's variations of its best model's extension, and of a step of OLMoE-1B-7B."""
    data = inputs("published", model=sweeps.SHOWN[0])
    asked = ["kv_extension", "max_context"]
    found = one_at_a_time.one_at_a_time(data, asked, VALUES, FACTORS).sel(policy="prophet")
    step = one_at_a_time.one_at_a_time(sweeps.kept(), "slowdown", VALUES, FACTORS)
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


def _ranges() -> xr.Dataset:
    """The slowdown of OLMoE-1B-7B with each input at both ends of nine tenths of its prior."""
    own = {n: p.quantile(ENDS) for n, p in known(sweeps.TIMES).items()}
    factors = {n: v for n, v in own.items() if known(n)[n].factor}
    values = {n: v for n, v in own.items() if n not in factors}
    return one_at_a_time.one_at_a_time(sweeps.kept(), "slowdown", values, factors)


def _elasticities() -> dict[str, xr.Dataset]:
    """Elasticities in two cells of A100-80GB at batch 4."""
    metrics = ["kv_extension", "max_context", "step_time", "slowdown", "throughput"]
    found = {}
    for study, model in (("published", sweeps.SHOWN[0]), ("verified", "olmoe-1b-7b")):
        data = inputs(study, model=model, gpu="A100-80GB", batch=4, context=4096)
        made = one_at_a_time.elasticities(data, metrics, MOVED).sel(policy="prophet")
        found[f"{model}, {study}"] = made
    return found


def _priors(metric: str) -> tuple[xr.Dataset, ...]:
    """Exact on a grid of likely values, then by three methods of sampling."""
    data, own = sweeps.cell(metric), sweeps.felt(metric)
    exact = on_grid(data, metric, own, second_order=False)
    sizes = {"sobol": 4096, "morris": 512, "pawn": 2048}
    return exact, *(sampled(data, metric, own, how, count=n) for how, n in sizes.items())


def _memory() -> xr.Dataset:
    drawn = sweeps.memory()
    found = bands.bands(drawn, "kv_extension").sel(policy="prophet", drop=True)
    return found.assign(fits=bands.probability(drawn))


def jobs(out: Path, made: dict[str, Any]) -> list[writers.Job]:
    """List the files: a title and what to call."""
    tables = {name: partial(make, made) for name, make in TABLES.items()}
    figures = {name: partial(draw, made) for name, draw in FIGURES.items()}
    return writers.jobs(out, {}, tables, figures, {REPORT: partial(report.report, made)})


def run(out: Path, tell: writers.Tell) -> None:
    """Compute and write everything; ``tell(title, left)`` hears of each file."""
    tell("sweeping", len(TABLES) + len(FIGURES) + 1)
    writers.run(jobs(out, results()), tell)
