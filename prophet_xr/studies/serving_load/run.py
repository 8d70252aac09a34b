"""The files of ``prophet-xr simulate``: simulations, tables, figures and the report on them."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import xarray as xr

from prophet_xr.reporting import writers
from prophet_xr.serving.capacity import capacity
from prophet_xr.serving.preset_loads import presets
from prophet_xr.serving.simulate import simulate
from prophet_xr.serving.traces import trace
from prophet_xr.studies.serving_load import report, sweeps, views
from prophet_xr.studies.serving_load.figures import FIGURES
from prophet_xr.studies.serving_load.tables import TABLES

REPORT = "UNDER_LOAD.md"
FIRST = "azure-conv"  # of the presets
Cubes = dict[str, xr.Dataset]


def drawn(
    data: xr.Dataset,
    preset: str | None = None,
    rates: Iterable[float] = sweeps.RATES,
    seeds: Iterable[int] = sweeps.SEEDS,
    count: int = sweeps.COUNT,
) -> Callable[[], Cubes]:
    """Draw a preset; what is returned serves it, and finds the highest rate within the objective.

    Without a preset the first is served, and the highest rate found for each.
    Raises InputError for a load that cannot be drawn.
    """
    every = [preset] if preset else [FIRST, *(p for p in presets() if p != FIRST)]
    load = sweeps.drawn(every[0], rates, seeds, count)
    return partial(_drawn, data, load, sweeps.several(every, count, next(iter(seeds))))


def _drawn(data: xr.Dataset, load: xr.Dataset, every: xr.Dataset) -> Cubes:
    objective = {"ttft": views.TTFT, "tpot": views.TPOT, "quantile": views.QUANTILE}
    most = capacity(data, every, **objective)
    return {"served": _served(data, load), "capacity": most, "fit": sweeps.fit()}


def replayed(
    data: xr.Dataset, file: Path, kind: str | None = None, rates: Iterable[float] = ()
) -> Callable[[], Cubes]:
    """Read the requests of a file; what is returned serves them, at their own rate or others.

    Raises InputError for a file that is no trace.
    """
    load = sweeps.replayed(trace(file, kind), rates)
    return lambda: {"served": _served(data, load)}


def _served(data: xr.Dataset, load: xr.Dataset) -> xr.Dataset:
    served = simulate(data, load, quantiles=sweeps.LEVELS, ttft=views.TTFT, tpot=views.TPOT)
    return served.assign_attrs(load.attrs)


def jobs(out: Path, made: Cubes) -> list[writers.Job]:
    """List the files: a title and what to call."""
    tables = {n: partial(make, made) for n, (cube, make) in TABLES.items() if cube in made}
    figures = {n: partial(draw, made) for n, (cube, draw) in FIGURES.items() if cube in made}
    return writers.jobs(out, made, tables, figures, {REPORT: partial(report.report, made)})


def folder(name: str) -> str:
    """Name of the folder for a load: of its preset, or of its file."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "trace"


def run(make: Callable[[], Cubes], out: Path, tell: writers.Tell) -> None:
    """Simulate and write everything; ``tell(title, left)`` hears of each file."""
    writers.run(jobs(out, make()), tell)
