"""The files of ``prophet-xr offload``: cubes, tables, figures and the report on them."""

from functools import partial
from pathlib import Path

import xarray as xr

from prophet_xr import filing
from prophet_xr.offloading import grids, story
from prophet_xr.offloading.figures import FIGURES
from prophet_xr.offloading.tables import TABLES

REPORT = "WHAT_OFFLOADING_COSTS.md"


def cubes() -> dict[str, xr.Dataset]:
    """Sweep all that the files are made from."""
    return {"costs": grids.costs(), "closer": grids.closer(), "engines": grids.engines()}


def jobs(out: Path, made: dict[str, xr.Dataset]) -> list[filing.Job]:
    """List the files: a title and what to call."""
    tables = {name: partial(make, made[cube]) for name, (cube, make) in TABLES.items()}
    figures = {name: partial(draw, made[cube]) for name, (cube, draw) in FIGURES.items()}
    return filing.jobs(out, made, tables, figures, {REPORT: partial(story.report, made)})


def run(out: Path, tell: filing.Tell) -> None:
    """Sweep and write everything; ``tell(title, left)`` hears of each file."""
    filing.run(jobs(out, cubes()), tell)
