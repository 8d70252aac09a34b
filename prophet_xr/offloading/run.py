"""The files of ``prophet-xr offload``: cubes, tables, figures and the report on them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import xarray as xr

from prophet_xr import canvas
from prophet_xr.files import write
from prophet_xr.offloading import grids, story
from prophet_xr.offloading.figures import FIGURES
from prophet_xr.offloading.tables import TABLES
from prophet_xr.store import save
from prophet_xr.tables import markdown

REPORT = "WHAT_OFFLOADING_COSTS.md"
Job = tuple[str, Callable[[], None]]


def cubes() -> dict[str, xr.Dataset]:
    """Sweep all that the files are made from."""
    return {"costs": grids.costs(), "closer": grids.closer(), "engines": grids.engines()}


def jobs(out: Path, made: dict[str, xr.Dataset]) -> list[Job]:
    """List the files: a title and what to call."""
    todo: list[Job] = [(f"{n}.nc", partial(save, c, out / f"{n}.nc")) for n, c in made.items()]
    for name, (cube, table) in TABLES.items():
        todo.append((name, partial(_table, partial(table, made[cube]), out / name)))
    for name, (cube, draw) in FIGURES.items():
        todo.append((name, partial(_figure, partial(draw, made[cube]), out, name)))
    todo.append((REPORT, lambda: write(out / REPORT, story.report(made))))
    return todo


def _table(make: Callable[[], pd.DataFrame], path: Path) -> None:
    frame = make()
    write(path.with_suffix(".csv"), frame.to_csv(index=False, float_format="%.6g"))
    write(path.with_suffix(".md"), markdown(frame))


def _figure(draw: Callable, folder: Path, name: str) -> None:
    canvas.save(draw(), folder, name)


def run(out: Path, tell: Callable[[str, int], None]) -> None:
    """Sweep and write everything; ``tell(title, left)`` hears of each file."""
    todo = jobs(out, cubes())
    for done, (title, job) in enumerate(todo):
        tell(title, len(todo) - done)
        job()
    tell("done", 0)
