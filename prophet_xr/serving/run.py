"""The files of ``prophet-xr simulate``: simulations, tables, figures and the report on them."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import xarray as xr

from prophet_xr import filing
from prophet_xr.serving import grids, story, views
from prophet_xr.serving.capacity import capacity
from prophet_xr.serving.figures import FIGURES
from prophet_xr.serving.presets import presets
from prophet_xr.serving.simulate import simulate
from prophet_xr.serving.tables import TABLES
from prophet_xr.serving.traces import trace

REPORT = "UNDER_LOAD.md"
FIRST = "azure-conv"  # of the presets
Cubes = dict[str, xr.Dataset]


def drawn(
    data: xr.Dataset,
    preset: str | None = None,
    rates: Iterable[float] = grids.RATES,
    seeds: Iterable[int] = grids.SEEDS,
    count: int = grids.COUNT,
) -> Callable[[], Cubes]:
    """Draw a preset; what is returned serves it, and finds the highest rate within the objective.

    Without a preset the first is served, and the highest rate found for each.
    Raises InputError for a load that cannot be drawn.
    """
    every = [preset] if preset else [FIRST, *(p for p in presets() if p != FIRST)]
    load = grids.drawn(every[0], rates, seeds, count)
    return partial(_drawn, data, load, grids.several(every, count, next(iter(seeds))))


def _drawn(data: xr.Dataset, load: xr.Dataset, every: xr.Dataset) -> Cubes:
    objective = {"ttft": views.TTFT, "tpot": views.TPOT, "quantile": views.QUANTILE}
    most = capacity(data, every, **objective)
    return {"served": _served(data, load), "capacity": most, "fit": grids.fit()}


def replayed(
    data: xr.Dataset, file: Path, kind: str | None = None, rates: Iterable[float] = ()
) -> Callable[[], Cubes]:
    """Read the requests of a file; what is returned serves them, at their own rate or others.

    Raises InputError for a file that is no trace.
    """
    load = grids.replayed(trace(file, kind), rates)
    return lambda: {"served": _served(data, load)}


def _served(data: xr.Dataset, load: xr.Dataset) -> xr.Dataset:
    served = simulate(data, load, quantiles=grids.LEVELS, ttft=views.TTFT, tpot=views.TPOT)
    return served.assign_attrs(load.attrs)


def jobs(out: Path, made: Cubes) -> list[filing.Job]:
    """List the files: a title and what to call."""
    tables = {n: partial(make, made) for n, (cube, make) in TABLES.items() if cube in made}
    figures = {n: partial(draw, made) for n, (cube, draw) in FIGURES.items() if cube in made}
    return filing.jobs(out, made, tables, figures, {REPORT: partial(story.report, made)})


def folder(name: str) -> str:
    """Name of the folder for a load: of its preset, or of its file."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "trace"


def run(make: Callable[[], Cubes], out: Path, tell: filing.Tell) -> None:
    """Simulate and write everything; ``tell(title, left)`` hears of each file."""
    filing.run(jobs(out, make()), tell)
