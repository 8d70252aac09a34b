"""The files of ``prophet-xr cluster``: cubes, tables, figures and the report on them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import xarray as xr

from prophet_xr import canvas
from prophet_xr.cluster import grids, note, story
from prophet_xr.cluster.figures import FIGURES
from prophet_xr.cluster.tables import TABLES
from prophet_xr.files import write
from prophet_xr.store import save
from prophet_xr.tables import markdown

REPORT = "MANY_GPUS.md"
Job = tuple[str, Callable[[], None]]


def cubes() -> dict[str, xr.Dataset]:
    """Sweep all that the files are made from."""
    source = note.rows()
    double = source.assign(gpus=2 * source.gpus)
    systems = {"systems": grids.systems(source), "doubled": grids.systems(double)}
    return {"scaling": grids.scaling(), **systems}


def jobs(out: Path, made: dict[str, xr.Dataset]) -> list[Job]:
    """List the files: a title and what to call."""
    todo: list[Job] = [(f"{n}.nc", partial(save, c, out / f"{n}.nc")) for n, c in made.items()]
    for name, table in TABLES.items():
        todo.append((name, partial(_table, partial(table, made), out / name)))
    for name, draw in FIGURES.items():
        todo.append((name, partial(_figure, partial(draw, made), out, name)))
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
