"""The files of ``prophet-xr cluster``: cubes, tables, figures and the report on them."""

from functools import partial
from pathlib import Path

import xarray as xr

from prophet_xr import filing
from prophet_xr.cluster import grids, note, story
from prophet_xr.cluster.figures import FIGURES
from prophet_xr.cluster.tables import TABLES

REPORT = "MANY_GPUS.md"


def cubes() -> dict[str, xr.Dataset]:
    """Sweep all that the files are made from."""
    source = note.rows()
    double = source.assign(gpus=2 * source.gpus)
    systems = {"systems": grids.systems(source), "doubled": grids.systems(double)}
    return {"scaling": grids.scaling(), **systems}


def jobs(out: Path, made: dict[str, xr.Dataset]) -> list[filing.Job]:
    """List the files: a title and what to call."""
    tables = {name: partial(make, made) for name, make in TABLES.items()}
    figures = {name: partial(draw, made) for name, draw in FIGURES.items()}
    return filing.jobs(out, made, tables, figures, {REPORT: partial(story.report, made)})


def run(out: Path, tell: filing.Tell) -> None:
    """Sweep and write everything; ``tell(title, left)`` hears of each file."""
    filing.run(jobs(out, cubes()), tell)
