"""The files of ``prophet-xr simulate``: simulations, tables, figures and the report on them."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pandas as pd
import xarray as xr

from prophet_xr import canvas
from prophet_xr.files import write
from prophet_xr.serving import grids, story, views
from prophet_xr.serving.capacity import capacity
from prophet_xr.serving.figures import FIGURES
from prophet_xr.serving.presets import presets
from prophet_xr.serving.simulate import simulate
from prophet_xr.serving.tables import TABLES
from prophet_xr.serving.traces import trace
from prophet_xr.store import save
from prophet_xr.tables import markdown

REPORT = "UNDER_LOAD.md"
FIRST = "azure-conv"  # of the presets
Job = tuple[str, Callable[[], None]]
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


def jobs(out: Path, made: Cubes) -> list[Job]:
    """List the files: a title and what to call."""
    todo: list[Job] = [(f"{n}.nc", partial(save, c, out / f"{n}.nc")) for n, c in made.items()]
    for name, (cube, table) in TABLES.items():
        if cube in made:
            todo.append((name, partial(_table, partial(table, made), out / name)))
    for name, (cube, draw) in FIGURES.items():
        if cube in made:
            todo.append((name, partial(_figure, partial(draw, made), out, name)))
    todo.append((REPORT, lambda: write(out / REPORT, story.report(made))))
    return todo


def _table(make: Callable[[], pd.DataFrame], path: Path) -> None:
    frame = make()
    write(path.with_suffix(".csv"), frame.to_csv(index=False, float_format="%.6g"))
    write(path.with_suffix(".md"), markdown(frame))


def _figure(draw: Callable, folder: Path, name: str) -> None:
    canvas.save(draw(), folder, name)


def folder(name: str) -> str:
    """Name of the folder for a load: of its preset, or of its file."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "trace"


def run(make: Callable[[], Cubes], out: Path, tell: Callable[[str, int], None]) -> None:
    """Simulate and write everything; ``tell(title, left)`` hears of each file."""
    todo = jobs(out, make())
    for done, (title, job) in enumerate(todo):
        tell(title, len(todo) - done)
        job()
    tell("done", 0)
